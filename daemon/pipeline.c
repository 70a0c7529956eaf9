// SPDX-License-Identifier: Apache-2.0
// One burst through all stages: receive, stamp with the capture's clock, decode, hash, steer to owners,
// update flows and their streams, note events, tally, release, publish. Runs on a worker; no
// lock, no allocation, no system call, no log. What a burst counts is published once, at its end, in
// one piece, so that received = processed + filtered + dropped holds whenever somebody reads.
#include <string.h>

#include "events.h"
#include "pipeline_internal.h"
#include "protocols.h"

static void tally_mask(struct tally *t, uint64_t mask, uint64_t pkts, uint64_t bytes)
{
	uint64_t fresh = mask & ~t->seen;

	while (fresh != 0) {
		unsigned i = (unsigned)__builtin_ctzll(fresh);

		fresh &= fresh - 1;
		t->pkts[i] = t->bytes[i] = 0;
	}
	t->seen |= mask;
	while (mask != 0) {
		unsigned i = (unsigned)__builtin_ctzll(mask);

		mask &= mask - 1;
		t->pkts[i] += pkts;
		t->bytes[i] += bytes;
	}
}

// Counts what was processed: all packets but the lost ones (a bit each). Neighbouring packets mostly
// have the same stack: a run of them is counted at once.
static void tally_packets(struct tally *t, const struct packet *pkts, unsigned n, uint64_t lost)
{
	uint64_t mask = pkts[0].protocols, run = 0, bytes = 0;

	t->processed = n - (unsigned)__builtin_popcountll(lost);
	for (unsigned i = 0; i < n; i++) {
		if (lost >> i & 1)
			continue;
		if (pkts[i].protocols != mask) {
			tally_mask(t, mask, run, bytes);
			t->processed_bytes += bytes;
			mask = pkts[i].protocols;
			run = bytes = 0;
		}
		run++;
		bytes += pkts[i].wirelen;
	}
	tally_mask(t, mask, run, bytes);
	t->processed_bytes += bytes;
}

static void stamp(struct pipeline_queue *q, struct packet *pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		pkts[i].now_ns = capture_clock_at(&q->clock, pkts[i].ts_ns);
	if (q->first_ns == 0)
		__atomic_store_n(&q->first_ns, pkts[0].ts_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&q->last_ns, q->clock.now_ns, __ATOMIC_RELAXED);
}

// Flows of what has been collected so far; after this, extra packets may be written anew.
static void flush_local(struct pipeline *pl)
{
	struct pipeline_lane *lane = pl->lane;

	flow_burst(pl->flows, lane->local, lane->local_count);
	lane->local_count = 0;
	for (unsigned i = 0; i < lane->extra_count; i++) {
		struct packet *p = &lane->extra[i];

		packet_release(&p, 1);
	}
	lane->extra_count = 0;
}

// Passes a packet, whose layers' owners are set, on to other owners and collects it where this worker
// owns a layer. Returns false where a ring was full: then nobody got it.
static bool route(struct pipeline *pl, struct packet *p)
{
	uint64_t owners = 0, others, self = UINT64_C(1) << pl->worker;
	struct pipeline_lane *lane = pl->lane;
	unsigned references;

	for (unsigned l = 0; l < p->layer_count; l++)
		if (p->layer[l].owner != LAYER_NOT_COUNTED)
			owners |= UINT64_C(1) << p->layer[l].owner;
	others = owners & ~self;
	if (others != 0) {
		// One reference a receiver, and the one that is released here.
		references = (unsigned)__builtin_popcountll(others);
		packet_ref(p, references);
		if (!pl->steer.pass(pl->steer.ctx, p, others, p->flags & PACKET_LOSSLESS)) {
			for (unsigned r = 0; r < references; r++)
				packet_release(&p, 1);
			return false;
		}
		pl->steered++;
	}
	if (owners & self) {
		if (lane->local_count == 2 * PACKET_BURST)
			flush_local(pl);
		lane->local[lane->local_count++] = p;
	}
	return true;
}

static uint8_t owner_of(const struct pipeline *pl, const struct packet *p, const struct ip_layer *l)
{
	const struct pipeline_spread *s;

	if (pl->workers == 1 || pl->keeps_all)
		return (uint8_t)pl->worker;
	s = pl->spread[p->capture];
	return s != NULL ? s->worker[capture_spread_queue(s->spread, l)]
	                 : flow_owner(l->hash, pl->workers);
}

static struct packet *extra_packet(struct pipeline *pl)
{
	struct pipeline_lane *lane = pl->lane;

	if (lane->extra_count == PACKET_BURST)
		flush_local(pl);
	return &lane->extra[lane->extra_count];
}

// Accounting of one fragment, from defrag: only the last layer counts.
static void take_fragment(void *ctx, const struct packet *from)
{
	struct pipeline *pl = ctx;
	struct packet *p = extra_packet(pl);

	memcpy(p, from, packet_size(from));
	for (unsigned l = 0; l + 1 < p->layer_count; l++)
		p->layer[l].owner = LAYER_NOT_COUNTED;
	p->layer[p->layer_count - 1].owner = owner_of(pl, p, &p->layer[p->layer_count - 1]);
	p->flags |= PACKET_DEFRAGGED;
	pl->lane->extra_count++;
	route(pl, p);
}

// Puts the layers around the datagram before its own, so that its tunnel is known.
static void add_outer_layers(struct packet *whole, const struct packet *p)
{
	unsigned outer = p->layer_count - 1, inner = whole->layer_count;
	const struct ip_layer *last = &p->layer[outer];

	if (outer + inner > PACKET_LAYERS_MAX)
		inner = PACKET_LAYERS_MAX - outer;
	memmove(&whole->layer[outer], whole->layer, inner * sizeof(whole->layer[0]));
	memcpy(whole->layer, p->layer, outer * sizeof(whole->layer[0]));
	whole->layer_count = (uint8_t)(outer + inner);
	whole->layer[outer].tunnel_type = last->tunnel_type;
	whole->layer[outer].tunnel_id = last->tunnel_id;
	whole->layer[outer].flags |= last->flags & LAYER_TUNNEL_ID;
	whole->vlan_count = p->vlan_count;
	memcpy(whole->vlan, p->vlan, sizeof(p->vlan));
}

// A datagram is whole: decode it like any packet and give it to its flows. The frame that completed it
// counts for what was found in it.
static void take_datagram(struct pipeline *pl, struct packet *p, struct packet *whole)
{
	unsigned outer = p->layer_count - 1;
	struct packet *to;

	decode_burst(pl->decode, whole, 1);
	p->protocols |= whole->protocols & ~PROTOCOL_BIT(RAW);
	for (unsigned e = 0; e < whole->event_count; e++)
		packet_event(p, whole->events[e]);
	if (whole->layer_count == 0) { // its header was taken from a good one: cannot be
		defrag_finish(pl->defrag, &p->layer[outer], take_fragment, pl);
		packet_release(&whole, 1);
		return;
	}
	add_outer_layers(whole, p);
	flow_key_hash(pl->flow_config, whole, 1);
	for (unsigned i = 0; i < whole->layer_count; i++)
		whole->layer[i].owner = i < outer ? LAYER_NOT_COUNTED
		                                  : owner_of(pl, whole, &whole->layer[i]);
	whole->flags |= PACKET_DEFRAGGED;
	defrag_finish(pl->defrag, &whole->layer[outer], take_fragment, pl);
	p->layer[outer].owner = LAYER_NOT_COUNTED;
	to = extra_packet(pl);
	memcpy(to, whole, packet_size(whole));
	pl->lane->extra_count++;
	route(pl, to);
}

// Datagrams of earlier packets may still be on their way through other workers. For a file they are
// waited for, so that what it yields does not depend on their pace.
static void wait_for_datagrams(struct pipeline *pl)
{
	if (defrag_has_buffer(pl->defrag))
		return;
	flush_local(pl);
	while (!defrag_has_buffer(pl->defrag) && pl->steer.relax(pl->steer.ctx))
		;
}

static void add_fragment(struct pipeline *pl, struct packet *p, struct counters *c)
{
	struct packet whole;

	switch (defrag_add(pl->defrag, p, c, &whole, take_fragment, pl)) {
	case DEFRAG_WAITING:
		p->layer[p->layer_count - 1].owner = LAYER_NOT_COUNTED;
		break;
	case DEFRAG_COMPLETE:
		p->layer[p->layer_count - 1].owner = LAYER_NOT_COUNTED;
		take_datagram(pl, p, &whole);
		break;
	case DEFRAG_REFUSED:
		break;
	}
}

// A packet whose last layer is a fragment of which this worker keeps the datagram.
static void defragment(struct pipeline *pl, struct packet *p, struct counters *c)
{
	p->flags |= PACKET_DEFRAGGED;
	if (pl->is_in_defrag) {
		// A file's fragments wait for room to leave defrag, and this one, of a live capture, was
		// taken in meanwhile.
		defrag_refuse(&p->layer[p->layer_count - 1], c);
		return;
	}
	if (p->flags & PACKET_LOSSLESS)
		wait_for_datagrams(pl);
	pl->is_in_defrag = true;
	add_fragment(pl, p, c);
	pl->is_in_defrag = false;
}

static bool is_for_defrag(const struct pipeline *pl, const struct packet *p)
{
	return p->layer_count > 0 && (p->layer[p->layer_count - 1].flags & LAYER_FRAGMENT) &&
	       pl->defrag != NULL && !(p->flags & PACKET_DEFRAGGED);
}

// Owners of all layers; fragments first, since they may wait. A file's fragments are joined by its
// reader, so that its packets stay in order; live ones by the owner of the flow with ports 0.
// Returns which packets were lost, a bit each.
static uint64_t distribute(
	struct pipeline *pl, struct pipeline_queue *q, struct packet *pkts, unsigned n)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < n; i++) {
		struct packet *p = &pkts[i];

		if (q->lossless)
			p->flags |= PACKET_LOSSLESS;
		for (unsigned l = 0; l < p->layer_count; l++)
			p->layer[l].owner = owner_of(pl, p, &p->layer[l]);
		if (__builtin_expect(is_for_defrag(pl, p), 0) &&
			(q->lossless || p->layer[p->layer_count - 1].owner == pl->worker))
			defragment(pl, p, q->counters);
		lost |= (uint64_t)!route(pl, p) << i;
	}
	return lost;
}

static void publish(struct pipeline *pl, struct pipeline_queue *q, const struct capture_rx *rx,
	const struct tally *t)
{
	struct counters *c = q->counters;
	uint64_t seen = t->seen;

	counters_begin(c);
	counter_add(c, COUNTER_received, rx->received);
	counter_add(c, COUNTER_received_bytes, rx->received_bytes);
	counter_add(c, COUNTER_filtered, rx->filtered);
	counter_add(c, COUNTER_dropped_no_mbuf, rx->dropped_no_mbuf);
	counter_add(c, COUNTER_truncated, rx->truncated);
	counter_add(c, COUNTER_processed, t->processed);
	counter_add(c, COUNTER_processed_bytes, t->processed_bytes);
	counter_add(c, COUNTER_dropped_steer_ring_full,
		rx->received - rx->filtered - rx->dropped_no_mbuf - t->processed);
	counter_add(c, COUNTER_steered, pl->steered);
	counter_add(c, COUNTER_records, t->records);
	counter_add(c, COUNTER_export_queue_full, t->records_lost);
	counter_add(c, COUNTER_anomalies_sampled_out, t->sampled_out);
	counter_add(c, COUNTER_bursts, 1);
	counter_set(c, COUNTER_time_backwards, q->clock.backwards);
	counter_set(c, COUNTER_time_rebased, q->clock.rebased);
	while (seen != 0) {
		unsigned i = (unsigned)__builtin_ctzll(seen);

		seen &= seen - 1;
		__atomic_store_n(
			&c->protocol_pkts[i], c->protocol_pkts[i] + t->pkts[i], __ATOMIC_RELAXED);
		__atomic_store_n(&c->protocol_bytes[i], c->protocol_bytes[i] + t->bytes[i],
			__ATOMIC_RELAXED);
	}
	counters_end(c);
}

int pipeline_capture_begin(
	struct pipeline *pl, uint16_t capture, const struct flow_capture *begin, bool saves)
{
	if (pl->copy != NULL)
		stream_copy_capture_begin(pl->copy, capture, begin, saves);
	if (pl->streams != NULL)
		streams_capture_begin(pl->streams, capture, begin->counters);
	return flow_capture_begin(pl->flows, capture, begin);
}

unsigned pipeline_poll(struct pipeline *pl, struct pipeline_queue *q)
{
	struct packet *release[PACKET_BURST];
	struct packet *pkts = pl->burst;
	struct capture_rx rx;
	struct tally t;
	uint64_t lost;
	unsigned n;

	n = capture_rx_burst(q->capture, q->queue, pkts, PACKET_BURST, &rx);
	q->state = rx.state;
	if (rx.received == 0)
		return 0;
	t.seen = 0;
	memset(&t.processed, 0, sizeof(t) - offsetof(struct tally, processed));
	pl->steered = 0;
	pl->lane = &pl->lanes[0];
	if (n > 0) {
		stamp(q, pkts, n);
		decode_burst(pl->decode, pkts, n);
		flow_key_hash(pl->flow_config, pkts, n);
		lost = distribute(pl, q, pkts, n);
		flush_local(pl);
		pipeline_note_events(pl, q, pkts, n, lost, &t);
		tally_packets(&t, pkts, n, lost);
		for (unsigned i = 0; i < n; i++)
			release[i] = &pkts[i];
		packet_release(release, n);
	}
	ring_publish(pl->records);
	publish(pl, q, &rx, &t);
	return rx.received;
}

void pipeline_take(
	struct pipeline *pl, struct packet *pkts, unsigned n, struct counters *const *counters)
{
	struct pipeline_lane *before = pl->lane, *lane = &pl->lanes[1];
	struct packet *release[PACKET_BURST];

	pl->lane = lane;
	for (unsigned i = 0; i < n; i++) {
		struct packet *p = &pkts[i];

		release[i] = p;
		if (is_for_defrag(pl, p) && p->layer[p->layer_count - 1].owner == pl->worker) {
			defragment(pl, p, counters[i]);
			// What is left of it for others, its receiver has passed on.
			for (unsigned l = 0; l < p->layer_count; l++)
				if (p->layer[l].owner != pl->worker)
					p->layer[l].owner = LAYER_NOT_COUNTED;
		}
		if (lane->local_count == 2 * PACKET_BURST)
			flush_local(pl);
		lane->local[lane->local_count++] = p;
	}
	flush_local(pl);
	pl->lane = before;
	packet_release(release, n);
	ring_publish(pl->records);
}

void pipeline_expire(
	struct pipeline *pl, uint16_t capture, uint64_t now_ns, bool all, struct counters *counters)
{
	if (pl->defrag == NULL)
		return;
	pl->lane = &pl->lanes[0];
	pl->is_in_defrag = true;
	defrag_expire(pl->defrag, capture, now_ns, all, counters, take_fragment, pl);
	pl->is_in_defrag = false;
	flush_local(pl);
	ring_publish(pl->records);
}
