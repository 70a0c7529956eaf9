// SPDX-License-Identifier: Apache-2.0
// Memory of the reassembly stage: streams and blocks in arrays that are reserved at start and touched
// only as they are used; and the order in which those who hold blocks have to give them back. Sides are
// kept in classes by the power of two of the blocks that they hold: the highest class has the
// heaviest to within a factor of two, found without a search.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "reassembly_internal.h"

// Streams are met in any order: with small pages most of a segment's time would be spent on finding
// where its stream lies.
static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	madvise(p, size, MADV_HUGEPAGE);
	return p;
}

static void unmap(void *p, size_t size)
{
	if (p != NULL)
		munmap(p, size);
}

bool pool_init(struct reassembly *r)
{
	size_t n = (size_t)r->config.streams + 1;

	r->slot = map(n * sizeof(*r->slot));
	r->stream = map(n * sizeof(*r->stream));
	r->cold = map(n * sizeof(*r->cold));
	r->block = map(((size_t)r->blocks + 1) * sizeof(*r->block));
	r->scratch = malloc(r->config.hold_bytes);
	r->fresh_block = r->fresh_stream = r->fresh_cold = 1;
	return r->slot != NULL && r->stream != NULL && r->cold != NULL && r->block != NULL &&
	       r->scratch != NULL;
}

void pool_fini(struct reassembly *r)
{
	size_t n = (size_t)r->config.streams + 1;

	unmap(r->slot, n * sizeof(*r->slot));
	unmap(r->stream, n * sizeof(*r->stream));
	unmap(r->cold, n * sizeof(*r->cold));
	unmap(r->block, ((size_t)r->blocks + 1) * sizeof(*r->block));
	free(r->scratch);
}

// --- Streams ---

// There are as many of each as streams: none can be missing. Those that were used last are used again
// first, their lines are near.
void pool_stream_get(struct reassembly *r, uint32_t stream)
{
	uint32_t i = r->free_stream;

	if (i != 0)
		r->free_stream = r->stream[i].cold;
	else
		i = r->fresh_stream++;
	memset(&r->stream[i], 0, sizeof(r->stream[i]));
	r->slot[stream] = i;
}

void pool_stream_put(struct reassembly *r, uint32_t stream)
{
	uint32_t i = r->slot[stream];
	struct reassembly_stream *s = &r->stream[i];

	if (s->cold != 0) {
		r->cold[s->cold].next_free = r->free_cold;
		r->free_cold = s->cold;
	}
	s->cold = r->free_stream;
	r->free_stream = i;
	r->slot[stream] = 0;
}

void pool_cold_get(struct reassembly *r, struct reassembly_stream *s)
{
	uint32_t i = r->free_cold;

	if (i != 0)
		r->free_cold = r->cold[i].next_free;
	else
		i = r->fresh_cold++;
	memset(&r->cold[i], 0, sizeof(r->cold[i]));
	s->cold = i;
}

// --- Blocks ---

uint32_t pool_free_blocks(const struct reassembly *r)
{
	return r->blocks - r->blocks_in_use;
}

static void count_memory(struct reassembly *r, uint16_t capture, int blocks)
{
	struct counters *c = r->counters[capture];
	uint64_t bytes;

	r->blocks_in_use += (uint32_t)blocks;
	r->capture_blocks[capture] += (uint32_t)blocks;
	bytes = (uint64_t)r->capture_blocks[capture] * sizeof(*r->block);
	counter_set(c, COUNTER_tcp_memory, bytes);
	if (r->blocks_in_use > r->blocks_peak)
		r->blocks_peak = r->blocks_in_use;
	if (bytes > c->value[COUNTER_tcp_memory_peak])
		counter_set(c, COUNTER_tcp_memory_peak, bytes);
}

uint32_t pool_get(struct reassembly *r, uint16_t capture)
{
	uint32_t i = r->free_block;

	if (i != 0)
		r->free_block = r->block[i].next;
	else if (r->fresh_block <= r->blocks)
		i = r->fresh_block++;
	else
		return 0;
	r->block[i].next = 0;
	count_memory(r, capture, 1);
	return i;
}

void pool_put(struct reassembly *r, uint16_t capture, uint32_t i)
{
	int n = 0;

	while (i != 0) {
		uint32_t next = r->block[i].next;

		r->block[i].next = r->free_block;
		r->free_block = i;
		n++;
		i = next;
	}
	count_memory(r, capture, -n);
}

// --- Who holds most ---

static unsigned class_of(uint32_t blocks)
{
	unsigned class = blocks == 0 ? 0 : 32 - (unsigned)__builtin_clz(blocks);

	return class < REASSEMBLY_CLASSES ? class : REASSEMBLY_CLASSES - 1;
}

static void class_remove(struct reassembly *r, unsigned class, uint32_t root)
{
	struct reassembly_block *b = &r->block[root];

	if (b->older != 0)
		r->block[b->older].newer = b->newer;
	else
		r->class_oldest[class] = b->newer;
	if (b->newer != 0)
		r->block[b->newer].older = b->older;
	else
		r->class_newest[class] = b->older;
	if (r->class_oldest[class] == 0)
		r->classes &= ~(1u << class);
}

static void class_append(struct reassembly *r, unsigned class, uint32_t root)
{
	struct reassembly_block *b = &r->block[root];
	uint32_t last = r->class_newest[class];

	b->older = last;
	b->newer = 0;
	if (last != 0)
		r->block[last].newer = root;
	else
		r->class_oldest[class] = root;
	r->class_newest[class] = root;
	r->classes |= 1u << class;
}

// Another root of the same side takes the place.
static void class_replace(struct reassembly *r, unsigned class, uint32_t root, uint32_t by)
{
	struct reassembly_block *b = &r->block[by];

	b->older = r->block[root].older;
	b->newer = r->block[root].newer;
	if (b->older != 0)
		r->block[b->older].newer = by;
	else
		r->class_oldest[class] = by;
	if (b->newer != 0)
		r->block[b->newer].older = by;
	else
		r->class_newest[class] = by;
}

static void move_class(const struct place *at, uint32_t old_root, int blocks)
{
	struct reassembly *r = at->r;
	uint32_t root = at->side->root, before = old_root != 0 ? r->block[old_root].blocks : 0;
	uint32_t after = before + (uint32_t)blocks;
	unsigned from = class_of(before), to = class_of(after);

	if (from != to) {
		if (from != 0)
			class_remove(r, from, old_root);
		if (to != 0)
			class_append(r, to, root);
	} else if (root != old_root) {
		class_replace(r, from, old_root, root);
	}
	if (root != 0) {
		r->block[root].blocks = after & 0x3fffffff;
		r->block[root].owner = 2 * at->stream + at->direction;
	}
}

void pool_account(const struct place *at, uint32_t old_root, int blocks, int pieces)
{
	struct reassembly *r = at->r;

	move_class(at, old_root, blocks);
	r->capture_buffered[at->capture] += (uint32_t)pieces;
	counter_set(at->counters, COUNTER_tcp_buffered, r->capture_buffered[at->capture]);
	if (r->capture_buffered[at->capture] > at->counters->value[COUNTER_tcp_buffered_peak])
		counter_set(
			at->counters, COUNTER_tcp_buffered_peak, r->capture_buffered[at->capture]);
}

// Where all hold little, one after the other has to give back what it holds, each time that a new one
// comes: their lines are asked for in turn.
static void prefetch_next(const struct reassembly *r, uint32_t root)
{
	const struct reassembly_block *next = &r->block[r->block[root].newer];

	if (r->block[root].newer == 0)
		return;
	reassembly_prefetch(r, next->owner / 2);
	prefetch(&r->block[next->newer]);
}

bool pool_heaviest(const struct reassembly *r, uint32_t *ret_stream, unsigned *ret_direction)
{
	uint32_t root;

	if (r->classes == 0)
		return false;
	root = r->class_oldest[31 - __builtin_clz(r->classes)];
	prefetch_next(r, root);
	*ret_stream = r->block[root].owner / 2;
	*ret_direction = r->block[root].owner % 2;
	return true;
}
