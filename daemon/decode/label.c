// SPDX-License-Identifier: Apache-2.0
// MPLS label stacks (RFC 3032, 4385, 4448), PPPoE (RFC 2516) and PPP (RFC 1661), and the guesses
// that headers without a protocol field force: what a label, or a tunnel known by its port alone,
// carries.
#include "decoder.h"

enum {
	MPLS_LABELS_MAX = 16,
	MPLS_IPV4_NULL = 0, // explicit null labels name the protocol
	MPLS_IPV6_NULL = 2,
};

static enum decode_looks looks_ip4(const uint8_t *h, uint32_t captured, uint32_t left)
{
	uint32_t hlen, total;

	if (left < 20 || (h[0] & 0xf) < 5)
		return DECODE_LOOKS_NO;
	if (captured < 4)
		return DECODE_LOOKS_MAYBE;
	hlen = (h[0] & 0xfu) * 4;
	total = load_be16(h + 2);
	return total >= hlen && total <= left ? DECODE_LOOKS_YES : DECODE_LOOKS_NO;
}

static enum decode_looks looks_ip6(const uint8_t *h, uint32_t captured, uint32_t left)
{
	if (left < 40)
		return DECODE_LOOKS_NO;
	if (captured < 6)
		return DECODE_LOOKS_MAYBE;
	return load_be16(h + 4) + 40u <= left ? DECODE_LOOKS_YES : DECODE_LOOKS_NO;
}

enum decode_looks decode_looks_ip(const struct decoder *d, uint32_t skip)
{
	uint32_t left = decoder_left(d);
	uint32_t captured = decoder_captured(d);
	const uint8_t *h;

	if (left <= skip)
		return DECODE_LOOKS_NO;
	if (captured <= skip)
		return DECODE_LOOKS_MAYBE;
	h = d->p->data + d->off + skip;
	if (h[0] >> 4 == 4)
		return looks_ip4(h, captured - skip, left - skip);
	if (h[0] >> 4 == 6)
		return looks_ip6(h, captured - skip, left - skip);
	return DECODE_LOOKS_NO;
}

bool decode_looks_ip_version(const struct decoder *d, uint32_t skip, unsigned version)
{
	return decoder_captured(d) > skip && d->p->data[d->off + skip] >> 4 == version;
}

enum decode_looks decode_looks_ethernet(const struct decoder *d, uint32_t skip)
{
	uint32_t left = decoder_left(d);
	const uint8_t *h;
	uint16_t type;

	h = decoder_peek(d, skip + 14);
	if (h == NULL)
		return DECODE_LOOKS_MAYBE;
	type = load_be16(h + skip + 12);
	if (type <= 1500)
		return type >= 3 && type <= left - skip - 14 ? DECODE_LOOKS_MAYBE : DECODE_LOOKS_NO;
	switch (type) {
	case ETHERTYPE_IPV4:
	case ETHERTYPE_IPV6:
		if (decoder_captured(d) == skip + 14)
			return DECODE_LOOKS_MAYBE;
		return decode_looks_ip_version(d, skip + 14, type == ETHERTYPE_IPV4 ? 4 : 6)
		               ? DECODE_LOOKS_YES
		               : DECODE_LOOKS_NO;
	case ETHERTYPE_ARP:
	case ETHERTYPE_RARP:
	case ETHERTYPE_VLAN:
	case ETHERTYPE_QINQ:
	case ETHERTYPE_QINQ_OLD:
	case ETHERTYPE_MPLS:
	case ETHERTYPE_MPLS_MULTICAST:
	case ETHERTYPE_PPPOE:
	case ETHERTYPE_PPPOE_DISCOVERY:
	case ETHERTYPE_EAPOL:
	case ETHERTYPE_LLDP:
	case ETHERTYPE_MACSEC:
		return DECODE_LOOKS_YES;
	}
	return type >= 0x600 ? DECODE_LOOKS_MAYBE : DECODE_LOOKS_NO;
}

// Behind the bottom label: IP by a header that fits, else a pseudowire with or without its control
// word (whose first nibble is 0; 1 is the associated channel), else by the first nibble alone. A
// MAC address may begin with 4 or 6 as well, so IP must fit before it is believed.
static enum decode_next mpls_payload(struct decoder *d)
{
	const uint8_t *h = decoder_peek(d, 1);
	unsigned nibble;

	if (h == NULL)
		return DECODE_DONE;
	nibble = h[0] >> 4;
	if (decode_looks_ip(d, 0) == DECODE_LOOKS_YES)
		return nibble == 4 ? DECODE_IPV4 : DECODE_IPV6;
	if (nibble == 0 && decode_looks_ethernet(d, 4) == DECODE_LOOKS_YES) {
		decoder_skip(d, 4);
		return DECODE_ETHERNET;
	}
	if (decode_looks_ethernet(d, 0) == DECODE_LOOKS_YES)
		return DECODE_ETHERNET;
	if (nibble == 4)
		return DECODE_IPV4;
	if (nibble == 6)
		return DECODE_IPV6;
	return DECODE_DONE;
}

enum decode_next decode_mpls(struct decoder *d)
{
	d->p->protocols |= PROTOCOL_BIT(MPLS);
	for (unsigned i = 0; i < MPLS_LABELS_MAX; i++) {
		const uint8_t *h = decoder_need(d, 4, EVENT_mpls_short);
		uint32_t entry;

		if (h == NULL)
			return DECODE_DONE;
		entry = load_be32(h);
		decoder_skip(d, 4);
		if ((entry & 0x100) == 0)
			continue;
		if (entry >> 12 == MPLS_IPV4_NULL)
			return DECODE_IPV4;
		if (entry >> 12 == MPLS_IPV6_NULL)
			return DECODE_IPV6;
		return mpls_payload(d);
	}
	decoder_event(d, EVENT_mpls_too_deep);
	return DECODE_DONE;
}

enum decode_next decode_pppoe(struct decoder *d, bool is_session)
{
	const uint8_t *h = decoder_need(d, 6, EVENT_pppoe_short);

	d->p->protocols |= is_session ? PROTOCOL_BIT(PPPOE) : PROTOCOL_BIT(PPPOE_DISCOVERY);
	if (h == NULL)
		return DECODE_DONE;
	if (h[0] != 0x11) {
		decoder_event(d, EVENT_pppoe_bad_version);
		return DECODE_DONE;
	}
	decoder_skip(d, 6);
	if (!decoder_narrow(d, load_be16(h + 4)))
		decoder_event(d, EVENT_pppoe_bad_len);
	return is_session ? DECODE_PPP : DECODE_DONE;
}

enum decode_next decode_ppp(struct decoder *d)
{
	const uint8_t *h = decoder_peek(d, 2);
	uint16_t protocol;

	d->p->protocols |= PROTOCOL_BIT(PPP);
	if (h != NULL && h[0] == 0xff && h[1] == 0x03) // address and control, where not left out
		decoder_skip(d, 2);
	h = decoder_need(d, 1, EVENT_pppoe_short);
	if (h == NULL)
		return DECODE_DONE;
	if (h[0] & 1) { // protocol field compression: the last byte of the field is the odd one
		protocol = h[0];
		decoder_skip(d, 1);
	} else {
		h = decoder_need(d, 2, EVENT_pppoe_short);
		if (h == NULL)
			return DECODE_DONE;
		protocol = load_be16(h);
		decoder_skip(d, 2);
	}
	switch (protocol) {
	case 0x0021:
		return DECODE_IPV4;
	case 0x0057:
		return DECODE_IPV6;
	case 0x0281:
	case 0x0283:
		return DECODE_MPLS;
	}
	return DECODE_DONE;
}
