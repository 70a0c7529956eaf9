// SPDX-License-Identifier: Apache-2.0
// Who gets a packet where a port's way to spread is known: the worker to whose queue the port gives its
// flow, for all of a flow's packets in both directions; without it, the flow's hash decides.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hash.h"
#include "pipeline.h"

enum { WORKERS = 4, ENTRIES = 64 };

static struct pipeline_spread spread;
static struct capture_spread port;
static bool is_spread;
static unsigned seen[WORKERS], layers;

static bool pass(void *ctx, const struct packet *p, uint64_t workers, bool lossless)
{
	const struct pipeline *pl = ctx;

	(void)lossless;
	for (unsigned i = 0; i < p->layer_count; i++) {
		const struct ip_layer *l = &p->layer[i];

		if (l->owner == LAYER_NOT_COUNTED)
			continue;
		layers++;
		seen[l->owner]++;
		assert_int_equal(l->owner, is_spread ? spread.worker[capture_spread_queue(&port, l)]
						     : flow_owner(l->hash, WORKERS));
		assert_true(l->owner == pl->worker || (workers >> l->owner & 1));
	}
	for (uint64_t w = workers; w != 0; w &= w - 1) { // each receiver's reference
		struct packet copy = *p, *taken = &copy;

		packet_release(&taken, 1);
	}
	return true;
}

static bool relax(void *ctx)
{
	(void)ctx;
	return false;
}

static void run(bool with_spread)
{
	static const struct decode_config decode = {.tunnel_depth = 4};
	static const struct flow_config flow = {.capacity = 1000, .key_tunnel = true};
	static struct pipeline pl;
	static struct pipeline_queue queue;
	struct counters *counters = aligned_alloc(64, sizeof(*counters));
	struct flow_capture fc = {.name = "test", .counters = counters, .lossless = true};
	struct capture_options options = {.workers = 1, .numa_node = -1};
	struct capture_source source;
	char error[CAPTURE_ERROR_MAX];

	memset(counters, 0, sizeof(*counters));
	memset(seen, 0, sizeof(seen));
	layers = 0;
	is_spread = with_spread;
	pl = (struct pipeline){.decode = &decode,
		.flow_config = &flow,
		.records = ring_new(1 << 20),
		.steer = {pass, relax, &pl},
		.worker = 1,
		.workers = WORKERS};
	pl.flows = flow_table_new(&flow, 1, pl.records);
	pl.spread[0] = with_spread ? &spread : NULL;
	assert_int_equal(
		capture_source_parse("pcap:" CAPTURES_SAMPLE, &source, error, sizeof(error)), 0);
	queue = (struct pipeline_queue){.counters = counters, .wait_fd = -1, .lossless = true};
	assert_int_equal(capture_open(&source, &options, &queue.capture, error, sizeof(error)), 0);
	assert_int_equal(flow_capture_begin(pl.flows, 0, &fc), 0);
	while (queue.state == CAPTURE_RX_RUNNING)
		pipeline_poll(&pl, &queue);
	assert_true(layers > 100); // what this worker owns alone is not passed
	for (unsigned w = 0; w < WORKERS; w++)
		assert_true(seen[w] > 0 || w == pl.worker);
	while (flow_capture_end(pl.flows, 0, queue.clock.now_ns, FLOW_END_EOF, 1000, false) > 0)
		;
	capture_close(queue.capture);
	flow_table_free(pl.flows);
	ring_free(pl.records);
	free(counters);
}

static void by_hash(void **state)
{
	(void)state;
	run(false);
}

static void by_queue(void **state)
{
	uint16_t table[ENTRIES];

	(void)state;
	for (uint16_t i = 0; i < ENTRIES; i++)
		table[i] = i % WORKERS;
	capture_spread_init(&port, 0x3f, table, ENTRIES);
	spread.spread = &port;
	for (uint8_t q = 0; q < WORKERS; q++)
		spread.worker[q] = (uint8_t)((q + 3) % WORKERS);
	run(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_hash),
		cmocka_unit_test(by_queue),
	};

	hash_seed_init();
	return cmocka_run_group_tests_name("owners", tests, NULL, NULL);
}
