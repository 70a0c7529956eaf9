// SPDX-License-Identifier: Apache-2.0
// pktctl protocols, drops and stats.
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "ctl.h"
#include "screen.h"
#include "table.h"
#include "units.h"

// --- protocols ---

static int draw_protocols(struct ctl *ctl, const struct ctl_args *args, FILE *f)
{
	static const char *const columns[] = {
		"Protocol", "Layer", ">Packets", ">Bytes", ">Rate", ">Throughput", NULL};
	struct client_reply reply;
	char text[UNITS_MAX];
	struct table *t;
	const cJSON *p;
	int r = client_call(ctl->client, "protocols.get", cJSON_Duplicate(args->params, 1), &reply);

	if (r != EXIT_DONE)
		return r;
	if (ctl->json) {
		fprintf(f, "%s\n", reply.text);
		client_reply_free(&reply);
		return EXIT_DONE;
	}
	t = table_new(ctl->color, columns);
	cJSON_ArrayForEach (p, member(reply.result, "protocols")) {
		table_row(t);
		table_cell(t, member_text(p, "name", "?"));
		table_cell(t, member_text(p, "layer", ""));
		table_cell(t, units_count(member_number(p, "packets"), text));
		table_cell(t, units_bytes(member_number(p, "bytes"), text));
		table_cell(t, units_pkts_rate(member_number(p, "packets_per_second"), text));
		table_cell(t, units_bits_rate(member_number(p, "bits_per_second"), text));
	}
	if (cJSON_GetArraySize(member(reply.result, "protocols")) == 0) {
		fprintf(f, "No packets yet.\n");
		table_print(t, stdout); // empty: prints nothing, frees
	} else {
		r = table_print(t, f);
	}
	client_reply_free(&reply);
	return r;
}

int ctl_protocols(struct ctl *ctl, const struct ctl_args *args)
{
	return screen_run(ctl, args, args_switch(args, "watch"), draw_protocols);
}

// --- drops ---

static void count_cell(struct table *t, const cJSON *object, const char *name)
{
	char text[UNITS_MAX];

	table_cell(t, units_count(member_number(object, name), text));
}

static void lost_cell(struct table *t, double n)
{
	char text[UNITS_MAX];

	table_cell_color(t, n > 0 ? TABLE_BAD : TABLE_PLAIN, units_count(n, text));
}

// Offered = lost + received; received = processed + filtered + dropped: what is missing, or "exact".
static void identity_cell(struct table *t, const cJSON *c)
{
	double received = member_number(c, "received");
	double off = member_number(c, "offered") - member_sum(member(c, "device")) - received;
	double off2 = received - member_number(c, "processed") - member_number(c, "filtered") -
	              member_sum(member(c, "dropped"));
	char text[2 * UNITS_MAX];

	if (off == 0 && off2 == 0) {
		table_cell_color(t, TABLE_GOOD, "exact");
		return;
	}
	snprintf(text, sizeof(text), "off by %.0f", off != 0 ? off : off2);
	table_cell_color(t, TABLE_BAD, text);
}

static int drops_identity(const struct ctl *ctl, const cJSON *captures, FILE *f)
{
	static const char *const columns[] = {"Capture", ">Offered", ">Lost", ">Received",
		">Processed", ">Filtered", ">Dropped", "Identity", NULL};
	struct table *t = table_new(ctl->color, columns);
	const cJSON *c;

	cJSON_ArrayForEach (c, captures) {
		table_row(t);
		table_cell(t, member_text(c, "name", "?"));
		count_cell(t, c, "offered");
		lost_cell(t, member_sum(member(c, "device")));
		count_cell(t, c, "received");
		count_cell(t, c, "processed");
		count_cell(t, c, "filtered");
		lost_cell(t, member_sum(member(c, "dropped")));
		identity_cell(t, c);
	}
	return table_print(t, f);
}

// Adds a row for each reason that is not 0.
static unsigned reason_rows(
	struct table *t, const cJSON *capture, const char *where, const cJSON *reasons)
{
	const cJSON *v;
	unsigned n = 0;

	cJSON_ArrayForEach (v, reasons) {
		if (!cJSON_IsNumber(v) || v->valuedouble == 0)
			continue;
		table_row(t);
		table_cell(t, member_text(capture, "name", "?"));
		table_cell(t, where);
		table_cell(t, v->string);
		lost_cell(t, v->valuedouble);
		n++;
	}
	return n;
}

static int drops_reasons(const struct ctl *ctl, const cJSON *captures, FILE *f)
{
	static const char *const columns[] = {"Capture", "Where", "Reason", ">Packets", NULL};
	struct table *t = table_new(ctl->color, columns);
	unsigned n = 0;
	const cJSON *c;

	cJSON_ArrayForEach (c, captures) {
		n += reason_rows(t, c, "before receipt", member(c, "device"));
		n += reason_rows(t, c, "after receipt", member(c, "dropped"));
	}
	if (n > 0)
		fputc('\n', f);
	return table_print(t, n > 0 ? f : stdout); // an empty table prints nothing
}

static int drops_queues(const struct ctl *ctl, const cJSON *captures, FILE *f)
{
	static const char *const columns[] = {"Capture", ">Queue", ">Worker", ">Received",
		">Processed", ">Filtered", ">Dropped", NULL};
	struct table *t = table_new(ctl->color, columns);
	const cJSON *c, *q;
	unsigned n = 0;

	cJSON_ArrayForEach (c, captures) {
		if (cJSON_GetArraySize(member(c, "queues")) < 2)
			continue; // says the same as the capture's row
		cJSON_ArrayForEach (q, member(c, "queues")) {
			table_row(t);
			table_cell(t, member_text(c, "name", "?"));
			count_cell(t, q, "queue");
			count_cell(t, q, "worker");
			count_cell(t, q, "received");
			count_cell(t, q, "processed");
			count_cell(t, q, "filtered");
			lost_cell(t, member_sum(member(q, "dropped")));
			n++;
		}
	}
	if (n > 0)
		fputc('\n', f);
	return table_print(t, n > 0 ? f : stdout);
}

static int by_count(const void *a, const void *b)
{
	const cJSON *x = *(const cJSON *const *)a, *y = *(const cJSON *const *)b;

	if (x->valuedouble != y->valuedouble)
		return x->valuedouble < y->valuedouble ? 1 : -1;
	return strcmp(x->string, y->string);
}

static int drops_malformed(const struct ctl *ctl, const cJSON *malformed, FILE *f)
{
	static const char *const columns[] = {"Malformed", ">Packets", NULL};
	size_t size = (size_t)cJSON_GetArraySize(malformed), n = 0;
	const cJSON **rows = calloc(size + 1, sizeof(*rows)), *v;
	char text[UNITS_MAX];
	struct table *t;

	if (rows == NULL) {
		ctl_error("out of memory");
		return EXIT_ANSWERED_ERROR;
	}
	cJSON_ArrayForEach (v, malformed)
		if (cJSON_IsNumber(v) && v->valuedouble > 0)
			rows[n++] = v;
	qsort(rows, n, sizeof(*rows), by_count);
	fputc('\n', f);
	if (n == 0) {
		fprintf(f, "No malformed packets.\n");
		free(rows);
		return EXIT_DONE;
	}
	t = table_new(ctl->color, columns);
	for (size_t i = 0; i < n; i++) {
		table_row(t);
		table_cell(t, rows[i]->string);
		table_cell_color(t, TABLE_WARN, units_count(rows[i]->valuedouble, text));
	}
	free(rows);
	return table_print(t, f);
}

static int draw_drops(struct ctl *ctl, const struct ctl_args *args, FILE *f)
{
	struct client_reply reply;
	const cJSON *captures;
	int r = client_call(ctl->client, "drops.get", cJSON_Duplicate(args->params, 1), &reply);

	if (r != EXIT_DONE)
		return r;
	captures = member(reply.result, "captures");
	if (ctl->json) {
		fprintf(f, "%s\n", reply.text);
	} else {
		if (cJSON_GetArraySize(captures) == 0)
			fprintf(f, "No captures.\n");
		else
			r = drops_identity(ctl, captures, f);
		if (r == EXIT_DONE)
			r = drops_reasons(ctl, captures, f);
		if (r == EXIT_DONE)
			r = drops_queues(ctl, captures, f);
		if (r == EXIT_DONE)
			r = drops_malformed(ctl, member(reply.result, "malformed"), f);
	}
	client_reply_free(&reply);
	return r;
}

int ctl_drops(struct ctl *ctl, const struct ctl_args *args)
{
	return screen_run(ctl, args, args_switch(args, "watch"), draw_drops);
}

// --- stats ---

// The same counter in an answer that came before, or NULL.
static const cJSON *counter_before(const cJSON *before, const char *section, const char *name)
{
	const cJSON *s, *c;

	cJSON_ArrayForEach (s, member(before, "sections")) {
		if (strcmp(member_text(s, "name", ""), section) != 0)
			continue;
		cJSON_ArrayForEach (c, member(s, "counters"))
			if (strcmp(member_text(c, "name", ""), name) == 0)
				return c;
	}
	return NULL;
}

static void rate_cell(struct table *t, const cJSON *before, const char *section,
	const cJSON *counter, double seconds)
{
	const cJSON *b = counter_before(before, section, member_text(counter, "name", ""));
	double change = member_number(counter, "value") - member_number(b, "value");
	char text[UNITS_MAX];

	if (b == NULL || strcmp(member_text(counter, "kind", ""), "sum") != 0 || change < 0) {
		table_cell(t, "-"); // a level, or counted anew in between
		return;
	}
	snprintf(text, sizeof(text), "%.*f", change / seconds < 100 && change != 0 ? 1 : 0,
		change / seconds);
	table_cell(t, text);
}

static int stats_table(
	const struct ctl *ctl, const cJSON *before, const cJSON *result, double seconds)
{
	static const char *const plain[] = {"Counter", ">Value", "Unit", "Help", NULL};
	static const char *const rates[] = {
		"Counter", ">Value", ">Per second", "Unit", "Help", NULL};
	struct table *t = table_new(ctl->color, before != NULL ? rates : plain);
	char name[128], text[UNITS_MAX];
	const cJSON *s, *c;

	cJSON_ArrayForEach (s, member(result, "sections")) {
		const char *section = member_text(s, "name", "?");

		cJSON_ArrayForEach (c, member(s, "counters")) {
			snprintf(name, sizeof(name), "%s.%s", section, member_text(c, "name", "?"));
			table_row(t);
			table_cell(t, name);
			table_cell(t, units_count(member_number(c, "value"), text));
			if (before != NULL)
				rate_cell(t, before, section, c, seconds);
			table_cell(t, member_text(c, "unit", ""));
			table_cell(t, member_text(c, "help", ""));
		}
	}
	return table_print(t, stdout);
}

int ctl_stats(struct ctl *ctl, const struct ctl_args *args)
{
	bool rates = args_switch(args, "rates");
	struct client_reply before = {0}, reply;
	double start, seconds = 0;
	int r;

	if (rates) {
		client_catch_signals();
		r = client_call(
			ctl->client, "stats.get", cJSON_Duplicate(args->params, 1), &before);
		if (r != EXIT_DONE)
			return r;
		start = client_now();
		if (client_pause(-1, 1) == EXIT_INTERRUPTED) {
			client_reply_free(&before);
			return EXIT_INTERRUPTED;
		}
		seconds = client_now() - start;
	}
	r = client_call(ctl->client, "stats.get", cJSON_Duplicate(args->params, 1), &reply);
	if (r == EXIT_DONE) {
		if (ctl->json)
			printf("%s\n", reply.text);
		else
			r = stats_table(ctl, before.result, reply.result, seconds);
		client_reply_free(&reply);
	}
	client_reply_free(&before);
	return r;
}
