// SPDX-License-Identifier: Apache-2.0
// Random streams, cut into segments that are reordered, repeated, cut anew with the same bytes, lost,
// wrapped around 2^32, with and without SYN and FIN, several at a time: what comes out are the bytes that
// went in, in order, and exactly those are declared missing that no segment carried. Half of the
// consumers ask for more bytes at random. At least a million segments.
#include "segments.h"

enum { STREAMS = 8, STREAM_MAX = 60000, SENT_MAX = 4000, REORDER = 40 };

struct sent {
	uint32_t at, length;
	bool is_fin;
};

struct model {
	uint8_t bytes[STREAM_MAX];
	uint8_t covered[STREAM_MAX +
			1]; // segments yet to come or come with a byte: 0 lost, 1 to come, 2 came
	struct sent sent[SENT_MAX];
	unsigned count, next;
	uint32_t size, isn, contiguous;
	bool has_syn, has_fin, is_fin_lost, asks, acks;
	bool is_begun, is_ended;
	uint32_t base; // without SYN: first byte of the first segment
	uint64_t out;  // offset of the next byte that is new to the consumer
	uint64_t unused_at;
	uint32_t need;
	bool waits;
};

static struct model model[STREAMS + 1];
static uint64_t segments_sent, bytes_out, gaps_seen;

static struct reassembly_answer on_data(void *ctx, const struct reassembly_data *d)
{
	struct model *m = &model[d->stream];
	struct reassembly_answer a = {REASSEMBLY_ON, 0, 0};

	(void)ctx;
	assert_int_equal(d->direction, 0);
	assert_false(m->is_ended);
	assert_true(d->length > 0);
	assert_true(d->offset + d->length + m->base <= m->size);
	if (m->waits) {
		assert_int_equal(d->offset, m->unused_at);
		assert_true(d->length >= m->need || d->is_last);
	} else {
		assert_int_equal(d->offset, m->out);
	}
	assert_true(d->first_ns <= d->last_ns);
	assert_memory_equal(d->bytes, &m->bytes[m->base + d->offset], d->length);
	for (uint32_t i = 0; i < d->length; i++)
		assert_int_equal(m->covered[m->base + d->offset + i], 2);
	m->out = d->offset + d->length;
	m->waits = false;
	if (m->asks && !d->is_last && rnd(4) == 0) {
		a.verb = REASSEMBLY_MORE;
		a.used = rnd(d->length + 1);
		a.need = d->length - a.used + rnd(3000);
		m->unused_at = d->offset + a.used;
		m->need = a.need > d->length - a.used ? a.need : d->length - a.used + 1;
		m->waits = a.used < d->length;
	}
	return a;
}

static void on_gap(void *ctx, uint32_t stream, unsigned direction, uint32_t missing)
{
	struct model *m = &model[stream];

	(void)ctx;
	assert_int_equal(direction, 0);
	assert_false(m->waits);
	for (uint32_t i = 0; i < missing; i++)
		assert_int_equal(m->covered[m->base + m->out + i], 0);
	m->out += missing;
	gaps_seen++;
}

static void on_end(
	void *ctx, uint32_t stream, unsigned direction, enum reassembly_end_reason reason)
{
	struct model *m = &model[stream];

	(void)ctx;
	if (direction != 0)
		return;
	assert_false(m->waits);
	assert_false(m->is_ended);
	m->is_ended = true;
	assert_int_equal(
		reason, m->has_fin && !m->is_fin_lost ? REASSEMBLY_END_FIN : REASSEMBLY_END_EOF);
}

static void add_sent(struct model *m, uint32_t at, uint32_t length, bool is_fin)
{
	if (m->count < SENT_MAX)
		m->sent[m->count++] = (struct sent){at, length, is_fin};
}

static void make_stream(struct model *m)
{
	unsigned loss = rnd(3) == 0 ? 20 : 0, repeat = rnd(3) * 5, reorder = rnd(3) * REORDER / 2;
	unsigned mss = 1 + rnd(1460);

	memset(m->covered, 0, sizeof(m->covered));
	m->size = rnd(2) ? 1 + rnd(STREAM_MAX) : 1 + rnd(200);
	if (m->size / mss > SENT_MAX / 4)
		mss = m->size / (SENT_MAX / 4) + 1;
	m->isn = rnd(3) == 0 ? 0u - rnd(m->size + 10) : (uint32_t)rnd(UINT32_MAX);
	m->has_syn = rnd(2);
	m->has_fin = rnd(2);
	m->asks = rnd(2);
	m->acks = rnd(2);
	m->is_begun = m->is_ended = m->is_fin_lost = m->waits = false;
	m->count = m->next = 0;
	m->base = m->contiguous = 0;
	m->out = 0;
	for (uint32_t i = 0; i < m->size; i++)
		m->bytes[i] = (uint8_t)rnd(256);
	for (uint32_t at = 0, n; at < m->size; at += n) {
		n = 1 + rnd(mss);
		n = n < m->size - at ? n : m->size - at;
		if (loss != 0 && rnd(1000) < loss)
			continue;
		add_sent(m, at, n, false);
		if (rnd(100) < repeat)
			add_sent(m, at, n, false);
		if (rnd(100) < repeat) { // cut anew
			uint32_t from = rnd(at + 1), to = at + 1 + rnd(n);

			from = to - from > 3000 ? to - 1 - rnd(2999) : from;
			add_sent(m, from, to - from, false);
		}
	}
	if (m->has_fin) {
		if (loss != 0 && rnd(10) == 0)
			m->is_fin_lost = true;
		else
			add_sent(m, m->size, 0, true);
	}
	for (unsigned i = 0; reorder > 0 && i < m->count; i++) {
		unsigned k = i + rnd(rnd(10) == 0 ? reorder : 2);
		struct sent t = m->sent[i];

		k = k < m->count ? k : m->count - 1;
		m->sent[i] = m->sent[k];
		m->sent[k] = t;
	}
}

// What a direction without SYN begins with decides what is older than it.
static void settle_base(struct model *m)
{
	if (m->count > 0 && !m->has_syn)
		m->base = m->sent[0].at;
	m->contiguous = m->base;
	for (unsigned i = 0; i < m->count; i++)
		for (uint32_t k = 0; k < m->sent[i].length; k++)
			m->covered[m->sent[i].at + k] = 1;
}

static void send_data(struct reassembly *r, uint32_t stream, const struct sent *s)
{
	struct model *m = &model[stream];
	struct segment_args a = {.stream = stream,
		.seq = m->isn + 1 + s->at,
		.data = &m->bytes[s->at],
		.length = s->length,
		.flags = TCP_ACK,
		.window = 65535,
		.ts_ns = ++segments_sent};

	if (s->is_fin)
		a.flags |= TCP_FIN;
	memset(&m->covered[s->at], 2, s->length);
	send_segment(r, &a);
}

static void send_ack(struct reassembly *r, uint32_t stream)
{
	struct model *m = &model[stream];
	struct segment_args a = {.stream = stream,
		.direction = 1,
		.seq = 77777,
		.flags = TCP_ACK,
		.window = 65535,
		.ts_ns = ++segments_sent};

	// Everything up to the first byte that is yet to come.
	while (m->contiguous < m->size && m->covered[m->contiguous] != 1)
		m->contiguous++;
	a.ack = m->isn + 1 + m->contiguous;
	send_segment(r, &a);
}

static void begin(struct reassembly *r, uint32_t stream)
{
	struct model *m = &model[stream];
	struct segment_args a = {.stream = stream,
		.seq = m->isn,
		.flags = TCP_SYN,
		.window = 65535,
		.ts_ns = segments_sent + 1};

	m->is_begun = true;
	if (!m->has_syn)
		return;
	segments_sent++;
	send_segment(r, &a);
}

static void finish(struct reassembly *r, uint32_t stream)
{
	struct model *m = &model[stream];
	struct reassembly_view v;
	bool is_known = reassembly_get(r, stream, &v);
	uint64_t end = 0, covered = 0;

	reassembly_end(r, stream, REASSEMBLY_END_EOF, NULL);
	if (!is_known)
		return;
	for (uint32_t i = m->base; i < m->size; i++) {
		covered += m->covered[i] != 0;
		if (m->covered[i] != 0)
			end = i + 1 - m->base;
	}
	if (m->has_fin && !m->is_fin_lost)
		end = m->size - m->base;
	assert_int_equal(m->out, end);
	assert_true(m->is_ended || (m->count == 0 && !m->has_syn));
	bytes_out += covered;
}

static void run(struct reassembly *r)
{
	unsigned left = STREAMS;

	for (unsigned s = 1; s <= STREAMS; s++) {
		make_stream(&model[s]);
		settle_base(&model[s]);
	}
	while (left > 0) {
		unsigned s = 1 + rnd(STREAMS);
		struct model *m = &model[s];

		if (m->next > m->count)
			continue;
		if (!m->is_begun)
			begin(r, s);
		if (m->next == m->count) {
			finish(r, s);
			m->next++;
			left--;
			continue;
		}
		send_data(r, s, &m->sent[m->next++]);
		if (m->acks && rnd(3) == 0)
			send_ack(r, s);
	}
	assert_int_equal(reassembly_bytes_in_use(r), 0);
}

static void test_property(void **state)
{
	struct reassembly_config config = {.streams = STREAMS,
		.bytes = 64 << 20,
		.hold_bytes = 1 << 20,
		.consumer = {NULL, on_data, on_gap, on_end}};
	static struct counters counters;
	struct reassembly_stats stats;
	struct reassembly *r;

	(void)state;
	for (uint64_t seed = 1; seed <= 8; seed++) {
		uint64_t until = segments_sent + 150000;

		rng = seed * UINT64_C(0x9e3779b97f4a7c15);
		config.policy = (enum reassembly_policy)(seed % 6);
		r = reassembly_new(&config);
		assert_non_null(r);
		reassembly_capture_begin(r, 0, &counters);
		while (segments_sent < until)
			run(r);
		reassembly_free(r);
	}
	reassembly_stats_of(&counters, &stats);
	assert_true(segments_sent >= 1000000);
	assert_int_equal(stats.segments_received, segments_sent);
	assert_int_equal(stats.bytes_delivered, bytes_out);
	assert_int_equal(stats.gaps, gaps_seen);
	assert_int_equal(stats.overlap_differing, 0);
	assert_int_equal(stats.active, 0);
	assert_int_equal(stats.buffered, 0);
	assert_true(stats.out_of_order_segments > 0 && stats.duplicate_segments > 0);
	assert_true(stats.gaps > 0 && stats.gaps_acked > 0 && stats.gaps_end > 0);
	print_message("%llu segments, %llu bytes, %llu gaps\n", (unsigned long long)segments_sent,
		(unsigned long long)bytes_out, (unsigned long long)gaps_seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_property)};

	return cmocka_run_group_tests_name("reassembly property", tests, NULL, NULL);
}
