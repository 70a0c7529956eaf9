// SPDX-License-Identifier: Apache-2.0
// IPv6 (RFC 8200): the header and the chain of extension headers behind it, with their options
// (jumbo payload, RFC 2675), and the authentication header, which IPv4 has too (RFC 4302).
// Segment and source routes are checked, not followed: a flow is what the header says.
#include "decoder.h"

enum { EXTENSIONS_MAX = 16 };

enum ip6_option {
	OPTION_PAD1 = 0,
	OPTION_JUMBO = 0xc2,
};

// Walks the options of a hop-by-hop or destination header. Returns the jumbo payload length, or 0.
static uint32_t ip6_options(struct decoder *d, struct cursor c)
{
	uint32_t jumbo = 0;

	while (cursor_left(&c) > 0) {
		uint8_t type = *cursor_take(&c, 1);
		struct cursor option;
		uint8_t size;

		if (type == OPTION_PAD1)
			continue;
		if (!cursor_u8(&c, &size) || !cursor_sub(&c, size, &option) ||
			(type == OPTION_JUMBO && size != 4)) {
			decoder_event(d, EVENT_ipv6_opt_bad_len);
			return jumbo;
		}
		if (type == OPTION_JUMBO) {
			decoder_event(d, EVENT_ipv6_jumbo);
			cursor_be32(&option, &jumbo);
		}
	}
	return jumbo;
}

uint32_t decode_ah(struct decoder *d, uint8_t *ret_next)
{
	const uint8_t *h = decoder_need(d, 12, EVENT_ah_short);
	uint32_t size;

	d->p->protocols |= PROTOCOL_BIT(AH);
	if (h == NULL)
		return 0;
	size = (h[1] + 2u) * 4;
	if (size < 12 || size > decoder_left(d)) {
		decoder_event(d, EVENT_ah_short);
		return 0;
	}
	*ret_next = h[0];
	return size;
}

// What the chain has held so far.
struct extensions {
	unsigned count;
	unsigned dstopts;
	uint64_t seen; // bit for each of the types in extension_bit
};

static uint64_t extension_bit(uint8_t proto)
{
	switch (proto) {
	case IP_HOPOPTS:
	case IP_ROUTING:
	case IP_FRAGMENT:
	case IP_AH:
		return UINT64_C(1) << proto;
	case IP_MOBILITY:
	case IP_HIP:
	case IP_SHIM6:
		return UINT64_C(1) << (proto - 128);
	}
	return 0;
}

// Order and repetition (RFC 8200, 4.1): hop-by-hop first, each once, destination options twice.
static void extension_check(struct decoder *d, struct extensions *x, uint8_t proto)
{
	if (proto == IP_HOPOPTS && x->count > 0)
		decoder_event(d, EVENT_ipv6_ext_order);
	if ((x->seen & extension_bit(proto)) != 0 || (proto == IP_DSTOPTS && ++x->dstopts > 2))
		decoder_event(d, EVENT_ipv6_ext_duplicate);
	x->seen |= extension_bit(proto);
	x->count++;
}

// A fragment header. Returns whether what follows can be looked at (an atomic fragment, RFC 6946).
static bool ip6_fragment(struct decoder *d, const uint8_t *h)
{
	struct ip_layer *l = d->layer;
	uint16_t field = load_be16(h + 2);

	d->p->protocols |= PROTOCOL_BIT(IPV6_FRAGMENT);
	if ((field & 0xfff9) == 0)
		return true;
	l->flags |= LAYER_FRAGMENT;
	l->frag_id = load_be32(h + 4);
	l->frag_off = field & 0xfff8;
	l->more_fragments = field & 1;
	if (l->frag_off == 0)
		l->flags |= LAYER_FIRST_FRAGMENT;
	l->proto = h[0];
	return false;
}

static void ip6_routing(struct decoder *d, const uint8_t *h)
{
	d->p->protocols |= PROTOCOL_BIT(IPV6_ROUTING);
	if (h[2] == 0)
		decoder_event(d, EVENT_ipv6_rh0);
	if (h[3] != 0) // segments left
		d->is_routed = true;
}

// One extension header other than AH. Returns its length, 0 where it is not all there.
static uint32_t ip6_extension(struct decoder *d, uint8_t proto, uint8_t *ret_next, bool *ret_stop)
{
	const uint8_t *h = decoder_need(d, 8, EVENT_ipv6_ext_truncated);
	uint32_t size, captured;

	*ret_stop = false;
	if (h == NULL)
		return 0;
	size = proto == IP_FRAGMENT ? 8 : (h[1] + 1u) * 8;
	if (size > decoder_left(d)) {
		decoder_event(d, EVENT_ipv6_ext_truncated);
		return 0;
	}
	*ret_next = h[0];
	captured = decoder_captured(d);
	if (proto == IP_FRAGMENT) {
		*ret_stop = !ip6_fragment(d, h);
	} else if (proto == IP_ROUTING) {
		ip6_routing(d, h);
	} else if (proto == IP_HOPOPTS || proto == IP_DSTOPTS) {
		d->p->protocols |= proto == IP_HOPOPTS ? PROTOCOL_BIT(IPV6_HOPOPTS)
		                                       : PROTOCOL_BIT(IPV6_DSTOPTS);
		if (size <= captured)
			ip6_options(d, cursor_of(h + 2, size - 2));
	}
	return size;
}

static bool ip6_is_extension(uint8_t proto)
{
	return proto == IP_DSTOPTS || extension_bit(proto) != 0;
}

static enum decode_next ip6_extensions(struct decoder *d, uint8_t proto)
{
	struct ip_layer *l = d->layer;
	struct extensions x = {0};

	while (ip6_is_extension(proto)) {
		uint32_t size;
		uint8_t next;
		bool stop = false;

		l->proto = proto;
		l->l4_off = d->off;
		if (x.count == EXTENSIONS_MAX) {
			decoder_event(d, EVENT_ipv6_ext_loop);
			return DECODE_DONE;
		}
		extension_check(d, &x, proto);
		if (proto == IP_AH)
			size = decode_ah(d, &next);
		else
			size = ip6_extension(d, proto, &next, &stop);
		if (size == 0)
			return DECODE_DONE;
		// Mobility, HIP and shim6 messages end the chain with "none": they are the message.
		if (next == IP_NONE && proto >= IP_MOBILITY) {
			d->p->protocols |= PROTOCOL_BIT(OTHER_IP);
			return DECODE_DONE;
		}
		decoder_skip(d, size);
		l->l4_off = d->off;
		if (stop)
			return DECODE_DONE;
		proto = next;
	}
	l->proto = proto;
	d->proto = proto;
	return DECODE_TRANSPORT;
}

// The datagram's length: payload length, or what the jumbo option in a leading hop-by-hop header
// says, or, for TCP and UDP without a length (captured before the card cut it), all that is there.
static uint32_t ip6_length(struct decoder *d, const uint8_t *h)
{
	uint32_t length = load_be16(h + 4);
	uint32_t captured = decoder_captured(d);
	uint32_t jumbo, size;

	if (length != 0)
		return length + 40;
	if ((h[6] == IP_TCP || h[6] == IP_UDP) && decoder_left(d) >= 40 + 20) {
		decoder_event(d, EVENT_ipv6_len_zero);
		return decoder_rest(d);
	}
	if (h[6] != IP_HOPOPTS || captured < 48)
		return 40;
	size = (h[41] + 1u) * 8;
	if (captured < 40 + size)
		return 40;
	jumbo = ip6_options(d, cursor_of(h + 42, size - 2));
	return jumbo > UINT32_MAX - 40 ? UINT32_MAX : jumbo + 40;
}

enum decode_next decode_ip6(struct decoder *d)
{
	const uint8_t *h = decoder_peek(d, 1);
	struct ip_layer *l;

	if (h != NULL && h[0] >> 4 != 6) {
		decoder_event(d, EVENT_ipv6_bad_version);
		return DECODE_DONE;
	}
	d->p->protocols |= PROTOCOL_BIT(IPV6);
	h = decoder_need(d, 40, EVENT_ipv6_short);
	if (h == NULL)
		return DECODE_DONE;
	if (d->p->layer_count == 0)
		d->p->ethertype = ETHERTYPE_IPV6;
	l = decoder_layer(d);
	if (l == NULL)
		return DECODE_DONE;
	memcpy(l->src, h + 8, 16);
	memcpy(l->dst, h + 24, 16);
	l->version = 6;
	l->tos = (uint8_t)(load_be16(h) >> 4);
	l->ttl = h[7];
	l->proto = h[6];
	l->l3_off = d->off;
	l->l3_len = ip6_length(d, h);
	if (!decoder_narrow(d, l->l3_len))
		decoder_event(d, EVENT_ipv6_truncated);
	d->is_routed = false;
	decoder_skip(d, 40);
	l->l4_off = d->off;
	return ip6_extensions(d, h[6]);
}
