// SPDX-License-Identifier: Apache-2.0
// What a packet costs from memory to its flow, on one core, without a source: frames lie in memory, a
// burst's descriptors are filled in, decoded, hashed and taken to the flow table. Each line adds a
// stage to the one before; the figure is thread CPU time a packet, median and minimum over passes.
//
// A flow is young while it has had fewer packets than its sequence of sizes and times holds: until then
// each packet writes to the cold part, too. By default all flows get so many before it begins; -y
// measures without. New flows (-N, a share of all packets) are single SYNs, each of a flow not seen
// before, that time out after a second of the packets' own time: packets come 100 ns apart, so that a
// share of 0.1 is a million new flows a second.
//
// With -m each frame lies behind a head as large as an mbuf's, of which both lines are read: that is the
// memory that a driver's packets cost, and what a prototype on mbufs has to be compared with.
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "counters.h"
#include "decode.h"
#include "flow.h"
#include "frames.h"
#include "hash.h"
#include "ring.h"

enum {
	PASSES_MAX = 64,
	EXPIRE_BUDGET = 128,     // as a worker's
	ESTABLISHED_SPREAD = 32, // so many more, at most
	ESTABLISHED_PKTS = 17,   // one more than the sequence of a flow holds
	PACKET_NS = 100,         // from one packet to the next
	QUERY_STEP = 1024,       // entries
	NEW_REPEATS = 5, // passes at a time with new flows: a second, since flows expire by seconds
};

enum stage {
	STAGE_TOUCH,
	STAGE_DECODE,
	STAGE_KEY,
	STAGE_FLOW,
	STAGE_EXPIRE,
	STAGES,
};

static const char *const stage_names[STAGES] = {"fill descriptor, touch frame", "+ decode",
	"+ key and hash", "+ flow table and statistics", "+ expiry and records"};
static const char *const stage_ids[STAGES] = {"touch", "decode", "key", "flow", "all"};

struct bench {
	struct frames frames;
	struct frames_options options;
	const char *file;
	bool young;
	bool json;
	unsigned passes;
	struct flow_table *table;
	struct flow_config config;
	struct ring *records;
	struct counters *counters;
	uint64_t now_ns;
	uint64_t offset_ns; // added to a file's times: each pass is later than the one before
	uint32_t renewed;   // flows that were never seen before
	uint64_t memory_before;
};

struct result {
	double ns[STAGES][PASSES_MAX];
	uint64_t created, expired, evicted; // in the last pass with all stages
	double seconds;                     // of CPU, that pass
	unsigned active;
	double bytes_per_flow; // resident
	double query_ms;       // a top query over all flows, nothing else going on
};

static uint64_t sink;

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t resident_bytes(void)
{
	unsigned long long size = 0, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == NULL || fscanf(f, "%llu %llu", &size, &pages) != 2)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return pages * 4096;
}

static uint64_t counter(const struct bench *b, enum counter_id id)
{
	return b->counters->value[id];
}

static void drain(struct ring *r)
{
	ring_publish(r);
	while (ring_next(r) != NULL)
		;
	ring_release(r);
}

// --- A burst ---

static void take_flows(struct bench *b, struct packet *pkts, enum stage stage)
{
	struct packet *all[PACKET_BURST];

	for (unsigned k = 0; k < PACKET_BURST; k++) {
		all[k] = &pkts[k];
		for (unsigned l = 0; l < pkts[k].layer_count; l++)
			pkts[k].layer[l].owner = 0;
	}
	flow_burst(b->table, all, PACKET_BURST);
	if (stage >= STAGE_EXPIRE)
		flow_expire(b->table, 0, b->now_ns, EXPIRE_BUDGET);
	drain(b->records);
}

static inline void fill(struct bench *b, struct packet *p, uint8_t *data, uint32_t bytes,
	uint32_t is_new, uint64_t seq)
{
	p->data = data;
	p->caplen = p->wirelen = bytes;
	p->ts_ns = p->now_ns = b->now_ns += PACKET_NS;
	p->seq = seq;
	p->link = LINK_ETHERNET;
	p->flags = 0;
	p->capture = 0;
	if (is_new)
		frame_renew(data, b->renewed++ & 0x7fffffff, b->frames.ipv6);
}

// Returns the frames' bytes that were touched, so that they are.
static uint64_t fill_burst(struct bench *b, struct packet *pkts, uint64_t at)
{
	const struct frame *f = &b->frames.frame[at];
	uint64_t sum = 0;

	for (unsigned k = 0; k < PACKET_BURST; k++, f++) {
		// The list of frames is as long as a burst more: see frames_map.
		const uint8_t *ahead = at + 2 * PACKET_BURST <= b->frames.count
		                               ? f[PACKET_BURST].data
		                               : f->data;

		__builtin_prefetch(ahead);
		if (b->options.is_mbuf) {
			const struct frame_head *h = (const struct frame_head *)(f->data -
										 FRAME_HEAD_BYTES);

			__builtin_prefetch(ahead - FRAME_HEAD_BYTES);
			fill(b, &pkts[k], f->data, h->bytes, h->is_new, at + k);
			sum += h->ts_ns;
		} else {
			fill(b, &pkts[k], f->data, f->bytes, f->is_new, at + k);
		}
		if (b->file != NULL) {
			b->now_ns = f->ts_ns + b->offset_ns;
			pkts[k].ts_ns = pkts[k].now_ns = b->now_ns;
		}
		sum += f->data[30];
	}
	return sum;
}

static void pass(struct bench *b, enum stage stage)
{
	static const struct decode_config decode = {.tunnel_depth = 4};
	static struct packet pkts[PACKET_BURST];

	for (uint64_t i = 0; i < b->frames.count; i += PACKET_BURST) {
		sink += fill_burst(b, pkts, i);
		if (stage >= STAGE_DECODE)
			decode_burst(&decode, pkts, PACKET_BURST);
		if (stage >= STAGE_KEY)
			flow_key_hash(&b->config, pkts, PACKET_BURST);
		if (stage >= STAGE_FLOW)
			take_flows(b, pkts, stage);
	}
}

// --- Before and between passes ---

// How many packets a flow has had before it begins: not the same for all, or what a flow does every so
// many packets would be done by all in one pass and by none in the next.
static unsigned packets_before(uint32_t flow)
{
	return ESTABLISHED_PKTS + (flow * 2654435761u >> 27);
}

// Each flow in turn gets its next packet, until all are established.
static void establish(struct bench *b)
{
	static const struct decode_config decode = {.tunnel_depth = 4};
	static struct packet pkts[PACKET_BURST];
	static uint8_t frames[PACKET_BURST][FRAME_BYTES];
	unsigned count = 0;

	for (unsigned step = 0; step < ESTABLISHED_PKTS + ESTABLISHED_SPREAD; step++)
		for (uint32_t flow = 0; flow < b->options.flows; flow++) {
			uint32_t bytes;

			if (step >= packets_before(flow))
				continue;
			bytes = frame_make(frames[count], flow, step, step & 1, b->options.ipv6,
				b->options.kind);
			fill(b, &pkts[count], frames[count], bytes, false, 0);
			if (++count < PACKET_BURST)
				continue;
			decode_burst(&decode, pkts, PACKET_BURST);
			flow_key_hash(&b->config, pkts, PACKET_BURST);
			take_flows(b, pkts, STAGE_EXPIRE);
			count = 0;
		}
}

// A file's flows are begun anew by each pass: it is later, and what was left is ended before.
static void end_flows(struct bench *b)
{
	if (b->file == NULL)
		return;
	while (flow_capture_end(b->table, 0, b->now_ns, FLOW_END_EOF, 4096, true) > 0)
		drain(b->records);
	drain(b->records);
	b->offset_ns += 3600 * NSEC_PER_S;
}

// New flows have to reach the number at which as many time out as begin.
static void settle(struct bench *b)
{
	uint64_t until = b->now_ns + 4 * b->config.tcp_new_ns;

	while (b->options.new_share > 0 && b->now_ns < until)
		pass(b, STAGE_EXPIRE);
}

static void measure(struct bench *b, struct result *r, enum stage stage, unsigned number)
{
	unsigned repeats = b->options.new_share > 0 ? NEW_REPEATS : 1;
	uint64_t now_ns = b->now_ns, begin;

	if (stage == STAGE_EXPIRE)
		settle(b); // after the pass without expiry
	r->created = counter(b, COUNTER_flows_created);
	r->expired = counter(b, COUNTER_flows_ended_idle);
	r->evicted = counter(b, COUNTER_flows_ended_evicted);
	begin = cpu_ns();
	for (unsigned n = 0; n < repeats; n++)
		pass(b, stage);
	r->seconds = (double)(cpu_ns() - begin) * 1e-9;
	r->ns[stage][number] = r->seconds * 1e9 / (double)b->frames.count / repeats;
	r->active = flow_table_active(b->table);
	r->created = counter(b, COUNTER_flows_created) - r->created;
	r->expired = counter(b, COUNTER_flows_ended_idle) - r->expired;
	r->evicted = counter(b, COUNTER_flows_ended_evicted) - r->evicted;
	if (stage >= STAGE_FLOW)
		end_flows(b);
	else
		b->now_ns = now_ns; // the table has seen none of it
}

// What the worker spends on flows.top 20, in steps as between bursts.
static double query_ms(struct bench *b)
{
	static struct flow_record records[20];
	struct flow_query q = {.kind = FLOW_QUERY_TOP,
		.metric = FLOW_BY_BYTES,
		.capture = -1,
		.app_proto = -1,
		.limit = 20,
		.results = records};
	uint64_t begin;

	if (flow_query_init(&q) != 0)
		return 0;
	begin = cpu_ns();
	while (!flow_query_step(b->table, &q, QUERY_STEP))
		;
	begin = cpu_ns() - begin;
	sink += q.count;
	flow_query_fini(&q);
	return (double)begin * 1e-6;
}

static void run(struct bench *b, struct result *r)
{
	b->memory_before = resident_bytes();
	if (b->file == NULL && !b->young)
		establish(b);
	else
		pass(b, STAGE_EXPIRE);
	settle(b);
	r->bytes_per_flow = (double)(resident_bytes() - b->memory_before) /
	                    (flow_table_active(b->table) + 1e-9);
	end_flows(b);
	for (unsigned n = 0; n < b->passes; n++)
		for (unsigned s = 0; s < STAGES; s++)
			measure(b, r, (enum stage)s, n);
	r->query_ms = query_ms(b);
}

// --- Report ---

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, c = *(const double *)y;

	return a < c ? -1 : a > c;
}

static void describe(const struct bench *b, char *to, size_t size)
{
	const struct frames_options *o = &b->options;
	int n;

	if (b->file != NULL) {
		n = snprintf(to, size, "%s", b->file);
	} else {
		n = snprintf(to, size, "%u %s%s flows, %s", o->flows, b->young ? "young " : "",
			o->ipv6 ? "IPv6" : "IPv4", o->kind == FRAMES_TCP ? "TCP, " : "");
		if (o->zipf > 0)
			n += snprintf(to + n, size - (size_t)n, "Zipf %g", o->zipf);
		else
			n += snprintf(to + n, size - (size_t)n, "uniform");
	}
	if (o->new_share > 0)
		n += snprintf(to + n, size - (size_t)n, ", %g new", o->new_share);
	if (o->is_mbuf)
		snprintf(to + n, size - (size_t)n, ", behind mbuf heads");
}

static void print_table(const struct bench *b, const struct result *r)
{
	char name[4200];

	describe(b, name, sizeof(name));
	printf("%s: %llu packets of %.0f bytes, %u in the table\n", name,
		(unsigned long long)b->frames.count,
		(double)b->frames.bytes / (double)b->frames.count, r->active);
	for (unsigned s = 0; s < STAGES; s++) {
		double ns = r->ns[s][b->passes / 2];

		printf("  %-30s %6.1f ns (min %.1f)  %6.2f Mpps  %6.1f Gbps\n", stage_names[s], ns,
			r->ns[s][0], 1e3 / ns,
			(double)b->frames.bytes * 8 / (double)b->frames.count / ns);
	}
	if (r->created > 0)
		printf("  %.2f M new flows/s, %.2f M timed out/s, %llu ended early, %u active\n",
			(double)r->created * 1e-6 / r->seconds,
			(double)r->expired * 1e-6 / r->seconds, (unsigned long long)r->evicted,
			r->active);
	if (b->file == NULL)
		printf("  %.0f bytes resident a flow, packets' memory aside; top 20 of all: %.2f "
		       "ms\n",
			r->bytes_per_flow, r->query_ms);
}

static void print_json(const struct bench *b, const struct result *r)
{
	char name[4200];

	describe(b, name, sizeof(name));
	printf("{\"name\": \"%s\", \"flows\": %u, \"packets\": %llu, \"bytes\": %llu, \"ns\": {",
		name, b->options.flows, (unsigned long long)b->frames.count,
		(unsigned long long)b->frames.bytes);
	for (unsigned s = 0; s < STAGES; s++)
		printf("%s\"%s\": [%.2f, %.2f]", s > 0 ? ", " : "", stage_ids[s],
			r->ns[s][b->passes / 2], r->ns[s][0]);
	printf("}, \"active\": %u, \"new_per_s\": %.0f, \"expired_per_s\": %.0f, \"evicted\": "
	       "%llu, "
	       "\"bytes_per_flow\": %.0f, \"query_ms\": %.3f}\n",
		r->active, (double)r->created / r->seconds, (double)r->expired / r->seconds,
		(unsigned long long)r->evicted, r->bytes_per_flow, r->query_ms);
}

// --- Options ---

static const char usage[] =
	"bench_flow [-n FLOWS] [-p PACKETS] [-r PASSES] [-z ZIPF] [-6] [-t] [-m] [-y] [-N SHARE] "
	"[-j]\n"
	"bench_flow -f FILE [-r PASSES] [-j]\n"
	"  -t TCP with requests, responses and empty ACKs   -m behind heads as mbufs have\n"
	"  -y young flows   -N share of packets that begin a flow   -j JSON, one line\n";

static int parse(int argc, char **argv, struct bench *b)
{
	struct frames_options *o = &b->options;
	int c;

	while ((c = getopt(argc, argv, "n:p:r:z:6tmyN:f:j")) != -1)
		switch (c) {
		case 'n':
			o->flows = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			o->packets = strtoull(optarg, NULL, 10) & ~(uint64_t)(PACKET_BURST - 1);
			break;
		case 'r':
			b->passes = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'z':
			o->zipf = atof(optarg);
			break;
		case '6':
			o->ipv6 = true;
			break;
		case 't':
			o->kind = FRAMES_TCP;
			break;
		case 'm':
			o->is_mbuf = true;
			break;
		case 'y':
			b->young = true;
			break;
		case 'N':
			o->new_share = atof(optarg);
			break;
		case 'f':
			b->file = optarg;
			break;
		case 'j':
			b->json = true;
			break;
		default:
			return -1;
		}
	return optind < argc || o->flows == 0 || o->flows >= 1 << 24 || o->packets == 0 ||
	                       b->passes == 0 || b->passes > PASSES_MAX || o->new_share < 0 ||
	                       o->new_share >= 1
	               ? -1
	               : 0;
}

// Room for the flows, and for those that are new and have not timed out yet: two seconds' worth.
static void configure(struct bench *b)
{
	double fresh = b->options.new_share * (double)NSEC_PER_S / PACKET_NS * 2.5;

	b->config = (struct flow_config){
		.capacity = (b->options.flows < 1024 ? 1024 : b->options.flows) + (uint32_t)fresh,
		.key_tunnel = true,
		.tcp_new_ns = b->options.new_share > 0 ? NSEC_PER_S : 30 * NSEC_PER_S,
		.tcp_established_ns = 300 * NSEC_PER_S,
		.tcp_closed_ns = 10 * NSEC_PER_S,
		.udp_ns = 60 * NSEC_PER_S,
		.icmp_ns = 30 * NSEC_PER_S,
		.other_ns = 60 * NSEC_PER_S,
		.active_ns = 300 * NSEC_PER_S,
	};
}

int main(int argc, char **argv)
{
	static struct result result;
	struct bench b = {.options = {.flows = 1000000, .packets = 1 << 21},
		.passes = 5,
		.now_ns = 1700000000 * NSEC_PER_S};
	struct flow_capture capture = {.name = "bench", .lossless = true};

	if (parse(argc, argv, &b) != 0) {
		fputs(usage, stderr);
		return 2;
	}
	hash_seed_init();
	configure(&b);
	b.records = ring_new(16 << 20);
	b.counters = aligned_alloc(64, sizeof(*b.counters));
	b.table = flow_table_new(&b.config, 0, b.records);
	if (b.records == NULL || b.counters == NULL || b.table == NULL) {
		fprintf(stderr, "no memory\n");
		return 1;
	}
	memset(b.counters, 0, sizeof(*b.counters));
	capture.counters = b.counters;
	flow_capture_begin(b.table, 0, &capture);
	if (b.file != NULL)
		frames_load(&b.frames, b.file);
	else
		frames_make(&b.frames, &b.options);
	run(&b, &result);
	for (unsigned s = 0; s < STAGES; s++)
		qsort(result.ns[s], b.passes, sizeof(result.ns[s][0]), by_value);
	(b.json ? print_json : print_table)(&b, &result);
	flow_table_free(b.table);
	ring_free(b.records);
	free(b.counters);
	return sink == 1;
}
