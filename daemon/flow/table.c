// SPDX-License-Identifier: Apache-2.0
// The table: its memory, its captures, and what may be asked of a flow by its index.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "flow_internal.h"
#include "hash.h"

// --- Memory ---

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	// Large tables in large pages; the kernel gives them as they are touched.
	if (size >= (8u << 20))
		madvise(p, size, MADV_HUGEPAGE);
	return p;
}

static void unmap(void *p, size_t size)
{
	if (p != NULL)
		munmap(p, size);
}

static size_t links(const struct flow_table *t)
{
	return (size_t)t->capacity + 1 + (size_t)FLOW_CAPTURES_MAX * (FLOW_WHEEL_SLOTS + 1);
}

// Beyond it a packet may find its flow idle, or the log's 32 bits too short.
static uint64_t log_dt_most(const struct flow_config *c)
{
	const uint64_t timeouts[] = {
		c->tcp_established_ns, c->udp_ns, c->icmp_ns, c->other_ns, UINT32_MAX};
	uint64_t least = UINT64_MAX;

	for (unsigned k = 0; k < sizeof(timeouts) / sizeof(timeouts[0]); k++)
		least = timeouts[k] < least ? timeouts[k] : least;
	return least > 0 ? least - 1 : 0;
}

// The table's arrays: what each entry takes, and how many there are.
struct flow_array {
	void **at;
	size_t bytes;
};

enum { FLOW_ARRAYS = 12 };

static void arrays_of(struct flow_table *t, struct flow_array ret[FLOW_ARRAYS])
{
	size_t n = (size_t)t->capacity + 1;
	const struct flow_array a[FLOW_ARRAYS] = {
		{(void **)&t->bucket, t->bucket_count * sizeof(*t->bucket)},
		{(void **)&t->hot, n * sizeof(*t->hot)},
		{(void **)&t->stats, n * 2 * sizeof(*t->stats)},
		{(void **)&t->turn, n * sizeof(*t->turn)},
		{(void **)&t->splt_first, n * sizeof(*t->splt_first)},
		{(void **)&t->splt_second, n * sizeof(*t->splt_second)},
		{(void **)&t->ends, n * sizeof(*t->ends)},
		{(void **)&t->cold, n * sizeof(*t->cold)},
		{(void **)&t->volume, n},
		{(void **)&t->link, links(t) * sizeof(*t->link)},
		{(void **)&t->tunnel, FLOW_TUNNELS * sizeof(*t->tunnel)},
		{(void **)&t->tunnel_bucket, FLOW_TUNNEL_BUCKETS * sizeof(*t->tunnel_bucket)},
	};

	memcpy(ret, a, sizeof(a));
}

struct flow_table *flow_table_new(
	const struct flow_config *config, unsigned worker, struct ring *records)
{
	struct flow_table *t = calloc(1, sizeof(*t));
	struct flow_array array[FLOW_ARRAYS];

	if (t == NULL)
		return NULL;
	t->config = *config;
	t->capacity = config->capacity;
	t->worker = worker;
	t->records = records;
	t->fresh = 1;
	t->tunnel_fresh = 1;
	t->log_dt_most_ns = log_dt_most(config);
	t->bucket_count = (uint32_t)((uint64_t)config->capacity * 100 / 62 / FLOW_BUCKET_SLOTS + 1);
	arrays_of(t, array);
	for (unsigned k = 0; k < FLOW_ARRAYS; k++) {
		*array[k].at = map(array[k].bytes);
		if (*array[k].at == NULL) {
			flow_table_free(t);
			return NULL;
		}
	}
	return t;
}

void flow_table_free(struct flow_table *t)
{
	struct flow_array array[FLOW_ARRAYS];

	if (t == NULL)
		return;
	arrays_of(t, array);
	for (unsigned k = 0; k < FLOW_ARRAYS; k++)
		unmap(*array[k].at, array[k].bytes);
	free(t);
}

void flow_table_listen(struct flow_table *t, const struct flow_listener *listener)
{
	t->listener = *listener;
}

uint64_t flow_table_id(const struct flow_table *t, uint32_t index)
{
	return flow_id_of(t, index);
}

uint16_t flow_table_capture(const struct flow_table *t, uint32_t index)
{
	return flow_capture_of(&t->hot[index]);
}

unsigned flow_table_tuple(const struct flow_table *t, uint32_t index, struct flow_tuple *ret)
{
	flow_tuple_of(t, index, ret);
	return t->hot[index].bits & FLOW_TO_SERVER;
}

unsigned flow_table_active(const struct flow_table *t)
{
	return t->active;
}

size_t flow_table_bytes(const struct flow_table *t)
{
	struct flow_table copy = *t;
	struct flow_array array[FLOW_ARRAYS];
	size_t sum = sizeof(*t);

	arrays_of(&copy, array);
	for (unsigned k = 0; k < FLOW_ARRAYS; k++)
		sum += array[k].bytes;
	return sum;
}

// --- Captures ---

int flow_capture_begin(struct flow_table *t, uint16_t capture, const struct flow_capture *c)
{
	struct flow_capture_state *s;

	if (capture >= FLOW_CAPTURES_MAX || t->capture[capture].in_use)
		return -EINVAL;
	s = &t->capture[capture];
	*s = (struct flow_capture_state){
		.counters = c->counters,
		.name_hash = hash_bytes(&hash_fixed, c->name, strlen(c->name)),
		.in_use = true,
		.lossless = c->lossless,
	};
	for (unsigned i = 0; i <= FLOW_WHEEL_SLOTS; i++) {
		uint32_t head = flow_wheel_head(t, capture, i);

		t->link[head] = (struct flow_link){head, head};
	}
	return 0;
}
