// SPDX-License-Identifier: Apache-2.0
// The tail thread's object, for the thread itself (tail.c) and for what control asks of it (ask.c).
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "export.h"
#include "follow.h"
#include "kept.h"
#include "recent.h"
#include "sink.h"

struct line {
	struct line *next;
	size_t size;
	char text[];
};

enum { RECORD_TYPES = 8 };

struct export
{
	// set once
	unsigned workers;
	bool keeps;
	struct ring **rings;
	struct recent *recent;
	struct kept *kept;
	struct follow *follow;
	struct sink *sink; // NULL: none
	pthread_t thread;
	// control writes and the tail takes, under the lock
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct line *lines, **lines_end;
	size_t lines_bytes;
	bool stop;
	// tail only
	struct json text;
	uint64_t oldest_ns; // when the first line of text came
	uint64_t sleep_ns;
	// tail writes, control reads
	_Atomic uint64_t written[RECORD_TYPES];
	_Atomic uint64_t bad;
	_Atomic uint64_t write_errors;
	_Atomic uint64_t lines_lost;
	_Atomic uint64_t done_workers[FLOW_CAPTURES_MAX]; // a bit a worker; control clears
	_Atomic bool done[FLOW_CAPTURES_MAX];
	// control writes
	uint64_t lines_refused;
};
