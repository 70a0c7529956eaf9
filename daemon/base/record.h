// SPDX-License-Identifier: Apache-2.0
// Records: what workers hand to the tail thread over a ring each, as plain structs. The type says
// which struct the payload is; each is declared by the stage that writes it.
#pragma once

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring.h"

enum record_type {
	RECORD_FLOW = 1,     // struct flow_record (flow.h)
	RECORD_ANOMALY,      // struct anomaly_record (export.h)
	RECORD_ARP,          // struct arp_record (export.h)
	RECORD_CAPTURE_DONE, // struct capture_done_record (export.h): last record of a capture
	RECORD_STREAM,       // struct stream_record (export.h)
};

// Reserves a record. wait: for lossless captures, until there is room (the reader never waits for a
// writer, so this ends); else NULL when the ring is full. The caller publishes.
static inline void *record_reserve(struct ring *r, enum record_type type, size_t size, bool wait)
{
	void *payload = ring_reserve(r, (uint16_t)type, size);

	while (payload == NULL && wait) {
		ring_publish(r);
		sched_yield();
		payload = ring_reserve(r, (uint16_t)type, size);
	}
	return payload;
}
