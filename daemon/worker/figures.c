// SPDX-License-Identifier: Apache-2.0
// Captures in figures: status, counters, losses, rates. Control thread only; workers' counters are read
// while they are written.
#include "worker_internal.h"

#include <string.h>

#include <rte_cycles.h>

#include "clock.h"

void figures_refresh(struct capture_run *run)
{
	struct capture_status *s = &run->status;

	if (run->capture == NULL)
		return;
	capture_progress(run->capture, &s->bytes_read, &s->bytes_total);
	for (unsigned q = 0; q < s->queues; q++) {
		uint64_t first = __atomic_load_n(&run->queue[q]->first_ns, __ATOMIC_RELAXED);
		uint64_t last = __atomic_load_n(&run->queue[q]->last_ns, __ATOMIC_RELAXED);

		if (first != 0 && (s->first_packet_ns == 0 || first < s->first_packet_ns))
			s->first_packet_ns = first;
		if (last > s->last_packet_ns)
			s->last_packet_ns = last;
	}
}

unsigned captures_list(struct workers *all, struct capture_status *ret, unsigned max)
{
	unsigned n = 0;

	for (; n < all->run_count && n < max; n++) {
		struct capture_run *run = all->run[all->order[n]];

		figures_refresh(run);
		ret[n] = run->status;
	}
	return n;
}

void captures_counters(struct workers *all, int index, int worker, struct counters *sum)
{
	for (int i = index < 0 ? 0 : index; i < (index < 0 ? CAPTURES_MAX : index + 1); i++) {
		const struct capture_run *run = all->run[i];

		if (run == NULL)
			continue;
		for (unsigned w = 0; w < all->config.count; w++)
			if (worker < 0 || (unsigned)worker == w)
				counters_read(run->counters[w], sum);
	}
	if (index < 0 && worker < 0)
		counters_read(&all->retired, sum);
}

void captures_losses(struct workers *all, int index, struct capture_losses *ret)
{
	*ret = index < 0 ? all->retired_losses : (struct capture_losses){0};
	for (int i = index < 0 ? 0 : index; i < (index < 0 ? CAPTURES_MAX : index + 1); i++) {
		struct capture_run *run = all->run[i];

		if (run == NULL)
			continue;
		if (run->capture != NULL)
			capture_losses(run->capture, &run->losses);
		ret->missed += run->losses.missed;
		ret->errors += run->losses.errors;
		ret->no_mbuf += run->losses.no_mbuf;
		ret->kernel += run->losses.kernel;
	}
}

unsigned captures_queue_counters(
	struct workers *all, int index, struct capture_queue_counters *ret, unsigned max)
{
	const struct capture_run *run = all->run[index];
	unsigned n = 0;

	for (; run != NULL && n < run->status.queues && n < max; n++) {
		struct counters c;

		memset(&c, 0, sizeof(c));
		counters_read(run->counters[run->queue_worker[n]], &c);
		ret[n] = (struct capture_queue_counters){
			.worker = run->queue_worker[n],
			.received = c.value[COUNTER_received],
			.processed = c.value[COUNTER_processed],
			.filtered = c.value[COUNTER_filtered],
			.dropped_ring_full = c.value[COUNTER_dropped_ring_full],
			.dropped_steer_ring_full = c.value[COUNTER_dropped_steer_ring_full],
			.dropped_no_mbuf = c.value[COUNTER_dropped_no_mbuf],
			.dropped_shutdown = c.value[COUNTER_dropped_shutdown],
		};
	}
	return n;
}

void figures_note_losses(struct workers *all, struct capture_run *run)
{
	uint64_t now = clock_wall_ns(), before = run->lost_pkts;
	struct capture_losses lost;
	struct counters c;

	if (!run->status.live)
		return;
	memset(&c, 0, sizeof(c));
	captures_counters(all, run->status.index, -1, &c);
	captures_losses(all, run->status.index, &lost);
	run->lost_pkts = lost.missed + lost.errors + lost.no_mbuf + lost.kernel +
	                 c.value[COUNTER_dropped_no_mbuf] +
	                 c.value[COUNTER_dropped_steer_ring_full] +
	                 c.value[COUNTER_dropped_ring_full];
	if (run->lost_pkts != before)
		export_capture_lost(run->status.index, run->lost_ns, now);
	run->lost_ns = now;
}

void workers_tick(struct workers *all)
{
	uint64_t now = clock_monotonic_ns(), span = now - all->tick_ns;
	double seconds = (double)span / (double)NSEC_PER_S;

	if (span < NSEC_PER_S / 10)
		return;
	all->tick_ns = now;
	for (unsigned w = 0; w < all->config.count; w++) {
		uint64_t busy = all->worker[w]->busy_tsc;
		double load = (double)(busy - all->tick_busy[w]) /
		              ((double)rte_get_tsc_hz() * seconds);

		all->load[w] = load > 1 ? 1 : load;
		all->tick_busy[w] = busy;
	}
	for (unsigned i = 0; i < CAPTURES_MAX; i++) {
		struct capture_run *run = all->run[i];
		struct counters c;

		if (run == NULL || run->capture == NULL)
			continue;
		memset(&c, 0, sizeof(c));
		captures_counters(all, (int)i, -1, &c);
		run->status.packets_per_second = (double)(c.value[COUNTER_received] -
							  run->tick_pkts) /
		                                 seconds;
		run->status.bits_per_second = (double)(c.value[COUNTER_received_bytes] -
						       run->tick_bytes) *
		                              8 / seconds;
		run->tick_pkts = c.value[COUNTER_received];
		run->tick_bytes = c.value[COUNTER_received_bytes];
		figures_note_losses(all, run);
	}
	captures_settle(all);
}
