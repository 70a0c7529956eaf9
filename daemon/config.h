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
#include "reassembly.h"

enum { CONFIG_CAPTURES_MAX = 64 };

struct config_capture {
	char *name; // NULL: made from the source
	char *source;
	char *filter; // NULL: none
};

// Receivers in this network settle overlaps by this policy.
struct config_network {
	char *network; // ADDRESS or ADDRESS/BITS
	unsigned policy;
};

struct config {
	char *socket; // NULL: the default of contract.md
	struct {
		char *read;  // default "pktai"
		char *admin; // default "pktai-admin"
	} groups;
	enum log_level log;
	unsigned workers; // default 1
	char *cpus;       // "0,2-3"; NULL: all that the process may use
	unsigned memory_mib;
	bool busy; // idle: busy
	struct config_capture *captures;
	unsigned capture_count;
	struct flow_config flow; // capacity is for all workers together
	uint64_t recent_bytes;
	struct decode_config decode;
	struct defrag_config defrag;            // limits are for all workers together
	struct config_network *defrag_networks; // as read; defrag.network has them as addresses
	unsigned defrag_network_count;
	struct {
		struct reassembly_config reassembly; // bytes are for all workers together
		struct config_network *networks;     // as read; reassembly.network has them
		unsigned network_count;
		uint64_t keep_bytes; // of reassembled bytes; 0: none
	} stream;
	uint64_t stats_interval_ns; // 0: never
	// command line only
	char *events;
	char *follow_to;
	bool exit_when_done;
	bool no_huge;
	bool check_only;
	int eal_argc;
	char **eal_argv;
	// private: the command line, for config_reload
	int argc;
	char **argv;
};

enum { CONFIG_ERROR_MAX = 4096 }; // holds some dozen problems

// Reads a file (path NULL: defaults only). Returns a heap object, or NULL with messages in error, one
// problem a line: "FILE:LINE:COLUMN: key: what is wrong; accepted: what".
struct config *config_load(const char *path, char *error, size_t size);

// The same, with the command line that old came from on top again (path as config_from_command_line
// returned it). For SIGHUP: compare the result with old by config_restart_keys.
struct config *config_reload(const struct config *old, const char *path, char *error, size_t size);

// Where the socket is: the configuration's path (--socket, PKTAID_SOCKET, file, in this order), else
// below the service's RUNTIME_DIRECTORY, /run/pktaid as root, or XDG_RUNTIME_DIR.
// Returns 0, or -ENOENT where there is no place for it (no XDG_RUNTIME_DIR).
int config_socket_path(const struct config *, char *path, size_t size);
void config_free(struct config *); // accepts NULL

// Command line. Returns 0 to go on; 1 when all is done (--help, --version, --check-config) and the
// process should exit with *ret_exit; -EINVAL or -ENOMEM (message printed), *ret_exit 1.
// ret_path: the file it came from (NULL: none), for SIGHUP; points into argv or is static.
// Captures on the command line take the place of the file's.
int config_from_command_line(
	int argc, char **argv, struct config **ret, const char **ret_path, int *ret_exit);

// Writes the commented default configuration (etc/pktaid.yaml is made by it).
void config_write_template(FILE *);

// What --help shows, and the manual pages pktaid(8) and pktaid.yaml(5) as troff.
void config_write_help(FILE *);
void config_write_man8(FILE *);
void config_write_man5(FILE *);

// What a reload may change while running (log, captures added or gone, timeouts not): compares and
// lists the keys that need a restart, comma separated. Returns how many.
unsigned config_restart_keys(
	const struct config *old, const struct config *new, char *text, size_t size);
