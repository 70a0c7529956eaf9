// SPDX-License-Identifier: Apache-2.0
// The events file: what is written, and what happens when writing fails, is cut short or blocks.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "sink.h"

static char folder[] = "/tmp/pktaid-sink-XXXXXX";
static char path[64];

static int begin(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/events.json", folder);
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(folder);
}

static struct sink *open_file(const char *target)
{
	struct sink *s = NULL;
	char error[200] = "";

	if (sink_open("file", target, &s, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return s;
}

static void write_text(struct sink *s, const char *text)
{
	s->type->write(s, text, strlen(text));
}

static void assert_file_is(const char *expected)
{
	char text[4096];
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	assert_string_equal(text, expected);
}

static void lines_reach_the_file(void **state)
{
	struct sink *s;
	struct stat st;

	(void)state;
	umask(022);
	s = open_file(path);
	write_text(s, "{\"a\":1}\n{\"b\":2}\n");
	write_text(s, "{\"c\":3}\n");
	sink_close(s);
	assert_file_is("{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	s = open_file(path); // begins anew
	sink_close(s);
	assert_file_is("");
	sink_close(NULL);
}

static void what_cannot_be_opened_is_said(void **state)
{
	struct sink *s = NULL;
	char error[200];

	(void)state;
	assert_int_equal(sink_open("file", "/nowhere/events", &s, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "/nowhere/events"));
	assert_int_equal(sink_open("file", folder, &s, error, sizeof(error)), -EISDIR);
	assert_int_equal(sink_open("carrier-pigeon", "x", &s, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "carrier-pigeon"));
	assert_null(s);
}

static void full_device_is_counted(void **state)
{
	struct sink *s = open_file("/dev/full");

	(void)state;
	write_text(s, "one\ntwo\n");
	write_text(s, "three\n");
	assert_int_equal(s->first_error, -ENOSPC);
	assert_int_equal(s->errors, 2);
	assert_int_equal(s->lines_lost, 3);
	sink_close(s);
}

static void set_file_limit(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

// A line that was cut is finished first when there is room again: each line in the file is whole.
static void cut_line_is_finished_later(void **state)
{
	struct sink *s = open_file(path);

	(void)state;
	set_file_limit(8);
	write_text(s, "first\nsecond\nthird\n"); // cut within "second"
	assert_int_equal(s->first_error, -EFBIG);
	assert_int_equal(s->lines_lost, 1);
	write_text(s, "fourth\n");
	assert_int_equal(s->lines_lost, 2);
	set_file_limit(10);
	write_text(s, "fifth\n"); // a part of the rest goes out
	assert_int_equal(s->lines_lost, 3);
	set_file_limit(RLIM_INFINITY);
	write_text(s, "sixth\n");
	assert_int_equal(s->lines_lost, 3);
	sink_close(s);
	assert_file_is("first\nsecond\nsixth\n");
}

// A line whose rest never went out is lost as well.
static void cut_line_at_the_end_is_lost(void **state)
{
	struct sink *s = open_file(path);
	const struct sink_type *type = s->type;

	(void)state;
	set_file_limit(8);
	write_text(s, "first\nsecond\n");
	assert_int_equal(s->lines_lost, 0);
	type->close(s);
	assert_int_equal(s->lines_lost, 1);
	set_file_limit(RLIM_INFINITY);
	free(s->target);
	free(s);
}

static void *read_slowly(void *arg)
{
	int fd = *(int *)arg;
	size_t total = 0;
	char bytes[777];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		total += (size_t)n;
	return (void *)total;
}

// Standard output as a pipe that does not block: all arrives, in short writes.
static void pipe_that_does_not_block_gets_all(void **state)
{
	int fds[2], out = dup(STDOUT_FILENO);
	size_t line = 1000, lines = 1000;
	char *text = malloc(line * lines);
	struct sink *s;
	pthread_t t;
	void *total;

	(void)state;
	for (size_t i = 0; i < lines; i++) {
		memset(text + i * line, 'x', line - 1);
		text[(i + 1) * line - 1] = '\n';
	}
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
	fflush(stdout);
	dup2(fds[1], STDOUT_FILENO);
	close(fds[1]);
	pthread_create(&t, NULL, read_slowly, &fds[0]);
	s = open_file("-");
	s->type->write(s, text, line * lines);
	assert_int_equal(s->errors, 0);
	sink_close(s); // leaves standard output open
	dup2(out, STDOUT_FILENO);
	close(out);
	pthread_join(t, &total);
	assert_int_equal((size_t)total, line * lines);
	close(fds[0]);
	free(text);
}

static void reader_that_left_is_counted(void **state)
{
	int fds[2], out = dup(STDOUT_FILENO);
	struct sink *s;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	fflush(stdout);
	dup2(fds[1], STDOUT_FILENO);
	close(fds[1]);
	s = open_file("-");
	write_text(s, "one\n");
	close(fds[0]);
	write_text(s, "two\nthree\n");
	dup2(out, STDOUT_FILENO);
	close(out);
	assert_int_equal(s->first_error, -EPIPE);
	assert_int_equal(s->lines_lost, 2);
	sink_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_reach_the_file),
		cmocka_unit_test(what_cannot_be_opened_is_said),
		cmocka_unit_test(full_device_is_counted),
		cmocka_unit_test(cut_line_is_finished_later),
		cmocka_unit_test(cut_line_at_the_end_is_lost),
		cmocka_unit_test(pipe_that_does_not_block_gets_all),
		cmocka_unit_test(reader_that_left_is_counted),
	};

	return cmocka_run_group_tests_name("sink", tests, begin, end);
}
