// SPDX-License-Identifier: Apache-2.0
// The tail thread: drains the workers' record rings in turn, keeps ended flows in the recent store,
// saves and keeps the bytes of streams, and hands every record to the sinks as a line of EVE JSON.
//
// Lines gather in one buffer that goes to the sinks when it is full, when its oldest line has waited
// for FLUSH_NS, and when a capture or the whole is done. The thread sleeps while little comes: the
// less, the longer, up to SLEEP_MAX_NS; it never sleeps while a ring is half full.
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "export.h"
#include "export_internal.h"
#include "log.h"
#include "put.h"

enum {
	BATCH_BYTES = 256 << 10, // of lines, before they go to the sinks
	LINE_BYTES = 8 << 10,    // room left for one more
	RELEASE_RECORDS = 32,    // after so many a ring's room is given back
	TURN_RECORDS = 512,      // after so many the next ring has its turn
};

#define SLEEP_MIN_NS (UINT64_C(100) * 1000)
#define SLEEP_MAX_NS (UINT64_C(5) * 1000 * 1000)
#define FLUSH_NS (UINT64_C(100) * 1000 * 1000)

static_assert(
	sizeof(((struct export_stats *)0)->records_written) / sizeof(uint64_t) == RECORD_TYPES,
	"a figure for each type of record");

static void count(_Atomic uint64_t *to, uint64_t n)
{
	atomic_store_explicit(
		to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

// --- Lines ---

static void hand_over(struct export *e)
{
	struct sink *s = e->sink;

	if (e->text.size != 0 && s != NULL) {
		s->type->write(s, e->text.text, e->text.size);
		atomic_store_explicit(&e->write_errors, s->errors, memory_order_relaxed);
		atomic_store_explicit(&e->lines_lost, s->lines_lost, memory_order_relaxed);
	}
	json_reset(&e->text);
}

static void flush(struct export *e)
{
	hand_over(e);
	if (e->sink != NULL && e->sink->type->flush != NULL)
		e->sink->type->flush(e->sink);
}

// Ends the line that was begun at start; without memory it is taken back.
static void end_line(struct export *e, size_t start)
{
	char *p = json_grow(&e->text, 1);

	if (p == NULL) {
		e->text.failed = false;
		e->text.size = start;
		e->text.comma = false;
		if (e->sink != NULL)
			e->sink->lines_lost++;
		return;
	}
	*p++ = '\n';
	json_grown(&e->text, p);
	e->text.comma = false;
	if (start == 0)
		e->oldest_ns = clock_monotonic_ns();
	if (e->text.size > BATCH_BYTES - LINE_BYTES)
		hand_over(e);
}

// --- Records ---

static void write_flow(struct json *j, const void *record)
{
	eve_flow(j, record);
}

static void write_anomaly(struct json *j, const void *record)
{
	eve_anomaly(j, record);
}

static void write_arp(struct json *j, const void *record)
{
	eve_arp(j, record);
}

// What the tail does with each type of record; a type without a row is not known.
static const struct {
	size_t size;                                      // at least
	void (*write)(struct json *, const void *record); // NULL: no line
} record_table[RECORD_TYPES] = {
	[RECORD_FLOW] = {offsetof(struct flow_record, splt), write_flow},
	[RECORD_ANOMALY] = {sizeof(struct anomaly_record), write_anomaly},
	[RECORD_ARP] = {sizeof(struct arp_record), write_arp},
	[RECORD_CAPTURE_DONE] = {sizeof(struct capture_done_record), NULL},
	[RECORD_STREAM] = {offsetof(struct stream_record, bytes), NULL},
};

// A flow may come without the packets of its sequence that it does not have (ring_shrink).
static bool is_whole(const struct ring_msg *m)
{
	size_t size = m->size - sizeof(*m);
	const struct flow_record *r = (const struct flow_record *)(m + 1);
	const struct stream_record *s = (const struct stream_record *)(m + 1);

	if (m->type >= RECORD_TYPES || record_table[m->type].size == 0 ||
		size < record_table[m->type].size)
		return false;
	if (m->type == RECORD_STREAM)
		return s->capture < FLOW_CAPTURES_MAX &&
		       size - offsetof(struct stream_record, bytes) >= s->length;
	return m->type != RECORD_FLOW || size >= sizeof(*r) || size >= flow_record_size(r);
}

static void capture_done(struct export *e, const struct capture_done_record *r)
{
	uint64_t seen, all = e->workers < 64 ? (UINT64_C(1) << e->workers) - 1 : UINT64_MAX;

	if (r->capture >= FLOW_CAPTURES_MAX || r->worker >= e->workers) {
		count(&e->bad, 1);
		return;
	}
	seen = atomic_load_explicit(&e->done_workers[r->capture], memory_order_relaxed);
	seen |= UINT64_C(1) << r->worker;
	atomic_store_explicit(&e->done_workers[r->capture], seen, memory_order_relaxed);
	if (seen != all)
		return;
	flush(e);
	follow_capture_done(e->follow, r->capture);
	atomic_store_explicit(&e->done[r->capture], true, memory_order_release);
}

static void flow_ended(struct export *e, const struct flow_record *r)
{
	recent_add(e->recent, r);
	if (r->has_stream)
		kept_flow_ended(e->kept, r->flow_id, r->capture);
}

static void take_record(struct export *e, const struct ring_msg *m)
{
	const void *record = m + 1;
	size_t start = e->text.size;

	if (!is_whole(m)) {
		count(&e->bad, 1);
		return;
	}
	if (m->type == RECORD_FLOW) {
		const struct flow_record *r = record;

		if (r->end != FLOW_END_NONE && r->end != FLOW_END_ACTIVE)
			flow_ended(e, r);
	} else if (m->type == RECORD_CAPTURE_DONE) {
		capture_done(e, record);
	} else if (m->type == RECORD_STREAM) {
		follow_take(e->follow, record);
		kept_add(e->kept, record);
	}
	if (e->sink != NULL && record_table[m->type].write != NULL) {
		record_table[m->type].write(&e->text, record);
		end_line(e, start);
	}
	count(&e->written[m->type], 1);
}

// Takes records off a ring until it is empty, or until limit records or at least `bytes` of them.
static void drain_ring(struct export *e, struct ring *ring, unsigned limit, uint64_t bytes)
{
	const struct ring_msg *m;
	uint64_t taken = 0;

	for (unsigned n = 1; taken < bytes && n <= limit && (m = ring_next(ring)) != NULL; n++) {
		taken += m->size;
		take_record(e, m);
		if (n % RELEASE_RECORDS == 0)
			ring_release(ring);
	}
	ring_release(ring);
}

// A turn of every ring. Returns the fill of the fullest ring before, in eighths.
static unsigned drain_turn(struct export *e)
{
	unsigned fullest = 0;

	for (unsigned w = 0; w < e->workers; w++) {
		uint64_t used = ring_used_bytes(e->rings[w]);
		unsigned fill = (unsigned)(used * 2 / (ring_payload_max(e->rings[w]) + 1));

		if (used == 0)
			continue;
		if (fill > fullest)
			fullest = fill;
		drain_ring(e, e->rings[w], TURN_RECORDS, UINT64_MAX);
	}
	return fullest;
}

static bool rings_are_empty(const struct export *e)
{
	for (unsigned w = 0; w < e->workers; w++)
		if (!ring_is_empty(e->rings[w]))
			return false;
	return true;
}

// --- Ready lines ---

// Writes the lines that control handed over, behind all records that were published before.
static void write_lines(struct export *e, struct line *lines)
{
	for (unsigned w = 0; w < e->workers; w++)
		drain_ring(e, e->rings[w], UINT32_MAX, ring_used_bytes(e->rings[w]));
	while (lines != NULL) {
		struct line *l = lines;

		lines = l->next;
		if (e->sink != NULL) {
			size_t start = e->text.size;

			json_raw(&e->text, NULL, l->text, l->size);
			end_line(e, start);
		}
		count(&e->written[0], 1);
		free(l);
	}
}

static struct line *take_lines(struct export *e, bool *ret_stop)
{
	struct line *lines;

	pthread_mutex_lock(&e->lock);
	lines = e->lines;
	e->lines = NULL;
	e->lines_end = &e->lines;
	e->lines_bytes = 0;
	*ret_stop = e->stop;
	pthread_mutex_unlock(&e->lock);
	return lines;
}

// --- The thread ---

// Sleeps until something may have come, or control wants something. fill: of the rings, in eighths.
static void rest(struct export *e, unsigned fill)
{
	uint64_t until;
	struct timespec t;

	if (fill >= 4)
		return;
	if (fill >= 1)
		e->sleep_ns /= 2;
	else
		e->sleep_ns += e->sleep_ns / 4;
	if (e->sleep_ns < SLEEP_MIN_NS)
		e->sleep_ns = SLEEP_MIN_NS;
	if (e->sleep_ns > SLEEP_MAX_NS)
		e->sleep_ns = SLEEP_MAX_NS;
	until = clock_monotonic_ns() + e->sleep_ns;
	t = (struct timespec){(time_t)(until / NSEC_PER_S), (long)(until % NSEC_PER_S)};
	pthread_mutex_lock(&e->lock);
	if (!e->stop && e->lines == NULL)
		pthread_cond_timedwait(&e->wake, &e->lock, &t);
	pthread_mutex_unlock(&e->lock);
}

static void *tail_main(void *arg)
{
	struct export *e = arg;
	bool stop = false;

	while (!stop || !rings_are_empty(e)) {
		unsigned fill = drain_turn(e);
		struct line *lines = take_lines(e, &stop);

		if (lines != NULL)
			write_lines(e, lines);
		if (e->text.size != 0 && clock_monotonic_ns() - e->oldest_ns >= FLUSH_NS)
			flush(e);
		follow_flush(e->follow);
		if (!stop)
			rest(e, fill);
	}
	flush(e);
	return NULL;
}

// Signals are control's: the thread blocks them all, so that a reader that has gone is an error of
// write() and not the daemon's end.
static int start_thread(struct export *e)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&e->thread, NULL, tail_main, e);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pthread_setname_np(e->thread, "pktaid-tail");
	return -rc;
}

static void export_free(struct export *e)
{
	sink_close(e->sink);
	recent_free(e->recent);
	follow_free(e->follow);
	kept_free(e->kept);
	json_fini(&e->text);
	pthread_cond_destroy(&e->wake);
	pthread_mutex_destroy(&e->lock);
	free(e->rings);
	free(e);
}

static struct export *export_new(const struct export_config *config)
{
	struct export *e = calloc(1, sizeof(*e));
	pthread_condattr_t attributes;

	if (e == NULL)
		return NULL;
	pthread_mutex_init(&e->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&e->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	json_init(&e->text);
	e->workers = config->workers;
	e->keeps = config->keep_bytes > 0;
	e->lines_end = &e->lines;
	e->sleep_ns = SLEEP_MIN_NS;
	e->rings = calloc(config->workers + 1, sizeof(*e->rings));
	e->recent = recent_new(config->recent_bytes);
	e->kept = kept_new(config->keep_bytes);
	e->follow = follow_new();
	if (e->rings == NULL || e->recent == NULL || e->kept == NULL || e->follow == NULL ||
		json_grow(&e->text, BATCH_BYTES) == NULL) {
		export_free(e);
		return NULL;
	}
	for (unsigned w = 0; w < config->workers; w++)
		e->rings[w] = config->records[w];
	return e;
}

int export_start(const struct export_config *config, struct export **ret, char *error, size_t size)
{
	struct export *e;
	int rc;

	if (config->workers == 0 || config->workers > 64) {
		snprintf(error, size, "%u workers; 1 to 64 are possible", config->workers);
		return -EINVAL;
	}
	e = export_new(config);
	if (e == NULL) {
		snprintf(error, size, "no memory for records");
		return -ENOMEM;
	}
	if (config->events_path != NULL) {
		rc = sink_open("file", config->events_path, &e->sink, error, size);
		if (rc < 0) {
			export_free(e);
			return rc;
		}
	}
	rc = start_thread(e);
	if (rc < 0) {
		snprintf(error, size, "cannot start the export thread: %s", strerror(-rc));
		export_free(e);
		return rc;
	}
	*ret = e;
	return 0;
}

int export_stop(struct export *e, char *error, size_t size)
{
	int rc = 0;

	if (e == NULL)
		return 0;
	pthread_mutex_lock(&e->lock);
	e->stop = true;
	pthread_cond_signal(&e->wake);
	pthread_mutex_unlock(&e->lock);
	pthread_join(e->thread, NULL);
	if (e->sink != NULL) {
		struct sink *s = e->sink;

		s->type->close(s);
		rc = s->first_error;
		if (rc < 0)
			snprintf(error, size, "cannot write events to %s: %s; %llu lost", s->target,
				strerror(-rc), (unsigned long long)s->lines_lost);
		free(s->target);
		free(s);
		e->sink = NULL;
	}
	export_free(e);
	return rc;
}

void export_line(struct export *e, const char *text, size_t size)
{
	struct line *l = NULL;

	pthread_mutex_lock(&e->lock);
	if (e->lines_bytes + size <= EXPORT_LINES_BYTES)
		l = malloc(sizeof(*l) + size);
	if (l == NULL) {
		e->lines_refused++;
	} else {
		l->next = NULL;
		l->size = size;
		memcpy(l->text, text, size);
		*e->lines_end = l;
		e->lines_end = &l->next;
		e->lines_bytes += size;
		pthread_cond_signal(&e->wake);
	}
	pthread_mutex_unlock(&e->lock);
}
