// SPDX-License-Identifier: Apache-2.0
// Events that were noted on packets, and ARP, become counters and records. What decoding and defrag
// note is counted and written by the worker that received the packet, after all stages; of floods a
// few records a second for each queue and event are written, the rest is only counted.
#include <string.h>

#include "cursor.h"
#include "events.h"
#include "export.h"
#include "pipeline_internal.h"
#include "record.h"

bool pipeline_write_anomaly(struct ring *records, const struct packet *p, enum event_id event,
	uint64_t flow_id, uint32_t repeated)
{
	struct anomaly_record *r;

	r = record_reserve(records, RECORD_ANOMALY, sizeof(*r), p->flags & PACKET_LOSSLESS);
	if (r == NULL)
		return false;
	memset(r, 0, sizeof(*r));
	r->ts_ns = p->ts_ns;
	r->pcap_cnt = p->seq;
	r->flow_id = flow_id;
	r->capture = p->capture;
	r->event = (uint8_t)event;
	r->wirelen = p->wirelen;
	r->repeated = repeated;
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
	return true;
}

static void write_sampled(struct pipeline *pl, struct pipeline_queue *q, const struct packet *p,
	enum event_id event, struct tally *t)
{
	struct pipeline_sample *s = &q->sample[event];
	uint64_t second = p->now_ns / NSEC_PER_S;

	if (second != s->second) {
		s->second = second;
		s->written = 0;
	}
	if (s->written >= PIPELINE_ANOMALIES_PER_S) {
		s->left_out++;
		t->sampled_out++;
		return;
	}
	if (!pipeline_write_anomaly(pl->records, p, event, 0, s->left_out)) {
		t->records_lost++;
		return;
	}
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

void pipeline_note_events(struct pipeline *pl, struct pipeline_queue *q, struct packet *pkts,
	unsigned n, uint64_t lost, struct tally *t)
{
	for (unsigned i = 0; i < n; i++) {
		struct packet *p = &pkts[i];

		if (__builtin_expect((p->event_count | p->arp_off) == 0, 1) || (lost >> i & 1))
			continue;
		for (unsigned e = 0; e < p->event_count; e++) {
			counter_event(q->counters, p->events[e]);
			write_sampled(pl, q, p, p->events[e], t);
		}
		if (p->arp_off != 0)
			write_arp(pl, q, p, t);
	}
}
