// SPDX-License-Identifier: Apache-2.0
// Asks for a cache line ahead of its use. Not __builtin_prefetch alone: GCC takes a function that does
// nothing else for one without effects, and drops the calls to it.
#pragma once

static inline void prefetch(const void *p)
{
	__builtin_prefetch(p);
	__asm__ volatile("");
}
