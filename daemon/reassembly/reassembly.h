// SPDX-License-Identifier: Apache-2.0
// TCP reassembly (RFC 9293, RFC 7323): the segments of a connection, in any order, become for each
// direction the bytes that its receiver read, and a consumer gets them in order. What is in order is
// handed on in place; what is ahead is copied into blocks of a fixed pool, which all streams of a
// worker share and which the stream that holds the most gives back first. Nothing is allocated after
// reassembly_new.
//
// A stream is a number from 1 to config.streams that the caller chooses: the index of the flow in its
// table. Directions are the canonical ones of the flow key (ip_layer.swapped), so a stream needs not
// know who is the client. Bytes that never come are gaps: declared once the receiver acknowledged
// bytes behind them that are held here, when the budget is spent, or when the stream ends. Where no
// SYN was seen a direction begins with the first segment seen; what is older than that is counted as
// before base and not delivered. A SYN that comes later moves nothing.
//
// After RST a stream goes on taking what still comes (its flow lingers as closed): what crossed the
// RST was on the wire. After FIN a direction is at its end. Bytes already delivered cannot be taken
// back: policies decide between segments that are held.
//
// One object a worker; its worker is the only thread that touches it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "packet.h"

struct reassembly;

// Who wins where held segments overlap with different bytes: E is the segment that came earlier, N
// the one that came later; both as they were sent, whatever has been delivered of them.
enum reassembly_policy {
	REASSEMBLY_FIRST,   // E
	REASSEMBLY_LAST,    // N
	REASSEMBLY_BSD,     // E where it begins before or with N, else N
	REASSEMBLY_LINUX,   // E where it begins before N, else N
	REASSEMBLY_WINDOWS, // E, unless N begins before and ends after it
	REASSEMBLY_DROP,    // E, and nothing of N is taken that contradicts it in any byte
};

enum { REASSEMBLY_NETWORKS_MAX = 32, REASSEMBLY_CAPTURES_MAX = 64 };

struct reassembly_network {
	uint8_t address[16]; // of the receiver
	uint8_t version;
	uint8_t prefix_bits;
	uint8_t policy; // enum reassembly_policy
};

// Why a direction ended. end() comes once for each direction in which a segment was seen.
enum reassembly_end_reason {
	REASSEMBLY_END_FIN,     // all bytes up to the FIN were delivered or declared missing
	REASSEMBLY_END_RST,     // the stream ended after RST
	REASSEMBLY_END_REUSE,   // a new connection on the same tuple
	REASSEMBLY_END_TIMEOUT, // idle
	REASSEMBLY_END_EOF,     // end of the capture
	REASSEMBLY_END_EVICTED, // the flow had to make room
	REASSEMBLY_END_LIMIT, // what the consumer asked to hold is beyond a limit: only counted now
};

// Bytes in order. They are valid during the call.
struct reassembly_data {
	const uint8_t *bytes;
	uint32_t length;
	uint32_t stream;
	uint8_t direction;
	bool is_last;      // a gap or the end follows: what is left of these is dropped
	uint64_t offset;   // of the first byte in the stream, gaps included
	uint64_t first_ns; // when the earliest and the latest of these bytes came (packet time)
	uint64_t last_ns;
};

enum reassembly_verb {
	REASSEMBLY_ON,   // all used; go on
	REASSEMBLY_PASS, // the same, but none were wanted: counted so
	REASSEMBLY_MORE, // used bytes are done with; call again with the rest once it is need long
	REASSEMBLY_ENOUGH,   // no more of this direction: only count
	REASSEMBLY_NOT_MINE, // no more of this stream
};

struct reassembly_answer {
	enum reassembly_verb verb;
	uint32_t used; // MORE: bytes from the front that are done with
	uint32_t need; // MORE: bytes wanted in one piece, from the first that is not done with
};

// All callbacks run inside the call that caused them; they must not call back into the object.
// Each may be NULL.
struct reassembly_consumer {
	void *ctx;
	struct reassembly_answer (*data)(void *ctx, const struct reassembly_data *);
	void (*gap)(void *ctx, uint32_t stream, unsigned direction, uint32_t missing_bytes);
	void (*end)(void *ctx, uint32_t stream, unsigned direction, enum reassembly_end_reason);
};

struct reassembly_config {
	uint32_t streams;     // highest stream number
	uint64_t bytes;       // blocks for what is ahead of its turn or held for the consumer
	uint64_t depth_bytes; // of each direction that are handed on, 0: all; the rest is counted
	uint32_t hold_bytes;  // the most that a consumer may ask for in one piece
	enum reassembly_policy policy;
	struct reassembly_network network[REASSEMBLY_NETWORKS_MAX]; // first match decides
	unsigned network_count;
	bool refuse_bad_checksum; // default off; needs decode's verify_checksum
	bool ignore_timestamps; // default off: segments with timestamps that are too old are refused
	bool drop_urgent;       // default off: urgent data stays in the stream (RFC 6093)
	struct reassembly_consumer consumer;
};

// Figures of one direction.
struct reassembly_figures {
	uint64_t bytes_delivered; // in order, gaps left out, whether a consumer wanted them or not
	uint64_t gap_bytes;
	uint64_t rtt_sum_ns;             // from a segment of this direction to its acknowledgement
	uint32_t rtt_min_ns, rtt_max_ns; // saturating at 4.29 s
	uint32_t rtt_samples;
	uint32_t segments;
	uint32_t duplicate;         // segments with nothing new
	uint32_t out_of_order;      // segments that came ahead of their turn
	uint32_t retransmitted;     // segments with bytes seen before
	uint32_t spurious;          // of these, all of it acknowledged before
	uint32_t overlap;           // segments that cover held bytes in part
	uint32_t overlap_differing; // segments that contradict held bytes
	uint32_t keep_alive;
	uint32_t zero_window; // segments that close the window
	uint32_t zero_window_probe;
	uint32_t gaps;
	uint32_t before_base;
	uint32_t out_of_window;
	uint32_t refused; // bad timestamp, length or checksum
};

enum reassembly_mark {
	REASSEMBLY_SYN = 1 << 0, // SYN without ACK seen
	REASSEMBLY_SYNACK = 1 << 1,
	REASSEMBLY_ESTABLISHED = 1 << 2,  // handshake seen whole
	REASSEMBLY_MIDSTREAM = 1 << 3,    // the first segment was no SYN
	REASSEMBLY_SIMULTANEOUS = 1 << 4, // SYN without ACK from both
	REASSEMBLY_RESET = 1 << 5,
};

struct reassembly_view {
	struct reassembly_figures direction[2];
	uint64_t rtt_syn_ns, rtt_synack_ns; // handshake: SYN to SYN/ACK, SYN/ACK to ACK; 0 not seen
	uint32_t held_bytes;                // memory in use
	uint8_t marks;                      // enum reassembly_mark
};

// Totals: each is the counter tcp_NAME of base/counters.def.
#define REASSEMBLY_STATS(X)                                                                        \
	X(segments_received)                                                                       \
	X(bytes_delivered)                                                                         \
	X(duplicate_segments)                                                                      \
	X(out_of_order_segments)                                                                   \
	X(streams)                                                                                 \
	X(active)                                                                                  \
	X(connections)                                                                             \
	X(simultaneous_open)                                                                       \
	X(syn)                                                                                     \
	X(synack)                                                                                  \
	X(fin)                                                                                     \
	X(rst)                                                                                     \
	X(midstream)                                                                               \
	X(one_sided)                                                                               \
	X(reused_tuple)                                                                            \
	X(in_order)                                                                                \
	X(buffered)                                                                                \
	X(buffered_peak)                                                                           \
	X(retransmitted)                                                                           \
	X(spurious_retransmission)                                                                 \
	X(keep_alive)                                                                              \
	X(zero_window)                                                                             \
	X(zero_window_probe)                                                                       \
	X(urgent)                                                                                  \
	X(overlap)                                                                                 \
	X(overlap_differing)                                                                       \
	X(before_base)                                                                             \
	X(out_of_window)                                                                           \
	X(gaps)                                                                                    \
	X(gap_bytes)                                                                               \
	X(gaps_acked)                                                                              \
	X(gaps_budget)                                                                             \
	X(gaps_end)                                                                                \
	X(gaps_truncated)                                                                          \
	X(ack_unseen)                                                                              \
	X(bytes_not_wanted)                                                                        \
	X(limit_streams)                                                                           \
	X(limit_bytes)                                                                             \
	X(limit_segments)                                                                          \
	X(limit_depth)                                                                             \
	X(limit_hold)                                                                              \
	X(bad_checksum)                                                                            \
	X(bad_length)                                                                              \
	X(bad_ack)                                                                                 \
	X(bad_timestamp)                                                                           \
	X(syn_inside)                                                                              \
	X(rst_out_of_window)                                                                       \
	X(data_after_rst)                                                                          \
	X(data_after_fin)                                                                          \
	X(rtt_handshake_samples)                                                                   \
	X(rtt_handshake_sum)                                                                       \
	X(rtt_samples)                                                                             \
	X(rtt_sum)                                                                                 \
	X(memory)                                                                                  \
	X(memory_peak)

struct reassembly_stats {
#define REASSEMBLY_FIELD(name) uint64_t name;
	REASSEMBLY_STATS(REASSEMBLY_FIELD)
#undef REASSEMBLY_FIELD
};

// Returns NULL without memory, or for a configuration that cannot work (no streams, fewer bytes than
// some segments take: 400 KiB at least).
struct reassembly *reassembly_new(const struct reassembly_config *);
void reassembly_free(struct reassembly *); // accepts NULL; streams are not ended

// Counters to use for streams of a capture, from now on.
void reassembly_capture_begin(struct reassembly *, uint16_t capture, struct counters *);

// One TCP segment: layer l of p, with LAYER_L4. Borrows p: what has to be kept is copied, and events
// are noted on it. A stream that is not in use begins with it. Streams above config.streams are
// counted as a limit and left alone.
void reassembly_segment(
	struct reassembly *, uint32_t stream, struct packet *p, const struct ip_layer *l);

// Ask for the memory that reassembly_segment will touch: first for where the stream lies, and when that
// has had the time to come, for the stream.
void reassembly_prefetch_place(const struct reassembly *, uint32_t stream);
void reassembly_prefetch(const struct reassembly *, uint32_t stream);

// Ends a stream: what is held is delivered behind its gaps.
// reason: REASSEMBLY_END_FIN and _RST stand for an end that the flow concluded from those; a
// direction that was reset says RST whatever the reason is, but for REUSE.
// ret: its figures as they stand at its end; NULL: not wanted.
// Returns false where the stream was not in use.
bool reassembly_end(struct reassembly *, uint32_t stream, enum reassembly_end_reason,
	struct reassembly_view *ret);

// The figures of the stream begin anew, as the flow's do when a part of it has been reported.
void reassembly_part(struct reassembly *, uint32_t stream);

// Figures since the stream began, or since its last part. Returns false where it is not in use.
bool reassembly_get(const struct reassembly *, uint32_t stream, struct reassembly_view *ret);

// The figures of a block of counters (a capture's, or a sum). Thread: any, on a copy of its own.
void reassembly_stats_of(const struct counters *, struct reassembly_stats *ret);

size_t reassembly_bytes_in_use(const struct reassembly *); // of the budget
size_t reassembly_bytes_peak(const struct reassembly *);
size_t reassembly_bytes_reserved(const struct reassembly *); // the most it can ever touch

// --- Several consumers of the same streams ---

struct reassembly_fanout;

enum { REASSEMBLY_CONSUMERS_MAX = 4 };

// streams, hold_bytes: as in the configuration of the object that it will be the consumer of. A
// consumer that asks for more than hold_bytes in one piece is left out alone. While one waits for more
// bytes, the others may get those bytes later, together with what it waits for.
// Returns NULL without memory, or for none or too many consumers.
struct reassembly_fanout *reassembly_fanout_new(
	const struct reassembly_consumer *, unsigned count, uint32_t streams, uint32_t hold_bytes);
void reassembly_fanout_free(struct reassembly_fanout *); // accepts NULL
struct reassembly_consumer reassembly_fanout_consumer(struct reassembly_fanout *);

// A stream has ended (reassembly_end has returned): its number may be used again.
void reassembly_fanout_forget(struct reassembly_fanout *, uint32_t stream);
