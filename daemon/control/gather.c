// SPDX-License-Identifier: Apache-2.0
// Questions about flows: asked of the workers (active flows) and of the recent store (ended ones),
// the answers joined. Only a few run at a time, the others wait in a queue with a bound; a client
// that does not read its replies has its questions wait as well. Thread: control.
//
// A running question's memory belongs to the workers until they are done with it. If its request is
// gone by then (deadline, client gone, daemon stopping) the answer is thrown away.
#include "gather.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "hash.h"
#include "log.h"
#include "proto_methods.h"

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

void gather_cursor(const struct gather *g, char text[CURSOR_SIZE + 1])
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
	return hash_2(
		&hash_fixed, h, text != NULL ? hash_bytes(&hash_fixed, text, strlen(text)) : 0);
}

static uint64_t check_of(const struct control *c, const struct flows_question *q)
{
	uint64_t h = hash_2(&hash_fixed, c->nonce, (uint64_t)q->active << 1 | q->ended);

	return hash_text(hash_text(hash_text(h, q->capture), q->filter), q->app);
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
			query_set(g, w, g->q.kind, g->q.limit, g->records + (size_t)w * g->q.limit);
	for (unsigned w = 0; w < g->workers && rc == 0; w++)
		rc = flow_query_init(&g->queries[w]);
	if (rc == 0)
		rc = workers_query(g->control->config.workers, g->queries, done, g);
	return rc;
}

int gather_ask_recent(struct gather *g)
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

static bool list_wants_workers(const struct gather *g)
{
	return g->q.active && g->source < g->workers && g->picked_count < g->q.limit;
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
			gather_pick_list(g, &g->queries[g->source]);
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
			request_fail(request, RPC_INVALID_PARAMS, "app: got '%s', accepts unknown",
				q->app);
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
