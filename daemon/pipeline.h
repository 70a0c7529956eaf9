// SPDX-License-Identifier: Apache-2.0
// The way of a packet through the stages, for one worker: capture, decode, defrag, steer, flow,
// reassembly, export. pipeline.c and pipeline_streams.c are what calls every stage, in order; stages
// do not call each other.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "capture.h"
#include "clock.h"
#include "counters.h"
#include "decode.h"
#include "defrag.h"
#include "flow.h"
#include "pipeline_copy.h"
#include "pipeline_streams.h"
#include "ring.h"
#include "spread.h"

// At most this many anomaly records a second for each event and queue; the rest is only counted.
enum { PIPELINE_ANOMALIES_PER_S = 10 };

struct pipeline_sample {
	uint64_t second;
	uint32_t written;
	uint32_t left_out; // since the last one written
};

// Who owns the flows of a capture whose queues are spread in a known way: the worker to whose queue the
// port gives them. Every worker has one of its queues. Control's, unchanged while the capture runs.
struct pipeline_spread {
	const struct capture_spread *spread;
	uint8_t worker[CAPTURE_QUEUES_MAX]; // of each queue
};

// One queue of one capture, polled by one worker. first_ns, last_ns: written by the worker, read by
// control; all else is the worker's own.
struct pipeline_queue {
	struct capture *capture;
	struct counters *counters; // the worker's block for the capture
	unsigned queue;
	int wait_fd;    // as capture_wait_fd
	uint16_t index; // of the capture
	bool lossless;
	bool live;
	enum capture_state state;
	struct capture_clock clock;
	uint64_t first_ns, last_ns;
	struct pipeline_sample sample[EVENT_COUNT];
};

// How packets of other workers' flows leave: implemented by the worker.
struct pipeline_steer {
	// Passes the packet to each worker in the set (bit a worker), with a reference each. lossless: waits.
	// Returns false, having done nothing, when a ring is full (lossless: when the workers are halted).
	bool (*pass)(void *ctx, const struct packet *, uint64_t workers, bool lossless);
	// Lets others get on while this worker waits for something of theirs. May take in packets
	// (pipeline_take). Returns false when there is nothing to wait for: the workers are being halted.
	bool (*relax)(void *ctx);
	void *ctx;
};

// Packets on their way to this worker's flows.
struct pipeline_lane {
	// Packets that defrag made: accounting of fragments, and whole datagrams.
	struct packet extra[PACKET_BURST];
	unsigned extra_count;
	struct packet *local[2 * PACKET_BURST]; // with layers that this worker owns
	unsigned local_count;
};

struct pipeline {
	const struct decode_config *decode;
	struct defrag *defrag; // NULL: fragments are counted with ports 0
	const struct flow_config *flow_config;
	struct flow_table *flows;
	struct stream_copy *copy; // a consumer of streams
	struct streams *streams;  // listens to flows; NULL: TCP is not put together
	struct ring *records;
	struct pipeline_steer steer;
	unsigned worker;
	unsigned workers;
	struct packet burst[PACKET_BURST];
	// What a burst collects. Taking in steered packets while waiting for room to steer must not disturb
	// the burst that waits, so each has its own.
	struct pipeline_lane lanes[2], *lane;
	const struct pipeline_spread *spread[FLOW_CAPTURES_MAX]; // NULL: the flow's hash decides
	uint64_t steered;                                        // since the last publishing
	bool keeps_all;    // what defrag lets go of belongs to this worker, whatever its hash says
	bool is_in_defrag; // defrag is being called: it must not be called again from within
};

// Before a capture's first packet. saves: its streams go to files. Returns 0 or -EINVAL, as flow_capture_begin.
int pipeline_capture_begin(
	struct pipeline *, uint16_t capture, const struct flow_capture *, bool saves);

// Receives one burst from a queue and takes it all the way. Returns how many packets came (with those
// that were filtered); sets q->state. Publishes records and counters.
unsigned pipeline_poll(struct pipeline *, struct pipeline_queue *q);

// Takes on n packets that another worker decoded and steered here; releases them.
void pipeline_take(
	struct pipeline *, struct packet *pkts, unsigned n, struct counters *const *counters);

// Gives up what waits for more fragments: of the capture, whose clock stands at now_ns; all: at its end.
void pipeline_expire(
	struct pipeline *, uint16_t capture, uint64_t now_ns, bool all, struct counters *);
