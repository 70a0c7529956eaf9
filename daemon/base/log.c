// SPDX-License-Identifier: Apache-2.0
// Log lines. A message is built whole and written by one write(), so that lines of several threads
// never mix.
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic int log_level_now = LOG_LEVEL_NOTICE;

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};

int log_level_from_name(const char *name, enum log_level *ret_level)
{
	for (unsigned i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (strcmp(name, level_names[i]) == 0) {
			*ret_level = (enum log_level)i;
			return 0;
		}
	return -EINVAL;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&log_level_now, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&log_level_now, memory_order_relaxed);
}

void log_line(enum log_level level, const char *format, ...)
{
	static const int priority[] = {3, 4, 5, 6, 7};
	char line[2048];
	int at, n;
	va_list ap;

	if (level > log_get_level())
		return;
	if (getenv("JOURNAL_STREAM") != NULL)
		at = snprintf(line, sizeof(line), "<%d>", priority[level]);
	else
		at = snprintf(line, sizeof(line), "pktaid: %s%s",
			level <= LOG_LEVEL_WARNING ? level_names[level] : "",
			level <= LOG_LEVEL_WARNING ? ": " : "");
	va_start(ap, format);
	n = vsnprintf(line + at, sizeof(line) - (size_t)at - 1, format, ap);
	va_end(ap);
	if (n < 0)
		return;
	at += n < (int)sizeof(line) - at - 2 ? n : (int)sizeof(line) - at - 2;
	line[at++] = '\n';
	while (write(STDERR_FILENO, line, (size_t)at) < 0 && errno == EINTR)
		;
}

static ssize_t stream_write(void *cookie, const char *text, size_t size)
{
	size_t n = size;

	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
		n--;
	if (n > 0)
		log_debug("%s%.*s", (const char *)cookie, (int)n, text);
	return (ssize_t)size;
}

FILE *log_stream(const char *prefix)
{
	cookie_io_functions_t io = {.write = stream_write};
	FILE *f = fopencookie((void *)(uintptr_t)prefix, "w", io);

	if (f != NULL)
		setvbuf(f, NULL, _IOLBF, 0);
	return f;
}
