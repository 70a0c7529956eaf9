// SPDX-License-Identifier: Apache-2.0
// Live captures under more load than the rings between workers take: what is dropped is counted, and
// a stop in the middle of it leaves nothing behind. The source is DPDK's pcap device, which repeats a
// file without end.
#include "testlib.h"

#include <stdio.h>

#include <rte_mempool.h>

#include "clock.h"

static void count_pool(struct rte_mempool *pool, void *ctx)
{
	(void)pool;
	++*(unsigned *)ctx;
}

static unsigned pools(void)
{
	unsigned n = 0;

	rte_mempool_walk(count_pool, &n);
	return n;
}

static void source_of(const struct test_file *file, unsigned number, char *text, size_t size)
{
	snprintf(text, size, "vdev:net_pcap%u,rx_pcap=/proc/self/fd/%d,infinite_rx=1,queues=1",
		number, file->fd);
}

static bool has_dropped(void *ctx)
{
	struct counters c;

	counters_of(*(int *)ctx, &c);
	check_identity(&c); // at any time
	return c.value[COUNTER_dropped_steer_ring_full] > 0 && c.value[COUNTER_processed] > 100000;
}

static void full_steer_rings_are_counted(void **state)
{
	unsigned before = pools();
	struct test_file file;
	struct counters c;
	char source[128];

	(void)state;
	file_of_flows(&file, 200, 2);
	source_of(&file, 0, source, sizeof(source));
	for (unsigned i = 0; i < 3; i++) {
		uint64_t begin = clock_wall_ns();
		struct ended e = {0};
		int index = start(source, "live");

		wait_until(has_dropped, &index, "dropped packets");
		assert_int_equal(captures_stop(all, "live", on_ended, &e), 0);
		wait_until(is_called, &e, "the stop");
		counters_of(index, &c);
		check_identity(&c);
		assert_int_equal(e.flows, file.flows);
		assert_int_equal(
			c.value[COUNTER_processed_bytes], 100 * c.value[COUNTER_processed]);
		assert_int_equal(c.protocol_pkts[PROTOCOL_UDP], c.value[COUNTER_processed]);
		assert_int_equal(c.value[COUNTER_flows_ended], file.flows);
		// Its flows are marked, those before it are not.
		assert_true(export_capture_lost_during((uint16_t)index, begin, clock_wall_ns()));
		assert_false(export_capture_lost_during((uint16_t)index, 0, begin - 1));
		stop_and_remove("live");
		assert_int_equal(pools(), before); // all buffers came back
	}
	file_close(&file);
}

// Fragments of a live capture are joined by the worker that owns the flow with ports 0, those of a file
// by its reader; when the reader waits for room it takes in the live ones.
static void fragments_of_file_and_live_at_once(void **state)
{
	unsigned before = pools();
	struct test_file file, live;
	char source[128], loop[128];
	struct counters c;
	int index;

	(void)state;
	file_of_fragments(&file, 2000);
	file_of_fragments(&live, 500);
	source_of(&live, 1, source, sizeof(source));
	start(source, "live");
	snprintf(loop, sizeof(loop), "%s,loop=10", file.source);
	index = start(loop, "file");
	wait_phase(index, CAPTURE_FINISHED);
	counters_of(index, &c);
	check_identity(&c);
	assert_int_equal(c.value[COUNTER_processed], 10 * file.pkts);
	assert_int_equal(c.value[COUNTER_ipv4_fragments], 10 * file.pkts);
	stop_and_remove("live");
	stop_and_remove("file");
	assert_int_equal(pools(), before);
	file_close(&file);
	file_close(&live);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(full_steer_rings_are_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(
			fragments_of_file_and_live_at_once, setup, teardown),
	};

	if (eal_up() < 0)
		return 1;
	return cmocka_run_group_tests_name("worker live", tests, NULL, NULL);
}
