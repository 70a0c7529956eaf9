// SPDX-License-Identifier: Apache-2.0
// Builders of capture files, and a reader that keeps everything it got.
#include "testlib.h"

#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void put(struct bytes *b, const void *data, size_t size)
{
	if (b->size + size > b->room) {
		b->room = 2 * (b->size + size);
		b->data = realloc(b->data, b->room);
		assert_non_null(b->data);
	}
	memcpy(b->data + b->size, data, size);
	b->size += size;
}

void put16(struct bytes *b, uint16_t v)
{
	v = b->is_swapped ? __builtin_bswap16(v) : v;
	put(b, &v, sizeof(v));
}

void put32(struct bytes *b, uint32_t v)
{
	v = b->is_swapped ? __builtin_bswap32(v) : v;
	put(b, &v, sizeof(v));
}

void put64(struct bytes *b, uint64_t v)
{
	v = b->is_swapped ? __builtin_bswap64(v) : v;
	put(b, &v, sizeof(v));
}

void bytes_free(struct bytes *b)
{
	free(b->data);
	*b = (struct bytes){0};
}

void fill_bytes(struct bytes *b, uint32_t size, uint8_t number)
{
	for (uint32_t i = 0; i < size; i++) {
		uint8_t v = (uint8_t)(number + i);

		put(b, &v, 1);
	}
}

static void pad(struct bytes *b, uint32_t size)
{
	static const uint8_t zero[4];

	put(b, zero, (4 - size % 4) % 4);
}

void pcap_head(struct bytes *b, uint32_t magic, uint32_t link)
{
	put32(b, magic);
	put16(b, 2);
	put16(b, 4);
	put32(b, 0);
	put32(b, 0);
	put32(b, 262144);
	put32(b, link);
}

void pcap_record(struct bytes *b, uint32_t s, uint32_t fraction, uint32_t size, uint32_t wire,
	uint8_t number)
{
	put32(b, s);
	put32(b, fraction);
	put32(b, size);
	put32(b, wire);
	fill_bytes(b, size, number);
}

void ng_section(struct bytes *b)
{
	put32(b, 0x0a0d0d0a);
	put32(b, 28);
	put32(b, 0x1a2b3c4d);
	put16(b, 1);
	put16(b, 0);
	put64(b, UINT64_MAX);
	put32(b, 28);
}

void ng_interface(
	struct bytes *b, uint16_t link, uint32_t snaplen, uint8_t resolution, int64_t offset)
{
	uint32_t size = 20 + (resolution != 0 ? 8 : 0) + (offset != 0 ? 12 : 0);

	put32(b, 1);
	put32(b, size);
	put16(b, link);
	put16(b, 0);
	put32(b, snaplen);
	if (resolution != 0) {
		put16(b, 9);
		put16(b, 1);
		put(b, &resolution, 1);
		pad(b, 1);
	}
	if (offset != 0) {
		put16(b, 14);
		put16(b, 8);
		put64(b, (uint64_t)offset);
	}
	put32(b, size);
}

void ng_enhanced(struct bytes *b, uint32_t interface, uint64_t time, uint32_t size, uint32_t wire,
	uint8_t number)
{
	uint32_t length = 32 + (size + 3) / 4 * 4;

	put32(b, 6);
	put32(b, length);
	put32(b, interface);
	put32(b, (uint32_t)(time >> 32));
	put32(b, (uint32_t)time);
	put32(b, size);
	put32(b, wire);
	fill_bytes(b, size, number);
	pad(b, size);
	put32(b, length);
}

void ng_obsolete(struct bytes *b, uint16_t interface, uint64_t time, uint32_t size, uint32_t wire,
	uint8_t number)
{
	uint32_t length = 32 + (size + 3) / 4 * 4;

	put32(b, 2);
	put32(b, length);
	put16(b, interface);
	put16(b, 0xffff);
	put32(b, (uint32_t)(time >> 32));
	put32(b, (uint32_t)time);
	put32(b, size);
	put32(b, wire);
	fill_bytes(b, size, number);
	pad(b, size);
	put32(b, length);
}

void ng_simple(struct bytes *b, uint32_t size, uint32_t wire, uint8_t number)
{
	uint32_t length = 16 + (size + 3) / 4 * 4;

	put32(b, 3);
	put32(b, length);
	put32(b, wire);
	fill_bytes(b, size, number);
	pad(b, size);
	put32(b, length);
}

void ng_other(struct bytes *b, uint32_t type, uint32_t body)
{
	put32(b, type);
	put32(b, 12 + body);
	fill_bytes(b, body, 0);
	put32(b, 12 + body);
}

static void keep(struct run *r, const struct packet *pkts, unsigned n)
{
	r->pkts = realloc(r->pkts, (r->count + n + 1) * sizeof(*r->pkts));
	assert_non_null(r->pkts);
	for (unsigned i = 0; i < n; i++) {
		const struct packet *p = &pkts[i];
		struct seen *s = &r->pkts[r->count++];

		*s = (struct seen){p->ts_ns, p->seq, p->caplen, p->wirelen, p->link, p->flags,
			malloc(p->caplen + 1)};
		assert_non_null(s->data);
		memcpy(s->data, p->data, p->caplen);
	}
}

void run_source(struct run *r, const char *source, const char *filter, uint32_t chunk_bytes)
{
	struct capture_options options = {.filter = filter,
		.workers = 1,
		.numa_node = -1,
		.index = 3,
		.chunk_bytes = chunk_bytes};
	static struct packet pkts[PACKET_BURST];
	struct packet *all[PACKET_BURST];
	struct capture_source parsed;
	struct capture *c;
	struct capture_rx rx;
	unsigned idle = 0;

	*r = (struct run){0};
	assert_int_equal(capture_source_parse(source, &parsed, r->error, sizeof(r->error)), 0);
	r->opened = capture_open(&parsed, &options, &c, r->error, sizeof(r->error));
	if (r->opened != 0)
		return;
	do {
		unsigned n = capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx);

		assert_int_equal(rx.received, n + rx.filtered + rx.dropped_no_mbuf);
		r->sum.received += rx.received;
		r->sum.filtered += rx.filtered;
		r->sum.dropped_no_mbuf += rx.dropped_no_mbuf;
		r->sum.truncated += rx.truncated;
		r->sum.received_bytes += rx.received_bytes;
		keep(r, pkts, n);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(pkts[i].capture, 3);
			all[i] = &pkts[i];
		}
		packet_release(all, n);
		idle = n == 0 ? idle + 1 : 0;
		assert_true(idle < 100000);
	} while (rx.state == CAPTURE_RX_RUNNING);
	r->state = rx.state;
	snprintf(r->reason, sizeof(r->reason), "%s", capture_reason(c));
	capture_progress(c, &r->progress, &r->total);
	capture_close(c);
}

void run_bytes(struct run *r, const struct bytes *b, const char *options, const char *filter,
	uint32_t chunk_bytes)
{
	char source[128];
	int fd = memfd_create("capture", 0);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, b->data, b->size), b->size);
	snprintf(source, sizeof(source), "pcap:/proc/self/fd/%d%s", fd,
		options != NULL ? options : "");
	run_source(r, source, filter, chunk_bytes);
	close(fd);
}

void run_free(struct run *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->pkts[i].data);
	free(r->pkts);
	*r = (struct run){0};
}

bool run_equal(const struct run *a, const struct run *b)
{
	if (a->opened != b->opened || a->count != b->count || a->state != b->state ||
		strcmp(a->reason, b->reason) != 0)
		return false;
	for (size_t i = 0; i < a->count; i++) {
		const struct seen *x = &a->pkts[i], *y = &b->pkts[i];

		if (x->ts_ns != y->ts_ns || x->seq != y->seq || x->caplen != y->caplen ||
			x->wirelen != y->wirelen || x->link != y->link || x->flags != y->flags ||
			memcmp(x->data, y->data, x->caplen) != 0)
			return false;
	}
	return true;
}

const char *captures_folder(void)
{
	const char *folder = getenv("PKTAI_CAPTURES");

	if (folder == NULL || folder[0] == 0)
		folder = CAPTURES_DEFAULT;
	return access(folder, R_OK | X_OK) == 0 ? folder : NULL;
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

unsigned captures_each(void (*each)(const char *path))
{
	char *roots[] = {(char *)(uintptr_t)captures_folder(), NULL};
	FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
	unsigned count = 0;
	FTSENT *e;

	assert_non_null(tree);
	while ((e = fts_read(tree)) != NULL) {
		const char *dot = strrchr(e->fts_name, '.');

		if (e->fts_info != FTS_F || dot == NULL ||
			(strcmp(dot, ".pcap") != 0 && strcmp(dot, ".pcapng") != 0 &&
				strcmp(dot, ".cap") != 0))
			continue;
		each(e->fts_path);
		count++;
	}
	fts_close(tree);
	return count;
}
