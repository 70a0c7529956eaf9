// SPDX-License-Identifier: Apache-2.0
// Between workers: a ring for each pair carries decoded packets to the owners of their flows. The
// message is the descriptor itself; its bytes stay where they are, with a reference a receiver.
//
// A lossless sender waits for room. While it waits it takes in what others sent to it, so two workers
// that wait for each other both get on; taking in never steers, so this does not nest.
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>

#include "worker_internal.h"

// A worker that sleeps must be woken after something was published for it. The fence pairs with the
// one in the sleeper, between its flag and its last look at the rings.
static void wake_if_sleeping(struct worker *w)
{
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&w->sleeping, memory_order_relaxed))
		worker_wake(w);
}

void worker_wake(struct worker *w)
{
	uint64_t one = 1;
	ssize_t n = write(w->wake_fd, &one, sizeof(one));

	(void)n; // full counter: it is awake already
}

static bool room_everywhere(struct worker *from, uint64_t workers, size_t size)
{
	while (workers != 0) {
		unsigned to = (unsigned)__builtin_ctzll(workers);

		workers &= workers - 1;
		if (!ring_has_room(from->all->worker[to]->steer_in[from->index], size))
			return false;
	}
	return true;
}

bool steer_relax(void *ctx)
{
	struct worker *w = ctx;

	steer_publish(w);
	if (atomic_load_explicit(&w->all->halting, memory_order_relaxed))
		return false; // the others may have quit
	if (steer_drain(w) == 0)
		sched_yield();
	return true;
}

// Returns false when there is no room and nobody to wait for.
static bool wait_for_room(struct worker *from, uint64_t workers, size_t size)
{
	while (!room_everywhere(from, workers, size)) {
		from->steered_to |= workers;
		if (!steer_relax(from))
			return false;
	}
	return true;
}

bool steer_pass(void *ctx, const struct packet *p, uint64_t workers, bool lossless)
{
	struct worker *from = ctx;
	size_t size = packet_size(p);

	if (!room_everywhere(from, workers, size)) {
		if (!lossless || !wait_for_room(from, workers, size))
			return false;
	}
	from->steered_to |= workers;
	while (workers != 0) {
		struct worker *to = from->all->worker[__builtin_ctzll(workers)];

		workers &= workers - 1;
		memcpy(ring_reserve(to->steer_in[from->index], STEER_PACKET, size), p, size);
	}
	return true;
}

void steer_publish(struct worker *from)
{
	uint64_t workers = from->steered_to;

	from->steered_to = 0;
	while (workers != 0) {
		struct worker *to = from->all->worker[__builtin_ctzll(workers)];

		workers &= workers - 1;
		ring_publish(to->steer_in[from->index]);
		wake_if_sleeping(to);
	}
}

void steer_end(struct worker *from, const struct steer_end *end)
{
	for (unsigned i = 0; i < from->pipeline.workers; i++) {
		if (i == from->index)
			continue;
		if (!wait_for_room(from, UINT64_C(1) << i, sizeof(*end)))
			continue;
		memcpy(ring_reserve(from->all->worker[i]->steer_in[from->index], STEER_END,
			       sizeof(*end)),
			end, sizeof(*end));
		from->steered_to |= UINT64_C(1) << i;
	}
	steer_publish(from);
	worker_capture_end(from, end);
}

static unsigned drain_ring(struct worker *w, struct ring *r)
{
	struct counters *counters[PACKET_BURST];
	const struct ring_msg *m;
	struct worker_capture *c;
	unsigned n = 0;

	while (n < PACKET_BURST && (m = ring_next(r)) != NULL) {
		const void *payload = m + 1;

		if (m->type == STEER_PACKET) {
			struct packet *p = &w->taken[n++];

			memcpy(p, payload, m->size - sizeof(*m));
			c = &w->capture[p->capture];
			if (c->run == NULL) { // ended here already: accounting of late fragments
				packet_release(&p, 1);
				n--;
				continue;
			}
			counters[n - 1] = c->counters;
			if (p->now_ns > c->now_ns)
				c->now_ns = p->now_ns;
			continue;
		}
		// Flows must see what came before the end.
		if (n > 0)
			pipeline_take(&w->pipeline, w->taken, n, counters);
		n = 0;
		worker_capture_end(w, payload);
	}
	if (n > 0) {
		if (w->taken[n - 1].flags & PACKET_LOSSLESS)
			w->linger_until_tsc = rte_rdtsc() + w->linger_tsc;
		pipeline_take(&w->pipeline, w->taken, n, counters);
	}
	ring_release(r);
	return n;
}

unsigned steer_drain(struct worker *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->pipeline.workers; i++)
		if (i != w->index)
			n += drain_ring(w, w->steer_in[i]);
	return n;
}

void steer_drain_present(struct worker *w)
{
	for (unsigned i = 0; i < w->pipeline.workers; i++) {
		uint64_t used;

		if (i == w->index)
			continue;
		used = ring_used_bytes(w->steer_in[i]);
		// A call takes a burst of packets, of which the smallest are without layers.
		for (uint64_t bytes = 0; bytes < used;
			bytes += PACKET_BURST * offsetof(struct packet, layer))
			drain_ring(w, w->steer_in[i]);
	}
}

// The packets on their way to a worker that has quit.
void steer_discard(struct worker *w)
{
	const struct ring_msg *m;

	for (unsigned i = 0; i < w->pipeline.workers; i++) {
		if (i == w->index)
			continue;
		while ((m = ring_next(w->steer_in[i])) != NULL) {
			struct packet *p = &w->taken[0];

			if (m->type != STEER_PACKET)
				continue;
			memcpy(p, m + 1, m->size - sizeof(*m));
			packet_release(&p, 1);
		}
		ring_release(w->steer_in[i]);
	}
}
