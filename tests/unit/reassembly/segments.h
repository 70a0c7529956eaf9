// SPDX-License-Identifier: Apache-2.0
// Segments made by hand as decoding would leave them, and random numbers that a seed repeats.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "events.h"
#include "reassembly.h"

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16, TCP_URG = 32 };

static uint64_t rng = 1;

static inline uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % n;
}

struct segment_args {
	uint32_t stream, seq, ack, length;
	const uint8_t *data;
	uint64_t ts_ns;
	uint32_t ts_val;
	uint32_t cut; // bytes of the payload that were not captured
	uint16_t window;
	uint16_t urgent;
	uint8_t direction, flags;
	uint8_t wscale; // 0: no option
	bool has_timestamp;
};

// The header's urgent pointer lies in front of the payload: 20 bytes, then the payload's address.
static inline void send_segment(struct reassembly *r, const struct segment_args *a)
{
	static uint8_t frame[20 + 70000];
	static struct packet p;
	struct ip_layer *l = &p.layer[0];

	memset(l, 0, sizeof(*l));
	frame[18] = (uint8_t)(a->urgent >> 8);
	frame[19] = (uint8_t)a->urgent;
	if (a->length > a->cut)
		memcpy(frame + 20, a->data, a->length - a->cut);
	p.data = frame;
	p.caplen = 20 + a->length - a->cut;
	p.wirelen = 20 + a->length;
	p.ts_ns = p.now_ns = a->ts_ns;
	p.event_count = 0;
	p.layer_count = 1;
	p.capture = 0;
	l->version = 4;
	l->proto = 6;
	l->src[0] = l->dst[0] = 10;
	l->src[3] = a->direction ? 2 : 1;
	l->dst[3] = a->direction ? 1 : 2;
	l->swapped = a->direction;
	l->flags = LAYER_L4;
	if (a->wscale != 0)
		l->flags |= LAYER_TCP_WSCALE;
	if (a->has_timestamp)
		l->flags |= LAYER_TCP_TIMESTAMP;
	l->payload_off = 20;
	l->payload_len = a->length;
	l->tcp.seq = a->seq;
	l->tcp.ack = a->ack;
	l->tcp.flags = a->flags;
	l->tcp.window = a->window;
	l->tcp.wscale = a->wscale;
	l->tcp.ts_val = a->ts_val;
	reassembly_segment(r, a->stream, &p, l);
}
