// SPDX-License-Identifier: Apache-2.0
// Reading the bytes of capture files. A stream is asked by poll() first, so that a read never waits;
// a regular file is read straight away: the page cache or the disk answers.
#include "file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "capture_internal.h"

enum { GUNZIP_INPUT_BYTES = 128 * 1024 };

struct gunzip {
	z_stream z;
	bool is_between;  // no member of the gzip file is open
	bool wants_input; // else it may hold more output, though it has taken all input
	bool is_broken;   // told once all bytes before the fault have been delivered
	uint8_t input[GUNZIP_INPUT_BYTES];
};

static int gunzip_open(struct file_io *io)
{
	struct gunzip *g = calloc(1, sizeof(*g));

	if (g == NULL)
		return -ENOMEM;
	if (inflateInit2(&g->z, 15 + 16) != Z_OK) { // 16: gzip header
		free(g);
		return -ENOMEM;
	}
	g->is_between = g->wants_input = true;
	io->gunzip = g;
	return 0;
}

static int check_kind(struct file_io *io, const char *path, char *error, size_t size)
{
	struct stat st;
	uint8_t magic[2];
	off_t at;

	if (fstat(io->fd, &st) != 0)
		return capture_fail(-errno, error, size, "%s: %s", path, strerror(errno));
	if (S_ISDIR(st.st_mode))
		return capture_fail(
			-EISDIR, error, size, "%s is a directory, not a capture file", path);
	io->regular = S_ISREG(st.st_mode);
	if (!io->regular && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode))
		return capture_fail(
			-EINVAL, error, size, "%s is a device, not a capture file", path);
	if (!io->regular)
		return 0;
	at = lseek(io->fd, 0, SEEK_CUR); // stdin may have been read from
	io->start = at > 0 ? (uint64_t)at : 0;
	io->size = (uint64_t)st.st_size > io->start ? (uint64_t)st.st_size - io->start : 0;
	posix_fadvise(io->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	if (pread(io->fd, magic, 2, (off_t)io->start) == 2 && magic[0] == 0x1f &&
		magic[1] == 0x8b && gunzip_open(io) != 0)
		return capture_fail(-ENOMEM, error, size, "no memory to read %s", path);
	return 0;
}

int file_io_open(struct file_io *io, const char *path, char *error, size_t size)
{
	int r;

	*io = (struct file_io){.fd = -1};
	if (strcmp(path, "-") == 0)
		io->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	else // not waiting for a FIFO's writer
		io->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (io->fd < 0)
		return capture_fail(
			-errno, error, size, "%s cannot be opened: %s", path, strerror(errno));
	r = check_kind(io, path, error, size);
	if (r < 0)
		file_io_close(io);
	return r;
}

void file_io_close(struct file_io *io)
{
	if (io->gunzip != NULL) {
		inflateEnd(&io->gunzip->z);
		free(io->gunzip);
		io->gunzip = NULL;
	}
	if (io->fd >= 0)
		close(io->fd);
	io->fd = -1;
}

static ssize_t read_raw(struct file_io *io, void *data, size_t size)
{
	ssize_t n;

	if (!io->regular) {
		struct pollfd p = {.fd = io->fd, .events = POLLIN};

		n = poll(&p, 1, 0);
		if (n == 0 || (n < 0 && errno == EINTR))
			return -EAGAIN;
		if (n < 0)
			return -errno;
	}
	do
		n = read(io->fd, data, size);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	io->offset += (uint64_t)n;
	return n;
}

// A gzip file may hold several members, one behind the other (gzip -c a b, bgzip, appended logs).
static ssize_t read_gunzip(struct file_io *io, void *data, size_t size)
{
	struct gunzip *g = io->gunzip;
	ssize_t n;
	int r;

	g->z.next_out = data;
	g->z.avail_out = (uInt)size;
	while (g->z.avail_out == size) {
		if (g->is_broken)
			return -EBADMSG;
		if (g->z.avail_in == 0 && g->wants_input) {
			n = read_raw(io, g->input, sizeof(g->input));
			if (n == 0)
				return g->is_between ? 0 : -EBADMSG;
			if (n < 0)
				return n;
			g->z.next_in = g->input;
			g->z.avail_in = (uInt)n;
		}
		if (g->is_between && inflateReset(&g->z) != Z_OK)
			return -EBADMSG;
		g->is_between = false;
		r = inflate(&g->z, Z_NO_FLUSH);
		g->wants_input = r == Z_STREAM_END || g->z.avail_out > 0;
		if (r == Z_STREAM_END)
			g->is_between = true;
		else
			g->is_broken = r != Z_OK && r != Z_BUF_ERROR;
	}
	return (ssize_t)(size - g->z.avail_out);
}

ssize_t file_io_read(struct file_io *io, void *data, size_t size)
{
	return io->gunzip != NULL ? read_gunzip(io, data, size) : read_raw(io, data, size);
}

int file_io_rewind(struct file_io *io)
{
	if (lseek(io->fd, (off_t)io->start, SEEK_SET) < 0)
		return -errno;
	io->offset = 0;
	if (io->gunzip != NULL) {
		io->gunzip->z.avail_in = 0;
		io->gunzip->is_between = io->gunzip->wants_input = true;
		io->gunzip->is_broken = false;
	}
	return 0;
}
