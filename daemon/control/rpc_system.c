// SPDX-License-Identifier: Apache-2.0
// system.info, system.reload, system.shutdown, system.log_level, rpc.discover.
#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "proto_methods.h"

static uint64_t resident_bytes(void)
{
	unsigned long pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (f == NULL)
		return 0;
	if (fscanf(f, "%lu %lu", &pages, &resident) != 2)
		resident = 0;
	fclose(f);
	return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void write_workers(struct json *j, struct workers *workers, struct worker_status *ret_sum)
{
	json_array(j, "workers");
	for (unsigned w = 0; w < workers_count(workers); w++) {
		struct worker_status s = {0};

		workers_status(workers, w, &s);
		json_object(j, NULL);
		json_uint(j, "index", w);
		json_int(j, "cpu", s.cpu);
		json_double(j, "load", s.load);
		json_uint(j, "heartbeat", s.heartbeat);
		json_uint(j, "flows_active", s.flows_active);
		json_uint(j, "flow_capacity", s.flow_capacity);
		json_uint(j, "flow_table_bytes", s.flow_table_bytes);
		json_object_end(j);
		ret_sum->flows_active += s.flows_active;
		ret_sum->flow_capacity += s.flow_capacity;
		ret_sum->flow_table_bytes += s.flow_table_bytes;
		ret_sum->streams_bytes += s.streams_bytes;
	}
	json_array_end(j);
}

static void write_totals(struct json *j, struct control *c, const struct worker_status *sum)
{
	struct export_stats s;

	memset(&s, 0, sizeof(s));
	export_stats(c->config.export, &s);
	json_object(j, "flows");
	json_uint(j, "active", sum->flows_active);
	json_uint(j, "capacity", sum->flow_capacity);
	json_uint(j, "recent", s.recent_flows);
	json_object_end(j);
	json_object(j, "memory");
	json_uint(j, "rss_bytes", resident_bytes());
	json_uint(j, "flow_tables_bytes", sum->flow_table_bytes);
	json_uint(j, "streams_bytes", sum->streams_bytes);
	json_uint(j, "recent_bytes", s.recent_bytes);
	json_object_end(j);
}

static void write_limits(struct json *j, const struct control *c)
{
	json_object(j, "clients");
	json_uint(j, "connected", c->count[COUNT_clients]);
	json_uint(j, "maximum", c->max_clients);
	json_object_end(j);
	json_object(j, "limits");
	json_uint(j, "captures", CAPTURES_MAX);
	json_uint(j, "request_bytes", FRAME_REQUEST_MAX);
	json_uint(j, "request_depth", FRAME_DEPTH_MAX);
	json_uint(j, "batch_requests", RPC_BATCH_MAX);
	json_uint(j, "client_requests_under_way", UNDER_WAY_CLIENT_MAX);
	json_uint(j, "requests_under_way", UNDER_WAY_MAX);
	json_uint(j, "queries_running", QUERIES_RUNNING_MAX);
	json_uint(j, "queries_waiting", QUERIES_WAITING_MAX);
	json_uint(j, "reply_bytes", REPLY_MAX);
	json_uint(j, "client_unread_bytes", OUTPUT_MAX);
	json_uint(j, "clients_unread_bytes", OUTPUT_TOTAL_MAX);
	json_uint(j, "request_ms", c->limits.request_ns / 1000000);
	json_uint(j, "reader_ms", c->limits.reader_ns / 1000000);
	json_object_end(j);
}

int rpc_system_info(struct rpc_call *call, const struct rpc_system_info_params *p)
{
	struct control *c = call->control;
	uint64_t up_ns = clock_monotonic_ns() - c->started_ns;
	struct worker_status sum = {0};
	char started[CLOCK_TEXT_SIZE];
	struct json j;

	(void)p;
	clock_text(c->started_wall_ns, started);
	json_init(&j);
	json_object(&j, NULL);
	json_string(&j, "version", PKTAID_VERSION);
	if (c->config.dpdk_version != NULL)
		json_string(&j, "dpdk", c->config.dpdk_version);
	json_uint(&j, "pid", (uint64_t)getpid());
	json_string(&j, "started", started);
	json_double(&j, "uptime_s", (double)up_ns / (double)NSEC_PER_S);
	json_string(&j, "socket", c->socket);
	if (c->config.config_path != NULL)
		json_string(&j, "config", c->config.config_path);
	else
		json_null(&j, "config");
	json_string(&j, "log_level", log_level_name(log_get_level()));
	write_workers(&j, c->config.workers, &sum);
	write_captures(c, &j, NULL);
	write_totals(&j, c, &sum);
	write_limits(&j, c);
	json_object_end(&j);
	request_reply(call, &j);
	json_fini(&j);
	return 0;
}

// The callback's text: keys that need a restart, separated by commas.
static void write_keys(struct json *j, const char *text)
{
	json_array(j, "restart_needed");
	while (*text != '\0') {
		size_t n;

		text += strspn(text, ", \n");
		n = strcspn(text, ", \n");
		if (n > 0)
			json_string_n(j, NULL, text, n);
		text += n;
	}
	json_array_end(j);
}

int rpc_system_reload(struct rpc_call *call, const struct rpc_system_reload_params *p)
{
	char text[2048] = "";
	struct json j;

	(void)p;
	if (control_reload(call->control, text, sizeof(text)) < 0) {
		request_fail(call, RPC_FAILED, "%s", text);
		return 0;
	}
	json_init(&j);
	json_object(&j, NULL);
	write_keys(&j, text);
	json_object_end(&j);
	request_reply(call, &j);
	json_fini(&j);
	return 0;
}

int rpc_system_shutdown(struct rpc_call *call, const struct rpc_system_shutdown_params *p)
{
	struct control *c = call->control;
	struct json j;

	(void)p;
	log_notice("shutdown asked for by uid %u pid %d",
		call->session != NULL ? (unsigned)call->session->uid : 0,
		call->session != NULL ? (int)call->session->pid : 0);
	c->stopping = true;
	json_init(&j);
	json_object(&j, NULL);
	json_bool(&j, "stopping", true);
	json_object_end(&j);
	request_reply(call, &j);
	json_fini(&j);
	if (c->config.shutdown != NULL)
		c->config.shutdown(c->config.ctx);
	return 0;
}

int rpc_system_log_level(struct rpc_call *call, const struct rpc_system_log_level_params *p)
{
	enum log_level before = log_get_level(), level = before;
	struct json j;

	if (log_level_from_name(rpc_log_level_names[p->level], &level) < 0)
		return RPC_INTERNAL_ERROR;
	log_set_level(level);
	json_init(&j);
	json_object(&j, NULL);
	json_string(&j, "level", log_level_name(level));
	json_string(&j, "previous", log_level_name(before));
	json_object_end(&j);
	request_reply(call, &j);
	json_fini(&j);
	return 0;
}

int rpc_rpc_discover(struct rpc_call *call, const struct rpc_rpc_discover_params *p)
{
	struct json j;

	(void)p;
	json_init(&j);
	json_raw(&j, NULL, proto_openrpc, proto_openrpc_size);
	request_reply(call, &j);
	json_fini(&j);
	return 0;
}
