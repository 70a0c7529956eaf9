// SPDX-License-Identifier: Apache-2.0
// Workers: the threads of the data plane, one a lcore, shared nothing. Each polls its queues of the
// running captures, runs the pipeline over what it got, takes over the flows that other workers
// steered to it, and answers its inbox at burst boundaries. And captures as users know them: names,
// states, start and stop. All functions here are for the control thread.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture.h"
#include "counters.h"
#include "decode.h"
#include "defrag.h"
#include "export.h"
#include "flow.h"
#include "reassembly.h"

enum { WORKERS_MAX = 64, CAPTURES_MAX = FLOW_CAPTURES_MAX };

struct workers;

struct workers_config {
	unsigned count;
	bool busy;               // poll without sleeping (production); else idle workers sleep
	struct flow_config flow; // capacity: for each worker
	struct decode_config decode;
	struct defrag_config defrag;     // limits: for each worker
	struct reassembly_config stream; // bytes: for each worker, 0: TCP is not put together
	bool keeps_streams;              // their bytes go to the tail
	size_t record_ring_bytes;        // each worker to the tail
	size_t steer_ring_bytes;         // each worker to each other
};

// Starts the workers on EAL's worker lcores, or as control threads where there are too few lcores.
// Returns 0 or a negative errno with a message.
int workers_start(const struct workers_config *, struct workers **ret, char *error, size_t size);

// Ends the workers' threads, whatever they do. Captures that have not ended are given up: they are
// failed, their active flows are not written. Every done() that is still owed is called. From then on
// figures can be read, and nothing be started or asked. The tail must still run. Accepts NULL.
void workers_halt(struct workers *);
void workers_stop(struct workers *); // frees them; halts them first where that has not been done

unsigned workers_count(const struct workers *);
struct ring **workers_records(struct workers *);            // the record rings, for export_start
void workers_set_export(struct workers *, struct export *); // before the first capture

// Once a second: rates, loads, ended captures.
void workers_tick(struct workers *);

struct worker_status {
	int cpu;
	uint64_t heartbeat; // grows as long as the worker lives
	double load;        // share of the last second that it did work, 0 to 1
	uint64_t flows_active;
	uint64_t flow_capacity;
	uint64_t flow_table_bytes;
	uint64_t streams_bytes; // the most that TCP reassembly can ever touch
};
void workers_status(struct workers *, unsigned worker, struct worker_status *ret);

// --- Questions to all workers ---

// Runs queries[w] on worker w, for each worker, a step after each burst. The queries and their
// results stay untouched by the caller until done(ctx) is called, from workers_dispatch().
// Returns 0, or -EBUSY when too many questions are under way, -ESHUTDOWN after workers_halt.
int workers_query(struct workers *, struct flow_query *queries, void (*done)(void *ctx), void *ctx);

// Readable when an answer or a change of state waits; then call workers_dispatch().
int workers_event_fd(const struct workers *);
void workers_dispatch(struct workers *);

// --- Captures ---

enum capture_phase {
	CAPTURE_STARTING,
	CAPTURE_RUNNING,
	CAPTURE_PAUSED,
	CAPTURE_FINISHED, // file read to its end, flows ended, records written
	CAPTURE_FAILED,
	CAPTURE_STOPPED,
};
const char *capture_phase_name(enum capture_phase);

struct capture_status {
	uint16_t index;
	char name[64];
	char source[4200];
	char filter[1024];
	enum capture_phase phase;
	char reason[CAPTURE_ERROR_MAX]; // why finished, failed, paused; "" while running
	unsigned queues;
	bool live;
	uint64_t started_ns;                        // wall clock
	uint64_t ended_ns;                          // 0 while running
	uint64_t bytes_read, bytes_total;           // files
	double packets_per_second, bits_per_second; // over the last second
	uint64_t first_packet_ns, last_packet_ns;
};

// Opens the source and starts it. name NULL or "": made from the source, unique. The filter is text.
// follow_to: the folder that TCP streams are saved in, or NULL.
// Returns the capture's index, or a negative errno with a message: -EEXIST name in use, -ENOSPC too
// many captures, -ESHUTDOWN after captures_stop_all, else as capture_open.
int captures_start(struct workers *, const char *source, const char *name, const char *filter,
	const char *follow_to, char *error, size_t size);

// Stops a running capture: its flows are ended (forced) and written, then done(ctx, ended) is called
// from workers_dispatch(), where ended counts the flows that were active. An ended capture is taken off
// the list (with its recent flows); done is called at once. Who stops a capture that is being stopped
// already is told together with the first.
// Returns 0, -ENOENT or -ENOMEM.
int captures_stop(
	struct workers *, const char *name, void (*done)(void *ctx, uint64_t ended), void *ctx);

// Stops all captures that have not ended; none can be started from then on.
void captures_stop_all(struct workers *);

// Ends all active flows of a capture (index), or of all (-1), without stopping it; done as above.
// Returns 0, -ENOMEM, -EBUSY when too many flushes are under way, -ESHUTDOWN after workers_halt.
int captures_flush(struct workers *, int index, void (*done)(void *ctx, uint64_t ended), void *ctx);

unsigned captures_list(struct workers *, struct capture_status *ret, unsigned max); // oldest first
int captures_find(struct workers *, const char *name); // index or -ENOENT
bool captures_all_ended(struct workers *);             // none starting, running or paused
// True while a capture has ended but its last records are still being written: look again in some
// milliseconds with workers_dispatch().
bool captures_settling(struct workers *);

// Adds the capture's counters (index; -1: all captures, past ones included) of one worker or
// (worker -1) all to sum, consistently per worker.
void captures_counters(struct workers *, int index, int worker, struct counters *sum);
void captures_losses(struct workers *, int index, struct capture_losses *ret);

struct capture_queue_counters {
	unsigned worker;
	uint64_t received, processed, filtered, dropped_ring_full, dropped_steer_ring_full,
		dropped_no_mbuf, dropped_shutdown;
};
// What each queue of a capture saw; returns how many (at most max).
unsigned captures_queue_counters(
	struct workers *, int index, struct capture_queue_counters *ret, unsigned max);
