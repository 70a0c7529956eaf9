// SPDX-License-Identifier: Apache-2.0
// Puts the TCP streams of capture files together with the stages themselves (capture, decode, defrag,
// flow keys, reassembly), without the daemon, and writes one JSON line a stream: for each direction
// the bytes delivered, their SHA-256, and the bytes missing between them and before the first one (behind
// a SYN). For test_oracle.py.
//
// A stream is what a connection is: a SYN with a sequence number other than the direction's first one
// begins another on the same addresses and ports.
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "clock.h"
#include "decode.h"
#include "defrag.h"
#include "flow.h"
#include "hash.h"
#include "reassembly.h"

enum { STREAMS = 200000, BUCKETS = 1 << 16 };

struct half {
	EVP_MD_CTX *sha;
	uint64_t bytes, holes, pending, leading;
	uint32_t base;
	int has_base;
};

struct stream {
	uint8_t a[16], b[16]; // a: sender of the first segment
	uint64_t hash;
	uint32_t next;
	uint16_t a_port, b_port;
	uint8_t version, a_direction;
	struct half half[2];
};

static struct stream stream[STREAMS + 1];
static uint32_t stream_count, bucket[BUCKETS];
static struct reassembly *reassembly;
static struct defrag *defrag;
static struct counters counters;
static const struct decode_config decode = {false, PACKET_LAYERS_MAX - 1};
static const struct flow_config keys = {.capacity = 1};

static struct reassembly_answer on_data(void *ctx, const struct reassembly_data *d)
{
	struct half *h = &stream[d->stream].half[d->direction];

	(void)ctx;
	if (h->sha == NULL) {
		h->sha = EVP_MD_CTX_new();
		EVP_DigestInit_ex(h->sha, EVP_sha256(), NULL);
	}
	EVP_DigestUpdate(h->sha, d->bytes, d->length);
	h->bytes += d->length;
	h->holes += h->pending;
	h->pending = 0;
	return (struct reassembly_answer){REASSEMBLY_ON, 0, 0};
}

static void on_gap(void *ctx, uint32_t s, unsigned direction, uint32_t missing)
{
	struct half *h = &stream[s].half[direction];

	(void)ctx;
	if (h->bytes > 0) // holes lie between bytes that were seen
		h->pending += missing;
	else
		h->leading += missing;
}

static int is_same(const struct stream *s, const struct ip_layer *l)
{
	unsigned d = s->a_direction ^ l->swapped;
	const uint8_t *src = d ? s->b : s->a, *dst = d ? s->a : s->b;

	return s->hash == l->hash && s->version == l->version && memcmp(src, l->src, 16) == 0 &&
	       memcmp(dst, l->dst, 16) == 0 && (d ? s->b_port : s->a_port) == l->src_port &&
	       (d ? s->a_port : s->b_port) == l->dst_port;
}

static uint32_t stream_of(const struct ip_layer *l)
{
	uint32_t *link = &bucket[l->hash % BUCKETS], i;
	struct stream *s;

	for (i = *link; i != 0 && !is_same(&stream[i], l);)
		i = stream[i].next;
	if (i != 0) {
		struct half *h = &stream[i].half[l->swapped];

		if (!h->has_base || (l->tcp.flags & 0x12) != 0x02 || h->base == l->tcp.seq)
			goto found;
		reassembly_end(reassembly, i, REASSEMBLY_END_REUSE, NULL);
	}
	if (stream_count == STREAMS) {
		fprintf(stderr, "too many streams\n");
		exit(1);
	}
	i = ++stream_count;
	s = &stream[i];
	memcpy(s->a, l->src, 16);
	memcpy(s->b, l->dst, 16);
	s->hash = l->hash;
	s->a_port = l->src_port;
	s->b_port = l->dst_port;
	s->version = l->version;
	s->a_direction = l->swapped;
	s->next = *link;
	*link = i;
found:
	if (!stream[i].half[l->swapped].has_base) {
		stream[i].half[l->swapped].has_base = 1;
		stream[i].half[l->swapped].base = l->tcp.seq;
	}
	return i;
}

static void no_emit(void *ctx, const struct packet *p)
{
	(void)ctx;
	(void)p;
}

static void take(struct packet *p, int depth)
{
	struct packet whole, *release = &whole;

	flow_key_hash(&keys, p, 1);
	for (unsigned i = 0; i < p->layer_count; i++) {
		struct ip_layer *l = &p->layer[i];

		if (l->proto == 6 && (l->flags & LAYER_L4))
			reassembly_segment(reassembly, stream_of(l), p, l);
	}
	if (p->layer_count == 0 || !(p->layer[p->layer_count - 1].flags & LAYER_FRAGMENT))
		return;
	if (defrag_add(defrag, p, &counters, &whole, no_emit, NULL) != DEFRAG_COMPLETE)
		return;
	decode_burst(&decode, &whole, 1);
	whole.capture = 0;
	if (whole.layer_count > 0)
		defrag_finish(defrag, &whole.layer[0], no_emit, NULL);
	if (depth < 4)
		take(&whole, depth + 1);
	packet_release(&release, 1);
}

static int read_file(const char *path)
{
	struct capture_source source;
	struct capture_options options = {.workers = 1, .numa_node = -1};
	struct packet pkts[PACKET_BURST], *release[PACKET_BURST];
	char text[CAPTURE_TARGET_MAX], error[CAPTURE_ERROR_MAX];
	struct capture_clock clock = {0};
	struct capture_rx rx;
	struct capture *c;

	snprintf(text, sizeof(text), "pcap:%s,", path);
	if (capture_source_parse(text, &source, error, sizeof(error)) != 0 ||
		capture_open(&source, &options, &c, error, sizeof(error)) != 0) {
		fprintf(stderr, "%s: %s\n", path, error);
		return 1;
	}
	do {
		unsigned n = capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx);

		for (unsigned i = 0; i < n; i++) {
			pkts[i].now_ns = capture_clock_at(&clock, pkts[i].ts_ns);
			decode_burst(&decode, &pkts[i], 1);
			take(&pkts[i], 0);
			release[i] = &pkts[i];
		}
		if (n > 0)
			packet_release(release, n);
	} while (rx.state == CAPTURE_RX_RUNNING || rx.state == CAPTURE_RX_PAUSED);
	for (uint32_t i = 1; i <= stream_count; i++)
		reassembly_end(reassembly, i, REASSEMBLY_END_EOF, NULL);
	defrag_expire(defrag, 0, 0, true, &counters, no_emit, NULL);
	capture_close(c);
	return 0;
}

static void write_half(struct half *h)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	printf("{\"bytes\": %llu, \"holes\": %llu, \"leading\": %llu, \"sha256\": \"",
		(unsigned long long)h->bytes, (unsigned long long)h->holes,
		(unsigned long long)h->leading);
	if (h->sha != NULL) {
		EVP_DigestFinal_ex(h->sha, digest, &n);
		EVP_MD_CTX_free(h->sha);
	}
	for (unsigned i = 0; i < n; i++)
		printf("%02x", digest[i]);
	printf("\"}");
}

static void write_streams(const char *path)
{
	for (uint32_t i = 1; i <= stream_count; i++) {
		struct stream *s = &stream[i];
		char a[INET6_ADDRSTRLEN], b[INET6_ADDRSTRLEN];
		int family = s->version == 4 ? AF_INET : AF_INET6;

		inet_ntop(family, s->a, a, sizeof(a));
		inet_ntop(family, s->b, b, sizeof(b));
		printf("{\"file\": \"%s\", \"a\": [\"%s\", %u], \"b\": [\"%s\", %u], \"ab\": ",
			path, a, s->a_port, b, s->b_port);
		write_half(&s->half[s->a_direction]);
		printf(", \"ba\": ");
		write_half(&s->half[s->a_direction ^ 1]);
		printf("}\n");
	}
}

int main(int argc, char **argv)
{
	const struct reassembly_config config = {.streams = STREAMS,
		.bytes = 256 << 20,
		.hold_bytes = 65536,
		.consumer = {NULL, on_data, on_gap, NULL}};
	const struct defrag_config fragments = {.trackers = 1000,
		.fragments = 10000,
		.bytes = 16 << 20,
		.timeout_ns = 60 * NSEC_PER_S,
		.policy6 = DEFRAG_DROP};
	int failed = 0;

	hash_seed_init();
	for (int i = 1; i < argc; i++) {
		reassembly = reassembly_new(&config);
		defrag = defrag_new(&fragments);
		if (reassembly == NULL || defrag == NULL)
			return 1;
		reassembly_capture_begin(reassembly, 0, &counters);
		failed |= read_file(argv[i]);
		write_streams(argv[i]);
		memset(stream, 0, (stream_count + 1) * sizeof(stream[0]));
		memset(bucket, 0, sizeof(bucket));
		stream_count = 0;
		reassembly_free(reassembly);
		defrag_free(defrag);
	}
	if (getenv("STREAMS_OF_STATS") != NULL) {
		struct reassembly_stats s;

		reassembly_stats_of(&counters, &s);
#define WRITE(name) fprintf(stderr, "%s %llu\n", #name, (unsigned long long)s.name);
		REASSEMBLY_STATS(WRITE)
	}
	return failed;
}
