// SPDX-License-Identifier: Apache-2.0
// Memory near a processor: on machines with several NUMA nodes what a worker touches all the time should
// lie on its own. Large tables need none of this: their pages come from the node of the thread that
// touches them first, which is the worker, bound to its processor. This is for what control fills in
// before the worker starts.
#pragma once

#include <stddef.h>

// Zeroed memory in whole pages, on the node where it has room (a wish, not a condition); node -1: anywhere.
// Returns NULL without memory. Thread: any.
void *numa_alloc(size_t bytes, int node);
void numa_free(void *, size_t bytes); // accepts NULL
