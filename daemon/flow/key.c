// SPDX-License-Identifier: Apache-2.0
// Keys: what makes packets one flow. The canonical key orders the two ends (address, then port), but
// for one-way ICMP, whose direction is part of it as Community ID 1.0 has it. The table's hash is
// seeded; flow_id is not, so that it is the same in every run.
#include <string.h>

#include "flow_internal.h"
#include "hash.h"

static inline uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint64_t load64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

// Which of two ends is the lower one no processor can guess: no branches on it.
static inline bool is_swapped(const struct ip_layer *l)
{
	bool is_higher;

	if (l->version == 4) {
		uint64_t s = (uint64_t)load32(l->src) << 16 | l->src_port;
		uint64_t d = (uint64_t)load32(l->dst) << 16 | l->dst_port;

		is_higher = s > d;
	} else {
		int c = memcmp(l->src, l->dst, 16);

		is_higher = c != 0 ? c > 0 : l->src_port > l->dst_port;
	}
	return is_higher & !(l->flags & LAYER_ICMP_ONE_WAY);
}

static inline bool is_extended(
	const struct flow_config *c, const struct packet *p, const struct ip_layer *l)
{
	return l->version != 4 || (c->key_tunnel && l->tunnel_hash != 0) ||
	       (c->key_vlan && p->vlan_count > 0);
}

static inline uint64_t vlan_word(const struct flow_config *c, const struct packet *p)
{
	uint64_t w = 0;

	if (!c->key_vlan || p->vlan_count == 0)
		return 0;
	for (unsigned i = 0; i < p->vlan_count; i++)
		w = w << 16 | p->vlan[i] | 0x1000;
	return w;
}

// x or, where it is swapped, y.
static inline uint64_t either(bool swapped, uint64_t x, uint64_t y)
{
	return x ^ ((x ^ y) & -(uint64_t)swapped);
}

// Ports and protocol; capture and version are added for comparison, not for hashing.
static inline uint64_t first_word(const struct ip_layer *l, bool swapped)
{
	uint64_t s = l->src_port, d = l->dst_port;

	return either(swapped, s | d << 16, d | s << 16) | (uint64_t)l->proto << 32;
}

static inline uint64_t ipv4_word(const struct ip_layer *l, bool swapped)
{
	uint64_t s = load32(l->src), d = load32(l->dst);

	return either(swapped, s | d << 32, d | s << 32);
}

// Everything that is not in the first word, for keys that do not fit into two words.
static uint64_t digest(const struct hash_seed *seed, const struct flow_config *c,
	const struct packet *p, const struct ip_layer *l, uint64_t tunnel)
{
	const uint8_t *a = l->swapped ? l->dst : l->src, *b = l->swapped ? l->src : l->dst;
	uint64_t h = hash_2(seed, load64(a), load64(a + 8));

	h = hash_more(seed, h, load64(b), load64(b + 8));
	return hash_more(seed, h, c->key_tunnel ? tunnel : 0, vlan_word(c, p) ^ l->version);
}

// Identity of the path of tunnels around a layer, the pair of outer addresses unordered.
static uint64_t tunnel_identity(const struct hash_seed *seed, uint64_t outer,
	const struct ip_layer *around, const struct ip_layer *l)
{
	const uint8_t *a = around->src, *b = around->dst;
	uint64_t id = l->flags & LAYER_TUNNEL_ID ? UINT64_C(1) << 40 | l->tunnel_id : 0, h;

	if (memcmp(a, b, 16) > 0) {
		a = around->dst;
		b = around->src;
	}
	h = hash_2(seed, (uint64_t)l->tunnel_type << 32 | id, outer ^ around->version);
	h = hash_more(seed, h, load64(a), load64(a + 8));
	h = hash_more(seed, h, load64(b), load64(b + 8));
	return h | 1;
}

void flow_key_hash(const struct flow_config *c, struct packet *pkts, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct packet *p = &pkts[i];

		for (unsigned j = 0; j < p->layer_count; j++) {
			struct ip_layer *l = &p->layer[j];
			uint64_t w0, w1;
			bool extended;

			l->swapped = is_swapped(l);
			l->tunnel_hash = j == 0 ? 0
			                        : tunnel_identity(
							  &hash_seed, l[-1].tunnel_hash, &l[-1], l);
			extended = is_extended(c, p, l);
			w0 = first_word(l, l->swapped);
			w1 = !extended ? ipv4_word(l, l->swapped)
			               : digest(&hash_seed, c, p, l, l->tunnel_hash);
			l->hash = hash_2(&hash_seed, w0, w1);
			l->key[0] = w0 | (uint64_t)p->capture << 40 |
			            (uint64_t)(extended ? FLOW_KIND_EXTENDED : FLOW_KIND_IPV4)
			                    << 48 |
			            (uint64_t)(l->version == 4) << 50;
			l->key[1] = w1;
		}
	}
}

uint64_t flow_key_rehash(const uint64_t word[2])
{
	return hash_2(&hash_seed, word[0] & ((UINT64_C(1) << 40) - 1), word[1]);
}

bool flow_key_equal_extended(
	const struct flow_table *t, uint32_t i, const struct packet *p, const struct ip_layer *l)
{
	const uint8_t *a = l->swapped ? l->dst : l->src, *b = l->swapped ? l->src : l->dst;

	if (memcmp(t->ends[i].a, a, 16) != 0 || memcmp(t->ends[i].b, b, 16) != 0)
		return false;
	// The tunnel is in the digest, a seeded hash of 64 bits like this one.
	return !t->config.key_vlan ||
	       (t->turn[i].vlan_count == p->vlan_count &&
		       memcmp(t->cold[i].vlan, p->vlan, p->vlan_count * sizeof(p->vlan[0])) == 0);
}

uint64_t flow_key_id(const struct flow_capture_state *capture, const struct flow_config *c,
	const struct packet *p, unsigned layer, const uint64_t word[2])
{
	const struct ip_layer *l = &p->layer[layer];
	uint64_t tunnel = 0, h;

	for (unsigned i = 1; i <= layer; i++)
		tunnel = tunnel_identity(&hash_fixed, tunnel, &p->layer[i - 1], &p->layer[i]);
	h = digest(&hash_fixed, c, p, l, tunnel);
	h = hash_more(&hash_fixed, h, word[0] & ~(UINT64_C(0xff) << 40), capture->name_hash);
	// The occurrence: in files the number of the packet (live, queues count apart), where a connection
	// follows another at the same time its first segment, and the layer for a flow that is in several
	// layers of one packet.
	h = hash_more(&hash_fixed, h, p->ts_ns, capture->lossless ? p->seq << 3 | layer : layer);
	if (l->proto == 6 && (l->flags & LAYER_L4))
		h = hash_more(&hash_fixed, h, l->tcp.seq, l->tcp.flags);
	h &= (UINT64_C(1) << 53) - 1;
	return h != 0 ? h : 1;
}
