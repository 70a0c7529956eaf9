// SPDX-License-Identifier: Apache-2.0
// The workers as control sees them: starting and ending their threads, their inboxes, their replies.
// Control thread only; worker.c is the other side.
#include "worker_internal.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_launch.h>
#include <rte_lcore.h>

#include "clock.h"
#include "numa.h"

enum { INBOX_BYTES = 64 * 1024 };

// --- Start and stop ---

void worker_command(struct worker *w, enum command_type type, const struct command *c)
{
	void *payload;

	payload = ring_reserve(w->inbox, (uint16_t)type, sizeof(*c));
	assert(payload != NULL); // see enum command_type
	memcpy(payload, c, sizeof(*c));
	ring_publish(w->inbox);
	worker_wake(w);
}

static void worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	streams_free(w->pipeline.streams);
	stream_copy_free(w->pipeline.copy);
	flow_table_free(w->pipeline.flows);
	defrag_free(w->pipeline.defrag);
	ring_free(w->records);
	ring_free(w->inbox);
	ring_free(w->replies);
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		ring_free(w->steer_in[i]);
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	numa_free(w, sizeof(*w));
}

// What the worker touches first comes from its own node by itself: table, rings, chunks.
static struct worker *worker_new(struct workers *all, unsigned index, unsigned lcore)
{
	const struct workers_config *config = &all->config;
	int node = lcore < RTE_MAX_LCORE ? (int)rte_lcore_to_socket_id(lcore) : -1;
	struct worker *w = numa_alloc(sizeof(*w), node);

	if (w == NULL)
		return NULL;
	w->all = all;
	w->index = index;
	w->lcore = lcore;
	w->node = node;
	w->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->records = ring_new(config->record_ring_bytes);
	w->inbox = ring_new(INBOX_BYTES);
	w->replies = ring_new(INBOX_BYTES);
	if (w->wake_fd < 0 || w->records == NULL || w->inbox == NULL || w->replies == NULL)
		goto fail;
	for (unsigned i = 0; i < config->count; i++) {
		if (i == index)
			continue;
		w->steer_in[i] = ring_new(config->steer_ring_bytes);
		if (w->steer_in[i] == NULL)
			goto fail;
	}
	w->pipeline = (struct pipeline){
		.decode = &config->decode,
		.flow_config = &config->flow,
		.records = w->records,
		.steer = {steer_pass, steer_relax, w},
		.worker = index,
		.workers = config->count,
	};
	w->pipeline.flows = flow_table_new(&config->flow, index, w->records);
	w->pipeline.defrag = defrag_new(&config->defrag);
	if (w->pipeline.flows == NULL || w->pipeline.defrag == NULL)
		goto fail;
	if (config->stream.bytes > 0) {
		struct streams_config streams = {.reassembly = config->stream};

		w->pipeline.copy = stream_copy_new(w->pipeline.flows, config->flow.capacity,
			w->records, config->keeps_streams);
		if (w->pipeline.copy == NULL)
			goto fail;
		streams.consumer[streams.consumer_count++] = stream_copy_consumer(w->pipeline.copy);

		w->pipeline.streams = streams_new(
			&streams, config->flow.capacity, w->pipeline.flows, w->records);
		if (w->pipeline.streams == NULL)
			goto fail;
	}
	w->flow_table_bytes = flow_table_bytes(w->pipeline.flows);
	return w;
fail:
	worker_free(w);
	return NULL;
}

int workers_start(
	const struct workers_config *config, struct workers **ret, char *error, size_t size)
{
	struct workers *all = aligned_alloc(64, (sizeof(*all) + 63) & ~(size_t)63);
	unsigned lcore = rte_get_next_lcore(UINT_MAX, 1, 0);

	if (all == NULL) {
		snprintf(error, size, "no memory for workers");
		return -ENOMEM;
	}
	memset(all, 0, sizeof(*all));
	all->config = *config;
	all->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (all->event_fd < 0) {
		snprintf(error, size, "no file descriptor for the workers: %s", strerror(errno));
		workers_stop(all);
		return -EMFILE;
	}
	for (unsigned i = 0; i < config->count; i++, lcore = rte_get_next_lcore(lcore, 1, 0)) {
		if (lcore >= RTE_MAX_LCORE) {
			snprintf(error, size, "no lcore for worker %u", i);
			workers_stop(all);
			return -EINVAL;
		}
		all->worker[i] = worker_new(all, i, lcore);
		if (all->worker[i] == NULL) {
			snprintf(error, size,
				"no memory for worker %u: lower flow.capacity (%u flows a worker) "
				"or stream.bytes",
				i, config->flow.capacity);
			workers_stop(all);
			return -ENOMEM;
		}
		all->records[i] = all->worker[i]->records;
	}
	for (unsigned i = 0; i < config->count; i++) {
		if (rte_eal_remote_launch(worker_main, all->worker[i], all->worker[i]->lcore) !=
			0) {
			snprintf(error, size, "no lcore for worker %u", i);
			workers_stop(all);
			return -EINVAL;
		}
		all->started++;
	}
	all->tick_ns = clock_monotonic_ns();
	*ret = all;
	return 0;
}

unsigned workers_count(const struct workers *all)
{
	return all->config.count;
}

struct ring **workers_records(struct workers *all)
{
	return all->records;
}

void workers_status(struct workers *all, unsigned worker, struct worker_status *ret)
{
	struct worker *w = all->worker[worker];

	*ret = (struct worker_status){
		.cpu = w->cpu,
		.heartbeat = w->heartbeat,
		.load = all->load[worker],
		.flows_active = w->flows_active,
		.flow_capacity = all->config.flow.capacity,
		.flow_table_bytes = w->flow_table_bytes,
		.streams_bytes = streams_bytes_reserved(w->pipeline.streams),
	};
}

// --- Questions and answers ---

int workers_query(
	struct workers *all, struct flow_query *queries, void (*done)(void *ctx), void *ctx)
{
	struct query_gather *g;

	if (all->halting)
		return -ESHUTDOWN;
	if (all->queries >= WORKER_QUERIES_MAX)
		return -EBUSY;
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return -ENOMEM;
	*g = (struct query_gather){.done = done, .ctx = ctx, .missing = all->config.count};
	all->queries++;
	for (unsigned i = 0; i < all->config.count; i++)
		worker_command(all->worker[i], COMMAND_QUERY,
			&(struct command){.query = &queries[i], .token = g});
	return 0;
}

int captures_flush(
	struct workers *all, int index, void (*done)(void *ctx, uint64_t ended), void *ctx)
{
	struct capture_run *run = index >= 0 ? all->run[index] : NULL;
	struct flush_gather *g;

	if (all->halting)
		return -ESHUTDOWN;
	if (index >= 0 && (run == NULL || capture_run_is_over(run) || run->begun_missing > 0)) {
		done(ctx, 0);
		return 0;
	}
	if (all->flushes >= WORKER_FLUSHES_MAX)
		return -EBUSY;
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return -ENOMEM;
	*g = (struct flush_gather){.done = done, .ctx = ctx, .missing = all->config.count};
	for (int i = 0; i < CAPTURES_MAX; i++)
		if (all->run[i] != NULL && all->run[i]->capture != NULL &&
			(index < 0 || i == index))
			figures_note_losses(all, all->run[i]);
	all->flushes++;
	for (unsigned w = 0; w < all->config.count; w++)
		worker_command(all->worker[w], COMMAND_FLUSH,
			&(struct command){.capture = index < 0 ? -1 : index, .token = g});
	return 0;
}

int workers_event_fd(const struct workers *all)
{
	return all->event_fd;
}

static void gather_query(struct workers *all, struct query_gather *g)
{
	if (--g->missing > 0)
		return;
	all->queries--;
	g->done(g->ctx);
	free(g);
}

static void gather_flush(struct workers *all, struct flush_gather *g, uint64_t ended)
{
	g->ended += ended;
	if (--g->missing > 0)
		return;
	all->flushes--;
	g->done(g->ctx, g->ended);
	free(g);
}

static void dispatch_reply(struct workers *all, const struct ring_msg *m)
{
	struct reply r;

	memcpy(&r, m + 1, sizeof(r));
	switch ((enum reply_type)m->type) {
	case REPLY_QUERY:
		gather_query(all, r.token);
		break;
	case REPLY_FLUSHED:
		gather_flush(all, r.token, r.ended);
		break;
	case REPLY_CAPTURE_BEGUN:
	case REPLY_CAPTURE_ENDED:
	case REPLY_STATE:
		captures_reply(all, (enum reply_type)m->type, &r);
		break;
	}
}

static void dispatch_replies(struct workers *all)
{
	const struct ring_msg *m;

	for (unsigned i = 0; i < all->config.count; i++) {
		struct ring *r = all->worker[i]->replies;

		while ((m = ring_next(r)) != NULL) {
			dispatch_reply(all, m);
			ring_release(r);
		}
	}
}

void workers_dispatch(struct workers *all)
{
	uint64_t count;
	ssize_t n = read(all->event_fd, &count, sizeof(count));

	(void)n; // nothing to read: somebody looked early
	dispatch_replies(all);
	captures_settle(all);
}

// --- The end ---

// Answers what a worker that has quit left open: what it was at, and what was still in its inbox.
static void answer_for(struct workers *all, struct worker *w)
{
	const struct ring_msg *m;

	for (unsigned i = 0; i < w->query_count; i++)
		gather_query(all, w->query_token[i]);
	w->query_count = 0;
	if (w->flush.active)
		gather_flush(all, w->flush.token, w->flush.ended);
	w->flush.active = false;
	while ((m = ring_next(w->inbox)) != NULL) {
		const struct command *c = (const struct command *)(m + 1);

		if (m->type == COMMAND_QUERY)
			gather_query(all, c->token);
		else if (m->type == COMMAND_FLUSH)
			gather_flush(all, c->token, 0);
	}
	ring_release(w->inbox);
}

void workers_halt(struct workers *all)
{
	if (all == NULL || all->halting)
		return;
	all->is_closed = true;
	atomic_store(&all->halting, true);
	for (unsigned i = 0; i < all->started; i++)
		worker_command(all->worker[i], COMMAND_QUIT, &(struct command){0});
	for (unsigned i = 0; i < all->started; i++) {
		rte_eal_wait_lcore(all->worker[i]->lcore);
		while (!atomic_load_explicit(&all->worker[i]->has_quit, memory_order_acquire))
			sched_yield(); // has been set long ago; from here on its memory is ours
	}
	if (all->started < all->config.count)
		return; // they never came up: nothing was asked of them
	dispatch_replies(all);
	for (unsigned i = 0; i < all->started; i++)
		answer_for(all, all->worker[i]);
	for (unsigned i = 0; i < all->started; i++)
		steer_discard(all->worker[i]);
	captures_settle(all);
	captures_give_up(all);
}

void workers_stop(struct workers *all)
{
	if (all == NULL)
		return;
	workers_halt(all);
	captures_free(all);
	for (unsigned i = 0; i < all->config.count; i++)
		worker_free(all->worker[i]);
	if (all->event_fd >= 0)
		close(all->event_fd);
	free(all);
}
