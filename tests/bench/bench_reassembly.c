// SPDX-License-Identifier: Apache-2.0
// What putting TCP streams in order costs a segment, on one core, without a source. A trace lies in
// memory; each pass decodes it, finds its flows and, every other pass, hands its segments to the
// reassembly stage, as workers do: the difference over the TCP segments is the stage's cost. Once as
// the trace is, once with one in twenty of its data segments put behind the next one of its direction.
// Then the stage alone, all in order and 5% out of order, for some numbers of streams.
// Figures are thread CPU time, the median over passes.
//
//   bench_reassembly --mktrace PATH [FLOWS [PASSES]]
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "counters.h"
#include "decode.h"
#include "flow.h"
#include "hash.h"
#include "pipeline_copy.h"
#include "pipeline_streams.h"
#include "reassembly.h"
#include "ring.h"

enum { PASSES_MAX = 31, REORDER_PERCENT = 5, STAGE_SEGMENTS = 1 << 21, PAYLOAD = 1000 };

struct frame {
	const uint8_t *data;
	uint64_t ts_ns;
	uint32_t size;
};

struct trace {
	uint8_t *bytes;
	struct frame *frame;
	uint32_t count, segments;
};

static const struct decode_config decode = {.tunnel_depth = 4};
static const struct flow_config keys = {.capacity = 1 << 17,
	.key_tunnel = true,
	.tcp_new_ns = 30 * NSEC_PER_S,
	.tcp_established_ns = 300 * NSEC_PER_S,
	.tcp_closed_ns = 10 * NSEC_PER_S,
	.udp_ns = 60 * NSEC_PER_S,
	.icmp_ns = 30 * NSEC_PER_S,
	.other_ns = 60 * NSEC_PER_S};

static uint64_t random_state = 7;

static uint32_t below(uint32_t n)
{
	uint64_t z = (random_state += 0x9E3779B97F4A7C15u);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	return (uint32_t)((z ^ (z >> 27)) * 0x94D049BB133111EBu >> 33) % n;
}

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_S + (uint64_t)t.tv_nsec;
}

static void *get(size_t size)
{
	void *p = calloc(1, size);

	if (p == NULL) {
		fprintf(stderr, "no memory\n");
		exit(1);
	}
	return p;
}

static double median(double *v, unsigned n)
{
	for (unsigned i = 1; i < n; i++)
		for (unsigned k = i; k > 0 && v[k] < v[k - 1]; k--) {
			double x = v[k];

			v[k] = v[k - 1];
			v[k - 1] = x;
		}
	return v[n / 2];
}

// --- The trace ---

static void read_all(const char *mktrace, unsigned flows, struct trace *t)
{
	char command[4096];
	size_t room = 64 << 20, size = 0, n;
	FILE *f;

	snprintf(command, sizeof(command), "'%s' mix /dev/stdout %u 2>/dev/null", mktrace, flows);
	f = popen(command, "r");
	t->bytes = get(room);
	while (f != NULL && (n = fread(t->bytes + size, 1, room - size, f)) > 0) {
		size += n;
		if (size == room)
			t->bytes = realloc(t->bytes, room *= 2);
		if (t->bytes == NULL)
			exit(1);
	}
	if (f == NULL || pclose(f) != 0 || size < 24) {
		fprintf(stderr, "%s makes no trace\n", mktrace);
		exit(1);
	}
	t->frame = get(size / 16 * sizeof(*t->frame));
	for (size_t at = 24; at + 16 <= size;) {
		uint32_t head[4];

		memcpy(head, t->bytes + at, sizeof(head));
		t->frame[t->count++] = (struct frame){
			t->bytes + at + 16, head[0] * NSEC_PER_S + head[1], head[2]};
		at += 16 + head[2];
	}
}

static unsigned fill(const struct trace *t, uint32_t from, struct packet *pkts)
{
	unsigned n = t->count - from < PACKET_BURST ? t->count - from : PACKET_BURST;

	for (unsigned k = 0; k < n; k++) {
		const struct frame *f = &t->frame[from + k];
		struct packet *p = &pkts[k];

		p->data = f->data;
		p->caplen = p->wirelen = f->size;
		p->ts_ns = p->now_ns = f->ts_ns;
		p->seq = from + k;
		p->link = LINK_ETHERNET;
		p->flags = 0;
		p->capture = 0;
	}
	decode_burst(&decode, pkts, n);
	flow_key_hash(&keys, pkts, n);
	for (unsigned k = 0; k < n; k++)
		for (unsigned l = 0; l < pkts[k].layer_count; l++)
			pkts[k].layer[l].owner = 0;
	return n;
}

static void swap_frames(struct trace *t, uint32_t a, uint32_t b)
{
	struct frame x = t->frame[a];

	t->frame[a] = t->frame[b];
	t->frame[b] = x;
	t->frame[b].ts_ns = t->frame[a].ts_ns;
	t->frame[a].ts_ns = x.ts_ns;
}

// Finds the data segments, each behind the one before it of its direction.
static void reorder(struct trace *t)
{
	enum { BUCKETS = 1 << 20 };
	struct {
		uint64_t hash;
		uint32_t frame;
	} *last = get(BUCKETS * sizeof(*last));
	struct packet pkts[PACKET_BURST];

	for (uint32_t i = 0; i < t->count; i += PACKET_BURST) {
		unsigned n = fill(t, i, pkts);

		for (unsigned k = 0; k < n; k++) {
			const struct ip_layer *l = &pkts[k].layer[0];
			uint64_t key = 2 * l->hash + l->swapped;

			if (pkts[k].layer_count == 0 || l->proto != 6 || l->payload_len == 0)
				continue;
			if (last[key % BUCKETS].hash == key && below(100) < REORDER_PERCENT) {
				swap_frames(t, last[key % BUCKETS].frame, i + k);
				last[key % BUCKETS].hash = 0;
			} else {
				last[key % BUCKETS].hash = key;
				last[key % BUCKETS].frame = i + k;
			}
		}
	}
	free(last);
}

static void drain(struct ring *r)
{
	ring_publish(r);
	while (ring_next(r) != NULL)
		;
	ring_release(r);
}

// One pass, with fresh flows. Returns ns.
static uint64_t pass(const struct trace *t, bool with_streams, struct counters *c)
{
	struct streams_config config = {.reassembly = {.bytes = 64 << 20}};
	struct ring *records = ring_new(16 << 20);
	struct flow_table *flows = flow_table_new(&keys, 0, records);
	struct flow_capture capture = {.name = "bench", .lossless = true, .counters = c};
	struct packet pkts[PACKET_BURST], *all[PACKET_BURST];
	struct stream_copy *copy = NULL;
	struct streams *streams = NULL;
	uint64_t ns = 0, begin;

	memset(c, 0, sizeof(*c));
	if (records == NULL || flows == NULL)
		exit(1);
	if (with_streams) {
		copy = stream_copy_new(flows, keys.capacity, records, false);
		if (copy == NULL)
			exit(1);
		stream_copy_capture_begin(copy, 0, &capture, false);
		config.consumer[config.consumer_count++] = stream_copy_consumer(copy);
		streams = streams_new(&config, keys.capacity, flows, records);
		if (streams == NULL)
			exit(1);
		streams_capture_begin(streams, 0, c);
	}
	flow_capture_begin(flows, 0, &capture);
	for (unsigned k = 0; k < PACKET_BURST; k++)
		all[k] = &pkts[k];
	begin = cpu_ns();
	for (uint32_t i = 0; i < t->count; i += PACKET_BURST) {
		unsigned n = fill(t, i, pkts);

		flow_burst(flows, all, n);
		drain(records);
	}
	ns = cpu_ns() - begin;
	flow_table_free(flows);
	streams_free(streams);
	stream_copy_free(copy);
	ring_free(records);
	return ns;
}

// Returns the cost of a segment.
static double run_trace(const char *name, const struct trace *t, unsigned passes)
{
	static double off[PASSES_MAX], on[PASSES_MAX], added[PASSES_MAX];
	struct counters *c = get(sizeof(*c));
	struct reassembly_stats s;
	double cost;

	pass(t, true, c); // warms up
	for (unsigned i = 0; i < passes; i++) {
		off[i] = (double)pass(t, false, c);
		on[i] = (double)pass(t, true, c);
		added[i] = on[i] - off[i];
	}
	reassembly_stats_of(c, &s);
	cost = median(added, passes) / (double)s.segments_received;
	printf("%s: %u packets, %llu TCP segments, %.2f%% of them out of order\n", name, t->count,
		(unsigned long long)s.segments_received,
		100.0 * (double)s.out_of_order_segments / (double)s.segments_received);
	printf("  %-40s %6.1f ns a packet\n", "decode, key, flow table",
		median(off, passes) / t->count);
	printf("  %-40s %6.1f ns a packet\n", "with reassembly", median(on, passes) / t->count);
	printf("  %-40s %6.1f ns a TCP segment\n", "reassembly adds", cost);
	free(c);
	return cost;
}

// --- The stage alone ---

struct side {
	uint32_t next;
	bool is_swapped; // what is next has been sent; what was before it comes now
};

static void make_segment(
	struct packet *p, struct ip_layer *l, const struct side *s, uint32_t seq, uint8_t direction)
{
	static const uint8_t bytes[64 + PAYLOAD];

	p->data = bytes;
	p->caplen = p->wirelen = 54 + PAYLOAD;
	p->ts_ns = p->now_ns += 1000;
	p->event_count = 0;
	p->capture = 0;
	l->version = 4;
	l->proto = 6;
	l->flags = LAYER_L4;
	l->swapped = direction;
	l->payload_off = 54;
	l->payload_len = PAYLOAD;
	l->tcp.seq = seq;
	l->tcp.ack = s[direction ^ 1].is_swapped ? s[direction ^ 1].next - 2 * PAYLOAD
	                                         : s[direction ^ 1].next;
	l->tcp.flags = 16;
	l->tcp.window = 65535;
}

// Returns the sequence number of the next segment.
static uint32_t next_seq(struct side *s, unsigned percent)
{
	if (s->is_swapped) {
		s->is_swapped = false;
		return s->next - 2 * PAYLOAD;
	}
	if (below(100) < percent) {
		s->is_swapped = true;
		s->next += 2 * PAYLOAD;
		return s->next - PAYLOAD;
	}
	s->next += PAYLOAD;
	return s->next - PAYLOAD;
}

static uint64_t stage_pass(struct reassembly *r, struct side (*side)[2], uint32_t streams,
	unsigned percent, bool is_measured)
{
	static struct packet pkts[PACKET_BURST];
	uint32_t stream[PACKET_BURST];
	uint64_t ns = cpu_ns();

	for (uint32_t i = 0; i < STAGE_SEGMENTS; i += PACKET_BURST) {
		for (unsigned k = 0; k < PACKET_BURST; k++) {
			uint8_t d = (uint8_t)below(2);

			stream[k] = 1 + below(streams);
			make_segment(&pkts[k], &pkts[k].layer[0], side[stream[k]],
				next_seq(&side[stream[k]][d], percent), d);
			if (is_measured)
				reassembly_prefetch(r, stream[k]);
		}
		for (unsigned k = 0; is_measured && k < PACKET_BURST; k++)
			reassembly_segment(r, stream[k], &pkts[k], &pkts[k].layer[0]);
	}
	return cpu_ns() - ns;
}

static double run_stage(uint32_t streams, unsigned percent, unsigned passes)
{
	static double added[PASSES_MAX];
	const struct reassembly_config config = {.streams = streams, .bytes = 256 << 20};
	struct side(*side)[2] = get((streams + 1) * sizeof(*side));
	struct side(*twin)[2] = get((streams + 1) * sizeof(*side));
	struct counters *c = get(sizeof(*c));
	struct reassembly *r = reassembly_new(&config);

	if (r == NULL)
		exit(1);
	reassembly_capture_begin(r, 0, c);
	stage_pass(r, side, streams, percent, true);
	for (unsigned i = 0; i < passes; i++) {
		uint64_t without = stage_pass(r, twin, streams, percent, false);

		added[i] = (double)stage_pass(r, side, streams, percent, true) - (double)without;
	}
	reassembly_free(r);
	free(c);
	free(side);
	free(twin);
	return median(added, passes) / STAGE_SEGMENTS;
}

int main(int argc, char **argv)
{
	static const uint32_t streams[] = {1, 1000, 10000, 100000, 1000000};
	unsigned flows = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 8000;
	unsigned passes = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 7;
	struct trace t = {.count = 0};
	double as_is, reordered;

	if (argc < 3 || strcmp(argv[1], "--mktrace") != 0 || flows == 0 || passes == 0 ||
		passes > PASSES_MAX) {
		fprintf(stderr, "usage: bench_reassembly --mktrace PATH [FLOWS [PASSES]]\n");
		return 2;
	}
	hash_seed_init();
	read_all(argv[2], flows, &t);
	as_is = run_trace("mix", &t, passes);
	reorder(&t);
	reordered = run_trace("mix, 5% of the data segments behind the next", &t, passes);
	printf("  %-40s %6.2f\n", "ratio", reordered / as_is);
	printf("the stage alone, ns a segment: in order, %d%% swapped\n", REORDER_PERCENT);
	for (unsigned i = 0; i < sizeof(streams) / sizeof(streams[0]); i++)
		printf("  %8u streams %6.1f %6.1f\n", streams[i], run_stage(streams[i], 0, passes),
			run_stage(streams[i], REORDER_PERCENT, passes));
	free(t.bytes);
	free(t.frame);
	return 0;
}
