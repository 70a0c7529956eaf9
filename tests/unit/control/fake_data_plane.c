// SPDX-License-Identifier: Apache-2.0
// See fake_data_plane.h. One thread, that of control.
#include "fake_data_plane.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <unistd.h>

#include "clock.h"

enum { QUESTIONS_MAX = 8, TICK_PKTS = 1000, FRAME_BYTES = 100 };

struct fake_capture {
	bool used;
	struct capture_status status;
	struct counters counters[WORKERS_MAX];
	struct flow_record *active[WORKERS_MAX];
	unsigned count[WORKERS_MAX];
};

struct job {
	TAILQ_ENTRY(job) entry;
	struct flow_query *queries; // NULL: not a query
	void (*answered)(void *ctx);
	void (*ended)(void *ctx, uint64_t n);
	uint64_t n;
	void *ctx;
};

struct workers {
	unsigned count, flows, frozen, questions;
	bool hold, busy, race;
	int event_fd;
	uint64_t heartbeat[WORKERS_MAX];
	uint64_t started; // captures so far
	struct ring *records[WORKERS_MAX];
	struct export *export;
	TAILQ_HEAD(, job) jobs;
	struct fake_capture *captures;
	struct counters past[WORKERS_MAX]; // of captures that are gone
};

struct workers *fake_new(unsigned count, unsigned flows)
{
	struct workers *w = calloc(1, sizeof(*w));

	w->count = count;
	w->flows = flows;
	w->frozen = UINT32_MAX;
	w->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	w->captures = aligned_alloc(64, CAPTURES_MAX * sizeof(*w->captures));
	memset(w->captures, 0, CAPTURES_MAX * sizeof(*w->captures));
	TAILQ_INIT(&w->jobs);
	for (unsigned i = 0; i < count; i++)
		w->records[i] = ring_new(1 << 20);
	return w;
}

static void job_free(struct workers *w, struct job *j)
{
	w->questions -= j->queries != NULL;
	free(j);
}

void fake_free(struct workers *w)
{
	struct job *j;

	// as workers_stop does: nobody is left waiting
	w->hold = false;
	workers_dispatch(w);
	while ((j = TAILQ_FIRST(&w->jobs)) != NULL) {
		TAILQ_REMOVE(&w->jobs, j, entry);
		job_free(w, j);
	}
	for (unsigned i = 0; i < CAPTURES_MAX; i++)
		for (unsigned k = 0; k < w->count; k++)
			free(w->captures[i].active[k]);
	for (unsigned i = 0; i < w->count; i++)
		ring_free(w->records[i]);
	close(w->event_fd);
	free(w->captures);
	free(w);
}

void fake_set_export(struct workers *w, struct export *e)
{
	w->export = e;
}

bool fake_command(struct workers *w, const char *line)
{
	if (strcmp(line, "hold") == 0)
		w->hold = true;
	else if (strcmp(line, "release") == 0)
		w->hold = false;
	else if (strcmp(line, "thaw") == 0)
		w->frozen = UINT32_MAX;
	else if (strcmp(line, "busy") == 0)
		w->busy = true;
	else if (strcmp(line, "idle") == 0)
		w->busy = false;
	else if (strcmp(line, "race") == 0)
		w->race = true;
	else if (sscanf(line, "freeze %u", &w->frozen) != 1)
		return false;
	eventfd_write(w->event_fd, 1);
	return true;
}

unsigned workers_count(const struct workers *w)
{
	return w->count;
}

struct ring **workers_records(struct workers *w)
{
	return w->records;
}

void workers_status(struct workers *w, unsigned i, struct worker_status *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (i != w->frozen)
		w->heartbeat[i]++;
	ret->cpu = (int)i;
	ret->heartbeat = w->heartbeat[i];
	ret->load = 0.25;
	for (unsigned c = 0; c < CAPTURES_MAX; c++)
		ret->flows_active += w->captures[c].count[i];
	ret->flow_capacity = 65536;
	ret->flow_table_bytes = 65536 * 192;
}

int workers_event_fd(const struct workers *w)
{
	return w->event_fd;
}

// --- Flows ---

static void flow_make(struct flow_record *r, uint64_t id, uint16_t capture, uint16_t worker)
{
	memset(r, 0, sizeof(*r));
	r->tuple.version = 4;
	r->tuple.proto = id % 2 ? 6 : 17;
	r->tuple.src[0] = 10;
	r->tuple.src[1] = (uint8_t)capture;
	r->tuple.src[2] = (uint8_t)(id >> 8);
	r->tuple.src[3] = (uint8_t)id;
	memcpy(r->tuple.dst, "\xc0\x00\x02\x01", 4);
	r->tuple.src_port = (uint16_t)(1024 + id % 60000);
	r->tuple.dst_port = id % 2 ? 443 : 53;
	r->flow_id = id;
	r->first_ns = UINT64_C(1700000000) * NSEC_PER_S + id * 1000000;
	r->last_ns = r->first_ns + (1 + id % 7) * NSEC_PER_S;
	r->capture = capture;
	r->worker = worker;
	r->part_no = 1;
	r->tcp_state = id % 2 ? FLOW_TCP_ESTABLISHED : FLOW_TCP_NONE;
	r->replied = 1;
	for (unsigned d = 0; d < 2; d++) {
		r->direction[d].pkts = 2 + id % 5;
		r->direction[d].bytes = 200 + id * 37 % 5000;
		r->direction[d].last_ns = r->last_ns;
		r->direction[d].size_min = 60;
		r->direction[d].size_max = 1514;
		r->direction[d].wscale = 0xff;
		r->direction[d].tcp_flags = 0x1b;
	}
}

static void flow_write(struct workers *w, struct flow_record *r, enum flow_end end)
{
	struct flow_record *out;

	r->end = (uint8_t)end;
	out = record_reserve(w->records[r->worker], RECORD_FLOW, sizeof(*out), true);
	*out = *r;
	ring_publish(w->records[r->worker]);
}

static uint64_t recent_flows(struct workers *w)
{
	struct export_stats s;

	export_stats(w->export, &s);
	return s.recent_flows;
}

// Returns when the recent store has them, as the real ones do.
static uint64_t capture_end_flows(struct workers *w, struct fake_capture *c, enum flow_end end)
{
	uint64_t before = recent_flows(w), n = 0;

	for (unsigned i = 0; i < w->count; i++) {
		for (unsigned k = 0; k < c->count[i]; k++)
			flow_write(w, &c->active[i][k], end);
		n += c->count[i];
		c->count[i] = 0;
	}
	while (recent_flows(w) < before + n)
		sched_yield();
	return n;
}

// --- Queries ---

static bool flow_matches(const struct flow_query *q, const struct flow_record *r)
{
	return (q->capture < 0 || q->capture == r->capture) &&
	       (q->app_proto < 0 || q->app_proto == r->app_proto) &&
	       (q->filter == NULL || flow_filter_match(q->filter, &r->tuple)) &&
	       (q->kind != FLOW_QUERY_GET || q->flow_id == r->flow_id);
}

static const struct flow_query *sorted_by;

static int compare(const void *a, const void *b)
{
	const struct flow_record *x = a, *y = b;
	double vx = flow_metric_of(x, sorted_by->metric), vy = flow_metric_of(y, sorted_by->metric);

	if (vx != vy)
		return (vx < vy) == sorted_by->ascending ? -1 : 1;
	return x->flow_id < y->flow_id ? -1 : 1;
}

// All flows of a worker, in table order.
static unsigned worker_flows(struct workers *w, unsigned worker, struct flow_record **ret)
{
	unsigned n = 0;

	for (unsigned c = 0; c < CAPTURES_MAX; c++)
		n += w->captures[c].count[worker];
	*ret = calloc(n + 1, sizeof(**ret));
	n = 0;
	for (unsigned c = 0; c < CAPTURES_MAX; c++) {
		if (w->captures[c].count[worker] == 0)
			continue;
		memcpy(*ret + n, w->captures[c].active[worker],
			w->captures[c].count[worker] * sizeof(**ret));
		n += w->captures[c].count[worker];
	}
	return n;
}

static void query_run(struct workers *w, unsigned worker, struct flow_query *q)
{
	struct flow_record *flows;
	unsigned n = worker_flows(w, worker, &flows), at;

	if (q->kind == FLOW_QUERY_TOP) {
		sorted_by = q;
		qsort(flows, n, sizeof(*flows), compare);
	}
	for (at = q->kind == FLOW_QUERY_LIST ? q->next : 0; at < n; at++) {
		if (q->kind == FLOW_QUERY_LIST && q->count >= q->limit)
			break;
		if (!flow_matches(q, &flows[at]))
			continue;
		q->matched++;
		if (q->count < q->limit)
			q->results[q->count++] = flows[at];
	}
	if (q->kind == FLOW_QUERY_LIST)
		q->next = at < n ? at : UINT32_MAX;
	free(flows);
}

static struct job *job_post(struct workers *w, void *ctx)
{
	struct job *j = calloc(1, sizeof(*j));

	j->ctx = ctx;
	TAILQ_INSERT_TAIL(&w->jobs, j, entry);
	eventfd_write(w->event_fd, 1);
	return j;
}

int workers_query(struct workers *w, struct flow_query *queries, void (*done)(void *), void *ctx)
{
	struct job *j;

	if (w->busy || w->questions >= QUESTIONS_MAX)
		return -EBUSY;
	j = job_post(w, ctx);
	j->queries = queries;
	j->answered = done;
	w->questions++;
	return 0;
}

static void query_answer(struct workers *w, struct job *j)
{
	for (unsigned i = 0; i < w->count; i++)
		query_run(w, i, &j->queries[i]);
	if (!w->race)
		return;
	w->race = false;
	for (unsigned c = 0; c < CAPTURES_MAX; c++)
		capture_end_flows(w, &w->captures[c], FLOW_END_IDLE);
}

void workers_dispatch(struct workers *w)
{
	struct job *j;
	eventfd_t n;

	eventfd_read(w->event_fd, &n);
	while (!w->hold && (j = TAILQ_FIRST(&w->jobs)) != NULL) {
		TAILQ_REMOVE(&w->jobs, j, entry);
		if (j->queries != NULL)
			query_answer(w, j);
		w->questions -= j->queries != NULL;
		if (j->queries != NULL)
			j->answered(j->ctx);
		else
			j->ended(j->ctx, j->n);
		free(j);
	}
}

// --- Captures ---

int capture_source_parse(const char *text, struct capture_source *ret, char *error, size_t size)
{
	memset(ret, 0, sizeof(*ret));
	if (strncmp(text, "pcap:", 5) == 0 || strncmp(text, "afpacket:", 9) == 0)
		return 0;
	snprintf(error, size, "got '%s', accepts pcap:FILE, afpacket:IFACE", text);
	return -EINVAL;
}

const char *capture_phase_name(enum capture_phase phase)
{
	static const char *const names[] = {
		"starting", "running", "paused", "finished", "failed", "stopped"};

	return names[phase];
}

static struct fake_capture *capture_named(struct workers *w, const char *name)
{
	for (unsigned i = 0; i < CAPTURES_MAX; i++)
		if (w->captures[i].used && strcmp(w->captures[i].status.name, name) == 0)
			return &w->captures[i];
	return NULL;
}

int captures_find(struct workers *w, const char *name)
{
	struct fake_capture *c = capture_named(w, name);

	return c != NULL ? (int)(c - w->captures) : -ENOENT;
}

static void count(struct counters *c, uint64_t pkts)
{
	counters_begin(c);
	counter_add(c, COUNTER_received, pkts);
	counter_add(c, COUNTER_received_bytes, pkts * FRAME_BYTES);
	counter_add(c, COUNTER_filtered, pkts / 10);
	counter_add(c, COUNTER_dropped_ring_full, pkts / 20);
	counter_add(c, COUNTER_processed, pkts - pkts / 10 - pkts / 20);
	counter_add(c, COUNTER_processed_bytes, (pkts - pkts / 10 - pkts / 20) * FRAME_BYTES);
	counter_add(c, COUNTER_tcp_segments_received, pkts * 45 / 100);
	counter_add(c, COUNTER_ipv6_fragments, pkts * 3 / 200);
	c->protocol_pkts[PROTOCOL_ETHERNET] += pkts;
	c->protocol_bytes[PROTOCOL_ETHERNET] += pkts * FRAME_BYTES;
	c->protocol_pkts[PROTOCOL_IPV4] += pkts / 2;
	c->protocol_bytes[PROTOCOL_IPV4] += pkts / 2 * FRAME_BYTES;
	c->event[EVENT_tcp_short] += pkts / 100;
	counters_end(c);
}

void fake_tick(struct workers *w)
{
	for (unsigned i = 0; i < CAPTURES_MAX; i++) {
		struct fake_capture *c = &w->captures[i];

		if (!c->used || c->status.phase != CAPTURE_RUNNING)
			continue;
		for (unsigned k = 0; k < w->count; k++)
			count(&c->counters[k], TICK_PKTS);
		c->status.packets_per_second = 20.0 * TICK_PKTS * w->count;
		c->status.bits_per_second = c->status.packets_per_second * FRAME_BYTES * 8;
	}
}

static void capture_fill(struct workers *w, struct fake_capture *c)
{
	uint16_t index = (uint16_t)(c - w->captures);

	for (unsigned i = 0; i < w->count; i++) {
		memset(&c->counters[i], 0, sizeof(c->counters[i]));
		count(&c->counters[i], 10 * TICK_PKTS);
		counter_set(&c->counters[i], COUNTER_flows_active, w->flows);
		c->active[i] = realloc(c->active[i], (w->flows + 1) * sizeof(struct flow_record));
		c->count[i] = w->flows;
		for (unsigned k = 0; k < w->flows; k++)
			flow_make(&c->active[i][k],
				w->started * 1000000 + (uint64_t)k * w->count + i + 1, index,
				(uint16_t)i);
	}
}

int captures_start(struct workers *w, const char *source, const char *name, const char *filter,
	const char *follow_to, char *error, size_t size)
{
	bool live = strncmp(source, "pcap:", 5) != 0;
	struct export_capture known = {.time_source = "file"};
	struct fake_capture *c = w->captures;
	char made[64];

	snprintf(made, sizeof(made), "cap%u", (unsigned)w->started);
	if (name == NULL || name[0] == '\0')
		name = made;
	if (!live && access(source + 5, R_OK) < 0) {
		int rc = -errno;

		snprintf(error, size, "%s: %s", source + 5, strerror(errno));
		return rc;
	}
	if (follow_to != NULL) {
		int fd = export_follow_open(follow_to, error, size);

		if (fd < 0)
			return fd;
		close(fd);
	}
	if (capture_named(w, name) != NULL) {
		snprintf(error, size, "a capture is named '%s' already", name);
		return -EEXIST;
	}
	while (c < w->captures + CAPTURES_MAX && c->used)
		c++;
	if (c == w->captures + CAPTURES_MAX) {
		snprintf(error, size, "%d captures are there, as many as may be", CAPTURES_MAX);
		return -ENOSPC;
	}
	c->used = true;
	memset(&c->status, 0, sizeof(c->status));
	c->status.index = (uint16_t)(c - w->captures);
	snprintf(c->status.name, sizeof(c->status.name), "%s", name);
	snprintf(c->status.source, sizeof(c->status.source), "%s", source);
	snprintf(c->status.filter, sizeof(c->status.filter), "%s", filter != NULL ? filter : "");
	c->status.phase = live ? CAPTURE_RUNNING : CAPTURE_FINISHED;
	c->status.queues = w->count;
	c->status.live = live;
	c->status.started_ns = clock_wall_ns();
	c->status.first_packet_ns = c->status.started_ns;
	c->status.last_packet_ns = c->status.started_ns;
	snprintf(known.name, sizeof(known.name), "%s", name);
	export_capture_set(c->status.index, &known);
	capture_fill(w, c);
	if (!live) {
		c->status.ended_ns = c->status.started_ns;
		c->status.bytes_read = c->status.bytes_total = 1000;
		snprintf(c->status.reason, sizeof(c->status.reason), "end of file");
		capture_end_flows(w, c, FLOW_END_EOF);
	}
	w->started++;
	return c->status.index;
}

int captures_stop(struct workers *w, const char *name, void (*done)(void *, uint64_t), void *ctx)
{
	struct fake_capture *c = capture_named(w, name);
	struct job *j;

	if (c == NULL)
		return -ENOENT;
	if (c->status.phase > CAPTURE_PAUSED) {
		for (unsigned i = 0; i < w->count; i++)
			counters_read(&c->counters[i], &w->past[i]);
		export_recent_forget(w->export, c->status.index);
		c->used = false;
		done(ctx, 0);
		return 0;
	}
	j = job_post(w, ctx);
	j->ended = done;
	j->n = capture_end_flows(w, c, FLOW_END_FORCED);
	c->status.phase = CAPTURE_STOPPED;
	c->status.ended_ns = clock_wall_ns();
	return 0;
}

int captures_flush(struct workers *w, int index, void (*done)(void *, uint64_t), void *ctx)
{
	struct job *j = job_post(w, ctx);

	j->ended = done;
	for (int i = 0; i < CAPTURES_MAX; i++)
		if (index < 0 || i == index)
			j->n += capture_end_flows(w, &w->captures[i], FLOW_END_FORCED);
	return 0;
}

unsigned captures_list(struct workers *w, struct capture_status *ret, unsigned max)
{
	unsigned n = 0;

	for (unsigned i = 0; i < CAPTURES_MAX && n < max; i++)
		if (w->captures[i].used)
			ret[n++] = w->captures[i].status;
	return n;
}

void captures_counters(struct workers *w, int index, int worker, struct counters *sum)
{
	for (unsigned k = 0; k < w->count; k++) {
		if (worker >= 0 && (unsigned)worker != k)
			continue;
		for (int i = 0; i < CAPTURES_MAX; i++)
			if (w->captures[i].used && (index < 0 || i == index))
				counters_read(&w->captures[i].counters[k], sum);
		if (index < 0)
			counters_read(&w->past[k], sum);
	}
}

void captures_losses(struct workers *w, int index, struct capture_losses *ret)
{
	*ret = (struct capture_losses){
		.missed = 3, .kernel = w->captures[index].status.live ? 7 : 0};
}

unsigned captures_queue_counters(
	struct workers *w, int index, struct capture_queue_counters *ret, unsigned max)
{
	unsigned n = w->count < max ? w->count : max;

	for (unsigned i = 0; i < n; i++) {
		const uint64_t *v = w->captures[index].counters[i].value;

		ret[i] = (struct capture_queue_counters){
			.worker = i,
			.received = v[COUNTER_received],
			.processed = v[COUNTER_processed],
			.filtered = v[COUNTER_filtered],
			.dropped_ring_full = v[COUNTER_dropped_ring_full],
		};
	}
	return n;
}
