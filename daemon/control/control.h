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
	unsigned max_clients;       // default 256 where 0
	// what only main can do
	int (*reload)(void *ctx, char *text, size_t size); // 0, or -errno with a message
	void (*shutdown)(void *ctx);
	void *ctx;
};

// Listens. A live daemon on the same socket: -EADDRINUSE; a stale file is replaced; a socket passed
// by systemd (sd_listen_fds) is used instead. Returns 0 or a negative errno with a message.
int control_start(struct event_base *, const struct control_config *, struct control **ret,
	char *error, size_t size);
void control_stop(struct control *); // closes clients, removes the socket it made; accepts NULL

// Tells systemd: ready, stopping (sd_notify); and reloads, telling it too: 0 or -errno with a message.
void control_notify_ready(struct control *);
void control_notify_stopping(struct control *);
int control_reload(struct control *, char *text, size_t size);

// A stats event as EVE JSON (contract.md: captures, protocols, reassembly, malformed).
struct json;
void control_stats_event(struct control *, struct json *);
// The same without a control object, for batch use.
void control_stats_write(struct workers *, struct export *, uint64_t uptime_s, struct json *);
