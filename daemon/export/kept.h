// SPDX-License-Identifier: Apache-2.0
// Bytes of recent TCP streams, in a store of fixed size where the oldest bytes make room. The tail thread
// adds, control reads. Inside export/ only.
#pragma once

#include "export.h"

struct kept;

struct kept *kept_new(uint64_t bytes); // NULL without memory; 0: a store that keeps nothing
void kept_free(struct kept *);         // accepts NULL

// Thread: tail.
void kept_add(struct kept *, const struct stream_record *);
void kept_flow_ended(struct kept *, uint64_t flow_id, uint16_t capture);

// Thread: control.
void kept_read(struct kept *, struct export_stream_query *);
void kept_forget(struct kept *, uint16_t capture);
void kept_stats(struct kept *, uint64_t *ret_bytes, uint64_t *ret_forgotten);
