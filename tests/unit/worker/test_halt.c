// SPDX-License-Identifier: Apache-2.0
// The end of the workers while something is under way: nobody waits for somebody who has gone, every
// asker is told, and no capture can be started any more.
#include "testlib.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_mempool.h>

static void count_pool(struct rte_mempool *pool, void *ctx)
{
	(void)pool;
	++*(unsigned *)ctx;
}

static bool is_read(void *ctx)
{
	struct counters c;

	counters_of(*(int *)ctx, &c);
	return c.value[COUNTER_steered] > 10000;
}

static void on_answer(void *ctx)
{
	++*(unsigned *)ctx;
}

// Halts with files and a live capture at full speed, questions and flushes asked and a stop begun.
static void halt_in_the_middle(void **state)
{
	struct flow_record *results = calloc(TEST_WORKERS * 10, sizeof(*results));
	unsigned before = 0, after = 0;
	struct test_file file;
	char source[128];
	int index;

	(void)state;
	assert_non_null(results);
	file_of_flows(&file, 2000, 5);
	rte_mempool_walk(count_pool, &before);
	for (unsigned i = 0; i < 10; i++) {
		struct flow_query query[TEST_WORKERS];
		struct ended flushed = {0}, stopped = {0};
		unsigned answers = 0;
		struct counters c;

		up();
		snprintf(source, sizeof(source), "%s,loop=1000000", file.source);
		index = start(source, "one");
		start(source, "two");
		if (i % 2 == 0) {
			snprintf(source, sizeof(source),
				"vdev:net_pcap2,rx_pcap=/proc/self/fd/%d,infinite_rx=1", file.fd);
			start(source, "live");
		}
		wait_until(is_read, &index, "steered packets");
		for (unsigned w = 0; w < TEST_WORKERS; w++) {
			query[w] = (struct flow_query){.kind = FLOW_QUERY_TOP,
				.capture = -1,
				.app_proto = -1,
				.limit = 10,
				.results = results + 10 * w};
			assert_int_equal(flow_query_init(&query[w]), 0);
		}
		assert_int_equal(workers_query(all, query, on_answer, &answers), 0);
		assert_int_equal(captures_flush(all, -1, on_ended, &flushed), 0);
		assert_int_equal(captures_flush(all, index, on_ended, &flushed), 0);
		if (i % 3 == 0)
			assert_int_equal(captures_stop(all, "two", on_ended, &stopped), 0);
		workers_halt(all);
		assert_int_equal(answers, 1);
		assert_int_equal(flushed.calls, 2);
		assert_int_equal(stopped.calls, i % 3 == 0);
		counters_of(-1, &c);
		check_identity(&c);
		for (unsigned w = 0; w < TEST_WORKERS; w++)
			flow_query_fini(&query[w]);
		down();
	}
	rte_mempool_walk(count_pool, &after);
	assert_int_equal(after, before);
	file_close(&file);
	free(results);
}

static bool have_all_ended(void *ctx)
{
	(void)ctx;
	return captures_all_ended(all);
}

static void no_start_after_stop_all(void **state)
{
	struct test_file file;
	char source[80], error[512];

	(void)state;
	up();
	file_of_flows(&file, 20, 5);
	snprintf(source, sizeof(source), "%s,loop=1000000", file.source);
	start(source, "one");
	start(file.source, "two");
	captures_stop_all(all);
	assert_int_equal(
		captures_start(all, source, "three", NULL, NULL, error, sizeof(error)), -ESHUTDOWN);
	wait_until(have_all_ended, NULL, "the end of all");
	assert_int_equal(
		captures_start(all, source, "three", NULL, NULL, error, sizeof(error)), -ESHUTDOWN);
	down();
	file_close(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(halt_in_the_middle),
		cmocka_unit_test(no_start_after_stop_all),
	};

	if (eal_up() < 0)
		return 1;
	return cmocka_run_group_tests_name("worker halt", tests, NULL, NULL);
}
