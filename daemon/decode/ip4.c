// SPDX-License-Identifier: Apache-2.0
// IPv4 (RFC 791): the header, its options, and whether what follows can be looked at (a fragment's
// payload cannot). Source routes are checked, not followed: a flow is what the header says.
#include "decoder.h"

enum ip4_option {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_RECORD_ROUTE = 7,
	OPTION_EXPERIMENTAL_MEASUREMENT = 10,
	OPTION_MTU_PROBE = 11,
	OPTION_MTU_REPLY = 12,
	OPTION_ENCODE = 15,
	OPTION_QUICK_START = 25,
	OPTION_EXPERIMENT_1 = 30,
	OPTION_TIMESTAMP = 68,
	OPTION_TRACEROUTE = 82,
	OPTION_EXPERIMENT_2 = 94,
	OPTION_SECURITY = 130,
	OPTION_LOOSE_ROUTE = 131,
	OPTION_EXTENDED_SECURITY = 133,
	OPTION_COMMERCIAL_SECURITY = 134,
	OPTION_STREAM_ID = 136,
	OPTION_STRICT_ROUTE = 137,
	OPTION_ACCESS_CONTROL = 142,
	OPTION_TRAFFIC_DESCRIPTOR = 144,
	OPTION_EXTENDED_PROTOCOL = 145,
	OPTION_ADDRESS_EXTENSION = 147,
	OPTION_ROUTER_ALERT = 148,
	OPTION_DIRECTED_BROADCAST = 149,
	OPTION_DYNAMIC_PACKET_STATE = 151,
	OPTION_UPSTREAM_MULTICAST = 152,
	OPTION_EXPERIMENT_3 = 158,
	OPTION_FLOW_CONTROL = 205,
	OPTION_EXPERIMENT_4 = 222,
};

// Whether an option's length can be right; false in ret_known for numbers IANA does not list.
static bool ip4_option_ok(uint8_t type, uint8_t size, const uint8_t *data, bool *ret_known)
{
	*ret_known = true;
	switch (type) {
	case OPTION_RECORD_ROUTE:
	case OPTION_LOOSE_ROUTE:
	case OPTION_STRICT_ROUTE: // pointer, then addresses
		return size >= 3 && size % 4 == 3 && data[0] >= 4;
	case OPTION_TIMESTAMP: // pointer, overflow and kind, then words
		return size >= 4 && size % 4 == 0 && data[0] >= 5;
	case OPTION_SECURITY:
	case OPTION_EXTENDED_SECURITY:
		return size >= 3;
	case OPTION_COMMERCIAL_SECURITY:
		return size >= 6;
	case OPTION_STREAM_ID:
	case OPTION_ROUTER_ALERT:
	case OPTION_MTU_PROBE:
	case OPTION_MTU_REPLY:
		return size == 4;
	case OPTION_QUICK_START:
		return size == 8;
	case OPTION_TRACEROUTE:
		return size == 12;
	case OPTION_EXPERIMENTAL_MEASUREMENT:
	case OPTION_ENCODE:
	case OPTION_EXPERIMENT_1:
	case OPTION_EXPERIMENT_2:
	case OPTION_EXPERIMENT_3:
	case OPTION_EXPERIMENT_4:
	case OPTION_ACCESS_CONTROL:
	case OPTION_TRAFFIC_DESCRIPTOR:
	case OPTION_EXTENDED_PROTOCOL:
	case OPTION_ADDRESS_EXTENSION:
	case OPTION_DIRECTED_BROADCAST:
	case OPTION_DYNAMIC_PACKET_STATE:
	case OPTION_UPSTREAM_MULTICAST:
	case OPTION_FLOW_CONTROL:
		return true;
	}
	*ret_known = false;
	return true;
}

static void ip4_options(struct decoder *d, struct cursor c)
{
	uint64_t seen[4] = {0};

	while (cursor_left(&c) > 0) {
		uint8_t type = *cursor_take(&c, 1);
		uint8_t size;
		const uint8_t *data;
		bool is_known;

		if (type == OPTION_END)
			return;
		if (type == OPTION_NOP)
			continue;
		if (seen[type / 64] >> (type % 64) & 1)
			decoder_event(d, EVENT_ipv4_opt_dup);
		seen[type / 64] |= UINT64_C(1) << (type % 64);
		if (!cursor_u8(&c, &size) || size < 2 ||
			(data = cursor_take(&c, size - 2u)) == NULL) {
			decoder_event(d, EVENT_ipv4_opt_bad_len);
			return; // where the next option begins is not known
		}
		if (!ip4_option_ok(type, size, data, &is_known))
			decoder_event(d, EVENT_ipv4_opt_bad_len);
		if (!is_known)
			decoder_event(d, EVENT_ipv4_opt_unknown);
		if (type == OPTION_LOOSE_ROUTE || type == OPTION_STRICT_ROUTE)
			d->is_routed = true;
	}
}

// The header's length and the datagram's, or an event and false where there is no telling what the
// bytes mean.
static bool ip4_lengths(
	struct decoder *d, const uint8_t *h, uint32_t *ret_hlen, uint32_t *ret_total)
{
	uint32_t hlen = (h[0] & 0xfu) * 4;
	uint32_t total = load_be16(h + 2);

	if (h[0] >> 4 != 4) {
		decoder_event(d, EVENT_ipv4_bad_version);
		return false;
	}
	if (hlen < 20) {
		decoder_event(d, EVENT_ipv4_hlen_small);
		return false;
	}
	if (hlen > decoder_left(d)) {
		decoder_event(d, EVENT_ipv4_short);
		return false;
	}
	if (total == 0) { // captured before the card cut it into packets: all that is there
		decoder_event(d, EVENT_ipv4_len_zero);
		total = decoder_rest(d);
	}
	if (total < hlen) {
		decoder_event(d, EVENT_ipv4_len_lt_hlen);
		return false;
	}
	*ret_hlen = hlen;
	*ret_total = total;
	return true;
}

enum decode_next decode_ip4(struct decoder *d)
{
	const uint8_t *h = decoder_need(d, 20, EVENT_ipv4_short);
	uint32_t hlen, total;
	uint16_t fragment;
	struct ip_layer *l;

	d->p->protocols |= PROTOCOL_BIT(IPV4);
	if (h == NULL || !ip4_lengths(d, h, &hlen, &total))
		return DECODE_DONE;
	if (d->p->layer_count == 0)
		d->p->ethertype = ETHERTYPE_IPV4;
	l = decoder_layer(d);
	if (l == NULL)
		return DECODE_DONE;
	memcpy(l->src, h + 12, 4);
	memcpy(l->dst, h + 16, 4);
	l->version = 4;
	l->tos = h[1];
	l->ttl = h[8];
	l->proto = h[9];
	l->l3_off = d->off;
	l->l4_off = d->off + hlen;
	l->l3_len = total;
	if (!decoder_narrow(d, total))
		decoder_event(d, EVENT_ipv4_truncated);
	d->is_routed = false;
	if (hlen <= decoder_captured(d)) {
		if (hlen > 20)
			ip4_options(d, cursor_of(h + 20, hlen - 20));
		if (d->config->verify_checksum && !decode_checksum_ok(h, hlen))
			decoder_event(d, EVENT_ipv4_bad_checksum);
	}
	decoder_skip(d, hlen);
	fragment = load_be16(h + 6);
	if (fragment & 0x3fff) {
		l->flags |= LAYER_FRAGMENT;
		l->frag_id = load_be16(h + 4);
		l->frag_off = (fragment & 0x1fffu) * 8;
		l->more_fragments = fragment >> 13 & 1;
		if (l->frag_off == 0)
			l->flags |= LAYER_FIRST_FRAGMENT;
		return DECODE_DONE;
	}
	d->proto = l->proto;
	return DECODE_TRANSPORT;
}
