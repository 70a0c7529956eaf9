// SPDX-License-Identifier: Apache-2.0
// Memory of the reassembly stage: streams and blocks in arrays that are reserved at start and touched
// only as they are used; and the order in which those who hold blocks have to give them back. Sides are
// kept in classes by the power of two of the blocks that they hold: the highest class has the
// heaviest to within a factor of two, found without a search.
#include <stdlib.h>
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

	r->stream = map(n * sizeof(*r->stream));
	r->cold = map(n * sizeof(*r->cold));
	r->block = map(((size_t)r->blocks + 1) * sizeof(*r->block));
	r->scratch = malloc(r->config.hold_bytes);
	r->fresh_block = 1;
	return r->stream != NULL && r->cold != NULL && r->block != NULL && r->scratch != NULL;
}

void pool_fini(struct reassembly *r)
{
	size_t n = (size_t)r->config.streams + 1;

	unmap(r->stream, n * sizeof(*r->stream));
	unmap(r->cold, n * sizeof(*r->cold));
	unmap(r->block, ((size_t)r->blocks + 1) * sizeof(*r->block));
	free(r->scratch);
}

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

static struct side_cold *side_of(const struct reassembly *r, uint32_t id)
{
	return &r->cold[id / 2].side[id % 2];
}

static void class_remove(struct reassembly *r, struct side_cold *s)
{
	if (s->older != 0)
		side_of(r, s->older)->newer = s->newer;
	else
		r->class_oldest[s->class] = s->newer;
	if (s->newer != 0)
		side_of(r, s->newer)->older = s->older;
	else
		r->class_newest[s->class] = s->older;
	s->older = s->newer = 0;
}

static void class_append(struct reassembly *r, struct side_cold *s, uint32_t id)
{
	uint32_t last = r->class_newest[s->class];

	s->older = last;
	s->newer = 0;
	if (last != 0)
		side_of(r, last)->newer = id;
	else
		r->class_oldest[s->class] = id;
	r->class_newest[s->class] = id;
}

void pool_account(const struct place *at, int blocks, int pieces)
{
	struct side_cold *s = at->cold;
	struct reassembly *r = at->r;
	uint8_t class;

	s->blocks += (uint32_t)blocks;
	class = s->blocks == 0 ? 0 : (uint8_t)(32 - __builtin_clz(s->blocks));
	if (class >= REASSEMBLY_CLASSES)
		class = REASSEMBLY_CLASSES - 1;
	if (class != s->class) {
		if (s->class != 0)
			class_remove(r, s);
		s->class = class;
		if (class != 0)
			class_append(r, s, 2 * at->stream + at->direction);
	}
	r->capture_buffered[at->capture] += (uint32_t)pieces;
	counter_set(at->counters, COUNTER_tcp_buffered, r->capture_buffered[at->capture]);
	if (r->capture_buffered[at->capture] > at->counters->value[COUNTER_tcp_buffered_peak])
		counter_set(
			at->counters, COUNTER_tcp_buffered_peak, r->capture_buffered[at->capture]);
}

bool pool_heaviest(const struct reassembly *r, uint32_t *ret_stream, unsigned *ret_direction)
{
	for (unsigned k = REASSEMBLY_CLASSES; k-- > 1;) {
		uint32_t id = r->class_oldest[k];

		if (id == 0)
			continue;
		*ret_stream = id / 2;
		*ret_direction = id % 2;
		return true;
	}
	return false;
}
