// SPDX-License-Identifier: Apache-2.0
// Bounds: full tables, floods, the wheel over jumps and small budgets, captures that come and go, full
// record rings.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"
#include "ring.h"

static struct bench b;

static void open_with(const struct flow_config *c)
{
	bench_open(&b, c, 1);
	bench_begin(&b, 0, "cap", true);
}

static void run(struct packet p)
{
	bench_send(&b, &p);
}

// The n-th of many tuples.
static void set_tuple(struct packet *p, uint32_t n)
{
	uint32_t address = htonl(0x0b000000 + n);

	memcpy(p->layer[0].src, &address, 4);
	p->layer[0].src_port = (uint16_t)(1024 + n % 60000);
}

static struct packet numbered(uint32_t n, uint64_t ts)
{
	struct packet p = packet_udp("11.0.0.0", 1, "10.0.0.2", 20000, 1, ts);

	set_tuple(&p, n);
	return p;
}

static void expect_identity(uint64_t not_written)
{
	assert_int_equal(bench_count(&b, COUNTER_flows_created),
		bench_count(&b, COUNTER_flows_ended) - bench_count(&b, COUNTER_flows_ended_active) +
			not_written + bench_active(&b));
	assert_int_equal(bench_count(&b, COUNTER_flows_active), bench_active(&b));
}

// --- Full tables ---

static void tiny_tables_evict_and_count(void **state)
{
	(void)state;
	for (uint32_t capacity = 0; capacity < 40; capacity += 1 + capacity / 4) {
		struct flow_config c = bench_config();
		uint64_t memcap, sum = 0;

		c.capacity = capacity;
		open_with(&c);
		for (uint32_t i = 0; i < 2000; i++) {
			run(numbered(i, T0 + i * 1000));
			assert_true(bench_active(&b) <= capacity);
		}
		memcap = bench_count(&b, COUNTER_flow_memcap);
		assert_int_equal(bench_count(&b, COUNTER_flows_created) + memcap, 2000);
		assert_int_equal(memcap == 2000, capacity == 0);
		if (capacity > 0)
			assert_int_equal(bench_active(&b), capacity);
		assert_int_equal(bench_count(&b, COUNTER_flows_ended_evicted), b.count);
		expect_identity(0);
		bench_end(&b, 0, T0, FLOW_END_EOF, false);
		for (size_t i = 0; i < b.count; i++) {
			sum += b.record[i].direction[0].pkts + b.record[i].direction[1].pkts;
			assert_int_equal(b.record[i].end,
				i < b.count - capacity ? FLOW_END_EVICTED : FLOW_END_EOF);
		}
		assert_int_equal(sum + memcap, 2000);
		bench_close(&b);
	}
}

static void the_least_recent_is_evicted(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	// So few flows that all share two buckets: then "in reach" means all.
	c.capacity = 6;
	open_with(&c);
	for (uint32_t i = 0; i < 6; i++)
		run(numbered(i, T0 + i));
	for (uint32_t i = 0; i < 6; i++)
		if (i != 3)
			run(numbered(i, T0 + 100 + i));
	run(numbered(77, T0 + 200));
	assert_int_equal(b.count, 1);
	assert_int_equal(b.record[0].tuple.src_port, 1024 + 3);
	assert_int_equal(b.record[0].end, FLOW_END_EVICTED);
	bench_close(&b);
}

static void room_is_made_by_time_first(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	c.capacity = 10;
	open_with(&c);
	for (uint32_t i = 0; i < 10; i++)
		run(numbered(i, T0));
	run(numbered(10, T0 + 3600 * SEC));
	assert_int_equal(bench_count(&b, COUNTER_flows_ended_evicted), 0);
	assert_int_equal(bench_count(&b, COUNTER_flows_ended_idle), 10);
	assert_int_equal(bench_active(&b), 1);
	bench_close(&b);
}

static void other_captures_flows_end_by_their_own_clock(void **state)
{
	struct flow_config c = bench_config();
	struct packet p;

	(void)state;
	c.capacity = 6;
	open_with(&c);
	bench_begin(&b, 1, "other", false);
	for (uint32_t i = 0; i < 6; i++)
		run(numbered(i, T0));
	p = numbered(100, T0 + 86400 * SEC); // another clock: its time says nothing of the rest
	p.capture = 1;
	run(p);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.record[0].capture, 0);
	assert_int_equal(b.record[0].end, FLOW_END_EVICTED);
	assert_int_equal(b.counters[0].value[COUNTER_flows_active], 5);
	assert_int_equal(b.counters[1].value[COUNTER_flows_active], 1);
	bench_close(&b);
}

static void a_flood_is_bounded(void **state)
{
	enum { SYNS = 2000000, CAPACITY = 10000 };
	struct flow_config c = bench_config();
	struct packet burst[PACKET_BURST];
	size_t bytes;
	uint64_t ended;

	(void)state;
	c.capacity = CAPACITY;
	open_with(&c);
	b.forget = true;
	bytes = flow_table_bytes(b.table[0]);
	for (uint32_t i = 0; i < SYNS; i += PACKET_BURST) {
		for (uint32_t k = 0; k < PACKET_BURST; k++) {
			burst[k] = packet_tcp("11.0.0.0", 1, "10.0.0.2", 443, SYN, 0,
				T0 + (i + k) * 1000); // a million a second
			set_tuple(&burst[k], i + k);
		}
		bench_burst(&b, burst, PACKET_BURST);
		assert_true(bench_active(&b) <= CAPACITY);
	}
	assert_true(flow_table_bytes(b.table[0]) == bytes);
	assert_true(bytes <= CAPACITY * 512 + (6u << 20));
	ended = bench_count(&b, COUNTER_flows_ended);
	assert_int_equal(
		bench_count(&b, COUNTER_flows_created) + bench_count(&b, COUNTER_flow_memcap),
		SYNS);
	expect_identity(0);
	assert_int_equal(b.forgotten, ended);
	assert_int_equal(bench_active(&b), CAPACITY);
	// A full table still finds who is in it: nothing but new tuples was evicted for.
	assert_int_equal(bench_count(&b, COUNTER_flow_memcap), 0);
	bench_end(&b, 0, T0 + 3 * SEC, FLOW_END_EOF, false);
	assert_int_equal(bench_active(&b), 0);
	expect_identity(0);
	bench_close(&b);
}

static void filled_to_capacity_without_loss(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	// Up to its capacity a table turns no flow out, though some buckets overflow.
	c.capacity = 100000;
	open_with(&c);
	b.forget = true;
	for (uint32_t i = 0; i < c.capacity; i++)
		run(numbered(i, T0 + i));
	assert_int_equal(bench_count(&b, COUNTER_flows_ended_evicted), 0);
	assert_int_equal(bench_count(&b, COUNTER_flow_memcap), 0);
	bench_close(&b);
}

// --- The wheel ---

// Every flow that is due is found, however the clock jumps and however small the budgets are.
static void the_wheel_finds_what_is_due(void **state)
{
	enum { FLOWS = 300 };
	struct rng rng = {11};

	(void)state;
	for (unsigned round = 0; round < 60; round++) {
		struct flow_config c = bench_config();
		uint64_t now = round % 4 == 0 ? 0 : T0 + rng_below(&rng, 1000000000),
			 due[FLOWS] = {0};
		unsigned left = 0;

		c.udp_ns = (1 + rng_below(&rng, round % 2 ? 2000000 : 20000)) * MS;
		c.active_ns = 0;
		open_with(&c);
		for (unsigned step = 0; step < 300; step++) {
			for (unsigned k = rng_below(&rng, 20); k > 0; k--) {
				uint32_t i = rng_below(&rng, FLOWS);

				run(numbered(i, now));
				due[i] = now + c.udp_ns;
			}
			switch (rng_below(&rng, 8)) {
			case 0:
				now += rng_below(&rng, 400) * 86400 * SEC;
				break;
			case 1:
				now += c.udp_ns;
				break;
			default:
				now += rng_below(&rng, (uint32_t)(c.udp_ns / MS)) * MS / 8;
			}
			bench_expire(&b, 0, now, rng_below(&rng, 30));
			if (rng_below(&rng, 3) != 0)
				continue;
			// With enough budget nothing is left that was due a second ago.
			bench_expire(&b, 0, now, UINT32_MAX);
			left = 0;
			for (uint32_t i = 0; i < FLOWS; i++)
				left += due[i] != 0 && due[i] + SEC > now;
			assert_true(bench_active(&b) <= left);
		}
		bench_expire(&b, 0, now + c.udp_ns + SEC, UINT32_MAX);
		assert_int_equal(bench_active(&b), 0);
		bench_close(&b);
	}
}

static void budgets_are_kept(void **state)
{
	struct flow_config c = bench_config();
	unsigned total = 0, n;

	(void)state;
	open_with(&c);
	assert_int_equal(bench_expire(&b, 0, T0, 100), 0); // nothing yet
	for (uint32_t i = 0; i < 500; i++)
		run(numbered(i, T0 + i * MS));
	assert_int_equal(bench_expire(&b, 0, T0 + 1000 * SEC, 0), 0);
	while ((n = bench_expire(&b, 0, T0 + 1000 * SEC, 7)) > 0) {
		assert_true(n <= 7);
		total += n;
		assert_true(b.count <= total);
	}
	assert_true(total >= 500);
	assert_int_equal(b.count, 500);
	// Time that goes back does no harm.
	run(numbered(1, T0 + 1000 * SEC));
	assert_int_equal(bench_expire(&b, 0, 0, 100), 0);
	assert_int_equal(bench_expire(&b, 0, UINT64_MAX, 100), 1);
	assert_int_equal(bench_active(&b), 0);
	bench_close(&b);
}

static void an_end_is_looked_at_in_time_after_the_handshake(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	// A handshake may shorten the timeout.
	c.tcp_new_ns = 400 * SEC;
	c.tcp_established_ns = 5 * SEC;
	open_with(&c);
	run(packet_tcp("1.1.1.1", 1, "2.2.2.2", 2, SYN, 0, T0));
	run(packet_tcp("2.2.2.2", 2, "1.1.1.1", 1, SYN | ACK, 0, T0));
	run(packet_tcp("1.1.1.1", 1, "2.2.2.2", 2, ACK, 0, T0));
	for (uint64_t t = 0; t <= 7; t++)
		bench_expire(&b, 0, T0 + t * SEC, 100);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.record[0].end, FLOW_END_IDLE);
	bench_close(&b);
}

static void parts_are_written_while_the_flow_is_busy_or_silent(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	c.active_ns = 10 * SEC;
	open_with(&c);
	run(numbered(1, T0 + 5));
	for (uint64_t t = 0; t < 12 * SEC; t += SEC / 4) {
		bench_expire(&b, 0, T0 + t, 100);
		assert_int_equal(b.count, t > 11 * SEC + 5 ? 1 : b.count);
		if (t < 10 * SEC)
			assert_int_equal(b.count, 0);
	}
	assert_int_equal(b.count, 1);
	assert_int_equal(b.record[0].end, FLOW_END_ACTIVE);
	bench_close(&b);
}

// --- Captures ---

static void captures_come_and_go(void **state)
{
	struct flow_config c = bench_config();
	struct flow_capture fc = {.name = "x", .counters = &b.counters[2]};
	struct packet p;
	uint64_t id;

	(void)state;
	open_with(&c);
	assert_int_equal(flow_capture_begin(b.table[0], FLOW_CAPTURES_MAX, &fc), -EINVAL);
	assert_int_equal(flow_capture_begin(b.table[0], UINT16_MAX, &fc), -EINVAL);
	assert_int_equal(flow_capture_begin(b.table[0], 0, &fc), -EINVAL); // in use
	assert_int_equal(bench_end(&b, 2, T0, FLOW_END_EOF, false), 0);    // not begun
	assert_int_equal(bench_expire(&b, 2, T0, 10), 0);
	bench_begin(&b, 2, "x", false);
	bench_begin(&b, FLOW_CAPTURES_MAX - 1, "last", false);
	// Clocks that have nothing to do with each other.
	for (unsigned k = 0; k < 3; k++) {
		p = numbered(5, k == 0 ? T0 : k == 1 ? 0 : 100 * T0 / 99);
		p.capture = k == 0 ? 0 : k == 1 ? 2 : FLOW_CAPTURES_MAX - 1;
		run(p);
	}
	assert_int_equal(bench_active(&b), 3);
	bench_expire(&b, 2, 1000 * SEC, 100);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.record[0].capture, 2);
	id = b.record[0].flow_id;
	assert_int_equal(bench_active(&b), 2);
	// flow by flow, as a worker does it
	p = numbered(6, T0);
	run(p);
	p = numbered(7, T0);
	run(p);
	assert_int_equal(flow_capture_end(b.table[0], 0, T0, FLOW_END_EOF, 1, false), 2);
	assert_int_equal(flow_capture_end(b.table[0], 0, T0, FLOW_END_EOF, 0, false), 2);
	assert_int_equal(flow_capture_end(b.table[0], 0, T0, FLOW_END_EOF, 2, false), 0);
	bench_drain(&b);
	assert_int_equal(b.count, 4);
	assert_int_equal(bench_active(&b), 1);
	assert_int_equal(b.counters[0].value[COUNTER_flows_active], 0);
	// The index again, for another capture with another clock.
	bench_begin(&b, 0, "another", true);
	p = numbered(5, 3 * SEC);
	run(p);
	bench_expire(&b, 0, 40 * SEC, 100);
	assert_int_equal(b.count, 4);
	bench_expire(&b, 0, 65 * SEC, 100);
	assert_int_equal(b.count, 5);
	assert_true(b.record[4].flow_id != id);
	assert_int_equal(b.record[4].end, FLOW_END_IDLE);
	bench_end(&b, FLOW_CAPTURES_MAX - 1, 0, FLOW_END_FORCED, false);
	assert_int_equal(b.record[5].end, FLOW_END_FORCED);
	assert_int_equal(b.record[5].capture, FLOW_CAPTURES_MAX - 1);
	bench_close(&b);
}

static void a_full_ring_loses_records_of_live_captures_only(void **state)
{
	struct flow_config c = bench_config();
	struct ring *small = ring_new(4096);
	struct counters *counters = calloc(1, sizeof(*counters));
	struct flow_table *t = flow_table_new(&c, 0, small);
	unsigned read = 0;
	const struct ring_msg *m;

	(void)state;
	assert_non_null(counters);
	assert_int_equal(flow_capture_begin(t, 0,
				 &(struct flow_capture){.name = "live", .counters = counters}),
		0);
	for (uint32_t i = 0; i < 100; i++) {
		struct packet p = numbered(i, T0), *at = &p;

		flow_key_hash(&c, &p, 1);
		flow_burst(t, &at, 1);
	}
	assert_int_equal(flow_capture_end(t, 0, T0, FLOW_END_EOF, 1000, false), 0);
	ring_publish(small);
	while ((m = ring_next(small)) != NULL)
		read++;
	assert_true(read > 0 && read < 100);
	assert_int_equal(counters->value[COUNTER_records], read);
	assert_int_equal(counters->value[COUNTER_export_queue_full], 100 - read);
	assert_int_equal(counters->value[COUNTER_flows_ended], 100);
	flow_table_free(t);
	ring_free(small);
	free(counters);
}

// A part whose record found no room in the ring: its packets are gone with it, and the next part is the
// same as if it had been written.
static void part_without_room(void **state)
{
	struct flow_config c = bench_config();
	struct ring *small = ring_new(4096);
	struct counters *counters = calloc(1, sizeof(*counters));
	struct flow_table *t;
	const struct ring_msg *m;
	const struct flow_record *last = NULL;

	(void)state;
	c.active_ns = 10 * SEC;
	t = flow_table_new(&c, 0, small);
	assert_non_null(counters);
	assert_int_equal(flow_capture_begin(t, 0,
				 &(struct flow_capture){.name = "live", .counters = counters}),
		0);
	// Parts of 10 packets, a second apart, the last with PSH; the ring holds few of their records.
	for (uint32_t i = 0; i < 201; i++) {
		struct packet p = packet_tcp("10.0.0.1", 1000, "10.0.0.2", 80,
			i % 10 == 9 ? PSH | ACK : ACK, 1, T0 + i * SEC);
		struct packet *at = &p;

		p.now_ns = p.ts_ns;
		flow_key_hash(&c, &p, 1);
		flow_burst(t, &at, 1);
	}
	assert_true(counters->value[COUNTER_export_queue_full] > 0);
	ring_publish(small);
	while ((m = ring_next(small)) != NULL)
		;
	ring_release(small);
	assert_int_equal(flow_capture_end(t, 0, T0 + 201 * SEC, FLOW_END_EOF, 1000, false), 0);
	ring_publish(small);
	while ((m = ring_next(small)) != NULL)
		last = (const struct flow_record *)(m + 1);
	assert_non_null(last);
	assert_int_equal(last->part_no, 21);
	assert_int_equal(last->direction[0].pkts + last->direction[1].pkts, 1);
	assert_int_equal(last->direction[0].tcp_flags | last->direction[1].tcp_flags, ACK);
	flow_table_free(t);
	ring_free(small);
	free(counters);
}

static void a_burst_may_be_of_any_size(void **state)
{
	enum { N = 2 * PACKET_BURST };
	struct flow_config c = bench_config();
	struct packet *p = calloc(N, sizeof(*p)), *at[N];

	(void)state;
	open_with(&c);
	flow_burst(b.table[0], at, 0);
	// Each with eight layers: many more updates than fit into one step.
	for (unsigned i = 0; i < N; i++) {
		p[i] = packet_udp("10.0.0.1", 5, "10.0.0.2", (uint16_t)(20000 + i % 3), 1, T0 + i);
		for (unsigned k = 1; k < PACKET_LAYERS_MAX; k++)
			packet_wrap(&p[i], "10.0.0.3", 0, "10.0.0.4", 0, 4, TUNNEL_IPIP, -1, 20);
		at[i] = &p[i];
	}
	flow_key_hash(&c, p, N);
	flow_burst(b.table[0], at, N);
	assert_int_equal(bench_active(&b), 3 + PACKET_LAYERS_MAX - 1);
	bench_end(&b, 0, T0, FLOW_END_EOF, false);
	for (size_t i = 0; i < b.count; i++)
		if (b.record[i].tunnel_depth < PACKET_LAYERS_MAX - 1)
			assert_int_equal(b.record[i].direction[0].pkts, N);
	free(p);
	bench_close(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tiny_tables_evict_and_count),
		cmocka_unit_test(the_least_recent_is_evicted),
		cmocka_unit_test(room_is_made_by_time_first),
		cmocka_unit_test(other_captures_flows_end_by_their_own_clock),
		cmocka_unit_test(a_flood_is_bounded),
		cmocka_unit_test(filled_to_capacity_without_loss),
		cmocka_unit_test(the_wheel_finds_what_is_due),
		cmocka_unit_test(budgets_are_kept),
		cmocka_unit_test(an_end_is_looked_at_in_time_after_the_handshake),
		cmocka_unit_test(parts_are_written_while_the_flow_is_busy_or_silent),
		cmocka_unit_test(captures_come_and_go),
		cmocka_unit_test(a_full_ring_loses_records_of_live_captures_only),
		cmocka_unit_test(part_without_room),
		cmocka_unit_test(a_burst_may_be_of_any_size),
	};

	return cmocka_run_group_tests_name("flow limits", tests, NULL, NULL);
}
