// SPDX-License-Identifier: Apache-2.0
// Workers, files and waiting for the worker tests.
#include "testlib.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rte_eal.h>

#include "clock.h"
#include "hash.h"
#include "log.h"

enum { WAIT_S = 60, FRAME_HEAD = 42, FRAME_BYTES = 100, FRAGMENT_BYTES = 34 + 64 };

struct workers *all;
struct export *out;

int eal_up(void)
{
	char *argv[] = {(char *)(uintptr_t) "test", (char *)(uintptr_t) "--no-huge",
		(char *)(uintptr_t) "--no-shconf", (char *)(uintptr_t) "-m",
		(char *)(uintptr_t) "128", (char *)(uintptr_t) "--no-pci",
		(char *)(uintptr_t) "--no-telemetry", (char *)(uintptr_t) "--log-level=*:1",
		(char *)(uintptr_t) "--lcores", (char *)(uintptr_t) "0@(0-1),1@0,2@1,3@0", NULL};

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		argv[9] = (char *)(uintptr_t) "0@0,1@0,2@0,3@0";
	log_set_level(LOG_LEVEL_ERROR);
	hash_seed_init();
	return rte_eal_init(10, argv);
}

void up(void)
{
	const struct workers_config config = {
		.count = TEST_WORKERS,
		.flow = {.capacity = 20000,
			.key_tunnel = true,
			.tcp_new_ns = 60 * NSEC_PER_S,
			.tcp_established_ns = 600 * NSEC_PER_S,
			.tcp_closed_ns = 10 * NSEC_PER_S,
			.udp_ns = 60 * NSEC_PER_S,
			.icmp_ns = 30 * NSEC_PER_S,
			.other_ns = 60 * NSEC_PER_S,
			.active_ns = 300 * NSEC_PER_S},
		.decode = {.tunnel_depth = 4},
		.defrag = {.trackers = 4096,
			.fragments = 8192,
			.bytes = 4 << 20,
			.timeout_ns = 30 * NSEC_PER_S},
		.record_ring_bytes = 256 * 1024,
		.steer_ring_bytes = TEST_STEER_BYTES,
	};
	struct export_config export = {.recent_bytes = 8 << 20, .workers = TEST_WORKERS};
	char error[512];

	assert_int_equal(workers_start(&config, &all, error, sizeof(error)), 0);
	export.records = workers_records(all);
	assert_int_equal(export_start(&export, &out, error, sizeof(error)), 0);
	workers_set_export(all, out);
}

void down(void)
{
	char error[512];

	workers_halt(all);
	assert_int_equal(export_stop(out, error, sizeof(error)), 0);
	workers_stop(all);
	all = NULL;
	out = NULL;
}

int setup(void **state)
{
	(void)state;
	up();
	return 0;
}

int teardown(void **state)
{
	(void)state;
	down();
	return 0;
}

// --- Files ---

struct builder {
	FILE *f;
	struct test_file *file;
	uint64_t ns;
};

static void begin(struct builder *b, struct test_file *file)
{
	static const uint32_t head[6] = {0xa1b23c4d, 4 << 16 | 2, 0, 0, 262144, 1};

	*file = (struct test_file){.fd = memfd_create("worker test", 0)};
	assert_true(file->fd >= 0);
	snprintf(file->source, sizeof(file->source), "pcap:/proc/self/fd/%d", file->fd);
	b->f = fdopen(dup(file->fd), "w");
	assert_non_null(b->f);
	b->file = file;
	b->ns = 1700000000 * NSEC_PER_S;
	assert_int_equal(fwrite(head, sizeof(head), 1, b->f), 1);
}

static void add(struct builder *b, const uint8_t *frame, uint32_t size)
{
	uint32_t head[4] = {
		(uint32_t)(b->ns / NSEC_PER_S), (uint32_t)(b->ns % NSEC_PER_S), size, size};

	b->ns += 10000;
	b->file->pkts++;
	b->file->bytes += size;
	assert_int_equal(fwrite(head, sizeof(head), 1, b->f), 1);
	assert_int_equal(fwrite(frame, size, 1, b->f), 1);
}

static void end(struct builder *b)
{
	assert_int_equal(fclose(b->f), 0);
}

static void put16(uint8_t *to, unsigned v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

// Ethernet and IPv4 of a frame, the payload behind it being ip_payload bytes of UDP.
static void ip_head(
	uint8_t *frame, unsigned host, unsigned id, unsigned fragment, unsigned ip_payload)
{
	uint8_t *ip = frame + 14;

	memset(frame, 0, 34);
	put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, 20 + ip_payload);
	put16(ip + 4, id);
	put16(ip + 6, fragment);
	ip[8] = 64;
	ip[9] = 17;
	ip[12] = 10;
	put16(ip + 14, host);
	ip[16] = 192;
	ip[17] = 168;
	put16(ip + 18, host >> 16);
}

static void udp_head(uint8_t *udp, unsigned port, unsigned length)
{
	put16(udp, port);
	put16(udp + 2, 53);
	put16(udp + 4, length);
	put16(udp + 6, 0);
}

void file_of_flows(struct test_file *file, unsigned flows, unsigned pkts)
{
	uint8_t frame[FRAME_BYTES] = {0};
	struct builder b;

	begin(&b, file);
	file->flows = flows;
	for (unsigned p = 0; p < pkts; p++)
		for (unsigned i = 0; i < flows; i++) {
			ip_head(frame, i & 0xffff, p & 0xffff, 0, FRAME_BYTES - 34);
			udp_head(frame + 34, 1024 + i / 8, FRAME_BYTES - 34);
			add(&b, frame, sizeof(frame));
		}
	end(&b);
}

void file_of_fragments(struct test_file *file, unsigned datagrams)
{
	uint8_t frame[FRAGMENT_BYTES] = {0};
	struct builder b;

	begin(&b, file);
	file->flows = datagrams;
	for (unsigned i = 0; i < datagrams; i++) {
		ip_head(frame, i & 0xffff, i & 0xffff, 0x2000, 64);
		udp_head(frame + 34, 2000, 128);
		add(&b, frame, sizeof(frame));
		ip_head(frame, i & 0xffff, i & 0xffff, 8, 64);
		memset(frame + 34, 0, 64);
		add(&b, frame, sizeof(frame));
	}
	end(&b);
}

void file_close(struct test_file *file)
{
	close(file->fd);
}

// --- Captures ---

int start(const char *source, const char *name)
{
	char error[512] = "";
	int index = captures_start(all, source, name, NULL, NULL, error, sizeof(error));

	if (index < 0)
		fail_msg("%s: %s", source, error);
	return index;
}

void wait_until(bool (*cond)(void *ctx), void *ctx, const char *what)
{
	uint64_t until = clock_monotonic_ns() + WAIT_S * NSEC_PER_S;

	while (!cond(ctx)) {
		struct pollfd p = {.fd = workers_event_fd(all), .events = POLLIN};

		if (clock_monotonic_ns() > until)
			fail_msg("waited in vain for %s", what);
		poll(&p, 1, captures_settling(all) ? 1 : 10);
		workers_dispatch(all);
	}
}

enum capture_phase phase_of(int index)
{
	static struct capture_status list[CAPTURES_MAX];
	unsigned n = captures_list(all, list, CAPTURES_MAX);

	for (unsigned i = 0; i < n; i++)
		if (list[i].index == index)
			return list[i].phase;
	return (enum capture_phase) - 1;
}

struct phase_wait {
	int index;
	enum capture_phase phase;
};

static bool has_phase(void *ctx)
{
	const struct phase_wait *w = ctx;
	enum capture_phase now = phase_of(w->index);

	if (now != w->phase && now >= CAPTURE_FINISHED)
		fail_msg("%s, not %s", capture_phase_name(now), capture_phase_name(w->phase));
	return now == w->phase;
}

void wait_phase(int index, enum capture_phase phase)
{
	struct phase_wait w = {index, phase};

	wait_until(has_phase, &w, capture_phase_name(phase));
}

void stop_and_remove(const char *name)
{
	int index = captures_find(all, name);
	struct ended e = {0};

	assert_true(index >= 0);
	if (phase_of(index) < CAPTURE_FINISHED) {
		assert_int_equal(captures_stop(all, name, on_ended, &e), 0);
		wait_until(is_called, &e, "the capture's stop");
		e.calls = 0;
	}
	assert_int_equal(captures_stop(all, name, on_ended, &e), 0);
	assert_int_equal(e.calls, 1);
	assert_int_equal(captures_find(all, name), -2);
}

void counters_of(int index, struct counters *ret)
{
	memset(ret, 0, sizeof(*ret));
	captures_counters(all, index, -1, ret);
}

void check_identity(const struct counters *c)
{
	const uint64_t *v = c->value;

	assert_int_equal(v[COUNTER_received],
		v[COUNTER_processed] + v[COUNTER_filtered] + v[COUNTER_dropped_no_mbuf] +
			v[COUNTER_dropped_steer_ring_full] + v[COUNTER_dropped_ring_full] +
			v[COUNTER_dropped_shutdown]);
}

void on_ended(void *ctx, uint64_t ended)
{
	struct ended *e = ctx;

	e->calls++;
	e->flows += ended;
}

bool is_called(void *ctx)
{
	return ((const struct ended *)ctx)->calls > 0;
}
