// SPDX-License-Identifier: Apache-2.0
// Packets that lie in memory before a benchmark begins: made ones, of flows that are drawn uniformly or
// by Zipf's law, or those of a capture file. Deterministic: the same options give the same bytes.
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
	FRAME_BYTES = 128,      // of a made packet, more than its headers take
	FRAME_HEAD_BYTES = 128, // before it, where is_mbuf: as large as an mbuf's
};

enum frames_kind {
	FRAMES_RANDOM, // each packet in either direction by chance, all with payload
	FRAMES_TCP, // requests, full segments of responses, an empty ACK for every second of them
};

struct frames_options {
	uint64_t packets;
	uint32_t flows;
	double zipf;      // exponent, 0: all flows are as likely
	double new_share; // of the packets that are a SYN of a flow not seen before
	enum frames_kind kind;
	bool ipv6;
	bool is_mbuf; // what the source says of a packet lies before its bytes, as in an mbuf
};

struct frame {
	uint8_t *data;
	uint32_t bytes;
	uint32_t is_new; // its client's address is to be changed each time (frame_renew)
	uint64_t ts_ns;  // of a file's packets
};

// What a driver leaves in an mbuf: length in its first line, time of arrival in the second.
struct frame_head {
	uint32_t bytes;
	uint32_t is_new;
	uint8_t first_line[56];
	uint64_t ts_ns;
	uint8_t second_line[56];
};
_Static_assert(sizeof(struct frame_head) == FRAME_HEAD_BYTES, "two lines, as an mbuf");

struct frames {
	struct frame *frame;
	uint64_t count; // a multiple of PACKET_BURST
	uint64_t bytes; // on the wire
	uint32_t flows;
	bool ipv6;
};

// Ends the process with a message where there is no memory.
void frames_make(struct frames *, const struct frames_options *);

// One packet of the flow, FRAME_BYTES at data; step: which one of it, for FRAMES_TCP. Returns its bytes
// on the wire.
uint32_t frame_make(
	uint8_t *data, uint32_t flow, unsigned step, bool back, bool ipv6, enum frames_kind);

// Reads a capture file into memory. Ends the process with a message where that fails.
void frames_load(struct frames *, const char *path);

// Makes the packet one of the flow with this number, below 2^31, of which there was none before.
static inline void frame_renew(uint8_t *data, uint32_t number, bool ipv6)
{
	uint32_t address = __builtin_bswap32(0x80000000u | number);

	__builtin_memcpy(data + (ipv6 ? 34 : 26), &address, sizeof(address));
}

// Memory in large pages, zeroed. Ends the process with a message where there is none.
void *frames_map(uint64_t bytes);
