// SPDX-License-Identifier: Apache-2.0
// Layouts of the reassembly stage. A stream is two sides (one line each) and what they share (one line):
// all that segments in order touch, and a hole or two. Whatever else there may be to know of a stream is
// in its cold part, which it gets when it first needs one. Both are numbered as they come into use,
// whatever the number of the stream: most memory is dear the first time that it is touched, and much
// of it never is.
//
// What is held is in blocks: the first block of a piece is also its record and a node of its side's
// tree, the others hang off it. Blocks are numbered, 0 is none. What there is to know of all pieces of
// a side lies with the piece at the root of its tree, and moves when that does.
//
// Invariants: the pieces of a side do not overlap, and all of them begin behind side.next. Sequence
// numbers are compared by their difference, which stays below 2^31 because nothing more than
// REASSEMBLY_AHEAD_MAX ahead is taken.
#pragma once

#include "prefetch.h"
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
	SIDE_HELD = 1 << 7,       // bytes wait for more, as the consumer asked (cold.held)
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
	uint32_t root;  // pieces
	uint32_t fin;
	uint32_t ts_recent;
	uint32_t rtt_seq;
	uint32_t segments;
	uint32_t base; // where it began
	uint16_t flags;
	uint8_t wscale;
	// The figures of a simple hole. What does not fit goes to those of the cold part: the sum counts.
	uint8_t out_of_order;
	uint8_t gaps;
	uint8_t unused;
	uint16_t gap_bytes;
};
_Static_assert(sizeof(struct reassembly_side) == 64, "a side is one line");

// What the consumer asked to hold, and what most sides never count.
struct side_cold {
	struct reassembly_figures figures;    // but for what the stream itself can tell
	uint64_t held_first_ns, held_last_ns; // earliest and latest of the held bytes
	uint32_t held_head, held_tail;        // blocks
	uint32_t held_at;                     // first byte in the first block
	uint32_t held;                        // bytes
	uint32_t need;
	uint32_t part_segments; // of the side, when the part began
	uint64_t part_offset;
};

struct stream_cold {
	struct side_cold side[2];
	uint32_t next_free;
};

// From a segment of a side to its acknowledgement. Most acknowledgements of data bring a sample.
struct side_rtt {
	uint32_t min_ns, max_ns;
	uint32_t samples;
};

enum handshake_flag {
	SHAKE_SYN_REPEATED = 1 << 0,
	SHAKE_SYNACK_REPEATED = 1 << 1,
	SHAKE_RTT_SYN = 1 << 2,    // syn_ns is the time from SYN to SYN/ACK now
	SHAKE_RTT_SYNACK = 1 << 3, // synack_ns is the time from SYN/ACK to ACK now
};

struct reassembly_stream {
	struct reassembly_side side[2];
	uint64_t rtt_sum_ns[2];
	struct side_rtt rtt[2];
	uint64_t syn_ns, synack_ns; // when they came
	uint32_t cold;              // its cold part, 0: none. Not in use: next one that is not
	uint8_t capture;
	uint8_t marks;     // enum reassembly_mark
	uint8_t policies;  // by the receiver of each direction, 4 bits each
	uint8_t handshake; // enum handshake_flag
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct reassembly_stream) == 192, "a stream is three lines");
_Static_assert(REASSEMBLY_CAPTURES_MAX <= 256, "a capture's number fits");

struct reassembly_block {
	uint32_t next; // of a piece, of held bytes, or free
	uint32_t left, right, priority;
	uint32_t seq;
	uint32_t length;                // bytes stored
	uint32_t missing;               // bytes behind them that the capture cut
	uint32_t origin, origin_length; // the segment as it was sent
	// Of the side whose root this is.
	uint32_t first;        // where its first piece begins
	uint32_t owner;        // 2 * stream + direction
	uint32_t older, newer; // roots of the same class
	uint32_t blocks : 30;  // of all its pieces
	uint32_t flags : 2;    // of this piece: enum piece_flag
	uint64_t ts_ns;
	uint8_t data[REASSEMBLY_BLOCK_DATA];
};
_Static_assert(offsetof(struct reassembly_block, data) == 64, "a piece is known by one line");

enum piece_flag {
	PIECE_EMPTY = 1 << 0,  // nobody wants its bytes: they were not copied
	PIECE_URGENT = 1 << 1, // one byte of urgent data, left out of the stream
};

struct reassembly {
	struct reassembly_config config;
	uint32_t *slot;                   // of each stream number, 0: not in use
	struct reassembly_stream *stream; // [1..streams], by slot
	struct stream_cold *cold;         // [1..streams]
	struct reassembly_block *block;   // [1..blocks]
	uint8_t *scratch;                 // hold_bytes
	uint32_t free_stream, fresh_stream;
	uint32_t free_cold, fresh_cold;
	uint32_t blocks, reserve; // reserve: kept free for what consumers hold
	uint32_t free_block, fresh_block;
	uint32_t blocks_in_use, blocks_peak;
	uint32_t random;
	uint32_t class_oldest[REASSEMBLY_CLASSES], class_newest[REASSEMBLY_CLASSES]; // roots
	uint32_t classes; // a bit for each that has any
	struct counters *counters[REASSEMBLY_CAPTURES_MAX];
	uint32_t capture_blocks[REASSEMBLY_CAPTURES_MAX];
	uint32_t capture_buffered[REASSEMBLY_CAPTURES_MAX]; // pieces
	uint32_t capture_streams[REASSEMBLY_CAPTURES_MAX];
	struct counters nowhere; // of captures that were not begun
};

// Where work is done: a side of a stream.
struct place {
	struct reassembly *r;
	struct reassembly_stream *s;
	struct reassembly_side *side;
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

// Of a stream that is in use. capture: whose counters count.
static inline void place_set(
	struct place *at, struct reassembly *r, uint32_t stream, unsigned d, uint16_t capture)
{
	at->r = r;
	at->s = &r->stream[r->slot[stream]];
	at->side = &at->s->side[d];
	at->capture = capture;
	at->counters = r->counters[capture];
	at->stream = stream;
	at->direction = (uint8_t)d;
}

static inline void place_other(const struct place *at, struct place *ret)
{
	*ret = *at;
	ret->direction ^= 1;
	ret->side = &at->s->side[ret->direction];
}

static inline enum reassembly_policy place_policy(const struct place *at)
{
	return (enum reassembly_policy)(at->s->policies >> (4 * at->direction) & 15);
}

#define COUNT(at, name, n) counter_add((at)->counters, COUNTER_tcp_##name, n)

// pool.c: streams and their cold parts; blocks, and who holds most of them.
bool pool_init(struct reassembly *);
void pool_fini(struct reassembly *);
void pool_stream_get(struct reassembly *, uint32_t stream); // all zero
void pool_stream_put(struct reassembly *, uint32_t stream);
void pool_cold_get(struct reassembly *, struct reassembly_stream *); // all zero
uint32_t pool_free_blocks(const struct reassembly *);
uint32_t pool_get(struct reassembly *, uint16_t capture); // 0: none left
void pool_put(struct reassembly *, uint16_t capture, uint32_t chain);
// The pieces of a side have become more or fewer. old_root: of its tree before.
void pool_account(const struct place *, uint32_t old_root, int blocks, int pieces);
bool pool_heaviest(const struct reassembly *, uint32_t *ret_stream, unsigned *ret_direction);

static inline struct side_cold *side_cold(const struct place *at)
{
	if (__builtin_expect(at->s->cold == 0, 0))
		pool_cold_get(at->r, at->s);
	return &at->r->cold[at->s->cold].side[at->direction];
}

// Where the first piece begins, of a side that has any.
static inline uint32_t side_first(const struct place *at)
{
	return at->r->block[at->side->root].first;
}

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
