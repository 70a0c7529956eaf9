// SPDX-License-Identifier: Apache-2.0
// Decoding: from bytes to layers. Fills the decode section of struct packet: one ip_layer for each
// IP header (tunnels followed), the set of protocols in the frame's header stack, and a named event
// for each malformation. Keeps no state and knows nothing of flows.
//
// Definitions that the counters rest on:
// headers quoted inside ICMP errors are neither layers nor protocols; protocols above the IP header
// of a fragment (other than an atomic one) are not looked at: such a layer has LAYER_FRAGMENT and,
// in its first fragment, no ports.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "packet.h"

struct decode_config {
	bool verify_checksum; // default off: half of all captures hold offloaded checksums
	uint8_t tunnel_depth; // IP layers followed beyond the first, at most PACKET_LAYERS_MAX - 1
};

// Decodes n packets in place. The packets' source section is set; the decode section need not be
// cleared. Prefetches ahead within the burst. Never fails: what is wrong becomes an event.
// Thread: any, no shared state.
void decode_burst(const struct decode_config *, struct packet *pkts, unsigned n);
