// SPDX-License-Identifier: Apache-2.0
// Questions about flows: asked of the workers (active flows) and of the recent store (ended ones),
// the answers joined. Only a few run at a time, the others wait in a queue with a bound; a client
// that does not read its replies has its questions wait as well. Thread: control.
//
// A running question's memory belongs to the workers until they are done with it. If its request is
// gone by then (deadline, client gone, daemon stopping) the answer is thrown away.
//
// Workers are asked before the store, so that a flow that ends in between is seen twice rather than
// not at all; the copy that is still active is then left out.
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hash.h"
#include "log.h"
#include "proto_methods.h"

enum { CURSOR_SIZE = 2 + 8 + 16 };

struct gather {
	TAILQ_ENTRY(gather) entry;
	struct control *control;  // NULL: stopped
	struct rpc_call *request; // NULL: nobody waits for it any more
	struct flows_question q;  // its texts are not valid after the start
	int capture, app_proto;   // -1: all
	struct flow_filter *filter;
	uint64_t check; // what a cursor of this question must carry
	unsigned workers;
	struct flow_query *queries; // one a worker, and one for the recent store behind them
	struct flow_record *records;
	// list: where it goes on
	unsigned source; // worker, or workers for the recent store
	uint32_t next;
	// the records of the reply
	const struct flow_record **picked;
	unsigned picked_count;
	uint64_t matched;
};

static void gather_free(struct gather *g)
{
	if (g->queries != NULL)
		for (unsigned i = 0; i <= g->workers; i++)
			flow_query_fini(&g->queries[i]);
	free(g->queries);
	free(g->records);
	free(g->picked);
	flow_filter_free(g->filter);
	free(g);
}

// --- Cursors: source, position, and a mark that ties them to question and run of the daemon ---

static uint64_t mark(const struct gather *g, unsigned source, uint32_t next)
{
	return hash_2(&hash_fixed, g->check, (uint64_t)source << 32 | next);
}

static void cursor_write(const struct gather *g, char text[CURSOR_SIZE + 1])
{
	snprintf(text, CURSOR_SIZE + 1, "%02x%08x%016llx", g->source & 0xff, (unsigned)g->next,
		(unsigned long long)mark(g, g->source, g->next));
}

static bool cursor_read(struct gather *g, const char *text)
{
	unsigned source, next;
	unsigned long long m;

	if (strlen(text) != CURSOR_SIZE || strspn(text, "0123456789abcdef") != CURSOR_SIZE ||
		sscanf(text, "%2x%8x%16llx", &source, &next, &m) != 3 || source > g->workers ||
		m != mark(g, source, next))
		return false;
	g->source = source;
	g->next = next;
	return true;
}

static uint64_t hash_text(uint64_t h, const char *text)
{
	return hash_2(&hash_fixed, h, text != NULL ? hash_bytes(&hash_fixed, text, strlen(text)) : 0);
}

static uint64_t check_of(const struct control *c, const struct flows_question *q)
{
	uint64_t h = hash_2(&hash_fixed, c->nonce, (uint64_t)q->active << 1 | q->ended);

	return hash_text(hash_text(hash_text(h, q->capture), q->filter), q->app);
}

// --- The answer ---

// Flows of the ended side, to leave out their active copies: an open hash of record pointers.
struct seen {
	const struct flow_record **slot;
	size_t mask;
};

static size_t seen_at(const struct seen *s, const struct flow_record *r)
{
	size_t at = (size_t)hash_2(&hash_fixed, r->flow_id, r->part_no) & s->mask;

	while (s->slot[at] != NULL &&
		(s->slot[at]->flow_id != r->flow_id || s->slot[at]->part_no != r->part_no))
		at = (at + 1) & s->mask;
	return at;
}

static bool seen_init(struct seen *s, const struct flow_query *q)
{
	size_t size = 16;

	while (size < 2 * (size_t)q->count)
		size *= 2;
	s->mask = size - 1;
	s->slot = calloc(size, sizeof(struct flow_record *));
	if (s->slot == NULL)
		return false;
	for (unsigned i = 0; i < q->count; i++)
		s->slot[seen_at(s, &q->results[i])] = &q->results[i];
	return true;
}

static void write_records(const struct gather *g, struct json *j)
{
	json_array(j, "flows");
	for (unsigned i = 0; i < g->picked_count; i++)
		eve_flow(j, g->picked[i]);
	json_array_end(j);
}

static void write_flow(const struct flow_record *r, struct json *j)
{
	struct json one;

	json_init(&one);
	eve_flow(&one, r);
	if (one.failed)
		j->failed = true;
	else
		json_raw(j, "flow", one.text, one.size);
	json_fini(&one);
}

static void gather_reply(struct gather *g)
{
	char cursor[CURSOR_SIZE + 1];
	struct json j;

	json_init(&j);
	json_object(&j, NULL);
	switch (g->q.kind) {
	case FLOW_QUERY_GET:
		write_flow(g->picked[0], &j);
		break;
	case FLOW_QUERY_TOP:
		write_records(g, &j);
		if (g->request->method == PROTO_FLOWS_LIST)
			json_null(&j, "cursor");
		else
			json_uint(&j, "matched", g->matched);
		break;
	case FLOW_QUERY_LIST:
		write_records(g, &j);
		if (g->source > g->workers) {
			json_null(&j, "cursor");
		} else {
			cursor_write(g, cursor);
			json_string(&j, "cursor", cursor);
		}
		break;
	}
	json_object_end(&j);
	request_reply(g->request, &j);
	g->request = NULL;
	json_fini(&j);
}

// --- Asking ---

static void query_set(struct gather *g, unsigned at, enum flow_query_kind kind, unsigned limit,
	struct flow_record *results)
{
	struct flow_query *q = &g->queries[at];

	flow_query_fini(q);
	*q = (struct flow_query){
		.kind = kind,
		.metric = g->q.metric >= 0 ? (enum flow_metric)g->q.metric : FLOW_BY_BYTES,
		.ascending = g->q.ascending,
		.capture = g->capture,
		.app_proto = g->app_proto,
		.flow_id = g->q.flow_id,
		.filter = g->filter,
		.limit = limit,
		.results = results,
	};
}

// One page's next step: the worker at the cursor fills what is left of the page; the others, asked
// along because a question always goes to all, have nothing to do.
static void set_list(struct gather *g)
{
	for (unsigned w = 0; w < g->workers; w++) {
		query_set(g, w, FLOW_QUERY_LIST, 0, g->records);
		g->queries[w].next = UINT32_MAX;
	}
	g->queries[g->source].limit = g->q.limit - g->picked_count;
	g->queries[g->source].results = g->records + g->picked_count;
	g->queries[g->source].next = g->next;
}

static int ask_workers(struct gather *g, void (*done)(void *))
{
	int rc = 0;

	if (g->q.kind == FLOW_QUERY_LIST)
		set_list(g);
	else
		for (unsigned w = 0; w < g->workers; w++)
			query_set(g, w, g->q.kind, g->q.limit,
				g->records + (size_t)w * g->q.limit);
	for (unsigned w = 0; w < g->workers && rc == 0; w++)
		rc = flow_query_init(&g->queries[w]);
	if (rc == 0)
		rc = workers_query(g->control->config.workers, g->queries, done, g);
	return rc;
}

static int ask_recent(struct gather *g)
{
	unsigned at = g->workers;
	bool list = g->q.kind == FLOW_QUERY_LIST;
	int rc;

	query_set(g, at, g->q.kind, list ? g->q.limit - g->picked_count : g->q.limit,
		g->records + (list ? g->picked_count : (size_t)at * g->q.limit));
	g->queries[at].next = list ? g->next : 0;
	rc = flow_query_init(&g->queries[at]);
	if (rc == 0)
		export_recent_query(g->control->config.export, &g->queries[at]);
	return rc;
}

// --- Joining ---

static void finish_get(struct gather *g)
{
	for (unsigned i = 0; i <= g->workers && g->picked_count == 0; i++)
		if (g->queries[i].count > 0)
			g->picked[g->picked_count++] = &g->queries[i].results[0];
	if (g->picked_count > 0) {
		gather_reply(g);
	} else {
		request_fail(g->request, RPC_NOT_FOUND,
			"flow_id: no flow has the id %llu, or it ended too long ago to be "
			"remembered",
			(unsigned long long)g->q.flow_id);
		g->request = NULL;
	}
}

// Equal ones in the order of their ids, as in the answers, so that it does not matter which worker
// had which.
static bool goes_before(const struct gather *g, const struct flow_record *a, double va,
	const struct flow_record *b, double vb)
{
	if (va != vb)
		return g->q.ascending ? va < vb : va > vb;
	return a->flow_id < b->flow_id;
}

static int compare_picked(const void *a, const void *b, void *ctx)
{
	const struct gather *g = ctx;
	const struct flow_record *x = *(const struct flow_record *const *)a;
	const struct flow_record *y = *(const struct flow_record *const *)b;
	enum flow_metric metric = (enum flow_metric)g->q.metric;
	double vx = flow_metric_of(x, metric), vy = flow_metric_of(y, metric);

	return goes_before(g, x, vx, y, vy) ? -1 : goes_before(g, y, vy, x, vx) ? 1 : 0;
}

// The next of a worker's answers that has not ended in the meantime.
static unsigned skip_twins(
	struct gather *g, const struct flow_query *q, unsigned at, const struct seen *seen)
{
	while (at < q->count && seen->slot[seen_at(seen, &q->results[at])] != NULL) {
		at++;
		g->matched--;
	}
	return at;
}

// Takes the best of the sorted answers until the reply is full.
static int merge_top(struct gather *g)
{
	unsigned at[WORKERS_MAX + 1] = {0};
	struct flow_query *recent = &g->queries[g->workers];
	struct seen seen;

	if (!seen_init(&seen, recent))
		return -ENOMEM;
	for (unsigned i = 0; i <= g->workers; i++)
		g->matched += g->queries[i].matched;
	while (g->picked_count < g->q.limit) {
		const struct flow_record *best = NULL;
		double best_value = 0;
		unsigned from = 0;

		for (unsigned i = 0; i <= g->workers; i++) {
			const struct flow_query *q = &g->queries[i];
			const struct flow_record *r;
			double v;

			if (i < g->workers)
				at[i] = skip_twins(g, q, at[i], &seen);
			if (at[i] >= q->count)
				continue;
			r = &q->results[at[i]];
			v = flow_metric_of(r, q->metric);
			if (best == NULL || goes_before(g, r, v, best, best_value)) {
				best = r;
				best_value = v;
				from = i;
			}
		}
		if (best == NULL)
			break;
		g->picked[g->picked_count++] = best;
		at[from]++;
	}
	// flows went on while they were looked at: the order of the answers may be a little old
	qsort_r(g->picked, g->picked_count, sizeof(*g->picked), compare_picked, g);
	free(seen.slot);
	return 0;
}

// A page that reaches from the workers into the store: flows that ended in between are shown once.
static int drop_twins(struct gather *g, unsigned active)
{
	unsigned kept = 0;
	struct seen seen;

	if (active == 0)
		return 0;
	if (!seen_init(&seen, &g->queries[g->workers]))
		return -ENOMEM;
	for (unsigned i = 0; i < g->picked_count; i++)
		if (i >= active || seen.slot[seen_at(&seen, g->picked[i])] == NULL)
			g->picked[kept++] = g->picked[i];
	g->picked_count = kept;
	free(seen.slot);
	return 0;
}

static void pick_list(struct gather *g, const struct flow_query *q)
{
	for (unsigned i = 0; i < q->count; i++)
		g->picked[g->picked_count++] = &q->results[i];
	g->next = q->next;
	if (q->next == UINT32_MAX) {
		g->source++;
		g->next = 0;
	}
	if (g->source == g->workers && !g->q.ended)
		g->source++; // past the end
}

static bool list_wants_workers(const struct gather *g)
{
	return g->q.active && g->source < g->workers && g->picked_count < g->q.limit;
}

// All workers that were to be asked have answered.
static void gather_finish(struct gather *g)
{
	unsigned active = g->picked_count;
	int rc = 0;

	if (g->q.kind == FLOW_QUERY_LIST) {
		if (g->source == g->workers && g->picked_count < g->q.limit) {
			rc = ask_recent(g);
			if (rc == 0) {
				pick_list(g, &g->queries[g->workers]);
				rc = drop_twins(g, active);
			}
		}
	} else if (g->q.ended) {
		rc = ask_recent(g);
	}
	if (rc == 0 && g->q.kind == FLOW_QUERY_TOP)
		rc = merge_top(g);
	if (rc < 0) {
		request_fail(g->request, RPC_INTERNAL_ERROR, "no memory for the answer");
		g->request = NULL;
	} else if (g->q.kind == FLOW_QUERY_GET) {
		finish_get(g);
	} else {
		gather_reply(g);
	}
}

// --- Running ---

static bool gather_allocate(struct gather *g)
{
	size_t records = g->q.limit;

	if (g->q.kind != FLOW_QUERY_LIST)
		records *= g->workers + 1;
	g->queries = calloc(g->workers + 1, sizeof(*g->queries));
	g->records = malloc(records * sizeof(*g->records));
	g->picked = calloc(g->q.limit, sizeof(*g->picked));
	return g->queries != NULL && g->records != NULL && g->picked != NULL;
}

static void gather_answered(void *ctx);

static void running_begin(struct control *c, struct gather *g)
{
	TAILQ_INSERT_TAIL(&c->gathers_running, g, entry);
	c->count[COUNT_queries_running]++;
	g->request->session->querying = true;
}

static void running_end(struct control *c, struct gather *g)
{
	TAILQ_REMOVE(&c->gathers_running, g, entry);
	c->count[COUNT_queries_running]--;
	if (g->request != NULL)
		g->request->session->querying = false;
}

static void wait_again(struct control *c, struct gather *g)
{
	TAILQ_INSERT_HEAD(&c->gathers_waiting, g, entry);
	c->count[COUNT_queries_waiting]++;
}

// Returns false when the workers take no more questions now; then it waits.
static bool gather_run(struct control *c, struct gather *g)
{
	int rc = g->queries != NULL || gather_allocate(g) ? 0 : -ENOMEM;

	if (rc == 0 && (g->q.kind == FLOW_QUERY_LIST ? list_wants_workers(g) : g->q.active)) {
		rc = ask_workers(g, gather_answered);
		if (rc == 0) {
			running_begin(c, g);
			return true;
		}
		if (rc == -EBUSY && !TAILQ_EMPTY(&c->gathers_running)) {
			wait_again(c, g);
			return false;
		}
	}
	if (rc == 0)
		gather_finish(g);
	else if (rc == -EBUSY)
		request_fail_busy(g->request, COUNT_busy_queries,
			"the workers have as many questions as they take");
	else
		request_fail(g->request, RPC_INTERNAL_ERROR, "no memory for the question");
	gather_free(g);
	return true;
}

static void gather_answered(void *ctx)
{
	struct gather *g = ctx;
	struct control *c = g->control;

	if (c == NULL) {
		gather_free(g);
		return;
	}
	running_end(c, g);
	if (g->request == NULL) {
		gather_free(g);
	} else {
		if (g->q.kind == FLOW_QUERY_LIST)
			pick_list(g, &g->queries[g->source]);
		if (g->q.kind == FLOW_QUERY_LIST && list_wants_workers(g)) {
			gather_run(c, g);
		} else {
			gather_finish(g);
			gather_free(g);
		}
	}
	gather_pump(c);
}

// The first in the queue whose client has no other query running and reads its replies: so nobody
// has more than one large reply to come.
static struct gather *first_ready(struct control *c)
{
	struct gather *g;

	TAILQ_FOREACH (g, &c->gathers_waiting, entry) {
		const struct session *s = g->request->session;

		if (!s->querying && !session_is_congested(s))
			break;
	}
	return g;
}

void gather_pump(struct control *c)
{
	struct gather *g;

	while (c->count[COUNT_queries_running] < QUERIES_RUNNING_MAX &&
		(g = first_ready(c)) != NULL) {
		TAILQ_REMOVE(&c->gathers_waiting, g, entry);
		c->count[COUNT_queries_waiting]--;
		if (!gather_run(c, g))
			break;
	}
}

// The request has been ended (deadline) or lost its client.
static void gather_abandon(void *owner)
{
	struct gather *g = owner;
	struct control *c = g->control;
	struct gather *waiting;

	TAILQ_FOREACH (waiting, &c->gathers_waiting, entry)
		if (waiting == g)
			break;
	if (waiting == NULL) { // the workers have it
		if (g->request->session != NULL)
			g->request->session->querying = false;
		g->request = NULL;
		return;
	}
	TAILQ_REMOVE(&c->gathers_waiting, g, entry);
	c->count[COUNT_queries_waiting]--;
	gather_free(g);
}

// --- Starting ---

// Turns the question's texts into what a query takes. Returns false when the request has been ended.
static bool gather_prepare(struct control *c, struct gather *g, struct rpc_call *request)
{
	const struct flows_question *q = &g->q;
	char error[512] = "";

	g->capture = -1;
	g->app_proto = -1;
	if (q->capture != NULL) {
		g->capture = captures_find(c->config.workers, q->capture);
		if (g->capture < 0) {
			request_fail(request, RPC_NOT_FOUND,
				"capture: no capture is named '%s'; capture.list shows them",
				q->capture);
			return false;
		}
	}
	if (q->app != NULL) {
		// no application is told apart yet: all flows have app_proto unknown
		if (strcmp(q->app, "unknown") != 0) {
			request_fail(request, RPC_INVALID_PARAMS,
				"app: got '%s', accepts unknown", q->app);
			return false;
		}
		g->app_proto = 0;
	}
	if (flow_filter_parse(q->filter, &g->filter, error, sizeof(error)) < 0) {
		request_fail(request, RPC_INVALID_PARAMS, "filter: %s", error);
		return false;
	}
	g->check = check_of(c, q);
	if (q->cursor != NULL) {
		if (!cursor_read(g, q->cursor)) {
			request_fail(request, RPC_INVALID_PARAMS,
				"cursor: got '%s', accepts the cursor of the page before, with the "
				"same state, capture, filter and app",
				q->cursor);
			return false;
		}
	} else if (!q->active) {
		g->source = g->workers;
	}
	return true;
}

void gather_start(struct rpc_call *request, const struct flows_question *q)
{
	struct control *c = request->control;
	struct gather *g;

	if (c->count[COUNT_queries_waiting] >= QUERIES_WAITING_MAX) {
		request_fail_busy(request, COUNT_busy_queries, "too many flow queries wait");
		return;
	}
	g = calloc(1, sizeof(*g));
	if (g == NULL) {
		request_fail(request, RPC_INTERNAL_ERROR, "no memory for the question");
		return;
	}
	g->control = c;
	g->q = *q;
	g->workers = workers_count(c->config.workers);
	if (!gather_prepare(c, g, request)) {
		gather_free(g);
		return;
	}
	g->request = request;
	g->q.capture = g->q.filter = g->q.app = g->q.cursor = NULL;
	request_pend(request, g, gather_abandon);
	TAILQ_INSERT_TAIL(&c->gathers_waiting, g, entry);
	c->count[COUNT_queries_waiting]++;
	gather_pump(c);
}

void gather_fini(struct control *c)
{
	struct gather *g;

	while ((g = TAILQ_FIRST(&c->gathers_waiting)) != NULL) {
		TAILQ_REMOVE(&c->gathers_waiting, g, entry);
		gather_free(g);
	}
	while ((g = TAILQ_FIRST(&c->gathers_running)) != NULL) {
		TAILQ_REMOVE(&c->gathers_running, g, entry);
		g->control = NULL; // the workers' answer frees it
	}
}
