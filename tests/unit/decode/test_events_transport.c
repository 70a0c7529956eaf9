// SPDX-License-Identifier: Apache-2.0
// Events of the transport protocols: a frame that raises each, and a valid one beside it.
#include "event_test.h"

static void good_tcp(void)
{
	plain_tcp(0x18);
}

static void bad_tcp_short(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_TCP);
	frame_put(&f, 19);
	frame_close(&f);
}

static void bad_tcp_hlen(void)
{
	good_tcp();
	f.data[mark + 12] = 0x40;
}

static void bad_tcp_hlen_beyond(void)
{
	good_tcp();
	f.data[mark + 12] = 0x70;
}

static void options_tcp(const void *options, uint32_t size)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_TCP);
	frame_tcp_options(&f, 0x02, options, size);
	frame_close(&f);
}

static void good_tcp_options(void)
{
	options_tcp("\2\4\x05\xb4\4\2\x08\x0a\0\0\0\1\0\0\0\2\1\3\3\7"
		    "\5\x0a\0\0\0\1\0\0\0\2\x1e\4\0\0\0\0",
		36);
}

static void bad_tcp_mss(void)
{
	options_tcp("\2\3\5\0", 4);
}

static void bad_tcp_wscale(void)
{
	options_tcp("\3\4\7\0", 4);
}

static void bad_tcp_timestamp(void)
{
	options_tcp("\x08\x08\0\0\0\1\0\0", 8);
}

static void bad_tcp_sack(void)
{
	options_tcp("\5\x08\0\0\0\1\0\0", 8);
}

static void bad_tcp_sack_permitted(void)
{
	options_tcp("\4\3\0\0", 4);
}

static void bad_tcp_opt_zero(void)
{
	options_tcp("\x1e\0\0\0", 4);
}

static void bad_tcp_opt_beyond(void)
{
	options_tcp("\x1e\5\0\0", 4);
}

static void bad_tcp_null(void)
{
	plain_tcp(0);
}

static void bad_tcp_xmas(void)
{
	plain_tcp(0x29);
}

static void bad_tcp_xmas_rst(void)
{
	plain_tcp(0x2d);
}

static void bad_tcp_syn_fin(void)
{
	plain_tcp(0x13);
}

static void bad_tcp_checksum(void)
{
	good_tcp();
	f.data[f.size - 1] ^= 1;
}

static void bad_udp_short(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	frame_put(&f, 7);
	frame_close(&f);
}

static void bad_udp_len_small(void)
{
	plain_udp4();
	put_be16(f.data + mark + 20 + 4, 7);
}

static void bad_udp_len_large(void)
{
	plain_udp4();
	put_be16(f.data + mark + 20 + 4, 16);
}

static void bad_udp_checksum(void)
{
	plain_udp6();
	f.data[f.size - 1] ^= 1;
}

static void fixed(uint8_t proto, uint32_t size)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, proto);
	mark = f.size;
	frame_put(&f, size);
	frame_close(&f);
}

static void good_sctp(void)
{
	fixed(IP_SCTP, 12);
}

static void bad_sctp(void)
{
	fixed(IP_SCTP, 11);
}

static void good_dccp(void)
{
	fixed(IP_DCCP, 12);
	f.data[mark + 4] = 3;
}

static void bad_dccp(void)
{
	fixed(IP_DCCP, 12);
	f.data[mark + 4] = 4;
}

static void good_igmp(void)
{
	fixed(IP_IGMP, 8);
}

static void bad_igmp(void)
{
	fixed(IP_IGMP, 7);
}

static void echo4(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_ICMP);
	mark = f.size;
	frame_icmp(&f, 8, 0);
	FRAME_TEXT(&f, "ping");
	frame_close(&f);
}

static void echo6(void)
{
	frame_eth(&f, ETHERTYPE_IPV6);
	frame_ip6(&f, IP_ICMPV6);
	mark = f.size;
	frame_icmp6(&f, 128, 0);
	FRAME_TEXT(&f, "ping");
	frame_close(&f);
}

static void bad_icmp_short(void)
{
	fixed(IP_ICMP, 7);
	f.data[mark] = 8;
}

static void bad_icmp6_short(void)
{
	echo6();
	f.data[mark] = 135; // a solicitation has 24 bytes
}

static void bad_icmp_type(void)
{
	echo4();
	f.data[mark] = 7;
}

static void bad_icmp6_type(void)
{
	echo6();
	f.data[mark] = 99;
}

static void good_icmp_error(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_ICMP);
	frame_icmp(&f, 3, 3);
	mark = f.size;
	frame_ip4(&f, IP_UDP);
	frame_put(&f, 8);
	frame_close(&f);
}

static void bad_icmp_inner(void)
{
	good_icmp_error();
	f.data[mark] = 0x65;
}

static void bad_icmp_inner_short(void)
{
	frame_eth(&f, ETHERTYPE_IPV6);
	frame_ip6(&f, IP_ICMPV6);
	frame_icmp6(&f, 1, 4);
	FRAME_TEXT(&f, "\x60 not a header");
	frame_close(&f);
}

static void bad_icmp_checksum(void)
{
	echo4();
	f.data[f.size - 1] ^= 1;
}

static void bad_icmp6_checksum(void)
{
	echo6();
	f.data[f.size - 1] ^= 1;
}

static const struct event_case rows[] = {
	{EVENT_tcp_short, good_tcp, bad_tcp_short},
	{EVENT_tcp_bad_hlen, good_tcp, bad_tcp_hlen},
	{EVENT_tcp_bad_hlen, good_tcp, bad_tcp_hlen_beyond},
	{EVENT_tcp_opt_bad, good_tcp_options, bad_tcp_mss},
	{EVENT_tcp_opt_bad, good_tcp_options, bad_tcp_wscale},
	{EVENT_tcp_opt_bad, good_tcp_options, bad_tcp_timestamp},
	{EVENT_tcp_opt_bad, good_tcp_options, bad_tcp_sack},
	{EVENT_tcp_opt_bad, good_tcp_options, bad_tcp_sack_permitted},
	{EVENT_tcp_opt_bad, good_tcp_options, bad_tcp_opt_zero},
	{EVENT_tcp_opt_bad, good_tcp_options, bad_tcp_opt_beyond},
	{EVENT_tcp_null, good_tcp, bad_tcp_null},
	{EVENT_tcp_xmas, good_tcp, bad_tcp_xmas},
	{EVENT_tcp_xmas, good_tcp, bad_tcp_xmas_rst},
	{EVENT_tcp_syn_fin, good_tcp, bad_tcp_syn_fin},
	{EVENT_tcp_bad_checksum, good_tcp, bad_tcp_checksum},
	{EVENT_udp_short, plain_udp4, bad_udp_short},
	{EVENT_udp_len_mismatch, plain_udp4, bad_udp_len_small},
	{EVENT_udp_len_mismatch, plain_udp4, bad_udp_len_large},
	{EVENT_udp_bad_checksum, plain_udp6, bad_udp_checksum},
	{EVENT_sctp_short, good_sctp, bad_sctp},
	{EVENT_dccp_short, good_dccp, bad_dccp},
	{EVENT_icmp_short, echo4, bad_icmp_short},
	{EVENT_icmp_short, echo6, bad_icmp6_short},
	{EVENT_icmp_unknown_type, echo4, bad_icmp_type},
	{EVENT_icmp_unknown_type, echo6, bad_icmp6_type},
	{EVENT_icmp_bad_inner, good_icmp_error, bad_icmp_inner},
	{EVENT_icmp_bad_inner, good_icmp_error, bad_icmp_inner_short},
	{EVENT_icmp_bad_checksum, echo4, bad_icmp_checksum},
	{EVENT_icmp_bad_checksum, echo6, bad_icmp6_checksum},
	{EVENT_igmp_short, good_igmp, bad_igmp},
};

int main(int argc, char **argv)
{
	const struct event_cases t = {
		rows, sizeof(rows) / sizeof(rows[0]), EVENT_tcp_short, EVENT_igmp_short};

	return event_test_run("decode events of transport", &t, argc, argv);
}
