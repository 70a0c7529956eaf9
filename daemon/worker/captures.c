// SPDX-License-Identifier: Apache-2.0
// Captures as users know them: from `capture start` to `capture stop`. Control thread only.
//
// Life: the source is opened; every worker begins the capture; then its queues are given to workers
// (starting -> running). A queue's end, by itself or by stop, travels behind its packets to every
// worker; each ends its flows and says so; when all have, and the tail has written the last record,
// the source is closed and the capture is finished, failed or stopped. It stays listed, with its
// counters, until stop takes it off the list.
#include "worker_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "export.h"
#include "log.h"
#include "numa.h"

const char *capture_phase_name(enum capture_phase phase)
{
	static const char *const names[] = {
		"starting", "running", "paused", "finished", "failed", "stopped"};

	return names[phase];
}

void workers_set_export(struct workers *all, struct export *export)
{
	all->export = export;
}

bool capture_run_is_over(const struct capture_run *run)
{
	return run->status.phase >= CAPTURE_FINISHED;
}

static void run_free(struct capture_run *run)
{
	if (run == NULL)
		return;
	capture_close(run->capture);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		numa_free(run->counters[i], sizeof(*run->counters[i]));
	for (unsigned i = 0; i < CAPTURE_QUEUES_MAX; i++)
		numa_free(run->queue[i], sizeof(*run->queue[i]));
	free(run);
}

void captures_free(struct workers *all)
{
	for (unsigned i = 0; i < CAPTURES_MAX; i++) {
		run_free(all->run[i]);
		all->run[i] = NULL;
	}
}

int captures_find(struct workers *all, const char *name)
{
	for (unsigned i = 0; i < CAPTURES_MAX; i++)
		if (all->run[i] != NULL && strcmp(all->run[i]->status.name, name) == 0)
			return (int)i;
	return -ENOENT;
}

// --- Start ---

// A name from the source: the interface, or the file's name without its folders.
static void name_from_source(struct workers *all, const struct capture_source *s, char name[64])
{
	const char *slash = strrchr(s->target, '/');
	const char *from = s->kind == CAPTURE_PCAP && slash != NULL ? slash + 1 : s->target;
	char base[56];
	unsigned n = 0;

	for (; from[n] != '\0' && n < sizeof(base) - 1; n++) {
		if (s->kind != CAPTURE_PCAP && from[n] == ',')
			break;
		base[n] = (unsigned char)from[n] > ' ' && from[n] != 0x7f ? from[n] : '_';
	}
	// not in the middle of a character
	if (from[n] != '\0')
		while (n > 0 && ((unsigned char)from[n] & 0xc0) == 0x80)
			n--;
	base[n] = '\0';
	snprintf(name, 64, "%s", n > 0 ? base : "capture");
	for (unsigned i = 2; captures_find(all, name) >= 0; i++)
		snprintf(name, 64, "%s-%u", base, i);
}

static int check_name(const char *name, char *error, size_t size)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f) {
			snprintf(error, size,
				"name '%s': blanks and control characters are not accepted", name);
			return -EINVAL;
		}
	if (n >= 64) {
		snprintf(error, size, "name: %zu bytes, at most 63 are accepted", n);
		return -EINVAL;
	}
	return 0;
}

static int free_index(struct workers *all, char *error, size_t size)
{
	for (unsigned i = 0; i < CAPTURES_MAX; i++)
		if (all->run[i] == NULL)
			return (int)i;
	snprintf(error, size,
		"%u captures are listed, the most there can be: take ended ones off with "
		"'capture stop'",
		(unsigned)CAPTURES_MAX);
	return -ENOSPC;
}

static unsigned queues_of(const struct worker *w, const struct workers *all)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CAPTURES_MAX; i++) {
		const struct capture_run *run = all->run[i];

		for (unsigned q = 0;
			run != NULL && !capture_run_is_over(run) && q < run->status.queues; q++)
			n += run->queue_worker[q] == w->index;
	}
	return n;
}

// Gives each queue to the worker with the fewest, of these to one on the port's own NUMA node; a worker
// gets at most one queue of a capture.
static void place_queues(struct workers *all, struct capture_run *run)
{
	int node = capture_numa_node(run->capture);
	uint64_t taken = 0;

	for (unsigned q = 0; q < run->status.queues; q++) {
		unsigned best = UINT32_MAX, best_cost = UINT32_MAX;

		for (unsigned w = 0; w < all->config.count; w++) {
			bool is_far = node >= 0 && all->worker[w]->node != node;
			unsigned cost = 2 * queues_of(all->worker[w], all) + is_far;

			if ((taken & (UINT64_C(1) << w)) == 0 && cost < best_cost) {
				best = w;
				best_cost = cost;
			}
		}
		taken |= UINT64_C(1) << best;
		run->queue_worker[q] = best;
	}
}

// Packets come to the workers that own their flows where each worker has a queue and the port's way to
// spread them is known. With fewer queues than workers the flows' hashes give work to all.
static void place_flows(const struct workers *all, struct capture_run *run)
{
	const struct capture_spread *spread = capture_spread(run->capture);

	run->has_spread = spread != NULL && run->status.queues == all->config.count;
	run->spread.spread = spread;
	for (unsigned q = 0; run->has_spread && q < run->status.queues; q++)
		run->spread.worker[q] = (uint8_t)run->queue_worker[q];
}

static int run_allocate(struct workers *all, struct capture_run *run)
{
	for (unsigned w = 0; w < all->config.count; w++) {
		run->counters[w] = numa_alloc(sizeof(*run->counters[w]), all->worker[w]->node);
		if (run->counters[w] == NULL)
			return -ENOMEM;
	}
	for (unsigned q = 0; q < run->status.queues; q++) {
		struct pipeline_queue *queue = numa_alloc(
			sizeof(*queue), all->worker[run->queue_worker[q]]->node);

		if (queue == NULL)
			return -ENOMEM;
		run->queue[q] = queue;
		queue->capture = run->capture;
		queue->counters = run->counters[run->queue_worker[q]];
		queue->queue = q;
		queue->wait_fd = capture_wait_fd(run->capture, q);
		queue->index = run->status.index;
		queue->live = run->status.live;
		queue->lossless = !run->status.live;
		queue->state = CAPTURE_RX_RUNNING;
	}
	return 0;
}

// dirfd: of the folder that streams are saved in, -1: they are not. Takes it, unless this fails.
static int tell_export(
	const struct workers *all, struct capture_run *run, int dirfd, const char *follow_to)
{
	struct export_capture e;

	memset(&e, 0, sizeof(e));
	snprintf(e.name, sizeof(e.name), "%s", run->status.name);
	snprintf(e.interface, sizeof(e.interface), "%s", capture_interface(run->capture));
	snprintf(e.time_source, sizeof(e.time_source), "%s", capture_time_source(run->capture));
	export_capture_set(run->status.index, &e);
	export_capture_reset(all->export, run->status.index);
	run->saves = dirfd >= 0;
	return run->saves ? export_follow(all->export, run->status.index, dirfd, follow_to) : 0;
}

static int run_open(struct workers *all, struct capture_run *run,
	const struct capture_source *source, const char *filter, char *error, size_t size)
{
	struct capture_options options = {
		.filter = filter != NULL && filter[0] != '\0' ? filter : NULL,
		.workers = all->config.count,
		.numa_node = -1,
		.index = run->status.index,
	};
	int r = capture_open(source, &options, &run->capture, error, size);

	if (r < 0)
		return r;
	run->status.queues = capture_queues(run->capture);
	run->status.live = capture_is_live(run->capture);
	place_queues(all, run);
	place_flows(all, run);
	r = run_allocate(all, run);
	if (r < 0)
		snprintf(error, size, "no memory for the capture's counters");
	return r;
}

int captures_start(struct workers *all, const char *source_text, const char *name,
	const char *filter, const char *follow_to, char *error, size_t size)
{
	struct capture_source *source = calloc(1, sizeof(*source));
	struct capture_run *run = calloc(1, sizeof(*run));
	int index, dirfd = -1, r = -ENOMEM;

	if (source == NULL || run == NULL) {
		snprintf(error, size, "no memory for a capture");
		goto fail;
	}
	if (all->is_closed) {
		snprintf(error, size, "the daemon is stopping: no capture is started any more");
		r = -ESHUTDOWN;
		goto fail;
	}
	r = capture_source_parse(source_text, source, error, size);
	if (r < 0)
		goto fail;
	if (name != NULL && name[0] != '\0') {
		r = check_name(name, error, size);
		if (r < 0)
			goto fail;
		snprintf(run->status.name, sizeof(run->status.name), "%s", name);
	} else {
		name_from_source(all, source, run->status.name);
	}
	if (captures_find(all, run->status.name) >= 0) {
		snprintf(error, size,
			"a capture named '%s' is listed already: choose another name, "
			"or take it off with 'capture stop'",
			run->status.name);
		r = -EEXIST;
		goto fail;
	}
	r = index = free_index(all, error, size);
	if (r < 0)
		goto fail;
	run->status.index = (uint16_t)index;
	snprintf(run->status.source, sizeof(run->status.source), "%s", source_text);
	snprintf(
		run->status.filter, sizeof(run->status.filter), "%s", filter != NULL ? filter : "");
	run->status.phase = CAPTURE_STARTING;
	run->status.started_ns = run->lost_ns = clock_wall_ns();
	if (follow_to != NULL && follow_to[0] != '\0') {
		r = -EINVAL;
		if (all->config.stream.bytes == 0) {
			snprintf(error, size,
				"streams cannot be saved: TCP is not put together, stream.bytes is "
				"0 in "
				"the configuration");
			goto fail;
		}
		r = dirfd = export_follow_open(follow_to, error, size);
		if (r < 0)
			goto fail;
	}
	r = run_open(all, run, source, filter, error, size);
	if (r < 0)
		goto fail;
	r = tell_export(all, run, dirfd, follow_to);
	if (r < 0) {
		snprintf(error, size, "no memory to save streams");
		goto fail;
	}
	free(source);
	all->run[index] = run;
	all->order[all->run_count++] = (uint16_t)index;
	run->begun_missing = run->end_missing = all->config.count;
	for (unsigned w = 0; w < all->config.count; w++)
		worker_command(
			all->worker[w], COMMAND_CAPTURE_BEGIN, &(struct command){.run = run});
	log_info("capture %s: %s, %u queue%s", run->status.name, source_text, run->status.queues,
		run->status.queues == 1 ? "" : "s");
	return index;
fail:
	if (dirfd >= 0)
		close(dirfd);
	free(source);
	run_free(run);
	return r;
}

// --- Progress of a run ---

static void queues_command(struct workers *all, struct capture_run *run, enum command_type type)
{
	for (unsigned q = 0; q < run->status.queues; q++)
		worker_command(all->worker[run->queue_worker[q]], type,
			&(struct command){.run = run, .queue = run->queue[q]});
}

static void run_begun(struct workers *all, struct capture_run *run)
{
	if (--run->begun_missing > 0)
		return;
	run->status.phase = CAPTURE_RUNNING;
	queues_command(all, run, COMMAND_QUEUE_START);
	if (run->stop_wanted) {
		run->stopping = true;
		queues_command(all, run, COMMAND_QUEUE_STOP);
	}
}

static void run_state(struct capture_run *run, enum capture_state state)
{
	if (capture_run_is_over(run) || run->capture == NULL)
		return;
	snprintf(run->status.reason, sizeof(run->status.reason), "%s",
		state == CAPTURE_RX_RUNNING ? "" : capture_reason(run->capture));
	switch (state) {
	case CAPTURE_RX_RUNNING:
		run->status.phase = CAPTURE_RUNNING;
		break;
	case CAPTURE_RX_PAUSED:
		if (run->status.phase != CAPTURE_PAUSED) // each queue tells
			log_warning("capture %s: paused: %s", run->status.name, run->status.reason);
		run->status.phase = CAPTURE_PAUSED;
		break;
	case CAPTURE_RX_END:
	case CAPTURE_RX_FAILED:
		if (state == CAPTURE_RX_FAILED) {
			run->failed = true;
			log_error("capture %s: %s", run->status.name, run->status.reason);
		}
		// One failed queue ends the capture.
		break;
	}
}

void captures_reply(struct workers *all, enum reply_type type, const struct reply *r)
{
	struct capture_run *run = r->run;

	switch (type) {
	case REPLY_CAPTURE_BEGUN:
		run_begun(all, run);
		break;
	case REPLY_STATE:
		run_state(run, r->state);
		if (r->state == CAPTURE_RX_FAILED && run->status.queues > 1 && !run->stopping) {
			run->stopping = true;
			queues_command(all, run, COMMAND_QUEUE_STOP);
		}
		break;
	case REPLY_CAPTURE_ENDED:
		run->ended += r->ended;
		run->end_missing--;
		break;
	case REPLY_QUERY:
	case REPLY_FLUSHED:
		break;
	}
}

static void run_remove(struct workers *all, struct capture_run *run)
{
	unsigned index = run->status.index, at = 0;

	captures_counters(all, (int)index, -1, &all->retired);
	all->retired_losses.missed += run->losses.missed;
	all->retired_losses.errors += run->losses.errors;
	all->retired_losses.no_mbuf += run->losses.no_mbuf;
	all->retired_losses.kernel += run->losses.kernel;
	while (all->order[at] != index)
		at++;
	memmove(&all->order[at], &all->order[at + 1],
		(all->run_count - at - 1) * sizeof(all->order[0]));
	all->run_count--;
	all->run[index] = NULL;
	export_recent_forget(all->export, (uint16_t)index);
	run_free(run);
}

static void tell_stop_waiters(struct capture_run *run)
{
	uint64_t ended = run->ended;
	struct stop_waiter *w = run->stop_waiters, *next;

	run->stop_waiters = NULL;
	for (; w != NULL; w = next) { // run may be gone after the first: done may stop it again
		next = w->next;
		w->done(w->ctx, ended);
		free(w);
	}
}

static void run_settled(struct capture_run *run)
{
	struct capture_status *s = &run->status;

	capture_losses(run->capture, &run->losses);
	figures_refresh(run);
	capture_close(run->capture);
	run->capture = NULL;
	s->ended_ns = clock_wall_ns();
	s->packets_per_second = s->bits_per_second = 0;
	s->phase = run->failed       ? CAPTURE_FAILED
	           : run->stop_asked ? CAPTURE_STOPPED
	                             : CAPTURE_FINISHED;
	if (s->phase == CAPTURE_STOPPED)
		snprintf(s->reason, sizeof(s->reason), "stopped on request");
	log_info("capture %s: %s%s%s", s->name, capture_phase_name(s->phase),
		s->reason[0] != '\0' ? ": " : "", s->reason);
	tell_stop_waiters(run);
}

// The workers have quit: what has not ended by now never will.
void captures_give_up(struct workers *all)
{
	for (unsigned i = 0; i < CAPTURES_MAX; i++) {
		struct capture_run *run = all->run[i];

		if (run == NULL || capture_run_is_over(run))
			continue;
		if (run->end_missing > 0) { // else all its records are in the rings
			run->failed = true;
			snprintf(run->status.reason, sizeof(run->status.reason),
				"given up before its end: its active flows are not written");
		}
		run_settled(run);
	}
}

void captures_settle(struct workers *all)
{
	for (unsigned i = 0; i < CAPTURES_MAX; i++) {
		struct capture_run *run = all->run[i];

		if (run != NULL && run->capture != NULL && run->end_missing == 0 &&
			export_capture_is_done(all->export, (uint16_t)i))
			run_settled(run);
	}
}

bool captures_settling(struct workers *all)
{
	for (unsigned i = 0; i < CAPTURES_MAX; i++) {
		const struct capture_run *run = all->run[i];

		if (run != NULL && run->capture != NULL && run->end_missing == 0)
			return true;
	}
	return false;
}

bool captures_all_ended(struct workers *all)
{
	for (unsigned i = 0; i < CAPTURES_MAX; i++)
		if (all->run[i] != NULL && !capture_run_is_over(all->run[i]))
			return false;
	return true;
}

// --- Stop ---

int captures_stop(
	struct workers *all, const char *name, void (*done)(void *ctx, uint64_t ended), void *ctx)
{
	int index = captures_find(all, name);
	struct capture_run *run;

	if (index < 0)
		return -ENOENT;
	run = all->run[index];
	if (capture_run_is_over(run)) {
		run_remove(all, run);
		if (done != NULL)
			done(ctx, 0);
		return 0;
	}
	if (done != NULL) {
		struct stop_waiter *w = malloc(sizeof(*w)), **at = &run->stop_waiters;

		if (w == NULL)
			return -ENOMEM;
		*w = (struct stop_waiter){.done = done, .ctx = ctx};
		while (*at != NULL)
			at = &(*at)->next;
		*at = w;
	}
	if (run->stop_asked)
		return 0;
	run->stop_asked = true;
	figures_note_losses(all, run);
	if (run->begun_missing > 0) {
		run->stop_wanted = true;
	} else if (!run->stopping) {
		run->stopping = true;
		queues_command(all, run, COMMAND_QUEUE_STOP);
	}
	return 0;
}

void captures_stop_all(struct workers *all)
{
	all->is_closed = true;
	for (unsigned i = 0; i < CAPTURES_MAX; i++)
		if (all->run[i] != NULL && !capture_run_is_over(all->run[i]))
			captures_stop(all, all->run[i]->status.name, NULL, NULL);
}
