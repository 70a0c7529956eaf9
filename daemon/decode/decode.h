// SPDX-License-Identifier: Apache-2.0
// Decoding: from bytes to layers. Fills the decode section of struct packet: one ip_layer for each
// IP header (tunnels followed), the set of protocols in the frame's header stack, and a named event
// for each malformation. Keeps no state and knows nothing of flows.
//
// Definitions that the counters rest on: a protocol counts where at least one byte of its header was
// captured; headers quoted inside ICMP errors are neither layers nor protocols; protocols above the IP header
// of a fragment (other than an atomic one) are not looked at: such a layer has LAYER_FRAGMENT and,
// in its first fragment, no ports. Its bytes are those from l4_off to l3_off + l3_len.
//
// What was cut by the snap length is no malformation: decoding ends there without an event. Ports
// are set as soon as they were captured, the rest of L4 with LAYER_L4: payload_off is never beyond
// caplen (TCP options that were cut leave no payload), payload_len may well be. Lengths are what
// headers claim; one that claims more than its enclosing header has got its event, and nothing is
// read beyond either. Fields that a flag announces are undefined without it: frag_* and
// more_fragments, tcp, payload_*, tunnel_id; as are owner, swapped, hash and tunnel_hash, which
// later stages set.
//
// A datagram put together from fragments decodes as a packet with link LINK_RAW, LINK_IPV4 or
// LINK_IPV6 (and so has the protocol RAW). A tag that hardware took out of the frame is the
// outermost one if the source sets PACKET_VLAN_STRIPPED and leaves the tag's id in vlan[0].
// arp_off is set where all of an Ethernet/IPv4 ARP or RARP message was captured.
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
