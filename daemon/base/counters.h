// SPDX-License-Identifier: Apache-2.0
// Counters: a block for each worker and capture, written by that worker alone, summed by control.
// The worker changes a block between counters_begin() and counters_end(), once a burst; readers
// take a consistent copy with counters_read(), so that identities between cells hold in it.
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "events.h"
#include "protocols.h"

enum counter_id {
#define COUNTER(id, section, unit, kind, help) COUNTER_##id,
#include "counters.def"
#undef COUNTER
	COUNTER_COUNT
};

enum counter_kind { COUNTER_KIND_SUM, COUNTER_KIND_GAUGE };

struct counter_info {
	const char *name;
	const char *section;
	const char *unit;
	const char *help;
	enum counter_kind kind;
};

extern const struct counter_info counter_table[COUNTER_COUNT];

// One writer (the worker), any reader (by counters_read).
struct counters {
	_Atomic uint32_t sequence; // odd while the worker writes
	uint32_t unused;
	uint64_t value[COUNTER_COUNT];
	uint64_t protocol_pkts[PROTOCOL_COUNT];
	uint64_t protocol_bytes[PROTOCOL_COUNT];
	uint64_t event[EVENT_COUNT];
} __attribute__((aligned(64)));

static inline void counter_add(struct counters *c, enum counter_id id, uint64_t n)
{
	__atomic_store_n(&c->value[id], c->value[id] + n, __ATOMIC_RELAXED);
}

static inline void counter_set(struct counters *c, enum counter_id id, uint64_t n)
{
	__atomic_store_n(&c->value[id], n, __ATOMIC_RELAXED);
}

static inline void counter_event(struct counters *c, enum event_id id)
{
	__atomic_store_n(&c->event[id], c->event[id] + 1, __ATOMIC_RELAXED);
}

static inline void counters_begin(struct counters *c)
{
	uint32_t s = atomic_load_explicit(&c->sequence, memory_order_relaxed);

	atomic_store_explicit(&c->sequence, s + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
}

static inline void counters_end(struct counters *c)
{
	uint32_t s = atomic_load_explicit(&c->sequence, memory_order_relaxed);

	atomic_store_explicit(&c->sequence, s + 1, memory_order_release);
}

// Adds a consistent copy of from to sum. Thread: any.
void counters_read(const struct counters *from, struct counters *sum);
