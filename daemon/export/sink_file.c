// SPDX-License-Identifier: Apache-2.0
// The sink "file": EVE lines into a file, a pipe or standard output ("-"). Lines come in batches of
// up to 256 KB, so that it needs no buffer of its own.
//
// When writing fails (no space, reader gone) lines are lost and counted, and the log says so once. A
// line that was cut in the middle is kept, and its rest is written before all else when writing works
// again, so that every line in the file stays whole.
#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

struct file {
	int fd;
	bool failing;
	uint64_t lost_before; // lines_lost when it began to fail
	char *rest;           // of a line that was cut
	size_t rest_size;
};

static int file_open(struct sink *s, char *error, size_t size)
{
	struct file *f = calloc(1, sizeof(*f));
	int rc;

	if (f == NULL) {
		snprintf(error, size, "no memory for the events file");
		return -ENOMEM;
	}
	if (strcmp(s->target, "-") == 0)
		f->fd = STDOUT_FILENO;
	else
		f->fd = open(s->target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (f->fd < 0) {
		rc = -errno;
		snprintf(error, size, "cannot write events to %s: %s", s->target, strerror(-rc));
		free(f);
		return rc;
	}
	s->state = f;
	return 0;
}

// Writes all, waiting where the descriptor does not block. Returns 0 or a negative errno; ret_done:
// how many bytes went out.
static int write_all(int fd, const char *bytes, size_t size, size_t *ret_done)
{
	size_t done = 0;
	int rc = 0;

	while (done < size) {
		ssize_t n = write(fd, bytes + done, size - done);

		if (n > 0) {
			done += (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 1000);
		} else if (n == 0 || errno != EINTR) {
			rc = n == 0 ? -EIO : -errno;
			break;
		}
	}
	*ret_done = done;
	return rc;
}

static uint64_t count_lines(const char *bytes, size_t size)
{
	const char *end = bytes + size;
	uint64_t n = 0;

	while (bytes < end && (bytes = memchr(bytes, '\n', (size_t)(end - bytes))) != NULL) {
		n++;
		bytes++;
	}
	return n;
}

static void note_failure(struct sink *s, int rc)
{
	struct file *f = s->state;

	s->errors++;
	if (s->first_error == 0)
		s->first_error = rc;
	if (f->failing)
		return;
	f->failing = true;
	f->lost_before = s->lines_lost;
	log_error("cannot write events to %s: %s; events are lost until it works again", s->target,
		strerror(-rc));
}

static void note_success(struct sink *s)
{
	struct file *f = s->state;

	if (!f->failing)
		return;
	f->failing = false;
	log_notice("events are written to %s again; %llu were lost", s->target,
		(unsigned long long)(s->lines_lost - f->lost_before));
}

// Keeps the rest of the line that was cut at done, and counts the lines behind it as lost.
static void keep_rest(struct sink *s, const char *lines, size_t size, size_t done)
{
	struct file *f = s->state;
	const char *end;

	if (done > 0 && lines[done - 1] != '\n') {
		end = memchr(lines + done, '\n', size - done);
		f->rest_size = (size_t)(end + 1 - (lines + done));
		f->rest = malloc(f->rest_size);
		if (f->rest != NULL) {
			memcpy(f->rest, lines + done, f->rest_size);
			done += f->rest_size;
		} else {
			f->rest_size = 0;
		}
	}
	s->lines_lost += count_lines(lines + done, size - done);
}

static int write_rest(struct file *f)
{
	size_t done;
	int rc;

	if (f->rest == NULL)
		return 0;
	rc = write_all(f->fd, f->rest, f->rest_size, &done);
	f->rest_size -= done;
	memmove(f->rest, f->rest + done, f->rest_size);
	if (f->rest_size == 0) {
		free(f->rest);
		f->rest = NULL;
	}
	return rc;
}

static void file_write(struct sink *s, const char *lines, size_t size)
{
	struct file *f = s->state;
	size_t done = 0;
	int rc = write_rest(f);

	if (rc < 0) {
		note_failure(s, rc);
		s->lines_lost += count_lines(lines, size);
		return;
	}
	rc = write_all(f->fd, lines, size, &done);
	if (rc < 0) {
		note_failure(s, rc);
		keep_rest(s, lines, size, done);
		return;
	}
	note_success(s);
}

static void file_close(struct sink *s)
{
	struct file *f = s->state;
	int rc = write_rest(f);

	if (f->rest != NULL)
		s->lines_lost++;
	if (f->fd != STDOUT_FILENO && close(f->fd) < 0 && rc == 0)
		rc = -errno; // NFS and quotas report here
	if (rc < 0)
		note_failure(s, rc);
	free(f->rest);
	free(f);
	s->state = NULL;
}

extern const struct sink_type sink_file;
const struct sink_type sink_file = {
	.name = "file",
	.open = file_open,
	.write = file_write,
	.close = file_close,
};
