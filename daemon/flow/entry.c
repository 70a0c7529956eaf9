// SPDX-License-Identifier: Apache-2.0
// Entries: finding, adding and releasing flows. Where both buckets of a flow are full, notes are put into
// their other bucket; where the table is full, the flow in reach that has been silent the longest ends.
// What the notes point to never moves. A bucket counts the flows that are noted in their second because
// of it: where there are none, nobody has to look there.
#include "bucket.h"
#include "prefetch.h"

// --- Finding ---

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

uint32_t flow_find(const struct flow_table *t, const struct flow_ref *r)
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

uint32_t flow_add(struct flow_table *t, const struct flow_ref *r)
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
