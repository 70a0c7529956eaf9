// SPDX-License-Identifier: Apache-2.0
// Starting EAL. A failed memory initialisation cannot be tried again in the same process, so the free
// hugepages are counted first. EAL's own log goes through ours, or the journal would show it twice.
#include "eal.h"

#include <ctype.h>
#include <errno.h>
#include <glob.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>

#include "log.h"

enum { EAL_ARGS_MAX = 64, EAL_CPUS_MAX = CPU_SETSIZE };

static bool eal_huge;

// Free hugepages of all sizes, in MiB.
static unsigned long free_hugepages_mib(void)
{
	unsigned long sum = 0;
	glob_t g;

	if (glob("/sys/kernel/mm/hugepages/hugepages-*kB", 0, NULL, &g) != 0)
		return 0;
	for (size_t i = 0; i < g.gl_pathc; i++) {
		const char *dash = strrchr(g.gl_pathv[i], '-');
		unsigned long kb = strtoul(dash + 1, NULL, 10), pages = 0;
		char path[300];
		FILE *f;

		snprintf(path, sizeof(path), "%s/free_hugepages", g.gl_pathv[i]);
		f = fopen(path, "r");
		if (f == NULL)
			continue;
		if (fscanf(f, "%lu", &pages) == 1)
			sum += pages * kb / 1024;
		fclose(f);
	}
	globfree(&g);
	return sum;
}

// Each once, in the order given.
static int add_cpu(int *cpus, int n, int cpu)
{
	for (int i = 0; i < n; i++)
		if (cpus[i] == cpu)
			return n;
	cpus[n] = cpu;
	return n + 1;
}

// cpus: room for EAL_CPUS_MAX.
static int parse_cpus(const char *text, cpu_set_t *allowed, int *cpus, char *error, size_t size)
{
	int n = 0;

	while (text != NULL && *text != '\0') {
		char *end;
		long from = strtol(text, &end, 10), to = from;

		if (end != text && *end == '-' && isdigit((unsigned char)end[1]))
			to = strtol(end + 1, &end, 10);
		if (!isdigit((unsigned char)*text) || from < 0 || to < from || to >= CPU_SETSIZE ||
			(*end != '\0' && *end != ',')) {
			snprintf(error, size, "cpus: '%s' is not a list like 0,2-3", text);
			return -EINVAL;
		}
		for (long c = from; c <= to; c++) {
			if (!CPU_ISSET(c, allowed)) {
				snprintf(error, size, "cpus: this process may not run on CPU %ld",
					c);
				return -EINVAL;
			}
			n = add_cpu(cpus, n, (int)c);
		}
		text = *end == ',' ? end + 1 : end;
	}
	if (n > 0)
		return n;
	// Highest first: the lowest CPUs have the interrupts and everybody else's work.
	for (int c = CPU_SETSIZE - 1; c >= 0; c--)
		if (CPU_ISSET(c, allowed))
			cpus[n++] = c;
	return n;
}

static int lcores_text(
	const struct eal_config *config, char *text, size_t text_size, char *error, size_t size)
{
	int *cpus = calloc(EAL_CPUS_MAX, sizeof(*cpus));
	cpu_set_t allowed;
	size_t at;
	int n;

	if (cpus == NULL)
		return -ENOMEM;
	CPU_ZERO(&allowed);
	if (sched_getaffinity(0, sizeof(allowed), &allowed) < 0)
		CPU_SET(0, &allowed);
	n = parse_cpus(config->cpus, &allowed, cpus, error, size);
	if (n < 0) {
		free(cpus);
		return n;
	}
	// The main lcore may run on any of them.
	at = (size_t)snprintf(text, text_size, "0@(");
	for (int i = 0; i < n && at < text_size; i++)
		at += (size_t)snprintf(
			text + at, text_size - at, "%s%d", i > 0 ? "," : "", cpus[i]);
	at += (size_t)snprintf(text + at, text_size - at, ")");
	for (unsigned w = 0; w < config->workers && at < text_size; w++)
		at += (size_t)snprintf(
			text + at, text_size - at, ",%u@%d", w + 1, cpus[w % (unsigned)n]);
	free(cpus);
	return 0;
}

int eal_start(const struct eal_config *config, char *error, size_t size)
{
	static char lcores[8192], memory[16];
	char *argv[EAL_ARGS_MAX];
	unsigned long free_mib = free_hugepages_mib();
	int argc = 0, r;
	FILE *stream = log_stream("EAL: ");

	r = lcores_text(config, lcores, sizeof(lcores), error, size);
	if (r < 0)
		return r;
	if (stream != NULL)
		rte_openlog_stream(stream);
	rte_log_set_global_level(
		log_get_level() >= LOG_LEVEL_DEBUG ? RTE_LOG_INFO : RTE_LOG_WARNING);
	eal_huge = !config->no_huge && free_mib >= config->memory_mib;
	if (!eal_huge && !config->no_huge)
		log_notice(
			"%lu MiB of hugepages are free, %u MiB are wanted: going on with ordinary "
			"memory (slower with NICs; see vm.nr_hugepages)",
			free_mib, config->memory_mib);
	argv[argc++] = (char *)(uintptr_t) "pktaid";
	argv[argc++] = (char *)(uintptr_t) "--no-telemetry";
	argv[argc++] = (char *)(uintptr_t) "--lcores";
	argv[argc++] = lcores;
	if (eal_huge) {
		argv[argc++] = (char *)(uintptr_t) "--in-memory";
	} else {
		snprintf(memory, sizeof(memory), "%u", config->memory_mib);
		argv[argc++] = (char *)(uintptr_t) "--no-huge";
		argv[argc++] = (char *)(uintptr_t) "--no-shconf";
		argv[argc++] = (char *)(uintptr_t) "-m";
		argv[argc++] = memory;
	}
	if (config->pci) {
		// Nothing is probed at start: devices come by name.
		argv[argc++] = (char *)(uintptr_t) "-a";
		argv[argc++] = (char *)(uintptr_t) "ffff:ff:1f.7";
	} else {
		argv[argc++] = (char *)(uintptr_t) "--no-pci";
	}
	if (config->argc >= EAL_ARGS_MAX - argc) {
		snprintf(error, size, "%d EAL arguments, at most %d are accepted", config->argc,
			EAL_ARGS_MAX - argc - 1);
		return -E2BIG;
	}
	for (int i = 0; i < config->argc; i++)
		argv[argc++] = config->argv[i];
	argv[argc] = NULL;
	r = rte_eal_init(argc, argv);
	if (r < 0) {
		snprintf(error, size,
			"DPDK did not start: %s (run with --log-level debug to see why)",
			rte_errno != 0 ? rte_strerror(rte_errno) : "no reason given");
		return -EIO;
	}
	return 0;
}

void eal_stop(void)
{
	rte_eal_cleanup();
}

bool eal_has_hugepages(void)
{
	return eal_huge;
}
