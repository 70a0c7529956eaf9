// SPDX-License-Identifier: Apache-2.0
// Chunks: pieces of memory that hold the bytes of many packets of one capture (files, AF_PACKET),
// instead of an mbuf each. A chunk goes back to its pool when the source has let go of it and every
// packet in it has been released, by whichever worker.
//
// References are taken and dropped in bulk, once a burst: one atomic operation for many packets.
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct chunk_pool;

struct chunk {
	_Atomic int32_t references;
	uint32_t size_bytes;
	struct chunk_pool *pool;
	struct chunk *next;
	uint8_t *data;
};

// A pool of at most count chunks of size_bytes, allocated as they are needed.
// Thread: chunk_get by the source's worker only; chunk_unref by any.
struct chunk_pool *chunk_pool_new(uint32_t size_bytes, unsigned count);
void chunk_pool_free(struct chunk_pool *); // all chunks must be back; accepts NULL
unsigned chunk_pool_in_use(const struct chunk_pool *);

// A chunk with one reference, or NULL when all are in use. size_bytes above the pool's size gives a
// chunk of its own (very large packets); it counts among the pool's chunks.
struct chunk *chunk_get(struct chunk_pool *, uint32_t size_bytes);

static inline void chunk_ref(struct chunk *c, int n)
{
	atomic_fetch_add_explicit(&c->references, n, memory_order_relaxed);
}

void chunk_unref(struct chunk *, int n); // accepts NULL
