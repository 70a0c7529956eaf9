// SPDX-License-Identifier: Apache-2.0
// What the tests of link layers and of IP and transport share: one frame, one packet, and the UDP
// datagram that most frames end with.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "check.h"
#include "frame.h"

static const struct decode_config config = {false, PACKET_LAYERS_MAX - 1};
static struct frame f;
static struct packet p;

static inline void begin(uint16_t link)
{
	frame_init(&f);
	f.link = link;
}

static inline void decode(void)
{
	frame_close(&f);
	check_decode(&config, f.link, f.data, f.size, f.size, &p);
}

static inline void udp_payload(void)
{
	frame_udp(&f, 5353, 2000);
	FRAME_TEXT(&f, "twelve bytes");
}

// The frame built last is one UDP datagram in one IP header, and nothing is wrong with it.
static inline void assert_udp(unsigned version, uint32_t l3_off)
{
	uint32_t header = version == 4 ? 20 : 40;
	const struct ip_layer *l = &p.layer[0];

	assert_int_equal(p.event_count, 0);
	assert_int_equal(p.layer_count, 1);
	assert_int_equal(l->version, version);
	assert_int_equal(l->proto, IP_UDP);
	assert_int_equal(l->flags, LAYER_L4);
	assert_int_equal(l->src_port, 5353);
	assert_int_equal(l->dst_port, 2000);
	assert_int_equal(l->l3_off, l3_off);
	assert_int_equal(l->l3_len, header + 8 + 12);
	assert_int_equal(l->l4_off, l3_off + header);
	assert_int_equal(l->payload_off, l3_off + header + 8);
	assert_int_equal(l->payload_len, 12);
	assert_int_equal(l->tunnel_type, TUNNEL_NONE);
}
