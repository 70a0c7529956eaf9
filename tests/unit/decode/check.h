// SPDX-License-Identifier: Apache-2.0
// Decoding under watch, for tests and the fuzz target: every frame is decoded with and without the
// short cut from a buffer of exactly its size (so that a sanitizer sees a read beyond it), the two
// results must be equal, and what the descriptor promises must hold.
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

#define CHECK(what)                                                                                \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static inline void check_layer(const struct packet *p, const struct ip_layer *l, unsigned index)
{
	uint32_t header = l->version == 4 ? 20 : 40;

	CHECK(l->version == 4 || l->version == 6);
	CHECK(l->l3_off <= p->caplen && header <= p->caplen - l->l3_off);
	CHECK(l->l3_len >= header);
	CHECK(p->data[l->l3_off] >> 4 == l->version);
	CHECK(l->l4_off >= l->l3_off + header);
	CHECK(l->l4_off - l->l3_off <= l->l3_len);
	if (l->flags & LAYER_FRAGMENT) {
		CHECK((l->flags & LAYER_L4) == 0);
		CHECK(l->src_port == 0 && l->dst_port == 0);
		CHECK(l->frag_off % 8 == 0 && l->frag_off < 65536);
		CHECK(((l->flags & LAYER_FIRST_FRAGMENT) != 0) == (l->frag_off == 0));
		CHECK(l->frag_off != 0 || l->more_fragments);
	}
	if (l->flags & LAYER_L4) {
		CHECK(l->payload_off > l->l4_off);
		CHECK(l->payload_off <= p->caplen);
		CHECK(l->payload_len < l->l3_len);
		// only a header that the capture cut may end before its payload would begin
		CHECK(l->payload_off - l->l3_off + (uint64_t)l->payload_len <= l->l3_len);
	}
	CHECK(l->tunnel_type < TUNNEL_TYPES);
	CHECK((l->tunnel_type == TUNNEL_NONE) == (index == 0));
	CHECK((l->flags & LAYER_TUNNEL_ID) == 0 || index > 0);
	if (index > 0)
		CHECK(l->l3_off > l[-1].l3_off);
}

static inline void check_packet(const struct packet *p, const struct decode_config *config)
{
	CHECK(p->layer_count <= PACKET_LAYERS_MAX);
	CHECK(p->layer_count <= config->tunnel_depth + 1);
	CHECK(p->vlan_count <= PACKET_VLANS_MAX);
	CHECK(p->event_count <= PACKET_EVENTS_MAX);
	for (unsigned i = 0; i < p->event_count; i++) {
		CHECK(p->events[i] < EVENT_COUNT);
		for (unsigned j = 0; j < i; j++)
			CHECK(p->events[i] != p->events[j]);
	}
	for (unsigned i = 0; i < p->vlan_count; i++)
		CHECK(p->vlan[i] < 4096 || p->flags & PACKET_VLAN_STRIPPED);
	CHECK(PROTOCOL_COUNT == 64 || p->protocols >> PROTOCOL_COUNT == 0);
	CHECK(p->arp_off == 0 || (p->arp_off < p->caplen && p->caplen - p->arp_off >= 28));
	CHECK(p->eth_off == UINT32_MAX || (p->eth_off < p->caplen && p->caplen - p->eth_off >= 14));
	for (unsigned i = 0; i < p->layer_count; i++)
		check_layer(p, &p->layer[i], i);
}

static inline void check_same_layer(const struct ip_layer *a, const struct ip_layer *b)
{
	CHECK(a->flags == b->flags);
	CHECK(memcmp(a->src, b->src, 16) == 0 && memcmp(a->dst, b->dst, 16) == 0);
	CHECK(a->src_port == b->src_port && a->dst_port == b->dst_port);
	CHECK(a->version == b->version && a->proto == b->proto);
	CHECK(a->ttl == b->ttl && a->tos == b->tos);
	CHECK(a->icmp_type == b->icmp_type && a->icmp_code == b->icmp_code);
	CHECK(a->l3_off == b->l3_off && a->l4_off == b->l4_off && a->l3_len == b->l3_len);
	CHECK(a->tunnel_type == b->tunnel_type);
	if (a->flags & LAYER_TUNNEL_ID)
		CHECK(a->tunnel_id == b->tunnel_id);
	if (a->flags & LAYER_FRAGMENT)
		CHECK(a->frag_id == b->frag_id && a->frag_off == b->frag_off &&
			a->more_fragments == b->more_fragments);
	if ((a->flags & LAYER_L4) == 0)
		return;
	CHECK(a->payload_off == b->payload_off && a->payload_len == b->payload_len);
	if (a->proto != IP_TCP)
		return;
	CHECK(a->tcp.seq == b->tcp.seq && a->tcp.ack == b->tcp.ack);
	CHECK(a->tcp.window == b->tcp.window && a->tcp.flags == b->tcp.flags);
	if (a->flags & LAYER_TCP_TIMESTAMP)
		CHECK(a->tcp.ts_val == b->tcp.ts_val && a->tcp.ts_ecr == b->tcp.ts_ecr);
	if (a->flags & LAYER_TCP_MSS)
		CHECK(a->tcp.mss == b->tcp.mss);
	if (a->flags & LAYER_TCP_WSCALE)
		CHECK(a->tcp.wscale == b->tcp.wscale);
}

static inline void check_same(const struct packet *a, const struct packet *b)
{
	CHECK(a->protocols == b->protocols);
	CHECK(a->ethertype == b->ethertype);
	CHECK(a->arp_off == b->arp_off && a->eth_off == b->eth_off);
	CHECK(a->event_count == b->event_count);
	CHECK(memcmp(a->events, b->events, a->event_count) == 0);
	CHECK(a->vlan_count == b->vlan_count);
	CHECK(memcmp(a->vlan, b->vlan, a->vlan_count * sizeof(a->vlan[0])) == 0);
	CHECK(a->layer_count == b->layer_count);
	for (unsigned i = 0; i < a->layer_count; i++)
		check_same_layer(&a->layer[i], &b->layer[i]);
}

// Decodes a frame of which size bytes were captured. ret_packet's data is gone afterwards.
static inline void check_decode(const struct decode_config *config, uint16_t link,
	const uint8_t *data, uint32_t size, uint32_t wirelen, struct packet *ret_packet)
{
	static struct packet slow;
	uint8_t *exact = malloc(size > 0 ? size : 1);
	struct packet *p = ret_packet;

	CHECK(exact != NULL);
	memcpy(exact, data, size);
	memset(p, 0xa5, sizeof(*p)); // what decoding leaves alone must not be taken for a result
	p->data = exact;
	p->caplen = size;
	p->wirelen = wirelen;
	p->link = link;
	p->flags = size < wirelen ? PACKET_TRUNCATED : 0;
	memcpy(&slow, p, sizeof(slow));
	decode_burst(config, p, 1);
	decode_slow(config, &slow);
	check_packet(p, config);
	check_same(p, &slow);
	free(exact);
	p->data = NULL;
}

static inline bool check_has(const struct packet *p, enum event_id id)
{
	for (unsigned i = 0; i < p->event_count; i++)
		if (p->events[i] == id)
			return true;
	return false;
}
