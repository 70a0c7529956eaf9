// SPDX-License-Identifier: Apache-2.0
// Flows: the stage that joins packets by protocol, addresses and ports (and VLAN and tunnel, where
// configured) in both directions, follows TCP's state, times flows out and writes a record when a
// flow or a part of it ends. One table a worker; its worker is the only thread that touches it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "packet.h"
#include "ring.h"

struct flow_table;
struct flow_filter;

enum {
	FLOW_SPLT_PKTS = 16,    // packets in the sequence of sizes and times
	FLOW_CAPTURES_MAX = 64, // capture indices
};

enum flow_end {
	FLOW_END_NONE, // still active
	FLOW_END_FIN,
	FLOW_END_RST,
	FLOW_END_REUSE,
	FLOW_END_IDLE,
	FLOW_END_ACTIVE,
	FLOW_END_EOF,
	FLOW_END_FORCED,
	FLOW_END_EVICTED,
};

// TCP states as EVE names them: none syn_sent syn_recv established fin_wait1 fin_wait2 time_wait
// last_ack close_wait closing closed.
enum flow_tcp_state {
	FLOW_TCP_NONE,
	FLOW_TCP_SYN_SENT,
	FLOW_TCP_SYN_RECV,
	FLOW_TCP_ESTABLISHED,
	FLOW_TCP_FIN_WAIT1,
	FLOW_TCP_FIN_WAIT2,
	FLOW_TCP_TIME_WAIT,
	FLOW_TCP_LAST_ACK,
	FLOW_TCP_CLOSE_WAIT,
	FLOW_TCP_CLOSING,
	FLOW_TCP_CLOSED,
};

struct flow_config {
	uint32_t capacity; // flows in this table
	bool key_vlan;
	bool key_tunnel;
	uint64_t tcp_new_ns; // TCP before the handshake is complete
	uint64_t tcp_established_ns;
	uint64_t tcp_closed_ns; // how long a closed flow lingers
	uint64_t udp_ns;
	uint64_t icmp_ns;
	uint64_t other_ns;
	uint64_t active_ns; // a part is written when a flow has lasted this long
};

// Who talks: to-server direction is src to dst.
struct flow_tuple {
	uint8_t src[16]; // IPv4: first four bytes
	uint8_t dst[16];
	uint16_t src_port; // ICMP: as Community ID maps type and code
	uint16_t dst_port;
	uint8_t version; // 4 or 6
	uint8_t proto;
	uint8_t vlan_count;
	uint8_t tunnel_type; // enum tunnel_type
	uint16_t vlan[PACKET_VLANS_MAX];
};

struct flow_direction { // to-server is [0], to-client is [1]
	uint64_t pkts;
	uint64_t bytes;   // frame bytes
	uint64_t last_ns; // of the latest packet to come
	double size_mean, size_m2,
		size_m3;                 // running moments of frame sizes, bytes (Welford, Pebay)
	double iat_mean, iat_m2, iat_m3; // of inter-arrival times, ns; n = pkts - 1
	uint64_t iat_min_ns, iat_max_ns;
	uint32_t size_min, size_max;                   // size_min at most 65,535
	uint16_t window_first, window_min, window_max; // TCP, unscaled
	uint16_t mss;
	uint8_t wscale; // 0xff: none
	uint8_t ttl_min, ttl_max;
	uint8_t tcp_flags; // all flags seen
};

struct flow_splt {
	uint32_t dt_ns; // since the packet before, saturating
	uint16_t size;  // L4 payload bytes
	uint8_t direction;
	uint8_t tcp_flags;
};

// What became of the bytes of one direction of a TCP flow, as the stage behind tells it
// (flow_listener.describe); of the part that is reported, as all figures are.
struct flow_stream {
	uint64_t bytes_delivered; // in order, gaps left out
	uint64_t gap_bytes;
	uint64_t rtt_sum_ns; // from a segment of this direction to its acknowledgement
	uint32_t rtt_min_ns, rtt_max_ns;
	uint32_t rtt_samples;
	uint32_t segments;
	uint32_t duplicate;
	uint32_t out_of_order;
	uint32_t retransmitted;
	uint32_t spurious;
	uint32_t overlap;
	uint32_t overlap_differing;
	uint32_t keep_alive;
	uint32_t zero_window;
	uint32_t zero_window_probe;
	uint32_t gaps;
	uint32_t before_base;
	uint32_t out_of_window;
	uint32_t refused;
	uint32_t unused;
};

// A flow, or a part of one, as it leaves the stage.
struct flow_record {
	struct flow_tuple tuple;
	uint64_t flow_id; // 53 bits
	uint64_t first_ns;
	uint64_t last_ns;
	uint16_t capture;
	uint16_t worker;
	uint32_t part_no;                         // 1, 2, ...
	uint8_t end;                              // enum flow_end
	uint8_t tcp_state;                        // enum flow_tcp_state
	uint8_t midstream;                        // TCP begun without SYN
	uint8_t direction_guessed;                // turned by port or SYN/ACK, or a SYN came late
	uint8_t replied;                          // packets in both directions, over all parts
	uint8_t icmp_type, icmp_code;             // of the first packet to the server
	uint8_t icmp_reply_type, icmp_reply_code; // of the first packet to the client
	uint8_t has_icmp, has_icmp_reply;
	uint8_t splt_count;
	uint8_t dropped_nearby; // the capture lost packets during the flow
	uint8_t tunnel_depth;   // IP layers around this one
	uint8_t tunnel_has_id;
	uint8_t truncated;  // a packet of the flow was not captured whole
	uint8_t has_stream; // stream is set
	uint8_t unused[2];
	uint16_t app_proto; // 0: not known
	// the nearest tunnel (tuple.tunnel_type); ports and protocol as the flow's first packet had them
	uint32_t tunnel_id;
	uint8_t tunnel_src[16], tunnel_dst[16];
	uint16_t tunnel_src_port, tunnel_dst_port;
	uint8_t tunnel_version;
	uint8_t tunnel_proto;
	uint16_t unused2;
	// latencies, ns; 0 where not seen
	uint64_t syn_ns;            // SYN to SYN/ACK
	uint64_t synack_ns;         // SYN/ACK to the ACK
	uint64_t first_response_ns; // first payload to the server to first payload back
	uint64_t response_min_ns, response_max_ns, response_sum_ns;
	uint32_t response_samples;
	uint32_t unused3;
	struct flow_direction direction[2];
	struct flow_splt splt[FLOW_SPLT_PKTS];
	struct flow_stream stream[2]; // as direction; valid with has_stream
};

// The bytes of a record that say something: without stream, and then without the packets that its
// sequence does not have.
static inline size_t flow_record_size(const struct flow_record *r)
{
	size_t n = r->splt_count < FLOW_SPLT_PKTS ? r->splt_count : FLOW_SPLT_PKTS;

	if (r->has_stream)
		return sizeof(*r);
	return offsetof(struct flow_record, splt) + n * sizeof(r->splt[0]);
}

// Who hears of TCP segments and of the ends of their flows: the stage behind this one, by way of the one
// that calls both. Flows are told by their index in the table, 1 to capacity, which is theirs until
// their last record has been written. All is called within the table's own functions, by its worker; the table may be
// read meanwhile, by flow_table_get() and flow_table_id(), and nothing else of it be called.
struct flow_listener {
	void *ctx;
	// segment() or end() will be called soon, most likely with this index: what is needed then can
	// be asked for. early() comes some time before soon(), so that what was asked for first tells
	// what else to ask for. Both may come for flows that are not TCP's.
	void (*early)(void *ctx, uint32_t index);
	void (*soon)(void *ctx, uint32_t index);
	// A layer with a TCP header that this table owns, after its flow has counted it. 0: there was no
	// entry for its flow. Borrows the packet.
	void (*segment)(void *ctx, uint32_t index, struct packet *, const struct ip_layer *layer);
	// A record is made of a TCP flow, of one under way (end FLOW_END_NONE) or of one that is being
	// written: what the listener knows is added to it. to_server: the canonical direction
	// (ip_layer.swapped) that is to the server.
	void (*describe)(void *ctx, uint32_t index, unsigned to_server, struct flow_record *);
	// A part has been written, and the flow goes on.
	void (*part)(void *ctx, uint32_t index);
	// The flow is over; its last part, if any, is written next. FLOW_END_REUSE stands for itself; for
	// other causes a flow that was closed says how (as flow_record.end).
	void (*end)(void *ctx, uint32_t index, enum flow_end);
};

// What the table must know of a capture before its first packet.
struct flow_capture {
	const char *name;          // part of flow_id
	struct counters *counters; // this worker's block for the capture; the table adds to it
	bool lossless;             // wait for room when writing records, never drop
};

// --- Key ---

// Sets hash, swapped and tunnel_hash of every layer of the packets. Not per table: any worker may
// compute it for another. Thread: any; the seed must have been set (hash_seed_init).
void flow_key_hash(const struct flow_config *, struct packet *pkts, unsigned n);

// The worker that owns a flow.
static inline uint8_t flow_owner(uint64_t hash, unsigned workers)
{
	return (uint8_t)(((hash & 0xffffffff) * workers) >> 32);
}

// --- Table (all by its worker) ---

// worker: index, set in records. records: where ended flows go. Returns NULL without memory.
struct flow_table *flow_table_new(
	const struct flow_config *, unsigned worker, struct ring *records);
void flow_table_free(struct flow_table *); // accepts NULL; active flows are not written

// Before the first packet. The listener is copied; all its functions are set.
void flow_table_listen(struct flow_table *, const struct flow_listener *);

// Begins a capture; its index may be reused after flow_capture_end has returned 0.
// Returns 0 or -EINVAL.
int flow_capture_begin(struct flow_table *, uint16_t capture, const struct flow_capture *);

// Updates the flow of each layer with owner == worker. Borrows the packets.
// Does not publish the record ring; the caller does, once a burst.
void flow_burst(struct flow_table *, struct packet *const *pkts, unsigned n);

// Ends flows of the capture whose idle timeout has passed at now_ns (the capture's clock) and writes
// due parts, at most budget flows. Returns how many it looked at. Being late changes no result: a
// flow's next packet decides by its timestamps as well.
unsigned flow_expire(struct flow_table *, uint16_t capture, uint64_t now_ns, unsigned budget);

// Ends all flows of a capture, at most budget at a time: those that had timed out at now_ns as idle
// (or fin, rst), the others with end (eof, forced). Returns how many are left; at 0 the capture is gone
// from the table unless keep (flows.flush on a running capture).
unsigned flow_capture_end(struct flow_table *, uint16_t capture, uint64_t now_ns, enum flow_end end,
	unsigned budget, bool keep);

// Of a flow by its index, for a listener: the record of its current part, without what the listener
// itself adds; parts of it alone.
void flow_table_get(struct flow_table *, uint32_t index, struct flow_record *ret);
uint64_t flow_table_id(const struct flow_table *, uint32_t index);
uint16_t flow_table_capture(const struct flow_table *, uint32_t index);
// Returns the canonical direction (ip_layer.swapped) that is to the server.
unsigned flow_table_tuple(const struct flow_table *, uint32_t index, struct flow_tuple *ret);

unsigned flow_table_active(const struct flow_table *);
size_t flow_table_bytes(const struct flow_table *);

// --- Queries: by the table's worker, a bounded step after each burst ---

enum flow_metric {
	FLOW_BY_BYTES,
	FLOW_BY_PACKETS,
	FLOW_BY_THROUGHPUT,
	FLOW_BY_DURATION,
	FLOW_BY_START,
	FLOW_BY_LAST_SEEN,
	FLOW_BY_SCORE,
};

enum flow_query_kind { FLOW_QUERY_TOP, FLOW_QUERY_LIST, FLOW_QUERY_GET };

struct flow_query {
	// set by the asker
	enum flow_query_kind kind;
	enum flow_metric metric;          // top
	bool ascending;                   // top: smallest first
	int capture;                      // -1: all
	int app_proto;                    // -1: all
	uint64_t flow_id;                 // get
	const struct flow_filter *filter; // NULL: all; must outlive the query
	unsigned limit;                   // size of results
	struct flow_record *results;
	uint32_t next; // list: where to go on (0 first); advanced by the steps
	// set by the steps
	unsigned count;
	uint64_t matched; // flows that matched (top: all of them)
	// the steps' own
	void *heap;
};

// Begins; allocates what a top query needs. Returns 0 or -ENOMEM. Thread: any.
int flow_query_init(struct flow_query *);
void flow_query_fini(struct flow_query *);

// Looks at no more than budget entries, and at fewer where a question reads more of each than the largest
// flows take, so that a step lasts about as long for any. Returns true when the query is complete: top results sorted,
// list filled to its limit or at the end of the table (next = UINT32_MAX).
// Every flow that is active throughout is seen exactly once.
bool flow_query_step(struct flow_table *, struct flow_query *, unsigned budget);

// The value that a top query sorts by.
double flow_metric_of(const struct flow_record *, enum flow_metric);

// --- Filters on records: the part of libpcap's filter language that a record can answer ---

// host net port portrange with src, dst; proto names and numbers; ip ip6 tcp udp icmp icmp6 sctp
// igmp; vlan [id]; and or not && || ! ( ). text NULL or empty matches all.
// Returns 0; or -EINVAL with a message in error (what, where, what is accepted).
int flow_filter_parse(const char *text, struct flow_filter **ret, char *error, size_t error_size);
void flow_filter_free(struct flow_filter *); // accepts NULL
bool flow_filter_match(const struct flow_filter *, const struct flow_tuple *);
