// SPDX-License-Identifier: Apache-2.0
// What decoding writes down of valid packets: IP fields, ports, TCP options, fragments, extension
// headers, ICMP's ports, offsets and lengths. Link layers and tunnels have files of their own.
#include "layer_test.h"

static void plain_ipv4(void **state)
{
	const uint8_t zero[12] = {0};

	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(4, 14);
	assert_int_equal(p.eth_off, 0);
	assert_int_equal(p.arp_off, 0);
	assert_int_equal(p.ethertype, ETHERTYPE_IPV4);
	assert_int_equal(p.vlan_count, 0);
	assert_int_equal(p.layer[0].ttl, 61);
	assert_int_equal(p.layer[0].tos, 0x10);
	assert_memory_equal(p.layer[0].src, "\x0a\1\0\1", 4);
	assert_memory_equal(p.layer[0].dst, "\x0a\1\0\2", 4);
	assert_memory_equal(p.layer[0].src + 4, zero, 12);
	assert_memory_equal(p.layer[0].dst + 4, zero, 12);
	assert_int_equal(
		p.protocols, PROTOCOL_BIT(ETHERNET) | PROTOCOL_BIT(IPV4) | PROTOCOL_BIT(UDP));
}

static void plain_ipv6(void **state)
{
	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_IPV6);
	frame_ip6(&f, IP_UDP);
	udp_payload();
	decode();
	assert_udp(6, 14);
	assert_int_equal(p.ethertype, ETHERTYPE_IPV6);
	assert_int_equal(p.layer[0].ttl, 62);
	assert_int_equal(p.layer[0].tos, 0x0b);
	assert_int_equal(p.layer[0].dst[15], 2);
	assert_int_equal(
		p.protocols, PROTOCOL_BIT(ETHERNET) | PROTOCOL_BIT(IPV6) | PROTOCOL_BIT(UDP));
}

static void padding_is_no_payload(void **state)
{
	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_TCP);
	frame_tcp(&f, 0x11);
	frame_close(&f);
	frame_put(&f, 6);
	decode();
	assert_int_equal(p.event_count, 0);
	assert_int_equal(p.layer[0].payload_len, 0);
	assert_int_equal(p.layer[0].l3_len, 40);
}

static void tcp_options(void **state)
{
	const struct ip_layer *l = &p.layer[0];

	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_IPV6);
	frame_ip6(&f, IP_TCP);
	frame_tcp_options(&f, 0xc2, "\2\4\x05\xa0\4\2\x08\x0a\0\1\2\3\4\5\6\7\1\3\3\x0e", 20);
	decode();
	assert_int_equal(p.event_count, 0);
	assert_int_equal(
		l->flags, LAYER_L4 | LAYER_TCP_MSS | LAYER_TCP_WSCALE | LAYER_TCP_TIMESTAMP);
	assert_int_equal(l->tcp.mss, 1440);
	assert_int_equal(l->tcp.wscale, 14);
	assert_int_equal(l->tcp.ts_val, 0x00010203);
	assert_int_equal(l->tcp.ts_ecr, 0x04050607);
	assert_int_equal(l->tcp.seq, 0x01020304);
	assert_int_equal(l->tcp.ack, 0x05060708);
	assert_int_equal(l->tcp.window, 0x7210);
	assert_int_equal(l->tcp.flags, 0xc2);
	assert_int_equal(l->payload_off, 14 + 40 + 40);
	assert_int_equal(l->payload_len, 0);

	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_TCP);
	frame_tcp_options(&f, 0x18, "\1\1\x08\x0a\0\1\2\3\4\5\6\7", 12);
	FRAME_TEXT(&f, "data");
	decode();
	assert_int_equal(l->flags, LAYER_L4 | LAYER_TCP_TIMESTAMP);
	assert_int_equal(l->tcp.ts_ecr, 0x04050607);
	assert_int_equal(l->payload_len, 4);
}

// What the snap length leaves of a TCP header: its fixed part is enough for the flow's state.
static void a_snapped_tcp_header(void **state)
{
	const struct ip_layer *l = &p.layer[0];

	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_TCP);
	frame_tcp_options(&f, 0x18, "\1\1\x08\x0a\0\1\2\3\4\5\6\7", 12);
	FRAME_TEXT(&f, "data");
	frame_close(&f);
	check_decode(&config, f.link, f.data, 14 + 20 + 20 + 5, f.size, &p);
	assert_int_equal(p.event_count, 0);
	assert_int_equal(l->flags, LAYER_L4);
	assert_int_equal(l->tcp.flags, 0x18);
	assert_int_equal(l->payload_len, 4);
	assert_int_equal(l->payload_off, 14 + 20 + 20 + 5);
	check_decode(&config, f.link, f.data, 14 + 20 + 6, f.size, &p);
	assert_int_equal(l->flags, 0);
	assert_int_equal(l->src_port, 40000);
	assert_int_equal(l->dst_port, 443);
	assert_true(p.protocols & PROTOCOL_BIT(TCP));
}

static void fragments(void **state)
{
	const struct ip_layer *l = &p.layer[0];
	uint32_t off;

	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		begin(LINK_RAW);
		frame_ip4(&f, IP_UDP);
		udp_payload();
		frame_close(&f);
		put_be16(f.data + 6, i == 0 ? 0x2000 : 0x0003);
		decode();
		assert_int_equal(l->flags, LAYER_FRAGMENT | (i == 0 ? LAYER_FIRST_FRAGMENT : 0));
		assert_int_equal(l->frag_id, 0x1234);
		assert_int_equal(l->frag_off, i * 24);
		assert_int_equal(l->more_fragments, i == 0);
		assert_int_equal(l->src_port, 0);
		assert_int_equal(l->l4_off, 20);
		assert_int_equal(p.protocols, PROTOCOL_BIT(RAW) | PROTOCOL_BIT(IPV4));
	}

	begin(LINK_RAW);
	frame_ip6(&f, IP_FRAGMENT);
	off = f.size;
	FRAME_TEXT(&f, "\x11\0\0\x11\xde\xad\xbe\xef");
	udp_payload();
	decode();
	assert_int_equal(l->flags, LAYER_FRAGMENT);
	assert_int_equal(l->frag_id, 0xdeadbeef);
	assert_int_equal(l->frag_off, 16);
	assert_int_equal(l->more_fragments, 1);
	assert_int_equal(l->proto, IP_UDP);
	assert_int_equal(l->l4_off, 48);
	assert_int_equal(
		p.protocols, PROTOCOL_BIT(RAW) | PROTOCOL_BIT(IPV6) | PROTOCOL_BIT(IPV6_FRAGMENT));

	put_be16(f.data + off + 2, 0); // atomic
	decode();
	assert_int_equal(l->flags, LAYER_L4);
	assert_int_equal(l->src_port, 5353);
	assert_true(p.protocols & PROTOCOL_BIT(UDP));
}

static void extension_headers(void **state)
{
	const struct ip_layer *l = &p.layer[0];

	(void)state;
	begin(LINK_RAW);
	frame_ip6(&f, IP_HOPOPTS);
	FRAME_TEXT(&f, "\x3c\0\5\2\0\0\1\0");                     // router alert, PadN
	FRAME_TEXT(&f, "\x2b\0\1\4\0\0\0\0");                     // destination options
	FRAME_TEXT(&f, "\x33\0\4\0\0\0\0\0");                     // segment routing, none left
	FRAME_TEXT(&f, "\x11\4\0\0\0\0\0\1\0\0\0\2abcdefghijkl"); // AH
	udp_payload();
	decode();
	assert_int_equal(p.event_count, 0);
	assert_int_equal(l->proto, IP_UDP);
	assert_int_equal(l->l4_off, 40 + 24 + 24);
	assert_int_equal(l->payload_len, 12);
	assert_int_equal(l->l3_len, 40 + 24 + 24 + 20);
	assert_int_equal(
		p.protocols, PROTOCOL_BIT(RAW) | PROTOCOL_BIT(IPV6) | PROTOCOL_BIT(IPV6_HOPOPTS) |
				     PROTOCOL_BIT(IPV6_DSTOPTS) | PROTOCOL_BIT(IPV6_ROUTING) |
				     PROTOCOL_BIT(AH) | PROTOCOL_BIT(UDP));

	begin(LINK_RAW);
	frame_ip6(&f, IP_NONE);
	FRAME_TEXT(&f, "ignored");
	decode();
	assert_int_equal(p.event_count, 0);
	assert_int_equal(l->proto, IP_NONE);
	assert_int_equal(p.protocols, PROTOCOL_BIT(RAW) | PROTOCOL_BIT(IPV6));

	begin(LINK_RAW);
	frame_ip6(&f, IP_MOBILITY);
	FRAME_TEXT(&f, "\x3b\0\1\0\0\0\0\0");
	decode();
	assert_int_equal(p.event_count, 0);
	assert_int_equal(l->proto, IP_MOBILITY);
	assert_int_equal(l->l4_off, 40);
}

// A jumbogram's length is that of its option, and its UDP length of 0 means all of it.
static void jumbogram(void **state)
{
	const struct ip_layer *l = &p.layer[0];
	uint32_t size = 66000;

	(void)state;
	begin(LINK_RAW);
	frame_ip6(&f, IP_HOPOPTS);
	FRAME_TEXT(&f, "\x11\0\xc2\4\0\0\0\0");
	put_be32(f.data + 44, size + 16);
	frame_udp(&f, 5353, 2000);
	frame_put(&f, size);
	frame_close(&f);
	put_be16(f.data + 4, 0);
	put_be16(f.data + 48 + 4, 0);
	decode();
	assert_int_equal(p.event_count, 1);
	assert_int_equal(p.events[0], EVENT_ipv6_jumbo);
	assert_int_equal(l->l3_len, 40 + 16 + size);
	assert_int_equal(l->payload_len, size);
}

static void icmp_ports(void **state)
{
	static const struct {
		unsigned version;
		uint8_t type, code;
		uint16_t src, dst;
		uint16_t flags;
	} cases[] = {
		{4, 8, 0, 8, 0, LAYER_L4},
		{4, 0, 0, 0, 8, LAYER_L4},
		{4, 13, 0, 13, 14, LAYER_L4},
		{4, 10, 0, 10, 9, LAYER_L4},
		{4, 17, 0, 17, 18, LAYER_L4},
		{4, 6, 7, 6, 7, LAYER_L4 | LAYER_ICMP_ONE_WAY},
		{6, 128, 0, 128, 129, LAYER_L4},
		{6, 135, 0, 135, 136, LAYER_L4},
		{6, 134, 0, 134, 133, LAYER_L4},
		{6, 131, 0, 131, 130, LAYER_L4},
		{6, 145, 0, 145, 144, LAYER_L4},
		{6, 143, 3, 143, 3, LAYER_L4 | LAYER_ICMP_ONE_WAY},
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct ip_layer *l = &p.layer[0];

		begin(LINK_RAW);
		if (cases[i].version == 4) {
			frame_ip4(&f, IP_ICMP);
			frame_icmp(&f, cases[i].type, cases[i].code);
		} else {
			frame_ip6(&f, IP_ICMPV6);
			frame_icmp6(&f, cases[i].type, cases[i].code);
		}
		frame_put(&f, 16);
		decode();
		assert_int_equal(p.event_count, 0);
		assert_int_equal(l->src_port, cases[i].src);
		assert_int_equal(l->dst_port, cases[i].dst);
		assert_int_equal(l->flags, cases[i].flags);
		assert_int_equal(l->icmp_type, cases[i].type);
		assert_int_equal(l->icmp_code, cases[i].code);
		assert_int_equal(l->payload_len, 16);
	}
}

// An error quotes another packet: neither a layer nor a protocol of this one.
static void quoted_headers_do_not_count(void **state)
{
	(void)state;
	begin(LINK_RAW);
	frame_ip4(&f, IP_ICMP);
	frame_icmp(&f, 3, 3);
	frame_ip4(&f, IP_UDP);
	udp_payload();
	decode();
	assert_int_equal(p.layer_count, 1);
	assert_int_equal(p.layer[0].src_port, 3);
	assert_int_equal(p.layer[0].dst_port, 3);
	assert_int_equal(p.protocols, PROTOCOL_BIT(RAW) | PROTOCOL_BIT(IPV4) | PROTOCOL_BIT(ICMP));
}

static void other_ports(void **state)
{
	static const struct {
		uint8_t proto;
		uint64_t bit;
		uint32_t header;
	} cases[] = {
		{IP_SCTP, PROTOCOL_BIT(SCTP), 12},
		{IP_UDPLITE, PROTOCOL_BIT(UDPLITE), 8},
		{IP_DCCP, PROTOCOL_BIT(DCCP), 16},
	};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		begin(LINK_RAW);
		frame_ip4(&f, cases[i].proto);
		FRAME_TEXT(&f, "\x13\x88\x17\x70\4\0\0\0\0\0\0\0\0\0\0\0 payload");
		decode();
		assert_int_equal(p.event_count, 0);
		assert_int_equal(p.layer[0].src_port, 5000);
		assert_int_equal(p.layer[0].dst_port, 6000);
		assert_int_equal(p.layer[0].flags, LAYER_L4);
		assert_int_equal(p.layer[0].payload_off, 20 + cases[i].header);
		assert_true(p.protocols & cases[i].bit);
	}
}

// More packets than are prefetched ahead, of kinds that take either way.
static void a_burst(void **state)
{
	static struct packet burst[PACKET_BURST];
	static struct frame frames[2];

	(void)state;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	udp_payload();
	frame_close(&f);
	frames[0] = f;
	begin(LINK_ETHERNET);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_ICMP);
	frame_icmp(&f, 8, 0);
	frame_close(&f);
	frames[1] = f;
	memset(burst, 0xff, sizeof(burst));
	for (unsigned i = 0; i < PACKET_BURST; i++) {
		burst[i].data = frames[i % 2].data;
		burst[i].caplen = burst[i].wirelen = frames[i % 2].size;
		burst[i].link = LINK_ETHERNET;
		burst[i].flags = 0;
	}
	decode_burst(&config, burst, PACKET_BURST);
	for (unsigned i = 0; i < PACKET_BURST; i++) {
		assert_int_equal(burst[i].layer_count, 1);
		assert_int_equal(burst[i].layer[0].proto, i % 2 ? IP_ICMP : IP_UDP);
	}
}

// A source route's checksum counts with an address that the header does not have yet.
static void a_routed_packet_is_not_verified(void **state)
{
	static const struct decode_config verify = {true, 0};

	(void)state;
	for (unsigned left = 0; left < 2; left++) {
		begin(LINK_RAW);
		frame_ip6(&f, IP_ROUTING);
		FRAME_TEXT(&f, "\x11\0\4\0\0\0\0\0");
		f.data[43] = (uint8_t)left;
		udp_payload();
		frame_close(&f);
		f.data[f.size - 1] ^= 1;
		check_decode(&verify, f.link, f.data, f.size, f.size, &p);
		assert_int_equal(check_has(&p, EVENT_udp_bad_checksum), left == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_ipv4),
		cmocka_unit_test(plain_ipv6),
		cmocka_unit_test(padding_is_no_payload),
		cmocka_unit_test(tcp_options),
		cmocka_unit_test(a_snapped_tcp_header),
		cmocka_unit_test(fragments),
		cmocka_unit_test(extension_headers),
		cmocka_unit_test(jumbogram),
		cmocka_unit_test(icmp_ports),
		cmocka_unit_test(quoted_headers_do_not_count),
		cmocka_unit_test(other_ports),
		cmocka_unit_test(a_routed_packet_is_not_verified),
		cmocka_unit_test(a_burst),
	};

	return cmocka_run_group_tests_name("decode layers", tests, NULL, NULL);
}
