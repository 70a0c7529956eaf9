// SPDX-License-Identifier: Apache-2.0
// Tunnels over UDP: VXLAN (RFC 7348) and VXLAN-GPE, GENEVE (RFC 8926), GTP-U (3GPP TS 29.281),
// Teredo (RFC 4380), GRE (RFC 8086) and MPLS (RFC 7510) in UDP.
// A port alone makes no tunnel, for clients use any port: version, reserved bits and, as far as
// they show, the inner headers must fit. What a datagram to a tunnel's port has wrong gets an event
// only where the rest leaves no doubt that a tunnel was meant, and never if it comes from a
// well-known port, since tunnel end points do not.
#include "decoder.h"

enum {
	PORT_L2TP = 1701,
	PORT_GTPU = 2152,
	PORT_TEREDO = 3544,
	PORT_GRE = 4754,
	PORT_VXLAN = 4789,
	PORT_VXLAN_GPE = 4790,
	PORT_GENEVE = 6081,
	PORT_MPLS = 6635,
	PORT_VXLAN_LINUX = 8472,
	PORTS_WELL_KNOWN = 1024,
};

static void tunnel_event(struct decoder *d, enum event_id event)
{
	if (d->layer->src_port >= PORTS_WELL_KNOWN)
		decoder_event(d, event);
}

// The next n bytes of a tunnel header or NULL; is_sure: a shorter payload is an event.
static const uint8_t *tunnel_need(struct decoder *d, uint32_t n, bool is_sure, enum event_id event)
{
	if (n > decoder_left(d)) {
		if (is_sure && decoder_left(d) > 0)
			tunnel_event(d, event);
		return NULL;
	}
	return decoder_peek(d, n);
}

static enum decode_next tunnel_vxlan(struct decoder *d, bool is_sure)
{
	enum { VNI = 0x08, GROUP = 0x80, DONT_LEARN = 0x40, APPLIED = 0x08 };
	const uint8_t *h = tunnel_need(d, 8, is_sure, EVENT_vxlan_short);
	enum decode_looks inner;
	bool is_valid;

	if (h == NULL)
		return DECODE_DONE;
	// Group policy (draft-smith-vxlan-group-policy) is the one extension in use on this port.
	is_valid = h[0] == VNI && h[1] == 0 && h[2] == 0 && h[3] == 0 && h[7] == 0;
	is_valid |= h[0] == (VNI | GROUP) && (h[1] & ~(DONT_LEARN | APPLIED)) == 0 && h[7] == 0;
	inner = decode_looks_ethernet(d, 8);
	if (!is_valid && inner == DECODE_LOOKS_YES && is_sure)
		tunnel_event(d, EVENT_vxlan_bad_flags);
	if (!is_valid || inner == DECODE_LOOKS_NO)
		return DECODE_DONE;
	d->p->protocols |= PROTOCOL_BIT(VXLAN);
	decoder_tunnel_id(d, TUNNEL_VXLAN, load_be32(h + 4) >> 8);
	decoder_skip(d, 8);
	return DECODE_ETHERNET;
}

static enum decode_next tunnel_vxlan_gpe(struct decoder *d, bool is_sure)
{
	enum { VERSION = 0x30, VNI = 0x08, PROTOCOL = 0x04, UNUSED = 0xc2 };
	enum { IPV4 = 1, IPV6 = 2, ETHERNET = 3, MPLS = 5 };
	const uint8_t *h = tunnel_need(d, 8, is_sure, EVENT_vxlan_short);
	enum decode_next next = DECODE_DONE;
	bool fits = true;

	if (h == NULL)
		return DECODE_DONE;
	if ((h[0] & PROTOCOL) == 0)
		return tunnel_vxlan(d, is_sure); // plain VXLAN is valid here, too
	switch (h[3]) {
	case IPV4:
		next = DECODE_IPV4;
		fits = decode_looks_ip(d, 8) != DECODE_LOOKS_NO &&
		       (decoder_captured(d) <= 8 || decode_looks_ip_version(d, 8, 4));
		break;
	case IPV6:
		next = DECODE_IPV6;
		fits = decode_looks_ip(d, 8) != DECODE_LOOKS_NO &&
		       (decoder_captured(d) <= 8 || decode_looks_ip_version(d, 8, 6));
		break;
	case ETHERNET:
		next = DECODE_ETHERNET;
		fits = decode_looks_ethernet(d, 8) != DECODE_LOOKS_NO;
		break;
	case MPLS:
		next = DECODE_MPLS;
		break;
	}
	if (!fits || h[1] != 0 || h[2] != 0 || h[7] != 0)
		return DECODE_DONE;
	if ((h[0] & (VERSION | UNUSED)) != 0 || (h[0] & VNI) == 0) {
		if (is_sure && next != DECODE_DONE)
			tunnel_event(d, EVENT_vxlan_bad_flags);
		return DECODE_DONE;
	}
	d->p->protocols |= PROTOCOL_BIT(VXLAN_GPE);
	decoder_tunnel_id(d, TUNNEL_VXLAN_GPE, load_be32(h + 4) >> 8);
	decoder_skip(d, 8);
	return next;
}

// Whether the options fill their space exactly; what was not captured is taken to do so.
static bool geneve_options_ok(struct cursor c, bool is_cut)
{
	while (cursor_left(&c) > 0) {
		const uint8_t *h = cursor_take(&c, 4);

		if (h == NULL || !cursor_skip(&c, (h[3] & 0x1fu) * 4))
			return is_cut;
	}
	return true;
}

static bool geneve_inner_fits(const struct decoder *d, uint16_t protocol, uint32_t size)
{
	bool is_captured = decoder_captured(d) > size;

	switch (protocol) {
	case ETHERTYPE_ETHERNET:
		return decode_looks_ethernet(d, size) != DECODE_LOOKS_NO;
	case ETHERTYPE_IPV4:
		return !is_captured || decode_looks_ip_version(d, size, 4);
	case ETHERTYPE_IPV6:
		return !is_captured || decode_looks_ip_version(d, size, 6);
	case ETHERTYPE_MPLS:
	case ETHERTYPE_ARP:
		return true;
	}
	return false;
}

static enum decode_next tunnel_geneve(struct decoder *d, bool is_sure)
{
	const uint8_t *h = tunnel_need(d, 8, is_sure, EVENT_geneve_short);
	uint32_t size, captured;
	uint16_t protocol;

	if (h == NULL)
		return DECODE_DONE;
	size = 8 + (h[0] & 0x3fu) * 4;
	protocol = load_be16(h + 2);
	if ((h[1] & 0x3f) != 0 || h[7] != 0)
		return DECODE_DONE; // reserved bits
	if (size > decoder_left(d)) {
		if (is_sure && protocol == ETHERTYPE_ETHERNET)
			tunnel_event(d, EVENT_geneve_opts);
		return DECODE_DONE;
	}
	if (!geneve_inner_fits(d, protocol, size))
		return DECODE_DONE;
	if (h[0] >> 6 != 0) {
		if (is_sure)
			tunnel_event(d, EVENT_geneve_version);
		return DECODE_DONE;
	}
	captured = decoder_captured(d);
	if (!geneve_options_ok(
		    cursor_of(h + 8, (size < captured ? size : captured) - 8), captured < size))
		decoder_event(d, EVENT_geneve_opts);
	d->p->protocols |= PROTOCOL_BIT(GENEVE);
	decoder_tunnel_id(d, TUNNEL_GENEVE, load_be32(h + 4) >> 8);
	decoder_skip(d, size);
	d->ethertype = protocol;
	return DECODE_ETHERTYPE;
}

// Optional fields and extension headers behind a GTP-U header. Returns false where they are cut.
static bool gtpu_extensions(struct decoder *d, bool has_extensions)
{
	const uint8_t *h = tunnel_need(d, 4, true, EVENT_gtpu_short);
	uint8_t type;

	if (h == NULL)
		return false;
	type = has_extensions ? h[3] : 0;
	decoder_skip(d, 4);
	while (type != 0) {
		uint32_t size;

		h = tunnel_need(d, 4, true, EVENT_gtpu_short);
		if (h == NULL)
			return false;
		size = h[0] * 4u;
		if (size == 0 || size > decoder_left(d)) {
			tunnel_event(d, EVENT_gtpu_short);
			return false;
		}
		h = decoder_peek(d, size);
		if (h == NULL)
			return false;
		type = h[size - 1];
		decoder_skip(d, size);
	}
	return true;
}

static bool gtpu_is_message(uint8_t type)
{
	switch (type) {
	case 1:   // echo request
	case 2:   // echo response
	case 26:  // error indication
	case 31:  // supported extension headers notification
	case 253: // tunnel status
	case 254: // end marker
	case 255: // G-PDU
		return true;
	}
	return false;
}

static enum decode_next tunnel_gtpu(struct decoder *d, bool is_sure)
{
	enum { TYPE_GTP = 0x10, SPARE = 0x08, EXTENSIONS = 0x04, FIELDS = 0x07, G_PDU = 255 };
	const uint8_t *h = tunnel_need(d, 8, is_sure, EVENT_gtpu_short);
	uint32_t size;

	if (h == NULL)
		return DECODE_DONE;
	size = load_be16(h + 2);
	if ((h[0] & (TYPE_GTP | SPARE)) != TYPE_GTP || !gtpu_is_message(h[1]))
		return DECODE_DONE;
	if (h[0] >> 5 != 1) {
		if (is_sure && size + 8 == decoder_left(d))
			tunnel_event(d, EVENT_gtpu_version);
		return DECODE_DONE;
	}
	if (size + 8 > decoder_left(d)) {
		if (is_sure)
			tunnel_event(d, EVENT_gtpu_short);
		return DECODE_DONE;
	}
	d->p->protocols |= PROTOCOL_BIT(GTPU);
	decoder_skip(d, 8);
	decoder_narrow(d, size);
	if (h[1] != G_PDU || (h[0] & FIELDS && !gtpu_extensions(d, h[0] & EXTENSIONS)))
		return DECODE_DONE;
	if (decode_looks_ip(d, 0) == DECODE_LOOKS_NO)
		return DECODE_DONE; // Ethernet or PPP session, or no IP at all
	decoder_tunnel(d, TUNNEL_GTPU);
	return decode_looks_ip_version(d, 0, 6) ? DECODE_IPV6 : DECODE_IPV4;
}

// Teredo: an IPv6 packet, with an authentication and an origin header before it where a server or
// relay put them there. Only with the server's port: what clients and relays exchange between other
// ports is known for Teredo by earlier packets alone.
static enum decode_next tunnel_teredo(struct decoder *d)
{
	enum { AUTHENTICATION = 1, ORIGIN = 0 };
	uint32_t skip = 0;
	const uint8_t *h = decoder_peek(d, 4);

	if (h != NULL && load_be16(h) == AUTHENTICATION) {
		skip = 4u + h[2] + h[3] + 8 + 1; // names, nonce, confirmation
		if (tunnel_need(d, skip, true, EVENT_teredo_short) == NULL)
			return DECODE_DONE;
	}
	h = decoder_peek(d, skip + 2);
	if (h != NULL && load_be16(h + skip) == ORIGIN) {
		skip += 8;
		if (tunnel_need(d, skip, true, EVENT_teredo_short) == NULL)
			return DECODE_DONE;
	}
	if (!decode_looks_ip_version(d, skip, 6))
		return DECODE_DONE;
	if (decoder_left(d) - skip < 40) {
		tunnel_event(d, EVENT_teredo_short);
		return DECODE_DONE;
	}
	if (decode_looks_ip(d, skip) == DECODE_LOOKS_NO)
		return DECODE_DONE;
	d->p->protocols |= PROTOCOL_BIT(TEREDO);
	decoder_tunnel(d, TUNNEL_TEREDO);
	decoder_skip(d, skip);
	return DECODE_IPV6;
}

static enum decode_next tunnel_gre(struct decoder *d)
{
	enum { FORBIDDEN = 0x4fff }; // RFC 8086: no routing, version 0
	const uint8_t *h = decoder_peek(d, 4);
	uint32_t skip = 4;

	if (h == NULL || load_be16(h) & FORBIDDEN)
		return DECODE_DONE;
	skip += h[0] & 0x80 ? 4 : 0;
	skip += h[0] & 0x20 ? 4 : 0;
	skip += h[0] & 0x10 ? 4 : 0;
	switch (load_be16(h + 2)) {
	case ETHERTYPE_IPV4:
	case ETHERTYPE_IPV6:
		if (decode_looks_ip(d, skip) == DECODE_LOOKS_NO)
			return DECODE_DONE;
		break;
	case ETHERTYPE_ETHERNET:
		if (decode_looks_ethernet(d, skip) == DECODE_LOOKS_NO)
			return DECODE_DONE;
		break;
	case ETHERTYPE_MPLS:
		break;
	default:
		return DECODE_DONE;
	}
	return decode_gre(d);
}

static enum decode_next tunnel_mpls(struct decoder *d)
{
	const uint8_t *h;
	uint32_t size = 0;

	do {
		size += 4;
		h = decoder_peek(d, size);
		if (h == NULL || size > 4 * 16)
			return DECODE_DONE;
	} while ((h[size - 2] & 1) == 0);
	if (decode_looks_ip(d, size) != DECODE_LOOKS_YES &&
		decode_looks_ethernet(d, size) != DECODE_LOOKS_YES &&
		decode_looks_ethernet(d, size + 4) != DECODE_LOOKS_YES) // behind a control word
		return DECODE_DONE;
	decoder_tunnel(d, TUNNEL_MPLS);
	return DECODE_MPLS;
}

static bool tunnel_is_l2tp(const struct decoder *d)
{
	enum { CONTROL = 0x80, LENGTH = 0x40, SEQUENCE = 0x08, RESERVED = 0x34 };
	const uint8_t *h = decoder_peek(d, 6);

	if (h == NULL || (h[1] != 2 && h[1] != 3) || h[0] & RESERVED)
		return false;
	if (h[0] & CONTROL && (h[0] & (LENGTH | SEQUENCE)) != (LENGTH | SEQUENCE))
		return false;
	return (h[0] & LENGTH) == 0 || load_be16(h + 2) <= decoder_left(d);
}

static enum decode_next tunnel_by_port(struct decoder *d, uint16_t port, bool is_sure)
{
	switch (port) {
	case PORT_VXLAN:
	case PORT_VXLAN_LINUX:
		return tunnel_vxlan(d, is_sure);
	case PORT_VXLAN_GPE:
		return tunnel_vxlan_gpe(d, is_sure);
	case PORT_GENEVE:
		return tunnel_geneve(d, is_sure);
	case PORT_GTPU:
		return tunnel_gtpu(d, is_sure);
	case PORT_TEREDO:
		return tunnel_teredo(d);
	case PORT_GRE:
		return tunnel_gre(d);
	case PORT_MPLS:
		return tunnel_mpls(d);
	}
	return DECODE_DONE;
}

enum decode_next decode_udp_tunnel(struct decoder *d)
{
	uint16_t src = d->layer->src_port;
	uint16_t dst = d->layer->dst_port;
	uint32_t off = d->off; // still the same: no tunnel so far
	enum decode_next next;

	if ((src == PORT_L2TP || dst == PORT_L2TP) && tunnel_is_l2tp(d))
		d->p->protocols |= PROTOCOL_BIT(L2TP);
	next = tunnel_by_port(d, dst, true);
	if (next == DECODE_DONE && d->off == off && src != dst)
		next = tunnel_by_port(d, src, false);
	return next;
}
