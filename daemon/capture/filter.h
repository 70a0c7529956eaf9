// SPDX-License-Identifier: Apache-2.0
// The filter's own parts.
#pragma once

#include <stdbool.h>

#include "capture_internal.h"

struct bpf_insn;
struct bpf_program;
struct rte_bpf;

// Whether a program, whatever the packet's bytes, addresses no more than FILTER_OFFSET_MAX and shifts
// by less than 32. rte_bpf adds offset and length in 32 bits and would read far outside the packet
// where that overflows, and x86 shifts by the count's low five bits: such programs must not go there.
enum { FILTER_OFFSET_MAX = 0x3fffffff };
bool filter_is_bounded(const struct bpf_insn *, unsigned count);

// Returns rte_bpf's program and, where there is machine code, that; or NULL when it must not or cannot
// be had.
struct rte_bpf *filter_translate(const struct bpf_program *, uint64_t (**ret_jit)(void *));
