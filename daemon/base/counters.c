// SPDX-License-Identifier: Apache-2.0
// Reading counters while their worker writes them: a sequence lock, reader side.
#include "counters.h"

#include <sched.h>
#include <string.h>

static void counters_copy(const struct counters *from, struct counters *to)
{
	const uint64_t *src = from->value;
	uint64_t *dst = to->value;
	size_t n = (sizeof(*from) - offsetof(struct counters, value)) / sizeof(uint64_t);

	for (size_t i = 0; i < n; i++)
		dst[i] = __atomic_load_n(&src[i], __ATOMIC_RELAXED);
}

void counters_read(const struct counters *from, struct counters *sum)
{
	struct counters copy;
	uint32_t before, after;

	for (;;) {
		before = atomic_load_explicit(&from->sequence, memory_order_acquire);
		if ((before & 1) == 0) {
			counters_copy(from, &copy);
			atomic_thread_fence(memory_order_acquire);
			after = atomic_load_explicit(&from->sequence, memory_order_relaxed);
			if (before == after)
				break;
		}
		sched_yield();
	}
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		sum->value[i] += copy.value[i];
	for (unsigned i = 0; i < PROTOCOL_COUNT; i++) {
		sum->protocol_pkts[i] += copy.protocol_pkts[i];
		sum->protocol_bytes[i] += copy.protocol_bytes[i];
	}
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		sum->event[i] += copy.event[i];
}
