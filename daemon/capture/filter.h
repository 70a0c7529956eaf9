// SPDX-License-Identifier: Apache-2.0
// Classic BPF as machine code.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct bpf_program;

typedef uint32_t (*filter_function)(const uint8_t *data, uint32_t caplen, uint32_t wirelen);

struct filter_code {
	filter_function run; // NULL: there is none
	void *pages;
	size_t bytes;
};

// Translates a program. Returns 0, or -ENOTSUP: another processor, a program with a loop (protochain),
// or a process that may not make code (MemoryDenyWriteExecute); then libpcap's interpreter is to run it.
int filter_code_init(struct filter_code *, const struct bpf_program *);
void filter_code_fini(struct filter_code *);
