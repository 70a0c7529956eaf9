// SPDX-License-Identifier: Apache-2.0
// Tunnels: that each is followed to the IP header inside, with its type and identity, that they
// nest up to the configured depth, and that a port alone makes none.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "check.h"
#include "frame.h"

static const struct decode_config config = {true, PACKET_LAYERS_MAX - 1};
static struct frame f;
static struct packet p;
static unsigned row; // of a table, for messages

enum carries { FRAME4, FRAME6, PACKET4, PACKET6 };

static void inner(enum carries what)
{
	if (what == FRAME4 || what == FRAME6)
		frame_eth(&f, what == FRAME4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6);
	if (what == FRAME4 || what == PACKET4)
		frame_ip4(&f, IP_TCP);
	else
		frame_ip6(&f, IP_TCP);
	frame_tcp(&f, 0x18);
	FRAME_TEXT(&f, "data");
}

static void decode(void)
{
	frame_close(&f);
	check_decode(&config, f.link, f.data, f.size, f.size, &p);
}

static void assert_inner(enum tunnel_type type, bool has_id, uint32_t id)
{
	const struct ip_layer *l = &p.layer[1];

	if (p.event_count > 0)
		fail_msg("row %u: %s", row, event_table[p.events[0]].name);
	if (p.layer_count != 2 || l->tunnel_type != type)
		fail_msg("row %u: %u layers, tunnel type %u", row, p.layer_count, l->tunnel_type);
	assert_int_equal(p.layer[0].tunnel_type, TUNNEL_NONE);
	assert_int_equal((l->flags & LAYER_TUNNEL_ID) != 0, has_id);
	assert_int_equal(l->tunnel_id, id);
	assert_int_equal(l->proto, IP_TCP);
	assert_int_equal(l->src_port, 40000);
	assert_int_equal(l->payload_len, 4);
	assert_true(l->flags & LAYER_L4);
}

struct tunnel_case {
	const char *header;
	uint32_t size;
	enum carries carries;
	enum tunnel_type type;
	bool has_id;
	uint32_t id;
	uint64_t bit;
	uint16_t port; // UDP only
};

#define HEADER(text) text, sizeof(text) - 1

static const struct tunnel_case gre_cases[] = {
	{HEADER("\0\0\x08\0"), PACKET4, TUNNEL_GRE, false, 0, PROTOCOL_BIT(GRE)},
	{HEADER("\0\0\x86\xdd"), PACKET6, TUNNEL_GRE, false, 0, PROTOCOL_BIT(GRE)},
	{HEADER("\x80\0\x08\0\0\0\0\0"), PACKET4, TUNNEL_GRE, false, 0, PROTOCOL_BIT(GRE)},
	{HEADER("\xb0\0\x08\0\0\0\0\0\0\0\1\2\0\0\0\1"), PACKET4, TUNNEL_GRE, true, 0x102,
		PROTOCOL_BIT(GRE)},
	{HEADER("\x40\0\x08\0\0\0\0\0\x08\0\0\4\x0a\0\0\1\0\0\0\0"), PACKET4, TUNNEL_GRE, false, 0,
		PROTOCOL_BIT(GRE)},
	{HEADER("\0\0\x65\x58"), FRAME4, TUNNEL_GRE, false, 0, PROTOCOL_BIT(GRE)},
	{HEADER("\x20\0\x65\x58\0\0\0\x2a"), FRAME4, TUNNEL_GRE, true, 42, PROTOCOL_BIT(GRE)},
	{HEADER("\x20\0\x65\x58\0\x50\1\x2a"), FRAME6, TUNNEL_NVGRE, true, 0x5001,
		PROTOCOL_BIT(NVGRE)},
	{HEADER("\x30\0\x65\x58\0\x50\1\x2a\0\0\0\1"), FRAME6, TUNNEL_GRE, true, 0x50012a,
		PROTOCOL_BIT(GRE)},
	{HEADER("\0\0\x88\x47\0\2\1\x40"), PACKET4, TUNNEL_GRE, false, 0, PROTOCOL_BIT(MPLS)},
	{HEADER("\0\0\x88\x0b\xff\3\0\x21"), PACKET4, TUNNEL_GRE, false, 0, PROTOCOL_BIT(PPP)},
	{HEADER("\0\0\x88\x0b\x21"), PACKET4, TUNNEL_GRE, false, 0, PROTOCOL_BIT(PPP)},
	{HEADER("\x30\x81\x88\x0b\0\x30\0\7\0\0\0\1\0\0\0\2\xff\3\0\x21"), PACKET4, TUNNEL_GRE,
		false, 0, PROTOCOL_BIT(PPP)},
	{HEADER("\0\0\x88\x3e"), PACKET4, TUNNEL_GRE, false, 0, PROTOCOL_BIT(GRE)},
	{HEADER("\0\0\x88\x3e\0\0\0\0"), PACKET4, TUNNEL_GRE, false, 0, PROTOCOL_BIT(GRE)},
	{HEADER("\0\0\x88\xbe"), FRAME4, TUNNEL_ERSPAN, false, 0, PROTOCOL_BIT(ERSPAN)},
	{HEADER("\x10\0\x88\xbe\0\0\0\1\x10\5\x08\x64\0\0\0\1"), FRAME4, TUNNEL_ERSPAN, true, 100,
		PROTOCOL_BIT(ERSPAN)},
	{HEADER("\x10\0\x22\xeb\0\0\0\1\x20\5\0\x65\0\0\0\1\0\0\0\0"), FRAME6, TUNNEL_ERSPAN, true,
		101, PROTOCOL_BIT(ERSPAN)},
	{HEADER("\x10\0\x22\xeb\0\0\0\1\x20\5\0\x66\0\0\0\1\0\0\0\1platform"), FRAME4,
		TUNNEL_ERSPAN, true, 102, PROTOCOL_BIT(ERSPAN)},
	{HEADER("\x10\0\x22\xeb\0\0\0\1\x20\5\0\x66\0\0\0\1\0\0\x08\0"), PACKET6, TUNNEL_ERSPAN,
		true, 102, PROTOCOL_BIT(ERSPAN)},
};

static const struct tunnel_case udp_cases[] = {
	{HEADER("\x08\0\0\0\0\0\x2a\0"), FRAME4, TUNNEL_VXLAN, true, 42, PROTOCOL_BIT(VXLAN), 4789},
	{HEADER("\x08\0\0\0\1\2\3\0"), FRAME6, TUNNEL_VXLAN, true, 0x10203, PROTOCOL_BIT(VXLAN),
		8472},
	{HEADER("\x88\x48\0\7\0\0\x2a\0"), FRAME4, TUNNEL_VXLAN, true, 42, PROTOCOL_BIT(VXLAN),
		4789},
	{HEADER("\x0c\0\0\1\0\0\x2a\0"), PACKET4, TUNNEL_VXLAN_GPE, true, 42,
		PROTOCOL_BIT(VXLAN_GPE), 4790},
	{HEADER("\x0c\0\0\2\0\0\x2a\0"), PACKET6, TUNNEL_VXLAN_GPE, true, 42,
		PROTOCOL_BIT(VXLAN_GPE), 4790},
	{HEADER("\x0c\0\0\3\0\0\x2a\0"), FRAME4, TUNNEL_VXLAN_GPE, true, 42,
		PROTOCOL_BIT(VXLAN_GPE), 4790},
	{HEADER("\x0c\0\0\5\0\0\x2a\0\0\2\1\x40"), PACKET4, TUNNEL_VXLAN_GPE, true, 42,
		PROTOCOL_BIT(MPLS), 4790},
	{HEADER("\x08\0\0\0\0\0\x2a\0"), FRAME4, TUNNEL_VXLAN, true, 42, PROTOCOL_BIT(VXLAN), 4790},
	{HEADER("\0\0\x65\x58\0\0\x2a\0"), FRAME4, TUNNEL_GENEVE, true, 42, PROTOCOL_BIT(GENEVE),
		6081},
	{HEADER("\2\x40\x65\x58\0\0\x2a\0\1\2\3\1abcd"), FRAME6, TUNNEL_GENEVE, true, 42,
		PROTOCOL_BIT(GENEVE), 6081},
	{HEADER("\0\0\x86\xdd\0\0\x2a\0"), PACKET6, TUNNEL_GENEVE, true, 42, PROTOCOL_BIT(GENEVE),
		6081},
	{HEADER("\0\0\x08\0"), PACKET4, TUNNEL_GRE, false, 0, PROTOCOL_BIT(GRE), 4754},
	{HEADER("\x20\0\x65\x58\0\0\0\7"), FRAME4, TUNNEL_GRE, true, 7, PROTOCOL_BIT(GRE), 4754},
	{HEADER("\0\1\0\x40\0\2\1\x40"), PACKET6, TUNNEL_MPLS, false, 0, PROTOCOL_BIT(MPLS), 6635},
	{HEADER("\0\2\1\x40\0\0\0\0"), FRAME4, TUNNEL_MPLS, false, 0, PROTOCOL_BIT(MPLS), 6635},
	{HEADER("\x30\xff\0\x2c\0\0\0\7"), PACKET4, TUNNEL_GTPU, false, 0, PROTOCOL_BIT(GTPU),
		2152},
	{HEADER("\x32\xff\0\x44\0\0\0\7\0\1\0\0"), PACKET6, TUNNEL_GTPU, false, 0,
		PROTOCOL_BIT(GTPU), 2152},
	{HEADER("\x34\xff\0\x38\0\0\0\7\0\0\0\x85\1\x10\1\x85\1\x10\1\0"), PACKET4, TUNNEL_GTPU,
		false, 0, PROTOCOL_BIT(GTPU), 2152},
	{HEADER(""), PACKET6, TUNNEL_TEREDO, false, 0, PROTOCOL_BIT(TEREDO), 3544},
	{HEADER("\0\0portad"), PACKET6, TUNNEL_TEREDO, false, 0, PROTOCOL_BIT(TEREDO), 3544},
	{HEADER("\0\1\2\3ididnoncenonc\0\0\0portad"), PACKET6, TUNNEL_TEREDO, false, 0,
		PROTOCOL_BIT(TEREDO), 3544},
};

static void ip_in_ip(void **state)
{
	(void)state;
	for (unsigned outer = 0; outer < 2; outer++) {
		for (unsigned in = 0; in < 2; in++) {
			uint8_t proto = in == 0 ? IP_IPV4 : IP_IPV6;

			frame_init(&f);
			f.link = LINK_RAW;
			if (outer == 0)
				frame_ip4(&f, proto);
			else
				frame_ip6(&f, proto);
			inner(in == 0 ? PACKET4 : PACKET6);
			decode();
			assert_inner(TUNNEL_IPIP, false, 0);
			assert_int_equal(p.layer[0].proto, proto);
			assert_true(p.protocols & PROTOCOL_BIT(IPIP));
		}
	}
}

static void gre(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(gre_cases) / sizeof(gre_cases[0]); i++) {
		const struct tunnel_case *c = &gre_cases[i];

		frame_init(&f);
		frame_eth(&f, ETHERTYPE_IPV6);
		frame_ip6(&f, IP_GRE);
		frame_bytes(&f, c->header, c->size);
		inner(c->carries);
		decode();
		row = i;
		assert_inner(c->type, c->has_id, c->id);
		assert_true(p.protocols & c->bit);
		assert_true(p.protocols & PROTOCOL_BIT(GRE));
	}
}

static void over_udp(const struct tunnel_case *c, uint16_t src, uint16_t dst)
{
	frame_init(&f);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	frame_udp(&f, src, dst);
	frame_bytes(&f, c->header, c->size);
	inner(c->carries);
	decode();
}

static void udp(void **state)
{
	(void)state;
	for (unsigned i = 0; i < sizeof(udp_cases) / sizeof(udp_cases[0]); i++) {
		const struct tunnel_case *c = &udp_cases[i];

		over_udp(c, 50000, c->port);
		row = i;
		assert_inner(c->type, c->has_id, c->id);
		assert_true(p.protocols & c->bit);
		assert_int_equal(p.layer[0].dst_port, c->port);
		// and no tunnel at another port
		over_udp(c, 50000, 50001);
		assert_int_equal(p.layer_count, 1);
		assert_int_equal(p.event_count, 0);
	}
}

static void other_gtp_messages_are_counted_only(void **state)
{
	(void)state;
	frame_init(&f);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	frame_udp(&f, 2152, 2152);
	FRAME_TEXT(&f, "\x32\1\0\4\0\0\0\0\0\1\0\0");
	decode();
	assert_int_equal(p.event_count, 0);
	assert_int_equal(p.layer_count, 1);
	assert_true(p.protocols & PROTOCOL_BIT(GTPU));
}

static void a_mpls_label_in_ip(void **state)
{
	(void)state;
	frame_init(&f);
	f.link = LINK_RAW;
	frame_ip4(&f, IP_MPLS);
	FRAME_TEXT(&f, "\0\2\1\x40");
	inner(PACKET4);
	decode();
	assert_inner(TUNNEL_MPLS, false, 0);
}

// Tags and labels below the first IP header are no tunnel; tags inside one are not this frame's.
static void tags_inside_a_tunnel(void **state)
{
	(void)state;
	frame_init(&f);
	frame_eth(&f, ETHERTYPE_VLAN);
	frame_vlan(&f, 10, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	frame_udp(&f, 50000, 4789);
	FRAME_TEXT(&f, "\x08\0\0\0\0\0\7\0");
	frame_eth(&f, ETHERTYPE_VLAN);
	frame_vlan(&f, 20, ETHERTYPE_IPV4);
	inner(PACKET4);
	decode();
	assert_inner(TUNNEL_VXLAN, true, 7);
	assert_int_equal(p.vlan_count, 1);
	assert_int_equal(p.vlan[0], 10);
	assert_int_equal(p.ethertype, ETHERTYPE_IPV4);
	assert_int_equal(p.eth_off, 0);
}

// What clients with a tunnel's port number send and get: none of it is a tunnel or malformed.
static void a_port_alone_makes_no_tunnel(void **state)
{
	static const uint16_t ports[] = {2152, 3544, 4754, 4789, 4790, 6081, 6635, 8472};
	static const char answer[] = "\x08\0\x81\x80\0\1\0\1\0\0\0\0\7example\3com\0\0\1\0\1"
				     "\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\x5d\xb8\xd8\x22";
	static const char query[] = "\x08\0\1\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1";

	(void)state;
	for (unsigned i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		for (unsigned way = 0; way < 2; way++) {
			frame_init(&f);
			frame_eth(&f, ETHERTYPE_IPV4);
			frame_ip4(&f, IP_UDP);
			frame_udp(&f, way ? 53 : ports[i], way ? ports[i] : 53);
			if (way)
				frame_bytes(&f, answer, sizeof(answer) - 1);
			else
				frame_bytes(&f, query, sizeof(query) - 1);
			decode();
			assert_int_equal(p.layer_count, 1);
			assert_int_equal(p.event_count, 0);
			assert_int_equal(p.protocols,
				PROTOCOL_BIT(ETHERNET) | PROTOCOL_BIT(IPV4) | PROTOCOL_BIT(UDP));
			// a short datagram from a well-known port is not judged either
			f.size = 0;
			frame_init(&f);
			frame_eth(&f, ETHERTYPE_IPV4);
			frame_ip4(&f, IP_UDP);
			frame_udp(&f, 123, ports[i]);
			FRAME_TEXT(&f, "\x60xx");
			decode();
			assert_int_equal(p.event_count, 0);
		}
	}
}

// Random payloads on tunnel ports: header checks and the inner header must all fit.
static void noise_makes_no_tunnel(void **state)
{
	static const uint16_t ports[] = {2152, 3544, 4754, 4789, 4790, 6081, 6635, 8472};
	uint64_t x = 88172645463325252u;
	unsigned followed = 0;

	(void)state;
	for (unsigned i = 0; i < 40000; i++) {
		frame_init(&f);
		frame_eth(&f, ETHERTYPE_IPV4);
		frame_ip4(&f, IP_UDP);
		frame_udp(&f, 50000, ports[i % 8]);
		for (unsigned j = 0; j < 8; j++) {
			x ^= x << 13;
			x ^= x >> 7;
			x ^= x << 17;
			frame_bytes(&f, &x, 8);
		}
		decode();
		followed += p.layer_count > 1;
	}
	// Teredo is the loosest: a nibble and a length of 16 bits that 40 bytes can hold
	assert_true(followed < 10);
}

static void depth_is_bounded(void **state)
{
	static const struct decode_config shallow = {false, 2};

	(void)state;
	for (unsigned layers = 1; layers <= 4; layers++) {
		frame_init(&f);
		f.link = LINK_IPV4;
		for (unsigned i = 1; i < layers; i++)
			frame_ip4(&f, IP_IPV4);
		frame_ip4(&f, IP_UDP);
		frame_udp(&f, 1, 2);
		frame_close(&f);
		check_decode(&shallow, f.link, f.data, f.size, f.size, &p);
		assert_int_equal(p.layer_count, layers < 3 ? layers : 3);
		assert_int_equal(check_has(&p, EVENT_too_many_layers), layers > 3);
	}
}

// Inner headers may not read on in what lies behind the tunnel's own end.
static void an_inner_header_stays_in_its_tunnel(void **state)
{
	(void)state;
	frame_init(&f);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_IPV4);
	frame_ip4(&f, IP_UDP);
	frame_udp(&f, 1, 2);
	frame_close(&f);
	put_be16(f.data + 14 + 2, 20 + 20 + 4); // the outer length ends inside the UDP header
	check_decode(&config, f.link, f.data, f.size, f.size, &p);
	assert_true(check_has(&p, EVENT_ipv4_truncated));
	assert_int_equal(p.layer_count, 2);
	assert_int_equal(p.layer[1].flags & LAYER_L4, 0);
	assert_int_equal(p.layer[1].src_port, 1);
}

// A frame that the mirror cut, and said so: what is missing is no malformation.
static void a_truncated_mirror(void **state)
{
	(void)state;
	frame_init(&f);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_GRE);
	FRAME_TEXT(&f, "\x10\0\x88\xbe\0\0\0\1\x10\5\x0c\x64\0\0\0\1");
	inner(FRAME4);
	frame_close(&f);
	f.size -= 10;
	put_be16(f.data + 14 + 2, f.size - 14);
	put_be16(f.data + 14 + 10, 0);
	put_be16(f.data + 14 + 10, frame_checksum(0, f.data + 14, 20));
	check_decode(&config, f.link, f.data, f.size, f.size, &p);
	assert_int_equal(p.event_count, 0);
	assert_int_equal(p.layer_count, 2);
	f.data[14 + 20 + 8 + 2] = 0; // without that mark it is
	check_decode(&config, f.link, f.data, f.size, f.size, &p);
	assert_true(check_has(&p, EVENT_ipv4_truncated));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ip_in_ip),
		cmocka_unit_test(gre),
		cmocka_unit_test(udp),
		cmocka_unit_test(other_gtp_messages_are_counted_only),
		cmocka_unit_test(a_mpls_label_in_ip),
		cmocka_unit_test(tags_inside_a_tunnel),
		cmocka_unit_test(a_port_alone_makes_no_tunnel),
		cmocka_unit_test(noise_makes_no_tunnel),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(an_inner_header_stays_in_its_tunnel),
		cmocka_unit_test(a_truncated_mirror),
	};

	return cmocka_run_group_tests_name("decode tunnels", tests, NULL, NULL);
}
