// SPDX-License-Identifier: Apache-2.0
// What the files of control/ share. All of it belongs to the control thread.
//
// A request lives from its line until its reply. Most are answered at once; those that ask the
// workers are left pending: then the request has an owner (a query, a capture being stopped), and
// whichever comes first, answer or deadline, ends it. A client that goes away ends its requests; the
// owner goes on without one, because the workers still hold its memory.
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <cjson/cJSON.h>

#include "control.h"
#include "counters.h"
#include "export.h"
#include "frame.h"
#include "worker.h"

struct bufferevent;
struct event;
struct evconnlistener;

enum {
	UNDER_WAY_CLIENT_MAX = 128,              // requests of a client, a batch being at most 100
	UNDER_WAY_MAX = 1024,                    // requests of all clients
	QUERIES_RUNNING_MAX = 4,                 // flow queries at the workers
	QUERIES_WAITING_MAX = 256,               // flow queries that wait for these
	OUTPUT_LOW = 256 * 1024,                 // above this a client's requests are not read
	OUTPUT_MAX = 8 * 1024 * 1024,            // bytes of replies that a client has not read
	REPLY_MAX = OUTPUT_MAX - 2 * OUTPUT_LOW, // bytes of a reply
	OUTPUT_TOTAL_MAX = 64 * 1024 * 1024,     // the same, all clients together
	RECORDS_MAX = 1000,                      // records in a reply
	CLIENTS_MAX = 1024,
	FILES_RESERVED = 256, // file descriptors kept for everything but clients
	REFUSED_MAX = 32,     // refused clients that are left the time to read why
};

enum access { ACCESS_NONE, ACCESS_READ, ACCESS_ADMIN };

enum control_counter {
#define CONTROL_COUNTER(id, unit, kind, help) COUNT_##id,
#include "counters_control.def"
#undef CONTROL_COUNTER
	CONTROL_COUNTER_COUNT
};

extern const struct counter_info control_counter_table[CONTROL_COUNTER_COUNT];

struct session {
	TAILQ_ENTRY(session) entry;
	struct control *control;
	struct bufferevent *bev;
	enum access access;
	uid_t uid;
	pid_t pid;
	struct frame frame;
	bool refused;    // has its error; only waits for the client to read it
	bool ended;      // the client sends no more
	bool processing; // its input is being read
	bool querying;   // a flow query of it runs; its others wait for that
	bool dead;       // to be freed by the reaper
	bool paused;     // not read from while its output is above OUTPUT_LOW
	unsigned under_way;
};

struct batch {
	struct session *session; // NULL: the client is gone
	unsigned open;           // requests not yet answered, and one while the batch is being read
	struct json out;
};

struct rpc_call {
	TAILQ_ENTRY(rpc_call) entry; // by deadline, all having the same time
	struct control *control;
	struct session *session;
	struct batch *batch; // NULL: alone
	cJSON *id;           // NULL: answered with null, if at all
	bool wants_reply;    // false: a notification
	unsigned method;     // enum proto_method
	uint64_t deadline_ns;
	void *owner; // set while pending
	void (*abandon)(void *owner);
};

// A state of all counters at one moment, for rates.
struct sample {
	uint64_t at_ns;
	struct counters all;
	struct counters capture[CAPTURES_MAX];
	uint64_t started_ns[CAPTURES_MAX]; // which capture had the index; 0: none
};

// What stands between now and the latest sample and one a second older.
struct rates {
	double seconds; // 0: not known yet
	const struct counters *now, *before;
};

TAILQ_HEAD(session_list, session);
TAILQ_HEAD(call_list, rpc_call);
TAILQ_HEAD(gather_list, gather);
TAILQ_HEAD(operation_list, operation);

struct control {
	struct event_base *base;
	struct control_config config;
	struct {
		uint64_t request_ns; // time for an answer
		uint64_t reader_ns;  // time in which a client must read something
	} limits;
	uint64_t started_ns; // monotonic
	uint64_t started_wall_ns;
	uint64_t nonce; // a cursor of another run is none

	// server
	char *socket;
	dev_t socket_dev; // of the file that we made
	ino_t socket_ino;
	bool socket_is_ours;
	struct evconnlistener *listener;
	struct event *listen_again;
	int reserve_fd;
	unsigned max_clients;
	char *group_read, *group_admin;
	gid_t gid_read, gid_admin; // (gid_t)-1: no such group

	// sessions and requests
	struct session_list sessions;
	unsigned refused_count; // clients that are there but refused
	uint64_t output_bytes;  // replies that clients have not read, all together
	struct event *reaper;
	struct call_list calls;
	struct event *deadline;
	uint64_t count[CONTROL_COUNTER_COUNT];
	bool stopping; // system.shutdown was asked for

	// questions to workers
	struct event *workers_event;
	struct gather_list gathers_waiting, gathers_running;
	struct operation_list operations;

	// samples: [0] the last, [1] the one before
	struct sample *sample[2];
	struct sample *baseline; // what stats.get subtracts
	uint64_t count_baseline[CONTROL_COUNTER_COUNT];
	uint64_t export_baseline[13];
	struct capture_status *captures; // room for a list of them
	struct event *second;
	struct event *stats_event;

	// systemd
	struct event *watchdog;
	uint64_t heartbeat[WORKERS_MAX];
	bool watchdog_warned;
};

// --- auth.c ---

void auth_resolve_groups(struct control *);
// What the peer of a connected socket may do. Returns 0 or a negative errno.
int auth_peer(const struct control *, int fd, enum access *ret, uid_t *ret_uid, pid_t *ret_pid);

// --- server.c ---

int server_start(struct control *, char *error, size_t size);
void server_stop(struct control *);

// --- session.c ---

int sessions_init(struct control *);
void sessions_fini(struct control *);
// Takes fd. refusal: NULL, or the line (with its newline) that is all the client gets.
void session_open(struct control *, int fd, enum access, uid_t, pid_t, const char *refusal);
void session_kill(struct session *); // closed and freed by the reaper
// Sends a line; a client that has too much unread is disconnected.
void session_send(struct session *, const char *text, size_t size);
void session_request_ended(struct session *);
bool session_is_congested(const struct session *);

// --- request.c ---

int requests_init(struct control *);
void requests_fini(struct control *);
// One line without its end: a request or a batch. Borrows text.
void request_line(struct session *, const char *text, size_t size);
// Errors that belong to no request (id null).
void request_error_line(struct session *, const struct rpc_error *);
void requests_orphan(struct session *); // the client is gone

// Exactly one of these three ends a request and frees it.
// result: one whole JSON value; stays the caller's.
void request_reply(struct rpc_call *, struct json *result);
void request_fail(struct rpc_call *, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void request_fail_busy(struct rpc_call *, enum control_counter, const char *what);

// Leaves a request pending with an owner. At its deadline, or when its client goes, abandon(owner) is
// called: the owner forgets the request, which is then ended.
void request_pend(struct rpc_call *, void *owner, void (*abandon)(void *owner));

// --- gather.c ---

struct flows_question {
	enum flow_query_kind kind;
	bool active, ended; // which flows
	int metric;         // enum flow_metric; list: -1 for pages
	bool ascending;
	const char *capture, *filter, *app, *cursor; // NULL: not given
	uint64_t flow_id;
	unsigned limit;
};

void gather_start(struct rpc_call *, const struct flows_question *);
void gather_pump(struct control *); // starts those that wait, as far as may be
void gather_fini(struct control *);

// --- operation.c ---

void operation_stop(struct rpc_call *, const char *name);
void operation_flush(struct rpc_call *, int capture);
void operations_fini(struct control *);

// --- rpc_capture.c ---

// The array of capture.list; name NULL: all. Returns how many.
unsigned write_captures(struct control *, struct json *, const char *name);

// --- sample.c ---

int sample_init(struct control *);
void sample_fini(struct control *);
void sample_take(struct control *);                                  // once a second
void sample_rates(struct control *, int capture, struct rates *ret); // capture -1: all
// The baseline of a capture (-1: all) that stats.get subtracts; it may be written to.
struct counters *sample_baseline(struct control *, const struct capture_status *);

// --- stats.c ---

// The array of drops.get: each capture, or one. index -1: all.
void stats_captures(struct json *, struct workers *, const struct capture_status *, unsigned n);
uint64_t stats_dropped(const struct counters *); // after receipt, for all reasons
// The members of reassembly.stats: tcp, ipv4, ipv6.
void stats_reassembly(struct json *, struct workers *, int capture);
void stats_malformed(struct json *, struct workers *, int capture);
void stats_protocols(struct json *, struct workers *, int capture, const struct rates *);

// --- notify.c ---

int notify_init(struct control *, char *error, size_t size);
void notify_fini(struct control *);
void notify_status(struct control *);
