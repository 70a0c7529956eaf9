// SPDX-License-Identifier: Apache-2.0
// Hashes: a seeded, non-linear one for tables (an attacker who cannot see the seed cannot steer it)
// and an unseeded one for identities that must be the same in every run (flow_id).
// Both fold 64x64 to 128 bit multiplications, as wyhash does.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hash_seed {
	uint64_t s[4]; // odd numbers
};

extern struct hash_seed hash_seed;        // random, set once by hash_seed_init before any thread
extern const struct hash_seed hash_fixed; // the same in every run

void hash_seed_init(void);

static inline uint64_t hash_mum(uint64_t a, uint64_t b)
{
	__uint128_t r = (__uint128_t)a * b;

	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

static inline uint64_t hash_2(const struct hash_seed *k, uint64_t a, uint64_t b)
{
	return hash_mum(hash_mum(a ^ k->s[0], b ^ k->s[1]) ^ k->s[2], k->s[0]);
}

// Mixes two more words into h, an earlier result.
static inline uint64_t hash_more(const struct hash_seed *k, uint64_t h, uint64_t a, uint64_t b)
{
	return hash_mum(hash_mum(a ^ h, b ^ k->s[3]) ^ k->s[2], k->s[1] ^ h);
}

uint64_t hash_bytes(const struct hash_seed *k, const void *data, size_t size);
