// SPDX-License-Identifier: Apache-2.0
// The table: buckets, finding, adding and releasing flows, and the way of a burst through them.
//
// A burst goes in steps so that memory is asked for before it is needed: buckets, then the hot lines of
// the flows that their signatures point to, then, for packets that will not find room in their flow's
// log, the lines of its figures, then keys and updates. A flow may be noted in either of two buckets,
// the first one preferred; where both are full, notes are put into their other bucket. What the notes
// point to never moves. Signatures are compared eight at a time with SSE2, or one by one.
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "flow_internal.h"
#include "prefetch.h"
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

// --- Finding and adding ---

static inline bool is_match(const struct flow_table *t, uint32_t index, const struct flow_ref *r)
{
	const struct flow_hot *h = &t->hot[index];

	if (((h->word[0] ^ r->layer->key[0]) | (h->word[1] ^ r->layer->key[1])) != 0)
		return false;
	return !flow_is_extended(r->layer->key[0]) ||
	       flow_key_equal_extended(t, index, r->packet, r->layer);
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

	if (i != 0 || t->bucket[r->bucket].elsewhere == 0)
		return i;
	return find_in(t, bucket_second(t, r->layer->hash), r);
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
		uint32_t first = bucket_first(t, hash);

		to = first != from ? first : bucket_second(t, hash);
		if (to != from && claim_slot(t, to, b->index[slot], b->signature[slot])) {
			b->signature[slot] = 0;
			t->bucket[first].elsewhere += to != first ? 1 : -1;
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

// Takes a flow's note out of a bucket. Returns false where it is not there.
static bool clear_slot(struct flow_table *t, uint32_t bucket, uint32_t index, uint16_t signature)
{
	struct flow_bucket *b = &t->bucket[bucket];

	for (unsigned m = bucket_match(b, signature); m != 0; m &= m - 1) {
		unsigned slot = (unsigned)__builtin_ctz(m);

		if (b->index[slot] == index) {
			b->signature[slot] = 0;
			return true;
		}
	}
	return false;
}

void flow_prefetch_bucket(const struct flow_table *t, uint32_t index)
{
	prefetch(&t->bucket[bucket_first(t, flow_key_rehash(t->hot[index].word))]);
}

void flow_release(struct flow_table *t, uint32_t index)
{
	struct flow_hot *h = &t->hot[index];
	struct flow_capture_state *c = &t->capture[flow_capture_of(h)];
	uint64_t hash = flow_key_rehash(h->word);
	uint16_t signature = signature_of(hash);
	uint32_t first = bucket_first(t, hash);

	if (!clear_slot(t, first, index, signature) &&
		clear_slot(t, bucket_second(t, hash), index, signature))
		t->bucket[first].elsewhere--;
	flow_wheel_remove(t, index);
	flow_tunnel_put(t, t->cold[index].tunnel);
	h->word[0] = 0;
	t->volume[index] = 0;
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

// A flood fills the table and then evicts with every packet: memory is asked for all at once.
static void prefetch_candidates(const struct flow_table *t, uint32_t bucket)
{
	const struct flow_bucket *b = &t->bucket[bucket];

	for (unsigned i = 0; i < FLOW_BUCKET_SLOTS; i++)
		if (b->signature[i] != 0)
			prefetch(&t->hot[b->index[i]]);
}

static void prefetch_record(const struct flow_table *t, uint32_t i)
{
	prefetch(&t->turn[i]);
	prefetch(&t->stats[2 * i]);
	prefetch(&t->stats[2 * i + 1]);
	prefetch(&t->splt_first[i]);
	prefetch(&t->cold[i]);
	prefetch(&t->ends[i]);
	prefetch(&t->link[t->link[i].prev]);
	prefetch(&t->link[t->link[i].next]);
}

static bool evict(struct flow_table *t, const uint32_t bucket[2], const struct flow_ref *r)
{
	uint32_t i;

	prefetch_candidates(t, bucket[0]);
	prefetch_candidates(t, bucket[1]);
	i = older(t, bucket[1], older(t, bucket[0], 0));
	// Both empty, in a full table: some neighbour is not.
	for (unsigned k = 1; i == 0 && k < FLOW_EVICT_REACH; k++)
		i = older(t, (bucket[0] + k) % t->bucket_count, 0);
	if (i == 0)
		return false;
	prefetch_record(t, i);
	// Another capture has a clock of its own.
	if (flow_capture_of(&t->hot[i]) != r->packet->capture ||
		!flow_resolve(t, i, r->packet->now_ns, false))
		flow_finish(t, i, FLOW_END_EVICTED);
	return true;
}

static bool claim_either(
	struct flow_table *t, const uint32_t bucket[2], uint32_t index, uint16_t signature)
{
	if (claim_slot(t, bucket[0], index, signature))
		return true;
	if (!claim_slot(t, bucket[1], index, signature))
		return false;
	t->bucket[bucket[0]].elsewhere++;
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
	if (claim_either(t, bucket, i, r->signature))
		return i;
	if ((relocate(t, bucket) || evict(t, bucket, r)) &&
		claim_either(t, bucket, i, r->signature))
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

// The usual packet of a flow in the middle of its life: nothing of the flow changes but its figures,
// and they can wait.
static inline bool is_usual(
	const struct flow_table *t, const struct flow_hot *h, const struct flow_ref *r)
{
	uint64_t now = r->now_ns;

	return r->is_plain && now - h->last_now_ns <= t->log_dt_most_ns &&
	       (h->bits & FLOW_LOGS << r->direction) && h->ttl[r->direction] == r->ttl &&
	       (int32_t)((uint32_t)(now >> 24) - h->part_q) < 0;
}

static inline void log_packet(struct flow_hot *h, const struct flow_ref *r)
{
	uint64_t now = r->now_ns;
	unsigned k = h->log_count;

	h->log_dt[k] = (uint32_t)(now - h->last_now_ns);
	h->log_size[k] = r->size;
	h->log_window[k] = r->window;
	h->log_header[k] = r->header;
	h->log_flags[k] = r->flags;
	h->log_count = (uint8_t)(k + 1);
	h->last_now_ns = now;
	h->bits |= r->bits;
}

// --- A burst ---

// What the log takes of a packet, while its descriptor is at hand.
static inline void describe(struct flow_ref *r, const struct packet *p, const struct ip_layer *l)
{
	bool has_l4 = l->flags & LAYER_L4, is_tcp = has_l4 && l->proto == 6;
	uint32_t payload = has_l4 ? l->payload_len : 0, header = p->wirelen - payload;
	uint8_t tcp_flags = is_tcp ? l->tcp.flags : 0;

	r->now_ns = p->now_ns;
	r->size = (uint16_t)p->wirelen;
	r->window = is_tcp ? l->tcp.window : 0;
	r->header = (uint8_t)header;
	r->flags = (uint8_t)(tcp_flags | r->direction | (payload == 0 ? FLOW_LOG_EMPTY : 0) |
			     (is_tcp ? FLOW_LOG_TCP : 0));
	r->ttl = l->ttl;
	r->bits = p->flags & PACKET_TRUNCATED ? FLOW_TRUNCATED : 0;
	r->is_plain = p->ts_ns == p->now_ns && p->wirelen < UINT16_MAX &&
	              !(tcp_flags & FLOW_LOG_TAKEN) && (payload == 0 || header <= UINT8_MAX);
}

static unsigned collect(struct flow_table *t, struct packet *const *pkts, unsigned n, unsigned *at,
	unsigned *layer, struct flow_ref *refs)
{
	uint32_t largest = t->size_largest;
	unsigned count = 0;

	for (; *at < n; (*at)++, *layer = 0) {
		struct packet *p = pkts[*at];

		for (; *layer < p->layer_count; (*layer)++) {
			const struct ip_layer *l = &p->layer[*layer];
			struct flow_ref *r = &refs[count];

			if (l->owner != t->worker)
				continue;
			if (count == PACKET_BURST)
				goto full;
			r->packet = p;
			r->layer = l;
			r->layer_number = (uint8_t)*layer;
			r->direction = l->swapped;
			r->signature = signature_of(l->hash);
			r->bucket = bucket_first(t, l->hash);
			prefetch(&t->bucket[r->bucket]);
			describe(r, p, l);
			count++;
		}
		largest = p->wirelen > largest ? p->wirelen : largest;
	}
full:
	t->size_largest = largest;
	return count;
}

// The lines of a flow's figures, where the packet will be taken to them. Only a guess: earlier packets
// of the burst may fill the log or empty it.
static inline void prefetch_figures(const struct flow_table *t, const struct flow_ref *r)
{
	uint32_t i = r->index;
	const struct flow_hot *h = &t->hot[i];

	if (h->log_count < FLOW_LOG_PKTS && (h->bits & FLOW_LOGS << r->direction) && r->is_plain)
		return;
	prefetch(&t->turn[i]);
	prefetch(&t->stats[2 * i]);
	prefetch(&t->stats[2 * i + 1]);
	if (!(h->bits & FLOW_LOGS << r->direction))
		prefetch(&t->cold[i]);
	if (!(h->bits & FLOW_SPLT_FULL)) {
		prefetch(&t->splt_first[i]);
		prefetch(&t->splt_second[i]);
	}
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
		prefetch(&t->hot[i]);
		if (flow_is_extended(r->layer->key[0]))
			prefetch(&t->ends[i]);
		if (is_segment(t, r))
			t->listener.early(t->listener.ctx, i);
	}
	for (unsigned k = 0; k < n; k++) {
		if (refs[k].index == 0)
			continue;
		prefetch_figures(t, &refs[k]);
		if (is_segment(t, &refs[k]))
			t->listener.soon(t->listener.ctx, refs[k].index);
	}
	for (unsigned k = 0; k < n; k++) {
		struct flow_ref *r = &refs[k];
		uint32_t i = r->index;

		// Earlier packets of the burst may have added or ended the flow: the key decides.
		if (__builtin_expect(i == 0 || !is_match(t, i, r), 0))
			i = find(t, r);
		if (__builtin_expect(i == 0, 0))
			i = create(t, r);
		else if (__builtin_expect(!is_usual(t, &t->hot[i], r), 0))
			i = existing(t, i, r);
		else if (t->hot[i].log_count < FLOW_LOG_PKTS)
			log_packet(&t->hot[i], r);
		else
			flow_log_over(t, i, r);
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
