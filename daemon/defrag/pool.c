// SPDX-License-Identifier: Apache-2.0
// Memory of the defrag stage: three arrays with free lists, reserved at start and touched only as they
// are used. Nothing here grows.
#include "defrag_internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void *pool_map(size_t count, size_t size)
{
	void *p = mmap(NULL, count * size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

static void pool_unmap(void *p, size_t count, size_t size)
{
	if (p != NULL)
		munmap(p, count * size);
}

bool defrag_pool_init(struct defrag *d)
{
	uint32_t buckets = 64;

	while (buckets < d->config.trackers)
		buckets *= 2;
	d->bucket_mask = buckets - 1;
	d->block_count = (uint32_t)(d->config.bytes / DEFRAG_BLOCK_BYTES);
	d->tracker = pool_map(d->config.trackers + 1, sizeof(*d->tracker));
	d->fragment = pool_map(d->config.fragments + 1, sizeof(*d->fragment));
	d->block = pool_map(d->block_count + 1, sizeof(*d->block));
	d->bucket = calloc(buckets, sizeof(*d->bucket));
	d->chunks = chunk_pool_new(DEFRAG_WHOLE_MAX, DEFRAG_BUFFERS);
	d->fresh_tracker = d->fresh_fragment = d->fresh_block = 1;
	return d->tracker != NULL && d->fragment != NULL && d->block != NULL && d->bucket != NULL &&
	       d->chunks != NULL;
}

void defrag_pool_fini(struct defrag *d)
{
	pool_unmap(d->tracker, d->config.trackers + 1, sizeof(*d->tracker));
	pool_unmap(d->fragment, d->config.fragments + 1, sizeof(*d->fragment));
	pool_unmap(d->block, d->block_count + 1, sizeof(*d->block));
	free(d->bucket);
	chunk_pool_free(d->chunks);
}

uint32_t defrag_tracker_get(struct defrag *d)
{
	uint32_t i = d->free_tracker;

	if (i != 0)
		d->free_tracker = d->tracker[i].chain;
	else if (d->fresh_tracker <= d->config.trackers)
		i = d->fresh_tracker++;
	else
		return 0;
	memset(&d->tracker[i], 0, offsetof(struct defrag_tracker, context));
	d->tracker[i].in_use = 1;
	d->trackers_in_use++;
	return i;
}

uint32_t defrag_fragment_get(struct defrag *d)
{
	uint32_t i = d->free_fragment;

	if (i != 0)
		d->free_fragment = d->fragment[i].next;
	else if (d->fresh_fragment <= d->config.fragments)
		i = d->fresh_fragment++;
	else
		return 0;
	memset(&d->fragment[i], 0, sizeof(d->fragment[i]));
	d->fragments_in_use++;
	return i;
}

void defrag_fragment_put(struct defrag *d, uint32_t i)
{
	defrag_blocks_put(d, d->fragment[i].blocks);
	d->fragment[i].next = d->free_fragment;
	d->free_fragment = i;
	d->fragments_in_use--;
}

static uint32_t block_get(struct defrag *d)
{
	uint32_t i = d->free_block;

	if (i != 0)
		d->free_block = d->block[i].next;
	else if (d->fresh_block <= d->block_count)
		i = d->fresh_block++;
	else
		return 0;
	d->block[i].next = 0;
	d->blocks_in_use++;
	return i;
}

void defrag_blocks_put(struct defrag *d, uint32_t i)
{
	while (i != 0) {
		uint32_t next = d->block[i].next;

		d->block[i].next = d->free_block;
		d->free_block = i;
		d->blocks_in_use--;
		i = next;
	}
}

uint32_t defrag_store(struct defrag *d, const uint8_t *data, uint32_t length)
{
	uint32_t first = 0, *link = &first;

	do {
		uint32_t n = length < sizeof(d->block->data) ? length : sizeof(d->block->data);
		uint32_t i = block_get(d);

		if (i == 0) {
			defrag_blocks_put(d, first);
			return 0;
		}
		memcpy(d->block[i].data, data, n);
		*link = i;
		link = &d->block[i].next;
		data += n;
		length -= n;
	} while (length > 0);
	return first;
}

void defrag_load(const struct defrag *d, uint32_t i, uint8_t *to, uint32_t length)
{
	while (length > 0) {
		uint32_t n = length < sizeof(d->block->data) ? length : sizeof(d->block->data);

		memcpy(to, d->block[i].data, n);
		to += n;
		length -= n;
		i = d->block[i].next;
	}
}

// Compares n stored bytes from `at` on with data, as memcmp.
int defrag_compare(const struct defrag *d, uint32_t i, uint32_t at, const uint8_t *data, uint32_t n)
{
	const uint32_t size = sizeof(d->block->data);

	for (; at >= size; at -= size)
		i = d->block[i].next;
	while (n > 0) {
		uint32_t part = size - at < n ? size - at : n;
		int r = memcmp(d->block[i].data + at, data, part);

		if (r != 0)
			return r;
		data += part;
		n -= part;
		at = 0;
		i = d->block[i].next;
	}
	return 0;
}

void defrag_fragments_put(struct defrag *d, struct defrag_tracker *t)
{
	uint32_t i = t->fragments;

	while (i != 0) {
		uint32_t next = d->fragment[i].next;

		defrag_fragment_put(d, i);
		i = next;
	}
	t->fragments = t->tail = 0;
	t->fragment_count = 0;
	defrag_blocks_put(d, t->header_blocks);
	t->header_blocks = 0;
}

void defrag_tracker_put(struct defrag *d, uint32_t i)
{
	struct defrag_tracker *t = &d->tracker[i];

	defrag_fragments_put(d, t);
	t->in_use = 0;
	t->chain = d->free_tracker;
	d->free_tracker = i;
	d->trackers_in_use--;
}
