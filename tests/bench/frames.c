// SPDX-License-Identifier: Apache-2.0
// Packets in memory for the benchmarks. Frames are made with the headers that a flow's stage reads and
// little more; their bytes on the wire may be more than what is there.
#include "frames.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <pcap/pcap.h>

#include "packet.h"

enum { TCP_FIN = 1, TCP_SYN = 2, TCP_PSH = 8, TCP_ACK = 16, TAIL_BYTES = 2048 };

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

static void die(const char *what)
{
	perror(what);
	exit(1);
}

void *frames_map(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("memory for packets");
	madvise(p, bytes, MADV_HUGEPAGE);
	return p;
}

// --- Made frames ---

static void put_ip(uint8_t *d, uint32_t flow, uint32_t server, bool back, bool ipv6, uint8_t proto,
	unsigned length)
{
	uint8_t *ip = d + 14;

	memcpy(d, (const uint8_t[12]){2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, 12);
	put16(d + 12, ipv6 ? 0x86dd : 0x0800);
	if (ipv6) {
		ip[0] = 0x60;
		put16(ip + 4, length);
		ip[6] = proto;
		ip[7] = 64;
		put32(ip + (back ? 24 : 8), 0x20010db8);
		put32(ip + (back ? 36 : 20), flow);
		put32(ip + (back ? 8 : 24), 0x20010db9);
		put32(ip + (back ? 20 : 36), server);
	} else {
		ip[0] = 0x45;
		put16(ip + 2, 20 + length);
		ip[8] = 64;
		ip[9] = proto;
		put32(ip + (back ? 16 : 12), 0x0a000000 | flow);
		put32(ip + (back ? 12 : 16), 0xC6120000 | server);
	}
}

// Payload of a TCP conversation's packet: a request, then six segments with an ACK behind each two.
static unsigned tcp_payload(unsigned step, bool *ret_back)
{
	step %= 10;
	*ret_back = step != 0 && step % 3 != 0;
	return step == 0 ? 300 : *ret_back ? 1400 : 0;
}

uint32_t frame_make(
	uint8_t *d, uint32_t flow, unsigned step, bool back, bool ipv6, enum frames_kind kind)
{
	uint64_t seed = flow, x = next_random(&seed);
	bool udp = kind == FRAMES_RANDOM && (x >> 60) >= 10;
	unsigned client = 1024 + (unsigned)(x >> 20) % 60000, server = udp ? 53 : 443;
	unsigned payload = (ipv6 ? 26 : 26) - (udp ? 8 : 20), length, bytes;
	uint8_t *l4 = d + 14 + (ipv6 ? 40 : 20);

	memset(d, 0, FRAME_BYTES);
	if (kind == FRAMES_TCP)
		payload = tcp_payload(step, &back);
	length = payload + (udp ? 8 : 20);
	put_ip(d, flow, (uint32_t)x & 0x1ffff, back, ipv6, udp ? 17 : 6, length);
	put16(l4 + (back ? 2 : 0), client);
	put16(l4 + (back ? 0 : 2), server);
	if (udp) {
		put16(l4 + 4, length);
	} else {
		put32(l4 + 4, step * 1400);
		l4[12] = 0x50;
		l4[13] = TCP_ACK;
		put16(l4 + 14, 1000);
	}
	bytes = (uint32_t)(l4 - d) + length;
	return bytes < 60 ? 60 : bytes;
}

static uint32_t make_syn(uint8_t *d, uint32_t number, bool ipv6)
{
	uint8_t *l4 = d + 14 + (ipv6 ? 40 : 20);

	memset(d, 0, FRAME_BYTES);
	put_ip(d, 0, number & 0x1ffff, false, ipv6, 6, 20);
	frame_renew(d, number, ipv6);
	put16(l4, 1024 + number % 60000);
	put16(l4 + 2, 443);
	l4[12] = 0x50;
	l4[13] = TCP_SYN;
	put16(l4 + 14, 64240);
	return ipv6 ? 74 : 60;
}

// --- Who sends the next packet ---

static double *zipf_table(uint32_t n, double s)
{
	double *cdf = malloc(n * sizeof(*cdf)), sum = 0;

	if (cdf == NULL)
		die("memory for Zipf's law");
	for (uint32_t i = 0; i < n; i++)
		cdf[i] = sum += 1 / pow(i + 1, s);
	for (uint32_t i = 0; i < n; i++)
		cdf[i] /= sum;
	return cdf;
}

static uint32_t pick(const struct frames_options *o, const double *cdf, uint64_t *seed)
{
	uint64_t r = next_random(seed);
	uint32_t low = 0, high = o->flows - 1;
	double u;

	if (cdf == NULL)
		return (uint32_t)(((__uint128_t)r * o->flows) >> 64);
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

static void put_head(const struct frame *f)
{
	struct frame_head *h = (struct frame_head *)(f->data - FRAME_HEAD_BYTES);

	h->bytes = f->bytes;
	h->is_new = f->is_new;
	h->ts_ns = f->ts_ns;
}

void frames_make(struct frames *fs, const struct frames_options *o)
{
	uint64_t stride = FRAME_BYTES + (o->is_mbuf ? FRAME_HEAD_BYTES : 0), seed = 42;
	double *cdf = o->zipf > 0 ? zipf_table(o->flows, o->zipf) : NULL;
	uint8_t *step = o->kind == FRAMES_TCP ? calloc(o->flows, 1) : NULL;
	uint8_t *memory = frames_map(o->packets * stride + TAIL_BYTES);

	if (o->kind == FRAMES_TCP && step == NULL)
		die("memory for packets");
	*fs = (struct frames){.count = o->packets, .flows = o->flows, .ipv6 = o->ipv6};
	fs->frame = frames_map(o->packets * sizeof(*fs->frame));
	for (uint64_t i = 0; i < o->packets; i++) {
		struct frame *f = &fs->frame[i];
		uint64_t luck = next_random(&seed);
		uint32_t flow = pick(o, cdf, &seed);

		f->data = memory + i * stride + (o->is_mbuf ? FRAME_HEAD_BYTES : 0);
		f->is_new = (double)(luck >> 11) * 0x1p-53 < o->new_share;
		if (f->is_new)
			f->bytes = make_syn(f->data, (uint32_t)i, o->ipv6);
		else
			f->bytes = frame_make(f->data, flow, step != NULL ? step[flow]++ % 250 : 0,
				luck & 1, o->ipv6, o->kind);
		if (o->is_mbuf)
			put_head(f);
		fs->bytes += f->bytes;
	}
	free(step);
	free(cdf);
}

// --- A file's ---

static pcap_t *open_file(const char *path)
{
	char error[PCAP_ERRBUF_SIZE];
	pcap_t *p = pcap_open_offline_with_tstamp_precision(
		path, PCAP_TSTAMP_PRECISION_NANO, error);

	if (p == NULL || pcap_datalink(p) != DLT_EN10MB) {
		fprintf(stderr, "%s: %s\n", path, p == NULL ? error : "not Ethernet");
		exit(1);
	}
	return p;
}

void frames_load(struct frames *fs, const char *path)
{
	struct pcap_pkthdr *h;
	const uint8_t *data;
	uint64_t count = 0, bytes = 0, at = 0;
	pcap_t *p = open_file(path);
	uint8_t *memory;

	while (pcap_next_ex(p, &h, &data) == 1) {
		count++;
		bytes += (h->caplen + 63) & ~63u;
	}
	pcap_close(p);
	*fs = (struct frames){.count = count / PACKET_BURST * PACKET_BURST};
	fs->frame = frames_map((count + 1) * sizeof(*fs->frame));
	memory = frames_map(bytes + TAIL_BYTES);
	p = open_file(path);
	for (uint64_t i = 0; i < fs->count && pcap_next_ex(p, &h, &data) == 1; i++) {
		fs->frame[i] = (struct frame){.data = memory + at,
			.bytes = h->caplen,
			.ts_ns = (uint64_t)h->ts.tv_sec * 1000000000 + (uint64_t)h->ts.tv_usec};
		memcpy(memory + at, data, h->caplen);
		at += (h->caplen + 63) & ~63u;
		fs->bytes += h->caplen;
	}
	pcap_close(p);
}
