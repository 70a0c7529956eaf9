// SPDX-License-Identifier: Apache-2.0
// Events of tunnels: a frame that raises each, and a valid one beside it.
#include "event_test.h"

static void gre(const void *header, uint32_t size)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_GRE);
	mark = f.size;
	frame_bytes(&f, header, size);
}

static void good_gre(void)
{
	gre("\xb0\0\x08\0\0\0\0\0\0\0\0\7\0\0\0\1", 16);
	frame_ip4(&f, IP_UDP);
	eth_udp_tail();
}

static void bad_gre_version(void)
{
	good_gre();
	f.data[mark + 1] = 2;
}

static void bad_gre_flags(void)
{
	good_gre();
	f.data[mark + 1] = 0x08;
}

static void good_gre1(void)
{
	gre("\x30\x01\x88\x0b\0\x25\0\7\0\0\0\1\0\x21", 14);
	frame_ip4(&f, IP_UDP);
	eth_udp_tail();
}

static void bad_gre1_flags(void)
{
	good_gre1();
	f.data[mark] |= 0x80;
}

static void bad_gre_truncated(void)
{
	gre("\xb0\0\x08\0\0\0\0\0\0\0\0\7\0\0\0", 15);
	frame_close(&f);
}

static void bad_gre_routing(void)
{
	gre("\x40\0\x08\0\0\0\0\0\x08\0\0\x08\x0a\0\0\1", 16);
	frame_close(&f);
}

static void erspan(const void *header, uint32_t size, bool is_3)
{
	gre(is_3 ? "\x10\0\x22\xeb\0\0\0\1" : "\x10\0\x88\xbe\0\0\0\1", 8);
	mark = f.size;
	frame_bytes(&f, header, size);
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	eth_udp_tail();
}

static void good_erspan(void)
{
	erspan("\x10\x05\x08\x64\0\0\0\1", 8, false);
}

static void good_erspan3(void)
{
	erspan("\x20\x05\x08\x64\0\0\0\1\0\0\0\1platform", 20, true);
}

static void bad_erspan_version(void)
{
	good_erspan();
	f.data[mark] = 0x30;
}

static void bad_erspan_short(void)
{
	gre("\x10\0\x88\xbe\0\0\0\1\x10\x05\x08\x64\0\0\0", 15);
	frame_close(&f);
}

static void over_udp(uint16_t port, const void *header, uint32_t size)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	frame_udp(&f, 50000, port);
	mark = f.size;
	frame_bytes(&f, header, size);
}

static void inner_frame(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	eth_udp_tail();
}

static void good_vxlan(void)
{
	over_udp(4789, "\x08\0\0\0\0\0\x2a\0", 8);
	inner_frame();
}

static void bad_vxlan_flags(void)
{
	good_vxlan();
	f.data[mark] = 0;
}

static void bad_vxlan_gpe_flags(void)
{
	over_udp(4790, "\x04\0\0\3\0\0\x2a\0", 8);
	inner_frame();
}

static void bad_vxlan_short(void)
{
	over_udp(4789, "\x08\0\0\0\0\0\x2a", 7);
	frame_close(&f);
}

static void good_geneve(void)
{
	over_udp(6081, "\x02\0\x65\x58\0\0\x2a\0\1\2\3\1abcd", 16);
	inner_frame();
}

static void bad_geneve_short(void)
{
	over_udp(6081, "\x02\0\x65\x58", 4);
	frame_close(&f);
}

static void bad_geneve_version(void)
{
	good_geneve();
	f.data[mark] |= 0x40;
}

static void bad_geneve_opts(void)
{
	good_geneve();
	f.data[mark + 11] = 2;
}

static void bad_geneve_opts_beyond(void)
{
	over_udp(6081, "\x02\0\x65\x58\0\0\x2a\0\1\2\3\1abc", 15);
	frame_close(&f);
}

static void gtpu(const void *fields, uint32_t size)
{
	over_udp(2152, "\x30\xff", 2);
	if (size > 0)
		f.data[mark] = 0x34;
	frame_length_at(&f, f.size, 4);
	FRAME_TEXT(&f, "\0\0\0\0\0\7");
	frame_bytes(&f, fields, size);
	frame_ip4(&f, IP_UDP);
	eth_udp_tail();
}

static void good_gtpu(void)
{
	gtpu("\0\0\0\x85\1\x10\1\0", 8);
}

static void bad_gtpu_short(void)
{
	good_gtpu();
	put_be16(f.data + mark + 2, 200);
}

static void bad_gtpu_extension(void)
{
	gtpu("\0\0\0\x85\0\x10\1\0", 8);
}

static void bad_gtpu_version(void)
{
	good_gtpu();
	f.data[mark] = 0x54;
}

static void good_teredo(void)
{
	over_udp(3544, "\0\1\0\0noncenon\0\0\0portaddr", 21);
	frame_ip6(&f, IP_NONE);
	frame_close(&f);
}

static void bad_teredo(void)
{
	over_udp(3544, "\x60\0\0\0\0\0\x3b\x40 half a header", 22);
	frame_close(&f);
}

static void nested(unsigned layers)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	for (unsigned i = 1; i < layers; i++)
		frame_ip4(&f, IP_IPV4);
	frame_ip4(&f, IP_UDP);
	eth_udp_tail();
}

static void good_layers(void)
{
	nested(PACKET_LAYERS_MAX);
}

static void bad_layers(void)
{
	nested(PACKET_LAYERS_MAX + 1);
}

static void bad_headers(void)
{
	frame_eth(&f, ETHERTYPE_PBB);
	for (unsigned i = 0; i < 40; i++) {
		frame_put(&f, 4);
		frame_eth(&f, ETHERTYPE_PBB);
	}
}

static void good_headers(void)
{
	frame_eth(&f, ETHERTYPE_PBB);
	frame_put(&f, 4);
	inner_frame();
}

static const struct event_case rows[] = {
	{EVENT_gre_version, good_gre, bad_gre_version},
	{EVENT_gre_flags, good_gre, bad_gre_flags},
	{EVENT_gre_flags, good_gre1, bad_gre1_flags},
	{EVENT_gre_truncated, good_gre, bad_gre_truncated},
	{EVENT_gre_truncated, good_gre, bad_gre_routing},
	{EVENT_erspan_short, good_erspan3, bad_erspan_short},
	{EVENT_erspan_version, good_erspan, bad_erspan_version},
	{EVENT_vxlan_short, good_vxlan, bad_vxlan_short},
	{EVENT_vxlan_bad_flags, good_vxlan, bad_vxlan_flags},
	{EVENT_vxlan_bad_flags, good_vxlan, bad_vxlan_gpe_flags},
	{EVENT_geneve_short, good_geneve, bad_geneve_short},
	{EVENT_geneve_version, good_geneve, bad_geneve_version},
	{EVENT_geneve_opts, good_geneve, bad_geneve_opts},
	{EVENT_geneve_opts, good_geneve, bad_geneve_opts_beyond},
	{EVENT_gtpu_short, good_gtpu, bad_gtpu_short},
	{EVENT_gtpu_short, good_gtpu, bad_gtpu_extension},
	{EVENT_gtpu_version, good_gtpu, bad_gtpu_version},
	{EVENT_teredo_short, good_teredo, bad_teredo},
	{EVENT_too_many_layers, good_layers, bad_layers},
	{EVENT_too_many_headers, good_headers, bad_headers},
};

int main(int argc, char **argv)
{
	const struct event_cases t = {
		rows, sizeof(rows) / sizeof(rows[0]), EVENT_gre_version, EVENT_too_many_headers};

	return event_test_run("decode events of tunnels", &t, argc, argv);
}
