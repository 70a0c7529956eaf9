// SPDX-License-Identifier: Apache-2.0
// Questions to a table, answered in steps between bursts: entries are looked at in the order of their
// indices, which never change, so a flow that lives throughout is seen exactly once. The best of a top
// query are kept in a heap of keys only and read out at the end; what ended meanwhile is left out (it
// is among the ended flows then).
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "flow_internal.h"
#include "prefetch.h"

enum { FLOW_VOLUME_BUDGET = 16 }; // classes of bytes that cost no more than one entry

struct flow_candidate {
	double value;
	uint64_t flow_id;
	uint32_t index;
};

struct flow_heap { // the worst on top
	unsigned count;
	struct flow_candidate entry[];
};

int flow_query_init(struct flow_query *q)
{
	q->count = 0;
	q->matched = 0;
	q->heap = NULL;
	if (q->kind != FLOW_QUERY_TOP)
		return 0;
	q->next = 0;
	q->heap = malloc(
		sizeof(struct flow_heap) + ((size_t)q->limit + 1) * sizeof(struct flow_candidate));
	if (q->heap == NULL)
		return -ENOMEM;
	((struct flow_heap *)q->heap)->count = 0;
	return 0;
}

void flow_query_fini(struct flow_query *q)
{
	free(q->heap);
	q->heap = NULL;
}

static double throughput(double bytes, double duration_ns)
{
	return duration_ns > 0 ? bytes * 8e9 / duration_ns : 0;
}

double flow_metric_of(const struct flow_record *r, enum flow_metric metric)
{
	double bytes = (double)(r->direction[0].bytes + r->direction[1].bytes);

	switch (metric) {
	case FLOW_BY_BYTES:
		return bytes;
	case FLOW_BY_PACKETS:
		return (double)(r->direction[0].pkts + r->direction[1].pkts);
	case FLOW_BY_THROUGHPUT:
		return throughput(bytes, (double)(r->last_ns - r->first_ns));
	case FLOW_BY_DURATION:
		return (double)(r->last_ns - r->first_ns);
	case FLOW_BY_START:
		return (double)r->first_ns;
	case FLOW_BY_LAST_SEEN:
		return (double)r->last_ns;
	case FLOW_BY_SCORE:
		return 0;
	}
	return 0;
}

static double metric_at(struct flow_table *t, uint32_t i, enum flow_metric metric)
{
	const struct flow_stats *s = &t->stats[2 * i];
	struct flow_record r;

	if (metric == FLOW_BY_BYTES || metric == FLOW_BY_PACKETS) {
		uint64_t sum = 0;

		flow_sync(t, i);
		for (unsigned d = 0; d < 2; d++)
			if (t->turn[i].marks & FLOW_COUNTS << d)
				sum += metric == FLOW_BY_BYTES ? s[d].bytes : s[d].pkts;
		return (double)sum;
	}
	flow_snapshot(t, i, &r);
	return flow_metric_of(&r, metric);
}

static inline bool is_wanted(const struct flow_table *t, uint32_t i, const struct flow_query *q)
{
	const struct flow_hot *h = &t->hot[i];
	struct flow_tuple tuple;

	if (h->word[0] == 0 || (q->capture >= 0 && flow_capture_of(h) != q->capture))
		return false;
	if (q->app_proto >= 0 && t->cold[i].app_proto != q->app_proto)
		return false;
	if (q->filter == NULL)
		return true;
	flow_tuple_of(t, i, &tuple);
	return flow_filter_match(q->filter, &tuple);
}

// Of two equal ones the lower index is better, so that the answer does not depend on the steps.
static bool is_worse(const struct flow_candidate *x, const struct flow_candidate *y)
{
	return x->value != y->value ? x->value < y->value : x->index > y->index;
}

static void sift_down(struct flow_heap *h, unsigned at)
{
	for (;;) {
		unsigned child = 2 * at + 1, worst = at;
		struct flow_candidate swap;

		for (unsigned k = child; k < child + 2 && k < h->count; k++)
			if (is_worse(&h->entry[k], &h->entry[worst]))
				worst = k;
		if (worst == at)
			return;
		swap = h->entry[at];
		h->entry[at] = h->entry[worst];
		h->entry[worst] = swap;
		at = worst;
	}
}

static void heap_offer(struct flow_heap *h, unsigned limit, const struct flow_candidate *c)
{
	unsigned at;

	if (h->count == limit) {
		if (limit == 0 || !is_worse(&h->entry[0], c))
			return;
		h->entry[0] = *c;
		sift_down(h, 0);
		return;
	}
	at = h->count++;
	h->entry[at] = *c;
	while (at > 0 && is_worse(&h->entry[at], &h->entry[(at - 1) / 2])) {
		struct flow_candidate swap = h->entry[at];

		h->entry[at] = h->entry[(at - 1) / 2];
		h->entry[(at - 1) / 2] = swap;
		at = (at - 1) / 2;
	}
}

static int best_first(const void *a, const void *b)
{
	return is_worse(a, b) ? 1 : is_worse(b, a) ? -1 : 0;
}

static bool is_still_there(const struct flow_table *t, const struct flow_candidate *c)
{
	return t->hot[c->index].word[0] != 0 && flow_id_of(t, c->index) == c->flow_id;
}

static void read_out(struct flow_table *t, struct flow_query *q)
{
	struct flow_heap *h = q->heap;

	// They have counted on since they were looked at: sorted by what the records will say.
	for (unsigned k = 0; k < h->count; k++) {
		struct flow_candidate *c = &h->entry[k];

		if (!is_still_there(t, c))
			continue;
		c->value = metric_at(t, c->index, q->metric);
		if (q->ascending)
			c->value = -c->value;
	}
	qsort(h->entry, h->count, sizeof(h->entry[0]), best_first);
	for (unsigned k = 0; k < h->count; k++)
		if (is_still_there(t, &h->entry[k]))
			flow_snapshot(t, h->entry[k].index, &q->results[q->count++]);
}

static void top_offer(struct flow_table *t, struct flow_query *q, uint32_t i)
{
	struct flow_candidate c = {.index = i, .value = metric_at(t, i, q->metric)};
	struct flow_heap *h = q->heap;

	if (q->ascending)
		c.value = -c.value;
	// The flow's name is in a line of its own.
	if (h->count == q->limit && (q->limit == 0 || !is_worse(&h->entry[0], &c)))
		return;
	c.flow_id = flow_id_of(t, i);
	heap_offer(h, q->limit, &c);
}

static void top_step(struct flow_table *t, struct flow_query *q, uint32_t to)
{
	for (uint32_t i = q->next; i < to; i++) {
		prefetch(&t->hot[i + 8]);
		if (!is_wanted(t, i, q))
			continue;
		q->matched++;
		top_offer(t, q, i);
	}
	q->next = to;
}

// --- The usual question: the most bytes of all flows ---
//
// The classes of bytes, one byte a flow, tell which flows can be among them; only those are looked at.

static bool is_by_volume(const struct flow_query *q)
{
	return q->kind == FLOW_QUERY_TOP && q->metric == FLOW_BY_BYTES && !q->ascending &&
	       q->filter == NULL && q->app_proto < 0 && q->capture < 0;
}

// The lowest class that may hold more than the worst of a full heap, with what is still in the log.
static uint8_t least_class(const struct flow_table *t, const struct flow_query *q)
{
	const struct flow_heap *h = q->heap;
	double slack = (double)FLOW_LOG_PKTS * t->size_largest, least;

	if (h->count < q->limit)
		return 1;
	if (q->limit == 0)
		return FLOW_VOLUME_LAST;
	least = h->entry[0].value - slack;
	return least > 0 ? flow_volume_class((uint64_t)least) : 1;
}

static void volume_step(struct flow_table *t, struct flow_query *q, uint32_t to)
{
	uint8_t least = least_class(t, q);
	uint64_t matched = 0;

	for (uint32_t i = q->next; i < to; i++) {
		uint8_t class = t->volume[i];

		matched += class != 0;
		if (__builtin_expect(class < least, 1))
			continue;
		top_offer(t, q, i);
		least = least_class(t, q);
	}
	q->matched += matched;
	q->next = to;
}

// Returns true when the page is full.
static bool list_step(struct flow_table *t, struct flow_query *q, uint32_t to)
{
	for (uint32_t i = q->next; i < to; i++) {
		q->next = i + 1;
		if (!is_wanted(t, i, q))
			continue;
		if (q->kind == FLOW_QUERY_GET && flow_id_of(t, i) != q->flow_id)
			continue;
		q->matched++;
		flow_snapshot(t, i, &q->results[q->count++]);
		if (q->count == q->limit || q->kind == FLOW_QUERY_GET)
			return true;
	}
	q->next = to;
	return false;
}

bool flow_query_step(struct flow_table *t, struct flow_query *q, unsigned budget)
{
	bool by_volume = is_by_volume(q);
	uint32_t to;

	if (q->next == 0)
		q->next = 1;
	if (by_volume)
		budget *= FLOW_VOLUME_BUDGET;
	if (q->kind != FLOW_QUERY_TOP && q->limit == 0)
		return true;
	to = q->next < t->fresh && t->fresh - q->next > budget ? q->next + budget : t->fresh;
	if (q->next < to) {
		if (by_volume)
			volume_step(t, q, to);
		else if (q->kind == FLOW_QUERY_TOP)
			top_step(t, q, to);
		else if (list_step(t, q, to))
			return true;
	}
	if (q->next < t->fresh)
		return false;
	q->next = UINT32_MAX;
	if (q->kind == FLOW_QUERY_TOP)
		read_out(t, q);
	return true;
}
