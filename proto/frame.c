// SPDX-License-Identifier: Apache-2.0
// Bytes to lines. A line that lies whole in the bytes given is handed out in place; only one that
// comes in pieces is copied. Nothing here looks into a line beyond white space.
#include "frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	FRAME_FIRST = 1024, // first allocation
	FRAME_KEEP = 4096,  // more than this is given back after a line
};

void frame_init(struct frame *f, size_t limit)
{
	memset(f, 0, sizeof(*f));
	f->limit = limit;
}

void frame_fini(struct frame *f)
{
	free(f->text);
	f->text = NULL;
	f->size = f->capacity = 0;
}

static void frame_forget(struct frame *f)
{
	f->size = 0;
	f->taken = false;
	if (f->capacity > FRAME_KEEP)
		frame_fini(f);
}

// Appends n bytes; size + n is at most limit.
static int frame_append(struct frame *f, const char *data, size_t n)
{
	if (f->size + n > f->capacity) {
		size_t capacity = f->capacity != 0 ? f->capacity : FRAME_FIRST;
		char *text;

		while (capacity < f->size + n)
			capacity *= 2;
		if (capacity > f->limit)
			capacity = f->limit;
		text = realloc(f->text, capacity);
		if (text == NULL)
			return -ENOMEM;
		f->text = text;
		f->capacity = capacity;
	}
	memcpy(f->text + f->size, data, n);
	f->size += n;
	return 0;
}

static bool is_blank(const char *text, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r')
			return false;
	return true;
}

// Takes what belongs to the present line. Returns as frame_next, or -EAGAIN: a line without content
// was taken.
static int frame_take(
	struct frame *f, const char **data, size_t *size, const char **ret_line, size_t *ret_size)
{
	const char *start = *data, *newline = memchr(start, '\n', *size);
	size_t n = newline != NULL ? (size_t)(newline - start) : *size;
	int r;

	*data += n + (newline != NULL);
	*size -= n + (newline != NULL);
	if (f->skipping) {
		f->skipping = newline == NULL;
		return newline != NULL ? -EAGAIN : 0;
	}
	if (n > f->limit - f->size) {
		frame_forget(f);
		f->skipping = newline == NULL;
		return -EMSGSIZE;
	}
	if (newline != NULL && f->size == 0) {
		*ret_line = start;
		*ret_size = n;
		return is_blank(start, n) ? -EAGAIN : 1;
	}
	r = n > 0 ? frame_append(f, start, n) : 0;
	if (r < 0) {
		frame_forget(f);
		f->skipping = newline == NULL;
		return r;
	}
	if (newline == NULL)
		return 0;
	f->taken = true;
	if (is_blank(f->text, f->size))
		return -EAGAIN;
	*ret_line = f->text;
	*ret_size = f->size;
	return 1;
}

int frame_next(
	struct frame *f, const char **data, size_t *size, const char **ret_line, size_t *ret_size)
{
	int r;

	if (f->taken)
		frame_forget(f);
	while (*size > 0) {
		r = frame_take(f, data, size, ret_line, ret_size);
		if (r != -EAGAIN)
			return r;
		if (f->taken)
			frame_forget(f);
	}
	return 0;
}
