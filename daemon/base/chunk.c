// SPDX-License-Identifier: Apache-2.0
// Pool of packet memory. The free list is a lock-free stack that many threads push to and one
// thread takes from as a whole, so that no ABA problem can arise.
#include "chunk.h"

#include <stdlib.h>

struct chunk_pool {
	_Atomic(struct chunk *) returned; // pushed by any thread
	struct chunk *free;               // the source's worker only
	_Atomic unsigned in_use;
	uint32_t size_bytes;
	unsigned count;
};

struct chunk_pool *chunk_pool_new(uint32_t size_bytes, unsigned count)
{
	struct chunk_pool *pool = calloc(1, sizeof(*pool));

	if (pool == NULL)
		return NULL;
	pool->size_bytes = size_bytes;
	pool->count = count;
	return pool;
}

static void chunk_free_list(struct chunk *c)
{
	while (c != NULL) {
		struct chunk *next = c->next;

		free(c->data);
		free(c);
		c = next;
	}
}

void chunk_pool_free(struct chunk_pool *pool)
{
	if (pool == NULL)
		return;
	chunk_free_list(pool->free);
	chunk_free_list(atomic_load_explicit(&pool->returned, memory_order_acquire));
	free(pool);
}

unsigned chunk_pool_in_use(const struct chunk_pool *pool)
{
	return atomic_load_explicit(&pool->in_use, memory_order_relaxed);
}

static struct chunk *chunk_new(struct chunk_pool *pool, uint32_t size_bytes)
{
	struct chunk *c = malloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	c->data = malloc(size_bytes);
	if (c->data == NULL) {
		free(c);
		return NULL;
	}
	c->size_bytes = size_bytes;
	c->pool = pool;
	return c;
}

struct chunk *chunk_get(struct chunk_pool *pool, uint32_t size_bytes)
{
	struct chunk *c;

	if (size_bytes <= pool->size_bytes) {
		if (pool->free == NULL)
			pool->free = atomic_exchange_explicit(
				&pool->returned, NULL, memory_order_acquire);
		c = pool->free;
		if (c != NULL)
			pool->free = c->next;
	} else {
		c = NULL;
	}
	if (c == NULL) {
		if (chunk_pool_in_use(pool) >= pool->count)
			return NULL;
		c = chunk_new(pool, size_bytes > pool->size_bytes ? size_bytes : pool->size_bytes);
		if (c == NULL)
			return NULL;
	}
	c->next = NULL;
	atomic_store_explicit(&c->references, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&pool->in_use, 1, memory_order_relaxed);
	return c;
}

void chunk_unref(struct chunk *c, int n)
{
	struct chunk_pool *pool;

	if (c == NULL || n == 0)
		return;
	if (atomic_fetch_sub_explicit(&c->references, n, memory_order_acq_rel) != n)
		return;
	pool = c->pool;
	if (c->size_bytes > pool->size_bytes) {
		free(c->data);
		free(c);
	} else {
		c->next = atomic_load_explicit(&pool->returned, memory_order_relaxed);
		while (!atomic_compare_exchange_weak_explicit(
			&pool->returned, &c->next, c, memory_order_release, memory_order_relaxed))
			;
	}
	atomic_fetch_sub_explicit(&pool->in_use, 1, memory_order_relaxed);
}
