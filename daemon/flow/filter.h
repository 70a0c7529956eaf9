// SPDX-License-Identifier: Apache-2.0
// A compiled record filter: tests and connectives in postfix order, run over a stack of bits.
#pragma once

#include <stdint.h>

#include "flow.h"

enum {
	FILTER_TEXT_MAX = 4096,
	FILTER_OPS_MAX = 512,
	FILTER_DEPTH_MAX = 60, // of parentheses, and bits of the stack
};

enum filter_op_kind {
	FILTER_AND,
	FILTER_OR,
	FILTER_NOT,
	FILTER_VERSION, // low: 4 or 6
	FILTER_PROTO,   // low: number
	FILTER_NET,     // address, bits, version
	FILTER_PORT,    // low to high
	FILTER_VLAN,    // low: id, UINT32_MAX any
};

enum filter_direction { FILTER_EITHER, FILTER_SRC, FILTER_DST, FILTER_BOTH };

struct filter_op {
	uint8_t kind;
	uint8_t direction;
	uint8_t version;
	uint8_t proto; // FILTER_PORT: of a service that only one has, else 0
	uint32_t low, high;
	uint8_t address[16];
	uint8_t mask[16];
};

struct flow_filter {
	unsigned count;
	struct filter_op op[FILTER_OPS_MAX];
};
