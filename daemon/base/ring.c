// SPDX-License-Identifier: Apache-2.0
// Single-producer, single-consumer ring of variable-size messages. Each side keeps its own copy of
// the other's index and reads the shared one only when the copy says full or empty.
#include "ring.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { RING_FILLER = 0xffff };

struct ring {
	// set once
	uint8_t *buffer;
	uint64_t size;
	// writer only
	_Alignas(64) uint64_t write; // reserved up to here
	uint64_t last;               // head of the last reservation
	uint64_t read_seen;
	// reader only
	_Alignas(64) uint64_t read; // read up to here
	uint64_t write_seen;
	// shared: written by the writer, read by the reader
	_Alignas(64) _Atomic uint64_t published;
	// shared: written by the reader, read by the writer
	_Alignas(64) _Atomic uint64_t released;
};

struct ring *ring_new(size_t size_bytes)
{
	struct ring *r;
	uint64_t size = 4096;

	while (size < size_bytes)
		size *= 2;
	r = aligned_alloc(64, sizeof(*r));
	if (r == NULL)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->buffer = aligned_alloc(64, size);
	if (r->buffer == NULL) {
		free(r);
		return NULL;
	}
	r->size = size;
	return r;
}

void ring_free(struct ring *r)
{
	if (r == NULL)
		return;
	free(r->buffer);
	free(r);
}

size_t ring_payload_max(const struct ring *r)
{
	return r->size / 4 - sizeof(struct ring_msg);
}

static bool ring_fits(struct ring *r, uint64_t need)
{
	if (r->write + need - r->read_seen <= r->size)
		return true;
	r->read_seen = atomic_load_explicit(&r->released, memory_order_acquire);
	return r->write + need - r->read_seen <= r->size;
}

// Bytes that a message takes, with the filler before it where it would cross the end.
static uint64_t ring_need(const struct ring *r, size_t payload_bytes, uint64_t *ret_filler)
{
	uint64_t size = (sizeof(struct ring_msg) + payload_bytes + 7) & ~UINT64_C(7);
	uint64_t rest = r->size - (r->write & (r->size - 1));

	*ret_filler = rest < size ? rest : 0;
	return size + *ret_filler;
}

bool ring_has_room(struct ring *r, size_t payload_bytes)
{
	uint64_t filler;

	return ring_fits(r, ring_need(r, payload_bytes, &filler));
}

void *ring_reserve(struct ring *r, uint16_t type, size_t payload_bytes)
{
	uint64_t filler, need;
	struct ring_msg *m;

	assert(payload_bytes <= ring_payload_max(r) && type != RING_FILLER);
	need = ring_need(r, payload_bytes, &filler);
	if (!ring_fits(r, need))
		return NULL;
	if (filler != 0) {
		m = (struct ring_msg *)(r->buffer + (r->write & (r->size - 1)));
		*m = (struct ring_msg){.size = (uint32_t)filler, .type = RING_FILLER};
		r->write += filler;
	}
	m = (struct ring_msg *)(r->buffer + (r->write & (r->size - 1)));
	*m = (struct ring_msg){.size = (uint32_t)(need - filler), .type = type};
	r->last = r->write;
	r->write += need - filler;
	return m + 1;
}

void ring_shrink(struct ring *r, size_t payload_bytes)
{
	struct ring_msg *m = (struct ring_msg *)(r->buffer + (r->last & (r->size - 1)));
	uint32_t size = (uint32_t)((sizeof(*m) + payload_bytes + 7) & ~(size_t)7);

	assert(size <= m->size);
	m->size = size;
	r->write = r->last + size;
}

void ring_publish(struct ring *r)
{
	atomic_store_explicit(&r->published, r->write, memory_order_release);
}

const struct ring_msg *ring_next(struct ring *r)
{
	const struct ring_msg *m;

	for (;;) {
		if (r->read == r->write_seen) {
			r->write_seen = atomic_load_explicit(&r->published, memory_order_acquire);
			if (r->read == r->write_seen)
				return NULL;
		}
		m = (const struct ring_msg *)(r->buffer + (r->read & (r->size - 1)));
		r->read += m->size;
		if (m->type != RING_FILLER)
			return m;
	}
}

void ring_release(struct ring *r)
{
	atomic_store_explicit(&r->released, r->read, memory_order_release);
}

bool ring_is_empty(const struct ring *r)
{
	return ring_used_bytes(r) == 0;
}

uint64_t ring_used_bytes(const struct ring *r)
{
	uint64_t released = atomic_load_explicit(&r->released, memory_order_acquire);

	return atomic_load_explicit(&r->published, memory_order_acquire) - released;
}
