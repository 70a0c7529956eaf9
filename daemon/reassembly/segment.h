// SPDX-License-Identifier: Apache-2.0
// A segment while it is taken in. Shared by the files that do so.
#pragma once

#include "reassembly_internal.h"

struct segment {
	struct reassembly *r;
	struct packet *p;
	const struct ip_layer *l;
	struct place at;
	struct reassembly_side *other;
	const uint8_t *data;
	uint32_t seq;    // of the first byte of payload
	uint32_t length; // payload by the headers
	uint32_t have;   // captured of it
};

#define FIGURE(g, name) (side_cold(&(g)->at)->figures.name++)

// begin.c
// Returns false where the segment is not of this connection.
bool segment_take_syn(struct segment *);
void segment_start_midstream(struct segment *);
// A direction began with a segment without bytes: if that was a keep-alive, which repeats the last
// sequence number, the first byte is one ahead.
void segment_harden(struct segment *);
// The ACK of the SYN/ACK.
void segment_shake_hands(struct segment *);
