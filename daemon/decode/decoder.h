// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share: the state of one frame's decoding and the bounded reads all
// header functions go through. Not part of the stage's interface.
//
// Two ends are kept apart. `end` is where the headers so far, or the frame on the wire, say that the
// bytes stop: a header beyond it is malformed and gets its event. `cap` is where reading must stop:
// captured bytes only, and never beyond any enclosing header's length (Ethernet padding is nobody's
// payload). A header that lies before `end` but beyond `cap` was merely cut by the snap length (or
// its enclosing header lied, which has had its own event): decoding stops there without a word.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cursor.h"
#include "decode.h"
#include "events.h"
#include "packet.h"
#include "protocols.h"

// What lies at decoder.off.
enum decode_next {
	DECODE_DONE,
	DECODE_ETHERNET,
	DECODE_ETHERTYPE, // decoder.ethertype says
	DECODE_LLC,
	DECODE_MPLS,
	DECODE_PPP,
	DECODE_IPV4,
	DECODE_IPV6,
	DECODE_TRANSPORT, // decoder.proto says
};

enum {
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_ARP = 0x0806,
	ETHERTYPE_ETHERNET = 0x6558, // transparent Ethernet bridging
	ETHERTYPE_RARP = 0x8035,
	ETHERTYPE_VLAN = 0x8100,
	ETHERTYPE_IPV6 = 0x86dd,
	ETHERTYPE_PPP = 0x880b,
	ETHERTYPE_MPLS = 0x8847,
	ETHERTYPE_MPLS_MULTICAST = 0x8848,
	ETHERTYPE_PPPOE_DISCOVERY = 0x8863,
	ETHERTYPE_PPPOE = 0x8864,
	ETHERTYPE_EAPOL = 0x888e,
	ETHERTYPE_QINQ = 0x88a8,
	ETHERTYPE_LLDP = 0x88cc,
	ETHERTYPE_MACSEC = 0x88e5,
	ETHERTYPE_PBB = 0x88e7,   // 802.1ah I-TAG
	ETHERTYPE_CMD = 0x8909,   // Cisco metadata (security group tag)
	ETHERTYPE_VNTAG = 0x8926, // Cisco, 802.1Qbh
	ETHERTYPE_ETAG = 0x893f,  // 802.1BR
	ETHERTYPE_QINQ_OLD = 0x9100,
	ETHERTYPE_QINQ_OLDER = 0x9200,
};

enum {
	IP_HOPOPTS = 0,
	IP_ICMP = 1,
	IP_IGMP = 2,
	IP_IPV4 = 4,
	IP_TCP = 6,
	IP_UDP = 17,
	IP_DCCP = 33,
	IP_IPV6 = 41,
	IP_ROUTING = 43,
	IP_FRAGMENT = 44,
	IP_GRE = 47,
	IP_ESP = 50,
	IP_AH = 51,
	IP_ICMPV6 = 58,
	IP_NONE = 59,
	IP_DSTOPTS = 60,
	IP_EIGRP = 88,
	IP_OSPF = 89,
	IP_PIM = 103,
	IP_VRRP = 112,
	IP_L2TP = 115,
	IP_SCTP = 132,
	IP_MOBILITY = 135,
	IP_UDPLITE = 136,
	IP_MPLS = 137,
	IP_HIP = 139,
	IP_SHIM6 = 140,
};

struct decoder {
	const struct decode_config *config;
	struct packet *p;
	struct ip_layer *layer; // innermost so far, NULL before the first
	uint32_t off;           // of what is looked at next; never beyond end
	uint32_t end;           // see above
	uint32_t cap;           // see above; never beyond end
	uint16_t ethertype;
	uint8_t proto;
	uint8_t tunnel_type; // enum tunnel_type that the next IP layer lies in
	bool has_tunnel_id;
	bool is_routed; // the header's destination is not the final one: no L4 checksum by it
	uint32_t tunnel_id;
};

static inline void decoder_event(struct decoder *d, enum event_id id)
{
	packet_event(d->p, id);
}

// Bytes that the headers promise from here on.
static inline uint32_t decoder_left(const struct decoder *d)
{
	return d->end - d->off;
}

// Bytes that may be read from here on.
static inline uint32_t decoder_captured(const struct decoder *d)
{
	return d->cap > d->off ? d->cap - d->off : 0;
}

// Bytes from here to the end, for headers that leave their length open. Where the end is not known
// (a mirror cut the frame and said so) it is what was captured.
static inline uint32_t decoder_rest(const struct decoder *d)
{
	return d->end == UINT32_MAX ? decoder_captured(d) : decoder_left(d);
}

// The next n bytes (n > 0), or NULL: not captured, or not there.
static inline const uint8_t *decoder_peek(const struct decoder *d, uint32_t n)
{
	return n <= decoder_captured(d) ? d->p->data + d->off : NULL;
}

// The next n bytes of a header (n > 0), or NULL; the event is noted where they are not there even
// by the wire's length.
static inline const uint8_t *decoder_need(struct decoder *d, uint32_t n, enum event_id event)
{
	if (n > decoder_left(d)) {
		decoder_event(d, event);
		return NULL;
	}
	return decoder_peek(d, n);
}

// Moves on behind a header of n bytes, which is at most decoder_left.
static inline void decoder_skip(struct decoder *d, uint32_t n)
{
	d->off += n;
}

// A length field says that what starts here has n bytes. Returns false where that is more than the
// enclosing header left; the length is believed all the same, only reading stays within bounds.
static inline bool decoder_narrow(struct decoder *d, uint32_t n)
{
	bool fits = n <= decoder_left(d);

	d->end = n <= UINT32_MAX - d->off ? d->off + n : UINT32_MAX;
	if (d->cap > d->end)
		d->cap = d->end;
	return fits;
}

// What follows lies in a tunnel: the next IP layer will say so.
static inline void decoder_tunnel(struct decoder *d, enum tunnel_type type)
{
	d->tunnel_type = (uint8_t)type;
	d->has_tunnel_id = false;
}

static inline void decoder_tunnel_id(struct decoder *d, enum tunnel_type type, uint32_t id)
{
	d->tunnel_type = (uint8_t)type;
	d->has_tunnel_id = true;
	d->tunnel_id = id;
}

// The complete way through a frame, without the short cut. Tests hold the two against each other.
void decode_slow(const struct decode_config *, struct packet *);

// Opens the next ip_layer, or returns NULL and notes too_many_layers.
struct ip_layer *decoder_layer(struct decoder *d);

// One header each; they move decoder.off and say what follows.
enum decode_next decode_link(struct decoder *d);
enum decode_next decode_ethernet(struct decoder *d);
enum decode_next decode_ethertype(struct decoder *d);
enum decode_next decode_llc(struct decoder *d);
enum decode_next decode_arp(struct decoder *d);
enum decode_next decode_mpls(struct decoder *d);
enum decode_next decode_pppoe(struct decoder *d, bool is_session);
enum decode_next decode_ppp(struct decoder *d);
enum decode_next decode_ip4(struct decoder *d);
enum decode_next decode_ip6(struct decoder *d);
enum decode_next decode_transport(struct decoder *d);
enum decode_next decode_icmp(struct decoder *d);
enum decode_next decode_icmp6(struct decoder *d);
enum decode_next decode_gre(struct decoder *d);
enum decode_next decode_udp_tunnel(struct decoder *d);

// Notes what is wrong with an authentication header and returns its length, 0 where it cannot be
// read. ret_next: the protocol behind it.
uint32_t decode_ah(struct decoder *d, uint8_t *ret_next);

// Reads TCP options into the layer. is_cut: the capture ends before the options do.
// Returns false where a length is wrong.
bool decode_tcp_options(struct ip_layer *l, struct cursor options, bool is_cut);

// How much n more bytes at an offset look like a header, for tunnels and labels that do not say
// what they carry. NO: something in it contradicts; MAYBE: not all there, or nothing to check by.
enum decode_looks { DECODE_LOOKS_NO, DECODE_LOOKS_MAYBE, DECODE_LOOKS_YES };

enum decode_looks decode_looks_ethernet(const struct decoder *d, uint32_t skip);
enum decode_looks decode_looks_ip(const struct decoder *d, uint32_t skip);
bool decode_looks_ip_version(const struct decoder *d, uint32_t skip, unsigned version);

// Whether the Internet checksum over the L4 bytes of the layer (with pseudo header) is right. All
// of l4_len bytes must be captured.
bool decode_checksum_l4(
	const struct packet *p, const struct ip_layer *l, uint32_t l4_len, bool with_pseudo_header);
bool decode_checksum_ok(const uint8_t *data, uint32_t n);

// Whether a UDP port is one that decode_udp_tunnel knows. All lanes are compared at once: a table of 64 Ki bits
// would cost a cache line for each ephemeral port and a switch a mispredicted branch.
static inline bool decode_is_tunnel_port(uint16_t src, uint16_t dst)
{
	typedef uint16_t lanes __attribute__((vector_size(16)));
	const lanes ports = {2152, 3544, 4754, 4789, 4790, 6081, 6635, 8472};
	lanes hit = (lanes)(ports == src) | (lanes)(ports == dst);
	uint64_t half[2];

	memcpy(half, &hit, sizeof(half));
	return (half[0] | half[1]) != 0 || src == 1701 || dst == 1701;
}
