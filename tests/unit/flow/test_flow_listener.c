// SPDX-License-Identifier: Apache-2.0
// What the stage behind is told: each segment with the flow that counted it, parts, ends with their
// cause before the record of the end is made, and records for it to add to.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "builder.h"
#include "ring.h"

#define CLIENT "10.0.0.2" // the higher end of its key's addresses
#define SERVER "10.0.0.1"

enum what { SEGMENT, DESCRIBE, PART, END_OF_FLOW };

struct told {
	enum what what;
	uint32_t index;
	unsigned end; // DESCRIBE: of the record; END_OF_FLOW
	unsigned to_server;
	uint64_t flow_id; // as the table knows it at that time
	uint32_t seq;
};

static struct bench b;
static struct told told[4096];
static size_t told_count, early_count, soon_count;

static struct told *tell(enum what what, uint32_t index)
{
	struct told *t = &told[told_count++];

	assert_true(told_count < sizeof(told) / sizeof(told[0]));
	*t = (struct told){.what = what, .index = index};
	t->flow_id = index != 0 ? flow_table_id(b.table[0], index) : 0;
	return t;
}

static void on_early(void *ctx, uint32_t index)
{
	assert_ptr_equal(ctx, &b);
	assert_in_range(index, 1, b.config.capacity);
	early_count++;
}

static void on_soon(void *ctx, uint32_t index)
{
	assert_ptr_equal(ctx, &b);
	assert_in_range(index, 1, b.config.capacity);
	soon_count++;
}

static void on_segment(void *ctx, uint32_t index, struct packet *p, const struct ip_layer *l)
{
	assert_ptr_equal(ctx, &b);
	assert_true(l >= p->layer && l < p->layer + p->layer_count);
	assert_int_equal(l->proto, 6);
	tell(SEGMENT, index)->seq = l->tcp.seq;
}

static void on_describe(void *ctx, uint32_t index, unsigned to_server, struct flow_record *r)
{
	struct told *t = tell(DESCRIBE, index);

	assert_ptr_equal(ctx, &b);
	assert_int_equal(r->flow_id, t->flow_id);
	assert_int_equal(r->tuple.proto, 6);
	t->end = r->end;
	t->to_server = to_server;
	r->has_stream = 1;
	memset(r->stream, 0, sizeof(r->stream));
	r->stream[0].segments = (uint32_t)told_count;
}

static void on_part(void *ctx, uint32_t index)
{
	assert_ptr_equal(ctx, &b);
	tell(PART, index);
}

static void on_end(void *ctx, uint32_t index, enum flow_end end)
{
	struct flow_record r;
	struct told *t = tell(END_OF_FLOW, index);

	assert_ptr_equal(ctx, &b);
	t->end = end;
	flow_table_get(b.table[0], index, &r);
	assert_int_equal(r.flow_id, t->flow_id);
	assert_int_equal(r.end, FLOW_END_NONE);
}

static int open_bench(const struct flow_config *c)
{
	bench_open(&b, c, 1);
	bench_begin(&b, 0, "cap", true);
	flow_table_listen(b.table[0], &(struct flow_listener){&b, on_early, on_soon, on_segment,
					      on_describe, on_part, on_end});
	told_count = early_count = soon_count = 0;
	return 0;
}

static int setup(void **state)
{
	const struct flow_config c = bench_config();

	(void)state;
	return open_bench(&c);
}

static int teardown(void **state)
{
	(void)state;
	bench_close(&b);
	return 0;
}

static void send(uint16_t port, uint8_t flags, uint32_t seq, uint32_t payload, uint64_t ts)
{
	struct packet p = packet_tcp(CLIENT, port, SERVER, 80, flags, payload, ts);

	p.layer[0].tcp.seq = seq;
	bench_send(&b, &p);
}

static void reply(uint16_t port, uint8_t flags, uint32_t seq, uint32_t payload, uint64_t ts)
{
	struct packet p = packet_tcp(SERVER, 80, CLIENT, port, flags, payload, ts);

	p.layer[0].tcp.seq = seq;
	bench_send(&b, &p);
}

static void expect(size_t at, enum what what, uint32_t index, unsigned end)
{
	assert_true(at < told_count);
	assert_int_equal(told[at].what, what);
	assert_int_equal(told[at].index, index);
	if (what == DESCRIBE || what == END_OF_FLOW)
		assert_int_equal(told[at].end, end);
}

// --- Segments ---

static void segments_with_their_flow(void **state)
{
	struct packet udp = packet_udp(CLIENT, 9, SERVER, 80, 10, T0);
	struct packet late = packet_ip(CLIENT, SERVER, 6, T0); // a fragment: no TCP header
	uint32_t first, second;

	(void)state;
	send(1000, SYN, 5, 0, T0);
	send(2000, SYN, 6, 0, T0 + 1);
	reply(1000, SYN | ACK, 7, 0, T0 + 2);
	bench_send(&b, &udp);
	bench_send(&b, &late);
	assert_int_equal(told_count, 3);
	first = told[0].index;
	second = told[1].index;
	assert_true(first != 0 && second != 0 && first != second);
	expect(0, SEGMENT, first, 0);
	expect(1, SEGMENT, second, 0);
	expect(2, SEGMENT, first, 0);
	assert_int_equal(told[2].seq, 7);
	assert_int_equal(told[0].flow_id, told[2].flow_id);
	assert_int_equal(early_count, 1);
	assert_int_equal(soon_count, 1); // flows that were there when the burst began
}

static void layers_of_others_are_not_told(void **state)
{
	struct packet p = packet_tcp(CLIENT, 1, SERVER, 80, ACK, 0, T0);

	(void)state;
	p.layer[0].owner = LAYER_NOT_COUNTED;
	bench_send(&b, &p);
	assert_int_equal(told_count, 0);
	p.layer[0].owner = 0;
	packet_wrap(&p, "192.0.2.1", 0, "192.0.2.2", 0, 47, TUNNEL_GRE, -1, 24);
	bench_send(&b, &p);
	assert_int_equal(told_count, 1); // GRE around it is a flow, and no segment
}

// Several in one burst, with a new connection in its midst: in their order.
static void burst_in_order(void **state)
{
	struct packet p[4];

	(void)state;
	for (uint32_t i = 0; i < 4; i++) {
		p[i] = packet_tcp(CLIENT, 1, SERVER, 80, i == 2 ? SYN : ACK, 0, T0 + i);
		p[i].layer[0].tcp.seq = 100 * i;
	}
	p[0].layer[0].tcp.flags = SYN;
	bench_burst(&b, p, 4);
	assert_int_equal(told_count, 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(told[i].what, ((const unsigned[]){SEGMENT, SEGMENT, END_OF_FLOW,
						       DESCRIBE, SEGMENT, SEGMENT})[i]);
	assert_int_equal(told[4].seq, 200);
	assert_int_not_equal(told[4].flow_id, told[1].flow_id);
}

// --- Ends ---

// The old connection ends, with its record, before the new one's first segment.
static void reuse(void **state)
{
	uint32_t first;

	(void)state;
	send(1000, SYN, 5, 0, T0);
	first = told[0].index;
	send(1000, SYN, 99, 0, T0 + SEC);
	assert_int_equal(told_count, 4);
	expect(1, END_OF_FLOW, first, FLOW_END_REUSE);
	expect(2, DESCRIBE, first, FLOW_END_REUSE);
	assert_int_equal(told[3].what, SEGMENT);
	assert_int_equal(told[3].seq, 99);
	assert_int_not_equal(told[3].flow_id, told[0].flow_id);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.record[0].end, FLOW_END_REUSE);
	assert_int_equal(b.record[0].has_stream, 1);
}

// A closed flow says in its record how it closed; that a new connection took its place is told.
static void reuse_of_a_closed_one(void **state)
{
	(void)state;
	send(1000, SYN, 5, 0, T0);
	reply(1000, RST | ACK, 0, 0, T0 + 1);
	send(1000, SYN, 99, 0, T0 + SEC);
	expect(2, END_OF_FLOW, told[0].index, FLOW_END_REUSE);
	expect(3, DESCRIBE, told[0].index, FLOW_END_RST);
	assert_int_equal(b.record[0].end, FLOW_END_RST);
}

static void ends_by_time(void **state)
{
	(void)state;
	send(1000, SYN, 5, 0, T0);
	send(2000, SYN, 5, 0, T0);
	reply(2000, RST | ACK, 0, 0, T0 + 1);
	bench_expire(&b, 0, T0 + 20 * SEC, 1000); // closed ones wait 10 s, new ones 30 s
	assert_int_equal(told_count, 5);
	expect(3, END_OF_FLOW, told[1].index, FLOW_END_RST);
	expect(4, DESCRIBE, told[1].index, FLOW_END_RST);
	// The next packet on the same tuple finds its flow over: the end is told before it.
	send(1000, ACK, 6, 0, T0 + 40 * SEC);
	assert_int_equal(told_count, 8);
	expect(5, END_OF_FLOW, told[0].index, FLOW_END_IDLE);
	expect(6, DESCRIBE, told[0].index, FLOW_END_IDLE);
	assert_int_equal(told[7].what, SEGMENT);
	assert_int_not_equal(told[7].flow_id, told[0].flow_id);
}

static void end_of_capture(void **state)
{
	(void)state;
	send(1000, SYN, 5, 0, T0);
	send(2000, SYN, 5, 0, T0);
	send(2000, FIN | ACK, 6, 0, T0 + 1);
	reply(2000, FIN | ACK, 6, 0, T0 + 2);
	bench_end(&b, 0, T0 + SEC, FLOW_END_EOF, false);
	assert_int_equal(told_count, 8);
	for (size_t i = 4; i < 8; i += 2) {
		unsigned end = told[i].index == told[0].index ? FLOW_END_EOF : FLOW_END_FIN;

		expect(i, END_OF_FLOW, told[i].index, end);
		expect(i + 1, DESCRIBE, told[i].index, end);
	}
}

static void eviction(void **state)
{
	struct flow_config c = bench_config();
	size_t ends = 0, records = 0, segments = 0;

	(void)state;
	bench_close(&b);
	c.capacity = 64;
	open_bench(&c);
	for (uint16_t i = 0; i < 200; i++)
		send((uint16_t)(1000 + i), SYN, 5, 0, T0 + i);
	for (size_t i = 0; i < told_count; i++) {
		segments += told[i].what == SEGMENT;
		if (told[i].what == END_OF_FLOW) {
			ends++;
			expect(i, END_OF_FLOW, told[i].index, FLOW_END_EVICTED);
			expect(i + 1, DESCRIBE, told[i].index, FLOW_END_EVICTED);
			assert_int_equal(told[i + 2].what, SEGMENT);
			records++;
		}
	}
	assert_int_equal(segments, 200);
	assert_int_equal(ends, 200 - 64);
	assert_int_equal(records, b.count);
	assert_int_equal(bench_count(&b, COUNTER_flows_ended_evicted), ends);
}

// --- Parts ---

static void parts(void **state)
{
	uint32_t flow;

	(void)state;
	send(1000, SYN, 5, 0, T0);
	reply(1000, SYN | ACK, 5, 0, T0 + MS);
	send(1000, ACK, 6, 0, T0 + 2 * MS);
	flow = told[0].index;
	for (unsigned i = 1; i <= 4; i++) // every 100 s: the fourth is beyond the part
		send(1000, ACK, 6, 1, T0 + i * 100 * SEC);
	assert_int_equal(told_count, 9);
	expect(5, DESCRIBE, flow, FLOW_END_ACTIVE);
	expect(6, PART, flow, 0);
	expect(7, SEGMENT, flow, 0);
	expect(8, SEGMENT, flow, 0);
	assert_int_equal(told[8].flow_id, told[0].flow_id);
	bench_end(&b, 0, T0 + 400 * SEC, FLOW_END_FORCED, false);
	expect(9, END_OF_FLOW, flow, FLOW_END_FORCED);
	expect(10, DESCRIBE, flow, FLOW_END_FORCED);
	assert_int_equal(b.count, 2);
	assert_int_equal(b.record[1].part_no, 2);
}

// --- Records ---

static void queries_are_described(void **state)
{
	struct flow_record r[2];
	struct flow_query q = {
		.kind = FLOW_QUERY_LIST, .capture = -1, .app_proto = -1, .limit = 2, .results = r};
	struct packet udp = packet_udp(CLIENT, 9, SERVER, 80, 10, T0);

	(void)state;
	send(1000, SYN, 5, 0, T0);
	bench_send(&b, &udp);
	assert_int_equal(flow_query_init(&q), 0);
	assert_true(flow_query_step(b.table[0], &q, UINT32_MAX));
	assert_int_equal(q.count, 2);
	expect(1, DESCRIBE, told[0].index, FLOW_END_NONE);
	assert_int_equal(told[1].to_server, 1); // the client is the higher end
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(r[i].has_stream, r[i].tuple.proto == 6);
	q.kind = FLOW_QUERY_TOP;
	assert_int_equal(flow_query_init(&q), 0);
	assert_true(flow_query_step(b.table[0], &q, UINT32_MAX));
	assert_int_equal(q.count, 2);
	expect(2, DESCRIBE, told[0].index, FLOW_END_NONE);
	assert_int_equal(told_count, 3); // what is only compared is not described
	flow_query_fini(&q);
}

static void direction_to_the_server(void **state)
{
	struct packet p = packet_tcp(SERVER, 1000, CLIENT, 80, SYN, 0, T0); // the other way round

	(void)state;
	bench_send(&b, &p);
	bench_end(&b, 0, T0, FLOW_END_EOF, false);
	expect(2, DESCRIBE, told[0].index, FLOW_END_EOF);
	assert_int_equal(told[2].to_server, 0);
}

// What a record does not say takes no room on its way.
static void records_are_as_long_as_they_must(void **state)
{
	struct packet udp = packet_udp(CLIENT, 9, SERVER, 80, 10, T0);
	struct flow_record r = {.splt_count = 3};
	const struct ring_msg *m;

	(void)state;
	assert_int_equal(
		flow_record_size(&r), offsetof(struct flow_record, splt) + 3 * sizeof(r.splt[0]));
	r.splt_count = 255;
	assert_int_equal(flow_record_size(&r), offsetof(struct flow_record, stream));
	r.has_stream = 1;
	assert_int_equal(flow_record_size(&r), sizeof(r));
	flow_key_hash(&b.config, &udp, 1);
	udp.layer[0].owner = 0;
	flow_burst(b.table[0], (struct packet *[]){&udp}, 1);
	flow_capture_end(b.table[0], 0, T0, FLOW_END_EOF, 10, false);
	ring_publish(b.ring[0]);
	m = ring_next(b.ring[0]);
	assert_non_null(m);
	assert_int_equal(m->size,
		sizeof(*m) + offsetof(struct flow_record, splt) + sizeof(struct flow_splt));
	ring_release(b.ring[0]);
}

// Without room for the record the end is told all the same.
static void full_ring(void **state)
{
	struct counters counters = {0};
	struct ring *small = ring_new(4096);
	struct flow_config c = bench_config();
	struct flow_table *t = flow_table_new(&c, 0, small), *kept = b.table[0];
	size_t ends = 0;

	(void)state;
	assert_non_null(t);
	b.table[0] = t;
	assert_int_equal(
		flow_capture_begin(t, 0, &(struct flow_capture){"live", &counters, false}), 0);
	flow_table_listen(t, &(struct flow_listener){&b, on_early, on_soon, on_segment, on_describe,
				     on_part, on_end});
	for (uint16_t i = 0; i < 100; i++) {
		struct packet p = packet_tcp(CLIENT, (uint16_t)(i + 1), SERVER, 80, SYN, 0, T0 + i);
		struct packet *at = &p;

		flow_key_hash(&c, &p, 1);
		p.layer[0].owner = 0;
		flow_burst(t, &at, 1);
	}
	assert_int_equal(flow_capture_end(t, 0, T0 + SEC, FLOW_END_EOF, 1000, false), 0);
	for (size_t i = 0; i < told_count; i++)
		ends += told[i].what == END_OF_FLOW;
	assert_int_equal(ends, 100);
	assert_true(counters.value[COUNTER_export_queue_full] > 0);
	b.table[0] = kept;
	flow_table_free(t);
	ring_free(small);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(segments_with_their_flow, setup, teardown),
		cmocka_unit_test_setup_teardown(layers_of_others_are_not_told, setup, teardown),
		cmocka_unit_test_setup_teardown(burst_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(reuse, setup, teardown),
		cmocka_unit_test_setup_teardown(reuse_of_a_closed_one, setup, teardown),
		cmocka_unit_test_setup_teardown(ends_by_time, setup, teardown),
		cmocka_unit_test_setup_teardown(end_of_capture, setup, teardown),
		cmocka_unit_test_setup_teardown(eviction, setup, teardown),
		cmocka_unit_test_setup_teardown(parts, setup, teardown),
		cmocka_unit_test_setup_teardown(queries_are_described, setup, teardown),
		cmocka_unit_test_setup_teardown(direction_to_the_server, setup, teardown),
		cmocka_unit_test_setup_teardown(records_are_as_long_as_they_must, setup, teardown),
		cmocka_unit_test_setup_teardown(full_ring, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
