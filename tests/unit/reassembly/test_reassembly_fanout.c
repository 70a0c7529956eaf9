// SPDX-License-Identifier: Apache-2.0
// Several consumers of the same streams: each must be served as if it were alone, whatever the others
// answer. Random streams both ways, cut, reordered and with losses, go to consumers that take all, that
// ask for more in random pieces, that have enough at some point, that find a stream not theirs, and
// that ask for more than there may be; each checks all that it is told.
#include "segments.h"

enum { STREAMS = 40, ROUNDS = 60, LENGTH_MAX = 40000, HOLD = 5000, CONSUMERS = 4 };

enum kind { TAKES_ALL, ASKS, STOPS, GREEDY };

struct half {             // of what one consumer saw
	uint64_t at;      // offset of the first byte that it has not seen
	uint64_t unused;  // offset of the first that it has not used, where it waits
	uint64_t missing; // in gaps
	uint32_t need;
	bool waits, is_off, is_ended, is_limited;
};

struct witness {
	enum kind kind;
	struct half half[STREAMS + 1][2];
};

static struct witness witness[CONSUMERS] = {
	{.kind = TAKES_ALL}, {.kind = ASKS}, {.kind = STOPS}, {.kind = GREEDY}};
static uint32_t round_number; // content differs from round to round
static uint64_t calls, waits, stops, foreign, limits, gaps, all_bytes, segments;

static uint8_t content(uint32_t stream, unsigned direction, uint64_t offset)
{
	uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15 ^
	             ((uint64_t)stream << 8 | direction | (uint64_t)round_number << 32);

	return (uint8_t)(x * 0xff51afd7ed558ccd >> 56);
}

static struct reassembly_answer answer_of(
	struct witness *w, struct half *h, const struct reassembly_data *d)
{
	struct reassembly_answer a = {REASSEMBLY_ON, 0, 0};

	if (w->kind == STOPS && rnd(30) == 0) {
		a.verb = rnd(2) ? REASSEMBLY_ENOUGH : REASSEMBLY_NOT_MINE;
		if (a.verb == REASSEMBLY_NOT_MINE)
			w->half[d->stream][d->direction ^ 1].is_off = true;
		h->is_off = true;
		stops += a.verb == REASSEMBLY_ENOUGH;
		foreign += a.verb == REASSEMBLY_NOT_MINE;
	} else if ((w->kind == ASKS && rnd(2)) || (w->kind == GREEDY && rnd(8) == 0)) {
		a.verb = REASSEMBLY_MORE;
		a.used = rnd(d->length + 1);
		a.need = w->kind == GREEDY && rnd(3) == 0 ? HOLD + 1 : rnd(HOLD);
		h->waits = a.used < d->length && !d->is_last;
		h->unused = d->offset + a.used;
		h->need = a.need > d->length - a.used ? a.need : d->length - a.used + 1;
		h->is_limited = h->waits && h->need > HOLD;
		h->waits = h->waits && !h->is_limited;
		h->is_off = h->is_off || h->is_limited;
		waits += h->waits;
	}
	return a;
}

static struct reassembly_answer on_data(void *ctx, const struct reassembly_data *d)
{
	struct witness *w = ctx;
	struct half *h = &w->half[d->stream][d->direction];

	calls++;
	assert_false(h->is_off);
	assert_false(h->is_ended);
	assert_true(d->length > 0);
	if (h->waits) {
		assert_int_equal(d->offset, h->unused);
		assert_true(d->length >= h->need || d->is_last);
	} else {
		assert_int_equal(d->offset, h->at);
	}
	for (uint32_t i = 0; i < d->length; i++)
		assert_int_equal(d->bytes[i], content(d->stream, d->direction, d->offset + i));
	h->at = d->offset + d->length;
	h->waits = false;
	return answer_of(w, h, d);
}

static void on_gap(void *ctx, uint32_t stream, unsigned direction, uint32_t missing)
{
	struct half *h = &((struct witness *)ctx)->half[stream][direction];

	assert_false(h->is_off);
	assert_false(h->is_ended);
	assert_false(h->waits);
	h->at += missing;
	h->missing += missing;
	gaps++;
}

static void on_end(
	void *ctx, uint32_t stream, unsigned direction, enum reassembly_end_reason reason)
{
	struct half *h = &((struct witness *)ctx)->half[stream][direction];

	assert_false(h->is_ended);
	assert_false(h->waits);
	assert_int_equal(reason == REASSEMBLY_END_LIMIT, h->is_limited);
	limits += h->is_limited;
	h->is_ended = true;
}

// One direction's segments in random order, some of them lost.
static void send_direction(
	struct reassembly *r, uint32_t stream, unsigned d, uint32_t isn, uint32_t from, uint32_t to)
{
	static uint8_t bytes[2000];
	uint32_t start[64], length[64], n = 0;

	for (uint32_t at = from; at < to && n < 64; n++) {
		start[n] = at;
		length[n] = 1 + rnd(1999);
		length[n] = length[n] < to - at ? length[n] : to - at;
		at += length[n];
	}
	for (uint32_t i = 0; i + 1 < n; i++) {
		uint32_t k = i + rnd(n - i < 4 ? n - i : 4), s = start[i], l = length[i];

		start[i] = start[k], length[i] = length[k];
		start[k] = s, length[k] = l;
	}
	for (uint32_t i = 0; i < n; i++) {
		struct segment_args a = {.stream = stream,
			.direction = (uint8_t)d,
			.seq = isn + 1 + start[i],
			.length = length[i],
			.data = bytes,
			.flags = TCP_ACK,
			.window = 60000,
			.ts_ns = 1};

		if (rnd(25) == 0)
			continue;
		for (uint32_t b = 0; b < length[i]; b++)
			bytes[b] = content(stream, d, start[i] + b);
		send_segment(r, &a);
		segments++;
	}
}

static void run_stream(struct reassembly *r, struct reassembly_fanout *f, uint32_t stream)
{
	uint32_t isn[2] = {rnd(UINT32_MAX), rnd(UINT32_MAX)}, size = rnd(LENGTH_MAX), at = 0;
	struct reassembly_view view;

	for (unsigned d = 0; d < 2; d++)
		send_segment(r, &(struct segment_args){.stream = stream,
					.direction = (uint8_t)d,
					.seq = isn[d],
					.ack = isn[d ^ 1] + 1,
					.window = 60000,
					.flags = (uint8_t)(d ? TCP_SYN | TCP_ACK : TCP_SYN)});
	while (at < size) {
		uint32_t to = at + 1 + rnd(20000);

		to = to < size ? to : size;
		for (unsigned d = 0; d < 2; d++)
			send_direction(r, stream, d, isn[d], at, to);
		at = to;
	}
	assert_true(reassembly_end(r, stream, REASSEMBLY_END_EOF, &view));
	reassembly_fanout_forget(f, stream);
	for (unsigned k = 0; k < CONSUMERS; k++)
		for (unsigned d = 0; d < 2; d++) {
			struct half *h = &witness[k].half[stream][d];

			assert_true(h->is_ended);
			if (h->is_off)
				continue;
			// What the stage delivered, it got; bytes beyond the last gap included.
			assert_int_equal(h->at - h->missing, view.direction[d].bytes_delivered);
			assert_int_equal(h->missing, view.direction[d].gap_bytes);
			all_bytes += h->at;
		}
}

static void each_as_if_alone(void **state)
{
	struct reassembly_consumer consumers[CONSUMERS];
	struct reassembly_config config = {
		.streams = STREAMS, .bytes = 4 << 20, .hold_bytes = HOLD};
	struct counters *counters = calloc(1, sizeof(*counters));
	struct reassembly_fanout *f;
	struct reassembly *r;

	(void)state;
	for (unsigned k = 0; k < CONSUMERS; k++)
		consumers[k] = (struct reassembly_consumer){&witness[k], on_data, on_gap, on_end};
	assert_null(reassembly_fanout_new(consumers, 0, STREAMS, HOLD));
	assert_null(reassembly_fanout_new(consumers, REASSEMBLY_CONSUMERS_MAX + 1, STREAMS, HOLD));
	f = reassembly_fanout_new(consumers, CONSUMERS, STREAMS, HOLD);
	assert_non_null(f);
	config.consumer = reassembly_fanout_consumer(f);
	r = reassembly_new(&config);
	assert_non_null(r);
	reassembly_capture_begin(r, 0, counters);
	for (round_number = 0; round_number < ROUNDS; round_number++) {
		for (unsigned k = 0; k < CONSUMERS; k++)
			memset(witness[k].half, 0, sizeof(witness[k].half));
		for (uint32_t stream = 1; stream <= STREAMS; stream++)
			run_stream(r, f, stream);
	}
	assert_int_equal(reassembly_bytes_in_use(r), 0);
	// All that is asked of the consumers has happened, often.
	assert_true(calls > 10000 && waits > 1000 && stops > 100 && foreign > 100 && limits > 100 &&
		    gaps > 1000 && all_bytes > 1000000 && segments > 10000);
	reassembly_free(r);
	reassembly_fanout_free(f);
	free(counters);
}

static struct reassembly_answer never(void *ctx, const struct reassembly_data *d)
{
	(*(unsigned *)ctx)++;
	(void)d;
	return (struct reassembly_answer){REASSEMBLY_ENOUGH, 0, 0};
}

// When nobody wants a direction any more, nobody is asked any more, and the bytes count as such.
static void all_have_enough(void **state)
{
	unsigned asked[2] = {0, 0};
	const struct reassembly_consumer consumers[2] = {
		{.ctx = &asked[0], .data = never}, {.ctx = &asked[1], .data = never}};
	struct reassembly_config config = {.streams = 1, .bytes = 1 << 20, .hold_bytes = 1};
	struct reassembly_fanout *f = reassembly_fanout_new(consumers, 2, 1, 1);
	struct counters *counters = calloc(1, sizeof(*counters));
	struct reassembly *r;

	(void)state;
	config.consumer = reassembly_fanout_consumer(f);
	r = reassembly_new(&config);
	reassembly_capture_begin(r, 0, counters);
	for (uint32_t i = 0; i < 5; i++)
		send_segment(r, &(struct segment_args){.stream = 1,
					.seq = 1 + 100 * i,
					.length = 100,
					.data = (const uint8_t *)content,
					.flags = TCP_ACK,
					.window = 1000});
	assert_int_equal(asked[0], 1);
	assert_int_equal(asked[1], 1);
	assert_int_equal(counters->value[COUNTER_tcp_bytes_not_wanted], 400);
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	reassembly_free(r);
	reassembly_fanout_free(f);
	free(counters);
}

static struct reassembly_answer passes(void *ctx, const struct reassembly_data *d)
{
	(void)d;
	++*(unsigned *)ctx;
	return (struct reassembly_answer){REASSEMBLY_PASS, 0, 0};
}

static struct reassembly_answer takes(void *ctx, const struct reassembly_data *d)
{
	(void)d;
	++*(unsigned *)ctx;
	return (struct reassembly_answer){REASSEMBLY_ON, 0, 0};
}

// What all let pass is not wanted; what one of them takes is.
static void all_or_some_let_pass(void **state)
{
	(void)state;
	for (unsigned some = 0; some < 2; some++) {
		unsigned asked[2] = {0, 0};
		const struct reassembly_consumer consumers[2] = {{.ctx = &asked[0], .data = passes},
			{.ctx = &asked[1], .data = some ? takes : passes}};
		struct reassembly_config config = {.streams = 1, .bytes = 1 << 20, .hold_bytes = 1};
		struct reassembly_fanout *f = reassembly_fanout_new(consumers, 2, 1, 1);
		struct counters *counters = calloc(1, sizeof(*counters));
		static const uint8_t bytes[100];
		struct reassembly *r;

		config.consumer = reassembly_fanout_consumer(f);
		r = reassembly_new(&config);
		reassembly_capture_begin(r, 0, counters);
		for (uint32_t i = 0; i < 5; i++)
			send_segment(r, &(struct segment_args){.stream = 1,
						.seq = 1 + 100 * i,
						.length = 100,
						.data = bytes,
						.flags = TCP_ACK,
						.window = 1000});
		assert_int_equal(asked[0], 5);
		assert_int_equal(asked[1], 5);
		assert_int_equal(counters->value[COUNTER_tcp_bytes_not_wanted], some ? 0 : 500);
		reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
		reassembly_free(r);
		reassembly_fanout_free(f);
		free(counters);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_as_if_alone),
		cmocka_unit_test(all_have_enough),
		cmocka_unit_test(all_or_some_let_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
