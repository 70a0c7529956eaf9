// SPDX-License-Identifier: Apache-2.0
// Every link type and every header below IP, down to a UDP datagram; and what is only recognised.
#include "layer_test.h"

static void raw_links(void **state)
{
	static const struct {
		uint16_t link;
		unsigned version;
	} cases[] = {{LINK_RAW, 4}, {LINK_RAW, 6}, {LINK_IPV4, 4}, {LINK_IPV6, 6}};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		begin(cases[i].link);
		if (cases[i].version == 4)
			frame_ip4(&f, IP_UDP);
		else
			frame_ip6(&f, IP_UDP);
		udp_payload();
		decode();
		assert_udp(cases[i].version, 0);
		assert_int_equal(p.eth_off, UINT32_MAX);
		assert_true(p.protocols & PROTOCOL_BIT(RAW));
	}
}

static void loopback_families(void **state)
{
	static const struct {
		uint16_t link;
		const char *family;
		unsigned version;
	} cases[] = {
		{LINK_NULL, "\2\0\0\0", 4},
		{LINK_NULL, "\0\0\0\2", 4},
		{LINK_NULL, "\x0a\0\0\0", 6},
		{LINK_NULL, "\0\0\0\x18", 6},
		{LINK_NULL, "\x1c\0\0\0", 6},
		{LINK_NULL, "\x1e\0\0\0", 6},
		{LINK_LOOP, "\0\0\0\2", 4},
		{LINK_LOOP, "\0\0\0\x1e", 6},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(cases[i].link);
		frame_bytes(&f, cases[i].family, 4);
		if (cases[i].version == 4)
			frame_ip4(&f, IP_UDP);
		else
			frame_ip6(&f, IP_UDP);
		udp_payload();
		decode();
		assert_udp(cases[i].version, 4);
		assert_true(p.protocols & PROTOCOL_BIT(NULL));
	}
}

static void linux_cooked(void **state)
{
	(void)state;
	begin(LINK_SLL);
	FRAME_TEXT(&f, "\0\0\0\1\0\6\2\0\0\0\0\1\0\0\x08\0");
	frame_ip4(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(4, 16);
	assert_true(p.protocols & PROTOCOL_BIT(SLL));

	begin(LINK_SLL2);
	FRAME_TEXT(&f, "\x81\0\0\0\0\0\0\1\0\1\0\6\2\0\0\0\0\1\0\0");
	frame_vlan(&f, 7, ETHERTYPE_IPV6);
	frame_ip6(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(6, 24);
	assert_true(p.protocols & PROTOCOL_BIT(SLL2));
	assert_int_equal(p.vlan[0], 7);

	begin(LINK_SLL); // netlink: the field holds no EtherType
	FRAME_TEXT(&f, "\0\4\3\x38\0\0\0\0\0\0\0\0\0\0\x08\0");
	frame_ip4(&f, IP_UDP);
	udp_payload();
	decode();
	assert_int_equal(p.layer_count, 0);
	assert_int_equal(p.event_count, 0);
}

static void tags(void **state)
{
	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_QINQ);
	frame_vlan(&f, 100, ETHERTYPE_QINQ_OLD);
	frame_vlan(&f, 200, ETHERTYPE_VLAN);
	frame_vlan(&f, 300, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(4, 26);
	assert_int_equal(p.vlan_count, 3);
	assert_int_equal(p.vlan[0], 100);
	assert_int_equal(p.vlan[1], 200);
	assert_int_equal(p.vlan[2], 300);
	assert_true(p.protocols & PROTOCOL_BIT(VLAN));
	assert_true(p.protocols & PROTOCOL_BIT(QINQ));
	assert_int_equal(p.ethertype, ETHERTYPE_IPV4);

	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_CMD);
	FRAME_TEXT(&f, "\1\1\0\1\0\7\x08\0");
	frame_ip4(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(4, 22);

	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_ETAG);
	FRAME_TEXT(&f, "\0\0\0\0\0\0\x89\x26\0\0\0\0\x08\0");
	frame_ip4(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(4, 28);
}

static void a_stripped_tag_is_the_outermost(void **state)
{
	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_VLAN);
	frame_vlan(&f, 300, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	udp_payload();
	frame_close(&f);
	memset(&p, 0, sizeof(p));
	p = (struct packet){.data = f.data,
		.caplen = f.size,
		.wirelen = f.size,
		.link = LINK_ETHERNET,
		.flags = PACKET_VLAN_STRIPPED,
		.vlan = {200}};
	decode_burst(&config, &p, 1);
	assert_udp(4, 18);
	assert_int_equal(p.vlan_count, 2);
	assert_int_equal(p.vlan[0], 200);
	assert_int_equal(p.vlan[1], 300);
}

static void llc_and_snap(void **state)
{
	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, 8 + 20 + 8 + 12);
	FRAME_TEXT(&f, "\xaa\xaa\x03\0\0\0\x08\0");
	frame_ip4(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(4, 22);
	assert_true(p.protocols & PROTOCOL_BIT(SNAP));

	begin(LINK_ETHERNET);
	frame_eth(&f, 3 + 20 + 8 + 12);
	FRAME_TEXT(&f, "\x06\x06\x03");
	frame_ip4(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(4, 17);

	begin(LINK_ETHERNET); // a vendor's number is no EtherType
	frame_eth(&f, 30);
	FRAME_TEXT(&f, "\xaa\xaa\x03\0\0\x0c\x08\0 vendor's own protocol");
	frame_put(&f, 10);
	decode();
	assert_int_equal(p.layer_count, 0);
	assert_int_equal(p.event_count, 0);
}

static void labels(void **state)
{
	static const char *const inner[] = {"", "\0\0\0\0"};

	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_MPLS);
	FRAME_TEXT(&f, "\0\1\0\x40\0\2\1\x40");
	frame_ip6(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(6, 22);
	assert_true(p.protocols & PROTOCOL_BIT(MPLS));
	assert_int_equal(p.ethertype, ETHERTYPE_IPV6);

	// a pseudowire with and without control word; the MAC address begins with a nibble of 4
	for (unsigned i = 0; i < 2; i++) {
		uint32_t off;

		begin(LINK_ETHERNET);
		frame_eth(&f, ETHERTYPE_MPLS_MULTICAST);
		FRAME_TEXT(&f, "\0\2\1\x40");
		frame_bytes(&f, inner[i], i * 4);
		off = f.size;
		frame_eth(&f, ETHERTYPE_VLAN);
		f.data[off] = 0x45;
		frame_vlan(&f, 9, ETHERTYPE_IPV4);
		frame_ip4(&f, IP_UDP);
		udp_payload();
		decode();
		assert_udp(4, off + 18);
		assert_int_equal(p.vlan[0], 9);
	}
}

static void pppoe(void **state)
{
	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_PPPOE);
	FRAME_TEXT(&f, "\x11\0\0\x07");
	frame_length_at(&f, f.size, 0);
	FRAME_TEXT(&f, "\0\0\0\x57");
	frame_ip6(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(6, 22);
	assert_true(p.protocols & PROTOCOL_BIT(PPPOE));
	assert_true(p.protocols & PROTOCOL_BIT(PPP));
}

static void recognised(void **state)
{
	static const struct {
		uint16_t type;
		uint64_t bit;
	} cases[] = {
		{ETHERTYPE_LLDP, PROTOCOL_BIT(LLDP)},
		{ETHERTYPE_EAPOL, PROTOCOL_BIT(EAPOL)},
		{ETHERTYPE_MACSEC, PROTOCOL_BIT(MACSEC)},
		{ETHERTYPE_PPPOE_DISCOVERY, PROTOCOL_BIT(PPPOE_DISCOVERY)},
	};
	static const struct {
		uint8_t proto;
		uint64_t bit;
	} protos[] = {
		{IP_ESP, PROTOCOL_BIT(ESP)},
		{IP_OSPF, PROTOCOL_BIT(OSPF)},
		{IP_EIGRP, PROTOCOL_BIT(EIGRP)},
		{IP_PIM, PROTOCOL_BIT(PIM)},
		{IP_VRRP, PROTOCOL_BIT(VRRP)},
		{IP_L2TP, PROTOCOL_BIT(L2TP)},
		{200, PROTOCOL_BIT(OTHER_IP)},
	};

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		begin(LINK_ETHERNET);
		frame_eth(&f, cases[i].type);
		FRAME_TEXT(&f, "\x11\7\0\0\0\0");
		decode();
		assert_int_equal(p.event_count, 0);
		assert_int_equal(p.layer_count, 0);
		assert_int_equal(p.ethertype, cases[i].type);
		assert_int_equal(p.protocols, PROTOCOL_BIT(ETHERNET) | cases[i].bit);
	}
	for (unsigned i = 0; i < 7; i++) {
		begin(LINK_RAW);
		frame_ip4(&f, protos[i].proto);
		FRAME_TEXT(&f, "something or other");
		decode();
		assert_int_equal(p.event_count, 0);
		assert_int_equal(p.layer_count, 1);
		assert_int_equal(p.layer[0].proto, protos[i].proto);
		assert_int_equal(p.layer[0].flags, 0);
		assert_int_equal(
			p.protocols, PROTOCOL_BIT(RAW) | PROTOCOL_BIT(IPV4) | protos[i].bit);
	}
}

static void arp(void **state)
{
	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_VLAN);
	frame_vlan(&f, 5, ETHERTYPE_ARP);
	FRAME_TEXT(&f, "\0\1\x08\0\6\4\0\2\2\0\0\0\0\1\x0a\1\0\1\2\0\0\0\0\2\x0a\1\0\2");
	frame_put(&f, 14);
	decode();
	assert_int_equal(p.event_count, 0);
	assert_int_equal(p.arp_off, 18);
	assert_int_equal(p.layer_count, 0);
	assert_int_equal(
		p.protocols, PROTOCOL_BIT(ETHERNET) | PROTOCOL_BIT(VLAN) | PROTOCOL_BIT(ARP));
	f.data[18 + 5] = 6; // no IPv4 ARP message any more
	check_decode(&config, f.link, f.data, f.size, f.size, &p);
	assert_int_equal(p.arp_off, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(raw_links),
		cmocka_unit_test(loopback_families),
		cmocka_unit_test(linux_cooked),
		cmocka_unit_test(tags),
		cmocka_unit_test(a_stripped_tag_is_the_outermost),
		cmocka_unit_test(llc_and_snap),
		cmocka_unit_test(labels),
		cmocka_unit_test(pppoe),
		cmocka_unit_test(recognised),
		cmocka_unit_test(arp),
	};

	return cmocka_run_group_tests_name("decode link", tests, NULL, NULL);
}
