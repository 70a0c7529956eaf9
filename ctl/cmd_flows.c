// SPDX-License-Identifier: Apache-2.0
// pktctl flows: the largest first. Up to what flows.top gives in one answer, the daemon sorts; for
// more, all pages are read and the largest kept here, so that the answer is exact either way.
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "codec.h"
#include "ctl.h"
#include "frame.h"
#include "screen.h"
#include "table.h"
#include "units.h"

enum {
	FLOWS_DEFAULT = 100, // rows where neither --top nor --limit is given
	FLOWS_PAGE = 1000,   // the most that flows.top and flows.list give at once
};

// --- The table ---

static const char *flow_end_text(const cJSON *pktai)
{
	return member_text(pktai, "end_reason", "active");
}

static const char *flow_state_text(const cJSON *record)
{
	return member_text(
		member(record, "tcp"), "state", member_text(member(record, "flow"), "state", "-"));
}

static void flow_row(struct table *t, const cJSON *record)
{
	const cJSON *flow = member(record, "flow"), *pktai = member(record, "pktai");
	double pkts = member_number(flow, "pkts_toserver") + member_number(flow, "pkts_toclient");
	double bytes = member_number(flow, "bytes_toserver") +
	               member_number(flow, "bytes_toclient");
	const char *end = flow_end_text(pktai), *app = member_text(record, "app_proto", "-");
	char text[UNITS_MAX], *name = flow_name(record);

	table_row(t);
	table_cell(t, name != NULL ? name : "?");
	free(name);
	table_cell(t, member_text(record, "proto", "?"));
	table_cell(t, strcmp(app, "failed") == 0 ? "-" : app); // EVE's word for "not known"
	table_cell(t, units_count(pkts, text));
	table_cell(t, units_bytes(bytes, text));
	table_cell(t, units_seconds(member_number(pktai, "duration_ns") / 1e9, text));
	table_cell(t, units_bits_rate(member_number(pktai, "throughput_bps"), text));
	table_cell(t, flow_state_text(record));
	table_cell_color(t, strcmp(end, "active") == 0 ? TABLE_GOOD : TABLE_DIM, end);
	table_cell(t, units_count(member_number(record, "flow_id"), text));
}

static int flows_table(const struct ctl *ctl, const struct ctl_args *args, const cJSON *flows,
	double matched, FILE *f)
{
	static const char *const columns[] = {"Flow", "Proto", "App", ">Pkts", ">Bytes",
		">Duration", ">Throughput", "State", "End", ">ID", NULL};
	int shown = cJSON_GetArraySize(flows), r;
	struct table *t;
	const cJSON *v;

	if (shown == 0) {
		fprintf(f, "No flows.\n");
		return EXIT_DONE;
	}
	t = table_new(ctl->color, columns);
	cJSON_ArrayForEach (v, flows)
		flow_row(t, v);
	r = table_print(t, f);
	if (r == EXIT_DONE && matched > shown)
		fprintf(f, "%d of %.0f flows; %s shows more\n", shown, matched,
			args_local(args, "limit") != NULL ? "--limit" : "--top");
	return r;
}

// --- One answer: flows.top ---

static int draw_top(struct ctl *ctl, const struct ctl_args *args, FILE *f)
{
	struct client_reply reply;
	int r = client_call(ctl->client, "flows.top", cJSON_Duplicate(args->params, 1), &reply);

	if (r != EXIT_DONE)
		return r;
	if (ctl->json)
		fprintf(f, "%s\n", reply.text);
	else
		r = flows_table(ctl, args, member(reply.result, "flows"),
			member_number(reply.result, "matched"), f);
	client_reply_free(&reply);
	return r;
}

// --- Many: flows.list, page by page ---

struct best {
	cJSON **rows;
	size_t count, capacity, limit;
	double matched;
	enum rpc_flow_metric by;
	bool ascending;
};

static double metric_number(const cJSON *record, enum rpc_flow_metric by)
{
	const cJSON *flow = member(record, "flow"), *pktai = member(record, "pktai");

	switch (by) {
	case RPC_FLOW_METRIC_BYTES:
		return member_number(flow, "bytes_toserver") +
		       member_number(flow, "bytes_toclient");
	case RPC_FLOW_METRIC_PACKETS:
		return member_number(flow, "pkts_toserver") + member_number(flow, "pkts_toclient");
	case RPC_FLOW_METRIC_THROUGHPUT:
		return member_number(pktai, "throughput_bps");
	case RPC_FLOW_METRIC_DURATION:
		return member_number(pktai, "duration_ns");
	case RPC_FLOW_METRIC_SCORE:
		return member_number(member(pktai, "ml"), "score");
	case RPC_FLOW_METRIC_START:
	case RPC_FLOW_METRIC_LAST_SEEN:
	case RPC_FLOW_METRIC_COUNT:
		break;
	}
	return 0;
}

static int compare_records(const void *a, const void *b, void *context)
{
	const struct best *best = context;
	const cJSON *x = *(cJSON *const *)a, *y = *(cJSON *const *)b;
	double nx = metric_number(x, best->by), ny = metric_number(y, best->by);
	int order = nx < ny ? 1 : nx > ny ? -1 : 0;

	// times are text of one form: their order is that of the letters
	if (best->by == RPC_FLOW_METRIC_START)
		order = strcmp(member_text(member(y, "flow"), "start", ""),
			member_text(member(x, "flow"), "start", ""));
	if (best->by == RPC_FLOW_METRIC_LAST_SEEN)
		order = strcmp(member_text(y, "timestamp", ""), member_text(x, "timestamp", ""));
	if (best->ascending)
		order = -order;
	nx = member_number(x, "flow_id");
	ny = member_number(y, "flow_id");
	return order != 0 ? order : nx < ny ? -1 : nx > ny;
}

static void best_cut(struct best *b)
{
	qsort_r(b->rows, b->count, sizeof(*b->rows), compare_records, b);
	while (b->count > b->limit)
		cJSON_Delete(b->rows[--b->count]);
}

// Takes the page's flows. Returns 0 or an exit code.
static int best_add(struct best *b, cJSON *page)
{
	cJSON *flows = cJSON_GetObjectItemCaseSensitive(page, "flows"), *v;

	while (flows != NULL && (v = flows->child) != NULL) {
		if (b->count == b->capacity) {
			size_t capacity = b->capacity != 0 ? 2 * b->capacity : 4 * FLOWS_PAGE;
			cJSON **rows = reallocarray(b->rows, capacity, sizeof(*rows));

			if (rows == NULL) {
				ctl_error("out of memory");
				return EXIT_ANSWERED_ERROR;
			}
			b->rows = rows;
			b->capacity = capacity;
		}
		b->rows[b->count++] = cJSON_DetachItemViaPointer(flows, v);
		b->matched++;
	}
	if (b->count >= 2 * b->limit + FLOWS_PAGE)
		best_cut(b);
	return EXIT_DONE;
}

static cJSON *list_params(const struct ctl_args *args, const char *cursor)
{
	cJSON *params = cJSON_Duplicate(args->params, 1);

	cJSON_DeleteItemFromObjectCaseSensitive(params, "n");
	cJSON_DeleteItemFromObjectCaseSensitive(params, "by");
	cJSON_DeleteItemFromObjectCaseSensitive(params, "ascending");
	cJSON_AddNumberToObject(params, "limit", FLOWS_PAGE);
	if (cursor != NULL)
		cJSON_AddStringToObject(params, "cursor", cursor);
	return params;
}

static int read_pages(struct ctl *ctl, const struct ctl_args *args, struct best *best)
{
	char *cursor = NULL;
	int r;

	do {
		struct client_reply page;
		const char *next;

		r = client_call(ctl->client, "flows.list", list_params(args, cursor), &page);
		if (r != EXIT_DONE)
			break;
		r = best_add(best, page.result);
		next = member_text(page.result, "cursor", NULL);
		free(cursor);
		cursor = next != NULL ? strdup(next) : NULL;
		client_reply_free(&page);
	} while (r == EXIT_DONE && cursor != NULL);
	free(cursor);
	if (r == EXIT_DONE)
		best_cut(best);
	return r;
}

static int print_json_flows(const cJSON *flows, FILE *f)
{
	cJSON *result = cJSON_CreateObject();
	char *text;

	cJSON_AddItemReferenceToObject(result, "flows", (cJSON *)(uintptr_t)flows);
	cJSON_AddNullToObject(result, "cursor");
	text = frame_print_json(result);
	cJSON_Delete(result);
	if (text == NULL) {
		ctl_error("out of memory");
		return EXIT_ANSWERED_ERROR;
	}
	fprintf(f, "%s\n", text);
	free(text);
	return EXIT_DONE;
}

static enum rpc_flow_metric wanted_metric(const struct ctl_args *args)
{
	const char *by = member_text(
		args->params, "by", rpc_flow_metric_names[RPC_FLOW_METRIC_BYTES]);
	int i = 0;

	while (strcmp(rpc_flow_metric_names[i], by) != 0)
		i++; // the parser has let only these pass
	return (enum rpc_flow_metric)i;
}

static int draw_many(struct ctl *ctl, const struct ctl_args *args, FILE *f)
{
	struct best best = {
		.limit = (size_t)args_local(args, "limit")->valuedouble,
		.by = wanted_metric(args),
		.ascending = cJSON_IsTrue(member(args->params, "ascending")),
	};
	cJSON *flows = cJSON_CreateArray();
	int r = read_pages(ctl, args, &best);

	for (size_t i = 0; i < best.count; i++)
		cJSON_AddItemToArray(flows, best.rows[i]);
	free(best.rows);
	if (r == EXIT_DONE)
		r = ctl->json ? print_json_flows(flows, f)
		              : flows_table(ctl, args, flows, best.matched, f);
	cJSON_Delete(flows);
	return r;
}

int ctl_flows(struct ctl *ctl, const struct ctl_args *args)
{
	const cJSON *limit = args_local(args, "limit"), *n = member(args->params, "n");
	bool watch = args_switch(args, "watch");
	double rows = limit != NULL ? limit->valuedouble : FLOWS_DEFAULT;

	// Of --top and --limit the smaller rules, and alone is left: it is the one that shows more.
	if (n != NULL && (limit == NULL || n->valuedouble < rows)) {
		rows = n->valuedouble;
		cJSON_DeleteItemFromObjectCaseSensitive(args->local, "limit");
	} else if (limit == NULL) {
		cJSON_AddNumberToObject(args->local, "limit", rows);
	}
	if (rows > FLOWS_PAGE)
		return screen_run(ctl, args, watch, draw_many);
	cJSON_DeleteItemFromObjectCaseSensitive(args->params, "n");
	cJSON_AddNumberToObject(args->params, "n", rows);
	return screen_run(ctl, args, watch, draw_top);
}
