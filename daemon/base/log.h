// SPDX-License-Identifier: Apache-2.0
// The daemon's log: one line a message on stderr, with a syslog priority prefix where systemd reads
// it (sd-daemon(3)). Never called on the packet path. Thread: any.
#pragma once

#include <stdbool.h>
#include <stdio.h>

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_NOTICE,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG
};

// level: a name (error warning notice info debug). Returns 0 or -EINVAL.
int log_level_from_name(const char *name, enum log_level *ret_level);
const char *log_level_name(enum log_level);
void log_set_level(enum log_level);
enum log_level log_get_level(void);

void log_line(enum log_level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

// A stream whose lines go to the log at level debug:
// for libraries that want a FILE (EAL). Returns NULL without memory.
FILE *log_stream(const char *prefix);
