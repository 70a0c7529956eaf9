// SPDX-License-Identifier: Apache-2.0
// Reading capture files: each variant of both formats, built byte by byte; files that break off at each
// of their bytes; chunks of all sizes; passes, pace, streams, compression.
#include "testlib.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#define MICRO 0xa1b2c3d4
#define NANO 0xa1b23c4d
#define S UINT64_C(1000000000)

static void check_bytes(const struct seen *p, uint8_t number)
{
	for (uint32_t i = 0; i < p->caplen; i++)
		assert_int_equal(p->data[i], (uint8_t)(number + i));
}

static void pcap_variants(void **state)
{
	(void)state;
	for (unsigned v = 0; v < 4; v++) {
		struct bytes b = {.is_swapped = v & 1};
		bool nano = v & 2;
		struct run r;

		pcap_head(&b, nano ? NANO : MICRO, 1);
		pcap_record(&b, 10, 5, 60, 60, 1);
		pcap_record(&b, 4000000000u, 999999, 100, 1500, 2);
		pcap_record(&b, 9, 0, 0, 40, 3);
		run_bytes(&r, &b, NULL, NULL, 0);
		assert_int_equal(r.opened, 0);
		assert_int_equal(r.state, CAPTURE_RX_END);
		assert_string_equal(r.reason, "end of file");
		assert_int_equal(r.count, 3);
		assert_int_equal(r.pkts[0].ts_ns, 10 * S + (nano ? 5 : 5000));
		assert_int_equal(r.pkts[1].ts_ns, 4000000000u * S + (nano ? 999999 : 999999000));
		assert_int_equal(r.pkts[0].caplen, 60);
		assert_int_equal(r.pkts[0].flags, PACKET_LOSSLESS);
		assert_int_equal(r.pkts[1].caplen, 100);
		assert_int_equal(r.pkts[1].wirelen, 1500);
		assert_int_equal(r.pkts[1].flags, PACKET_LOSSLESS | PACKET_TRUNCATED);
		assert_int_equal(r.pkts[2].caplen, 0);
		assert_int_equal(r.pkts[2].seq, 3);
		assert_int_equal(r.pkts[2].link, LINK_ETHERNET);
		check_bytes(&r.pkts[0], 1);
		check_bytes(&r.pkts[1], 2);
		assert_int_equal(r.sum.received, 3);
		assert_int_equal(r.sum.truncated, 2);
		assert_int_equal(r.sum.received_bytes, 1600);
		assert_int_equal(r.progress, b.size);
		assert_int_equal(r.total, b.size);
		run_free(&r);
		bytes_free(&b);
	}
}

static void pcap_kuznetsov_and_old(void **state)
{
	struct bytes b = {0};
	struct run r;

	(void)state;
	pcap_head(&b, 0xa1b2cd34, 101);
	put32(&b, 7);
	put32(&b, 8);
	put32(&b, 20);
	put32(&b, 20);
	put64(&b, 0);
	fill_bytes(&b, 20, 9);
	run_bytes(&r, &b, NULL, NULL, 0);
	assert_int_equal(r.count, 1);
	assert_int_equal(r.pkts[0].link, LINK_RAW);
	check_bytes(&r.pkts[0], 9);
	run_free(&r);
	bytes_free(&b);

	pcap_head(&b, MICRO, 12); // DLT_RAW, written as it is
	b.data[6] = 3;            // version 2.3: lengths the other way round where they look so
	pcap_record(&b, 1, 1, 30, 30, 4);
	put32(&b, 2);
	put32(&b, 2);
	put32(&b, 90);
	put32(&b, 40);
	fill_bytes(&b, 40, 5);
	run_bytes(&r, &b, NULL, NULL, 0);
	assert_int_equal(r.count, 2);
	assert_int_equal(r.pkts[0].link, LINK_RAW);
	assert_int_equal(r.pkts[1].caplen, 40);
	assert_int_equal(r.pkts[1].wirelen, 90);
	run_free(&r);
	bytes_free(&b);
}

// Two sections of different byte order, interfaces of several link types and clocks, all packet blocks.
static void build_ng(struct bytes *b)
{
	ng_section(b);
	ng_other(b, 4, 40); // name resolution
	ng_interface(b, 1, 0, 0, 0);
	ng_interface(b, 101, 96, 9, 0);
	ng_interface(b, 276, 0, 0x80 | 10, 1000);
	ng_interface(b, 1, 0, 12, -5);
	ng_enhanced(b, 0, 1000001, 61, 61, 1);
	ng_enhanced(b, 1, 5 * S + 7, 40, 400, 2);
	ng_enhanced(b, 2, 1536, 33, 33, 3); // 1.5 s + 1000 s
	ng_enhanced(b, 3, 7 * UINT64_C(1000000000000) + 123456789012, 10, 10, 4);
	ng_simple(b, 50, 50, 5);
	ng_obsolete(b, 1, 6 * S, 44, 44, 6);
	ng_other(b, 0x0bad, 1000);
	b->is_swapped = !b->is_swapped;
	ng_section(b);
	ng_interface(b, 228, 20, 0, 0);
	ng_simple(b, 20, 99, 7);
	ng_enhanced(b, 0, 8, 64, 64, 8);
}

static void pcapng_variants(void **state)
{
	(void)state;
	for (unsigned v = 0; v < 2; v++) {
		struct bytes b = {.is_swapped = v};
		static const uint64_t times[] = {1000001000, 5 * S + 7, 1001 * S + S / 2,
			2 * S + 123456789, 0, 6 * S, 0, 8000};
		static const uint16_t links[] = {1, 101, 276, 1, 1, 101, 228, 228};
		struct run r;

		build_ng(&b);
		run_bytes(&r, &b, NULL, NULL, 0);
		assert_int_equal(r.opened, 0);
		assert_string_equal(r.reason, "end of file");
		assert_int_equal(r.count, 8);
		for (unsigned i = 0; i < 8; i++) {
			assert_int_equal(r.pkts[i].ts_ns, times[i]);
			assert_int_equal(r.pkts[i].link, links[i]);
			assert_int_equal(r.pkts[i].seq, i + 1);
			check_bytes(&r.pkts[i], (uint8_t)(i + 1));
		}
		assert_int_equal(r.pkts[1].wirelen, 400);
		assert_int_equal(r.pkts[6].caplen, 20);
		assert_int_equal(r.pkts[6].wirelen, 99);
		run_free(&r);
		bytes_free(&b);
	}
}

static void chunk_sizes_change_nothing(void **state)
{
	static const uint32_t sizes[] = {1, 16, 24, 61, 100, 128, 555, 4096};
	struct bytes files[2] = {{0}};

	(void)state;
	build_ng(&files[0]);
	pcap_head(&files[1], NANO, 1);
	for (unsigned i = 0; i < 200; i++)
		pcap_record(&files[1], i, i, i * 7 % 300, 1514, (uint8_t)i);
	for (unsigned f = 0; f < 2; f++) {
		struct run whole, r;

		run_bytes(&whole, &files[f], NULL, NULL, 0);
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			run_bytes(&r, &files[f], NULL, NULL, sizes[i]);
			assert_true(run_equal(&whole, &r));
			run_free(&r);
		}
		run_free(&whole);
		bytes_free(&files[f]);
	}
}

// At each length a file either ends well, between packets, or fails and says so; what stands before the
// cut is the same in all.
static void cut_everywhere(void **state)
{
	struct bytes files[2] = {{0}};

	(void)state;
	build_ng(&files[0]);
	pcap_head(&files[1], MICRO, 1);
	for (unsigned i = 0; i < 5; i++)
		pcap_record(&files[1], i, i, 10 + i, 60, (uint8_t)i);
	for (unsigned f = 0; f < 2; f++) {
		struct run whole, r;
		size_t count = 0;
		unsigned ends = 0;

		run_bytes(&whole, &files[f], NULL, NULL, 0);
		for (size_t n = 0; n <= files[f].size; n++) {
			struct bytes cut = {.data = files[f].data, .size = n};

			run_bytes(&r, &cut, NULL, NULL, n % 2 == 0 ? 0 : 32);
			if (r.opened != 0) {
				assert_true(r.error[0] != 0);
				assert_int_equal(count, 0);
				continue;
			}
			assert_true(r.count == count || r.count == count + 1);
			count = r.count;
			for (size_t i = 0; i < count; i++)
				assert_memory_equal(
					r.pkts[i].data, whole.pkts[i].data, whole.pkts[i].caplen);
			ends += r.state == CAPTURE_RX_END;
			if (r.state == CAPTURE_RX_FAILED)
				assert_non_null(strstr(r.reason, "cut off"));
			run_free(&r);
		}
		assert_int_equal(count, whole.count);
		// one good end behind each packet or block, and behind the head
		assert_int_equal(ends, f == 0 ? 17 : 6);
		run_free(&whole);
		bytes_free(&files[f]);
	}
}

static void expect_failure(struct bytes *b, size_t count, const char *text)
{
	struct run r;

	run_bytes(&r, b, NULL, NULL, 0);
	if (r.opened != 0) {
		assert_non_null(strstr(r.error, text));
	} else {
		assert_int_equal(r.state, CAPTURE_RX_FAILED);
		assert_int_equal(r.count, count);
		if (strstr(r.reason, text) == NULL)
			fail_msg("reason '%s' lacks '%s'", r.reason, text);
	}
	run_free(&r);
	bytes_free(b);
}

static void corrupt_files(void **state)
{
	struct bytes b = {0};

	(void)state;
	pcap_head(&b, MICRO, 1);
	pcap_record(&b, 1, 1, 60, 60, 1);
	pcap_record(&b, 1, 1, 10, 60, 1);
	b.data[24 + 76 + 8 + 3] = 0xff; // captured length
	expect_failure(&b, 1,
		"corrupt at byte 100, behind packet 1: captured length 4278190090 is above "
		"262144; the 1 packets before it were read");
	pcap_head(&b, MICRO, 1);
	pcap_record(&b, 1, 1, 60, 60, 1);
	b.size -= 7;
	expect_failure(&b, 0, "cut off: it ends at byte 93 inside packet 1");
	pcap_head(&b, MICRO, 1);
	b.data[4] = 3;
	expect_failure(&b, 0, "pcap version 3.4 is not 2.x");
	ng_section(&b);
	ng_enhanced(&b, 0, 1, 10, 10, 1);
	expect_failure(&b, 0, "packet of interface 0, of which no block tells");
	ng_section(&b);
	ng_interface(&b, 1, 0, 0, 0);
	ng_enhanced(&b, 0, 1, 10, 10, 1);
	b.data[b.size - 4] ^= 4;
	expect_failure(&b, 0, "at its end");
	ng_section(&b);
	ng_interface(&b, 1, 0, 0, 0);
	ng_enhanced(&b, 0, 1, 10, 10, 1);
	b.data[28 + 20 + 8 + 12] = 30; // captured length
	expect_failure(&b, 0, "captured length 30 in a block of 44 bytes");
	ng_section(&b);
	ng_interface(&b, 1, 0, 100, 0);
	expect_failure(&b, 0, "options that make no sense");
	ng_section(&b);
	b.data[12] = 2;
	expect_failure(&b, 0, "pcapng version 2.0 is not 1.x");
	ng_section(&b);
	ng_interface(&b, 1, 0, 0, 0);
	put32(&b, 99);
	put32(&b, 13);
	put32(&b, 0);
	expect_failure(&b, 0, "block of 13 bytes");
	put(&b, "\177ELF and more", 13);
	expect_failure(&b, 0, "not a capture file (pcap or pcapng): it begins with 7f 45 4c 46");
	put(&b, "a", 1);
	expect_failure(&b, 0, "not a capture file (pcap or pcapng): it has 1 bytes");
	b.data = malloc(1);
	expect_failure(&b, 0, "is empty");
}

static void files_that_cannot_be_opened(void **state)
{
	char folder[] = "/tmp/test_file.XXXXXX", path[64], source[80];
	struct run r;
	int fd;

	(void)state;
	run_source(&r, "pcap:/nowhere/at/all.pcap", NULL, 0);
	assert_int_equal(r.opened, -ENOENT);
	assert_string_equal(
		r.error, "/nowhere/at/all.pcap cannot be opened: No such file or directory");
	assert_non_null(mkdtemp(folder));
	snprintf(source, sizeof(source), "pcap:%s", folder);
	run_source(&r, source, NULL, 0);
	assert_int_equal(r.opened, -EISDIR);
	run_source(&r, "pcap:/dev/zero", NULL, 0);
	assert_int_equal(r.opened, -EINVAL);
	snprintf(path, sizeof(path), "%s/a", folder);
	snprintf(source, sizeof(source), "pcap:%s", path);
	fd = open(path, O_CREAT | O_WRONLY, 0);
	assert_true(fd >= 0);
	close(fd);
	if (geteuid() == 0)
		assert_int_equal(seteuid(65534), 0);
	run_source(&r, source, NULL, 0);
	assert_int_equal(r.opened, -EACCES);
	assert_non_null(strstr(r.error, "Permission denied"));
	if (getuid() == 0)
		assert_int_equal(seteuid(0), 0);
	unlink(path);
	rmdir(folder);
}

// A reader must wait, not lose, while all chunks are held; and go on when they come back.
static void waits_for_chunks(void **state)
{
	struct capture_options options = {.workers = 1, .chunk_bytes = 128};
	enum { COUNT = 1000 };
	struct packet *pkts = calloc(COUNT, sizeof(*pkts)), *one;
	struct capture_source source;
	struct capture_rx rx;
	struct capture *c;
	struct bytes b = {0};
	char text[64], error[CAPTURE_ERROR_MAX];
	unsigned n = 0, got, freed = 0;
	int fd = memfd_create("capture", 0);

	(void)state;
	pcap_head(&b, MICRO, 1);
	for (unsigned i = 0; i < COUNT; i++)
		pcap_record(&b, i, 0, 90, 90, (uint8_t)i);
	assert_int_equal(write(fd, b.data, b.size), b.size);
	snprintf(text, sizeof(text), "pcap:/proc/self/fd/%d", fd);
	assert_int_equal(capture_source_parse(text, &source, error, sizeof(error)), 0);
	assert_int_equal(capture_open(&source, &options, &c, error, sizeof(error)), 0);
	do {
		got = capture_rx_burst(c, 0, pkts + n, 64, &rx);
		n += got;
	} while (got > 0);
	assert_int_equal(rx.state, CAPTURE_RX_RUNNING);
	assert_in_range(n, 60, 65); // one packet a chunk
	packet_ref(&pkts[0], 2);    // the first packet has three owners
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(capture_rx_burst(c, 0, pkts + n, 64, &rx), 0);
		one = &pkts[0];
		packet_release(&one, 1);
	}
	freed = 1;
	while (n < COUNT) {
		got = capture_rx_burst(c, 0, pkts + n, 64 < COUNT - n ? 64 : COUNT - n, &rx);
		n += got;
		if (got == 0) {
			assert_true(freed < n);
			one = &pkts[freed++];
			for (uint32_t i = 0; i < 90; i++)
				assert_int_equal(one->data[i], (uint8_t)(freed - 1 + i));
			packet_release(&one, 1);
		}
	}
	for (; freed < COUNT; freed++) {
		one = &pkts[freed];
		packet_release(&one, 1);
	}
	assert_int_equal(capture_rx_burst(c, 0, pkts, 64, &rx), 0);
	assert_int_equal(rx.state, CAPTURE_RX_END);
	capture_close(c);
	close(fd);
	free(pkts);
	bytes_free(&b);
}

static void large_packets_have_room(void **state)
{
	struct bytes b = {0};
	struct run r;

	(void)state;
	pcap_head(&b, MICRO, 1);
	pcap_record(&b, 1, 0, 60, 60, 1);
	pcap_record(&b, 2, 0, 262144, 262144, 2);
	pcap_record(&b, 3, 0, 70000, 70000, 3);
	pcap_record(&b, 4, 0, 262144, 262144, 4);
	run_bytes(&r, &b, NULL, NULL, 0);
	assert_int_equal(r.count, 4);
	for (unsigned i = 0; i < 4; i++)
		check_bytes(&r.pkts[i], (uint8_t)(i + 1));
	run_free(&r);
	bytes_free(&b);
}

static void passes_go_on_in_time(void **state)
{
	struct bytes b = {0};
	struct run r;

	(void)state;
	pcap_head(&b, NANO, 1);
	pcap_record(&b, 100, 0, 10, 10, 1);
	pcap_record(&b, 99, 0, 10, 10, 2);
	pcap_record(&b, 103, 500, 10, 10, 3);
	run_bytes(&r, &b, ",loop=3", NULL, 0);
	assert_int_equal(r.count, 9);
	assert_int_equal(r.state, CAPTURE_RX_END);
	for (unsigned i = 0; i < 9; i++) {
		uint64_t pass = i / 3 * (4 * S + 500 + 1000);

		assert_int_equal(r.pkts[i].ts_ns, r.pkts[i % 3].ts_ns + pass);
		assert_int_equal(r.pkts[i].seq, i + 1);
		check_bytes(&r.pkts[i], (uint8_t)(i % 3 + 1));
	}
	assert_int_equal(r.progress, 3 * b.size);
	assert_int_equal(r.total, 3 * b.size);
	run_free(&r);
	b.size = 24; // no packets: no endless passes
	run_bytes(&r, &b, ",loop=4000000000", NULL, 0);
	assert_int_equal(r.count, 0);
	assert_int_equal(r.state, CAPTURE_RX_END);
	run_free(&r);
	bytes_free(&b);
}

static void snaplen_cuts(void **state)
{
	struct bytes b = {0};
	struct run r;

	(void)state;
	pcap_head(&b, MICRO, 1);
	pcap_record(&b, 1, 0, 100, 100, 1);
	pcap_record(&b, 1, 0, 64, 64, 1);
	run_bytes(&r, &b, ",snaplen=64", NULL, 0);
	assert_int_equal(r.pkts[0].caplen, 64);
	assert_int_equal(r.pkts[0].wirelen, 100);
	assert_int_equal(r.pkts[0].flags, PACKET_LOSSLESS | PACKET_TRUNCATED);
	assert_int_equal(r.pkts[1].flags, PACKET_LOSSLESS);
	assert_int_equal(r.sum.truncated, 1);
	run_free(&r);
	bytes_free(&b);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

static void pace(void **state)
{
	struct capture_options options = {.workers = 1};
	struct packet pkts[8], *all[8];
	struct capture_source source;
	struct capture_rx rx;
	struct capture *c;
	struct bytes b = {0};
	char text[64], error[CAPTURE_ERROR_MAX];
	int fd = memfd_create("capture", 0);
	unsigned n = 0, empty = 0;
	uint64_t start;

	(void)state;
	pcap_head(&b, MICRO, 1);
	for (unsigned i = 0; i < 5; i++)
		pcap_record(&b, 50, i * 40000, 60, 60, 1); // 40 ms apart, at twice the speed
	assert_int_equal(write(fd, b.data, b.size), b.size);
	snprintf(text, sizeof(text), "pcap:/proc/self/fd/%d,speed=2x", fd);
	assert_int_equal(capture_source_parse(text, &source, error, sizeof(error)), 0);
	assert_int_equal(capture_open(&source, &options, &c, error, sizeof(error)), 0);
	start = now_ns();
	do {
		unsigned got = capture_rx_burst(c, 0, pkts, 8, &rx);

		for (unsigned i = 0; i < got; i++, n++) {
			assert_true(now_ns() - start >= n * UINT64_C(20000000));
			all[i] = &pkts[i];
		}
		packet_release(all, got);
		empty += got == 0;
	} while (rx.state == CAPTURE_RX_RUNNING);
	assert_int_equal(n, 5);
	assert_true(empty > 10); // it does not sleep inside
	assert_true(now_ns() - start < 2 * S);
	capture_close(c);
	close(fd);
	bytes_free(&b);
}

// A FIFO delivers when it has something, and its writer's end is the end of the file.
static void stream(void **state)
{
	struct capture_options options = {.workers = 1};
	char folder[] = "/tmp/test_file.XXXXXX", path[64], text[80], error[CAPTURE_ERROR_MAX];
	struct packet pkts[8], *one = pkts;
	struct capture_source source;
	struct capture_rx rx;
	struct capture *c;
	struct bytes b = {0};
	uint64_t done, all;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/fifo", folder);
	assert_int_equal(mkfifo(path, 0600), 0);
	snprintf(text, sizeof(text), "pcap:%s", path);
	assert_int_equal(capture_source_parse(text, &source, error, sizeof(error)), 0);
	assert_int_equal(capture_open(&source, &options, &c, error, sizeof(error)), 0);
	assert_int_equal(capture_rx_burst(c, 0, pkts, 8, &rx), 0);
	assert_int_equal(rx.state, CAPTURE_RX_RUNNING); // nobody writes yet
	fd = open(path, O_WRONLY);
	pcap_head(&b, MICRO, 1);
	pcap_record(&b, 1, 0, 60, 60, 1);
	for (size_t i = 0; i < b.size; i++) {
		assert_int_equal(capture_rx_burst(c, 0, pkts, 8, &rx), 0);
		assert_int_equal(rx.state, CAPTURE_RX_RUNNING);
		assert_int_equal(write(fd, b.data + i, 1), 1);
	}
	assert_int_equal(capture_rx_burst(c, 0, pkts, 8, &rx), 1);
	packet_release(&one, 1);
	capture_progress(c, &done, &all);
	assert_int_equal(done, b.size);
	assert_int_equal(all, 0);
	assert_int_equal(capture_rx_burst(c, 0, pkts, 8, &rx), 0);
	assert_int_equal(rx.state, CAPTURE_RX_RUNNING);
	close(fd);
	while (rx.state == CAPTURE_RX_RUNNING)
		capture_rx_burst(c, 0, pkts, 8, &rx);
	assert_int_equal(rx.state, CAPTURE_RX_END);
	capture_close(c);
	unlink(path);
	rmdir(folder);
	bytes_free(&b);
}

static void gzip(const struct bytes *b, struct bytes *ret)
{
	z_stream z = {0};
	uint8_t out[1 << 16];

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = b->data;
	z.avail_in = (uInt)b->size;
	z.next_out = out;
	z.avail_out = sizeof(out);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	put(ret, out, sizeof(out) - z.avail_out);
	deflateEnd(&z);
}

static void compressed(void **state)
{
	struct bytes b = {0}, packed = {0};
	struct run plain, r;
	size_t first;

	(void)state;
	pcap_head(&b, MICRO, 1);
	for (unsigned i = 0; i < 100; i++)
		pcap_record(&b, i, 0, i * 5, i * 6, (uint8_t)i);
	run_bytes(&plain, &b, ",loop=2", NULL, 0);
	gzip(&(struct bytes){.data = b.data, .size = 999}, &packed); // two members
	first = packed.size;
	gzip(&(struct bytes){.data = b.data + 999, .size = b.size - 999}, &packed);
	run_bytes(&r, &packed, ",loop=2", NULL, 64);
	assert_true(run_equal(&plain, &r));
	assert_int_equal(r.total, 2 * packed.size);
	assert_int_equal(r.progress, r.total);
	run_free(&r);
	packed.size -= 20;
	run_bytes(&r, &packed, NULL, NULL, 0);
	assert_int_equal(r.state, CAPTURE_RX_FAILED);
	assert_non_null(strstr(r.reason, "compressed data"));
	assert_true(r.count > 10);
	run_free(&r);
	packed.data[first / 2] ^= 0x55;
	run_bytes(&r, &packed, NULL, NULL, 0);
	assert_true(r.opened != 0 || r.state == CAPTURE_RX_FAILED);
	run_free(&r);
	run_free(&plain);
	bytes_free(&b);
	bytes_free(&packed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pcap_variants),
		cmocka_unit_test(pcap_kuznetsov_and_old),
		cmocka_unit_test(pcapng_variants),
		cmocka_unit_test(chunk_sizes_change_nothing),
		cmocka_unit_test(cut_everywhere),
		cmocka_unit_test(corrupt_files),
		cmocka_unit_test(files_that_cannot_be_opened),
		cmocka_unit_test(waits_for_chunks),
		cmocka_unit_test(large_packets_have_room),
		cmocka_unit_test(passes_go_on_in_time),
		cmocka_unit_test(snaplen_cuts),
		cmocka_unit_test(pace),
		cmocka_unit_test(stream),
		cmocka_unit_test(compressed),
	};

	return cmocka_run_group_tests_name("capture file", tests, NULL, NULL);
}
