// SPDX-License-Identifier: Apache-2.0
// Link layers: from the capture's link type to an EtherType and on to what it names. Ethernet with
// its tags (802.1Q, 802.1ad and their forerunners, 802.1ah, 802.1BR, VN-tag, Cisco metadata), 802.3
// with LLC and SNAP, Linux cooked v1 and v2, BSD loopback, raw IP, and ARP (RFC 826).
#include "decoder.h"

static enum decode_next link_family(struct decoder *d)
{
	const uint8_t *h = decoder_need(d, 4, EVENT_eth_short);
	uint32_t family;

	d->p->protocols |= PROTOCOL_BIT(NULL);
	if (h == NULL)
		return DECODE_DONE;
	// NULL has the capturing machine's byte order, LOOP that of the network; a family is small,
	// so that the wrong order shows.
	family = load_be32(h);
	if (family > UINT16_MAX)
		family = __builtin_bswap32(family);
	decoder_skip(d, 4);
	switch (family) {
	case 2:
		return DECODE_IPV4;
	case 10: // Linux
	case 23: // Windows
	case 24: // NetBSD, OpenBSD
	case 28: // FreeBSD
	case 30: // Darwin
		return DECODE_IPV6;
	}
	if (family < 0x600 || family > UINT16_MAX)
		return DECODE_DONE;
	d->ethertype = (uint16_t)family; // some drivers put an EtherType there
	return DECODE_ETHERTYPE;
}

// Linux cooked: an EtherType, or a small number for frames that have none.
static enum decode_next link_cooked(struct decoder *d, uint16_t protocol, uint16_t hardware)
{
	enum { HARDWARE_80211 = 801, HARDWARE_NETLINK = 824, COOKED_LLC = 4 };

	if (hardware == HARDWARE_NETLINK || (hardware >= HARDWARE_80211 && hardware <= 803))
		return DECODE_DONE; // the field holds no EtherType there
	if (protocol == COOKED_LLC)
		return DECODE_LLC;
	if (protocol < 0x600)
		return DECODE_DONE;
	d->ethertype = protocol;
	return DECODE_ETHERTYPE;
}

static enum decode_next link_sll(struct decoder *d)
{
	const uint8_t *h = decoder_need(d, 16, EVENT_eth_short);

	d->p->protocols |= PROTOCOL_BIT(SLL);
	if (h == NULL)
		return DECODE_DONE;
	decoder_skip(d, 16);
	return link_cooked(d, load_be16(h + 14), load_be16(h + 2));
}

static enum decode_next link_sll2(struct decoder *d)
{
	const uint8_t *h = decoder_need(d, 20, EVENT_eth_short);

	d->p->protocols |= PROTOCOL_BIT(SLL2);
	if (h == NULL)
		return DECODE_DONE;
	decoder_skip(d, 20);
	return link_cooked(d, load_be16(h), load_be16(h + 8));
}

static enum decode_next link_raw(struct decoder *d)
{
	const uint8_t *h = decoder_need(d, 1, EVENT_ipv4_short);

	d->p->protocols |= PROTOCOL_BIT(RAW);
	if (h == NULL)
		return DECODE_DONE;
	if (d->p->link == LINK_IPV6 || (d->p->link == LINK_RAW && h[0] >> 4 == 6))
		return DECODE_IPV6;
	return DECODE_IPV4;
}

enum decode_next decode_link(struct decoder *d)
{
	// A number from a file: no enum value may be assumed.
	switch (d->p->link) {
	case LINK_ETHERNET:
		return DECODE_ETHERNET;
	case LINK_NULL:
	case LINK_LOOP:
		return link_family(d);
	case LINK_RAW:
	case LINK_IPV4:
	case LINK_IPV6:
		return link_raw(d);
	case LINK_SLL:
		return link_sll(d);
	case LINK_SLL2:
		return link_sll2(d);
	}
	decoder_event(d, EVENT_unknown_link_type);
	return DECODE_DONE;
}

enum decode_next decode_ethernet(struct decoder *d)
{
	const uint8_t *h = decoder_need(d, 14, EVENT_eth_short);
	uint16_t type;

	d->p->protocols |= PROTOCOL_BIT(ETHERNET);
	if (h == NULL)
		return DECODE_DONE;
	if (d->p->layer_count == 0 && d->p->eth_off == UINT32_MAX)
		d->p->eth_off = d->off;
	type = load_be16(h + 12);
	decoder_skip(d, 14);
	d->ethertype = type;
	if (type > 1500)
		return DECODE_ETHERTYPE;
	if (!decoder_narrow(d, type))
		decoder_event(d, EVENT_eth_bad_len);
	return DECODE_LLC;
}

enum decode_next decode_llc(struct decoder *d)
{
	enum { SAP_SNAP = 0xaa, SAP_IP = 0x06, UNNUMBERED_INFORMATION = 0x03 };
	const uint8_t *h = decoder_need(d, 3, EVENT_llc_short);

	if (h == NULL)
		return DECODE_DONE;
	if (h[0] == 0xff && h[1] == 0xff)
		return DECODE_DONE; // Novell's raw 802.3: IPX without LLC
	d->p->protocols |= PROTOCOL_BIT(LLC);
	if (h[0] == SAP_IP && h[1] == SAP_IP && h[2] == UNNUMBERED_INFORMATION) {
		decoder_skip(d, 3);
		return DECODE_IPV4;
	}
	if (h[0] != SAP_SNAP || h[1] != SAP_SNAP || h[2] != UNNUMBERED_INFORMATION)
		return DECODE_DONE;
	h = decoder_need(d, 8, EVENT_llc_short);
	if (h == NULL)
		return DECODE_DONE;
	d->p->protocols |= PROTOCOL_BIT(SNAP);
	if (h[3] != 0 || h[4] != 0 || h[5] != 0)
		return DECODE_DONE; // a vendor's protocol number, no EtherType
	decoder_skip(d, 8);
	d->ethertype = load_be16(h + 6);
	return DECODE_ETHERTYPE;
}

static enum decode_next link_vlan(struct decoder *d, uint64_t protocol_bit)
{
	const uint8_t *h = decoder_need(d, 4, EVENT_vlan_short);
	struct packet *p = d->p;
	uint16_t type;

	p->protocols |= protocol_bit;
	if (h == NULL)
		return DECODE_DONE;
	// The tags of frames inside a tunnel say nothing about where this frame was seen.
	if (p->layer_count == 0) {
		if (p->vlan_count < PACKET_VLANS_MAX)
			p->vlan[p->vlan_count++] = load_be16(h) & 0xfff;
		else
			decoder_event(d, EVENT_vlan_too_deep);
	}
	type = load_be16(h + 2);
	decoder_skip(d, 4);
	d->ethertype = type;
	if (type > 1500)
		return DECODE_ETHERTYPE;
	if (!decoder_narrow(d, type))
		decoder_event(d, EVENT_eth_bad_len);
	return DECODE_LLC;
}

// A tag of other kinds: n bytes, the last two of them an EtherType.
static enum decode_next link_tag(struct decoder *d, uint32_t n)
{
	const uint8_t *h = decoder_need(d, n, EVENT_vlan_short);

	if (h == NULL)
		return DECODE_DONE;
	decoder_skip(d, n);
	d->ethertype = load_be16(h + n - 2);
	return DECODE_ETHERTYPE;
}

static enum decode_next link_recognised(struct decoder *d, uint64_t protocol_bit)
{
	d->p->protocols |= protocol_bit;
	return DECODE_DONE;
}

enum decode_next decode_ethertype(struct decoder *d)
{
	if (d->p->layer_count == 0)
		d->p->ethertype = d->ethertype;
	switch (d->ethertype) {
	case ETHERTYPE_IPV4:
		return DECODE_IPV4;
	case ETHERTYPE_IPV6:
		return DECODE_IPV6;
	case ETHERTYPE_ARP:
	case ETHERTYPE_RARP:
		return decode_arp(d);
	case ETHERTYPE_VLAN:
	case ETHERTYPE_QINQ_OLD: // before 802.1ad: a VLAN tag with another number
		return link_vlan(d, PROTOCOL_BIT(VLAN));
	case ETHERTYPE_QINQ:
	case ETHERTYPE_QINQ_OLDER:
		return link_vlan(d, PROTOCOL_BIT(QINQ));
	case ETHERTYPE_MPLS:
	case ETHERTYPE_MPLS_MULTICAST:
		return DECODE_MPLS;
	case ETHERTYPE_PPPOE_DISCOVERY:
		return decode_pppoe(d, false);
	case ETHERTYPE_PPPOE:
		return decode_pppoe(d, true);
	case ETHERTYPE_PPP:
		return DECODE_PPP;
	case ETHERTYPE_ETHERNET:
		return DECODE_ETHERNET;
	case ETHERTYPE_PBB: // the I-TAG's 4 bytes, then the customer's frame
		if (decoder_need(d, 4, EVENT_vlan_short) == NULL)
			return DECODE_DONE;
		decoder_skip(d, 4);
		return DECODE_ETHERNET;
	case ETHERTYPE_CMD:
	case ETHERTYPE_ETAG:
		return link_tag(d, 8);
	case ETHERTYPE_VNTAG:
		return link_tag(d, 6);
	case ETHERTYPE_LLDP:
		return link_recognised(d, PROTOCOL_BIT(LLDP));
	case ETHERTYPE_EAPOL:
		return link_recognised(d, PROTOCOL_BIT(EAPOL));
	case ETHERTYPE_MACSEC:
		return link_recognised(d, PROTOCOL_BIT(MACSEC));
	}
	decoder_event(d, EVENT_unknown_ethertype);
	return DECODE_DONE;
}

// ARP and RARP. arp_off is set where all of an Ethernet/IPv4 ARP message was captured, so that
// whoever reads the message needs no checks of its own.
enum decode_next decode_arp(struct decoder *d)
{
	enum { HARDWARE_ETHERNET = 1, OPERATION_MAX = 25 }; // IANA, arp-parameters
	const uint8_t *h = decoder_need(d, 8, EVENT_arp_short);
	uint16_t hardware, protocol, operation;
	uint32_t size;

	d->p->protocols |= PROTOCOL_BIT(ARP);
	if (h == NULL)
		return DECODE_DONE;
	hardware = load_be16(h);
	protocol = load_be16(h + 2);
	operation = load_be16(h + 6);
	if (operation == 0 || operation > OPERATION_MAX)
		decoder_event(d, EVENT_arp_bad_op);
	if (hardware != HARDWARE_ETHERNET) {
		decoder_event(d, EVENT_arp_bad_hw);
		return DECODE_DONE;
	}
	if (h[4] != 6 || (protocol == ETHERTYPE_IPV4 && h[5] != 4)) {
		decoder_event(d, EVENT_arp_bad_len);
		return DECODE_DONE;
	}
	size = 8 + 2u * (h[4] + h[5]);
	h = decoder_need(d, size, EVENT_arp_short);
	if (h != NULL && protocol == ETHERTYPE_IPV4 && d->p->arp_off == 0)
		d->p->arp_off = d->off;
	return DECODE_DONE;
}
