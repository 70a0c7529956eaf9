// SPDX-License-Identifier: Apache-2.0
// What the files of this folder share: the worker, its inbox and replies, and a capture's run.
// Each field says who writes it (C control, W the worker) and who reads it besides.
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pipeline.h"
#include "worker.h"

enum {
	WORKER_QUEUES_MAX = CAPTURES_MAX,
	WORKER_QUERIES_MAX = 16,
	WORKER_FLUSHES_MAX = 16,
	STEER_PACKET = 1, // payload: struct packet, as many layers as it has
	STEER_END = 2,    // payload: struct steer_end; the last message of a queue
};

struct steer_end {
	uint64_t now_ns; // the queue's clock at its end
	uint16_t capture;
	uint8_t forced; // stopped, not at its natural end
};

// Few are ever under way: three for each capture, and so many questions and flushes. The inbox holds
// them all, so control never waits for a worker, which may wait for control to take replies.
enum command_type {
	COMMAND_CAPTURE_BEGIN, // run
	COMMAND_QUEUE_START,   // run, queue
	COMMAND_QUEUE_STOP,    // queue: a name only, it may be gone when the worker comes to it
	COMMAND_QUERY,         // query, token
	COMMAND_FLUSH,         // capture, token
	COMMAND_QUIT,
};

struct capture_run;

struct command {
	struct capture_run *run;
	struct pipeline_queue *queue;
	struct flow_query *query;
	void *token;
	int capture; // -1: all
};

enum reply_type {
	REPLY_CAPTURE_BEGUN = 1, // run
	REPLY_CAPTURE_ENDED,     // run, ended
	REPLY_STATE,             // run, state: a queue paused or went on
	REPLY_QUERY,             // token
	REPLY_FLUSHED,           // token, ended
};

struct reply {
	struct capture_run *run;
	void *token;
	uint64_t ended;
	enum capture_state state;
	int error;
};

// A worker's view of one capture.
struct worker_capture {
	struct capture_run *run; // NULL: slot not in use
	struct counters *counters;
	uint64_t now_ns;    // the latest that this worker knows of the capture's clock
	uint64_t expired_s; // when fragments were last looked through
	unsigned ends;      // queues that have ended
	bool forced;
	bool ending;
	uint64_t ended; // flows ended by the end
};

struct worker_flush {
	void *token;
	int capture; // -1: all
	uint64_t left;
	uint64_t ended;
	bool active;
};

struct worker {
	// set once
	struct workers *all;
	struct pipeline pipeline;
	struct ring *records;
	struct ring *inbox;                 // C writes
	struct ring *replies;               // C reads
	struct ring *steer_in[WORKERS_MAX]; // from each other worker
	unsigned index;
	unsigned lcore;
	int node; // of its memory, -1: any
	int wake_fd;
	// W only
	struct pipeline_queue *queue[WORKER_QUEUES_MAX];
	struct capture_run *queue_run[WORKER_QUEUES_MAX];
	unsigned queue_count;
	struct worker_capture capture[CAPTURES_MAX];
	unsigned capture_count; // highest index in use + 1
	struct flow_query *query[WORKER_QUERIES_MAX];
	void *query_token[WORKER_QUERIES_MAX];
	unsigned query_count, query_turn;
	int64_t query_credit;    // time that queries may take, cycles
	uint64_t query_idle_tsc; // as much at a time where no packets come
	struct worker_flush flush;
	uint64_t steered_to; // workers with unpublished packets, a bit each
	unsigned idle_polls;
	uint64_t linger_tsc, linger_until_tsc; // until then packets of a file are likely to come
	bool is_woken_in_vain; // a queue's descriptor was readable, and nothing came
	bool quit;
	bool replied; // something waits in replies that control was not told of
	struct packet taken[PACKET_BURST];
	// W writes, C reads
	_Alignas(64) _Atomic uint64_t heartbeat;
	_Atomic uint64_t busy_tsc;
	_Atomic int cpu;
	_Atomic uint64_t flows_active;
	_Atomic uint64_t flow_table_bytes;
	_Atomic bool has_quit; // the last that it writes
	// W writes, other workers read
	_Alignas(64) _Atomic bool sleeping;
};

struct query_gather {
	struct query_gather *next;
	void (*done)(void *ctx);
	void *ctx;
	unsigned missing;
};

struct flush_gather {
	void (*done)(void *ctx, uint64_t ended);
	void *ctx;
	unsigned missing;
	uint64_t ended;
};

// Somebody who waits for a capture's end.
struct stop_waiter {
	struct stop_waiter *next;
	void (*done)(void *ctx, uint64_t ended);
	void *ctx;
};

// A capture from start to removal; control's, but where it says otherwise.
struct capture_run {
	struct capture_status status;
	struct capture *capture;                          // NULL once closed
	struct counters *counters[WORKERS_MAX];           // W writes, each its own
	struct pipeline_queue *queue[CAPTURE_QUEUES_MAX]; // the polling worker's
	unsigned queue_worker[CAPTURE_QUEUES_MAX];
	struct pipeline_spread spread;
	bool has_spread;
	struct capture_losses losses; // as last read
	unsigned begun_missing;       // workers that have not begun it yet
	unsigned end_missing;         // workers that have not ended it yet
	bool saves;                   // its streams, to files
	bool failed;                  // a queue failed
	bool stop_asked;              // by a user
	bool stopping;                // queues have been told
	bool stop_wanted;             // stop was asked while starting
	uint64_t ended;               // flows ended by its end
	struct stop_waiter *stop_waiters;
	// as of the last look, by the wall clock
	uint64_t lost_pkts, lost_ns;
	// rates over the last tick
	uint64_t tick_pkts, tick_bytes;
};

struct workers {
	struct workers_config config;
	struct worker *worker[WORKERS_MAX];
	struct ring *records[WORKERS_MAX];
	unsigned started;
	int event_fd; // written by workers, read by control
	// control writes, workers read: nobody waits for another worker any more
	_Atomic bool halting;
	// control's
	struct export *export;
	struct capture_run *run[CAPTURES_MAX]; // by index
	uint16_t order[CAPTURES_MAX];          // indices, oldest first
	unsigned run_count;
	unsigned queries, flushes;
	bool is_closed;          // no capture can be started any more
	struct counters retired; // of captures taken off the list
	struct capture_losses retired_losses;
	uint64_t tick_ns;
	double load[WORKERS_MAX];
	uint64_t tick_busy[WORKERS_MAX];
};

// --- worker.c: the lcore's side ---
int worker_main(void *worker);
// For steer.c: a queue has ended. Called in the order of its packets.
void worker_capture_end(struct worker *, const struct steer_end *);

// --- workers.c, for captures.c (control) ---
void worker_command(struct worker *, enum command_type, const struct command *);

// --- steer.c (worker) ---
bool steer_pass(void *worker, const struct packet *, uint64_t workers, bool lossless);
// Lets the others get on while this worker waits for something. Returns false when there is nothing to
// wait for any more.
bool steer_relax(void *worker);
void steer_end(struct worker *, const struct steer_end *); // to every worker, this one included
void steer_publish(struct worker *);                       // once a burst
unsigned steer_drain(struct worker *);     // takes what others sent; returns packets
void steer_drain_present(struct worker *); // takes all that has been published by now
void steer_discard(struct worker *);       // control, when the workers have quit
void worker_wake(struct worker *);

// --- captures.c (control) ---
void captures_reply(struct workers *, enum reply_type, const struct reply *);
void captures_settle(struct workers *);  // captures whose records have been written by now
void captures_give_up(struct workers *); // the workers have quit
void captures_free(struct workers *);
bool capture_run_is_over(const struct capture_run *);

// --- figures.c (control) ---
void figures_refresh(struct capture_run *);
// Tells export when packets were lost: once a second, and before flows are ended by request.
void figures_note_losses(struct workers *, struct capture_run *);
