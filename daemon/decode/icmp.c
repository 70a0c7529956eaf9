// SPDX-License-Identifier: Apache-2.0
// ICMP (RFC 792) and ICMPv6 (RFC 4443): type and code as the ports of Community ID 1.0, minimum
// lengths, and whether an error quotes an IP header. What an error quotes was another packet: it is
// checked here and is neither a layer nor a protocol of this one.
#include "decoder.h"

enum { NO_COUNTERPART = 0xff };

struct icmp_type {
	uint8_t min_size;    // of the message; 0: the type is not registered
	uint8_t counterpart; // the type that answers it, or NO_COUNTERPART
	bool is_error;       // quotes a packet behind its first eight bytes
};

#define ONE_WAY(size)                                                                              \
	{                                                                                          \
		size, NO_COUNTERPART, false                                                        \
	}
#define QUOTES                                                                                     \
	{                                                                                          \
		8, NO_COUNTERPART, true                                                            \
	}
#define TWO_WAY(size, to)                                                                          \
	{                                                                                          \
		size, to, false                                                                    \
	}

// IANA, icmp-parameters.
static const struct icmp_type icmp4_types[256] = {
	[0] = TWO_WAY(8, 8),
	[3] = QUOTES,
	[4] = QUOTES,
	[5] = QUOTES,
	[6] = ONE_WAY(8),
	[8] = TWO_WAY(8, 0),
	[9] = TWO_WAY(8, 10),
	[10] = TWO_WAY(8, 9),
	[11] = QUOTES,
	[12] = QUOTES,
	[13] = TWO_WAY(20, 14),
	[14] = TWO_WAY(20, 13),
	[15] = TWO_WAY(8, 16),
	[16] = TWO_WAY(8, 15),
	[17] = TWO_WAY(12, 18),
	[18] = TWO_WAY(12, 17),
	[30 ... 43] = ONE_WAY(8),
	[253 ... 254] = ONE_WAY(8),
};

// IANA, icmpv6-parameters.
static const struct icmp_type icmp6_types[256] = {
	[1 ... 4] = QUOTES,
	[100 ... 101] = ONE_WAY(8),
	[127] = ONE_WAY(8),
	[128] = TWO_WAY(8, 129),
	[129] = TWO_WAY(8, 128),
	[130] = TWO_WAY(24, 131),
	[131] = TWO_WAY(24, 130),
	[132] = ONE_WAY(24),
	[133] = TWO_WAY(8, 134),
	[134] = TWO_WAY(16, 133),
	[135] = TWO_WAY(24, 136),
	[136] = TWO_WAY(24, 135),
	[137] = ONE_WAY(40),
	[138] = ONE_WAY(8),
	[139] = TWO_WAY(8, 140),
	[140] = TWO_WAY(8, 139),
	[141 ... 143] = ONE_WAY(8),
	[144] = TWO_WAY(8, 145),
	[145] = TWO_WAY(8, 144),
	[146 ... 161] = ONE_WAY(8),
	[200 ... 201] = ONE_WAY(8),
	[255] = ONE_WAY(8),
};

// Whether what an error quotes can be the start of an IP packet of the error's own version; true
// where the capture ends before that shows.
static bool icmp_quote_ok(const struct decoder *d, unsigned version)
{
	uint32_t min = version == 4 ? 20 : 40;
	uint32_t captured = decoder_captured(d);
	const uint8_t *h;

	if (decoder_left(d) < 8 + min)
		return false;
	if (captured <= 8)
		return true;
	h = d->p->data + d->off + 8;
	if (h[0] >> 4 != version)
		return false;
	return version == 6 || (h[0] & 0xf) >= 5;
}

static enum decode_next icmp_message(
	struct decoder *d, const struct icmp_type *types, unsigned version)
{
	struct ip_layer *l = d->layer;
	const uint8_t *h = decoder_peek(d, 2);
	const struct icmp_type *type;
	uint32_t size = decoder_left(d);

	if (h == NULL) {
		if (size < 8)
			decoder_event(d, EVENT_icmp_short);
		return DECODE_DONE;
	}
	type = &types[h[0]];
	l->icmp_type = h[0];
	l->icmp_code = h[1];
	l->src_port = h[0];
	if (type->min_size == 0 || type->counterpart == NO_COUNTERPART) {
		l->dst_port = h[1];
		l->flags |= LAYER_ICMP_ONE_WAY;
	} else {
		l->dst_port = type->counterpart;
	}
	if (type->min_size == 0)
		decoder_event(d, EVENT_icmp_unknown_type);
	if (size < 8 || size < type->min_size) {
		decoder_event(d, EVENT_icmp_short);
		return DECODE_DONE;
	}
	if (decoder_peek(d, 8) == NULL)
		return DECODE_DONE;
	l->flags |= LAYER_L4;
	l->payload_off = d->off + 8;
	l->payload_len = size - 8;
	if (type->is_error && !icmp_quote_ok(d, version))
		decoder_event(d, EVENT_icmp_bad_inner);
	if (d->config->verify_checksum && size <= decoder_captured(d) &&
		!(version == 6 && d->is_routed) && !decode_checksum_l4(d->p, l, size, version == 6))
		decoder_event(d, EVENT_icmp_bad_checksum);
	return DECODE_DONE;
}

enum decode_next decode_icmp(struct decoder *d)
{
	d->p->protocols |= PROTOCOL_BIT(ICMP);
	return icmp_message(d, icmp4_types, 4);
}

enum decode_next decode_icmp6(struct decoder *d)
{
	d->p->protocols |= PROTOCOL_BIT(ICMPV6);
	return icmp_message(d, icmp6_types, 6);
}
