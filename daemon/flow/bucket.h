// SPDX-License-Identifier: Apache-2.0
// Buckets: where a flow may be noted, and which notes a packet's hash meets. A flow is in one of two
// buckets, the first one preferred. Signatures are compared eight at a time with SSE2, or one by one.
// Inside flow/ only.
#pragma once

#include "flow_internal.h"
#include "hash.h"

#if defined(__SSE2__) && !defined(FLOW_PORTABLE)
#include <emmintrin.h>
#endif

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

// Whether the flow is the packet's: the whole key.
static inline bool is_match(const struct flow_table *t, uint32_t index, const struct flow_ref *r)
{
	const struct flow_hot *h = &t->hot[index];

	if (((h->word[0] ^ r->layer->key[0]) | (h->word[1] ^ r->layer->key[1])) != 0)
		return false;
	return !flow_is_extended(r->layer->key[0]) ||
	       flow_key_equal_extended(t, index, r->packet, r->layer);
}
