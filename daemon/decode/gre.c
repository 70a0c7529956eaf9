// SPDX-License-Identifier: Apache-2.0
// GRE (RFC 2784, 2890, routing of RFC 1701), its version 1 of PPTP (RFC 2637), NVGRE (RFC 7637),
// ERSPAN I to III and WCCP's redirection, down to the header that they carry.
#include "decoder.h"

enum {
	GRE_CHECKSUM = 0x8000,
	GRE_ROUTING = 0x4000,
	GRE_KEY = 0x2000,
	GRE_SEQUENCE = 0x1000,
	GRE_STRICT_ROUTE = 0x0800,
	GRE_RECURSION = 0x0700,
	GRE_ACK = 0x0080, // version 1
	GRE_RESERVED = 0x00f8,
	GRE_VERSION = 0x0007,

	GRE_ERSPAN = 0x88be, // I without a sequence number, else II
	GRE_ERSPAN3 = 0x22eb,
	GRE_WCCP = 0x883e,
};

static enum decode_next gre_erspan(struct decoder *d, uint32_t flags, uint16_t protocol)
{
	enum { VERSION_2 = 1, VERSION_3 = 2, TRUNCATED = 0x0400, FRAME_IP = 2 };
	const uint8_t *h;
	uint32_t size;
	unsigned version, frame_type;

	d->p->protocols |= PROTOCOL_BIT(ERSPAN);
	if (protocol == GRE_ERSPAN && (flags & GRE_SEQUENCE) == 0) {
		decoder_tunnel(d, TUNNEL_ERSPAN); // type I: no header of its own
		return DECODE_ETHERNET;
	}
	h = decoder_need(d, 8, EVENT_erspan_short);
	if (h == NULL)
		return DECODE_DONE;
	version = h[0] >> 4;
	if (version != VERSION_2 && version != VERSION_3) {
		decoder_event(d, EVENT_erspan_version);
		return DECODE_DONE;
	}
	decoder_tunnel_id(d, TUNNEL_ERSPAN, load_be16(h + 2) & 0x3ff);
	size = 8;
	frame_type = 0;
	if (version == VERSION_3) {
		h = decoder_need(d, 12, EVENT_erspan_short);
		if (h == NULL)
			return DECODE_DONE;
		frame_type = h[10] >> 2 & 0x1f;
		size = h[11] & 1 ? 20 : 12; // O: a platform's sub-header follows
	}
	if (decoder_need(d, size, EVENT_erspan_short) == NULL)
		return DECODE_DONE;
	decoder_skip(d, size);
	if (load_be16(h + 2) & TRUNCATED)
		d->end = UINT32_MAX; // cut by the mirror: its length is not known any more
	if (frame_type == FRAME_IP)
		return decode_looks_ip_version(d, 0, 6) ? DECODE_IPV6 : DECODE_IPV4;
	return DECODE_ETHERNET;
}

// What a version 0 header without routing carries.
static enum decode_next gre_payload(struct decoder *d, uint32_t flags, uint16_t protocol)
{
	switch (protocol) {
	case ETHERTYPE_IPV4:
	case ETHERTYPE_IPV6:
	case ETHERTYPE_ARP:
	case ETHERTYPE_VLAN:
	case ETHERTYPE_QINQ:
	case ETHERTYPE_MPLS:
	case ETHERTYPE_MPLS_MULTICAST:
	case ETHERTYPE_ETHERNET:
	case ETHERTYPE_PPP:
		d->ethertype = protocol;
		return DECODE_ETHERTYPE;
	case GRE_ERSPAN:
	case GRE_ERSPAN3:
		return gre_erspan(d, flags, protocol);
	case GRE_WCCP: // version 2 puts four bytes before the packet, version 1 none
		if (!decode_looks_ip_version(d, 0, 4)) {
			if (decoder_need(d, 4, EVENT_gre_truncated) == NULL)
				return DECODE_DONE;
			decoder_skip(d, 4);
		}
		return DECODE_IPV4;
	}
	return DECODE_DONE;
}

// Skips the source route entries of RFC 1701; the last has no family and no length.
static bool gre_routing(struct decoder *d)
{
	for (;;) {
		const uint8_t *h = decoder_need(d, 4, EVENT_gre_truncated);
		uint32_t size;

		if (h == NULL)
			return false;
		size = 4u + h[3];
		if (decoder_need(d, size, EVENT_gre_truncated) == NULL)
			return false;
		decoder_skip(d, size);
		if (load_be16(h) == 0 && size == 4)
			return true;
	}
}

// NVGRE and keyed transparent Ethernet look alike. NVGRE's network numbers begin at 0x1000, so a
// key below that is an ordinary one; else its low byte is a flow number, no identity.
static void gre_identity(struct decoder *d, uint32_t flags, uint16_t protocol, uint32_t key)
{
	if ((flags & GRE_KEY) == 0) {
		decoder_tunnel(d, TUNNEL_GRE);
	} else if (protocol == ETHERTYPE_ETHERNET && flags == GRE_KEY && key >> 8 >= 0x1000) {
		d->p->protocols |= PROTOCOL_BIT(NVGRE);
		decoder_tunnel_id(d, TUNNEL_NVGRE, key >> 8);
	} else {
		decoder_tunnel_id(d, TUNNEL_GRE, key);
	}
}

static enum decode_next gre_version0(struct decoder *d, uint32_t flags, uint16_t protocol)
{
	uint32_t size = 4;
	uint32_t key = 0;
	const uint8_t *h;

	if (flags & (GRE_RECURSION | GRE_RESERVED)) {
		decoder_event(d, EVENT_gre_flags);
		return DECODE_DONE;
	}
	if (flags & (GRE_CHECKSUM | GRE_ROUTING))
		size += 4;
	if (flags & GRE_KEY)
		size += 4;
	if (flags & GRE_SEQUENCE)
		size += 4;
	h = decoder_need(d, size, EVENT_gre_truncated);
	if (h == NULL)
		return DECODE_DONE;
	if (flags & GRE_KEY)
		key = load_be32(h + (flags & (GRE_CHECKSUM | GRE_ROUTING) ? 8 : 4));
	decoder_skip(d, size);
	if (flags & GRE_ROUTING && !gre_routing(d))
		return DECODE_DONE;
	gre_identity(d, flags, protocol, key);
	return gre_payload(d, flags, protocol);
}

// PPTP's: the key is payload length and call number; each direction has its own, so it is no
// identity. Without a sequence number there is no payload, only an acknowledgment.
static enum decode_next gre_version1(struct decoder *d, uint32_t flags, uint16_t protocol)
{
	const uint8_t *h;
	uint32_t size = 8;

	if ((flags & GRE_KEY) == 0 || protocol != ETHERTYPE_PPP ||
		flags & (GRE_CHECKSUM | GRE_ROUTING | GRE_STRICT_ROUTE | GRE_RECURSION | 0x78)) {
		decoder_event(d, EVENT_gre_flags);
		return DECODE_DONE;
	}
	if (flags & GRE_SEQUENCE)
		size += 4;
	if (flags & GRE_ACK)
		size += 4;
	h = decoder_need(d, size, EVENT_gre_truncated);
	if (h == NULL || (flags & GRE_SEQUENCE) == 0)
		return DECODE_DONE;
	decoder_skip(d, size);
	if (load_be16(h + 4) == 0)
		return DECODE_DONE;
	if (!decoder_narrow(d, load_be16(h + 4)))
		decoder_event(d, EVENT_gre_truncated);
	decoder_tunnel(d, TUNNEL_GRE);
	return DECODE_PPP;
}

enum decode_next decode_gre(struct decoder *d)
{
	const uint8_t *h = decoder_need(d, 4, EVENT_gre_truncated);
	uint32_t flags;

	d->p->protocols |= PROTOCOL_BIT(GRE);
	if (h == NULL)
		return DECODE_DONE;
	flags = load_be16(h);
	switch (flags & GRE_VERSION) {
	case 0:
		return gre_version0(d, flags, load_be16(h + 2));
	case 1:
		return gre_version1(d, flags & ~1u, load_be16(h + 2));
	}
	decoder_event(d, EVENT_gre_version);
	return DECODE_DONE;
}
