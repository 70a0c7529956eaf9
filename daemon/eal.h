// SPDX-License-Identifier: Apache-2.0
// DPDK's environment abstraction layer, started once with what this machine offers: hugepages where
// there are enough, ordinary memory where not.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct eal_config {
	unsigned workers;
	const char *cpus; // "0,2-3", or NULL for all that the process may use
	unsigned memory_mib;
	bool no_huge;
	bool pci; // scan the PCI bus (a pci: source is configured, or may come)
	int argc; // more EAL arguments
	char **argv;
};

// Starts EAL with one main lcore (which floats over all CPUs) and a lcore for each worker, several
// on one CPU where there are too few. Returns 0 or a negative errno with a message.
int eal_start(const struct eal_config *, char *error, size_t size);
void eal_stop(void);
bool eal_has_hugepages(void); // whether the memory is in hugepages
