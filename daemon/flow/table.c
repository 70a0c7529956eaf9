// SPDX-License-Identifier: Apache-2.0
// The table: buckets, finding, adding and releasing flows, and the way of a burst through them.
//
// A burst goes in steps so that memory is asked for before it is needed: buckets, then the lines of the
// flows that their signatures point to, then keys and updates. A flow may be noted in either of two
// buckets, the first one preferred; where both are full, notes are put into their other bucket. What
// the notes point to never moves. Signatures are compared eight at a time with
// SSE2, or one by one.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "flow_internal.h"
#include "hash.h"

#if defined(__SSE2__) && !defined(FLOW_PORTABLE)
#include <emmintrin.h>
#endif

// --- Buckets ---

static inline uint16_t signature_of(uint64_t hash)
{
	uint16_t s = (uint16_t)(hash >> 5);

	return s != 0 ? s : 1;
}

static inline uint32_t bucket_first(const struct flow_table *t, uint64_t hash)
{
	return (uint32_t)(((hash >> 32) * t->bucket_count) >> 32);
}

static inline uint32_t bucket_second(const struct flow_table *t, uint64_t hash)
{
	return (uint32_t)((hash_mum(hash, hash_seed.s[3]) & 0xffffffff) * t->bucket_count >> 32);
}

// The slots whose signature is s, a bit each.
static inline unsigned bucket_match(const struct flow_bucket *b, uint16_t s)
{
#if defined(__SSE2__) && !defined(FLOW_PORTABLE)
	__m128i v = _mm_load_si128((const __m128i *)b->signature);
	__m128i eq = _mm_cmpeq_epi16(v, _mm_set1_epi16((short)s));
	unsigned m = (unsigned)_mm_movemask_epi8(_mm_packs_epi16(eq, _mm_setzero_si128()));

	return m | (unsigned)(b->signature[8] == s) << 8 | (unsigned)(b->signature[9] == s) << 9;
#else
	unsigned m = 0;

	for (unsigned i = 0; i < FLOW_BUCKET_SLOTS; i++)
		m |= (unsigned)(b->signature[i] == s) << i;
	return m;
#endif
}

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

struct flow_table *flow_table_new(
	const struct flow_config *config, unsigned worker, struct ring *records)
{
	struct flow_table *t = calloc(1, sizeof(*t));
	size_t n = (size_t)config->capacity + 1;

	if (t == NULL)
		return NULL;
	t->config = *config;
	t->capacity = config->capacity;
	t->worker = worker;
	t->records = records;
	t->fresh = 1;
	t->tunnel_fresh = 1;
	t->bucket_count = (uint32_t)((uint64_t)config->capacity * 100 / 62 / FLOW_BUCKET_SLOTS + 1);
	t->bucket = map(t->bucket_count * sizeof(*t->bucket));
	t->hot = map(n * sizeof(*t->hot));
	t->stats = map(n * 2 * sizeof(*t->stats));
	t->cold = map(n * sizeof(*t->cold));
	t->link = map(links(t) * sizeof(*t->link));
	t->tunnel = map(FLOW_TUNNELS * sizeof(*t->tunnel));
	t->tunnel_bucket = map(FLOW_TUNNEL_BUCKETS * sizeof(*t->tunnel_bucket));
	if (t->bucket == NULL || t->hot == NULL || t->stats == NULL || t->cold == NULL ||
		t->link == NULL || t->tunnel == NULL || t->tunnel_bucket == NULL) {
		flow_table_free(t);
		return NULL;
	}
	return t;
}

void flow_table_free(struct flow_table *t)
{
	size_t n;

	if (t == NULL)
		return;
	n = (size_t)t->capacity + 1;
	unmap(t->bucket, t->bucket_count * sizeof(*t->bucket));
	unmap(t->hot, n * sizeof(*t->hot));
	unmap(t->stats, n * 2 * sizeof(*t->stats));
	unmap(t->cold, n * sizeof(*t->cold));
	unmap(t->link, links(t) * sizeof(*t->link));
	unmap(t->tunnel, FLOW_TUNNELS * sizeof(*t->tunnel));
	unmap(t->tunnel_bucket, FLOW_TUNNEL_BUCKETS * sizeof(*t->tunnel_bucket));
	free(t);
}

void flow_table_listen(struct flow_table *t, const struct flow_listener *listener)
{
	t->listener = *listener;
}

void flow_table_get(const struct flow_table *t, uint32_t index, struct flow_record *ret)
{
	flow_snapshot(t, index, ret);
}

uint64_t flow_table_id(const struct flow_table *t, uint32_t index)
{
	return t->cold[index].flow_id;
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
	size_t n = (size_t)t->capacity + 1;

	return t->bucket_count * sizeof(*t->bucket) +
	       n * (sizeof(*t->hot) + 2 * sizeof(*t->stats) + sizeof(*t->cold)) +
	       links(t) * sizeof(*t->link) + FLOW_TUNNELS * sizeof(*t->tunnel) +
	       FLOW_TUNNEL_BUCKETS * sizeof(*t->tunnel_bucket) + sizeof(*t);
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

// --- Finding and adding ---

static inline bool is_match(const struct flow_table *t, uint32_t index, const struct flow_ref *r)
{
	const struct flow_hot *h = &t->hot[index];

	if (((h->word[0] ^ r->word[0]) | (h->word[1] ^ r->word[1])) != 0)
		return false;
	return !flow_is_extended(r->word[0]) ||
	       flow_key_equal_extended(&t->config, &t->cold[index], r->packet, r->layer);
}

static uint32_t find_in(const struct flow_table *t, uint32_t bucket, const struct flow_ref *r)
{
	const struct flow_bucket *b = &t->bucket[bucket];

	for (unsigned m = bucket_match(b, r->signature); m != 0; m &= m - 1) {
		uint32_t i = b->index[__builtin_ctz(m)];

		if (is_match(t, i, r))
			return i;
	}
	return 0;
}

static uint32_t find(const struct flow_table *t, const struct flow_ref *r)
{
	uint32_t i = find_in(t, r->bucket, r);

	return i != 0 ? i : find_in(t, bucket_second(t, r->layer->hash), r);
}

static bool claim_slot(struct flow_table *t, uint32_t bucket, uint32_t index, uint16_t signature)
{
	struct flow_bucket *b = &t->bucket[bucket];
	unsigned m = bucket_match(b, 0), slot;

	if (m == 0)
		return false;
	slot = (unsigned)__builtin_ctz(m);
	b->signature[slot] = signature;
	b->index[slot] = index;
	t->cold[index].slot = bucket * FLOW_BUCKET_SLOTS + slot;
	return true;
}

// Makes room by putting one note of two full buckets into the other bucket it may be in.
static bool relocate(struct flow_table *t, const uint32_t bucket[2])
{
	for (unsigned k = 0; k < 2 * FLOW_BUCKET_SLOTS; k++) {
		uint32_t from = bucket[k / FLOW_BUCKET_SLOTS], to;
		unsigned slot = k % FLOW_BUCKET_SLOTS;
		struct flow_bucket *b = &t->bucket[from];
		uint64_t hash = flow_key_rehash(t->hot[b->index[slot]].word);

		to = bucket_first(t, hash);
		if (to == from)
			to = bucket_second(t, hash);
		if (to != from && claim_slot(t, to, b->index[slot], b->signature[slot])) {
			b->signature[slot] = 0;
			return true;
		}
	}
	return false;
}

static uint32_t take_index(struct flow_table *t)
{
	uint32_t i = t->free;

	if (i != 0)
		t->free = t->link[i].next;
	else if (t->fresh <= t->capacity)
		i = t->fresh++;
	return i;
}

static void give_index(struct flow_table *t, uint32_t i)
{
	t->link[i].next = t->free;
	t->free = i;
}

void flow_release(struct flow_table *t, uint32_t index)
{
	struct flow_hot *h = &t->hot[index];
	struct flow_capture_state *c = &t->capture[flow_capture_of(h)];
	uint32_t slot = t->cold[index].slot;

	t->bucket[slot / FLOW_BUCKET_SLOTS].signature[slot % FLOW_BUCKET_SLOTS] = 0;
	flow_wheel_remove(t, index);
	flow_tunnel_put(t, t->cold[index].tunnel);
	h->word[0] = 0;
	give_index(t, index);
	t->active--;
	c->active--;
	counter_set(c->counters, COUNTER_flows_active, c->active);
}

// The flow in a bucket that has been silent the longest, or oldest.
static uint32_t older(const struct flow_table *t, uint32_t bucket, uint32_t oldest)
{
	const struct flow_bucket *b = &t->bucket[bucket];

	for (unsigned i = 0; i < FLOW_BUCKET_SLOTS; i++)
		if (b->signature[i] != 0 && (oldest == 0 || t->hot[b->index[i]].last_now_ns <
								    t->hot[oldest].last_now_ns))
			oldest = b->index[i];
	return oldest;
}

static bool evict(struct flow_table *t, const uint32_t bucket[2], const struct flow_ref *r)
{
	uint32_t i = older(t, bucket[1], older(t, bucket[0], 0));

	// Both empty, in a full table: some neighbour is not.
	for (unsigned k = 1; i == 0 && k < FLOW_EVICT_REACH; k++)
		i = older(t, (bucket[0] + k) % t->bucket_count, 0);
	if (i == 0)
		return false;
	// Another capture has a clock of its own.
	if (flow_capture_of(&t->hot[i]) != r->packet->capture ||
		!flow_resolve(t, i, r->packet->now_ns, false))
		flow_finish(t, i, FLOW_END_EVICTED);
	return true;
}

static uint32_t add(struct flow_table *t, const struct flow_ref *r)
{
	const uint32_t bucket[2] = {r->bucket, bucket_second(t, r->layer->hash)};
	uint32_t i = take_index(t);

	if (i == 0) {
		flow_expire(t, r->packet->capture, r->packet->now_ns, 64);
		i = take_index(t);
	}
	if (i == 0) {
		if (!evict(t, bucket, r))
			return 0;
		i = take_index(t);
	}
	if (claim_slot(t, bucket[0], i, r->signature) || claim_slot(t, bucket[1], i, r->signature))
		return i;
	if ((relocate(t, bucket) || evict(t, bucket, r)) &&
		(claim_slot(t, bucket[0], i, r->signature) ||
			claim_slot(t, bucket[1], i, r->signature)))
		return i;
	give_index(t, i);
	return 0;
}

// Returns the new flow's index, 0 where no entry could be had.
static uint32_t create(struct flow_table *t, const struct flow_ref *r)
{
	struct flow_capture_state *c = &t->capture[r->packet->capture];
	uint32_t i;

	assert(c->in_use);
	i = add(t, r);
	if (i == 0) {
		counter_add(c->counters, COUNTER_flow_memcap, 1);
		return 0;
	}
	t->active++;
	c->active++;
	counter_add(c->counters, COUNTER_flows_created, 1);
	counter_set(c->counters, COUNTER_flows_active, c->active);
	flow_create(t, i, r);
	flow_part_begin(t, i, r->packet->now_ns);
	flow_wheel_insert(t, i, r->packet->now_ns);
	flow_update(t, i, r);
	return i;
}

// A flow that has the packet's key: it may be over, by time or by a new connection. Returns the index
// of the flow that got the packet, as create() does.
static uint32_t existing(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct flow_hot *h = &t->hot[i];
	uint64_t now = r->packet->now_ns;

	if (__builtin_expect(now >= h->last_now_ns + flow_timeout(t, h) ||
				     (t->config.active_ns != 0 &&
					     (int32_t)((uint32_t)(now >> 24) - h->part_q) >= 0),
		    0) &&
		flow_resolve(t, i, now, true))
		return create(t, r);
	if (__builtin_expect(flow_is_reused(t, i, r), 0)) {
		flow_finish(t, i, FLOW_END_REUSE);
		return create(t, r);
	}
	flow_update(t, i, r);
	return i;
}

static inline bool is_segment(const struct flow_table *t, const struct flow_ref *r)
{
	return t->listener.segment != NULL && r->layer->proto == 6 &&
	       (r->layer->flags & LAYER_L4) != 0;
}

// --- A burst ---

static unsigned collect(struct flow_table *t, struct packet *const *pkts, unsigned n, unsigned *at,
	unsigned *layer, struct flow_ref *refs)
{
	unsigned count = 0;

	for (; *at < n; (*at)++, *layer = 0) {
		struct packet *p = pkts[*at];

		for (; *layer < p->layer_count; (*layer)++) {
			const struct ip_layer *l = &p->layer[*layer];
			struct flow_ref *r = &refs[count];

			if (l->owner != t->worker)
				continue;
			if (count == PACKET_BURST)
				return count;
			r->packet = p;
			r->layer = l;
			r->layer_number = (uint8_t)*layer;
			r->direction = l->swapped;
			r->signature = signature_of(l->hash);
			r->bucket = bucket_first(t, l->hash);
			__builtin_prefetch(&t->bucket[r->bucket]);
			flow_key_words(&t->config, p, l, r->word);
			count++;
		}
	}
	return count;
}

static void burst(struct flow_table *t, struct flow_ref *refs, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		struct flow_ref *r = &refs[k];
		unsigned m = bucket_match(&t->bucket[r->bucket], r->signature);
		uint32_t i = m != 0 ? t->bucket[r->bucket].index[__builtin_ctz(m)] : 0;

		r->index = i;
		if (i == 0)
			continue;
		__builtin_prefetch(&t->hot[i], 1);
		__builtin_prefetch(&t->stats[2 * i + r->direction], 1);
		if (flow_is_extended(r->word[0]))
			__builtin_prefetch(&t->cold[i]);
		if (is_segment(t, r))
			t->listener.soon(t->listener.ctx, i);
	}
	for (unsigned k = 0; k < n; k++) {
		struct flow_ref *r = &refs[k];
		uint32_t i = r->index;

		// Earlier packets of the burst may have added or ended the flow: the key decides.
		if (__builtin_expect(i == 0 || !is_match(t, i, r), 0))
			i = find(t, r);
		i = __builtin_expect(i == 0, 0) ? create(t, r) : existing(t, i, r);
		if (is_segment(t, r))
			t->listener.segment(t->listener.ctx, i, r->packet, r->layer);
	}
}

void flow_burst(struct flow_table *t, struct packet *const *pkts, unsigned n)
{
	struct flow_ref refs[PACKET_BURST];
	unsigned at = 0, layer = 0, count;

	while ((count = collect(t, pkts, n, &at, &layer, refs)) > 0)
		burst(t, refs, count);
}
