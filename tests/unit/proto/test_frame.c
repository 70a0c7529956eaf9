// SPDX-License-Identifier: Apache-2.0
// Lines out of bytes, wherever the bytes are cut; lines that are too long; bounded memory.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>

#include "frame.h"

static const char stream[] = "{\"a\":1}\n\n  \t\r\n[2]\r\n\"x\"\n";
static const char *const lines[] = {"{\"a\":1}", "[2]\r", "\"x\""};

static void expect(const char *line, size_t size, const char *text)
{
	assert_int_equal(size, strlen(text));
	assert_memory_equal(line, text, size);
}

static void cut_at_every_byte(void **state)
{
	size_t size = sizeof(stream) - 1;

	(void)state;
	for (size_t i = 0; i <= size; i++)
		for (size_t j = i; j <= size; j++) {
			size_t ends[] = {i, j, size}, from = 0, n = 0;
			struct frame f;

			frame_init(&f, 64);
			for (unsigned part = 0; part < 3; part++) {
				size_t left = ends[part] - from, line_size;
				char *copy = malloc(left + 1);
				const char *at = copy, *line;

				memcpy(copy, stream + from, left);
				while (frame_next(&f, &at, &left, &line, &line_size) == 1)
					expect(line, line_size, lines[n++]);
				assert_int_equal(left, 0);
				free(copy);
				from = ends[part];
			}
			assert_int_equal(n, 3);
			frame_fini(&f);
		}
}

static void too_long_is_said_once_and_skipped(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 40; piece++) {
		static const char text[] =
			"12345678\n123456789\nabc\n0123456789abcdef0123456789\nz\n";
		size_t size = sizeof(text) - 1, too_long = 0, n = 0;
		static const char *const good[] = {"12345678", "abc", "z"};
		const char *data = text;
		struct frame f;

		frame_init(&f, 8);
		while (size > 0) {
			size_t left = piece < size ? piece : size, line_size = 0;
			const char *at = data, *line = NULL;
			int r;

			size -= left;
			data += left;
			while ((r = frame_next(&f, &at, &left, &line, &line_size)) != 0) {
				if (r == -EMSGSIZE)
					too_long++;
				else
					expect(line, line_size, good[n++]);
			}
			assert_true(f.capacity <= 8);
		}
		assert_int_equal(too_long, 2);
		assert_int_equal(n, 3);
		frame_fini(&f);
	}
}

static void memory_is_bounded_and_given_back(void **state)
{
	char block[1000];
	struct frame f;
	int too_long = 0;

	(void)state;
	memset(block, 'x', sizeof(block));
	frame_init(&f, FRAME_REQUEST_MAX);
	for (int i = 0; i < 10000; i++) { // 10 MB without a newline
		const char *at = block, *line;
		size_t left = sizeof(block), size;

		if (frame_next(&f, &at, &left, &line, &size) == -EMSGSIZE)
			too_long++;
		assert_true(f.capacity <= FRAME_REQUEST_MAX);
	}
	assert_int_equal(too_long, 1);
	assert_int_equal(f.capacity, 0);
	frame_fini(&f);
}

static void a_line_of_the_limit_passes(void **state)
{
	char *text = malloc(FRAME_REQUEST_MAX + 1);
	const char *at, *line;
	size_t left, size;
	struct frame f;

	(void)state;
	memset(text, 'x', FRAME_REQUEST_MAX);
	text[FRAME_REQUEST_MAX] = '\n';
	frame_init(&f, FRAME_REQUEST_MAX);
	at = text;
	left = FRAME_REQUEST_MAX + 1;
	assert_int_equal(frame_next(&f, &at, &left, &line, &size), 1); // in place
	assert_int_equal(size, FRAME_REQUEST_MAX);
	assert_ptr_equal(line, text);
	at = text;
	left = 10;
	assert_int_equal(frame_next(&f, &at, &left, &line, &size), 0);
	left = FRAME_REQUEST_MAX - 9;
	assert_int_equal(frame_next(&f, &at, &left, &line, &size), 1); // copied
	assert_int_equal(size, FRAME_REQUEST_MAX);
	left = 0;
	assert_int_equal(frame_next(&f, &at, &left, &line, &size), 0);
	assert_int_equal(f.capacity, 0);
	frame_fini(&f);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_at_every_byte),
		cmocka_unit_test(too_long_is_said_once_and_skipped),
		cmocka_unit_test(memory_is_bounded_and_given_back),
		cmocka_unit_test(a_line_of_the_limit_passes),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
