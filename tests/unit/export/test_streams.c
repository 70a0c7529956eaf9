// SPDX-License-Identifier: Apache-2.0
// Bytes of streams on the far side of the ring: files for each direction, whatever the order, and more at
// a time than there are buffers; what an error costs; and the store of recent bytes, against a plain
// list of pieces from which the oldest go.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "export.h"
#include "log.h"

enum { STREAMS = 3000, RECORDS = 60000, RECORD_MAX = 3000, CAPTURE = 3, RING_BYTES = 1 << 18 };

static uint64_t rng = 88172645463325252u;
static struct ring *ring;
// In memory where that can be: thousands of files are made.
static char folder[] = "/dev/shm/pktaid-streams-XXXXXX";

static uint32_t rnd(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % n;
}

static int begin(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	ring = ring_new(RING_BYTES);
	export_capture_set(CAPTURE, &(struct export_capture){"test", "", "file"});
	if (access("/dev/shm", W_OK) < 0)
		snprintf(folder, sizeof(folder), "/tmp/pktaid-streams-XXXXXX");
	return ring == NULL || mkdtemp(folder) == NULL ? -1 : 0;
}

static int end(void **state)
{
	(void)state;
	ring_free(ring);
	return rmdir(folder);
}

static struct export *start(uint64_t keep_bytes)
{
	struct export_config config = {.workers = 1, .records = &ring, .keep_bytes = keep_bytes};
	struct export *e = NULL;
	char error[200];

	if (export_start(&config, &e, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return e;
}

static void send_bytes(uint64_t flow_id, unsigned direction, uint64_t offset, const uint8_t *bytes,
	uint32_t n, bool is_first)
{
	struct stream_record *r = record_reserve(
		ring, RECORD_STREAM, offsetof(struct stream_record, bytes) + n, true);

	memset(r, 0, sizeof(*r));
	r->tuple = (struct flow_tuple){.src = {10, 0, 0, 1},
		.dst = {192, 0, 2, 9},
		.src_port = 1000,
		.dst_port = 80,
		.version = 4,
		.proto = 6};
	r->flow_id = flow_id;
	r->direction = (uint8_t)direction;
	r->offset = offset;
	r->ts_ns = offset + 1;
	r->capture = CAPTURE;
	r->length = n;
	r->is_first = is_first;
	if (n > 0)
		memcpy(r->bytes, bytes, n);
	else
		r->is_last = 1;
	ring_publish(ring);
}

static void send_done(void)
{
	struct capture_done_record *r = record_reserve(ring, RECORD_CAPTURE_DONE, sizeof(*r), true);

	*r = (struct capture_done_record){CAPTURE, 0};
	ring_publish(ring);
}

static void wait_done(struct export *e)
{
	for (unsigned i = 0; i < 20000 && !export_capture_is_done(e, CAPTURE); i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_true(export_capture_is_done(e, CAPTURE));
}

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void follow(struct export *e)
{
	char error[500];
	int fd = export_follow_open(folder, error, sizeof(error));

	assert_true(fd >= 0);
	export_capture_reset(e, CAPTURE);
	assert_int_equal(export_follow(e, CAPTURE, fd, folder), 0);
}

// --- Files ---

struct half {
	uint8_t *bytes;
	size_t size;
	uint64_t offset;
	bool has_begun, has_ended;
};

static struct half half[STREAMS][2];

static void path_of(char path[200], unsigned stream, unsigned d)
{
	snprintf(path, 200,
		d == 0 ? "%s/%u_10.0.0.1_1000_192.0.2.9_80" : "%s/%u_192.0.2.9_80_10.0.0.1_1000",
		folder, stream + 1);
}

static void check_file(unsigned stream, unsigned d)
{
	static uint8_t have[1 << 20];
	const struct half *h = &half[stream][d];
	char path[200];
	FILE *f;

	path_of(path, stream, d);
	f = fopen(path, "rb");
	assert_int_equal(f != NULL, h->has_begun);
	if (f == NULL)
		return;
	assert_int_equal(fread(have, 1, sizeof(have), f), h->size);
	assert_memory_equal(have, h->bytes, h->size);
	fclose(f);
	unlink(path);
}

// Any stream has the next record; some bytes are missing; some streams end and say so, some don't.
static void send_streams(unsigned *ret_most)
{
	static uint8_t bytes[RECORD_MAX];

	for (unsigned i = 0; i < RECORDS; i++) {
		unsigned s = rnd(STREAMS), d = rnd(4) == 0;
		struct half *h = &half[s][d];
		uint32_t n = 1 + rnd(rnd(2) ? 60 : RECORD_MAX);

		if (h->has_ended)
			continue;
		for (uint32_t k = 0; k < n; k++)
			bytes[k] = (uint8_t)rnd(256);
		h->bytes = realloc(h->bytes, h->size + n);
		memcpy(h->bytes + h->size, bytes, n);
		h->offset += rnd(10) == 0 ? rnd(5000) : 0;
		send_bytes(s + 1, d, h->offset, bytes, n, !h->has_begun);
		h->has_begun = true;
		h->size += n;
		h->offset += n;
		h->has_ended = rnd(500) == 0;
		if (h->has_ended)
			send_bytes(s + 1, d, 0, NULL, 0, false);
		if (i % 4096 == 0 && descriptors() > *ret_most)
			*ret_most = descriptors();
	}
}

static void files_hold_what_came(void **state)
{
	struct export_follow_status status;
	unsigned before = descriptors(), most = 0, files = 0;
	struct export *e = start(0);
	char error[200], path[200];
	uint64_t all = 0;
	FILE *f;

	(void)state;
	path_of(path, 0, 0); // of an earlier run
	f = fopen(path, "w");
	fputs("something else", f);
	fclose(f);
	follow(e);
	send_bytes(1, 0, 0, (const uint8_t *)"x", 1, true);
	half[0][0] = (struct half){calloc(1, 1), 1, 1, true, false};
	half[0][0].bytes[0] = 'x';
	send_streams(&most);
	send_done();
	wait_done(e);
	assert_int_equal(descriptors(), before);
	assert_true(most < before + 8);
	for (unsigned s = 0; s < STREAMS; s++)
		for (unsigned d = 0; d < 2; d++) {
			check_file(s, d);
			files += half[s][d].has_begun;
			all += half[s][d].size;
			free(half[s][d].bytes);
		}
	export_follow_status(e, CAPTURE, &status);
	assert_true(status.is_on);
	assert_int_equal(status.files, files);
	assert_int_equal(status.bytes, all);
	assert_int_equal(status.bytes_lost, 0);
	assert_int_equal(status.error, 0);
	export_capture_reset(e, CAPTURE);
	export_follow_status(e, CAPTURE, &status);
	assert_false(status.is_on);
	assert_int_equal(export_stop(e, error, sizeof(error)), 0);
}

// A folder in a file's place: what was saved stays, everything after it is lost and counted.
static void the_first_error_ends_saving(void **state)
{
	struct export_follow_status status;
	struct export *e = start(0);
	struct export_stats stats;
	char error[200], path[200];

	(void)state;
	path_of(path, 1, 0);
	assert_int_equal(mkdir(path, 0700), 0);
	log_set_level(LOG_LEVEL_ERROR);
	follow(e);
	send_bytes(1, 0, 0, (const uint8_t *)"first", 5, true);
	send_bytes(1, 0, 0, NULL, 0, false);
	send_bytes(2, 0, 0, (const uint8_t *)"second", 6, true);
	send_bytes(3, 0, 0, (const uint8_t *)"third", 5, true);
	send_done();
	wait_done(e);
	export_follow_status(e, CAPTURE, &status);
	assert_int_equal(status.error, EISDIR);
	assert_int_equal(status.files, 1);
	assert_int_equal(status.bytes, 5);
	assert_int_equal(status.bytes_lost, 11);
	export_stats(e, &stats);
	assert_int_equal(stats.stream_bytes_unsaved, 11);
	export_capture_reset(e, CAPTURE); // the sums stay
	export_stats(e, &stats);
	assert_int_equal(stats.stream_bytes_unsaved, 11);
	assert_int_equal(stats.stream_bytes_saved, 5);
	assert_int_equal(rmdir(path), 0);
	path_of(path, 0, 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(export_stop(e, error, sizeof(error)), 0);
}

static void folders_are_checked(void **state)
{
	char error[500], path[200];
	int fd;

	(void)state;
	snprintf(path, sizeof(path), "%s/none", folder);
	assert_int_equal(export_follow_open(path, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, path));
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(export_follow_open(path, error, sizeof(error)), -ENOTDIR);
	unlink(path);
}

// --- The store ---

enum { KEEP = 64 << 10, FLOWS = 12, PIECES = 4000 };

struct kept_piece {
	uint64_t flow, offset;
	uint32_t length;
	uint8_t direction, fill;
};

static struct kept_piece sent[PIECES];
static struct export_stream_query q;

// What is left of a flow: the pieces from the first one on that is not forgotten.
static void check_flow(struct export *e, uint64_t flow, int direction, uint64_t bytes_kept)
{
	uint64_t left = bytes_kept, at = 0;
	unsigned first = PIECES, i;

	while (first > 0 && left >= sent[first - 1].length && left > 0)
		left -= sent[--first].length;
	assert_int_equal(left, 0);
	memset(&q, 0, sizeof(q));
	q.flow_id = flow;
	q.direction = direction;
	i = first;
	do {
		q.limit = 1 + rnd(3000);
		export_stream_read(e, &q);
		assert_true(q.bytes_used <= q.limit);
		for (unsigned k = 0; k < q.count; k++) {
			const struct export_stream_piece *p = &q.piece[k];

			while (i < PIECES &&
				(sent[i].flow != flow ||
					(direction >= 0 && sent[i].direction != direction)))
				i++;
			assert_true(i < PIECES);
			assert_int_equal(p->direction, sent[i].direction);
			assert_int_equal(p->offset, sent[i].offset + at);
			for (uint32_t b = 0; b < p->length; b++)
				assert_int_equal(q.bytes[p->at + b], sent[i].fill);
			at += p->length;
			if (at == sent[i].length) {
				at = 0;
				i++;
			}
		}
	} while (q.has_more);
	while (i < PIECES &&
		(sent[i].flow != flow || (direction >= 0 && sent[i].direction != direction)))
		i++;
	assert_int_equal(i, PIECES);
	assert_true(q.is_ended || !q.is_known);
}

static void send_end(uint64_t flow)
{
	struct flow_record *r = record_reserve(ring, RECORD_FLOW, sizeof(*r), true);

	memset(r, 0, sizeof(*r));
	r->flow_id = flow;
	r->capture = CAPTURE;
	r->end = FLOW_END_FIN;
	r->has_stream = 1;
	r->tuple.version = 4;
	r->tuple.proto = 6;
	ring_publish(ring);
}

static void the_store_keeps_the_newest(void **state)
{
	static uint8_t bytes[RECORD_MAX];
	uint64_t offset[FLOWS + 1][2] = {{0}}, all = 0;
	struct export *e = start(KEEP);
	struct export_stats stats;
	char error[200];

	(void)state;
	assert_true(export_keeps_streams(e));
	export_capture_reset(e, CAPTURE);
	for (unsigned i = 0; i < PIECES; i++) {
		struct kept_piece *p = &sent[i];

		*p = (struct kept_piece){.flow = 1 + rnd(FLOWS),
			.length = 1 + rnd(rnd(2) ? 100 : RECORD_MAX),
			.direction = (uint8_t)rnd(2),
			.fill = (uint8_t)rnd(256)};
		p->offset = offset[p->flow][p->direction];
		offset[p->flow][p->direction] += p->length;
		memset(bytes, p->fill, p->length);
		send_bytes(p->flow, p->direction, p->offset, bytes, p->length, p->offset == 0);
		all += p->length;
	}
	for (uint64_t f = 1; f <= FLOWS + 3; f++) // some that nothing is kept of
		send_end(f);
	send_done();
	wait_done(e);
	export_stats(e, &stats);
	assert_int_equal(stats.stream_bytes_kept + stats.stream_bytes_forgotten, all);
	assert_in_range(stats.stream_bytes_kept, KEEP / 2, KEEP);
	for (uint64_t f = 1; f <= FLOWS + 3; f++)
		for (int d = -1; d < 2; d++)
			check_flow(e, f, d, stats.stream_bytes_kept);
	export_recent_forget(e, CAPTURE);
	export_stats(e, &stats);
	assert_int_equal(stats.stream_bytes_kept, 0);
	assert_int_equal(stats.stream_bytes_forgotten, all);
	q.flow_id = 1;
	export_stream_read(e, &q);
	assert_false(q.is_known);
	assert_int_equal(export_stop(e, error, sizeof(error)), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_hold_what_came),
		cmocka_unit_test(the_first_error_ends_saving),
		cmocka_unit_test(folders_are_checked),
		cmocka_unit_test(the_store_keeps_the_newest),
	};

	return cmocka_run_group_tests_name("streams", tests, begin, end);
}
