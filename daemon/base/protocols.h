// SPDX-License-Identifier: Apache-2.0
// The protocols that decoding counts, as an enum and a table made from protocols.def.
#pragma once

enum protocol_id {
#define PROTOCOL(id, name, layer) PROTOCOL_##id,
#include "protocols.def"
#undef PROTOCOL
	PROTOCOL_COUNT
};

_Static_assert(PROTOCOL_COUNT <= 64, "packet.protocols has one bit a protocol");

#define PROTOCOL_BIT(id) (UINT64_C(1) << PROTOCOL_##id)

struct protocol_info {
	const char *name;
	const char *layer;
};

extern const struct protocol_info protocol_table[PROTOCOL_COUNT];
