// SPDX-License-Identifier: Apache-2.0
// Bytes of a capture file, from a regular file (plain or gzip) or a stream (stdin, FIFO), that never
// makes a reader wait for a writer.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct gunzip;

struct file_io {
	int fd;
	bool regular;    // can be read again, and has a size
	uint64_t size;   // bytes of the file as it lies there, 0 for streams
	uint64_t start;  // where it begins
	uint64_t offset; // bytes read from fd so far, from start
	struct gunzip *gunzip;
};

// path "-": stdin. Returns 0 or a negative errno with a message.
int file_io_open(struct file_io *, const char *path, char *error, size_t size);
void file_io_close(struct file_io *);

// Returns bytes read, 0 at the end, -EAGAIN when a stream has nothing now, -EBADMSG for broken or cut
// off gzip data, or another negative errno.
ssize_t file_io_read(struct file_io *, void *data, size_t size);

// Back to the beginning; regular files only. Returns 0 or a negative errno.
int file_io_rewind(struct file_io *);
