// SPDX-License-Identifier: Apache-2.0
// pktctl status, reload, shutdown, log-level.
#include <string.h>

#include "client.h"
#include "codec.h"
#include "ctl.h"
#include "capture_table.h"
#include "table.h"
#include "units.h"

static void label(const char *name)
{
	printf("%-10s", name);
}

static void status_head(const cJSON *info)
{
	const cJSON *flows = member(info, "flows"), *memory = member(info, "memory"),
		    *clients = member(info, "clients");
	const char *dpdk = member_text(info, "dpdk", NULL);
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX], d[UNITS_MAX];

	printf("pktaid %s", member_text(info, "version", "?"));
	if (dpdk != NULL) // rte_version() begins with the name
		printf(", DPDK %s", strncmp(dpdk, "DPDK ", 5) == 0 ? dpdk + 5 : dpdk);
	printf(", pid %.0f, up %s\n", member_number(info, "pid"),
		units_seconds(member_number(info, "uptime_s"), a));
	label("Config");
	print_safe(stdout, member_text(info, "config", "none"));
	printf(", log level %s\n", member_text(info, "log_level", "?"));
	label("Flows");
	printf("%.0f active of %.0f, %.0f recent\n", member_number(flows, "active"),
		member_number(flows, "capacity"), member_number(flows, "recent"));
	label("Memory");
	printf("%s resident, flow tables %s, streams %s, recent flows %s\n",
		units_bytes(member_number(memory, "rss_bytes"), a),
		units_bytes(member_number(memory, "flow_tables_bytes"), b),
		units_bytes(member_number(memory, "streams_bytes"), d),
		units_bytes(member_number(memory, "recent_bytes"), c));
	label("Clients");
	printf("%.0f of %.0f\n", member_number(clients, "connected"),
		member_number(clients, "maximum"));
}

static int status_workers(const struct ctl *ctl, const cJSON *workers)
{
	static const char *const columns[] = {
		">Worker", ">CPU", ">Load", ">Flows", ">Capacity", ">Memory", NULL};
	struct table *t = table_new(ctl->color, columns);
	char text[UNITS_MAX];
	const cJSON *w;

	cJSON_ArrayForEach (w, workers) {
		double load = member_number(w, "load");

		table_row(t);
		table_cell(t, units_count(member_number(w, "index"), text));
		if (member_number(w, "cpu") < 0)
			table_cell(t, "-");
		else
			table_cell(t, units_count(member_number(w, "cpu"), text));
		table_cell_color(
			t, load >= 0.9 ? TABLE_WARN : TABLE_PLAIN, units_percent(load, text));
		table_cell(t, units_count(member_number(w, "flows_active"), text));
		table_cell(t, units_count(member_number(w, "flow_capacity"), text));
		table_cell(t, units_bytes(member_number(w, "flow_table_bytes"), text));
	}
	return table_print(t, stdout);
}

int ctl_status(struct ctl *ctl, const struct ctl_args *args)
{
	struct client_reply reply;
	const cJSON *captures;
	int r = client_call(ctl->client, "system.info", NULL, &reply);

	(void)args;
	if (r != EXIT_DONE)
		return r;
	if (ctl->json) {
		printf("%s\n", reply.text);
	} else {
		status_head(reply.result);
		putchar('\n');
		r = status_workers(ctl, member(reply.result, "workers"));
		putchar('\n');
		captures = member(reply.result, "captures");
		if (cJSON_GetArraySize(captures) == 0)
			printf("No captures; pktctl capture start --help shows how to begin.\n");
		else if (r == EXIT_DONE)
			r = capture_table(ctl, captures, stdout);
	}
	client_reply_free(&reply);
	return r;
}

static void print_keys(const cJSON *keys)
{
	const cJSON *k;
	int n = 0;

	cJSON_ArrayForEach (k, keys) {
		printf("%s", n++ > 0 ? ", " : "");
		print_safe(stdout, cJSON_IsString(k) ? k->valuestring : "?");
	}
}

int ctl_reload(struct ctl *ctl, const struct ctl_args *args)
{
	struct client_reply reply;
	const cJSON *keys;
	int r = client_call(ctl->client, "system.reload", NULL, &reply);

	(void)args;
	if (r != EXIT_DONE)
		return r;
	keys = member(reply.result, "restart_needed");
	if (ctl->json) {
		printf("%s\n", reply.text);
	} else {
		printf("Configuration reloaded.\n");
		if (cJSON_GetArraySize(keys) > 0) {
			printf("Takes effect at the next start: ");
			print_keys(keys);
			putchar('\n');
		}
	}
	client_reply_free(&reply);
	return EXIT_DONE;
}

int ctl_shutdown(struct ctl *ctl, const struct ctl_args *args)
{
	struct client_reply reply;
	int r = client_call(ctl->client, "system.shutdown", NULL, &reply);

	(void)args;
	if (r != EXIT_DONE)
		return r;
	// whoever goes on after this command wants it gone
	if (ctl->json) {
		client_wait_gone(ctl->client);
		printf("%s\n", reply.text);
	} else if (client_wait_gone(ctl->client)) {
		printf("pktaid has stopped.\n");
	} else {
		printf("pktaid is stopping; it still ends and exports flows.\n");
	}
	client_reply_free(&reply);
	return EXIT_DONE;
}

int ctl_log_level(struct ctl *ctl, const struct ctl_args *args)
{
	struct client_reply reply;
	int r = client_call(
		ctl->client, "system.log_level", cJSON_Duplicate(args->params, 1), &reply);

	if (r != EXIT_DONE)
		return r;
	if (ctl->json)
		printf("%s\n", reply.text);
	else
		printf("Log level %s (was %s).\n", member_text(reply.result, "level", "?"),
			member_text(reply.result, "previous", "?"));
	client_reply_free(&reply);
	return EXIT_DONE;
}
