// SPDX-License-Identifier: Apache-2.0
// Bytes of TCP streams, in order, for the tail thread: of captures whose streams are saved to files, and
// of all where the recent ones are kept. A consumer of the reassembly stage (one a worker) that takes
// everything of them and passes it on by the worker's record ring. Files wait for room there; live captures
// lose the bytes and count them, and leave half of the ring to flow records.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "flow.h"
#include "reassembly.h"
#include "ring.h"

struct stream_copy;

// capacity: of the table. keeps: bytes of all captures are wanted. Returns NULL without memory.
struct stream_copy *stream_copy_new(
	const struct flow_table *, uint32_t capacity, struct ring *records, bool keeps);
void stream_copy_free(struct stream_copy *); // accepts NULL
struct reassembly_consumer stream_copy_consumer(struct stream_copy *);

// Before a capture's first packet. saves: its streams go to files.
void stream_copy_capture_begin(
	struct stream_copy *, uint16_t capture, const struct flow_capture *, bool saves);
