// SPDX-License-Identifier: Apache-2.0
// Configuration: /etc/pktaid/pktaid.yaml read by libcyaml against a schema, defaults filled in,
// command line on top. Unknown keys, wrong types and values out of range are errors with file, line,
// key and what is accepted.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "decode.h"
#include "defrag.h"
#include "flow.h"
#include "log.h"

enum { CONFIG_CAPTURES_MAX = 64 };

struct config_capture {
	char *name; // NULL: made from the source
	char *source;
	char *filter; // NULL: none
};

struct config {
	char *socket; // NULL: the default of contract.md
	struct {
		char *read;  // default "pktai"
		char *admin; // default "pktai-admin"
	} groups;
	enum log_level log;
	unsigned workers; // default 1
	char *cpus;	  // "0,2-3"; NULL: all that the process may use
	unsigned memory_mib;
	bool busy; // idle: busy
	struct config_capture *captures;
	unsigned capture_count;
	struct flow_config flow; // capacity is for all workers together
	uint64_t recent_bytes;
	struct decode_config decode;
	struct defrag_config defrag; // limits are for all workers together
	uint64_t stats_interval_ns; // 0: never
	// command line only
	char *events;
	char *follow_to;
	bool exit_when_done;
	bool no_huge;
	bool check_only;
	int eal_argc;
	char **eal_argv;
};

// Reads a file (path NULL: defaults only). Returns a heap object, or NULL with messages in error, one
// problem a line: "FILE:LINE: key: what is wrong; what is accepted".
struct config *config_load(const char *path, char *error, size_t size);
void config_free(struct config *); // accepts NULL

// Command line. Returns 0 to go on; 1 when all is done (--help, --version, --check-config) and the
// process should exit with *ret_exit; -EINVAL (message printed) for exit 1.
// ret_path: the file it came from (NULL: none), for SIGHUP.
int config_from_command_line(
	int argc, char **argv, struct config **ret, const char **ret_path, int *ret_exit);

// Writes the commented default configuration (etc/pktaid.yaml is made by it).
void config_write_template(FILE *);

// Copies into fresh (read from the file) what the command line had said in old.
void config_keep_command_line(struct config *fresh, const struct config *old);

// What a reload may change while running (log, captures added or gone, timeouts not): compares and
// lists the keys that need a restart, comma separated. Returns how many.
unsigned config_restart_keys(
	const struct config *old, const struct config *new, char *text, size_t size);
