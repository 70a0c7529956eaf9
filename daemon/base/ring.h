// SPDX-License-Identifier: Apache-2.0
// A ring of variable-size messages between exactly two threads, in shared memory of fixed size.
// It carries packets between workers (the descriptor itself, not a pointer) and records from a
// worker to the tail thread. A message is written in place and read in place.
//
// Invariants: head and tail count bytes and never wrap (64 bit); a message is never split: where it
// would cross the end of the buffer, a filler message takes the rest. Sizes are multiples of 8.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

struct ring_msg {
	uint32_t size; // whole message with this head, multiple of 8
	uint16_t type; // the user's; 0xffff is filler
	uint16_t flags;
};

// size_bytes is rounded up to a power of two. Returns NULL without memory. Thread: any.
struct ring *ring_new(size_t size_bytes);
void ring_free(struct ring *); // accepts NULL

// Writer. Reserves a message of payload_bytes and returns its payload, or NULL when it does not fit
// now. What is reserved becomes visible with ring_publish() (once a burst). A reservation may be
// shortened with ring_shrink() while it is the last one. A payload may be at most a quarter of the
// ring.
void *ring_reserve(struct ring *, uint16_t type, size_t payload_bytes);
void ring_shrink(struct ring *, size_t payload_bytes);
void ring_publish(struct ring *);
bool ring_has_room(struct ring *, size_t payload_bytes);
size_t ring_payload_max(const struct ring *);

// Reader. Returns the next message (payload follows the head) or NULL. The message stays valid until
// ring_release(), which frees all that has been read so far.
const struct ring_msg *ring_next(struct ring *);
void ring_release(struct ring *);
bool ring_is_empty(const struct ring *); // either side; a hint for the other
uint64_t ring_used_bytes(const struct ring *);
