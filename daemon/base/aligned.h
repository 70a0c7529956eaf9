// SPDX-License-Identifier: Apache-2.0
// Memory for types that are aligned to cache lines, and for all that have one in them: calloc promises 16
// bytes only, and a compiler may count on more (with AVX-512 it does).
#pragma once

#include <stdlib.h>
#include <string.h>

// Zeroed; freed with free(). Returns NULL without memory.
static inline void *aligned_zalloc(size_t bytes)
{
	size_t whole = (bytes + 63) & ~(size_t)63;
	void *p = aligned_alloc(64, whole);

	return p != NULL ? memset(p, 0, whole) : NULL;
}
