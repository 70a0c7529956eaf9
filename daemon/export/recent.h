// SPDX-License-Identifier: Apache-2.0
// The recent store: ended flows, the newest kept, bounded in bytes. The tail thread adds, control
// asks and forgets. Inside export/ only.
//
// Flows lie one behind the other in segments of equal size, oldest segment first. Segments have
// numbers that only grow, and so have flows; that is what a list's cursor stands for, so that it
// survives forgetting. Invariants:
// - A flow in a segment never changes or moves. The tail appends to the last segment and then
//   publishes the count; control reads no further than the count that it saw.
// - The lock guards the list of segments and pins, never a whole scan: control pins the segment that
//   it reads. A pinned segment whose turn it is to go is taken off the list and freed by control.
#pragma once

#include <stdint.h>

#include "flow.h"

struct recent;

// bytes 0, or too few for a single segment: nothing is kept. Returns NULL without memory.
struct recent *recent_new(uint64_t bytes);
void recent_free(struct recent *); // accepts NULL

// Thread: tail.
void recent_add(struct recent *, const struct flow_record *);

// Thread: control.
void recent_query(struct recent *, struct flow_query *);
void recent_forget(struct recent *, uint16_t capture);
void recent_stats(
	struct recent *, uint64_t *ret_flows, uint64_t *ret_bytes, uint64_t *ret_forgotten);
