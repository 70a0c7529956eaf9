// SPDX-License-Identifier: Apache-2.0
// Layouts of the reassembly stage. A stream is two sides (one line each) and their round-trip times
// (one line), all that a segment in order touches, and a cold part. What is held is in blocks: the first block of a piece is also its record
// and a node of its side's tree, the others hang off it. Blocks are numbered, 0 is none.
//
// Invariants: the pieces of a side do not overlap, all of them begin behind side.next, and
// side.first is where the first of them begins. Sequence numbers are compared by their difference,
// which stays below 2^31 because nothing more than REASSEMBLY_AHEAD_MAX ahead is taken.
#pragma once

#include "reassembly.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

enum {
	REASSEMBLY_BLOCK_DATA = 1536, // a segment of the usual size in one
	REASSEMBLY_AHEAD_MAX = 1 << 30,
	REASSEMBLY_PICKUP_MAX = 1 << 22, // between what was acknowledged and the first segment
	REASSEMBLY_CLASSES = 32,
	REASSEMBLY_BLOCKS_MIN = 256,
};

enum side_flag {
	SIDE_STARTED = 1 << 0,    // next is set
	SIDE_SYN = 1 << 1,        // ... by a SYN
	SIDE_SOFT = 1 << 2,       // ... by a segment without payload and SYN, maybe a keep-alive
	SIDE_FIN = 1 << 3,        // fin is set
	SIDE_DONE = 1 << 4,       // all up to the FIN is delivered; next is behind it
	SIDE_ENDED = 1 << 5,      // end() was called
	SIDE_QUIET = 1 << 6,      // nothing goes to the consumer any more
	SIDE_USED = 1 << 7,       // the stream is in use (both sides)
	SIDE_ACKED = 1 << 8,      // acked is set
	SIDE_EDGE = 1 << 9,       // edge can be trusted: both window scales are known
	SIDE_TIMESTAMP = 1 << 10, // ts_recent is set
	SIDE_TIMING = 1 << 11,    // rtt_seq and rtt_ns are set
	SIDE_WSCALE = 1 << 12,    // its SYN had a window scale
	SIDE_CLOSED = 1 << 13,    // its last window was zero
	SIDE_RESET = 1 << 14,     // RST was seen (both sides)
	SIDE_SHAKE = 1 << 15,     // SYN and SYN/ACK were seen, not yet the ACK (both sides)
};

struct reassembly_side { // of what this side sends
	uint64_t offset; // of next in the stream, gaps included
	uint64_t rtt_ns;
	uint32_t next;  // sequence number that is expected
	uint32_t acked; // by the other side
	uint32_t edge;  // where the other side's window ends
	uint32_t high;  // end of the highest segment
	uint32_t first; // where the first piece begins, valid with root
	uint32_t root;  // pieces
	uint32_t fin;
	uint32_t ts_recent;
	uint32_t rtt_seq;
	uint32_t segments;
	uint32_t held; // bytes that wait for more, as the consumer asked
	uint16_t flags;
	uint8_t wscale;
	uint8_t unused;
};
_Static_assert(sizeof(struct reassembly_side) == 64, "a side is one line");

// What the consumer asked to hold, and the place among those that hold blocks.
struct side_cold {
	struct reassembly_figures figures;    // but for what the side and its rtt can tell
	uint64_t held_first_ns, held_last_ns; // earliest and latest of the held bytes
	uint32_t held_head, held_tail;        // blocks
	uint32_t held_at;                     // first byte in the first block
	uint32_t need;
	uint32_t base;
	uint32_t part_segments; // of the side, when the part began
	uint64_t part_offset;
	uint32_t blocks;       // of pieces
	uint32_t older, newer; // sides of the same class: 2 * stream + direction, 0 none
	uint8_t class;         // 0: not listed
};

// From a segment of a side to its acknowledgement. Most acknowledgements of data bring a sample.
struct side_rtt {
	uint64_t sum_ns;
	uint32_t min_ns, max_ns;
	uint32_t samples;
	uint32_t unused;
};

struct reassembly_stream {
	struct reassembly_side side[2];
	struct side_rtt rtt[2];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct reassembly_stream) == 192, "a stream is three lines");

struct stream_cold {
	struct side_cold side[2];
	uint64_t syn_ns, synack_ns;
	uint64_t rtt_syn_ns, rtt_synack_ns;
	uint16_t capture;
	uint8_t marks;     // enum reassembly_mark
	uint8_t policy[2]; // by the receiver of each direction
	uint8_t syn_repeated;
	uint8_t synack_repeated;
	uint8_t unused;
};

struct reassembly_block {
	uint32_t next; // of a piece, of held bytes, or free
	uint32_t tail; // piece: last block of the chain
	uint32_t left, right, priority;
	uint32_t seq;
	uint32_t length;                // bytes stored
	uint32_t missing;               // bytes behind them that the capture cut
	uint32_t at;                    // first byte in the first block
	uint32_t origin, origin_length; // the segment as it was sent
	uint32_t flags;
	uint64_t ts_ns;
	uint64_t unused;
	uint8_t data[REASSEMBLY_BLOCK_DATA];
};

enum piece_flag {
	PIECE_EMPTY = 1 << 0,  // nobody wants its bytes: they were not copied
	PIECE_URGENT = 1 << 1, // one byte of urgent data, left out of the stream
};

struct reassembly {
	struct reassembly_config config;
	struct reassembly_stream *stream; // [1..streams]
	struct stream_cold *cold;
	struct reassembly_block *block; // [1..blocks]
	uint8_t *scratch;               // hold_bytes
	uint32_t blocks, reserve;       // reserve: kept free for what consumers hold
	uint32_t free_block, fresh_block;
	uint32_t blocks_in_use, blocks_peak;
	uint32_t random;
	uint32_t class_oldest[REASSEMBLY_CLASSES], class_newest[REASSEMBLY_CLASSES];
	struct counters *counters[REASSEMBLY_CAPTURES_MAX];
	uint32_t capture_blocks[REASSEMBLY_CAPTURES_MAX];
	uint32_t capture_buffered[REASSEMBLY_CAPTURES_MAX]; // pieces
	uint32_t capture_streams[REASSEMBLY_CAPTURES_MAX];
	struct counters nowhere; // of captures that were not begun
};

// Where work is done: a side of a stream.
struct place {
	struct reassembly *r;
	struct reassembly_side *side;
	struct side_cold *cold;
	struct counters *counters;
	uint32_t stream;
	uint8_t direction;
	uint16_t capture;
};

// Bytes with their place in the sequence.
struct span {
	const uint8_t *data;
	uint32_t seq;
	uint32_t length;  // bytes at data
	uint32_t missing; // behind them, cut by the capture
	uint32_t flags;   // enum piece_flag
	uint64_t ts_ns;
};

static inline int32_t seq_diff(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b);
}

static inline void place_set(
	struct place *at, struct reassembly *r, uint32_t stream, unsigned d, uint16_t capture)
{
	at->r = r;
	at->side = &r->stream[stream].side[d];
	at->cold = &r->cold[stream].side[d];
	at->capture = capture;
	at->counters = r->counters[capture];
	at->stream = stream;
	at->direction = (uint8_t)d;
}

#define COUNT(at, name, n) counter_add((at)->counters, COUNTER_tcp_##name, n)

// pool.c: blocks, and who holds most of them.
bool pool_init(struct reassembly *);
void pool_fini(struct reassembly *);
uint32_t pool_free_blocks(const struct reassembly *);
uint32_t pool_get(struct reassembly *, uint16_t capture); // 0: none left
void pool_put(struct reassembly *, uint16_t capture, uint32_t chain);
void pool_account(
	const struct place *, int blocks, int pieces); // of pieces; moves the side's class
bool pool_heaviest(const struct reassembly *, uint32_t *ret_stream, unsigned *ret_direction);

// tree.c: a treap of pieces by sequence number.
uint32_t tree_first(const struct reassembly *, uint32_t root);
uint32_t tree_after(
	const struct reassembly *, uint32_t root, uint32_t seq); // first that ends behind
void tree_insert(struct reassembly *, uint32_t *root, uint32_t piece);
void tree_remove(struct reassembly *, uint32_t *root, uint32_t piece);

// piece.c: holding segments, overlaps.
static inline uint32_t piece_end(const struct reassembly_block *b)
{
	return b->seq + b->length + b->missing;
}
uint32_t piece_take_first(const struct place *); // out of the tree; accounted
void piece_free(const struct place *, uint32_t piece);
void piece_drop_all(const struct place *);
// Holds what the policy grants to the segment. p: for events.
void piece_store(const struct place *, const struct span *, struct packet *p);

// deliver.c: to the consumer.
enum gap_cause { GAP_ACKED, GAP_BUDGET, GAP_END, GAP_TRUNCATED };
void deliver_span(const struct place *, const struct span *);             // in order: moves next
void deliver_pieces(const struct place *);                                // those whose turn it is
void deliver_gap(const struct place *, uint32_t missing, enum gap_cause); // moves next
// Up to the next hole, or to the FIN. side_settle must follow: else a loop over what is held may not end.
void deliver_past_gap(const struct place *, enum gap_cause);
void deliver_end(const struct place *, enum reassembly_end_reason);

// reassembly.c
void stream_begin(
	struct reassembly *, uint32_t stream, const struct packet *, const struct ip_layer *);
// Ends a direction whose FIN has been reached.
void side_settle(const struct place *);
// Makes those who hold most deliver past their gaps until n blocks are free.
void make_room(struct reassembly *, uint32_t n);
