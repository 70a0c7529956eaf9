// SPDX-License-Identifier: Apache-2.0
// See follow.h. A file gets the bytes that the receiver read, one behind the other; gaps are left out, and
// the flow's record says how many bytes are missing. A name is the flow's id, then sender and
// receiver: FLOWID_SRC_SPORT_DST_DPORT. A file of that name from an earlier run is replaced.
//
// Bytes gather in a buffer for each of the streams that had some last; one file is open at a time, while
// a buffer is written to it.
#include "follow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

enum {
	FILES_MAX = 4096, // with a buffer
	BUCKETS = 8192,
	BUFFER_BYTES = 16 << 10,
	NAME_BYTES = 24 + 2 * (INET6_ADDRSTRLEN + 8),
};

#define FLUSH_NS (UINT64_C(100) * 1000 * 1000)

struct file {
	uint64_t flow_id;
	uint32_t filled;
	uint16_t capture;
	uint16_t next;         // in the same bucket, or free
	uint16_t older, newer; // by use
	uint8_t direction;
	bool is_new; // the file is yet to be made
	char name[NAME_BYTES];
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

// Files are numbered from 1; 0 is none.
struct follow {
	struct folder folder[FLOW_CAPTURES_MAX];
	struct folder past; // control: sums of captures whose index was used anew
	struct file *file;  // reserved at the first use, touched as far as files are in use
	uint16_t bucket[BUCKETS];
	uint16_t free, fresh;
	uint16_t oldest, newest;
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
	return &f->bucket[(flow_id * 2 + direction) * UINT64_C(0x9e3779b97f4a7c15) >> 51];
}
_Static_assert(BUCKETS == 1 << 13, "a bucket is told by 13 bits");

// Writes all of it. Returns how many bytes were written; fewer only after an error.
static uint32_t write_all(struct follow *f, const struct file *o, int fd)
{
	uint32_t done = 0;

	while (done < o->filled && !has_failed(f, o->capture)) {
		ssize_t n = write(fd, o->buffer + done, o->filled - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail(f, o->capture, o->name, n < 0 ? errno : EIO);
		else
			done += (uint32_t)n;
	}
	return done;
}

static void write_out(struct follow *f, struct file *o)
{
	struct folder *d = &f->folder[o->capture];
	uint32_t done = 0;
	int fd = -1;

	if (o->filled == 0)
		return;
	if (!has_failed(f, o->capture)) {
		// Nothing that is no file may hold the thread up (a pipe), nor lead elsewhere (a link).
		fd = openat(d->dirfd, o->name,
			O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC |
				(o->is_new ? O_TRUNC : 0),
			0640);
		if (fd < 0)
			fail(f, o->capture, o->name, errno);
	}
	if (fd >= 0) {
		add(&d->files, o->is_new);
		o->is_new = false;
		done = write_all(f, o, fd);
		// A network file system tells of a full disk only now.
		if (close(fd) < 0 && errno != EINTR)
			fail(f, o->capture, o->name, errno);
	}
	add(&d->bytes, done);
	add(&d->bytes_lost, o->filled - done);
	o->filled = 0;
}

static void age_remove(struct follow *f, struct file *o)
{
	if (o->older != 0)
		f->file[o->older].newer = o->newer;
	else
		f->oldest = o->newer;
	if (o->newer != 0)
		f->file[o->newer].older = o->older;
	else
		f->newest = o->older;
}

static void age_append(struct follow *f, struct file *o)
{
	uint16_t i = (uint16_t)(o - f->file);

	o->older = f->newest;
	o->newer = 0;
	if (f->newest != 0)
		f->file[f->newest].newer = i;
	else
		f->oldest = i;
	f->newest = i;
}

// Writes what waits and gives the buffer back.
static void let_go(struct follow *f, struct file *o)
{
	uint16_t *link = bucket_of(f, o->flow_id, o->direction);

	write_out(f, o);
	while (&f->file[*link] != o)
		link = &f->file[*link].next;
	*link = o->next;
	age_remove(f, o);
	o->next = f->free;
	f->free = (uint16_t)(o - f->file);
}

static struct file *find(struct follow *f, const struct stream_record *r)
{
	uint16_t i = *bucket_of(f, r->flow_id, r->direction);

	while (i != 0 && (f->file[i].flow_id != r->flow_id || f->file[i].direction != r->direction))
		i = f->file[i].next;
	return i != 0 ? &f->file[i] : NULL;
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

// A buffer for a stream that has none; the one that had bytes longest ago goes where none is free.
static struct file *begin(struct follow *f, const struct stream_record *r)
{
	uint16_t *bucket = bucket_of(f, r->flow_id, r->direction), i;
	struct file *o;

	if (f->free == 0 && f->fresh > FILES_MAX)
		let_go(f, &f->file[f->oldest]);
	i = f->free;
	if (i != 0)
		f->free = f->file[i].next;
	else
		i = f->fresh++;
	o = &f->file[i];
	o->flow_id = r->flow_id;
	o->direction = r->direction;
	o->capture = r->capture;
	o->filled = 0;
	o->is_new = r->is_first;
	name_of(r, o->name);
	o->next = *bucket;
	*bucket = i;
	age_append(f, o);
	return o;
}

void follow_take(struct follow *f, const struct stream_record *r)
{
	uint32_t done = 0;
	struct file *o;

	if (f->folder[r->capture].dirfd < 0)
		return;
	o = find(f, r);
	if (o != NULL) {
		age_remove(f, o);
		age_append(f, o);
	} else if (r->length > 0) {
		o = begin(f, r);
	}
	while (done < r->length) {
		uint32_t n = BUFFER_BYTES - o->filled;

		n = n < r->length - done ? n : r->length - done;
		memcpy(o->buffer + o->filled, r->bytes + done, n);
		o->filled += n;
		done += n;
		if (o->filled == BUFFER_BYTES)
			write_out(f, o);
	}
	if (r->is_last && o != NULL)
		let_go(f, o);
	else if (f->dirty_ns == 0)
		f->dirty_ns = clock_monotonic_ns();
}

void follow_flush(struct follow *f)
{
	if (f->dirty_ns == 0 || clock_monotonic_ns() - f->dirty_ns < FLUSH_NS)
		return;
	for (uint16_t i = f->oldest; i != 0; i = f->file[i].newer)
		write_out(f, &f->file[i]);
	f->dirty_ns = 0;
}

void follow_capture_done(struct follow *f, uint16_t capture)
{
	struct folder *d = &f->folder[capture];

	if (d->dirfd < 0)
		return;
	for (uint16_t i = f->oldest, newer; i != 0; i = newer) {
		newer = f->file[i].newer;
		if (f->file[i].capture == capture)
			let_go(f, &f->file[i]);
	}
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
		void *file = mmap(NULL, (FILES_MAX + 1) * sizeof(*f->file), PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (file == MAP_FAILED) {
			free(copy);
			return -ENOMEM;
		}
		f->file = file;
		f->fresh = 1;
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
	if (f->file != NULL)
		munmap(f->file, (FILES_MAX + 1) * sizeof(*f->file));
	free(f);
}
