// SPDX-License-Identifier: Apache-2.0
// IP reassembly: random datagrams cut, shuffled and repeated come out as they went in; every overlap
// policy against its definition; limits; timeouts; accounting of every fragment exactly once.
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

static uint64_t rng;
static struct counters counters;
static uint64_t emitted, emitted_bytes, emitted_resolved;

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % n;
}

static void count_emitted(void *ctx, const struct packet *p)
{
	(void)ctx;
	emitted++;
	emitted_bytes += p->wirelen;
	emitted_resolved += p->layer[p->layer_count - 1].src_port == 4242;
}

static struct defrag_config config_default(void)
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

static void make_fragment(struct frame *f, unsigned version, uint32_t id, const uint8_t *payload,
	uint32_t offset, uint32_t length, bool more, uint64_t now_ns)
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

static void expect_datagram(
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

static void finish(struct defrag *d, struct packet *whole)
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

static unsigned cut_up(struct cut *cuts, uint32_t size)
{
	unsigned n = 0;
	uint32_t at = 0;

	while (at < size && n < 900) {
		uint32_t length = 8 + 8 * rnd(200);

		if (at + length >= size || n == 899)
			length = size - at;
		cuts[n++] = (struct cut){at, length};
		at += length;
	}
	return n;
}

static void shuffle(struct cut *cuts, unsigned n)
{
	for (unsigned i = n; i > 1; i--) {
		unsigned j = rnd(i);
		struct cut c = cuts[i - 1];

		cuts[i - 1] = cuts[j];
		cuts[j] = c;
	}
}

// One datagram: cut, with repeats, shuffled. Returns how many fragments were sent.
static unsigned send_datagram(struct defrag *d, struct frame *f, unsigned version, uint32_t id,
	const uint8_t *payload, uint32_t size, uint64_t now_ns)
{
	static struct cut cuts[1000];
	unsigned n = cut_up(cuts, size), whole_count = 0, sent = n + 20;
	struct packet whole;

	for (unsigned i = 0; i < 20; i++)
		cuts[n + i] = cuts[rnd(n)];
	shuffle(cuts, sent);
	for (unsigned i = 0; i < sent; i++) {
		bool more = cuts[i].offset + cuts[i].length < size;

		make_fragment(
			f, version, id, payload, cuts[i].offset, cuts[i].length, more, now_ns);
		if (defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL) ==
			DEFRAG_COMPLETE) {
			emitted++; // the completing fragment is the caller's to count
			emitted_bytes += f->p.wirelen;
			whole_count++;
			expect_datagram(&whole, version, payload, size);
			finish(d, &whole);
		}
		emitted_bytes -= f->p.wirelen;
	}
	assert_true(whole_count >= 1); // more where every piece was repeated
	return sent;
}

static void random_datagrams_come_out_whole(void **state)
{
	struct frame *f = malloc(sizeof(*f));
	uint8_t *payload = malloc(MAX_PAYLOAD);

	(void)state;
	for (uint64_t seed = 1; seed <= 4; seed++) {
		struct defrag_config c = config_default();
		struct defrag *d = defrag_new(&c);
		uint64_t sent = 0;

		rng = seed * 0x9E3779B97F4A7C15u;
		emitted = emitted_bytes = 0;
		for (unsigned i = 0; i < 400; i++) {
			uint32_t size = 16 + rnd(i % 10 == 0 ? MAX_PAYLOAD - 16 : 9000);

			for (uint32_t j = 0; j < size; j++)
				payload[j] = (uint8_t)rnd(256);
			sent += send_datagram(d, f, seed & 1 ? 4 : 6, i, payload, size, i * 1000);
		}
		defrag_expire(d, 0, 100 * NSEC_PER_S, false, &counters, count_emitted, NULL);
		assert_int_equal(emitted, sent);
		assert_int_equal(emitted_bytes, 0); // each byte counted once
		assert_int_equal(defrag_trackers_in_use(d), 0);
		assert_int_equal(defrag_fragments_in_use(d), 0);
		assert_int_equal(defrag_bytes_in_use(d), 0);
		defrag_free(d);
	}
	free(payload);
	free(f);
}

// Whether the later of two overlapping fragments wins, straight from the definitions.
static bool defined_winner(
	enum defrag_policy policy, uint32_t e_at, uint32_t e_end, uint32_t n_at, uint32_t n_end)
{
	switch (policy) {
	case DEFRAG_FIRST:
		return false;
	case DEFRAG_LAST:
		return true;
	case DEFRAG_BSD:
		return !(e_at <= n_at);
	case DEFRAG_LINUX:
		return !(e_at < n_at);
	case DEFRAG_WINDOWS:
		return n_at < e_at && n_end > e_end;
	case DEFRAG_DROP:
		break;
	}
	fail();
	return false;
}

static void overlaps_follow_the_policy(void **state)
{
	enum { SIZE = 256, PIECES = 24 };
	struct frame *f = malloc(sizeof(*f));

	(void)state;
	rng = 77;
	for (unsigned round = 0; round < 3000; round++) {
		struct defrag_config c = config_default();
		enum defrag_policy policy = (enum defrag_policy)rnd(DEFRAG_DROP);
		uint8_t want[SIZE], piece[SIZE];
		int from[SIZE];
		struct cut cuts[PIECES];
		struct packet whole;
		struct defrag *d;
		unsigned n = 0, missing = SIZE;
		enum defrag_result r = DEFRAG_WAITING;

		c.policy4 = policy;
		d = defrag_new(&c);
		for (unsigned i = 0; i < SIZE; i++)
			from[i] = -1;
		// The last fragment first, so that the datagram is complete when all bytes are there.
		while (r != DEFRAG_COMPLETE && n < PIECES) {
			struct cut k = {8 * rnd(SIZE / 8), 0};

			if (n == 0)
				k.offset = SIZE - 8 - 8 * rnd(4);
			k.length = n == 0 ? SIZE - k.offset : 8 + 8 * rnd((SIZE - k.offset) / 8);
			memset(piece, (int)n + 1, SIZE);
			cuts[n] = k;
			for (uint32_t at = k.offset; at < k.offset + k.length; at++) {
				int e = from[at];

				if (e >= 0 && !defined_winner(policy, cuts[e].offset,
						      cuts[e].offset + cuts[e].length, k.offset,
						      k.offset + k.length))
					continue;
				missing -= e < 0;
				from[at] = (int)n;
				want[at] = (uint8_t)(n + 1);
			}
			make_fragment(
				f, 4, 9, piece, k.offset, k.length, n == 0 ? false : true, 1000);
			r = defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL);
			n++;
			assert_int_equal(r == DEFRAG_COMPLETE, missing == 0);
		}
		if (r == DEFRAG_COMPLETE) {
			expect_datagram(&whole, 4, want, SIZE);
			finish(d, &whole);
		}
		defrag_free(d);
	}
	free(f);
}

static void drop_gives_up_on_overlap_but_not_on_repeats(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d = defrag_new(&c);
	struct frame *f = malloc(sizeof(*f));
	uint8_t payload[64] = {1, 2, 3};
	struct packet whole;

	(void)state;
	make_fragment(f, 6, 1, payload, 0, 32, true, 1);
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_WAITING);
	make_fragment(f, 6, 1, payload, 0, 32, true, 1);
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_WAITING);
	make_fragment(f, 6, 1, payload, 32, 32, false, 1);
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_COMPLETE);
	finish(d, &whole);
	make_fragment(f, 6, 2, payload, 0, 32, true, 1);
	defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL);
	make_fragment(f, 6, 2, payload, 24, 16, true, 1);
	defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL);
	make_fragment(f, 6, 2, payload, 32, 32, false, 1);
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_WAITING);
	assert_int_equal(f->p.event_count, 0);
	defrag_free(d);
	free(f);
}

static void unfinished_fragments_stay_within_limits(void **state)
{
	struct defrag_config c = config_default();
	struct frame *f = malloc(sizeof(*f));
	uint8_t payload[1480] = {0};
	struct packet whole;
	struct defrag *d;
	uint64_t refused = 0;

	(void)state;
	c.trackers = 500;
	c.fragments = 300;
	c.bytes = 256 * 1024;
	d = defrag_new(&c);
	emitted = emitted_resolved = 0;
	for (uint32_t i = 0; i < 100000; i++) {
		make_fragment(f, 4, i, payload, 0, 1480, true, 1000);
		refused += defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL) ==
		           DEFRAG_REFUSED;
		assert_in_range(defrag_bytes_in_use(d), 0, c.bytes);
		assert_in_range(defrag_fragments_in_use(d), 0, c.fragments);
	}
	defrag_expire(d, 0, 1000, true, &counters, count_emitted, NULL);
	assert_int_equal(emitted + refused, 100000);
	assert_int_equal(emitted_resolved, 0);
	assert_true(counters.value[COUNTER_ipv4_evicted] > 90000);
	assert_int_equal(defrag_bytes_in_use(d), 0);
	defrag_free(d);
	free(f);
}

static void timeout_is_decided_by_time(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d = defrag_new(&c);
	struct frame *f = malloc(sizeof(*f));
	uint8_t payload[64] = {1, 2, 3};
	struct packet whole;

	(void)state;
	emitted = 0;
	make_fragment(f, 4, 1, payload, 0, 32, true, NSEC_PER_S);
	defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL);
	// Nobody looked in between; still the second half comes too late.
	make_fragment(f, 4, 1, payload, 32, 32, false, 31 * NSEC_PER_S);
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_WAITING);
	assert_int_equal(emitted, 1);
	defrag_expire(d, 0, 60 * NSEC_PER_S, false, &counters, count_emitted, NULL);
	assert_int_equal(emitted, 1);
	defrag_expire(d, 0, 61 * NSEC_PER_S, false, &counters, count_emitted, NULL);
	assert_int_equal(emitted, 2);
	defrag_free(d);
	free(f);
}

static uint64_t emitted_now_ns, emitted_ts_ns;

static void note_times(void *ctx, const struct packet *p)
{
	(void)ctx;
	emitted_now_ns = p->now_ns;
	emitted_ts_ns = p->ts_ns;
}

// Flows must not see a clock that goes back, whoever asks for idle ones in the meantime.
static void late_accounting_comes_at_the_time_it_comes(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d = defrag_new(&c);
	struct frame *f = malloc(sizeof(*f));
	uint8_t payload[64] = {1, 2, 3};
	struct packet whole;

	(void)state;
	make_fragment(f, 4, 1, payload, 0, 32, true, NSEC_PER_S);
	defrag_add(d, &f->p, &counters, &whole, note_times, NULL);
	defrag_expire(d, 0, 40 * NSEC_PER_S, false, &counters, note_times, NULL);
	assert_int_equal(emitted_ts_ns, NSEC_PER_S);
	assert_int_equal(emitted_now_ns, 40 * NSEC_PER_S);
	defrag_free(d);
	free(f);
}

static void impossible_fragments_are_refused(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d = defrag_new(&c);
	struct frame *f = malloc(sizeof(*f));
	uint8_t *payload = calloc(1, 70000);
	uint64_t before = counters.value[COUNTER_ipv4_too_large];
	struct packet whole;

	(void)state;
	make_fragment(f, 4, 1, payload, 65528, 100, false, 1); // the ping of death
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_WAITING);
	assert_int_equal(counters.value[COUNTER_ipv4_too_large], before + 1);
	make_fragment(f, 4, 2, payload, 0, 100, true, 1);
	f->p.caplen = 60; // not captured whole
	assert_int_equal(
		defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL), DEFRAG_REFUSED);
	for (unsigned i = 0; i <= DEFRAG_FRAGMENTS_PER_DATAGRAM; i++) {
		make_fragment(f, 4, 3, payload, 8 * i, 8, true, 1);
		assert_int_equal(defrag_add(d, &f->p, &counters, &whole, count_emitted, NULL),
			i < DEFRAG_FRAGMENTS_PER_DATAGRAM ? DEFRAG_WAITING : DEFRAG_REFUSED);
	}
	free(payload);
	free(f);
	defrag_free(d);
}

static enum defrag_result add_piece(struct defrag *d, struct frame *f, unsigned version,
	uint32_t id, const uint8_t *payload, struct cut k, bool more, struct packet *whole)
{
	make_fragment(f, version, id, payload, k.offset, k.length, more, 1);
	return defrag_add(d, &f->p, &counters, whole, count_emitted, NULL);
}

// Bytes beyond the last fragment's end are none of the datagram's: they neither complete it nor are
// they copied into it, wherever they lie.
static void the_last_fragment_ends_the_datagram(void **state)
{
	struct defrag_config c = config_default();
	struct frame *f = malloc(sizeof(*f));
	uint8_t *payload = calloc(1, 65536);
	struct defrag *d;
	struct packet whole;

	(void)state;
	c.policy6 = DEFRAG_FIRST;
	d = defrag_new(&c);
	for (uint32_t i = 0; i < 65536; i++)
		payload[i] = (uint8_t)(i / 8);
	for (unsigned v = 4; v <= 6; v += 2) {
		for (uint32_t beyond = 24; beyond <= 65520; beyond += 8 * 8187) {
			uint32_t id = beyond;

			// The end comes after bytes beyond it; a later end is the right one.
			add_piece(d, f, v, id, payload, (struct cut){beyond, 8}, true, &whole);
			add_piece(d, f, v, id, payload, (struct cut){8, 8}, false, &whole);
			assert_int_equal(f->p.event_count, 1);
			assert_int_equal(f->p.events[0], EVENT_frag_overlap_differing);
			assert_int_equal(
				add_piece(d, f, v, id, payload, (struct cut){0, 8}, true, &whole),
				DEFRAG_WAITING);
			// The end comes before bytes beyond it.
			id++;
			add_piece(d, f, v, id, payload, (struct cut){16, 8}, false, &whole);
			add_piece(d, f, v, id, payload, (struct cut){beyond, 8}, true, &whole);
			assert_int_equal(f->p.event_count, 1);
			assert_int_equal(f->p.events[0], EVENT_frag_overlap_differing);
			assert_int_equal(
				add_piece(d, f, v, id, payload, (struct cut){0, 8}, true, &whole),
				DEFRAG_WAITING);
			assert_int_equal(
				add_piece(d, f, v, id, payload, (struct cut){8, 8}, true, &whole),
				DEFRAG_COMPLETE);
			expect_datagram(&whole, v, payload, 24);
			finish(d, &whole);
		}
	}
	defrag_free(d);
	free(payload);
	free(f);
}

// The largest datagrams that the length fields allow, and one byte more.
static void the_largest_datagrams_come_out(void **state)
{
	struct defrag_config c = config_default();
	struct defrag *d = defrag_new(&c);
	struct frame *f = malloc(sizeof(*f));
	uint8_t *payload = calloc(1, 65537);
	struct packet whole;

	(void)state;
	for (uint32_t i = 0; i < 65537; i++)
		payload[i] = (uint8_t)(i * 7);
	for (unsigned v = 4; v <= 6; v += 2) {
		uint32_t most = v == 4 ? 65515 : 65535;

		add_piece(d, f, v, 1, payload, (struct cut){0, 32768}, true, &whole);
		assert_int_equal(add_piece(d, f, v, 1, payload, (struct cut){32768, most - 32768},
					 false, &whole),
			DEFRAG_COMPLETE);
		expect_datagram(&whole, v, payload, most);
		finish(d, &whole);
		add_piece(d, f, v, 2, payload, (struct cut){0, 32768}, true, &whole);
		assert_int_equal(add_piece(d, f, v, 2, payload,
					 (struct cut){32768, most + 1 - 32768}, false, &whole),
			DEFRAG_WAITING);
	}
	defrag_free(d);
	free(payload);
	free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_datagrams_come_out_whole),
		cmocka_unit_test(overlaps_follow_the_policy),
		cmocka_unit_test(drop_gives_up_on_overlap_but_not_on_repeats),
		cmocka_unit_test(unfinished_fragments_stay_within_limits),
		cmocka_unit_test(timeout_is_decided_by_time),
		cmocka_unit_test(late_accounting_comes_at_the_time_it_comes),
		cmocka_unit_test(impossible_fragments_are_refused),
		cmocka_unit_test(the_last_fragment_ends_the_datagram),
		cmocka_unit_test(the_largest_datagrams_come_out),
	};

	return cmocka_run_group_tests_name("defrag", tests, NULL, NULL);
}
