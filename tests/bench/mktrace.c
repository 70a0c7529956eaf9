// SPDX-License-Identifier: Apache-2.0
// Deterministic traces for the benchmarks: the same kind, seed and size give the same bytes.
//
//   mktrace small FILE FLOWS [SEED]   60-byte frames, four a flow; all flows are under way at once
//   mktrace http  FILE FLOWS [SEED]   HTTP/1.1 over TCP: handshake, request, response, FIN
//   mktrace tls   FILE FLOWS [SEED]   TLS 1.3 looks: ClientHello with SNI, records of random bytes
//   mktrace mix   FILE FLOWS [SEED]   both, DNS and ICMP too, 15% IPv6, losses, repeats, reordering
//   mktrace steady FILE FLOWS [SEED]  60-byte frames of flows that neither begin nor end: one of each,
//                                     then three times as many of random ones
//   mktrace flood FILE FLOWS [SEED]   60-byte SYNs, each of a flow of its own
//
// Other flows overlap: a thousand are under way at a time, and a random one of them has the next packet.
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ACTIVE = 1000, FRAME_MAX = 1514, HELD = 8 };

enum kind { KIND_SMALL, KIND_HTTP, KIND_TLS, KIND_DNS, KIND_ICMP };

struct conversation {
	enum kind kind;
	bool ipv6, lossy;
	uint32_t client, server;
	uint16_t client_port, server_port;
	uint32_t seq[2]; // client, server
	uint32_t step;
	uint32_t segments; // of the response
};

struct writer {
	FILE *file;
	uint64_t rng;
	uint64_t ns;
	uint64_t packets, bytes;
	// a packet that was held back, to be written out of order
	uint8_t held[FRAME_MAX];
	unsigned held_size, held_for;
};

static uint64_t rnd(struct writer *w)
{
	uint64_t z = (w->rng += 0x9E3779B97F4A7C15u);

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static unsigned below(struct writer *w, unsigned n)
{
	return (unsigned)(rnd(w) >> 33) % n;
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

static void write_frame(struct writer *w, const uint8_t *frame, unsigned size)
{
	uint32_t head[4];

	w->ns += 500 + rnd(w) % 1000;
	head[0] = (uint32_t)(w->ns / 1000000000);
	head[1] = (uint32_t)(w->ns % 1000000000);
	head[2] = head[3] = size;
	fwrite(head, sizeof(head), 1, w->file);
	fwrite(frame, size, 1, w->file);
	w->packets++;
	w->bytes += size;
}

// Writes the frame, and perhaps loses it, repeats it or holds it back.
static void send_frame(struct writer *w, const uint8_t *frame, unsigned size, bool lossy)
{
	if (w->held_size > 0 && --w->held_for == 0) {
		write_frame(w, w->held, w->held_size);
		w->held_size = 0;
	}
	if (lossy) {
		unsigned luck = below(w, 1000);

		if (luck < 5)
			return;
		if (luck < 10)
			write_frame(w, frame, size);
		if (luck >= 10 && luck < 30 && w->held_size == 0) {
			memcpy(w->held, frame, size);
			w->held_size = size;
			w->held_for = 1 + below(w, HELD);
			return;
		}
	}
	write_frame(w, frame, size);
}

// Ethernet and IP headers; returns where the payload goes.
static unsigned put_ip(
	uint8_t *f, const struct conversation *c, bool back, unsigned proto, unsigned length)
{
	static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	uint32_t src = back ? c->server : c->client, dst = back ? c->client : c->server;

	memcpy(f, macs, 12);
	if (c->ipv6) {
		put16(f + 12, 0x86dd);
		memset(f + 14, 0, 40);
		f[14] = 0x60;
		put16(f + 18, length);
		f[20] = (uint8_t)proto;
		f[21] = 64;
		put32(f + 22, 0x20010db8);
		put32(f + 34, src);
		put32(f + 38, 0x20010db8);
		put32(f + 50, dst);
		return 54;
	}
	put16(f + 12, 0x0800);
	memset(f + 14, 0, 20);
	f[14] = 0x45;
	put16(f + 16, 20 + length);
	f[20] = 0x40;
	f[22] = 64;
	f[23] = (uint8_t)proto;
	put32(f + 26, src);
	put32(f + 30, dst);
	return 34;
}

static void send_tcp(struct writer *w, struct conversation *c, bool back, unsigned flags,
	const uint8_t *payload, unsigned size)
{
	uint8_t f[FRAME_MAX];
	unsigned at = put_ip(f, c, back, 6, 20 + size), total;

	memset(f + at, 0, 20);
	put16(f + at, back ? c->server_port : c->client_port);
	put16(f + at + 2, back ? c->client_port : c->server_port);
	put32(f + at + 4, c->seq[back]);
	put32(f + at + 8, flags & 0x10 ? c->seq[!back] : 0);
	f[at + 12] = 0x50;
	f[at + 13] = (uint8_t)flags;
	put16(f + at + 14, 64240);
	if (size > 0)
		memcpy(f + at + 20, payload, size);
	c->seq[back] += size + !!(flags & 3);
	total = at + 20 + size;
	if (total < 60) {
		memset(f + total, 0, 60 - total);
		total = 60;
	}
	send_frame(w, f, total, c->lossy && (flags & 7) == 0);
}

static void send_udp(
	struct writer *w, struct conversation *c, bool back, const uint8_t *payload, unsigned size)
{
	uint8_t f[FRAME_MAX];
	unsigned at = put_ip(f, c, back, 17, 8 + size), total = at + 8 + size;

	put16(f + at, back ? c->server_port : c->client_port);
	put16(f + at + 2, back ? c->client_port : c->server_port);
	put16(f + at + 4, 8 + size);
	put16(f + at + 6, 0);
	memcpy(f + at + 8, payload, size);
	if (total < 60) {
		memset(f + total, 0, 60 - total);
		total = 60;
	}
	send_frame(w, f, total, false);
}

static void random_bytes(struct writer *w, uint8_t *to, unsigned size)
{
	for (unsigned i = 0; i < size; i += 8) {
		uint64_t v = rnd(w);

		memcpy(to + i, &v, size - i < 8 ? size - i : 8);
	}
}

// A ClientHello of TLS 1.3 with server_name, supported_versions and a list of ciphers.
static unsigned client_hello(struct writer *w, uint8_t *b)
{
	char name[40];
	unsigned n = (unsigned)snprintf(name, sizeof(name), "host%u.example.net", below(w, 5000));
	unsigned at = 9, start;

	b[0] = 22;
	put16(b + 1, 0x0301);
	b[5] = 1;
	put16(b + at, 0x0303);
	random_bytes(w, b + at + 2, 32);
	at += 34;
	b[at++] = 0;
	put16(b + at, 6);
	put16(b + at + 2, 0x1301);
	put16(b + at + 4, 0x1302);
	put16(b + at + 6, 0xc02f);
	at += 8;
	b[at++] = 1;
	b[at++] = 0;
	start = at;
	at += 2;
	put16(b + at, 0);
	put16(b + at + 2, n + 5);
	put16(b + at + 4, n + 3);
	b[at + 6] = 0;
	put16(b + at + 7, n);
	memcpy(b + at + 9, name, n);
	at += 9 + n;
	memcpy(b + at, (const uint8_t[]){0, 43, 0, 3, 2, 3, 4}, 7);
	at += 7;
	put16(b + start, at - start - 2);
	put16(b + 3, at - 5);
	b[6] = 0;
	put16(b + 7, at - 9);
	return at;
}

static unsigned request(struct writer *w, const struct conversation *c, uint8_t *b)
{
	if (c->kind == KIND_TLS)
		return client_hello(w, b);
	return (unsigned)snprintf((char *)b, 400,
		"GET /item/%u HTTP/1.1\r\nHost: www%u.example.com\r\nUser-Agent: bench/1.0\r\n"
		"Accept: */*\r\n\r\n",
		below(w, 100000), below(w, 1000));
}

static unsigned response(
	struct writer *w, const struct conversation *c, unsigned segment, uint8_t *b)
{
	unsigned size = 1400;
	if (c->kind == KIND_TLS) {
		random_bytes(w, b, size);
		b[0] = 23;
		put16(b + 1, 0x0303);
		put16(b + 3, size - 5);
		return size;
	}
	memset(b, 'x', size);
	if (segment == 0) {
		// The length of a head with five digits in it: the whole response is segments * size.
		int n = snprintf((char *)b, 300,
			"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "
			"%05u\r\n\r\n",
			c->segments * size - 68);

		b[n] = 'x'; // snprintf's NUL
	}
	return size;
}

// The next packet of a TCP conversation. Returns false at its end.
static bool step_tcp(struct writer *w, struct conversation *c)
{
	enum { SYN = 2, ACK = 16, PSH = 8, FIN = 1 };
	uint8_t b[FRAME_MAX];
	uint32_t step = c->step++, data = 4, half;

	if (step == 0)
		send_tcp(w, c, false, SYN, b, 0);
	else if (step == 1)
		send_tcp(w, c, true, SYN | ACK, b, 0);
	else if (step == 2)
		send_tcp(w, c, false, ACK, b, 0);
	else if (step == 3)
		send_tcp(w, c, false, PSH | ACK, b, request(w, c, b));
	else if (step < data + c->segments * 3 / 2) {
		half = step - data;
		if (half % 3 == 2) // an ACK for every two segments
			send_tcp(w, c, false, ACK, b, 0);
		else
			send_tcp(w, c, true, ACK, b, response(w, c, half, b));
	} else if (step == data + c->segments * 3 / 2)
		send_tcp(w, c, true, FIN | ACK, b, 0);
	else if (step == data + c->segments * 3 / 2 + 1)
		send_tcp(w, c, false, FIN | ACK, b, 0);
	else {
		send_tcp(w, c, true, ACK, b, 0);
		return false;
	}
	return true;
}

static void step_small(struct writer *w, struct conversation *c)
{
	uint8_t b[8] = {0};
	uint32_t step = c->step++;

	send_tcp(w, c, step & 1, step == 0 ? 2 : step == 1 ? 18 : 16, b, step == 3 ? 6 : 0);
}

static bool step_dns(struct writer *w, struct conversation *c)
{
	uint8_t b[80] = {0x12, 0x34, 1, 0, 0, 1};
	unsigned n = 12;

	n += (unsigned)snprintf(
		(char *)b + n, 20, "%c%s%03u%c%s", 7, "host", below(w, 1000), 7, "example");
	memcpy(b + n, "\3com\0\0\1\0\1", 9);
	n += 9;
	if (c->step == 1) {
		b[2] = 0x81;
		b[3] = 0x80;
		b[7] = 1;
		memcpy(b + n,
			(const uint8_t[]){0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, 1},
			16);
		n += 16;
	}
	send_udp(w, c, c->step == 1, b, n);
	return c->step++ == 0;
}

static bool step_icmp(struct writer *w, struct conversation *c)
{
	uint8_t f[98];
	unsigned at = put_ip(f, c, c->step & 1, c->ipv6 ? 58 : 1, 40);

	memset(f + at, 0, 40);
	f[at] = (uint8_t)(c->ipv6 ? 128 + (c->step & 1) : (c->step & 1 ? 0 : 8));
	put16(f + at + 6, c->step / 2);
	send_frame(w, f, at + 40, false);
	return ++c->step < 8;
}

static void begin(struct writer *w, struct conversation *c, const char *trace, uint32_t number)
{
	unsigned luck = below(w, 100);

	memset(c, 0, sizeof(*c));
	c->client = 0x0a000000 | number;
	c->server = 0xc6120000 | (uint32_t)(number * 2654435761u >> 15);
	c->client_port = (uint16_t)(1024 + below(w, 60000));
	c->server_port = 443;
	c->seq[0] = (uint32_t)rnd(w);
	c->seq[1] = (uint32_t)rnd(w);
	if (strcmp(trace, "small") == 0) {
		c->kind = KIND_SMALL;
		return;
	}
	c->segments = 2 * (4 + below(w, 24));
	c->kind = strcmp(trace, "tls") == 0 ? KIND_TLS : KIND_HTTP;
	if (strcmp(trace, "mix") == 0) {
		c->kind = luck < 25   ? KIND_HTTP
		          : luck < 60 ? KIND_TLS
		          : luck < 95 ? KIND_DNS
		                      : KIND_ICMP;
		c->ipv6 = below(w, 100) < 15;
		c->lossy = below(w, 100) < 20;
	}
	if (c->kind == KIND_HTTP)
		c->server_port = 80;
	if (c->kind == KIND_DNS)
		c->server_port = 53;
}

static bool step(struct writer *w, struct conversation *c)
{
	switch (c->kind) {
	case KIND_SMALL:
		break; // write_small
	case KIND_HTTP:
	case KIND_TLS:
		return step_tcp(w, c);
	case KIND_DNS:
		return step_dns(w, c);
	case KIND_ICMP:
		return step_icmp(w, c);
	}
	return false;
}

// Each flow in turn has its next packet, in another order each time.
static void write_small(struct writer *w, uint32_t flows)
{
	struct conversation *all = calloc(flows, sizeof(*all));
	uint32_t *order = calloc(flows, sizeof(*order));

	if (all == NULL || order == NULL) {
		fprintf(stderr, "mktrace: no memory for %u flows\n", flows);
		exit(1);
	}
	for (uint32_t i = 0; i < flows; i++) {
		begin(w, &all[i], "small", i);
		order[i] = i;
	}
	for (unsigned round = 0; round < 4; round++)
		for (uint32_t i = flows; i-- > 0;) {
			uint32_t j = (uint32_t)(rnd(w) % (i + 1)), flow = order[j];

			order[j] = order[i];
			order[i] = flow;
			step_small(w, &all[flow]);
		}
	free(order);
	free(all);
}

// A packet of one of many flows that are all there at once.
static void send_steady(struct writer *w, uint32_t number, bool back)
{
	struct conversation c = {
		.client = 0x0a000000 | number,
		.server = 0xc6120000 | (uint32_t)(number * 2654435761u >> 15),
		.client_port = (uint16_t)(1024 + number * 40503u % 60000),
		.server_port = 443,
	};
	uint8_t b[8] = {0};

	send_tcp(w, &c, back, 16, b, 6);
}

static void write_steady(struct writer *w, uint32_t flows)
{
	for (uint32_t i = 0; i < flows; i++)
		send_steady(w, i, false);
	for (uint32_t i = 0; i < 3 * flows; i++)
		send_steady(w, below(w, flows), rnd(w) & 1);
}

static void write_flood(struct writer *w, uint32_t flows)
{
	for (uint32_t i = 0; i < flows; i++) {
		struct conversation c = {
			.client = (uint32_t)rnd(w),
			.server = 0xc6120001,
			.client_port = (uint16_t)(1024 + below(w, 60000)),
			.server_port = 443,
		};

		send_tcp(w, &c, false, 2, NULL, 0);
	}
}

// Conversations, a thousand under way at a time.
static void write_conversations(struct writer *w, const char *trace, uint32_t flows)
{
	static struct conversation active[ACTIVE];
	uint32_t begun = 0, live = 0;

	while (live < ACTIVE && begun < flows)
		begin(w, &active[live++], trace, begun++);
	while (live > 0) {
		unsigned i = below(w, live);

		if (step(w, &active[i]))
			continue;
		if (begun < flows)
			begin(w, &active[i], trace, begun++);
		else
			active[i] = active[--live];
	}
}

static bool is_known(const char *trace)
{
	static const char *const all[] = {"small", "http", "tls", "mix", "steady", "flood"};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i], trace) == 0)
			return true;
	return false;
}

int main(int argc, char **argv)
{
	static const uint32_t head[6] = {0xa1b23c4d, 2 | 4 << 16, 0, 0, 262144, 1};
	struct writer w = {.ns = UINT64_C(1767600000000000000)};
	uint32_t flows;

	if (argc < 4 || !is_known(argv[1])) {
		fprintf(stderr,
			"usage: mktrace small|http|tls|mix|steady|flood FILE FLOWS [SEED]\n");
		return 2;
	}
	flows = (uint32_t)strtoul(argv[3], NULL, 10);
	w.rng = argc > 4 ? strtoull(argv[4], NULL, 10) : 1;
	w.file = fopen(argv[2], "wb");
	if (w.file == NULL) {
		fprintf(stderr, "mktrace: %s: %s\n", argv[2], strerror(errno));
		return 1;
	}
	fwrite(head, sizeof(head), 1, w.file);
	if (strcmp(argv[1], "small") == 0)
		write_small(&w, flows);
	else if (strcmp(argv[1], "steady") == 0)
		write_steady(&w, flows);
	else if (strcmp(argv[1], "flood") == 0)
		write_flood(&w, flows);
	else
		write_conversations(&w, argv[1], flows);
	if (w.held_size > 0)
		write_frame(&w, w.held, w.held_size);
	if (fclose(w.file) != 0) {
		fprintf(stderr, "mktrace: %s: %s\n", argv[2], strerror(errno));
		return 1;
	}
	fprintf(stderr, "%s: %llu packets, %llu bytes, %u flows\n", argv[2],
		(unsigned long long)w.packets, (unsigned long long)w.bytes, flows);
	return 0;
}
