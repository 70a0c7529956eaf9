// SPDX-License-Identifier: Apache-2.0
// Questions to a table, in steps, while flows come and go.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"

static struct bench b;

static int setup(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	c.capacity = 5000;
	bench_open(&b, &c, 1);
	for (uint16_t i = 0; i < 3; i++)
		bench_begin(&b, i, i == 0 ? "a" : i == 1 ? "b" : "c", true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bench_close(&b);
	return 0;
}

// Flow n: its source port says which.
static void touch(unsigned n, uint16_t capture, uint32_t payload, uint64_t ts)
{
	struct packet p = packet_udp(
		"10.0.0.1", (uint16_t)(10000 + n), "10.0.0.2", 53, payload, ts);

	p.capture = capture;
	bench_send(&b, &p);
}

static unsigned number_of(const struct flow_record *r)
{
	return r->tuple.src_port - 10000u;
}

static unsigned run(struct flow_query *q, unsigned budget)
{
	unsigned steps = 1;

	while (!flow_query_step(b.table[0], q, budget)) {
		steps++;
		assert_true(steps < 100000);
	}
	return steps;
}

static struct flow_query query(enum flow_query_kind kind, struct flow_record *to, unsigned limit)
{
	return (struct flow_query){
		.kind = kind, .capture = -1, .app_proto = -1, .limit = limit, .results = to};
}

static void top_by(enum flow_metric metric, bool ascending, unsigned budget)
{
	struct flow_record r[10];
	struct flow_query q = query(FLOW_QUERY_TOP, r, 10);
	double before = 0;

	q.metric = metric;
	q.ascending = ascending;
	assert_int_equal(flow_query_init(&q), 0);
	run(&q, budget);
	flow_query_fini(&q);
	assert_int_equal(q.count, 10);
	assert_int_equal(q.matched, 300);
	for (unsigned i = 0; i < 10; i++) {
		double v = flow_metric_of(&r[i], metric);

		if (i > 0)
			assert_true(ascending ? v >= before : v <= before);
		before = v;
		switch (metric) {
		case FLOW_BY_BYTES: // the k-th best is known: flow n has n + 1 payload bytes
		case FLOW_BY_PACKETS:
		case FLOW_BY_DURATION:
		case FLOW_BY_LAST_SEEN:
			assert_int_equal(number_of(&r[i]), ascending ? i : 299 - i);
			break;
		case FLOW_BY_START:
			assert_int_equal(number_of(&r[i]), ascending ? 299 - i : i);
			break;
		case FLOW_BY_THROUGHPUT:
		case FLOW_BY_SCORE:
			break;
		}
	}
}

static void the_best_in_order(void **state)
{
	(void)state;
	// n + 1 packets, begun the earlier and seen the later the higher n is
	for (unsigned n = 0; n < 300; n++) {
		touch(n, 0, 500 + n, T0 - n * MS);
		for (unsigned k = 0; k < n; k++)
			touch(n, 0, 500 + n, T0 + n * MS);
	}
	for (unsigned budget = 1; budget < 1000; budget = budget * 3 + 1)
		for (unsigned m = FLOW_BY_BYTES; m <= FLOW_BY_SCORE; m++) {
			top_by((enum flow_metric)m, false, budget);
			top_by((enum flow_metric)m, true, budget);
		}
}

static void metrics(void **state)
{
	struct flow_record r = {.first_ns = T0, .last_ns = T0 + 2 * SEC};

	(void)state;
	r.direction[0].bytes = 1000;
	r.direction[1].bytes = 500;
	r.direction[0].pkts = 3;
	r.direction[1].pkts = 4;
	assert_true(flow_metric_of(&r, FLOW_BY_BYTES) == 1500);
	assert_true(flow_metric_of(&r, FLOW_BY_PACKETS) == 7);
	assert_true(flow_metric_of(&r, FLOW_BY_DURATION) == 2e9);
	assert_true(flow_metric_of(&r, FLOW_BY_THROUGHPUT) == 6000);
	r.last_ns = r.first_ns;
	assert_true(flow_metric_of(&r, FLOW_BY_THROUGHPUT) == 0);
}

static void more_asked_than_there_is(void **state)
{
	struct flow_record r[50];
	struct flow_query q = query(FLOW_QUERY_TOP, r, 50);

	(void)state;
	assert_int_equal(flow_query_init(&q), 0);
	assert_true(flow_query_step(b.table[0], &q, 10)); // no flow at all
	assert_int_equal(q.count, 0);
	flow_query_fini(&q);
	for (unsigned n = 0; n < 20; n++)
		touch(n, 0, 1, T0);
	assert_int_equal(flow_query_init(&q), 0);
	run(&q, 3);
	assert_int_equal(q.count, 20);
	flow_query_fini(&q);
	flow_query_fini(&q); // twice is once
	q = query(FLOW_QUERY_TOP, NULL, 0);
	assert_int_equal(flow_query_init(&q), 0);
	run(&q, 100);
	assert_int_equal(q.count, 0);
	assert_int_equal(q.matched, 20);
	flow_query_fini(&q);
}

static void pages(void **state)
{
	struct flow_record r[7];
	bool seen[100] = {false};
	uint32_t next = 0;
	unsigned total = 0, calls = 0;

	(void)state;
	for (unsigned n = 0; n < 100; n++)
		touch(n, 0, 1, T0);
	while (next != UINT32_MAX) {
		struct flow_query q = query(FLOW_QUERY_LIST, r, 7);

		q.next = next;
		assert_int_equal(flow_query_init(&q), 0);
		run(&q, 5);
		flow_query_fini(&q);
		next = q.next;
		calls++;
		assert_true(q.count == 7 || next == UINT32_MAX);
		assert_int_equal(q.matched, q.count);
		for (unsigned i = 0; i < q.count; i++) {
			assert_false(seen[number_of(&r[i])]);
			seen[number_of(&r[i])] = true;
			total++;
		}
	}
	assert_int_equal(total, 100);
	assert_int_equal(calls, 15);
	// A cursor that nobody gave out.
	for (uint32_t bad = UINT32_MAX; bad > 101; bad /= 3) {
		struct flow_query q = query(FLOW_QUERY_LIST, r, 7);

		q.next = bad;
		assert_int_equal(flow_query_init(&q), 0);
		assert_true(flow_query_step(b.table[0], &q, 100));
		assert_int_equal(q.count, 0);
		assert_true(q.next == UINT32_MAX);
	}
}

static void get_and_not_found(void **state)
{
	struct flow_record r, list[20];
	struct flow_query q = query(FLOW_QUERY_LIST, list, 20);

	(void)state;
	for (unsigned n = 0; n < 20; n++)
		touch(n, 0, 1, T0);
	assert_int_equal(flow_query_init(&q), 0);
	run(&q, 1000);
	for (unsigned i = 0; i < 20; i++) {
		struct flow_query g = query(FLOW_QUERY_GET, &r, 1);

		g.flow_id = list[i].flow_id;
		assert_int_equal(flow_query_init(&g), 0);
		run(&g, 6);
		assert_int_equal(g.count, 1);
		assert_int_equal(memcmp(&r, &list[i], sizeof(r)), 0);
		g = query(FLOW_QUERY_GET, &r, 1);
		g.flow_id = list[i].flow_id ^ 1;
		assert_int_equal(flow_query_init(&g), 0);
		run(&g, 6);
		assert_int_equal(g.count, 0);
	}
}

static void what_is_asked_for(void **state)
{
	struct flow_record r[100];
	struct flow_filter *f;
	struct flow_query q;
	char error[200];

	(void)state;
	for (unsigned n = 0; n < 60; n++)
		touch(n, (uint16_t)(n % 3), 1, T0);
	q = query(FLOW_QUERY_LIST, r, 100);
	q.capture = 1;
	assert_int_equal(flow_query_init(&q), 0);
	run(&q, 7);
	assert_int_equal(q.count, 20);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(r[i].capture, 1);
	assert_int_equal(
		flow_filter_parse("src portrange 10000-10009", &f, error, sizeof(error)), 0);
	q = query(FLOW_QUERY_TOP, r, 100);
	q.filter = f;
	assert_int_equal(flow_query_init(&q), 0);
	run(&q, 7);
	flow_query_fini(&q);
	assert_int_equal(q.count, 10);
	q.app_proto = 7;
	assert_int_equal(flow_query_init(&q), 0);
	run(&q, 7);
	flow_query_fini(&q);
	assert_int_equal(q.count, 0);
	flow_filter_free(f);
}

// Flows that live throughout are seen exactly once; others at most once.
static void exactly_once_while_flows_come_and_go(void **state)
{
	struct flow_record *r = malloc(3000 * sizeof(*r));
	struct rng rng = {17};
	uint64_t now = T0;

	(void)state;
	assert_non_null(r);
	for (unsigned round = 0; round < 40; round++) {
		struct flow_query q = query(round % 2 ? FLOW_QUERY_TOP : FLOW_QUERY_LIST, r, 3000);
		unsigned seen[3000] = {0};
		bool done = false;

		q.metric = FLOW_BY_DURATION;
		// 0 to 999 stay, the others come and go
		for (unsigned n = 0; n < 1000; n++)
			touch(n, 0, 1, now);
		assert_int_equal(flow_query_init(&q), 0);
		while (!done) {
			for (unsigned k = 0; k < 30; k++)
				touch(1000 + rng_below(&rng, 2000), 1, 1, now);
			if (rng_below(&rng, 4) == 0)
				bench_end(&b, 1, now, FLOW_END_FORCED, true);
			for (unsigned k = 0; k < 5; k++)
				touch(rng_below(&rng, 1000), 0, 1, now + 1);
			done = flow_query_step(b.table[0], &q, 50);
		}
		flow_query_fini(&q);
		for (unsigned i = 0; i < q.count; i++)
			seen[number_of(&r[i])]++;
		for (unsigned n = 0; n < 1000; n++)
			assert_int_equal(seen[n], 1);
		// Those that went and came may have been met as two flows, never as the same.
		for (unsigned i = 1; i < q.count && round % 2; i++)
			assert_true(flow_metric_of(&r[i - 1], q.metric) >=
				    flow_metric_of(&r[i], q.metric));
		now += SEC;
	}
	free(r);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_best_in_order),
		cmocka_unit_test(metrics),
		T(more_asked_than_there_is),
		T(pages),
		T(get_and_not_found),
		T(what_is_asked_for),
		T(exactly_once_while_flows_come_and_go),
	};

	return cmocka_run_group_tests_name("flow queries", tests, NULL, NULL);
}
