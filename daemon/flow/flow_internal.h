// SPDX-License-Identifier: Apache-2.0
// Layouts of the flow stage.
//
// A bucket is one cache line: ten signatures of 16 bits and the ten flow indices they stand for. All
// that belongs to a flow is in arrays by its index, which never changes while it lives. A packet of a
// flow that goes its usual way touches one line of it, the hot one: who it is, and a log of the last
// packets that are not yet in its figures. Every fourth packet takes the log to the figures: a line
// for both directions (turn), a line for each, and, for a flow's first packets, their sequence. What
// is read of a flow is read after flow_sync(), which does the same. The rest (cold) is for beginnings
// and ends. Together, buckets at 62% load included, a flow takes at most 512 bytes.
//
// Directions in here are canonical: 0 is from the lower end (a) to the higher (b). Which of the two is
// to the server is a bit of the flow.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "flow.h"

enum {
	FLOW_BUCKET_SLOTS = 10,
	FLOW_WHEEL_SLOTS = 512, // of a second each
	FLOW_TUNNELS = 65536,   // numbers of 16 bits
	FLOW_TUNNEL_BUCKETS = 16384,
	FLOW_EVICT_REACH = 64, // buckets looked through for a flow to end early
	FLOW_LOG_PKTS = 3,
	FLOW_TIMEOUTS = 6,
};

struct flow_bucket {
	uint16_t signature[FLOW_BUCKET_SLOTS]; // 0: free
	uint16_t elsewhere; // flows whose first bucket this is, noted in their second
	uint16_t unused;
	uint32_t index[FLOW_BUCKET_SLOTS];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct flow_bucket) == 64, "a bucket is a cache line");

// First word of a key: ports, protocol, capture, kind. 0: no flow.
enum { FLOW_KIND_IPV4 = 1, FLOW_KIND_EXTENDED = 2 };

enum flow_bit {
	FLOW_TO_SERVER = 1 << 0, // canonical direction that is to the server
	FLOW_SPLT_FULL = 1 << 1,
	FLOW_LOGS = 1 << 2, // and 1 << 3: packets of the direction may go into the log
	FLOW_MIDSTREAM = 1 << 4,
	FLOW_GUESSED = 1 << 5,
	FLOW_TRUNCATED = 1 << 6,
	FLOW_REPLIED = 1 << 7,
};

// What has been seen of a flow. Of two: for canonical direction 0, then 1.
enum flow_mark {
	FLOW_SEEN = 1 << 0, // over all parts
	FLOW_SEEN_SYN = 1 << 2,
	FLOW_SEEN_FIN = 1 << 4,
	FLOW_SEEN_FINS = 3 << 4,
	FLOW_SYN_TIMED = 1 << 6,       // handshake_at_ns is the SYN's
	FLOW_SYNACK_TIMED = 1 << 7,    // handshake_at_ns is the SYN/ACK's
	FLOW_REQUEST_OPEN = 1 << 8,    // request_at_ns waits for its response
	FLOW_PART_OPEN = 1 << 9,       // the part has begun
	FLOW_TUNNEL_SWAPPED = 1 << 10, // the tunnel's src is on the server's side
	FLOW_COUNTS = 1 << 11,         // and 1 << 12: the direction has packets in this part
	FLOW_BOTH_COUNT = 3 << 11,
	FLOW_PAYLOAD_SEEN = 1 << 13,
	FLOW_PAYLOAD_LAST = 1 << 14, // canonical direction of the last packet with payload
	FLOW_WENT_BACK = 1 << 15,    // in this part a packet was earlier than one before it
};

// Why a TCP flow counts as closed, in the upper half of flow_hot.state.
enum { FLOW_CLOSED_FIN = 0x10, FLOW_CLOSED_RST = 0x20, FLOW_CLOSED = 0x30, FLOW_STATE = 0x0f };

// A logged packet's flags: TCP's, in the place of FIN, SYN and RST, which are never logged, others.
enum {
	FLOW_LOG_DIRECTION = 1 << 0, // canonical
	FLOW_LOG_EMPTY = 1 << 1,     // no payload
	FLOW_LOG_TCP = 1 << 2,
	FLOW_LOG_TAKEN = 7,
};

struct flow_hot {             // one line, touched by every packet
	uint64_t word[2];     // key; extended: word[1] is a digest of the rest
	uint64_t last_now_ns; // the capture's clock at the last packet, logged or not
	uint32_t part_q;      // clock at the part's end, in units of 2^24 ns (for a quick look)
	// The log: for each packet the time since the one before, frame size, window, and what of the
	// size is not payload.
	uint32_t log_dt[FLOW_LOG_PKTS];
	uint16_t log_size[FLOW_LOG_PKTS];
	uint16_t log_window[FLOW_LOG_PKTS];
	uint8_t log_header[FLOW_LOG_PKTS];
	uint8_t log_flags[FLOW_LOG_PKTS];
	uint8_t log_count;
	uint8_t state;  // enum flow_tcp_state and FLOW_CLOSED_*
	uint8_t bits;   // enum flow_bit
	uint8_t ttl[2]; // of the direction's last packet
	uint8_t volume; // as in flow_table.volume
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct flow_hot) == 64, "hot is one line");

struct flow_stats {   // a direction's figures in this part; valid where FLOW_COUNTS is marked
	double m2[2]; // second and third moments of sizes, whose mean is bytes / pkts, and of
	float m3[2];  // times between packets
	double iat_mean;
	uint64_t last_ns; // time of the last packet
	uint64_t bytes;
	uint32_t pkts;
	uint32_t iat_min, iat_max; // compact, see flow_compact
	uint16_t size_min, size_max;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct flow_stats) == 64, "figures of a direction are one line");

struct flow_turn { // what both directions share
	uint64_t first_ns;
	uint64_t request_at_ns;
	uint64_t response_sum_ns;
	uint32_t response_samples;
	uint32_t first_response, response_min, response_max; // compact
	uint32_t part_no;
	uint16_t window_min[2], window_max[2];
	uint16_t marks; // enum flow_mark
	uint16_t splt_direction;
	uint8_t splt_count;
	uint8_t tcp_flags[2];
	uint8_t wscale[2];
	uint8_t vlan_count;
	uint8_t tunnel_proto, tunnel_depth;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct flow_turn) == 64, "what directions share is one line");

enum { FLOW_SPLT_HALF = FLOW_SPLT_PKTS / 2 };

struct flow_splt_half { // a line for each half of the first packets
	uint32_t dt[FLOW_SPLT_HALF];
	uint16_t size[FLOW_SPLT_HALF];
	uint8_t flags[FLOW_SPLT_HALF];
	// First half: clock at the part's begin. Second: the latest time, where FLOW_WENT_BACK is marked.
	uint64_t other;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct flow_splt_half) == 64, "half of the sequence is one line");

struct flow_ends {
	uint8_t a[16], b[16];
};

struct flow_cold {
	uint64_t flow_id;
	uint64_t handshake_at_ns; // of the SYN, then of the SYN/ACK
	uint32_t syn, synack;     // compact
	uint32_t isn[2];
	uint32_t fin_end[2];  // sequence number behind the FIN
	uint32_t size_big[2]; // largest frame, where flow_stats.size_max cannot hold it
	uint16_t window_first[2];
	union {
		uint16_t mss[2];
		struct {
			uint8_t icmp_type[2], icmp_code[2];
		};
	};
	uint16_t vlan[PACKET_VLANS_MAX];
	uint8_t ttl_min[2], ttl_max[2];
	uint16_t app_proto;
	uint16_t tunnel;
	uint16_t tunnel_port[2]; // of the first packet's outer header, source on the client's side
} __attribute__((packed, aligned(4)));
_Static_assert(sizeof(struct flow_bucket) * 100 / FLOW_BUCKET_SLOTS / 62 + sizeof(struct flow_hot) +
			       2 * sizeof(struct flow_stats) + sizeof(struct flow_turn) +
			       2 * sizeof(struct flow_splt_half) + sizeof(struct flow_ends) +
			       sizeof(struct flow_cold) + 8 + 1 <=
		       512,
	"a flow at full capacity takes 512 bytes at most");

struct flow_link {
	uint32_t prev, next;
};

struct flow_tunnel {
	uint64_t hash;
	uint32_t references;
	uint32_t next;
	uint32_t id;
	uint8_t src[16], dst[16];
	uint8_t type, version, has_id;
};

// A capture as the table knows it. Its wheel: flows by the second in which they must be looked at.
struct flow_capture_state {
	struct counters *counters;
	uint64_t name_hash;
	uint64_t tick; // all slots up to this second have been looked at
	uint32_t active;
	bool in_use;
	bool lossless;
	bool ticking; // tick is set
};

struct flow_table {
	struct flow_config config;
	struct flow_bucket *bucket;
	struct flow_hot *hot;
	struct flow_stats *stats; // two for each flow
	struct flow_turn *turn;
	// Few flows have enough packets for a second half: its memory is not touched for the others.
	struct flow_splt_half *splt_first, *splt_second;
	struct flow_ends *ends; // of extended keys
	struct flow_cold *cold;
	// For each flow a class of its bytes: 0 no flow; see flow_volume_class.
	uint8_t *volume;
	struct flow_link *link; // flows, then the heads of all wheels
	struct flow_tunnel *tunnel;
	uint32_t *tunnel_bucket;
	struct ring *records;
	uint32_t bucket_count;
	uint32_t capacity;
	uint32_t fresh; // first index never used
	uint32_t free;  // list of used ones, by link.next
	uint32_t active;
	uint32_t tunnel_fresh, tunnel_free;
	unsigned worker;
	uint32_t size_largest;   // frame of all
	uint64_t log_dt_most_ns; // a packet that comes later than this after the last is not logged
	struct flow_listener listener; // segment NULL: none
	struct flow_capture_state capture[FLOW_CAPTURES_MAX];
};

// One layer of one packet on its way through a burst.
struct flow_ref {
	struct packet *packet;
	const struct ip_layer *layer;
	uint64_t now_ns;
	uint32_t bucket;
	uint32_t index; // candidate, 0 none
	uint16_t signature;
	uint8_t direction; // canonical
	uint8_t layer_number;
	// As the log takes them.
	uint16_t size, window;
	uint8_t header, flags, ttl;
	uint8_t bits;  // to be set in the flow's
	bool is_plain; // may be logged
};

// What a packet adds to a flow's figures.
struct flow_facts {
	uint64_t ts_ns;
	uint32_t size, payload;
	uint16_t window_low, window_high; // other than TCP: 65,535 and 0, which change nothing
	uint8_t tcp_flags;
	uint8_t direction;
};

// A duration in 32 bits: exact below 2^26 ns (67 ms), else with 26 significant bits. Keeps order.
static inline uint32_t flow_compact(uint64_t ns)
{
	int e = 63 - 25 - __builtin_clzll(ns | 1);

	e = e > 0 ? e : 0;
	return (uint32_t)e << 26 | (uint32_t)(ns >> e);
}

static inline uint64_t flow_expand(uint32_t c)
{
	return (uint64_t)(c & ((1u << 26) - 1)) << (c >> 26);
}

// Third moments of times are kept in a float: in units in which not even gaps of 2^64 ns overflow it.
#define FLOW_IAT_M3_SCALE 0x1p-80

// Classes of bytes: eight for each power of two, from 64 bytes on; 1 below. The last has no end.
enum { FLOW_VOLUME_LAST = 255, FLOW_VOLUME_SHIFT = 6 };

static inline uint8_t flow_volume_class(uint64_t bytes)
{
	unsigned e, c;

	if (bytes < (1u << FLOW_VOLUME_SHIFT))
		return 1;
	e = 63 - (unsigned)__builtin_clzll(bytes);
	c = 2 + (e - FLOW_VOLUME_SHIFT) * 8 + (bytes >> (e - 3) & 7);
	return c < FLOW_VOLUME_LAST ? (uint8_t)c : FLOW_VOLUME_LAST;
}

static inline uint64_t flow_part_now(const struct flow_table *t, uint32_t index)
{
	return t->splt_first[index].other;
}

static inline uint64_t flow_id_of(const struct flow_table *t, uint32_t index)
{
	return t->cold[index].flow_id;
}

static inline uint32_t flow_wheel_head(const struct flow_table *t, uint16_t capture, unsigned slot)
{
	return t->capacity + 1 + capture * (FLOW_WHEEL_SLOTS + 1) + slot;
}

static inline uint16_t flow_capture_of(const struct flow_hot *h)
{
	return (uint16_t)(h->word[0] >> 40 & 0xff);
}

static inline uint8_t flow_proto_of(const struct flow_hot *h)
{
	return (uint8_t)(h->word[0] >> 32);
}

static inline bool flow_is_extended(uint64_t word0)
{
	return (word0 >> 48 & 3) == FLOW_KIND_EXTENDED;
}

// key.c
uint64_t flow_key_rehash(const uint64_t word[2]); // the table's hash, of a flow's own words
bool flow_key_equal_extended(
	const struct flow_table *, uint32_t index, const struct packet *, const struct ip_layer *);
uint64_t flow_key_id(const struct flow_capture_state *, const struct flow_config *,
	const struct packet *, unsigned layer, const uint64_t word[2]);

// entry.c
uint32_t flow_find(const struct flow_table *, const struct flow_ref *); // 0: not there
// An entry for a flow that is not there, which ends another where there is no room. Returns 0 where none
// can be had.
uint32_t flow_add(struct flow_table *, const struct flow_ref *);
void flow_release(struct flow_table *, uint32_t index); // without a record
void flow_prefetch_bucket(const struct flow_table *, uint32_t index);

// expiry.c
uint64_t flow_timeout(const struct flow_table *, const struct flow_hot *);
void flow_wheel_insert(struct flow_table *, uint32_t index, uint64_t now_ns);
void flow_wheel_remove(struct flow_table *, uint32_t index);
// Ends the flow or its part as far as time says at now_ns. is_packet: the flow's next packet has come
// at now_ns. Returns true when the flow is gone.
bool flow_resolve(struct flow_table *, uint32_t index, uint64_t now_ns, bool is_packet);
void flow_finish(struct flow_table *, uint32_t index, enum flow_end);
void flow_part_begin(struct flow_table *, uint32_t index, uint64_t now_ns);
void flow_part_end(struct flow_table *, uint32_t index);

// record.c
void flow_snapshot(struct flow_table *, uint32_t index, struct flow_record *);
void flow_peek(struct flow_table *, uint32_t index, struct flow_record *); // an active one's
void flow_write(struct flow_table *, uint32_t index, enum flow_end);
void flow_times(
	const struct flow_table *, uint32_t index, uint64_t *ret_first_ns, uint64_t *ret_last_ns);
void flow_tuple_of(const struct flow_table *, uint32_t index, struct flow_tuple *);

// figures.c
void flow_account(struct flow_table *, uint32_t index, const struct flow_facts *);
void flow_sync(struct flow_table *, uint32_t index); // takes the log to the figures
// The same together with a packet that could be logged, but for the log being full.
void flow_log_over(struct flow_table *, uint32_t index, const struct flow_ref *);
void flow_volume_set(struct flow_table *, uint32_t index);

// update.c
void flow_create(struct flow_table *, uint32_t index, const struct flow_ref *);
void flow_update(struct flow_table *, uint32_t index, const struct flow_ref *);
bool flow_is_reused(const struct flow_table *, uint32_t index, const struct flow_ref *);

// tunnel.c
uint32_t flow_tunnel_get(
	struct flow_table *, const struct packet *, unsigned layer, bool *ret_swapped);
void flow_tunnel_put(struct flow_table *, uint32_t tunnel);
