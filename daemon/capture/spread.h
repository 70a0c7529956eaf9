// SPDX-License-Identifier: Apache-2.0
// How a port's RSS spreads packets over its queues, in software: with the key that is given to ports, it
// depends on 16 bits only, and is cheap to know. The owner of a flow is taken from it where each worker
// has a queue of the port, so that packets arrive where they belong. Which worker owns a flow is decided
// by what is computed here and by nothing that a card says: where a card does otherwise (inner headers
// of tunnels, protocols that it does not know, fragments), packets are passed on, and flows are the same.
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "packet.h"

enum { SPREAD_ENTRIES_MAX = 2048 }; // as E810 may have

// Protocols whose ports are hashed; with IPv6 shifted by SPREAD_IPV6.
enum { SPREAD_TCP = 1 << 0, SPREAD_UDP = 1 << 1, SPREAD_SCTP = 1 << 2, SPREAD_IPV6 = 3 };

struct capture_spread {
	bool is_known;
	uint8_t with_ports;
	uint16_t mask;                      // entries of the redirection table, less one
	uint16_t queue[SPREAD_ENTRIES_MAX]; // the table
	uint16_t hash[2][256];              // of the first and second byte of all pairs, added up
};

// entries: a power of two, at most SPREAD_ENTRIES_MAX.
void capture_spread_init(
	struct capture_spread *, uint8_t with_ports, const uint16_t *queue, unsigned entries);

// The sum (without carry) of all 16-bit words that the Toeplitz hash takes in, in the order of the wire.
static inline uint16_t spread_words(const struct capture_spread *s, const struct ip_layer *l)
{
	unsigned protocol = l->proto == 6     ? SPREAD_TCP
	                    : l->proto == 17  ? SPREAD_UDP
	                    : l->proto == 132 ? SPREAD_SCTP
	                                      : 0;
	uint64_t src[2], dst[2], x;

	memcpy(src, l->src, sizeof(src)); // IPv4: the rest is zero
	memcpy(dst, l->dst, sizeof(dst));
	x = src[0] ^ src[1] ^ dst[0] ^ dst[1];
	x ^= x >> 32;
	x ^= x >> 16;
	if (s->with_ports >> (l->version == 6 ? SPREAD_IPV6 : 0) & protocol)
		x ^= __builtin_bswap16(l->src_port ^ l->dst_port);
	return (uint16_t)x;
}

// The queue to which the port gives a packet with these addresses and ports, both directions the same.
static inline unsigned capture_spread_queue(
	const struct capture_spread *s, const struct ip_layer *l)
{
	uint16_t x = spread_words(s, l);

	return s->queue[(s->hash[0][x & 0xff] ^ s->hash[1][x >> 8]) & s->mask];
}
