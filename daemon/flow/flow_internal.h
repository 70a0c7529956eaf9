// SPDX-License-Identifier: Apache-2.0
// Layouts of the flow stage.
//
// A bucket is one cache line: ten signatures of 16 bits and the ten flow indices they stand for. All
// that belongs to a flow is in arrays by its index, which never changes while it lives: what every
// packet touches in one line (hot), what a packet of one direction touches in one more (stats), the
// rest in cold. Together, buckets at 62% load included, a flow takes less than 512 bytes.
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
	FLOW_TUNNELS = 65536,
	FLOW_TUNNEL_BUCKETS = 16384,
	FLOW_EVICT_REACH = 64, // buckets looked through for a flow to end early
};

struct flow_bucket {
	uint16_t signature[FLOW_BUCKET_SLOTS]; // 0: free
	uint16_t unused[2];
	uint32_t index[FLOW_BUCKET_SLOTS];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct flow_bucket) == 64, "a bucket is a cache line");

// First word of a key: ports, protocol, capture, kind. 0: no flow.
enum { FLOW_KIND_IPV4 = 1, FLOW_KIND_EXTENDED = 2 };

enum flow_bit {
	FLOW_TO_SERVER = 1 << 0, // canonical direction that is to the server
	FLOW_SPLT_FULL = 1 << 1,
	FLOW_PAYLOAD_SEEN = 1 << 2,
	FLOW_PAYLOAD_LAST = 1 << 3, // canonical direction of the last packet with payload
	FLOW_MIDSTREAM = 1 << 4,
	FLOW_GUESSED = 1 << 5,
	FLOW_TRUNCATED = 1 << 6,
	FLOW_REPLIED = 1 << 7,
};

// What has been seen of a flow over all its parts. Of two: for canonical direction 0, then 1.
enum flow_mark {
	FLOW_SEEN = 1 << 0,
	FLOW_SEEN_SYN = 1 << 2,
	FLOW_SEEN_FIN = 1 << 4,
	FLOW_SEEN_FINS = 3 << 4,
	FLOW_SYN_TIMED = 1 << 6,       // handshake_at_ns is the SYN's
	FLOW_SYNACK_TIMED = 1 << 7,    // handshake_at_ns is the SYN/ACK's
	FLOW_REQUEST_OPEN = 1 << 8,    // request_at_ns waits for its response
	FLOW_PART_OPEN = 1 << 9,       // the part has begun
	FLOW_TUNNEL_SWAPPED = 1 << 10, // the tunnel's src is on the server's side
};

// Why a TCP flow counts as closed, in the upper half of flow_hot.state.
enum { FLOW_CLOSED_FIN = 0x10, FLOW_CLOSED_RST = 0x20, FLOW_CLOSED = 0x30, FLOW_STATE = 0x0f };

struct flow_hot {             // one line, touched by every packet
	uint64_t word[2];     // key; extended: word[1] is a digest of the rest, which is in cold
	uint64_t last_now_ns; // the capture's clock at the last packet
	uint64_t bytes[2];
	uint32_t pkts[2];
	uint32_t part_q; // clock at the part's begin, in units of 2^24 ns (for a quick look)
	uint16_t size_min[2], size_max[2];
	uint8_t state; // enum flow_tcp_state and FLOW_CLOSED_*
	uint8_t bits;  // enum flow_bit
	uint8_t tcp_flags[2];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct flow_hot) == 64, "hot is one line");

struct flow_stats { // one line for each direction
	double size_mean, size_m2;
	double iat_mean, iat_m2;
	float size_m3, iat_m3;
	uint64_t last_ns;          // time of the last packet
	uint32_t iat_min, iat_max; // compact, see flow_compact
	uint16_t window_min, window_max;
	uint8_t ttl_min, ttl_max;
	uint16_t unused;
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct flow_stats) == 64, "statistics of a direction are one line");

struct flow_cold {
	uint8_t a[16], b[16];
	uint16_t vlan[PACKET_VLANS_MAX];
	uint64_t flow_id;
	uint64_t first_ns;
	uint64_t max_ns; // latest time, where a later packet went back
	uint64_t part_now_ns;
	uint64_t handshake_at_ns; // of the SYN, then of the SYN/ACK
	uint64_t request_at_ns;
	uint64_t response_sum_ns;
	uint32_t response_samples;
	uint32_t syn, synack, first_response, response_min, response_max; // compact
	uint32_t part_no;
	uint32_t slot; // bucket * 10 + slot
	uint32_t tunnel;
	uint32_t isn[2];
	uint32_t fin_end[2];  // sequence number behind the FIN
	uint32_t size_big[2]; // largest frame, where flow_hot.size_max cannot hold it
	uint16_t window_first[2];
	uint16_t mss[2];
	uint8_t wscale[2];
	uint8_t icmp_type[2], icmp_code[2];
	uint8_t vlan_count;
	uint8_t splt_count;
	uint16_t splt_direction; // a bit a packet
	uint16_t splt_size[FLOW_SPLT_PKTS];
	uint16_t app_proto;
	uint32_t splt_dt[FLOW_SPLT_PKTS];
	uint8_t splt_flags[FLOW_SPLT_PKTS];
	uint16_t marks;          // enum flow_mark
	uint16_t tunnel_port[2]; // of the first packet's outer header, source on the client's side
	uint8_t tunnel_proto;
	uint8_t tunnel_depth;
};
_Static_assert(sizeof(struct flow_bucket) * 100 / FLOW_BUCKET_SLOTS / 62 + sizeof(struct flow_hot) +
			       2 * sizeof(struct flow_stats) + sizeof(struct flow_cold) + 8 <=
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
	struct flow_cold *cold;
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
	struct flow_capture_state capture[FLOW_CAPTURES_MAX];
};

// One layer of one packet on its way through a burst.
struct flow_ref {
	struct packet *packet;
	const struct ip_layer *layer;
	uint64_t word[2];
	uint32_t bucket;
	uint32_t index; // candidate, 0 none
	uint16_t signature;
	uint8_t direction; // canonical
	uint8_t layer_number;
};

// A duration in 32 bits: exact below 2^26 ns (67 ms), else with 26 significant bits. Keeps order.
static inline uint32_t flow_compact(uint64_t ns)
{
	unsigned e;

	if (ns < (UINT64_C(1) << 26))
		return (uint32_t)ns;
	e = 63 - (unsigned)__builtin_clzll(ns) - 25;
	return (uint32_t)(e << 26) | (uint32_t)(ns >> e);
}

static inline uint64_t flow_expand(uint32_t c)
{
	return (uint64_t)(c & ((1u << 26) - 1)) << (c >> 26);
}

// Third moments of times are kept in a float: in units in which not even gaps of 2^64 ns overflow it.
#define FLOW_IAT_M3_SCALE 0x1p-80

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
void flow_key_words(const struct flow_config *, const struct packet *, const struct ip_layer *,
	uint64_t word[2]);
uint64_t flow_key_rehash(const uint64_t word[2]); // the table's hash, of a flow's own words
bool flow_key_equal_extended(const struct flow_config *, const struct flow_cold *,
	const struct packet *, const struct ip_layer *);
uint64_t flow_key_id(const struct flow_capture_state *, const struct flow_config *,
	const struct packet *, unsigned layer, const uint64_t word[2]);

// table.c
void flow_release(struct flow_table *, uint32_t index); // without a record

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
void flow_snapshot(const struct flow_table *, uint32_t index, struct flow_record *);
void flow_write(struct flow_table *, uint32_t index, enum flow_end);
void flow_times(
	const struct flow_table *, uint32_t index, uint64_t *ret_first_ns, uint64_t *ret_last_ns);
void flow_tuple_of(const struct flow_table *, uint32_t index, struct flow_tuple *);

// update.c
void flow_create(struct flow_table *, uint32_t index, const struct flow_ref *);
void flow_update(struct flow_table *, uint32_t index, const struct flow_ref *);
bool flow_is_reused(const struct flow_table *, uint32_t index, const struct flow_ref *);

// tunnel.c
uint32_t flow_tunnel_get(
	struct flow_table *, const struct packet *, unsigned layer, bool *ret_swapped);
void flow_tunnel_put(struct flow_table *, uint32_t tunnel);
