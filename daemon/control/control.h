// SPDX-License-Identifier: Apache-2.0
// Control: JSON-RPC 2.0 on a UNIX socket, one libevent loop on the main thread. Sessions, limits,
// authorisation, dispatch to one handler a method (rpc_*.c), and gathering answers from workers.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export.h"
#include "worker.h"

struct event_base;
struct control;

struct control_config {
	const char *socket;      // path
	const char *group_read;  // names; members may read
	const char *group_admin; // members may also change
	struct workers *workers;
	struct export *export;
	uint64_t stats_interval_ns; // 0: no periodic stats events
	unsigned max_clients;       // 0: 1024, fewer where the process may not open that many files
	uint64_t request_timeout_ns; // time for an answer; 0: 10 s
	uint64_t reader_timeout_ns;  // time in which a client must read something; 0: 30 s
	const char *config_path;     // shown by system.info; NULL: none; must outlive control
	const char *dpdk_version;    // likewise
	// what only main can do
	// 0, with the keys that need a restart (comma separated) in text; or -errno with a message
	int (*reload)(void *ctx, char *text, size_t size);
	void (*shutdown)(void *ctx);
	void *ctx;
};

// Listens. A live daemon on the same socket: -EADDRINUSE; a stale file is replaced; a socket passed
// by systemd (sd_listen_fds) is used instead. Texts of the configuration are copied. From here on
// control waits on workers_event_fd() and calls workers_dispatch().
// Returns 0 or a negative errno with a message.
int control_start(struct event_base *, const struct control_config *, struct control **ret,
	char *error, size_t size);
void control_stop(struct control *); // closes clients, removes the socket it made; accepts NULL

// Reads the configuration again (SIGHUP and system.reload): calls reload, tells the service manager
// before and after, looks the groups up anew. Returns what reload returned, with its text.
int control_reload(struct control *, char *text, size_t size);
// For reload: settings that may change while running. Return 0 or -ENOMEM.
int control_set_groups(struct control *, const char *read, const char *admin);
int control_set_stats_interval(struct control *, uint64_t interval_ns);

// sd_notify, no effect without a service manager. Ready: once all that was to be started runs. The
// line of status (once a second) and the watchdog are control's own.
void control_notify_ready(struct control *);
void control_notify_stopping(struct control *);

// A stats event as EVE JSON (contract.md: captures, protocols, reassembly, malformed).
struct json;
void control_stats_event(struct control *, struct json *);
// The same without a control object, for batch use.
void control_stats_write(struct workers *, struct export *, uint64_t uptime_s, struct json *);
