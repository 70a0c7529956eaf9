// SPDX-License-Identifier: Apache-2.0
// What lies behind the IP headers: TCP (RFC 9293), UDP (RFC 768), UDP-Lite, SCTP, DCCP, IGMP, the
// protocols that are only recognised, and the way into IP-in-IP, GRE and the tunnels over UDP.
// The slow, complete reading; decode.c has a short cut for plain TCP and UDP that must agree.
#include "decoder.h"

static void transport_ports(struct decoder *d)
{
	const uint8_t *h = decoder_peek(d, 4);

	if (h == NULL)
		return;
	d->layer->src_port = load_be16(h);
	d->layer->dst_port = load_be16(h + 2);
}

// The L4 header was read: n bytes long, the rest is payload. Of a header whose options the snap
// length cut no payload was captured, so the offset stays within the captured bytes.
static void transport_read(struct decoder *d, uint32_t n)
{
	struct ip_layer *l = d->layer;
	uint32_t captured = decoder_captured(d);

	l->flags |= LAYER_L4;
	l->payload_off = d->off + (n < captured ? n : captured);
	l->payload_len = decoder_left(d) - n;
}

// n: L4 bytes. Only what was captured whole can be verified, and only by the final destination.
static void transport_checksum(
	struct decoder *d, uint32_t n, bool with_pseudo_header, enum event_id event)
{
	if (!d->config->verify_checksum || n > decoder_captured(d))
		return;
	if (with_pseudo_header && d->is_routed)
		return;
	if (!decode_checksum_l4(d->p, d->layer, n, with_pseudo_header))
		decoder_event(d, event);
}

bool decode_tcp_options(struct ip_layer *l, struct cursor c, bool is_cut)
{
	enum { END, NOP, MSS, WINDOW_SCALE, SACK_PERMITTED, SACK, TIMESTAMP = 8 };

	while (cursor_left(&c) > 0) {
		uint8_t kind = *cursor_take(&c, 1);
		const uint8_t *data;
		uint8_t size;

		if (kind == END)
			return true;
		if (kind == NOP)
			continue;
		if (!cursor_u8(&c, &size))
			return is_cut;
		if (size < 2)
			return false;
		data = cursor_take(&c, size - 2u);
		if (data == NULL)
			return is_cut;
		switch (kind) {
		case MSS:
			if (size != 4)
				return false;
			l->tcp.mss = load_be16(data);
			l->flags |= LAYER_TCP_MSS;
			break;
		case WINDOW_SCALE:
			if (size != 3)
				return false;
			l->tcp.wscale = data[0];
			l->flags |= LAYER_TCP_WSCALE;
			break;
		case SACK_PERMITTED:
			if (size != 2)
				return false;
			break;
		case SACK: // one to four blocks
			if (size < 10 || size % 8 != 2)
				return false;
			break;
		case TIMESTAMP:
			if (size != 10)
				return false;
			l->tcp.ts_val = load_be32(data);
			l->tcp.ts_ecr = load_be32(data + 4);
			l->flags |= LAYER_TCP_TIMESTAMP;
			break;
		}
	}
	return true;
}

static void tcp_flag_events(struct decoder *d, uint8_t flags)
{
	enum { FIN = 1, SYN = 2, PSH = 8, ACK = 16, URG = 32 };

	if (flags == 0)
		decoder_event(d, EVENT_tcp_null);
	if ((flags & (FIN | PSH | URG | ACK)) == (FIN | PSH | URG))
		decoder_event(d, EVENT_tcp_xmas);
	if ((flags & (SYN | FIN)) == (SYN | FIN))
		decoder_event(d, EVENT_tcp_syn_fin);
}

static enum decode_next transport_tcp(struct decoder *d)
{
	struct ip_layer *l = d->layer;
	const uint8_t *h;
	uint32_t hlen, captured;

	d->p->protocols |= PROTOCOL_BIT(TCP);
	transport_ports(d);
	h = decoder_need(d, 20, EVENT_tcp_short);
	if (h == NULL)
		return DECODE_DONE;
	tcp_flag_events(d, h[13]);
	hlen = (h[12] >> 4) * 4u;
	if (hlen < 20 || hlen > decoder_left(d)) {
		decoder_event(d, EVENT_tcp_bad_hlen);
		return DECODE_DONE;
	}
	l->tcp.seq = load_be32(h + 4);
	l->tcp.ack = load_be32(h + 8);
	l->tcp.flags = h[13];
	l->tcp.window = load_be16(h + 14);
	transport_read(d, hlen);
	captured = decoder_captured(d);
	if (!decode_tcp_options(l, cursor_of(h + 20, (hlen < captured ? hlen : captured) - 20),
		    captured < hlen))
		decoder_event(d, EVENT_tcp_opt_bad);
	transport_checksum(d, decoder_left(d), true, EVENT_tcp_bad_checksum);
	return DECODE_DONE;
}

static enum decode_next transport_udp(struct decoder *d)
{
	const uint8_t *h;
	uint32_t size, left;

	d->p->protocols |= PROTOCOL_BIT(UDP);
	transport_ports(d);
	h = decoder_need(d, 8, EVENT_udp_short);
	if (h == NULL)
		return DECODE_DONE;
	size = load_be16(h + 4);
	left = decoder_left(d);
	if (size == 0 && left > UINT16_MAX)
		size = left; // in a jumbogram (RFC 2675)
	if (size < 8 || size > left) {
		decoder_event(d, EVENT_udp_len_mismatch);
		transport_read(d, 8);
		return DECODE_DONE;
	}
	decoder_narrow(d, size);
	transport_read(d, 8);
	// No checksum at all is a choice that IPv4 offers, and IPv6 for tunnels (RFC 6935).
	if (load_be16(h + 6) != 0)
		transport_checksum(d, size, true, EVENT_udp_bad_checksum);
	decoder_skip(d, 8);
	return decode_udp_tunnel(d);
}

// Protocols with ports in the first four bytes and a fixed header before the payload.
static enum decode_next transport_fixed(
	struct decoder *d, uint64_t protocol_bit, uint32_t size, enum event_id event)
{
	d->p->protocols |= protocol_bit;
	transport_ports(d);
	if (decoder_need(d, size, event) != NULL)
		transport_read(d, size);
	return DECODE_DONE;
}

static enum decode_next transport_dccp(struct decoder *d)
{
	const uint8_t *h;

	d->p->protocols |= PROTOCOL_BIT(DCCP);
	transport_ports(d);
	h = decoder_need(d, 12, EVENT_dccp_short);
	if (h == NULL)
		return DECODE_DONE;
	// The data offset counts from the header's start and covers type's own fields and options.
	if (h[4] < 3 || h[4] * 4u > decoder_left(d))
		decoder_event(d, EVENT_dccp_short);
	else
		transport_read(d, h[4] * 4u);
	return DECODE_DONE;
}

static enum decode_next transport_igmp(struct decoder *d)
{
	d->p->protocols |= PROTOCOL_BIT(IGMP);
	if (decoder_need(d, 8, EVENT_igmp_short) != NULL)
		transport_read(d, 8);
	return DECODE_DONE;
}

static enum decode_next transport_ah(struct decoder *d)
{
	uint8_t next;
	uint32_t size = decode_ah(d, &next);

	if (size == 0)
		return DECODE_DONE;
	decoder_skip(d, size);
	d->layer->proto = next;
	d->layer->l4_off = d->off;
	d->proto = next;
	return DECODE_TRANSPORT;
}

static enum decode_next transport_ip(struct decoder *d, enum decode_next next)
{
	d->p->protocols |= PROTOCOL_BIT(IPIP);
	decoder_tunnel(d, TUNNEL_IPIP);
	return next;
}

static enum decode_next transport_recognised(struct decoder *d, uint64_t protocol_bit)
{
	d->p->protocols |= protocol_bit;
	return DECODE_DONE;
}

static enum decode_next transport_header(struct decoder *d)
{
	// A number from the wire: no enum value may be assumed.
	switch (d->proto) {
	case IP_TCP:
		return transport_tcp(d);
	case IP_UDP:
		return transport_udp(d);
	case IP_ICMP:
		return decode_icmp(d);
	case IP_ICMPV6:
		return decode_icmp6(d);
	case IP_IGMP:
		return transport_igmp(d);
	case IP_SCTP:
		return transport_fixed(d, PROTOCOL_BIT(SCTP), 12, EVENT_sctp_short);
	case IP_UDPLITE:
		return transport_fixed(d, PROTOCOL_BIT(UDPLITE), 8, EVENT_udp_short);
	case IP_DCCP:
		return transport_dccp(d);
	case IP_IPV4:
		return transport_ip(d, DECODE_IPV4);
	case IP_IPV6:
		return transport_ip(d, DECODE_IPV6);
	case IP_GRE:
		return decode_gre(d);
	case IP_AH:
		return transport_ah(d);
	case IP_MPLS:
		decoder_tunnel(d, TUNNEL_MPLS);
		return DECODE_MPLS;
	case IP_ESP:
		return transport_recognised(d, PROTOCOL_BIT(ESP));
	case IP_EIGRP:
		return transport_recognised(d, PROTOCOL_BIT(EIGRP));
	case IP_OSPF:
		return transport_recognised(d, PROTOCOL_BIT(OSPF));
	case IP_PIM:
		return transport_recognised(d, PROTOCOL_BIT(PIM));
	case IP_VRRP:
		return transport_recognised(d, PROTOCOL_BIT(VRRP));
	case IP_L2TP:
		return transport_recognised(d, PROTOCOL_BIT(L2TP));
	case IP_NONE:
		return DECODE_DONE;
	}
	return transport_recognised(d, PROTOCOL_BIT(OTHER_IP));
}

enum decode_next decode_transport(struct decoder *d)
{
	uint64_t before = d->p->protocols;
	enum decode_next next;

	if (decoder_captured(d) > 0)
		return transport_header(d);
	// Not one byte of the header: what is missing may deserve an event, but it is not counted.
	next = transport_header(d);
	d->p->protocols = before;
	return next;
}
