// SPDX-License-Identifier: Apache-2.0
// Layouts of the defrag stage: trackers (a datagram each), fragments, and blocks of payload, all in
// arrays of fixed size and linked by index (0 is none).
#pragma once

#include "chunk.h"
#include "defrag.h"

enum {
	DEFRAG_BLOCK_BYTES = 512,
	DEFRAG_DATAGRAM_MAX =
		65535, // by the length field, which leaves out 40 bytes of an IPv6 header
	DEFRAG_WHOLE_MAX = DEFRAG_DATAGRAM_MAX + 40,
	DEFRAG_HEADER_MAX = 1024, // IPv6 header with extensions before the fragment header
};

struct defrag_block {
	uint32_t next;
	uint8_t data[DEFRAG_BLOCK_BYTES - 4];
};

struct defrag_fragment {
	uint32_t next;   // by offset
	uint32_t blocks; // payload
	uint32_t offset;
	uint32_t length;
	uint32_t arrival; // order within the datagram
	uint32_t wirelen;
	uint64_t ts_ns;
	uint64_t now_ns;
	uint64_t seq;
};

struct defrag_key {
	uint8_t src[16];
	uint8_t dst[16];
	uint64_t tunnel_hash;
	uint32_t id;
	uint16_t capture;
	uint16_t vlan;
	uint8_t version;
	uint8_t proto; // IPv4 only
	uint16_t unused;
};

enum defrag_state {
	DEFRAG_UNDER_WAY,
	DEFRAG_GIVEN_UP, // overlap, too large, too many: the rest goes to ports 0
};

struct defrag_tracker {
	struct defrag_key key;
	uint32_t chain;        // next in the same hash bucket
	uint32_t older, newer; // in order of first fragments
	uint32_t fragments;    // by offset
	uint32_t tail;         // the last of them
	uint32_t fragment_count;
	uint32_t total; // payload bytes, UINT32_MAX until the last fragment came
	uint32_t have;  // payload bytes without overlaps
	uint32_t reach; // where the farthest of them ends; never beyond total
	uint32_t header_length;
	uint32_t header_next; // IPv6: offset of the byte that names the fragment header
	uint64_t first_now_ns;
	uint8_t state;
	uint8_t policy;
	uint8_t overlaps;
	uint8_t in_use;
	uint8_t next_proto; // IPv6: what follows the fragment header, from the first fragment
	uint8_t header[60]; // IPv4 header of the first fragment (IPv6: in a block chain)
	uint32_t header_blocks;
	// Layers up to and with the fragment's, of the first that came; once a datagram was complete, with
	// its ports.
	struct packet context;
};

struct defrag {
	struct defrag_config config;
	struct defrag_tracker *tracker; // [1..trackers]
	struct defrag_fragment *fragment;
	struct defrag_block *block;
	uint32_t *bucket;
	uint32_t bucket_mask;
	uint32_t free_tracker, free_fragment, free_block;
	uint32_t fresh_tracker, fresh_fragment, fresh_block; // never used yet, from here on
	uint32_t block_count;
	uint32_t oldest, newest;
	uint32_t trackers_in_use, fragments_in_use, blocks_in_use;
	uint32_t finishing; // tracker between defrag_add and defrag_finish
	uint64_t finishing_now_ns;
	struct chunk_pool *chunks;
	uint16_t painter[DEFRAG_DATAGRAM_MAX + 1]; // overlaps: which fragment a byte is from
	struct packet scratch;
};

// pool.c
bool defrag_pool_init(struct defrag *);
void defrag_pool_fini(struct defrag *);
uint32_t defrag_tracker_get(struct defrag *);       // 0: none left
void defrag_tracker_put(struct defrag *, uint32_t); // with all that it holds
uint32_t defrag_fragment_get(struct defrag *);
void defrag_fragment_put(struct defrag *, uint32_t);
uint32_t defrag_store(struct defrag *, const uint8_t *data, uint32_t length); // 0: no room
void defrag_load(const struct defrag *, uint32_t blocks, uint8_t *to, uint32_t length);
void defrag_blocks_put(struct defrag *, uint32_t blocks);
int defrag_compare(
	const struct defrag *, uint32_t blocks, uint32_t at, const uint8_t *data, uint32_t n);
void defrag_fragments_put(struct defrag *, struct defrag_tracker *);

// build.c
// Writes the whole datagram of a complete tracker. Returns its length, 0 when it is too large.
uint32_t defrag_build(struct defrag *, const struct defrag_tracker *, uint8_t *to);
