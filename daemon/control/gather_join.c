// SPDX-License-Identifier: Apache-2.0
// Many answers to one: sorted ones are merged, pages filled, flows that are there twice shown once.
// Thread: control.
//
// Workers are asked before the store, so that a flow that ends in between is seen twice rather than
// not at all; the copy that is still active is then left out.
#include "gather.h"

#include <errno.h>
#include <stdlib.h>

#include "hash.h"
#include "proto_methods.h"

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
			gather_cursor(g, cursor);
			json_string(&j, "cursor", cursor);
		}
		break;
	}
	json_object_end(&j);
	request_reply(g->request, &j);
	g->request = NULL;
	json_fini(&j);
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

void gather_pick_list(struct gather *g, const struct flow_query *q)
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

// All workers that were to be asked have answered.
void gather_finish(struct gather *g)
{
	unsigned active = g->picked_count;
	int rc = 0;

	if (g->q.kind == FLOW_QUERY_LIST) {
		if (g->source == g->workers && g->picked_count < g->q.limit) {
			rc = gather_ask_recent(g);
			if (rc == 0) {
				gather_pick_list(g, &g->queries[g->workers]);
				rc = drop_twins(g, active);
			}
		}
	} else if (g->q.ended) {
		rc = gather_ask_recent(g);
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
