// SPDX-License-Identifier: Apache-2.0
// See follow.h. A file gets the bytes that the receiver read, one behind the other; gaps are left out, and
// the flow's record says how many bytes are missing. A name is the flow's id, then sender and
// receiver: FLOWID_SRC_SPORT_DST_DPORT. A file of that name from an earlier run is replaced.
#include "follow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

enum {
	FILES_MAX = 256, // open at a time
	BUCKETS = 512,
	BUFFER_BYTES = 16 << 10,
	NAME_BYTES = 24 + 2 * (INET6_ADDRSTRLEN + 8),
};

#define FLUSH_NS (UINT64_C(100) * 1000 * 1000)

struct file {
	uint64_t flow_id;
	uint64_t used_at; // the least goes first
	int fd;           // -1: not in use
	uint32_t filled;
	uint16_t capture;
	uint16_t next; // in the same bucket, from 1; 0: none
	uint8_t direction;
	uint8_t buffer[BUFFER_BYTES];
};

struct folder {
	char *path;
	int dirfd;  // -1: streams of the capture are not saved, or not any more
	bool is_on; // control: the capture that has the index is or was saved
	// tail writes, control reads
	_Atomic uint64_t files, bytes, bytes_lost;
	_Atomic int error;
};

struct follow {
	struct folder folder[FLOW_CAPTURES_MAX];
	struct folder past; // control: sums of captures whose index was used anew
	struct file *file;  // [1..FILES_MAX], from the first use on
	uint16_t bucket[BUCKETS];
	uint64_t now;      // counts uses
	uint64_t dirty_ns; // since when bytes wait in buffers; 0: none do
};

static void add(_Atomic uint64_t *to, uint64_t n)
{
	atomic_store_explicit(
		to, atomic_load_explicit(to, memory_order_relaxed) + n, memory_order_relaxed);
}

// --- Errors ---

// Nothing more is saved for the capture: a file with a hole that nobody knows of is worth less.
static void fail(struct follow *f, uint16_t capture, const char *name, int error)
{
	struct folder *d = &f->folder[capture];

	if (atomic_load_explicit(&d->error, memory_order_relaxed) != 0)
		return;
	atomic_store_explicit(&d->error, error, memory_order_relaxed);
	log_error("cannot save streams to %s%s%s: %s; no more are saved of this capture", d->path,
		name[0] != '\0' ? "/" : "", name, strerror(error));
}

static bool has_failed(const struct follow *f, uint16_t capture)
{
	return atomic_load_explicit(&f->folder[capture].error, memory_order_relaxed) != 0;
}

// --- Files ---

static uint16_t *bucket_of(struct follow *f, uint64_t flow_id, uint8_t direction)
{
	return &f->bucket[(flow_id * 2 + direction) * UINT64_C(0x9e3779b97f4a7c15) >> 55];
}
_Static_assert(BUCKETS == 1 << 9, "a bucket is told by nine bits");

static void write_out(struct follow *f, struct file *o)
{
	struct folder *d = &f->folder[o->capture];
	uint32_t done = 0;

	while (done < o->filled && !has_failed(f, o->capture)) {
		ssize_t n = write(o->fd, o->buffer + done, o->filled - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail(f, o->capture, "", n < 0 ? errno : EIO);
		else
			done += (uint32_t)n;
	}
	add(&d->bytes, done);
	add(&d->bytes_lost, o->filled - done);
	o->filled = 0;
}

static void close_file(struct follow *f, struct file *o)
{
	uint16_t *link = bucket_of(f, o->flow_id, o->direction);

	write_out(f, o);
	while (&f->file[*link] != o)
		link = &f->file[*link].next;
	*link = o->next;
	// A network file system tells of a full disk only now.
	if (close(o->fd) < 0 && errno != EINTR)
		fail(f, o->capture, "", errno);
	o->fd = -1;
}

static struct file *find(struct follow *f, const struct stream_record *r)
{
	uint16_t i = *bucket_of(f, r->flow_id, r->direction);

	while (i != 0 && (f->file[i].flow_id != r->flow_id || f->file[i].direction != r->direction))
		i = f->file[i].next;
	return i != 0 ? &f->file[i] : NULL;
}

// A place for one more open file.
static struct file *make_room(struct follow *f)
{
	struct file *oldest = &f->file[1];

	for (unsigned i = 1; i <= FILES_MAX; i++) {
		if (f->file[i].fd < 0)
			return &f->file[i];
		if (f->file[i].used_at < oldest->used_at)
			oldest = &f->file[i];
	}
	close_file(f, oldest);
	return oldest;
}

static void name_of(const struct stream_record *r, char name[NAME_BYTES])
{
	const struct flow_tuple *t = &r->tuple;
	char src[INET6_ADDRSTRLEN] = "", dst[INET6_ADDRSTRLEN] = "";
	int family = t->version == 4 ? AF_INET : AF_INET6;
	bool back = r->direction == 1;

	inet_ntop(family, back ? t->dst : t->src, src, sizeof(src));
	inet_ntop(family, back ? t->src : t->dst, dst, sizeof(dst));
	snprintf(name, NAME_BYTES, "%llu_%s_%u_%s_%u", (unsigned long long)r->flow_id, src,
		back ? t->dst_port : t->src_port, dst, back ? t->src_port : t->dst_port);
}

static struct file *open_file(struct follow *f, const struct stream_record *r)
{
	struct file *o = make_room(f);
	uint16_t *bucket;
	char name[NAME_BYTES];

	name_of(r, name);
	o->fd = openat(f->folder[r->capture].dirfd, name,
		O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK |
			(r->is_first ? O_TRUNC : 0),
		0640);
	if (o->fd < 0) {
		fail(f, r->capture, name, errno);
		return NULL;
	}
	if (r->is_first)
		add(&f->folder[r->capture].files, 1);
	o->flow_id = r->flow_id;
	o->direction = r->direction;
	o->capture = r->capture;
	o->filled = 0;
	bucket = bucket_of(f, r->flow_id, r->direction);
	o->next = *bucket;
	*bucket = (uint16_t)(o - f->file);
	return o;
}

void follow_take(struct follow *f, const struct stream_record *r)
{
	struct folder *d = &f->folder[r->capture];
	struct file *o;
	uint32_t done = 0;

	if (d->dirfd < 0)
		return;
	o = find(f, r);
	if (o == NULL && r->length > 0 && !has_failed(f, r->capture))
		o = open_file(f, r);
	if (o == NULL || has_failed(f, r->capture)) {
		add(&d->bytes_lost, r->length);
		return;
	}
	o->used_at = ++f->now;
	while (done < r->length) {
		uint32_t n = BUFFER_BYTES - o->filled;

		n = n < r->length - done ? n : r->length - done;
		memcpy(o->buffer + o->filled, r->bytes + done, n);
		o->filled += n;
		done += n;
		if (o->filled == BUFFER_BYTES)
			write_out(f, o);
	}
	if (r->is_last)
		close_file(f, o);
	else if (f->dirty_ns == 0)
		f->dirty_ns = clock_monotonic_ns();
}

void follow_flush(struct follow *f)
{
	if (f->dirty_ns == 0 || clock_monotonic_ns() - f->dirty_ns < FLUSH_NS)
		return;
	for (unsigned i = 1; i <= FILES_MAX; i++)
		if (f->file[i].fd >= 0)
			write_out(f, &f->file[i]);
	f->dirty_ns = 0;
}

void follow_capture_done(struct follow *f, uint16_t capture)
{
	struct folder *d = &f->folder[capture];

	if (d->dirfd < 0)
		return;
	for (unsigned i = 1; i <= FILES_MAX; i++)
		if (f->file[i].fd >= 0 && f->file[i].capture == capture)
			close_file(f, &f->file[i]);
	close(d->dirfd);
	d->dirfd = -1;
	free(d->path);
	d->path = NULL;
}

// --- Folders ---

int export_follow_open(const char *path, char *error, size_t size)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		rc = -errno;
	else if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		rc = -errno;
	if (rc == 0)
		return fd;
	snprintf(error, size,
		"%s: %s: streams can be saved in a folder that exists and can be "
		"written to",
		path, strerror(-rc));
	if (fd >= 0)
		close(fd);
	return rc;
}

int follow_capture(struct follow *f, uint16_t capture, int dirfd, const char *path)
{
	struct folder *d = &f->folder[capture];
	char *copy = strdup(path);

	if (copy == NULL)
		return -ENOMEM;
	if (f->file == NULL) {
		f->file = malloc((FILES_MAX + 1) * sizeof(*f->file));
		if (f->file == NULL) {
			free(copy);
			return -ENOMEM;
		}
		for (unsigned i = 0; i <= FILES_MAX; i++)
			f->file[i].fd = -1;
	}
	d->path = copy;
	d->dirfd = dirfd;
	d->is_on = true;
	return 0;
}

static void add_status(struct folder *to, const struct folder *from)
{
	add(&to->files, from->files);
	add(&to->bytes, from->bytes);
	add(&to->bytes_lost, from->bytes_lost);
}

void follow_forget(struct follow *f, uint16_t capture)
{
	struct folder *d = &f->folder[capture];

	add_status(&f->past, d);
	d->is_on = false;
	d->files = d->bytes = d->bytes_lost = 0;
	d->error = 0;
}

void follow_totals(struct follow *f, struct export_stats *ret)
{
	struct folder sum = {.files = 0};

	add_status(&sum, &f->past);
	for (unsigned i = 0; i < FLOW_CAPTURES_MAX; i++)
		add_status(&sum, &f->folder[i]);
	ret->stream_files = sum.files;
	ret->stream_bytes_saved = sum.bytes;
	ret->stream_bytes_unsaved = sum.bytes_lost;
}

void follow_status(struct follow *f, uint16_t capture, struct export_follow_status *ret)
{
	const struct folder *d = &f->folder[capture];

	ret->is_on = d->is_on;
	ret->files = atomic_load_explicit(&d->files, memory_order_relaxed);
	ret->bytes = atomic_load_explicit(&d->bytes, memory_order_relaxed);
	ret->bytes_lost = atomic_load_explicit(&d->bytes_lost, memory_order_relaxed);
	ret->error = atomic_load_explicit(&d->error, memory_order_relaxed);
}

struct follow *follow_new(void)
{
	struct follow *f = calloc(1, sizeof(*f));

	for (unsigned i = 0; f != NULL && i < FLOW_CAPTURES_MAX; i++)
		f->folder[i].dirfd = -1;
	return f;
}

void follow_free(struct follow *f)
{
	if (f == NULL)
		return;
	for (unsigned i = 0; i < FLOW_CAPTURES_MAX; i++)
		follow_capture_done(f, (uint16_t)i);
	free(f->file);
	free(f);
}
