// SPDX-License-Identifier: Apache-2.0
// The workers' loop and their inbox. A worker polls its queues, takes in what others steered to it,
// lets flows expire, and answers control at burst boundaries; when nothing comes it sleeps, a little
// longer each time, and is woken by control or by a worker that has packets for it.
#include "worker_internal.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include "clock.h"
#include "log.h"
#include "record.h"

enum {
	EXPIRE_BUDGET = 128,   // flows looked at after each burst
	END_BUDGET = 4096,     // flows ended at a time, at the end of a capture
	QUERY_SLICE = 2048,    // entries at a time, see queries_step
	QUERY_SHARE = 4,       // of the time that packets take, queries take one part in so many
	QUERY_IDLE_NS = 20000, // at a time, where no packets came
	SPIN_POLLS = 64,       // empty polls before the first sleep
	LINGER_NS = 50000,     // no sleep so soon after packets of a file came from its reader
	SLEEP_MIN_NS = 20000,
	SLEEP_MAX_NS = 1000000,
	SLEEP_WATCHED_NS = 50000000, // all queues can wake us: for clocks and links
	SLEEP_NO_QUEUE_NS = 200000000,
};

// Live timestamps reach us late: buffers of the kernel, of the NIC. The clock may end a flow only
// when no packet from before its timeout can still be on its way.
#define LIVE_LATENESS_NS NSEC_PER_S

// --- Replies (worker) ---

static void reply(struct worker *w, enum reply_type type, const struct reply *r)
{
	void *payload;

	// Control drains replies whenever the event is readable; they are few.
	while ((payload = ring_reserve(w->replies, (uint16_t)type, sizeof(*r))) == NULL)
		sched_yield();
	memcpy(payload, r, sizeof(*r));
	ring_publish(w->replies);
	w->replied = true;
}

static void tell_control(struct worker *w)
{
	uint64_t one = 1;
	ssize_t n;

	if (!w->replied)
		return;
	w->replied = false;
	n = write(w->all->event_fd, &one, sizeof(one));
	(void)n; // full counter: it is readable already
}

// --- Captures (worker) ---

static void capture_begin(struct worker *w, struct capture_run *run)
{
	unsigned index = run->status.index;
	struct worker_capture *c = &w->capture[index];
	struct flow_capture fc = {
		.name = run->status.name,
		.counters = run->counters[w->index],
		.lossless = !run->status.live,
	};
	int error;

	// Nothing of the index's last capture may meet this one: all workers had ended it when control
	// sent us here, so what they steered for it is in the rings.
	steer_drain_present(w);
	w->pipeline.spread[index] = run->has_spread ? &run->spread : NULL;
	error = pipeline_capture_begin(&w->pipeline, (uint16_t)index, &fc, run->saves);
	*c = (struct worker_capture){.run = run, .counters = run->counters[w->index]};
	if (index >= w->capture_count)
		w->capture_count = index + 1;
	reply(w, REPLY_CAPTURE_BEGUN, &(struct reply){.run = run, .error = error});
}

static void queue_start(struct worker *w, struct capture_run *run, struct pipeline_queue *queue)
{
	w->queue[w->queue_count] = queue;
	w->queue_run[w->queue_count] = run;
	w->queue_count++;
}

static void queue_stop(struct worker *w, unsigned at, bool forced)
{
	struct pipeline_queue *q = w->queue[at];
	struct steer_end end = {.now_ns = q->clock.now_ns, .capture = q->index, .forced = forced};

	w->queue_count--;
	w->queue[at] = w->queue[w->queue_count];
	w->queue_run[at] = w->queue_run[w->queue_count];
	pipeline_expire(&w->pipeline, q->index, q->clock.now_ns, true, q->counters);
	steer_publish(w);
	steer_end(w, &end);
}

// A queue has ended: called in the order of its packets. The flows follow in the loop.
void worker_capture_end(struct worker *w, const struct steer_end *end)
{
	struct worker_capture *c = &w->capture[end->capture];

	c->ends++;
	c->forced |= end->forced;
	if (end->now_ns > c->now_ns)
		c->now_ns = end->now_ns;
	c->ending = c->ends == c->run->status.queues;
}

static uint64_t capture_now(const struct worker_capture *c, uint64_t wall_ns)
{
	uint64_t clock_ns = wall_ns - LIVE_LATENESS_NS;

	return c->run->status.live && clock_ns > c->now_ns ? clock_ns : c->now_ns;
}

static void capture_ending_step(struct worker *w, unsigned index)
{
	struct worker_capture *c = &w->capture[index];
	struct capture_run *run = c->run;
	unsigned before = flow_table_active(w->pipeline.flows), after, left;
	struct capture_done_record *done;

	// Other workers may have ended it already: what comes out now stays here.
	w->pipeline.keeps_all = true;
	pipeline_expire(&w->pipeline, (uint16_t)index, c->now_ns, true, c->counters);
	w->pipeline.keeps_all = false;
	left = flow_capture_end(w->pipeline.flows, (uint16_t)index, c->now_ns,
		c->forced ? FLOW_END_FORCED : FLOW_END_EOF, END_BUDGET, false);
	after = flow_table_active(w->pipeline.flows);
	c->ended += before > after ? before - after : 0;
	if (left > 0) {
		ring_publish(w->records);
		return;
	}
	done = record_reserve(w->records, RECORD_CAPTURE_DONE, sizeof(*done), true);
	*done = (struct capture_done_record){
		.capture = (uint16_t)index, .worker = (uint16_t)w->index};
	ring_publish(w->records);
	w->pipeline.spread[index] = NULL;
	c->run = NULL;
	while (w->capture_count > 0 && w->capture[w->capture_count - 1].run == NULL)
		w->capture_count--;
	reply(w, REPLY_CAPTURE_ENDED, &(struct reply){.run = run, .ended = c->ended});
}

// --- Questions (worker) ---

// Returns true when the query is answered, and gone.
static bool query_slice(struct worker *w, unsigned i)
{
	if (!flow_query_step(w->pipeline.flows, w->query[i], QUERY_SLICE))
		return false;
	reply(w, REPLY_QUERY, &(struct reply){.token = w->query_token[i]});
	w->query_count--;
	w->query[i] = w->query[w->query_count];
	w->query_token[i] = w->query_token[w->query_count];
	return true;
}

// However many ask, and whatever, packets keep most of the time: queries get a share of what packets
// took, saved up to whole slices. A slice empties the first caches of what packets need: few larger ones
// disturb less than many small ones, and yet a source's buffers must hold what comes in meanwhile.
static void queries_step(struct worker *w, uint64_t begin_tsc, bool has_packets)
{
	uint64_t now = rte_rdtsc(), before;
	int64_t most = (int64_t)w->query_idle_tsc;

	w->query_credit += has_packets ? (int64_t)(now - begin_tsc) / QUERY_SHARE : most;
	if (w->query_credit > most)
		w->query_credit = most;
	while (w->query_count > 0 && w->query_credit > 0) {
		if (w->query_turn >= w->query_count)
			w->query_turn = 0;
		w->query_turn += !query_slice(w, w->query_turn);
		before = now;
		now = rte_rdtsc();
		w->query_credit -= (int64_t)(now - before);
	}
}

// A flush ends as many flows as there were when it began; flows that begin meanwhile may go on.
static void flush_step(struct worker *w, uint64_t wall_ns)
{
	struct worker_flush *f = &w->flush;
	unsigned left = 0;
	uint64_t ended = 0;

	for (unsigned i = 0; i < w->capture_count; i++) {
		struct worker_capture *c = &w->capture[i];
		unsigned before = flow_table_active(w->pipeline.flows), after;

		if (c->run == NULL || c->ending || (f->capture >= 0 && (unsigned)f->capture != i))
			continue;
		left += flow_capture_end(w->pipeline.flows, (uint16_t)i, capture_now(c, wall_ns),
			FLOW_END_FORCED, END_BUDGET, true);
		after = flow_table_active(w->pipeline.flows);
		ended += before > after ? before - after : 0;
	}
	ring_publish(w->records);
	f->ended += ended;
	f->left = f->left > ended ? f->left - ended : 0;
	if (left > 0 && f->left > 0 && ended > 0)
		return;
	f->active = false;
	reply(w, REPLY_FLUSHED, &(struct reply){.token = f->token, .ended = f->ended});
}

// --- Inbox (worker) ---

static void command_run(struct worker *w, enum command_type type, const struct command *c)
{
	switch (type) {
	case COMMAND_CAPTURE_BEGIN:
		capture_begin(w, c->run);
		break;
	case COMMAND_QUEUE_START:
		queue_start(w, c->run, c->queue);
		break;
	case COMMAND_QUEUE_STOP:
		for (unsigned i = 0; i < w->queue_count; i++)
			if (w->queue[i] == c->queue) {
				queue_stop(w, i, true);
				break;
			}
		break;
	case COMMAND_QUERY:
		w->query[w->query_count] = c->query;
		w->query_token[w->query_count] = c->token;
		w->query_count++;
		break;
	case COMMAND_FLUSH:
		w->flush = (struct worker_flush){
			.token = c->token,
			.capture = c->capture,
			.left = flow_table_active(w->pipeline.flows),
			.active = true,
		};
		break;
	case COMMAND_QUIT:
		w->quit = true;
		break;
	}
}

static bool inbox_drain(struct worker *w)
{
	const struct ring_msg *m;
	bool any = false;

	// One flush at a time: the next waits in the inbox.
	while (!w->flush.active && (m = ring_next(w->inbox)) != NULL) {
		command_run(w, (enum command_type)m->type, (const struct command *)(m + 1));
		any = true;
	}
	ring_release(w->inbox);
	return any;
}

// --- The loop (worker) ---

static unsigned poll_queues(struct worker *w)
{
	unsigned n = 0;

	for (unsigned i = 0; i < w->queue_count;) {
		struct pipeline_queue *q = w->queue[i];
		enum capture_state before = q->state;

		n += pipeline_poll(&w->pipeline, q);
		if (q->clock.now_ns > w->capture[q->index].now_ns)
			w->capture[q->index].now_ns = q->clock.now_ns;
		if (w->steered_to != 0)
			steer_publish(w);
		if (q->state == before) {
			i++;
			continue;
		}
		reply(w, REPLY_STATE, &(struct reply){.run = w->queue_run[i], .state = q->state});
		if (q->state == CAPTURE_RX_END || q->state == CAPTURE_RX_FAILED)
			queue_stop(w, i, q->live);
		else
			i++;
	}
	return n;
}

// Returns true when more flows may be due.
static bool expire(struct worker *w, struct worker_capture *c, unsigned index, uint64_t now_ns)
{
	unsigned n = flow_expire(w->pipeline.flows, (uint16_t)index, now_ns, EXPIRE_BUDGET);

	if (now_ns / NSEC_PER_S != c->expired_s) {
		c->expired_s = now_ns / NSEC_PER_S;
		pipeline_expire(&w->pipeline, (uint16_t)index, now_ns, false, c->counters);
		steer_publish(w);
	}
	return n == EXPIRE_BUDGET;
}

// Returns true when there is more to do.
static bool captures_step(struct worker *w, uint64_t wall_ns)
{
	bool more = false;

	for (unsigned i = 0; i < w->capture_count; i++) {
		struct worker_capture *c = &w->capture[i];

		if (c->run == NULL)
			continue;
		if (c->ending)
			capture_ending_step(w, i);
		else if (c->now_ns != 0)
			more |= expire(w, c, i, capture_now(c, wall_ns));
	}
	ring_publish(w->records);
	return more;
}

static bool has_work(struct worker *w)
{
	if (w->query_count > 0 || w->flush.active || !ring_is_empty(w->inbox))
		return true;
	for (unsigned i = 0; i < w->capture_count; i++)
		if (w->capture[i].run != NULL && w->capture[i].ending)
			return true;
	for (unsigned i = 0; i < w->pipeline.workers; i++)
		if (i != w->index && !ring_is_empty(w->steer_in[i]))
			return true;
	return false;
}

// What to sleep on: our own descriptor, and those of all queues where each has one. Returns how many.
static unsigned sleep_fds(const struct worker *w, struct pollfd *fds)
{
	fds[0] = (struct pollfd){.fd = w->wake_fd, .events = POLLIN};
	if (w->is_woken_in_vain) // an interface that is down, say, is always readable
		return 1;
	for (unsigned i = 0; i < w->queue_count; i++) {
		if (w->queue[i]->wait_fd < 0)
			return 1;
		fds[i + 1] = (struct pollfd){.fd = w->queue[i]->wait_fd, .events = POLLIN};
	}
	return w->queue_count + 1;
}

static uint64_t sleep_ns(const struct worker *w, unsigned fds)
{
	unsigned step = w->idle_polls - SPIN_POLLS;
	uint64_t ns = (uint64_t)SLEEP_MIN_NS << (step < 6 ? step : 6);

	if (w->queue_count == 0)
		return SLEEP_NO_QUEUE_NS;
	if (fds > 1)
		return SLEEP_WATCHED_NS;
	return ns < SLEEP_MAX_NS ? ns : SLEEP_MAX_NS;
}

static void sleep_a_little(struct worker *w)
{
	struct pollfd fds[1 + WORKER_QUEUES_MAX];
	unsigned n = sleep_fds(w, fds);
	struct timespec t = {.tv_nsec = (long)sleep_ns(w, n)};
	uint64_t count;
	ssize_t size;
	int ready;

	atomic_store_explicit(&w->sleeping, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst);
	ready = has_work(w) ? 0 : ppoll(fds, n, &t, NULL);
	atomic_store_explicit(&w->sleeping, false, memory_order_relaxed);
	if (ready <= 0)
		return;
	if (fds[0].revents != 0) {
		size = read(w->wake_fd, &count, sizeof(count));
		(void)size;
		ready--;
	}
	w->is_woken_in_vain = ready > 0; // until something comes
}

static void idle(struct worker *w)
{
	w->idle_polls++;
	if (w->all->config.busy && w->queue_count > 0)
		return;
	if (w->idle_polls <= SPIN_POLLS)
		return;
	// A reader's next burst is some microseconds away, and waking somebody for each costs it more than
	// the burst. Whoever shares this processor goes first.
	if (rte_rdtsc() < w->linger_until_tsc)
		sched_yield();
	else
		sleep_a_little(w);
}

static void beat(struct worker *w)
{
	atomic_fetch_add_explicit(&w->heartbeat, 1, memory_order_relaxed);
	atomic_store_explicit(
		&w->flows_active, flow_table_active(w->pipeline.flows), memory_order_relaxed);
}

static void worker_loop(struct worker *w)
{
	while (!w->quit) {
		uint64_t begin = rte_rdtsc();
		bool worked = inbox_drain(w);
		unsigned n = poll_queues(w);

		n += steer_drain(w);
		// Datagrams of what came: before a capture's end is told, so that nothing of it comes later.
		if (w->steered_to != 0)
			steer_publish(w);
		worked |= captures_step(w, clock_wall_ns());
		if (w->query_count > 0)
			queries_step(w, begin, n > 0);
		if (w->flush.active)
			flush_step(w, clock_wall_ns());
		tell_control(w);
		beat(w);
		if (n > 0 || worked || w->query_count > 0) {
			w->idle_polls = 0;
			w->is_woken_in_vain = false;
			atomic_store_explicit(&w->busy_tsc,
				atomic_load_explicit(&w->busy_tsc, memory_order_relaxed) +
					(rte_rdtsc() - begin),
				memory_order_relaxed);
		} else {
			idle(w);
		}
	}
}

int worker_main(void *arg)
{
	struct worker *w = arg;

	w->query_idle_tsc = rte_get_tsc_hz() * QUERY_IDLE_NS / NSEC_PER_S;
	w->linger_tsc = rte_get_tsc_hz() * LINGER_NS / NSEC_PER_S;
	atomic_store_explicit(&w->cpu, sched_getcpu(), memory_order_relaxed);
	worker_loop(w);
	atomic_store_explicit(&w->has_quit, true, memory_order_release);
	return 0;
}
