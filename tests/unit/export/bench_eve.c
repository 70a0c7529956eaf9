// SPDX-License-Identifier: Apache-2.0
// What a record costs: CPU time of eve_flow for a long and a short flow, of Community ID, and of the
// recent store. `meson test --benchmark`; not a test, nothing here fails.
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "export.h"
#include "recent.h"

enum { ROUNDS = 300000, RUNS = 5 };

static struct json j;
static struct flow_record record;
static struct recent *recent;
static char id[40];

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void eve(void)
{
	json_reset(&j);
	eve_flow(&j, &record);
}

static void community(void)
{
	community_id(&record.tuple, id);
}

static void store(void)
{
	recent_add(recent, &record);
}

// Prints the least of some runs: the machine's other work only ever adds.
static void bench(const char *name, void (*run)(void))
{
	double least = 1e18;

	for (unsigned n = 0; n < RUNS; n++) {
		double start = cpu_ns();

		for (unsigned i = 0; i < ROUNDS; i++) {
			record.flow_id += 12345;
			record.last_ns += 1000;
			record.tuple.src_port++;
			run();
		}
		if (cpu_ns() - start < least)
			least = cpu_ns() - start;
	}
	printf("%-28s %6.0f ns, %zu bytes\n", name, least / ROUNDS, j.size);
}

static struct flow_record long_flow(void)
{
	struct flow_record r = {.flow_id = 0x1abcdef012345,
		.first_ns = UINT64_C(1700000000123456789),
		.last_ns = UINT64_C(1700000003987654321),
		.part_no = 1,
		.end = FLOW_END_FIN,
		.tcp_state = FLOW_TCP_CLOSED,
		.replied = 1,
		.splt_count = FLOW_SPLT_PKTS,
		.syn_ns = 1234567,
		.synack_ns = 345678,
		.first_response_ns = 2345678,
		.response_samples = 10,
		.response_min_ns = 1000,
		.response_max_ns = 123456,
		.response_sum_ns = 654321};

	r.tuple = (struct flow_tuple){.src = {192, 168, 100, 23},
		.dst = {13, 89, 179, 8},
		.src_port = 40498,
		.dst_port = 443,
		.version = 4,
		.proto = 6};
	for (unsigned d = 0; d < 2; d++)
		r.direction[d] = (struct flow_direction){.pkts = 120 + d,
			.bytes = 123456,
			.size_mean = 678.123,
			.size_m2 = 1e7,
			.size_m3 = 1e8,
			.iat_mean = 1234567.8,
			.iat_m2 = 1e14,
			.iat_m3 = 1e22,
			.iat_min_ns = 123,
			.iat_max_ns = 123456789,
			.size_min = 60,
			.size_max = 1514,
			.window_first = 64240,
			.window_min = 501,
			.window_max = 65535,
			.mss = 1460,
			.wscale = 7,
			.ttl_min = 64,
			.ttl_max = 64,
			.tcp_flags = 0x1b};
	for (unsigned i = 0; i < FLOW_SPLT_PKTS; i++)
		r.splt[i] = (struct flow_splt){i * 123456, (uint16_t)(i * 90), i & 1, 24};
	return r;
}

int main(void)
{
	export_capture_set(0, &(struct export_capture){"eth0", "eth0", "kernel"});
	json_init(&j);
	record = long_flow();
	bench("TCP flow, all fields", eve);
	record.splt_count = 4;
	bench("TCP flow, 4 packets", eve);
	memset(&record.direction[1], 0, sizeof(record.direction[1]));
	record.tuple.proto = 17;
	record.direction[0].pkts = record.splt_count = 1;
	record.syn_ns = record.synack_ns = record.first_response_ns = record.response_samples = 0;
	bench("UDP flow, 1 packet", eve);
	record.tuple.version = 6;
	bench("UDP flow, 1 packet, IPv6", eve);
	json_reset(&j);
	bench("Community ID", community);
	recent = recent_new(64 << 20);
	bench("recent store", store);
	recent_free(recent);
	json_fini(&j);
	return 0;
}
