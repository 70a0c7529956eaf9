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

enum { STEP_COST = 32 }; // of an entry, where more than its class of bytes is looked at

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

static double metric(
	enum flow_metric metric, double bytes, double pkts, uint64_t first_ns, uint64_t last_ns)
{
	switch (metric) {
	case FLOW_BY_BYTES:
		return bytes;
	case FLOW_BY_PACKETS:
		return pkts;
	case FLOW_BY_THROUGHPUT:
		return throughput(bytes, (double)(last_ns - first_ns));
	case FLOW_BY_DURATION:
		return (double)(last_ns - first_ns);
	case FLOW_BY_START:
		return (double)first_ns;
	case FLOW_BY_LAST_SEEN:
		return (double)last_ns;
	case FLOW_BY_SCORE:
		return 0;
	}
	return 0;
}

double flow_metric_of(const struct flow_record *r, enum flow_metric by)
{
	return metric(by, (double)(r->direction[0].bytes + r->direction[1].bytes),
		(double)(r->direction[0].pkts + r->direction[1].pkts), r->first_ns, r->last_ns);
}

static inline bool is_by_time(enum flow_metric by)
{
	return by != FLOW_BY_BYTES && by != FLOW_BY_PACKETS && by != FLOW_BY_SCORE;
}

// With what is still in the log.
static double metric_at(const struct flow_table *t, uint32_t i, enum flow_metric by)
{
	const struct flow_hot *h = &t->hot[i];
	const struct flow_stats *s = &t->stats[2 * i];
	uint64_t first_ns = 0, last_ns = 0, bytes = 0, pkts = h->log_count;

	for (unsigned k = 0; k < h->log_count; k++)
		bytes += h->log_size[k];
	for (unsigned d = 0; d < 2; d++)
		if (t->turn[i].marks & FLOW_COUNTS << d) {
			bytes += s[d].bytes;
			pkts += s[d].pkts;
		}
	if (is_by_time(by))
		flow_times(t, i, &first_ns, &last_ns);
	return metric(by, (double)bytes, (double)pkts, first_ns, last_ns);
}

// What a question reads of a flow, beside its hot line; asked for before its turn.
static inline void prefetch_figures(const struct flow_table *t, uint32_t i, bool by_time)
{
	if (i > t->capacity)
		return;
	prefetch(&t->turn[i]);
	prefetch(&t->stats[2 * i]);
	prefetch(&t->stats[2 * i + 1]);
	if (by_time)
		prefetch(&t->cold[i]);
}

// The same for a question with a filter.
static inline void prefetch_tuple(const struct flow_table *t, uint32_t i)
{
	if (i <= t->capacity)
		prefetch(&t->ends[i]);
}

static bool is_wanted(const struct flow_table *t, uint32_t i, const struct flow_query *q)
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
			flow_peek(t, h->entry[k].index, &q->results[q->count++]);
}

// Whether a flow is good enough to be noted: few are, once the heap is full, and only these are worth
// a look at the cold part.
static inline bool heap_wants(
	const struct flow_heap *h, unsigned limit, const struct flow_candidate *c)
{
	return h->count < limit || (limit > 0 && is_worse(&h->entry[0], c));
}

static void top_offer(const struct flow_table *t, struct flow_query *q, struct flow_candidate *c)
{
	if (q->ascending)
		c->value = -c->value;
	if (!heap_wants(q->heap, q->limit, c))
		return;
	c->flow_id = flow_id_of(t, c->index);
	heap_offer(q->heap, q->limit, c);
}

// The usual question: the most bytes of all flows. The classes of bytes, one byte a flow, tell which
// flows can be among them, and only those are looked at: it runs between bursts, and packets wait
// meanwhile.
static bool is_largest_of_all(const struct flow_query *q)
{
	return q->kind == FLOW_QUERY_TOP && q->metric == FLOW_BY_BYTES && !q->ascending &&
	       q->filter == NULL && q->app_proto < 0 && q->capture < 0 && q->limit > 0;
}

// The lowest class that may hold more than the worst of a full heap, with what is still in the log.
static uint8_t least_class(const struct flow_table *t, const struct flow_query *q)
{
	const struct flow_heap *h = q->heap;
	double least;

	if (h->count < q->limit)
		return 1;
	least = h->entry[0].value - (double)FLOW_LOG_PKTS * t->size_largest;
	return least > 0 ? flow_volume_class((uint64_t)least) : 1;
}

static void top_step_largest(const struct flow_table *t, struct flow_query *q, uint32_t to)
{
	uint8_t least = least_class(t, q);
	uint64_t matched = 0;

	for (uint32_t i = q->next; i < to; i++) {
		uint8_t class = t->volume[i];
		struct flow_candidate c;

		matched += class != 0;
		if (__builtin_expect(class < least, 1))
			continue;
		c = (struct flow_candidate){.value = metric_at(t, i, q->metric), .index = i};
		top_offer(t, q, &c);
		least = least_class(t, q);
	}
	q->matched += matched;
	q->next = to;
}

static void top_step(const struct flow_table *t, struct flow_query *q, uint32_t to)
{
	if (is_largest_of_all(q)) {
		top_step_largest(t, q, to);
		return;
	}
	for (uint32_t i = q->next; i < to; i++) {
		struct flow_candidate c = {.index = i};

		prefetch(&t->hot[i + 16]);
		prefetch_figures(t, i + 8, is_by_time(q->metric));
		if (q->filter != NULL)
			prefetch_tuple(t, i + 8);
		if (!is_wanted(t, i, q))
			continue;
		q->matched++;
		c.value = metric_at(t, i, q->metric);
		top_offer(t, q, &c);
	}
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
		flow_peek(t, i, &q->results[q->count++]);
		if (q->count == q->limit || q->kind == FLOW_QUERY_GET)
			return true;
	}
	q->next = to;
	return false;
}

bool flow_query_step(struct flow_table *t, struct flow_query *q, unsigned budget)
{
	uint32_t to;

	if (!is_largest_of_all(q))
		budget = budget / STEP_COST + 1;
	if (q->next == 0)
		q->next = 1;
	if (q->kind != FLOW_QUERY_TOP && q->limit == 0)
		return true;
	to = q->next < t->fresh && t->fresh - q->next > budget ? q->next + budget : t->fresh;
	if (q->next < to) {
		if (q->kind == FLOW_QUERY_TOP)
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
