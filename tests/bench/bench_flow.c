// SPDX-License-Identifier: Apache-2.0
// What a packet costs from memory to its flow, on one core, without a source: frames lie in memory, a
// burst's descriptors are filled in, decoded, hashed and taken to the flow table. Each line adds a
// stage to the one before; the figure is thread CPU time a packet, minimum and median over passes.
//
//   bench_flow [-n FLOWS] [-p PACKETS] [-r PASSES] [-z ZIPF] [-6]
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "clock.h"
#include "counters.h"
#include "decode.h"
#include "flow.h"
#include "hash.h"
#include "ring.h"

enum { FRAME_BYTES = 128, PASSES_MAX = 64 };

enum stage { STAGE_TOUCH, STAGE_DECODE, STAGE_KEY, STAGE_FLOW, STAGES };

static const char *const stage_names[STAGES] = {"fill descriptor, touch frame", "+ decode",
	"+ key and hash", "+ flow table and statistics"};

struct bench {
	uint8_t *frames;
	uint64_t packets;
	unsigned flows;
	double zipf;
	bool ipv6;
	struct flow_table *table;
	struct flow_config config;
	struct ring *records;
	struct counters *counters;
	uint64_t now_ns;
};

static uint64_t sink;

static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t next_random(uint64_t *s)
{
	uint64_t z = (*s += 0x9E3779B97F4A7C15u);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

// A frame of flow f, one way or the other: TCP with data and ACK, or UDP.
static void make_frame(uint8_t *d, uint32_t f, bool back, bool ipv6)
{
	uint64_t seed = f;
	uint64_t x = next_random(&seed);
	bool udp = (x >> 60) >= 10;
	unsigned client = 1024 + (unsigned)(x >> 20) % 60000, server = udp ? 53 : 443;
	uint8_t *ip = d + 14, *l4 = ip + (ipv6 ? 40 : 20);
	unsigned length = ipv6 ? 26 : 46;

	memset(d, 0, FRAME_BYTES);
	memcpy(d, (const uint8_t[12]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, 12);
	put16(d + 12, ipv6 ? 0x86dd : 0x0800);
	if (ipv6) {
		ip[0] = 0x60;
		put16(ip + 4, length);
		ip[6] = udp ? 17 : 6;
		ip[7] = 64;
		put32(ip + (back ? 24 : 8), 0x20010db8);
		put32(ip + (back ? 36 : 20), f);
		put32(ip + (back ? 8 : 24), 0x20010db9);
		put32(ip + (back ? 20 : 36), (uint32_t)x & 0x1ffff);
	} else {
		ip[0] = 0x45;
		put16(ip + 2, length);
		ip[8] = 64;
		ip[9] = udp ? 17 : 6;
		put32(ip + (back ? 16 : 12), 0x0a000000 | f);
		put32(ip + (back ? 12 : 16), 0xC6120000 | ((uint32_t)x & 0x1ffff));
	}
	put16(l4 + (back ? 2 : 0), client);
	put16(l4 + (back ? 0 : 2), server);
	if (udp) {
		put16(l4 + 4, 26);
	} else {
		l4[12] = 0x50;
		l4[13] = 0x10;
		put16(l4 + 14, 1000);
	}
}

static double *zipf_table(unsigned n, double s)
{
	double *cdf = malloc(n * sizeof(*cdf)), sum = 0;

	for (unsigned i = 0; i < n; i++)
		cdf[i] = sum += 1 / pow(i + 1, s);
	for (unsigned i = 0; i < n; i++)
		cdf[i] /= sum;
	return cdf;
}

static uint32_t pick(const struct bench *b, const double *cdf, uint64_t *seed)
{
	uint64_t r = next_random(seed);
	uint32_t low = 0, high = b->flows - 1;
	double u;

	if (cdf == NULL)
		return (uint32_t)(((__uint128_t)r * b->flows) >> 64);
	u = (double)(r >> 11) * 0x1p-53;
	while (low < high) {
		uint32_t middle = (low + high) / 2;

		if (cdf[middle] < u)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void *map_large(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	madvise(p, size, MADV_HUGEPAGE);
	return p;
}

static void make_frames(struct bench *b)
{
	double *cdf = b->zipf > 0 ? zipf_table(b->flows, b->zipf) : NULL;
	uint64_t seed = 42;

	b->frames = map_large(b->packets * FRAME_BYTES);
	for (uint64_t i = 0; i < b->packets; i++) {
		uint32_t f = pick(b, cdf, &seed);

		make_frame(b->frames + i * FRAME_BYTES, f, next_random(&seed) & 1, b->ipv6);
	}
	free(cdf);
}

static void drain(struct ring *r)
{
	ring_publish(r);
	while (ring_next(r) != NULL)
		;
	ring_release(r);
}

static void pass(struct bench *b, enum stage stage)
{
	static const struct decode_config decode = {.tunnel_depth = 4};
	static struct packet pkts[PACKET_BURST];
	struct packet *all[PACKET_BURST];
	uint64_t sum = 0;

	for (uint64_t i = 0; i < b->packets; i += PACKET_BURST) {
		for (unsigned k = 0; k < PACKET_BURST; k++) {
			struct packet *p = &pkts[k];

			p->data = b->frames + (i + k) * FRAME_BYTES;
			__builtin_prefetch(p->data + PACKET_BURST * FRAME_BYTES);
			p->caplen = p->wirelen = 60;
			p->ts_ns = p->now_ns = b->now_ns += 100;
			p->seq = i + k;
			p->link = LINK_ETHERNET;
			p->flags = 0;
			p->capture = 0;
			all[k] = p;
			sum += p->data[30];
		}
		if (stage < STAGE_DECODE)
			continue;
		decode_burst(&decode, pkts, PACKET_BURST);
		if (stage < STAGE_KEY)
			continue;
		flow_key_hash(&b->config, pkts, PACKET_BURST);
		for (unsigned k = 0; k < PACKET_BURST; k++)
			for (unsigned l = 0; l < pkts[k].layer_count; l++)
				pkts[k].layer[l].owner = 0;
		if (stage < STAGE_FLOW)
			continue;
		flow_burst(b->table, all, PACKET_BURST);
		flow_expire(b->table, 0, b->now_ns, 64);
		drain(b->records);
	}
	sink += sum;
}

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, c = *(const double *)y;

	return a < c ? -1 : a > c;
}

static void run(struct bench *b, unsigned passes)
{
	static double ns[STAGES][PASSES_MAX];

	pass(b, STAGE_FLOW); // fills the table
	for (unsigned r = 0; r < passes; r++)
		for (unsigned s = 0; s < STAGES; s++) {
			uint64_t begin = cpu_ns();

			pass(b, (enum stage)s);
			ns[s][r] = (double)(cpu_ns() - begin) / (double)b->packets;
		}
	printf("%u flows, %llu packets of 60 bytes, %s, %s popularity; %u in the table\n", b->flows,
		(unsigned long long)b->packets, b->ipv6 ? "IPv6" : "IPv4",
		b->zipf > 0 ? "Zipf" : "uniform", flow_table_active(b->table));
	for (unsigned s = 0; s < STAGES; s++) {
		qsort(ns[s], passes, sizeof(ns[s][0]), by_value);
		printf("  %-30s %6.1f ns (min %.1f)  %6.2f Mpps\n", stage_names[s],
			ns[s][passes / 2], ns[s][0], 1e3 / ns[s][passes / 2]);
	}
}

int main(int argc, char **argv)
{
	struct bench b = {.flows = 1000000, .packets = 1 << 21, .now_ns = 1700000000 * NSEC_PER_S};
	struct flow_capture capture = {.name = "bench", .lossless = true};
	unsigned passes = 5;
	int o;

	while ((o = getopt(argc, argv, "n:p:r:z:6")) != -1)
		switch (o) {
		case 'n':
			b.flows = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			b.packets = strtoull(optarg, NULL, 10) & ~UINT64_C(63);
			break;
		case 'r':
			passes = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'z':
			b.zipf = atof(optarg);
			break;
		case '6':
			b.ipv6 = true;
			break;
		default:
			return 2;
		}
	if (b.flows == 0 || b.packets == 0 || passes == 0 || passes > PASSES_MAX)
		return 2;
	hash_seed_init();
	b.config = (struct flow_config){.capacity = b.flows < 1024 ? 1024 : b.flows,
		.key_tunnel = true,
		.tcp_new_ns = 30 * NSEC_PER_S,
		.tcp_established_ns = 300 * NSEC_PER_S,
		.tcp_closed_ns = 10 * NSEC_PER_S,
		.udp_ns = 60 * NSEC_PER_S,
		.icmp_ns = 30 * NSEC_PER_S,
		.other_ns = 60 * NSEC_PER_S,
		.active_ns = 300 * NSEC_PER_S};
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
	make_frames(&b);
	run(&b, passes);
	flow_table_free(b.table);
	ring_free(b.records);
	free(b.counters);
	return sink == 1;
}
