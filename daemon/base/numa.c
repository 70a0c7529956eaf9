// SPDX-License-Identifier: Apache-2.0
// Pages on a NUMA node, by mbind(2) without libnuma. Where the kernel knows no nodes, or refuses, they
// are ordinary pages.
#include "numa.h"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NODES_MAX = 64 };

void *numa_alloc(size_t bytes, int node)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	if (node >= 0 && node < NODES_MAX) {
		unsigned long nodes = 1UL << node;

		syscall(SYS_mbind, p, bytes, MPOL_PREFERRED, &nodes, NODES_MAX + 1UL, 0U);
	}
	return p;
}

void numa_free(void *p, size_t bytes)
{
	if (p != NULL)
		munmap(p, bytes);
}
