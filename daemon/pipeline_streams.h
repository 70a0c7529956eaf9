// SPDX-License-Identifier: Apache-2.0
// Between flows and the streams in them, for one worker: the flow stage tells of each TCP segment and of
// each end (flow_listener), the reassembly stage puts the bytes in order, flow records get the figures
// of their streams. A stream's number is its flow's index in the worker's table.
//
// What reassembly notes on a packet is counted and written here, by the worker that owns the flow,
// whoever received the packet: so it comes once, and the same for any number of workers.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "counters.h"
#include "flow.h"
#include "reassembly.h"
#include "ring.h"

enum {
	// The least that a worker's streams need to put segments in order.
	STREAMS_BYTES_MIN = 400 << 10,
	// The most that a decoder gets in one piece.
	STREAMS_HOLD_BYTES = 64 << 10,
};

struct streams;

struct streams_config {
	struct reassembly_config reassembly; // without streams, hold_bytes and consumer
	// Who gets the bytes, each as if it were alone (reassembly_consumer); a stream's number is the
	// index of its flow, which flow_table_get() describes.
	struct reassembly_consumer consumer[REASSEMBLY_CONSUMERS_MAX];
	unsigned consumer_count;
};

// Streams for a table of that capacity; at least STREAMS_BYTES_MIN for them. Listens to the table from
// then on, until streams_free. records: where events are written. Returns NULL without memory.
struct streams *streams_new(const struct streams_config *, uint32_t capacity, struct flow_table *,
	struct ring *records);
void streams_free(struct streams *); // accepts NULL; streams that are under way are not ended

// Before the first packet of a capture; see flow_capture_begin.
void streams_capture_begin(struct streams *, uint16_t capture, struct counters *);

// The most memory that they can ever touch. Accepts NULL: 0. Thread: any.
size_t streams_bytes_reserved(const struct streams *);
