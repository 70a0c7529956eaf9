// SPDX-License-Identifier: Apache-2.0
// Fragments made by hand as decoding would leave them, random numbers that a seed repeats, and the
// accounting that comes out of the stage.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chunk.h"
#include "clock.h"
#include "defrag.h"
#include "events.h"

enum { MAX_PAYLOAD = 65515 };

static uint64_t rng = 1;
static struct counters counters;
static uint64_t emitted, emitted_bytes, emitted_resolved;

static inline uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % n;
}

static inline void count_emitted(void *ctx, const struct packet *p)
{
	(void)ctx;
	emitted++;
	emitted_bytes += p->wirelen;
	emitted_resolved += p->layer[p->layer_count - 1].src_port == 4242;
}

static inline struct defrag_config config_default(void)
{
	return (struct defrag_config){.trackers = 1000,
		.fragments = 20000,
		.bytes = 32 << 20,
		.timeout_ns = 30 * NSEC_PER_S,
		.policy4 = DEFRAG_FIRST,
		.policy6 = DEFRAG_DROP};
}

// A frame (without link header) that holds bytes [offset, offset + length) of a datagram.
struct frame {
	uint8_t bytes[MAX_PAYLOAD + 200];
	struct packet p;
};

static inline void make_fragment(struct frame *f, unsigned version, uint32_t id,
	const uint8_t *payload, uint32_t offset, uint32_t length, bool more, uint64_t now_ns)
{
	uint32_t header = version == 4 ? 20 : 40, extra = version == 4 ? 0 : 8;
	struct ip_layer *l = &f->p.layer[0];
	uint8_t *b = f->bytes;

	memset(b, 0, header + extra);
	memset(&f->p, 0, sizeof(f->p));
	memset(l, 0, sizeof(*l));
	if (version == 4) {
		b[0] = 0x45;
		b[9] = 17;
	} else {
		b[0] = 0x60;
		b[6] = 44;
		b[40] = 17;
	}
	memcpy(b + header + extra, payload + offset, length);
	f->p.data = b;
	f->p.caplen = f->p.wirelen = header + extra + length;
	f->p.ts_ns = f->p.now_ns = now_ns;
	f->p.layer_count = 1;
	l->version = (uint8_t)version;
	l->proto = 17;
	l->src[0] = 10;
	l->dst[0] = 192;
	l->flags = LAYER_FRAGMENT | (offset == 0 ? LAYER_FIRST_FRAGMENT : 0);
	l->frag_id = id;
	l->frag_off = offset;
	l->more_fragments = more;
	l->l3_len = f->p.caplen;
}

static inline void expect_datagram(
	const struct packet *whole, unsigned version, const uint8_t *payload, uint32_t size)
{
	uint32_t header = version == 4 ? 20 : 40;

	assert_int_equal(whole->caplen, header + size);
	assert_int_equal(whole->link, LINK_RAW);
	assert_memory_equal(whole->data + header, payload, size);
	if (version == 4) {
		assert_int_equal(whole->data[2] << 8 | whole->data[3], header + size);
		assert_int_equal(whole->data[6] & 0x3f, 0);
	} else {
		assert_int_equal(whole->data[6], 17);
		assert_int_equal(whole->data[4] << 8 | whole->data[5], size);
	}
}

static inline void finish(struct defrag *d, struct packet *whole)
{
	struct ip_layer l;

	memset(&l, 0, sizeof(l));
	l.src_port = 4242;
	defrag_finish(d, &l, count_emitted, NULL);
	chunk_unref(whole->chunk, 1);
}

struct cut {
	uint32_t offset, length;
};
