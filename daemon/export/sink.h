// SPDX-License-Identifier: Apache-2.0
// Sinks: where the tail thread hands lines of EVE JSON to. A sink is one file of this folder with one
// const struct in sink_table. All but open runs on the tail thread, and may block: workers go on
// filling their rings meanwhile. Inside export/ only.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sink;

struct sink_type {
	const char *name;
	// Sets state. Returns 0 or a negative errno with a message in error. Thread: control.
	int (*open)(struct sink *, char *error, size_t size);
	// Takes whole lines, each with its newline. Adds what fails to the sink's figures.
	void (*write)(struct sink *, const char *lines, size_t size);
	// Everything written so far leaves for its destination. NULL: it already has.
	void (*flush)(struct sink *);
	void (*close)(struct sink *);
};

struct sink {
	const struct sink_type *type;
	char *target;
	void *state;
	uint64_t errors;     // calls that failed
	uint64_t lines_lost; // lines that were not taken
	int first_error;     // negative errno, 0: none
};

extern const struct sink_type *const sink_table[]; // ends with NULL

// Finds the type by name and opens it. Thread: control.
int sink_open(const char *type, const char *target, struct sink **ret, char *error, size_t size);
void sink_close(struct sink *); // accepts NULL
