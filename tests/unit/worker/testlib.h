// SPDX-License-Identifier: Apache-2.0
// What the worker tests share: real workers on EAL's lcores, a real tail thread, small capture files in
// memory, and a loop that waits for the workers' events as the daemon's control thread does.
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include <cmocka.h>

#include "export.h"
#include "worker.h"

enum { TEST_WORKERS = 3, TEST_STEER_BYTES = 64 * 1024 };

extern struct workers *all;
extern struct export *out;

// EAL with a main lcore and three workers on two CPUs. To be called once, first.
int eal_up(void);

// Workers and tail, and taking them down again (down: after workers_halt).
void up(void);
void down(void);
int setup(void **state); // up, as cmocka has it
int teardown(void **state);

// --- Files: an open memory file each, closed by file_close ---

struct test_file {
	int fd;
	char source[64]; // pcap:...
	uint64_t pkts, bytes, flows;
};

// UDP, pkts packets of each flow, 10 us apart, flows in turn.
void file_of_flows(struct test_file *, unsigned flows, unsigned pkts);
// UDP datagrams in two fragments each, the fragments next to each other.
void file_of_fragments(struct test_file *, unsigned datagrams);
void file_close(struct test_file *);

// --- Captures ---

int start(const char *source, const char *name);
// Handles what the workers say until cond(ctx) is true; fails after a minute.
void wait_until(bool (*cond)(void *ctx), void *ctx, const char *what);
void wait_phase(int index, enum capture_phase);
enum capture_phase phase_of(int index); // -1: not listed
void stop_and_remove(const char *name); // a running one is stopped first
void counters_of(int index, struct counters *ret);
// received = processed + filtered + dropped, by the capture's counters.
void check_identity(const struct counters *);

// The done of stop and flush: counts calls and what ended.
struct ended {
	unsigned calls;
	uint64_t flows;
};
void on_ended(void *ctx, uint64_t ended);
bool is_called(void *ended);
