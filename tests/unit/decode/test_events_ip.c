// SPDX-License-Identifier: Apache-2.0
// Events of the link layers and IP: a frame that raises each, and a valid one beside it.
#include "event_test.h"

static void good_link(void)
{
	plain_udp4();
}

static void bad_unknown_link_type(void)
{
	plain_udp4();
	f.link = 195; // 802.15.4
}

static void bad_eth_short(void)
{
	plain_udp4();
	cut_to(13);
}

static void llc_of(uint16_t length)
{
	frame_eth(&f, length);
	FRAME_TEXT(&f, "\x42\x42\x03 spanning tree");
}

static void good_eth_bad_len(void)
{
	llc_of(17);
}

static void bad_eth_bad_len(void)
{
	llc_of(18);
}

static void bad_unknown_ethertype(void)
{
	plain_udp4();
	put_be16(f.data + 12, 0x9000);
}

static void snap_of(uint16_t length, uint32_t keep)
{
	frame_eth(&f, length);
	FRAME_TEXT(&f, "\xaa\xaa\x03\0\0\0\x88\xcc lldp");
	cut_to(14 + keep);
}

static void good_llc_short(void)
{
	snap_of(13, 13);
}

static void bad_llc_short(void)
{
	snap_of(7, 13);
}

static void vlans(unsigned n, uint32_t keep)
{
	frame_eth(&f, ETHERTYPE_VLAN);
	for (unsigned i = 1; i < n; i++)
		frame_vlan(&f, (uint16_t)i, ETHERTYPE_VLAN);
	frame_vlan(&f, (uint16_t)n, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	eth_udp_tail();
	if (keep > 0)
		cut_to(keep);
}

static void good_vlan(void)
{
	vlans(4, 0);
}

static void bad_vlan_short(void)
{
	vlans(2, 14 + 4 + 3);
}

static void bad_vlan_too_deep(void)
{
	vlans(5, 0);
}

static void mpls(unsigned labels, uint32_t keep)
{
	frame_eth(&f, ETHERTYPE_MPLS);
	for (unsigned i = 1; i < labels; i++)
		put_be32(frame_put(&f, 4), 0x00100040);
	put_be32(frame_put(&f, 4), 0x00200140);
	frame_ip4(&f, IP_UDP);
	eth_udp_tail();
	if (keep > 0)
		cut_to(keep);
}

static void good_mpls(void)
{
	mpls(16, 0);
}

static void bad_mpls_short(void)
{
	mpls(2, 14 + 4 + 1);
}

static void bad_mpls_too_deep(void)
{
	mpls(17, 0);
}

static void good_pppoe(void)
{
	frame_eth(&f, ETHERTYPE_PPPOE);
	mark = f.size;
	FRAME_TEXT(&f, "\x11\0\0\x07");
	frame_length_at(&f, f.size, 0);
	frame_put(&f, 2);
	FRAME_TEXT(&f, "\0\x21");
	frame_ip4(&f, IP_UDP);
	eth_udp_tail();
}

static void bad_pppoe_short(void)
{
	good_pppoe();
	cut_to(mark + 5);
}

static void bad_ppp_short(void)
{
	good_pppoe();
	put_be16(f.data + mark + 4, 1);
	cut_to(mark + 7);
}

static void bad_pppoe_version(void)
{
	good_pppoe();
	f.data[mark] = 0x21;
}

static void bad_pppoe_len(void)
{
	good_pppoe();
	cut_to(f.size - 1);
}

static void arp(void)
{
	frame_eth(&f, ETHERTYPE_ARP);
	mark = f.size;
	FRAME_TEXT(&f, "\0\1\x08\0\6\4\0\1\2\0\0\0\0\1\x0a\1\0\1\0\0\0\0\0\0\x0a\1\0\2");
}

static void bad_arp_short(void)
{
	arp();
	cut_to(mark + 27);
}

static void bad_arp_len(void)
{
	arp();
	f.data[mark + 5] = 16;
}

static void bad_arp_hw(void)
{
	arp();
	f.data[mark + 1] = 15;
}

static void bad_arp_op(void)
{
	arp();
	f.data[mark + 7] = 26;
}

static void bad_ipv4_short(void)
{
	plain_udp4();
	cut_to(mark + 19);
}

static void bad_ipv4_version(void)
{
	plain_udp4();
	f.data[mark] = 0x55;
}

static void bad_ipv4_hlen(void)
{
	plain_udp4();
	f.data[mark] = 0x44;
}

static void bad_ipv4_len_zero(void)
{
	plain_udp4();
	put_be16(f.data + mark + 2, 0);
}

static void bad_ipv4_len_lt_hlen(void)
{
	plain_udp4();
	put_be16(f.data + mark + 2, 19);
}

static void bad_ipv4_truncated(void)
{
	plain_udp4();
	cut_to(f.size - 1);
}

static void bad_ipv4_checksum(void)
{
	plain_udp4();
	f.data[mark + 8]--;
}

static void options4(const void *options, uint32_t size)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4_options(&f, IP_UDP, options, size);
	eth_udp_tail();
}

static void good_ipv4_options(void)
{
	options4("\x94\4\0\0\1\x07\x07\x04\x0a\0\0\1\x44\x08\x0d\x01\0\0\0\0\x88\x04\0\1\x1e\x02\0"
		 "\0",
		28);
}

static void bad_ipv4_opt_len(void)
{
	options4("\x94\3\0\0", 4);
}

static void bad_ipv4_opt_beyond(void)
{
	options4("\x1e\5\0\0", 4);
}

static void bad_ipv4_opt_dup(void)
{
	options4("\x94\4\0\0\x94\4\0\0", 8);
}

static void bad_ipv4_opt_unknown(void)
{
	options4("\x2a\4\0\0", 4);
}

static void bad_ipv6_short(void)
{
	plain_udp6();
	cut_to(mark + 39);
}

static void bad_ipv6_version(void)
{
	plain_udp6();
	f.data[mark] = 0x40;
}

static void bad_ipv6_truncated(void)
{
	plain_udp6();
	cut_to(f.size - 1);
}

// A chain of extension headers, each of 8 bytes, given by their numbers; UDP at its end.
static void chain6(const uint8_t *types, unsigned n)
{
	frame_eth(&f, ETHERTYPE_IPV6);
	frame_ip6(&f, n > 0 ? types[0] : IP_UDP);
	mark = f.size;
	for (unsigned i = 0; i < n; i++) {
		uint8_t *h = frame_put(&f, 8);

		h[0] = i + 1 < n ? types[i + 1] : IP_UDP;
		if (types[i] == IP_HOPOPTS || types[i] == IP_DSTOPTS)
			memcpy(h + 2, "\1\4", 2); // PadN
		if (types[i] == IP_ROUTING)
			h[2] = 4;
	}
	eth_udp_tail();
}

#define CHAIN6(...) chain6((const uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

static void good_ipv6_chain(void)
{
	CHAIN6(IP_HOPOPTS, IP_DSTOPTS, IP_ROUTING, IP_FRAGMENT, IP_DSTOPTS);
}

static void bad_ipv6_ext_truncated(void)
{
	CHAIN6(IP_DSTOPTS);
	f.data[mark + 1] = 3;
}

static void bad_ipv6_ext_duplicate(void)
{
	CHAIN6(IP_ROUTING, IP_ROUTING);
}

static void bad_ipv6_dstopts_thrice(void)
{
	CHAIN6(IP_DSTOPTS, IP_ROUTING, IP_DSTOPTS, IP_DSTOPTS);
}

static void bad_ipv6_ext_loop(void)
{
	uint8_t types[17];

	memset(types, IP_DSTOPTS, sizeof(types));
	chain6(types, sizeof(types));
}

static void bad_ipv6_ext_order(void)
{
	CHAIN6(IP_DSTOPTS, IP_HOPOPTS);
}

static void bad_ipv6_opt_len(void)
{
	CHAIN6(IP_DSTOPTS);
	f.data[mark + 3] = 5;
}

static void bad_ipv6_rh0(void)
{
	CHAIN6(IP_ROUTING);
	f.data[mark + 2] = 0;
}

static void bad_ipv6_jumbo(void)
{
	CHAIN6(IP_HOPOPTS);
	memcpy(f.data + mark + 2, "\xc2\4", 2);
	put_be32(f.data + mark + 4, f.size - mark);
	put_be16(f.data + mark - 36, 0);
}

static void tcp6(void)
{
	frame_eth(&f, ETHERTYPE_IPV6);
	mark = f.size;
	frame_ip6(&f, IP_TCP);
	frame_tcp(&f, 0x10);
	FRAME_TEXT(&f, "payload");
	frame_close(&f);
}

static void bad_ipv6_len_zero(void)
{
	tcp6();
	put_be16(f.data + mark + 4, 0);
}

static void good_ah(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_AH);
	mark = f.size;
	FRAME_TEXT(&f, "\x11\4\0\0\0\0\0\7\0\0\0\1abcdefghijkl");
	eth_udp_tail();
}

static void bad_ah_short(void)
{
	good_ah();
	f.data[mark + 1] = 0;
}

static const struct event_case rows[] = {
	{EVENT_unknown_link_type, good_link, bad_unknown_link_type},
	{EVENT_eth_short, good_link, bad_eth_short},
	{EVENT_eth_bad_len, good_eth_bad_len, bad_eth_bad_len},
	{EVENT_unknown_ethertype, good_link, bad_unknown_ethertype},
	{EVENT_llc_short, good_llc_short, bad_llc_short},
	{EVENT_vlan_short, good_vlan, bad_vlan_short},
	{EVENT_vlan_too_deep, good_vlan, bad_vlan_too_deep},
	{EVENT_mpls_short, good_mpls, bad_mpls_short},
	{EVENT_mpls_too_deep, good_mpls, bad_mpls_too_deep},
	{EVENT_pppoe_short, good_pppoe, bad_pppoe_short},
	{EVENT_pppoe_short, good_pppoe, bad_ppp_short},
	{EVENT_pppoe_bad_version, good_pppoe, bad_pppoe_version},
	{EVENT_pppoe_bad_len, good_pppoe, bad_pppoe_len},
	{EVENT_arp_short, arp, bad_arp_short},
	{EVENT_arp_bad_len, arp, bad_arp_len},
	{EVENT_arp_bad_hw, arp, bad_arp_hw},
	{EVENT_arp_bad_op, arp, bad_arp_op},
	{EVENT_ipv4_short, plain_udp4, bad_ipv4_short},
	{EVENT_ipv4_bad_version, plain_udp4, bad_ipv4_version},
	{EVENT_ipv4_hlen_small, plain_udp4, bad_ipv4_hlen},
	{EVENT_ipv4_len_zero, plain_udp4, bad_ipv4_len_zero},
	{EVENT_ipv4_len_lt_hlen, plain_udp4, bad_ipv4_len_lt_hlen},
	{EVENT_ipv4_truncated, plain_udp4, bad_ipv4_truncated},
	{EVENT_ipv4_bad_checksum, plain_udp4, bad_ipv4_checksum},
	{EVENT_ipv4_opt_bad_len, good_ipv4_options, bad_ipv4_opt_len},
	{EVENT_ipv4_opt_bad_len, good_ipv4_options, bad_ipv4_opt_beyond},
	{EVENT_ipv4_opt_dup, good_ipv4_options, bad_ipv4_opt_dup},
	{EVENT_ipv4_opt_unknown, good_ipv4_options, bad_ipv4_opt_unknown},
	{EVENT_ipv6_short, plain_udp6, bad_ipv6_short},
	{EVENT_ipv6_bad_version, plain_udp6, bad_ipv6_version},
	{EVENT_ipv6_truncated, plain_udp6, bad_ipv6_truncated},
	{EVENT_ipv6_ext_truncated, good_ipv6_chain, bad_ipv6_ext_truncated},
	{EVENT_ipv6_ext_duplicate, good_ipv6_chain, bad_ipv6_ext_duplicate},
	{EVENT_ipv6_ext_duplicate, good_ipv6_chain, bad_ipv6_dstopts_thrice},
	{EVENT_ipv6_ext_loop, good_ipv6_chain, bad_ipv6_ext_loop},
	{EVENT_ipv6_ext_order, good_ipv6_chain, bad_ipv6_ext_order},
	{EVENT_ipv6_opt_bad_len, good_ipv6_chain, bad_ipv6_opt_len},
	{EVENT_ipv6_rh0, good_ipv6_chain, bad_ipv6_rh0},
	{EVENT_ipv6_jumbo, good_ipv6_chain, bad_ipv6_jumbo},
	{EVENT_ipv6_len_zero, tcp6, bad_ipv6_len_zero},
	{EVENT_ah_short, good_ah, bad_ah_short},
};

int main(int argc, char **argv)
{
	const struct event_cases t = {
		rows, sizeof(rows) / sizeof(rows[0]), EVENT_unknown_link_type, EVENT_ah_short};

	return event_test_run("decode events of link and IP", &t, argc, argv);
}
