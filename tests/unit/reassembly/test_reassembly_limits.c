// SPDX-License-Identifier: Apache-2.0
// What an attacker may try: half-open connections without number, a gigabyte out of order on one
// stream, a byte a segment, decoders made to wait. Memory stays within what was configured, all that
// is refused is counted, and other streams are put together all the same.
#include "segments.h"

enum { OTHERS = 16, OTHER_MSS = 1000 };

static uint8_t payload[70000];
static uint64_t out_bytes[100001], out_gaps[100001];
static unsigned out_of_place;

static uint8_t other_byte(uint32_t stream, uint64_t offset)
{
	return (uint8_t)(offset * 31 + stream);
}

static struct reassembly_answer on_data(void *ctx, const struct reassembly_data *d)
{
	(void)ctx;
	out_bytes[d->stream] += d->length;
	if (d->stream > 1)
		for (uint32_t i = 0; i < d->length; i++)
			out_of_place += d->bytes[i] != other_byte(d->stream, d->offset + i);
	return (struct reassembly_answer){REASSEMBLY_ON, 0, 0};
}

static void on_gap(void *ctx, uint32_t stream, unsigned direction, uint32_t missing)
{
	(void)ctx;
	(void)direction;
	out_gaps[stream] += missing;
}

static struct reassembly *open_new(struct counters *c, uint32_t streams, uint64_t bytes)
{
	struct reassembly_config config = {.streams = streams,
		.bytes = bytes,
		.hold_bytes = 65536,
		.consumer = {NULL, on_data, on_gap, NULL}};
	struct reassembly *r = reassembly_new(&config);

	assert_non_null(r);
	memset(c, 0, sizeof(*c));
	memset(out_bytes, 0, sizeof(out_bytes));
	memset(out_gaps, 0, sizeof(out_gaps));
	out_of_place = 0;
	reassembly_capture_begin(r, 0, c);
	return r;
}

// Other streams: two segments, the later one first.
static void others_step(struct reassembly *r, uint32_t *step)
{
	uint32_t stream = 2 + *step % OTHERS, pair = *step / OTHERS;

	for (unsigned k = 2; k-- > 0;) {
		uint32_t at = (2 * pair + k) * OTHER_MSS;
		struct segment_args a = {.stream = stream,
			.seq = 4000000000u + at,
			.flags = TCP_ACK,
			.window = 65535,
			.data = payload + 1000,
			.length = OTHER_MSS};

		for (uint32_t i = 0; i < OTHER_MSS; i++)
			payload[1000 + i] = other_byte(stream, (uint64_t)at + i);
		send_segment(r, &a);
	}
	++*step;
}

static void others_begin(struct reassembly *r)
{
	for (uint32_t s = 2; s < 2 + OTHERS; s++) {
		struct segment_args a = {
			.stream = s, .seq = 4000000000u - 1, .flags = TCP_SYN, .window = 65535};

		send_segment(r, &a);
	}
}

static void others_check(struct reassembly *r, uint32_t step)
{
	for (uint32_t s = 2; s < 2 + OTHERS; s++) {
		reassembly_end(r, s, REASSEMBLY_END_EOF, NULL);
		assert_int_equal(out_gaps[s], 0);
		assert_int_equal(out_bytes[s], (uint64_t)step / OTHERS * 2 * OTHER_MSS);
	}
	assert_int_equal(out_of_place, 0);
}

static void test_half_open(void **state)
{
	static struct counters c;
	struct reassembly *r = open_new(&c, 100000, 1 << 20);
	struct reassembly_stats s;

	(void)state;
	for (uint32_t i = 1; i <= 100010; i++) {
		struct segment_args a = {.stream = i, .seq = i, .flags = TCP_SYN, .window = 1};

		send_segment(r, &a);
	}
	reassembly_stats_of(&c, &s);
	assert_int_equal(s.active, 100000);
	assert_int_equal(s.syn, 100000);
	assert_int_equal(s.limit_streams, 10);
	assert_int_equal(reassembly_bytes_in_use(r), 0);
	assert_true(reassembly_bytes_reserved(r) < 100000 * 640 + (2 << 20));
	print_message("%zu bytes for 100,000 streams\n", reassembly_bytes_reserved(r));
	// One of them is used after all.
	for (unsigned k = 2; k-- > 0;) {
		struct segment_args a = {
			.stream = 70000, .seq = 70001 + k, .length = 1, .flags = TCP_ACK};

		payload[0] = other_byte(70000, k);
		a.data = payload;
		send_segment(r, &a);
	}
	assert_int_equal(out_bytes[70000], 2);
	assert_int_equal(out_of_place, 0);
	for (uint32_t i = 1; i <= 100000; i++)
		reassembly_end(r, i, REASSEMBLY_END_TIMEOUT, NULL);
	reassembly_stats_of(&c, &s);
	assert_int_equal(s.active, 0);
	assert_int_equal(s.one_sided, 100000);
	reassembly_free(r);
}

// Every other segment of stream 1, one gigabyte of them.
static void test_gigabyte(void **state)
{
	enum { SIZE = 8192 };
	static struct counters c;
	const uint64_t budget = 8 << 20, all = UINT64_C(1) << 30;
	struct reassembly *r = open_new(&c, 100, budget);
	struct segment_args a = {.stream = 1, .seq = 0, .flags = TCP_SYN, .window = 65535};
	struct reassembly_stats s;
	uint64_t sent = 0;
	uint32_t step = 0;

	(void)state;
	others_begin(r);
	send_segment(r, &a);
	a.flags = TCP_ACK;
	a.data = payload;
	a.length = SIZE;
	a.seq = 1 + SIZE;
	for (; sent < all; sent += SIZE, a.seq += 2 * SIZE) {
		send_segment(r, &a);
		if (sent % (16 * SIZE) == 0)
			others_step(r, &step);
		assert_true(reassembly_bytes_in_use(r) <= budget);
	}
	while (step % OTHERS != 0)
		others_step(r, &step);
	others_check(r, step);
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	reassembly_stats_of(&c, &s);
	assert_int_equal(out_bytes[1], all);
	assert_int_equal(out_gaps[1], all);
	assert_int_equal(s.gaps, all / SIZE);
	assert_int_equal(s.gaps_budget + s.gaps_end, s.gaps);
	assert_int_equal(s.gaps_budget, s.limit_bytes);
	assert_true(s.gaps_budget > 0 && s.memory_peak <= budget);
	assert_int_equal(s.memory, 0);
	print_message("1 GB ahead of its turn: at most %llu of %llu bytes in use\n",
		(unsigned long long)s.memory_peak, (unsigned long long)budget);
	reassembly_free(r);
}

// One byte in every second place, then segments across all of them: as many pieces as can be.
static void test_pieces(void **state)
{
	static struct counters c;
	struct reassembly *r = open_new(&c, 100, 1 << 20);
	struct segment_args a = {.stream = 1, .seq = 0, .flags = TCP_SYN, .window = 65535};
	struct reassembly_stats s;
	uint32_t step = 0;

	(void)state;
	rng = 5;
	others_begin(r);
	send_segment(r, &a);
	a.flags = TCP_ACK;
	a.data = payload;
	for (unsigned i = 0; i < 60000; i++) {
		a.seq = 3 + 2 * rnd(30000);
		a.length = i % 500 == 499 ? 30000 : 1;
		send_segment(r, &a);
		if (i % 100 == 0)
			others_step(r, &step);
		assert_true(reassembly_bytes_in_use(r) <= 1 << 20);
	}
	while (step % OTHERS != 0)
		others_step(r, &step);
	others_check(r, step);
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	reassembly_stats_of(&c, &s);
	assert_true(s.limit_bytes > 0);
	assert_int_equal(s.buffered, 0);
	assert_int_equal(reassembly_bytes_in_use(r), 0);
	reassembly_free(r);
}

static struct reassembly_answer ask_more(void *ctx, const struct reassembly_data *d)
{
	(void)ctx;
	return (struct reassembly_answer){REASSEMBLY_MORE, 0, d->length + 1};
}

static unsigned ended_by_limit;

static void on_end(
	void *ctx, uint32_t stream, unsigned direction, enum reassembly_end_reason reason)
{
	(void)ctx;
	(void)stream;
	(void)direction;
	ended_by_limit += reason == REASSEMBLY_END_LIMIT;
}

// A decoder that never has enough, on many streams.
static void test_hold(void **state)
{
	static struct counters c;
	struct reassembly_config config = {.streams = 1000,
		.bytes = 4 << 20,
		.hold_bytes = 65536,
		.consumer = {NULL, ask_more, NULL, on_end}};
	struct reassembly *r = reassembly_new(&config);
	struct reassembly_stats s;

	(void)state;
	memset(&c, 0, sizeof(c));
	reassembly_capture_begin(r, 0, &c);
	for (unsigned i = 0; i < 100; i++) {
		for (uint32_t k = 1; k <= 1000; k++) {
			struct segment_args a = {.stream = k,
				.seq = i * 1000,
				.data = payload,
				.length = 1000,
				.flags = TCP_ACK};

			send_segment(r, &a);
		}
		assert_true(reassembly_bytes_in_use(r) <= 4 << 20);
	}
	reassembly_stats_of(&c, &s);
	assert_int_equal(s.limit_hold, 1000);
	assert_int_equal(ended_by_limit, 1000);
	assert_int_equal(s.bytes_delivered, 100 * 1000 * 1000);
	assert_int_equal(reassembly_bytes_in_use(r), 0);
	reassembly_free(r);
}

static void test_refused_configurations(void **state)
{
	struct reassembly_config config = {.streams = 0, .bytes = 1 << 20};

	(void)state;
	assert_null(reassembly_new(&config));
	config.streams = 1;
	config.bytes = 1000;
	assert_null(reassembly_new(&config));
	reassembly_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_half_open),
		cmocka_unit_test(test_gigabyte), cmocka_unit_test(test_pieces),
		cmocka_unit_test(test_hold), cmocka_unit_test(test_refused_configurations)};

	return cmocka_run_group_tests_name("reassembly limits", tests, NULL, NULL);
}
