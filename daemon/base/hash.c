// SPDX-License-Identifier: Apache-2.0
// The seeds, and hashing of byte strings (names, packages; not on the packet path).
#include "hash.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

struct hash_seed hash_seed = {
	{0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x589965cc75374cc3}};
const struct hash_seed hash_fixed = {
	{0xa0761d6478bd642f, 0xe7037ed1a0b428db, 0x8ebc6af09c88c6e3, 0x589965cc75374cc3}};

void hash_seed_init(void)
{
	uint64_t s[4];

	if (getrandom(s, sizeof(s), 0) != sizeof(s)) {
		struct timespec t;

		clock_gettime(CLOCK_MONOTONIC, &t);
		for (unsigned i = 0; i < 4; i++)
			s[i] = hash_mum((uint64_t)t.tv_nsec + i, hash_fixed.s[i]);
	}
	for (unsigned i = 0; i < 4; i++)
		hash_seed.s[i] = s[i] | 1;
}

uint64_t hash_bytes(const struct hash_seed *k, const void *data, size_t size)
{
	const uint8_t *p = data;
	uint64_t w[2], h = hash_2(k, size, 0);

	while (size > 0) {
		size_t n = size < 16 ? size : 16;

		w[0] = w[1] = 0;
		memcpy(w, p, n);
		h = hash_more(k, h, w[0], w[1]);
		p += n;
		size -= n;
	}
	return h;
}
