// SPDX-License-Identifier: Apache-2.0
// When captures lost packets: a short list of times for each, which control adds to once a second while
// a capture loses any, and which the writers of flows look into. Captures without losses, nearly all,
// cost one read.
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "eve.h"
#include "export.h"

enum { SPANS_MAX = 64 };

struct span {
	uint64_t from_ns, to_ns;
};

struct losses {
	_Atomic unsigned count; // changed under the lock
	struct span span[SPANS_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct losses losses[FLOW_CAPTURES_MAX];

void eve_losses_reset(uint16_t capture)
{
	pthread_mutex_lock(&lock);
	losses[capture].count = 0;
	pthread_mutex_unlock(&lock);
}

void export_capture_lost(uint16_t capture, uint64_t from_ns, uint64_t to_ns)
{
	struct losses *l;
	unsigned n;

	if (capture >= FLOW_CAPTURES_MAX)
		return;
	l = &losses[capture];
	pthread_mutex_lock(&lock);
	n = l->count;
	if (n > 0 && l->span[n - 1].to_ns >= from_ns) { // goes on
		if (to_ns > l->span[n - 1].to_ns)
			l->span[n - 1].to_ns = to_ns;
	} else {
		if (n == SPANS_MAX) { // the two oldest become one
			l->span[0].to_ns = l->span[1].to_ns;
			memmove(&l->span[1], &l->span[2], (SPANS_MAX - 2) * sizeof(l->span[0]));
			n--;
		}
		l->span[n] = (struct span){from_ns, to_ns};
		l->count = n + 1;
	}
	pthread_mutex_unlock(&lock);
}

bool export_capture_lost_during(uint16_t capture, uint64_t first_ns, uint64_t last_ns)
{
	struct losses *l;
	bool found = false;

	if (capture >= FLOW_CAPTURES_MAX)
		return false;
	l = &losses[capture];
	if (atomic_load_explicit(&l->count, memory_order_relaxed) == 0)
		return false;
	pthread_mutex_lock(&lock);
	for (unsigned i = l->count; i > 0 && !found && l->span[i - 1].to_ns >= first_ns; i--)
		found = l->span[i - 1].from_ns <= last_ns;
	pthread_mutex_unlock(&lock);
	return found;
}
