// SPDX-License-Identifier: Apache-2.0
// One packet on its way through the stages: where its bytes are, when it came, and what decoding
// found in it. The descriptor lives in an array of the worker that received the packet (or, passed
// on, in the ring between two workers); the bytes live in an mbuf or in a capture's chunk.
// No stage allocates a packet; a stage writes only the fields that its section names.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;
struct chunk;

enum {
	PACKET_LAYERS_MAX = 8, // IP headers in one frame; deeper ones are counted, not followed
	PACKET_VLANS_MAX = 4,  // tags kept; more are skipped (event vlan_too_deep)
	PACKET_EVENTS_MAX = 8, // events kept per packet; all are counted by the first eight
	PACKET_BURST = 64,     // packets per burst, everywhere
};

// Link types by their number in the pcap registry; others are counted as unknown_link_type.
enum link_type {
	LINK_NULL = 0,
	LINK_ETHERNET = 1,
	LINK_RAW = 101,
	LINK_LOOP = 108,
	LINK_SLL = 113,
	LINK_IPV4 = 228,
	LINK_IPV6 = 229,
	LINK_SLL2 = 276,
};

enum packet_flag {
	PACKET_LOSSLESS = 1 << 0,  // from a file: wait, never drop
	PACKET_TRUNCATED = 1 << 1, // captured bytes are fewer than wire bytes
	PACKET_VLAN_STRIPPED = 1 << 2,
	PACKET_DEFRAGGED = 1 << 3, // its fragment, if any, has been through the defrag stage
};

enum tunnel_type {
	TUNNEL_NONE,
	TUNNEL_IPIP, // IPv4 or IPv6 directly in IPv4 or IPv6
	TUNNEL_GRE,
	TUNNEL_NVGRE,
	TUNNEL_ERSPAN,
	TUNNEL_VXLAN,
	TUNNEL_VXLAN_GPE,
	TUNNEL_GENEVE,
	TUNNEL_GTPU,
	TUNNEL_TEREDO,
	TUNNEL_MPLS, // labels in IP or UDP; labels below the first IP header are no tunnel
	TUNNEL_TYPES,
};

enum layer_flag {
	LAYER_FRAGMENT = 1 << 0, // has MF, an offset, or an IPv6 fragment header that is not atomic
	LAYER_FIRST_FRAGMENT = 1 << 1, // offset 0
	LAYER_L4 = 1 << 2, // the L4 header was read: payload_* and, for TCP, tcp are valid
	LAYER_ICMP_ONE_WAY = 1 << 3,  // ICMP type without counterpart (Community ID 1.0)
	LAYER_TUNNEL_ID = 1 << 4,     // tunnel_id is set
	LAYER_TCP_TIMESTAMP = 1 << 5, // tcp.ts_val and tcp.ts_ecr are set
	LAYER_TCP_WSCALE = 1 << 6,
	LAYER_TCP_MSS = 1 << 7,
};

// An owner for layers that are not to be counted (again) in any flow.
#define LAYER_NOT_COUNTED 0xff

// What one IP header and the transport header behind it say. Offsets count from packet.data.
struct ip_layer {
	uint8_t src[16]; // IPv4: first four bytes, the rest zero
	uint8_t dst[16];
	uint16_t src_port; // host order; ICMP: as Community ID 1.0 maps type and code; else 0
	uint16_t dst_port;
	uint8_t version; // 4 or 6
	uint8_t proto;   // protocol number behind all extension headers
	uint8_t ttl;     // or hop limit
	uint8_t tos;     // or traffic class
	uint16_t flags;  // enum layer_flag
	uint8_t icmp_type;
	uint8_t icmp_code;
	uint32_t l3_off;
	uint32_t l4_off;
	uint32_t payload_off; // L4 payload, valid with LAYER_L4
	uint32_t l3_len;      // by the header: IPv4 total length, IPv6 payload length + 40
	uint32_t payload_len; // L4 payload by the headers, not by what was captured
	uint32_t frag_id;
	uint32_t frag_off; // bytes
	struct {
		uint32_t seq;
		uint32_t ack;
		uint32_t ts_val;
		uint32_t ts_ecr;
		uint16_t window;
		uint16_t mss;
		uint8_t flags; // wire bits: FIN 1 SYN 2 RST 4 PSH 8 ACK 16 URG 32 ECE 64 CWR 128
		uint8_t wscale;
	} tcp;
	uint8_t tunnel_type; // enum tunnel_type: how this layer lies in the layer before it
	uint8_t owner;       // worker that owns the flow (set by steering)
	uint8_t swapped;     // set with hash: dst is the lower end of the canonical key
	uint8_t more_fragments;
	uint32_t tunnel_id; // VNI, GRE key, VSID, ERSPAN session; not GTP's TEID
	uint64_t
		tunnel_hash; // identity of the whole tunnel path, 0 outside tunnels (set with hash)
	uint64_t hash;       // of the canonical key (set by flow_key_hash)
	uint64_t key[2];     // the key as the flow table compares it (set with hash)
};

struct packet {
	// Set by the source.
	const uint8_t *data; // contiguous; valid until the packet is released
	uint32_t caplen;     // bytes at data
	uint32_t wirelen;    // frame bytes on the wire without FCS
	uint64_t ts_ns;      // since the epoch, from the capture's time source
	uint64_t now_ns; // the capture's clock at this packet: never goes back (see capture_clock)
	uint64_t seq;    // number within its capture, from 1
	struct rte_mbuf *mbuf; // holds data, or NULL
	struct chunk *
		chunk; // holds data, or NULL; one of the two is set, but for the accounting of fragments, which has no bytes
	uint16_t capture; // index of the capture
	uint16_t queue;
	uint16_t link; // enum link_type
	uint8_t flags; // enum packet_flag
	// Set by decode.
	uint8_t layer_count;
	uint8_t vlan_count;
	uint8_t event_count;
	uint8_t events[PACKET_EVENTS_MAX]; // enum event_id
	uint16_t vlan[PACKET_VLANS_MAX];   // ids only, outermost first
	uint16_t ethertype; // of the outermost payload behind tags and labels, 0 unknown
	uint32_t arp_off;   // 0: no ARP header
	uint32_t eth_off;   // outermost Ethernet header; UINT32_MAX none
	uint64_t protocols; // bit set of enum protocol_id: the frame's header stack
	struct ip_layer layer[PACKET_LAYERS_MAX];
} __attribute__((aligned(64)));

// A burst is an array of these: an odd number of cache lines keeps the same field of 64 packets from
// falling into the same few cache sets.
_Static_assert(sizeof(struct packet) / 64 % 2 == 1, "packet stride in cache lines must be odd");

// Bytes of a packet that matter to whoever it is passed on to.
static inline size_t packet_size(const struct packet *p)
{
	return offsetof(struct packet, layer) + p->layer_count * sizeof(struct ip_layer);
}
