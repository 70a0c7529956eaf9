// SPDX-License-Identifier: Apache-2.0
// Between flows and streams (pipeline_streams.h), with the real stages on both sides: the figures in
// records, of parts as well, what is noted on packets, and that whoever wants the bytes gets them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "builder.h"
#include "events.h"
#include "export.h"
#include "hash.h"
#include "pipeline_streams.h"
#include "record.h"
#include "ring.h"

#define LOW "10.0.0.1"
#define HIGH "10.0.0.2"

static struct bench b;
static struct streams *s;
static struct ring *events;
static uint8_t frame[54 + 2000];

static void open_all(const struct flow_config *c, const struct streams_config *streams)
{
	bench_open(&b, c, 1);
	events = ring_new(1 << 20);
	s = streams_new(streams, c->capacity, b.table[0], events);
	assert_non_null(s);
	bench_begin(&b, 0, "cap", true);
	streams_capture_begin(s, 0, &b.counters[0]);
}

static int setup(void **state)
{
	const struct flow_config c = bench_config();
	const struct streams_config streams = {.reassembly = {.bytes = 1}};

	(void)state;
	open_all(&c, &streams);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	streams_free(s);
	bench_close(&b);
	ring_free(events);
	return 0;
}

struct end {
	const char *ip;
	uint16_t port;
};

static const struct end client = {HIGH, 1000}, server = {LOW, 80};

static struct packet segment(const struct end *from, const struct end *to, uint8_t flags,
	uint32_t seq, uint32_t ack, uint32_t payload, uint64_t ts)
{
	struct packet p = packet_tcp(from->ip, from->port, to->ip, to->port, flags, payload, ts);

	p.data = frame;
	p.flags = PACKET_LOSSLESS;
	p.layer[0].tcp.seq = seq;
	p.layer[0].tcp.ack = ack;
	return p;
}

static unsigned send(const struct end *from, const struct end *to, uint8_t flags, uint32_t seq,
	uint32_t ack, uint32_t payload, uint64_t ts)
{
	struct packet p = segment(from, to, flags, seq, ack, payload, ts);

	memset(frame, 'x', sizeof(frame));
	bench_burst(&b, &p, 1);
	return p.event_count;
}

static void handshake(uint64_t ts)
{
	send(&client, &server, SYN, 99, 0, 0, ts);
	send(&server, &client, SYN | ACK, 499, 100, 0, ts + 2 * MS);
	send(&client, &server, ACK, 100, 500, 0, ts + 3 * MS);
}

static const struct flow_record *record(size_t i)
{
	assert_true(i < b.count);
	return &b.record[i];
}

static struct flow_record peek(void)
{
	static struct flow_record r;
	struct flow_query q = {
		.kind = FLOW_QUERY_LIST, .capture = -1, .app_proto = -1, .limit = 1, .results = &r};

	assert_int_equal(flow_query_init(&q), 0);
	assert_true(flow_query_step(b.table[0], &q, UINT32_MAX));
	assert_int_equal(q.count, 1);
	return r;
}

// --- Figures ---

// The client is the higher end: directions in records go by who is the client, not by the key.
static void figures_of_both_directions(void **state)
{
	const struct flow_stream *up, *down;
	struct flow_record now;

	(void)state;
	handshake(T0);
	send(&client, &server, ACK, 100, 500, 1000, T0 + 10 * MS);
	send(&server, &client, ACK, 500, 1100, 0, T0 + 14 * MS);    // 4 ms of round trip
	send(&server, &client, ACK, 1500, 1100, 500, T0 + 20 * MS); // ahead
	now = peek();
	assert_int_equal(now.has_stream, 1);
	assert_int_equal(now.stream[0].bytes_delivered, 1000);
	assert_int_equal(now.stream[1].bytes_delivered, 0);
	assert_int_equal(now.stream[1].out_of_order, 1);
	send(&server, &client, ACK, 500, 1100, 600, T0 + 21 * MS);
	send(&server, &client, ACK, 500, 1100, 600, T0 + 22 * MS); // again
	send(&client, &server, ACK, 1100, 1100, 0, T0 + 23 * MS);
	bench_end(&b, 0, T0 + SEC, FLOW_END_EOF, false);
	up = &record(0)->stream[0];
	down = &record(0)->stream[1];
	assert_int_equal(record(0)->has_stream, 1);
	assert_int_equal(up->segments, 4);
	assert_int_equal(up->bytes_delivered, 1000);
	assert_int_equal(up->rtt_samples, 1);
	assert_int_equal(up->rtt_min_ns, 4 * MS);
	assert_int_equal(up->rtt_max_ns, 4 * MS);
	assert_int_equal(up->rtt_sum_ns, 4 * MS);
	assert_int_equal(up->gaps, 0);
	assert_int_equal(down->segments, 5);
	assert_int_equal(down->duplicate, 1);
	assert_int_equal(down->retransmitted, 1);
	assert_int_equal(down->out_of_order, 1);
	// The hole was open to the end: its gap is in the record of that end.
	assert_int_equal(down->gaps, 1);
	assert_int_equal(down->gap_bytes, 400);
	assert_int_equal(down->bytes_delivered, 1100);
	assert_int_equal(bench_count(&b, COUNTER_tcp_bytes_delivered), 2100);
	assert_int_equal(bench_count(&b, COUNTER_tcp_active), 0);
}

// Each part has its own figures; together they are the stream's.
static void parts(void **state)
{
	uint64_t delivered = 0, segments = 0, gap_bytes = 0;
	static const unsigned first_turn[] = {1, 30, 62}; // behind a hole nothing is timed
	uint32_t seq = 100;

	(void)state;
	handshake(T0);
	for (unsigned i = 1; i <= 70; i++, seq += 100) {
		if (i % 20 == 0)
			continue; // lost
		send(&client, &server, ACK, seq, 500, 100, T0 + i * 10 * SEC);
		send(&server, &client, ACK, 500, seq + 100, 0, T0 + i * 10 * SEC + i * MS);
	}
	assert_int_equal(peek().part_no, 3);
	bench_end(&b, 0, T0 + 1000 * SEC, FLOW_END_EOF, false);
	assert_int_equal(b.count, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct flow_stream *up = &record(i)->stream[0];

		assert_int_equal(up->segments, record(i)->direction[0].pkts);
		assert_int_equal(record(i)->stream[1].segments, record(i)->direction[1].pkts);
		// Where a round trip takes i ms at the i-th turn, the shortest of a part says which.
		assert_true(up->rtt_samples > 0);
		assert_int_equal(up->rtt_min_ns / MS, first_turn[i]);
		delivered += up->bytes_delivered;
		gap_bytes += up->gap_bytes;
		segments += up->segments;
	}
	assert_int_equal(segments, 2 + 67);
	assert_int_equal(delivered, 67 * 100);
	assert_int_equal(gap_bytes, 3 * 100);
	assert_int_equal(record(1)->stream[0].gap_bytes, 100); // the 40th of 30 to 60
}

static void a_new_connection_starts_anew(void **state)
{
	struct flow_record now;

	(void)state;
	handshake(T0);
	send(&client, &server, ACK, 100, 500, 1000, T0 + 10 * MS);
	send(&client, &server, ACK, 1500, 500, 10, T0 + 11 * MS);
	send(&client, &server, SYN, 70000, 0, 0, T0 + SEC); // another, on the same tuple
	now = peek();
	assert_int_equal(now.stream[0].segments, 1);
	assert_int_equal(now.stream[0].bytes_delivered, 0);
	assert_int_equal(now.stream[1].segments, 0);
	assert_int_equal(record(0)->end, FLOW_END_REUSE);
	assert_int_equal(record(0)->stream[0].gap_bytes, 400);
	assert_int_equal(bench_count(&b, COUNTER_tcp_reused_tuple), 1);
	assert_int_equal(bench_count(&b, COUNTER_tcp_streams), 2);
}

// The accounting of fragments is a TCP flow without a segment: nothing of the stream that had its
// index before may show in it.
static void no_segment_no_stream(void **state)
{
	struct packet fragment = packet_ip(LOW, HIGH, 6, T0 + 2 * SEC);

	(void)state;
	handshake(T0);
	send(&client, &server, ACK, 100, 500, 1000, T0 + 10 * MS);
	bench_end(&b, 0, T0 + SEC, FLOW_END_FORCED, true);
	assert_int_equal(record(0)->has_stream, 1);
	bench_send(&b, &fragment);
	assert_int_equal(peek().has_stream, 0);
	bench_end(&b, 0, T0 + 3 * SEC, FLOW_END_EOF, false);
	assert_int_equal(record(1)->has_stream, 0);
}

static void full_table(void **state)
{
	struct flow_config c = bench_config();
	const struct streams_config streams = {.reassembly = {.bytes = 1 << 20}};

	(void)state;
	teardown(NULL);
	c.capacity = 64;
	open_all(&c, &streams);
	for (uint16_t i = 0; i < 500; i++) {
		const struct end from = {HIGH, (uint16_t)(1000 + i)};

		send(&from, &server, SYN, 0, 0, 0, T0 + i);
		send(&from, &server, ACK, 501, 1, 100, T0 + i); // ahead: held
	}
	assert_int_equal(bench_count(&b, COUNTER_flows_ended_evicted), 500 - 64);
	assert_int_equal(bench_count(&b, COUNTER_tcp_active), 64);
	bench_end(&b, 0, T0 + SEC, FLOW_END_EOF, false);
	assert_int_equal(bench_count(&b, COUNTER_tcp_active), 0);
	assert_int_equal(bench_count(&b, COUNTER_tcp_memory), 0);
	assert_int_equal(bench_count(&b, COUNTER_tcp_gap_bytes), 500 * 500);
	assert_int_equal(b.count, 500);
	for (size_t i = 0; i < b.count; i++)
		assert_int_equal(record(i)->stream[0].gap_bytes, 500);
}

// --- Events ---

static unsigned anomalies(struct anomaly_record *ret)
{
	const struct ring_msg *m;
	unsigned n = 0;

	ring_publish(events);
	while ((m = ring_next(events)) != NULL) {
		assert_int_equal(m->type, RECORD_ANOMALY);
		memcpy(ret, m + 1, sizeof(*ret));
		n++;
	}
	ring_release(events);
	return n;
}

// Counted here, each time; written once for each direction of a stream; and taken off the packet, so
// that whoever received it counts only what it found itself.
static void contradictions(void **state)
{
	struct anomaly_record r;
	struct packet p;

	(void)state;
	handshake(T0);
	for (unsigned i = 0; i < 5; i++) {
		p = segment(&client, &server, ACK, 200, 500, 100, T0 + (20 + i) * MS);
		memset(frame, 'a' + (int)i, sizeof(frame));
		packet_event(&p, EVENT_ipv4_opt_dup);
		bench_burst(&b, &p, 1);
		assert_int_equal(p.event_count, 1);
		assert_int_equal(p.events[0], EVENT_ipv4_opt_dup);
	}
	assert_int_equal(bench_count(&b, COUNTER_tcp_overlap_differing), 4);
	assert_int_equal(b.counters[0].event[EVENT_tcp_overlap_differing], 4);
	assert_int_equal(b.counters[0].event[EVENT_ipv4_opt_dup], 0);
	assert_int_equal(bench_count(&b, COUNTER_anomalies_sampled_out), 3);
	assert_int_equal(anomalies(&r), 1);
	assert_int_equal(r.event, EVENT_tcp_overlap_differing);
	assert_int_equal(r.ts_ns, T0 + 21 * MS);
	assert_int_equal(r.flow_id, peek().flow_id);
	assert_int_equal(r.tuple.src_port, 1000);
	assert_int_equal(bench_count(&b, COUNTER_records), 1);
	for (unsigned i = 0; i < 2; i++) { // the other direction has one of its own
		p = segment(&server, &client, ACK, 600, 100, 50, T0 + (30 + i) * MS);
		memset(frame, 'a' + (int)i, sizeof(frame));
		bench_burst(&b, &p, 1);
	}
	assert_int_equal(anomalies(&r), 1);
	assert_int_equal(r.tuple.src_port, 80);
}

// --- Who wants the bytes ---

struct reader {
	char bytes[4096];
	size_t count;
	unsigned ends, gaps;
	uint64_t flow_id;
};

static struct reassembly_answer on_data(void *ctx, const struct reassembly_data *d)
{
	struct reader *r = ctx;

	memcpy(r->bytes + r->count, d->bytes, d->length);
	r->count += d->length;
	r->flow_id = flow_table_id(b.table[0], d->stream);
	return (struct reassembly_answer){REASSEMBLY_ON, 0, 0};
}

static void on_gap(void *ctx, uint32_t stream, unsigned direction, uint32_t missing)
{
	((struct reader *)ctx)->gaps += missing;
	(void)stream;
	(void)direction;
}

static void on_end(
	void *ctx, uint32_t stream, unsigned direction, enum reassembly_end_reason reason)
{
	((struct reader *)ctx)->ends++;
	(void)stream;
	(void)direction;
	assert_int_equal(reason, REASSEMBLY_END_EOF);
}

// None, one, and several.
static void consumers(void **state)
{
	(void)state;
	for (unsigned n = 0; n <= 2; n++) {
		struct flow_config c = bench_config();
		struct reader reader[2] = {{.count = 0}};
		struct streams_config streams = {
			.reassembly = {.bytes = 1 << 20, .depth_bytes = 900}, .consumer_count = n};

		teardown(NULL);
		for (unsigned i = 0; i < n; i++)
			streams.consumer[i] = (struct reassembly_consumer){
				&reader[i], on_data, on_gap, on_end};
		open_all(&c, &streams);
		for (unsigned round = 0; round < 2; round++) { // the second uses the numbers anew
			handshake(T0);
			send(&client, &server, ACK, 200, 500, 1000, T0 + 10 * MS);
			send(&client, &server, ACK, 100, 500, 50, T0 + 11 * MS);
			bench_end(&b, 0, T0 + SEC, FLOW_END_EOF, round == 0);
		}
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(reader[i].count, 2 * (900 - 50));
			assert_int_equal(reader[i].gaps, 2 * 50);
			assert_int_equal(reader[i].ends, 4);
			assert_int_equal(reader[i].flow_id, record(1)->flow_id);
		}
		assert_int_equal(bench_count(&b, COUNTER_tcp_bytes_delivered), 2 * 1050);
		assert_int_equal(bench_count(&b, COUNTER_tcp_bytes_not_wanted),
			n == 0 ? 2 * 1050 : 2 * (1100 - 900));
	}
}

static void bounds(void **state)
{
	const struct streams_config few = {.reassembly = {.bytes = 1}};
	const struct streams_config many = {.consumer_count = REASSEMBLY_CONSUMERS_MAX + 1};

	(void)state;
	assert_true(streams_bytes_reserved(s) > STREAMS_BYTES_MIN); // raised to what is needed
	assert_int_equal(streams_bytes_reserved(NULL), 0);
	assert_null(streams_new(&few, 0, b.table[0], events)); // no streams: it cannot work
	assert_null(streams_new(&many, 10, b.table[0], events));
	streams_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(figures_of_both_directions, setup, teardown),
		cmocka_unit_test_setup_teardown(parts, setup, teardown),
		cmocka_unit_test_setup_teardown(a_new_connection_starts_anew, setup, teardown),
		cmocka_unit_test_setup_teardown(no_segment_no_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(full_table, setup, teardown),
		cmocka_unit_test_setup_teardown(contradictions, setup, teardown),
		cmocka_unit_test_setup_teardown(consumers, setup, teardown),
		cmocka_unit_test_setup_teardown(bounds, setup, teardown),
	};

	hash_seed_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
