// SPDX-License-Identifier: Apache-2.0
// The recent store (recent.h has its shape): adding, forgetting, and the queries that walk over it.
#include "recent.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
	SEGMENT_MIN_BYTES = 4096,
	SEGMENT_MAX_BYTES = 256 << 10,
	SEGMENTS = 64, // that a store is cut into, where their size allows it
};

// A cursor is a flow's number, folded to 32 bits, plus 1: 0 begins and UINT32_MAX ends.
#define CURSOR_FOLD (UINT64_C(0xfffffffe))

struct entry {
	uint16_t size;     // with this head, multiple of 8
	uint8_t forgotten; // control
	uint8_t unused[5];
	// follows: a struct flow_record, without the packets of its sequence that it does not have
};

struct segment {
	uint64_t first;         // number of its first flow
	uint32_t used;          // tail: bytes
	_Atomic uint32_t count; // tail writes, control reads: flows that are whole
	uint32_t forgotten;     // by control, under the lock
	uint16_t pins;          // under the lock
	bool orphan;            // under the lock: off the list
	_Alignas(8) uint8_t bytes[];
};

struct recent {
	size_t segment_bytes;
	uint64_t segments_max;
	pthread_mutex_t lock;
	// under the lock: segments low to high - 1 are in the list, number n in list[n % segments_max]
	uint64_t low, high;
	struct segment **list;
	uint64_t forgotten; // flows that made room
	uint64_t removed;   // flows that recent_forget took
	// tail writes
	uint64_t next; // number of the next flow
	struct segment *open;
	_Atomic uint64_t added;
	_Atomic uint64_t refused; // no memory or too large
};

struct recent *recent_new(uint64_t bytes)
{
	struct recent *s = calloc(1, sizeof(*s));
	uint64_t size = bytes / SEGMENTS & ~UINT64_C(7);

	if (s == NULL)
		return NULL;
	if (size < SEGMENT_MIN_BYTES)
		size = SEGMENT_MIN_BYTES;
	if (size > SEGMENT_MAX_BYTES)
		size = SEGMENT_MAX_BYTES;
	s->segment_bytes = size;
	s->segments_max = bytes / size;
	pthread_mutex_init(&s->lock, NULL);
	s->list = calloc(s->segments_max + 1, sizeof(*s->list));
	if (s->list == NULL) {
		recent_free(s);
		return NULL;
	}
	return s;
}

void recent_free(struct recent *s)
{
	if (s == NULL)
		return;
	for (uint64_t i = s->low; i < s->high; i++)
		free(s->list[i % s->segments_max]);
	pthread_mutex_destroy(&s->lock);
	free(s->list);
	free(s);
}

// --- Adding: tail ---

// Takes the oldest segment off the list; its flows are forgotten. Returns its memory, or NULL where
// control is reading it and will free it. Under the lock.
static struct segment *drop_oldest(struct recent *s)
{
	struct segment *old = s->list[s->low++ % s->segments_max];

	s->forgotten += atomic_load_explicit(&old->count, memory_order_relaxed) - old->forgotten;
	if (old->pins == 0)
		return old;
	old->orphan = true;
	return NULL;
}

static struct segment *open_segment(struct recent *s)
{
	struct segment *new = NULL;

	pthread_mutex_lock(&s->lock);
	if (s->high - s->low == s->segments_max)
		new = drop_oldest(s);
	pthread_mutex_unlock(&s->lock);
	if (new == NULL)
		new = malloc(s->segment_bytes);
	pthread_mutex_lock(&s->lock);
	if (new == NULL && s->high > s->low)
		new = drop_oldest(s); // no memory: the store shrinks
	if (new != NULL) {
		memset(new, 0, sizeof(*new));
		new->first = s->next;
		s->list[s->high++ % s->segments_max] = new;
	}
	pthread_mutex_unlock(&s->lock);
	return new;
}

void recent_add(struct recent *s, const struct flow_record *r)
{
	size_t record = flow_record_size(r);
	size_t size = (sizeof(struct entry) + record + 7) & ~(size_t)7;
	struct segment *g = s->open;
	struct entry *e;

	if (s->segments_max == 0) {
		atomic_fetch_add_explicit(&s->refused, 1, memory_order_relaxed);
		return;
	}
	if (g == NULL || offsetof(struct segment, bytes) + g->used + size > s->segment_bytes) {
		g = s->open = open_segment(s);
		if (g == NULL) {
			atomic_fetch_add_explicit(&s->refused, 1, memory_order_relaxed);
			return;
		}
	}
	e = (struct entry *)(g->bytes + g->used);
	*e = (struct entry){.size = (uint16_t)size};
	memcpy(e + 1, r, record);
	g->used += (uint32_t)size;
	s->next++;
	atomic_store_explicit(&s->added, s->next, memory_order_relaxed);
	atomic_fetch_add_explicit(&g->count, 1, memory_order_release);
}

// --- Walking: control ---

// Pins the segment with that number, or the oldest where it is gone. Returns NULL at the end.
static struct segment *pin(struct recent *s, uint64_t *number)
{
	struct segment *g = NULL;

	pthread_mutex_lock(&s->lock);
	if (*number < s->low)
		*number = s->low;
	if (*number < s->high) {
		g = s->list[*number % s->segments_max];
		g->pins++;
	}
	pthread_mutex_unlock(&s->lock);
	return g;
}

static void unpin(struct recent *s, struct segment *g)
{
	bool gone;

	pthread_mutex_lock(&s->lock);
	gone = --g->pins == 0 && g->orphan;
	pthread_mutex_unlock(&s->lock);
	if (gone)
		free(g);
}

static const struct flow_record *record_of(const struct entry *e)
{
	return (const struct flow_record *)(e + 1);
}

// Copies a flow out; the packets of its sequence that it does not have are zero.
static void copy_record(struct flow_record *to, const struct entry *e)
{
	size_t unused = sizeof(*to) - (e->size - sizeof(*e));

	memcpy(to, e + 1, sizeof(*to) - unused);
	memset((uint8_t *)(to + 1) - unused, 0, unused);
}

static bool matches(const struct flow_query *q, const struct entry *e)
{
	const struct flow_record *r = record_of(e);

	return !e->forgotten && (q->capture < 0 || q->capture == r->capture) &&
	       (q->app_proto < 0 || q->app_proto == r->app_proto) &&
	       (q->filter == NULL || flow_filter_match(q->filter, &r->tuple));
}

// --- Queries ---

// True when a goes before b in the results. What is equal by the metric is ordered by identity, so
// that results do not depend on who found a flow first.
static bool goes_before(const struct flow_query *q, double a_metric, const struct flow_record *a,
	double b_metric, const struct flow_record *b)
{
	if (a_metric != b_metric)
		return q->ascending ? a_metric < b_metric : a_metric > b_metric;
	if (a->flow_id != b->flow_id)
		return a->flow_id < b->flow_id;
	return a->part_no < b->part_no;
}

static bool result_before(
	const struct flow_query *q, const struct flow_record *a, const struct flow_record *b)
{
	return goes_before(q, flow_metric_of(a, q->metric), a, flow_metric_of(b, q->metric), b);
}

// Results are a heap with the last of them on top. Lets what is at i sink to its place.
static void heap_sink(struct flow_query *q, unsigned i, unsigned count)
{
	struct flow_record *h = q->results, moving = h[i];

	for (;;) {
		unsigned child = 2 * i + 1;

		if (child + 1 < count && result_before(q, &h[child], &h[child + 1]))
			child++;
		if (child >= count || !result_before(q, &moving, &h[child]))
			break;
		h[i] = h[child];
		i = child;
	}
	h[i] = moving;
}

static void heap_rise(struct flow_query *q, unsigned i)
{
	struct flow_record *h = q->results, moving = h[i];

	while (i > 0 && result_before(q, &h[(i - 1) / 2], &moving)) {
		h[i] = h[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	h[i] = moving;
}

static void top_add(struct flow_query *q, const struct entry *e)
{
	const struct flow_record *r = record_of(e);

	q->matched++;
	if (q->count < q->limit) {
		copy_record(&q->results[q->count], e);
		heap_rise(q, q->count++);
	} else if (q->limit > 0 && result_before(q, r, &q->results[0])) {
		copy_record(&q->results[0], e);
		heap_sink(q, 0, q->count);
	}
}

static void query_top(struct recent *s, struct flow_query *q)
{
	struct segment *g;

	for (uint64_t n = 0; (g = pin(s, &n)) != NULL; n++) {
		uint32_t count = atomic_load_explicit(&g->count, memory_order_acquire);
		const uint8_t *at = g->bytes;

		for (uint32_t i = 0; i < count; i++) {
			const struct entry *e = (const struct entry *)at;

			if (matches(q, e))
				top_add(q, e);
			at += e->size;
		}
		unpin(s, g);
	}
	for (unsigned left = q->count; left > 1;) { // last first: the heap's top goes to the end
		struct flow_record last = q->results[0];

		q->results[0] = q->results[--left];
		q->results[left] = last;
		heap_sink(q, 0, left);
	}
}

// The flow that a cursor stands for, where the store's flows are low to high - 1.
static uint64_t number_of_cursor(uint32_t cursor, uint64_t low, uint64_t high)
{
	uint64_t ahead;

	if (cursor == 0)
		return low;
	ahead = (cursor - 1 + CURSOR_FOLD - low % CURSOR_FOLD) % CURSOR_FOLD;
	return low + ahead <= high ? low + ahead : low; // beyond: it was forgotten
}

static void query_list(struct recent *s, struct flow_query *q)
{
	uint64_t from = 0;
	bool placed = false;
	struct segment *g;
	uint32_t next = q->next;

	if (next == UINT32_MAX)
		return;
	q->next = UINT32_MAX;
	for (uint64_t n = 0; (g = pin(s, &n)) != NULL; n++) {
		uint32_t count = atomic_load_explicit(&g->count, memory_order_acquire);
		const uint8_t *at = g->bytes;

		if (!placed) {
			from = number_of_cursor(next, g->first,
				atomic_load_explicit(&s->added, memory_order_relaxed));
			placed = true;
		}
		if (g->first + count <= from) {
			unpin(s, g);
			continue;
		}
		for (uint32_t i = 0; i < count; i++) {
			const struct entry *e = (const struct entry *)at;

			at += e->size;
			if (g->first + i < from || !matches(q, e))
				continue;
			if (q->count == q->limit) { // more are left
				q->next = (uint32_t)((g->first + i) % CURSOR_FOLD) + 1;
				unpin(s, g);
				return;
			}
			copy_record(&q->results[q->count++], e);
			q->matched++;
		}
		unpin(s, g);
	}
}

static void query_get(struct recent *s, struct flow_query *q)
{
	struct segment *g;

	for (uint64_t n = 0; q->limit > 0 && (g = pin(s, &n)) != NULL; n++) {
		uint32_t count = atomic_load_explicit(&g->count, memory_order_acquire);
		const uint8_t *at = g->bytes;

		for (uint32_t i = 0; i < count; i++) {
			const struct entry *e = (const struct entry *)at;

			at += e->size;
			if (record_of(e)->flow_id != q->flow_id || !matches(q, e))
				continue;
			copy_record(&q->results[0], e);
			q->matched = q->count = 1;
		}
		unpin(s, g);
	}
}

void recent_query(struct recent *s, struct flow_query *q)
{
	q->count = 0;
	q->matched = 0;
	switch (q->kind) {
	case FLOW_QUERY_TOP:
		query_top(s, q);
		break;
	case FLOW_QUERY_LIST:
		query_list(s, q);
		break;
	case FLOW_QUERY_GET:
		query_get(s, q);
		break;
	}
}

void recent_forget(struct recent *s, uint16_t capture)
{
	struct segment *g;

	for (uint64_t n = 0; (g = pin(s, &n)) != NULL; n++) {
		uint32_t count = atomic_load_explicit(&g->count, memory_order_acquire), taken = 0;
		uint8_t *at = g->bytes;

		for (uint32_t i = 0; i < count; i++) {
			struct entry *e = (struct entry *)at;

			if (!e->forgotten && record_of(e)->capture == capture) {
				e->forgotten = 1;
				taken++;
			}
			at += e->size;
		}
		pthread_mutex_lock(&s->lock);
		if (g->orphan) { // all its flows were counted as having made room
			s->forgotten -= taken;
		} else {
			g->forgotten += taken;
		}
		s->removed += taken;
		pthread_mutex_unlock(&s->lock);
		unpin(s, g);
	}
}

void recent_stats(
	struct recent *s, uint64_t *ret_flows, uint64_t *ret_bytes, uint64_t *ret_forgotten)
{
	uint64_t added, refused = atomic_load_explicit(&s->refused, memory_order_relaxed);

	pthread_mutex_lock(&s->lock);
	added = atomic_load_explicit(&s->added, memory_order_relaxed);
	*ret_flows = added - s->forgotten - s->removed;
	*ret_bytes = (s->high - s->low) * s->segment_bytes;
	*ret_forgotten = s->forgotten + refused;
	pthread_mutex_unlock(&s->lock);
}
