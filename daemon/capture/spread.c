// SPDX-License-Identifier: Apache-2.0
// The tables behind capture_spread_queue. The Toeplitz hash adds up, for each bit of its input that is
// set, the 32 bits of the key from that bit on. Where the key repeats every 16 bits, bits 16 apart add
// the same: the input may be folded to 16 bits first (Woo and Park, Scalable TCP Session Monitoring with
// Symmetric Receive-side Scaling, 2012).
#include "spread.h"

static uint16_t hash_byte(unsigned value, unsigned first_bit)
{
	uint32_t key = 0x6d5a6d5a, sum = 0;

	for (unsigned bit = 0; bit < 8; bit++)
		if (value & (0x80u >> bit)) {
			unsigned at = first_bit + bit;

			sum ^= at == 0 ? key : key << at | key >> (32 - at);
		}
	return (uint16_t)sum; // tables have no more than 2^16 entries
}

void capture_spread_init(
	struct capture_spread *s, uint8_t with_ports, const uint16_t *queue, unsigned entries)
{
	*s = (struct capture_spread){
		.is_known = true,
		.with_ports = with_ports,
		.mask = (uint16_t)(entries - 1),
	};
	memcpy(s->queue, queue, entries * sizeof(*queue));
	for (unsigned v = 0; v < 256; v++) {
		s->hash[0][v] = hash_byte(v, 0);
		s->hash[1][v] = hash_byte(v, 8);
	}
}
