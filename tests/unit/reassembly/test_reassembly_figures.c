// SPDX-License-Identifier: Apache-2.0
// Figures of a stream, wherever they are kept: few holes or more than fit beside the stream, parts, and
// streams that take the memory of others which are over.
#include "segments.h"

enum { STREAMS = 50, HOLES = 700, GAP = 300 };

static struct counters counters;
static struct reassembly *r;

static int setup(void **state)
{
	const struct reassembly_config config = {.streams = STREAMS, .bytes = 1 << 20};

	(void)state;
	memset(&counters, 0, sizeof(counters));
	r = reassembly_new(&config);
	assert_non_null(r);
	reassembly_capture_begin(r, 0, &counters);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(reassembly_bytes_in_use(r), 0);
	reassembly_free(r);
	return 0;
}

static void send_bytes(uint32_t stream, unsigned d, uint8_t flags, uint32_t seq, uint32_t length)
{
	static const uint8_t bytes[100];
	struct segment_args a = {.stream = stream,
		.direction = (uint8_t)d,
		.flags = flags,
		.seq = seq,
		.length = length,
		.data = bytes,
		.window = 60000};

	send_segment(r, &a);
}

static void acknowledge(uint32_t stream, unsigned d, uint32_t ack)
{
	struct segment_args a = {.stream = stream,
		.direction = (uint8_t)d,
		.flags = TCP_ACK,
		.seq = 1,
		.ack = ack,
		.window = 60000};

	send_segment(r, &a);
}

// From a sequence number on: holes of GAP bytes, and 100 bytes behind each that the other side
// acknowledges. Returns where it ends.
static uint32_t make_holes(uint32_t stream, uint32_t from, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		send_bytes(stream, 0, TCP_ACK, from + GAP, 100);
		from += GAP + 100;
		acknowledge(stream, 1, from);
	}
	return from;
}

static void expect_holes(const struct reassembly_figures *f, uint64_t n)
{
	assert_int_equal(f->out_of_order, n);
	assert_int_equal(f->gaps, n);
	assert_int_equal(f->gap_bytes, n * GAP);
	assert_int_equal(f->bytes_delivered, n * 100);
}

static void test_many_holes(void **state)
{
	struct reassembly_view v;
	uint32_t next = 1;

	(void)state;
	send_bytes(1, 0, TCP_SYN, 0, 0);
	send_bytes(1, 1, TCP_SYN | TCP_ACK, 0, 0);
	for (unsigned i = 1; i <= HOLES; i++) {
		next = make_holes(1, next, 1);
		assert_true(reassembly_get(r, 1, &v));
		expect_holes(&v.direction[0], i);
		expect_holes(&v.direction[1], 0);
	}
	assert_int_equal(counters.value[COUNTER_tcp_gaps], HOLES);
	assert_int_equal(counters.value[COUNTER_tcp_gap_bytes], HOLES * GAP);
	assert_true(reassembly_end(r, 1, REASSEMBLY_END_EOF, &v));
	expect_holes(&v.direction[0], HOLES);
	assert_false(reassembly_get(r, 1, &v));
}

// One hole larger than all that fits beside the stream.
static void test_large_hole(void **state)
{
	struct reassembly_view v;

	(void)state;
	send_bytes(1, 0, TCP_SYN, 0, 0);
	send_bytes(1, 1, TCP_SYN | TCP_ACK, 0, 0);
	acknowledge(1, 1, 1); // opens the window
	send_bytes(1, 0, TCP_ACK, 1 + 100000, 50);
	send_bytes(1, 0, TCP_ACK, 1 + 100060, 50);
	assert_true(reassembly_end(r, 1, REASSEMBLY_END_EOF, &v));
	assert_int_equal(v.direction[0].gaps, 2);
	assert_int_equal(v.direction[0].gap_bytes, 100010);
	assert_int_equal(v.direction[0].bytes_delivered, 100);
}

static void test_parts(void **state)
{
	struct reassembly_view v;
	uint32_t next;

	(void)state;
	reassembly_part(r, 0);
	reassembly_part(r, 1);
	send_bytes(1, 0, TCP_SYN, 0, 0);
	send_bytes(1, 1, TCP_SYN | TCP_ACK, 0, 0);
	next = make_holes(1, 1, 3);
	send_bytes(1, 0, TCP_ACK, next - 100, 100);
	assert_true(reassembly_get(r, 1, &v));
	expect_holes(&v.direction[0], 3);
	assert_int_equal(v.direction[0].segments, 5);
	assert_int_equal(v.direction[0].duplicate, 1);
	reassembly_part(r, 1);
	assert_true(reassembly_get(r, 1, &v));
	expect_holes(&v.direction[0], 0);
	assert_int_equal(v.direction[0].segments, 0);
	assert_int_equal(v.direction[0].duplicate, 0);
	next = make_holes(1, next, HOLES);
	reassembly_part(r, 1);
	make_holes(1, next, 2);
	assert_true(reassembly_end(r, 1, REASSEMBLY_END_EOF, &v));
	expect_holes(&v.direction[0], 2);
	assert_int_equal(v.direction[0].segments, 2);
	assert_int_equal(v.direction[1].segments, 2);
}

// Streams that come and go in changing order, some with more to tell than others: none finds anything
// of those before it.
static void test_memory_of_others(void **state)
{
	bool is_used[STREAMS + 1] = {false};
	unsigned holes[STREAMS + 1] = {0};
	uint64_t active = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		uint32_t stream = 1 + rnd(STREAMS);
		struct reassembly_view v;

		assert_true(reassembly_get(r, stream, &v) == is_used[stream]);
		if (is_used[stream]) {
			assert_true(reassembly_end(r, stream, REASSEMBLY_END_EOF, &v));
			expect_holes(&v.direction[0], holes[stream]);
			assert_int_equal(v.direction[0].duplicate, holes[stream] % 2);
			assert_int_equal(v.direction[1].segments, 1 + holes[stream]);
			is_used[stream] = false;
			active--;
			continue;
		}
		holes[stream] = rnd(4);
		send_bytes(stream, 0, TCP_SYN, 0, 0);
		send_bytes(stream, 1, TCP_SYN | TCP_ACK, 0, 0);
		make_holes(stream, 1, holes[stream]);
		if (holes[stream] % 2 != 0)
			send_bytes(stream, 0, TCP_ACK, 1 + GAP, 100);
		is_used[stream] = true;
		active++;
		assert_int_equal(counters.value[COUNTER_tcp_active], active);
	}
	for (uint32_t stream = 1; stream <= STREAMS; stream++)
		assert_true(reassembly_end(r, stream, REASSEMBLY_END_EOF, NULL) == is_used[stream]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_many_holes), TEST(test_large_hole),
		TEST(test_parts), TEST(test_memory_of_others)};

	return cmocka_run_group_tests_name("reassembly figures", tests, NULL, NULL);
}
