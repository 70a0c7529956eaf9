// SPDX-License-Identifier: Apache-2.0
// One burst through all stages: receive, stamp with the capture's clock, decode, hash, tally, write
// anomaly and ARP records, steer to owners, update flows, release, publish. Runs on a worker; no
// lock, no allocation, no system call, no log. What a burst counts is published once, at its end, in
// one piece, so that received = processed + filtered + dropped holds whenever somebody reads.
#include "pipeline.h"

#include <string.h>

#include "cursor.h"
#include "events.h"
#include "export.h"
#include "protocols.h"
#include "record.h"

// What one burst adds to the counters.
struct tally {
	uint64_t seen; // protocols with a count
	uint64_t pkts[PROTOCOL_COUNT];
	uint64_t bytes[PROTOCOL_COUNT];
	uint64_t processed, processed_bytes;
	uint64_t steered, steer_full;
	uint64_t records, records_lost, sampled_out;
};

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

// Neighbouring packets mostly have the same stack: count a run of them at once.
static void tally_protocols(struct tally *t, const struct packet *pkts, unsigned n)
{
	uint64_t mask = pkts[0].protocols, run = 0, bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		if (pkts[i].protocols != mask) {
			tally_mask(t, mask, run, bytes);
			mask = pkts[i].protocols;
			run = bytes = 0;
		}
		run++;
		bytes += pkts[i].wirelen;
	}
	tally_mask(t, mask, run, bytes);
}

static void stamp(struct pipeline_queue *q, struct packet *pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		pkts[i].now_ns = capture_clock_at(&q->clock, pkts[i].ts_ns);
	if (q->first_ns == 0)
		__atomic_store_n(&q->first_ns, pkts[0].ts_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&q->last_ns, q->clock.now_ns, __ATOMIC_RELAXED);
}

static void write_anomaly(struct pipeline *pl, struct pipeline_queue *q, const struct packet *p,
	enum event_id event, struct tally *t)
{
	struct pipeline_sample *s = &q->sample[event];
	uint64_t second = p->now_ns / NSEC_PER_S;
	struct anomaly_record *r;

	if (second != s->second) {
		s->second = second;
		s->written = 0;
	}
	if (s->written >= PIPELINE_ANOMALIES_PER_S) {
		s->left_out++;
		t->sampled_out++;
		return;
	}
	r = record_reserve(pl->records, RECORD_ANOMALY, sizeof(*r), q->lossless);
	if (r == NULL) {
		t->records_lost++;
		return;
	}
	memset(r, 0, sizeof(*r));
	r->ts_ns = p->ts_ns;
	r->pcap_cnt = p->seq;
	r->capture = q->index;
	r->event = (uint8_t)event;
	r->wirelen = p->wirelen;
	r->repeated = s->left_out;
	if (p->layer_count > 0) {
		const struct ip_layer *l = &p->layer[p->layer_count - 1];

		r->has_tuple = 1;
		memcpy(r->tuple.src, l->src, 16);
		memcpy(r->tuple.dst, l->dst, 16);
		r->tuple.src_port = l->src_port;
		r->tuple.dst_port = l->dst_port;
		r->tuple.version = l->version;
		r->tuple.proto = l->proto;
		r->tuple.tunnel_type = l->tunnel_type;
	}
	r->tuple.vlan_count = p->vlan_count;
	memcpy(r->tuple.vlan, p->vlan, sizeof(p->vlan));
	s->written++;
	s->left_out = 0;
	t->records++;
}

static void write_arp(
	struct pipeline *pl, struct pipeline_queue *q, const struct packet *p, struct tally *t)
{
	const uint8_t *a = p->data + p->arp_off;
	struct arp_record *r;

	// Only Ethernet and IPv4 (RFC 826) have a record of this shape; others are counted.
	if (p->arp_off + 28 > p->caplen || a[4] != 6 || a[5] != 4)
		return;
	r = record_reserve(pl->records, RECORD_ARP, sizeof(*r), q->lossless);
	if (r == NULL) {
		t->records_lost++;
		return;
	}
	memset(r, 0, sizeof(*r));
	r->ts_ns = p->ts_ns;
	r->pcap_cnt = p->seq;
	r->capture = q->index;
	r->hw_type = load_be16(a);
	r->proto_type = load_be16(a + 2);
	r->opcode = load_be16(a + 6);
	memcpy(r->src_mac, a + 8, 6);
	memcpy(r->src_ip, a + 14, 4);
	memcpy(r->dest_mac, a + 18, 6);
	memcpy(r->dest_ip, a + 24, 4);
	r->vlan_count = p->vlan_count;
	memcpy(r->vlan, p->vlan, sizeof(p->vlan));
	t->records++;
}

static void note_events(struct pipeline *pl, struct pipeline_queue *q, struct packet *pkts,
	unsigned n, struct tally *t)
{
	for (unsigned i = 0; i < n; i++) {
		struct packet *p = &pkts[i];

		if (__builtin_expect((p->event_count | p->arp_off) == 0, 1))
			continue;
		for (unsigned e = 0; e < p->event_count; e++) {
			counter_event(q->counters, p->events[e]);
			write_anomaly(pl, q, p, p->events[e], t);
		}
		if (p->arp_off != 0)
			write_arp(pl, q, p, t);
	}
}

// Sets the owner of every layer, passes packets on to other owners, and collects those that stay.
static unsigned steer(struct pipeline *pl, struct pipeline_queue *q, struct packet *pkts,
	unsigned n, struct packet **stay, struct packet **release, unsigned *ret_release,
	struct tally *t)
{
	unsigned staying = 0, releasing = 0;

	for (unsigned i = 0; i < n; i++) {
		struct packet *p = &pkts[i];
		uint64_t owners = 0, others, self = UINT64_C(1) << pl->worker;
		unsigned references;

		for (unsigned l = 0; l < p->layer_count; l++) {
			p->layer[l].owner = flow_owner(p->layer[l].hash, pl->workers);
			owners |= UINT64_C(1) << p->layer[l].owner;
		}
		others = owners & ~self;
		if (others != 0) {
			references = (unsigned)__builtin_popcountll(owners | self);
			// One reference a receiver and one that is released here.
			packet_ref(p, references - 1);
			if (pl->steer.pass(pl->steer.ctx, p, others, q->lossless)) {
				t->steered++;
			} else {
				for (unsigned r = 1; r < references; r++)
					packet_release(&p, 1);
				t->steer_full++;
				owners = 0;
			}
		}
		if (owners & self)
			stay[staying++] = p;
		release[releasing++] = p;
	}
	*ret_release = releasing;
	return staying;
}

static unsigned keep_all(struct pipeline *pl, struct packet *pkts, unsigned n, struct packet **stay,
	struct packet **release, unsigned *ret_release)
{
	unsigned staying = 0;

	for (unsigned i = 0; i < n; i++) {
		for (unsigned l = 0; l < pkts[i].layer_count; l++)
			pkts[i].layer[l].owner = (uint8_t)pl->worker;
		if (pkts[i].layer_count > 0)
			stay[staying++] = &pkts[i];
		release[i] = &pkts[i];
	}
	*ret_release = n;
	return staying;
}

static void publish(struct pipeline_queue *q, const struct capture_rx *rx, const struct tally *t)
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
	counter_add(c, COUNTER_dropped_steer_ring_full, t->steer_full);
	counter_add(c, COUNTER_steered, t->steered);
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

unsigned pipeline_poll(struct pipeline *pl, struct pipeline_queue *q)
{
	struct packet *stay[PACKET_BURST], *release[PACKET_BURST];
	struct packet *pkts = pl->burst;
	unsigned n, staying, releasing;
	struct capture_rx rx;
	struct tally t;

	n = capture_rx_burst(q->capture, q->queue, pkts, PACKET_BURST, &rx);
	q->state = rx.state;
	if (rx.received == 0)
		return 0;
	memset(&t, 0, offsetof(struct tally, pkts));
	memset(&t.processed, 0, sizeof(t) - offsetof(struct tally, processed));
	if (n > 0) {
		stamp(q, pkts, n);
		decode_burst(pl->decode, pkts, n);
		flow_key_hash(pl->flow_config, pkts, n);
		note_events(pl, q, pkts, n, &t);
		if (pl->workers > 1)
			staying = steer(pl, q, pkts, n, stay, release, &releasing, &t);
		else
			staying = keep_all(pl, pkts, n, stay, release, &releasing);
		flow_burst(pl->flows, stay, staying);
		tally_protocols(&t, pkts, n);
		for (unsigned i = 0; i < n; i++)
			t.processed_bytes += pkts[i].wirelen;
		t.processed = n - t.steer_full;
		packet_release(release, releasing);
	}
	ring_publish(pl->records);
	publish(q, &rx, &t);
	return rx.received;
}

void pipeline_take(struct pipeline *pl, struct packet *pkts, unsigned n)
{
	struct packet *all[PACKET_BURST];

	for (unsigned i = 0; i < n; i++)
		all[i] = &pkts[i];
	flow_burst(pl->flows, all, n);
	packet_release(all, n);
	ring_publish(pl->records);
}
