// SPDX-License-Identifier: Apache-2.0
// The way of a burst through the table, in steps so that memory is asked for before it is needed:
// buckets, then the hot lines of the flows that their signatures point to, then, for packets that will
// not find room in their flow's log, the lines of its figures, then keys and updates.
#include <assert.h>

#include "bucket.h"
#include "prefetch.h"

// --- A packet ---

// Returns the new flow's index, 0 where no entry could be had.
static uint32_t create(struct flow_table *t, const struct flow_ref *r)
{
	struct flow_capture_state *c = &t->capture[r->packet->capture];
	uint32_t i;

	assert(c->in_use);
	i = flow_add(t, r);
	if (i == 0) {
		counter_add(c->counters, COUNTER_flow_memcap, 1);
		return 0;
	}
	t->active++;
	c->active++;
	counter_add(c->counters, COUNTER_flows_created, 1);
	counter_set(c->counters, COUNTER_flows_active, c->active);
	flow_create(t, i, r);
	flow_part_begin(t, i, r->packet->now_ns);
	flow_wheel_insert(t, i, r->packet->now_ns);
	flow_update(t, i, r);
	return i;
}

// A flow that has the packet's key: it may be over, by time or by a new connection. Returns the index
// of the flow that got the packet, as create() does.
static uint32_t existing(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct flow_hot *h = &t->hot[i];
	uint64_t now = r->packet->now_ns;

	if (__builtin_expect(now >= h->last_now_ns + flow_timeout(t, h) ||
				     (t->config.active_ns != 0 &&
					     (int32_t)((uint32_t)(now >> 24) - h->part_q) >= 0),
		    0) &&
		flow_resolve(t, i, now, true))
		return create(t, r);
	if (__builtin_expect(flow_is_reused(t, i, r), 0)) {
		flow_finish(t, i, FLOW_END_REUSE);
		return create(t, r);
	}
	flow_update(t, i, r);
	return i;
}

static inline bool is_segment(const struct flow_table *t, const struct flow_ref *r)
{
	return t->listener.segment != NULL && r->layer->proto == 6 &&
	       (r->layer->flags & LAYER_L4) != 0;
}

// The usual packet of a flow in the middle of its life: nothing of the flow changes but its figures,
// and they can wait.
static inline bool is_usual(
	const struct flow_table *t, const struct flow_hot *h, const struct flow_ref *r)
{
	uint64_t now = r->now_ns;

	return r->is_plain && now - h->last_now_ns <= t->log_dt_most_ns &&
	       (h->bits & FLOW_LOGS << r->direction) && h->ttl[r->direction] == r->ttl &&
	       (int32_t)((uint32_t)(now >> 24) - h->part_q) < 0;
}

static inline void log_packet(struct flow_hot *h, const struct flow_ref *r)
{
	uint64_t now = r->now_ns;
	unsigned k = h->log_count;

	h->log_dt[k] = (uint32_t)(now - h->last_now_ns);
	h->log_size[k] = r->size;
	h->log_window[k] = r->window;
	h->log_header[k] = r->header;
	h->log_flags[k] = r->flags;
	h->log_count = (uint8_t)(k + 1);
	h->last_now_ns = now;
	h->bits |= r->bits;
}

// --- A burst ---

// What the log takes of a packet, while its descriptor is at hand.
static inline void describe(struct flow_ref *r, const struct packet *p, const struct ip_layer *l)
{
	bool has_l4 = l->flags & LAYER_L4, is_tcp = has_l4 && l->proto == 6;
	uint32_t payload = has_l4 ? l->payload_len : 0, header = p->wirelen - payload;
	uint8_t tcp_flags = is_tcp ? l->tcp.flags : 0;

	r->now_ns = p->now_ns;
	r->size = (uint16_t)p->wirelen;
	r->window = is_tcp ? l->tcp.window : 0;
	r->header = (uint8_t)header;
	r->flags = (uint8_t)(tcp_flags | r->direction | (payload == 0 ? FLOW_LOG_EMPTY : 0) |
			     (is_tcp ? FLOW_LOG_TCP : 0));
	r->ttl = l->ttl;
	r->bits = p->flags & PACKET_TRUNCATED ? FLOW_TRUNCATED : 0;
	r->is_plain = p->ts_ns == p->now_ns && p->wirelen < UINT16_MAX &&
	              !(tcp_flags & FLOW_LOG_TAKEN) && (payload == 0 || header <= UINT8_MAX);
}

static unsigned collect(struct flow_table *t, struct packet *const *pkts, unsigned n, unsigned *at,
	unsigned *layer, struct flow_ref *refs)
{
	uint32_t largest = t->size_largest;
	unsigned count = 0;

	for (; *at < n; (*at)++, *layer = 0) {
		struct packet *p = pkts[*at];

		for (; *layer < p->layer_count; (*layer)++) {
			const struct ip_layer *l = &p->layer[*layer];
			struct flow_ref *r = &refs[count];

			if (l->owner != t->worker)
				continue;
			if (count == PACKET_BURST)
				goto full;
			r->packet = p;
			r->layer = l;
			r->layer_number = (uint8_t)*layer;
			r->direction = l->swapped;
			r->signature = signature_of(l->hash);
			r->bucket = bucket_first(t, l->hash);
			prefetch(&t->bucket[r->bucket]);
			describe(r, p, l);
			count++;
		}
		largest = p->wirelen > largest ? p->wirelen : largest;
	}
full:
	t->size_largest = largest;
	return count;
}

// The lines of a flow's figures, where the packet will be taken to them. Only a guess: earlier packets
// of the burst may fill the log or empty it.
static inline void prefetch_figures(const struct flow_table *t, const struct flow_ref *r)
{
	uint32_t i = r->index;
	const struct flow_hot *h = &t->hot[i];

	if (h->log_count < FLOW_LOG_PKTS && (h->bits & FLOW_LOGS << r->direction) && r->is_plain)
		return;
	prefetch(&t->turn[i]);
	prefetch(&t->stats[2 * i]);
	prefetch(&t->stats[2 * i + 1]);
	if (!(h->bits & FLOW_LOGS << r->direction))
		prefetch(&t->cold[i]);
	if (!(h->bits & FLOW_SPLT_FULL)) {
		prefetch(&t->splt_first[i]);
		prefetch(&t->splt_second[i]);
	}
}

static void burst(struct flow_table *t, struct flow_ref *refs, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		struct flow_ref *r = &refs[k];
		unsigned m = bucket_match(&t->bucket[r->bucket], r->signature);
		uint32_t i = m != 0 ? t->bucket[r->bucket].index[__builtin_ctz(m)] : 0;

		r->index = i;
		if (i == 0)
			continue;
		prefetch(&t->hot[i]);
		if (flow_is_extended(r->layer->key[0]))
			prefetch(&t->ends[i]);
		if (is_segment(t, r))
			t->listener.early(t->listener.ctx, i);
	}
	for (unsigned k = 0; k < n; k++) {
		if (refs[k].index == 0)
			continue;
		prefetch_figures(t, &refs[k]);
		if (is_segment(t, &refs[k]))
			t->listener.soon(t->listener.ctx, refs[k].index);
	}
	for (unsigned k = 0; k < n; k++) {
		struct flow_ref *r = &refs[k];
		uint32_t i = r->index;

		// Earlier packets of the burst may have added or ended the flow: the key decides.
		if (__builtin_expect(i == 0 || !is_match(t, i, r), 0))
			i = flow_find(t, r);
		if (__builtin_expect(i == 0, 0))
			i = create(t, r);
		else if (__builtin_expect(!is_usual(t, &t->hot[i], r), 0))
			i = existing(t, i, r);
		else if (t->hot[i].log_count < FLOW_LOG_PKTS)
			log_packet(&t->hot[i], r);
		else
			flow_log_over(t, i, r);
		if (is_segment(t, r))
			t->listener.segment(t->listener.ctx, i, r->packet, r->layer);
	}
}

void flow_burst(struct flow_table *t, struct packet *const *pkts, unsigned n)
{
	struct flow_ref refs[PACKET_BURST];
	unsigned at = 0, layer = 0, count;

	while ((count = collect(t, pkts, n, &at, &layer, refs)) > 0)
		burst(t, refs, count);
}
