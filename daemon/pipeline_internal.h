// SPDX-License-Identifier: Apache-2.0
// What the files of the pipeline share: the way through the stages (pipeline.c), the records of events
// (pipeline_events.c) and what lies between flows and their streams (pipeline_streams.c).
#pragma once

#include "pipeline.h"

// What one burst adds to the counters.
struct tally {
	uint64_t seen; // protocols with a count
	uint64_t pkts[PROTOCOL_COUNT];
	uint64_t bytes[PROTOCOL_COUNT];
	uint64_t processed, processed_bytes;
	uint64_t records, records_lost, sampled_out;
};

// --- pipeline_events.c ---

// Counts the events of the packets that were not lost (a bit each) and writes records of them, and of
// ARP.
void pipeline_note_events(struct pipeline *, struct pipeline_queue *, struct packet *pkts,
	unsigned n, uint64_t lost, struct tally *);

// The record of one event. Returns false where there was no room for it.
bool pipeline_write_anomaly(struct ring *records, const struct packet *, enum event_id,
	uint64_t flow_id, uint32_t repeated);
