// SPDX-License-Identifier: Apache-2.0
// IP reassembly (RFC 791, RFC 8200 section 4.5, RFC 5722, RFC 6946): fragments of a datagram, in any
// order, become one packet that goes through decode like any other. Memory is fixed: so many
// datagrams under way, so many fragments, so many bytes; what does not fit is counted, never kept.
//
// Each fragment also has to be counted as a packet in the flow of the datagram that it completes,
// whose ports are known only then (or never: then in the flow with ports 0). So a fragment's
// accounting waits here too, and comes out through `emit` as a packet without bytes.
//
// One object a worker; its worker is the only thread that touches it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "counters.h"
#include "packet.h"

struct defrag;

// Who wins where fragments overlap with different bytes: E is the fragment that came earlier, N the
// one that came later.
enum defrag_policy {
	DEFRAG_FIRST,   // E
	DEFRAG_LAST,    // N
	DEFRAG_BSD,     // E where it begins before or with N, else N
	DEFRAG_LINUX,   // E where it begins before N, else N
	DEFRAG_WINDOWS, // E, unless N begins before and ends after it
	DEFRAG_DROP,    // nobody: the datagram is given up (RFC 5722); exact repeats do no harm
};

enum { DEFRAG_NETWORKS_MAX = 32, DEFRAG_FRAGMENTS_PER_DATAGRAM = 1024, DEFRAG_BUFFERS = 256 };

struct defrag_network {
	uint8_t address[16]; // of the receiver
	uint8_t version;
	uint8_t prefix_bits;
	uint8_t policy; // enum defrag_policy
};

struct defrag_config {
	uint32_t trackers;   // datagrams under way, and for a while after they were complete
	uint32_t fragments;  // fragments waiting
	uint64_t bytes;      // their payload
	uint64_t timeout_ns; // from a datagram's first fragment
	enum defrag_policy policy4, policy6;
	struct defrag_network network[DEFRAG_NETWORKS_MAX]; // first match decides
	unsigned network_count;
};

enum defrag_result {
	DEFRAG_WAITING,  // kept; nothing more to do with this layer
	DEFRAG_COMPLETE, // ret_pkt is the datagram: decode it, then call defrag_finish
	DEFRAG_REFUSED,  // cannot be kept: count it in the flow with ports 0
};

// Takes one packet for the flow stage: a copy on the caller's side, valid during the call. Only the
// last layer is to be counted. No bytes come with it.
typedef void (*defrag_emit)(void *ctx, const struct packet *);

// Returns NULL without memory.
struct defrag *defrag_new(const struct defrag_config *);
void defrag_free(struct defrag *); // accepts NULL

// Adds the fragment in p's last layer, whose tunnel_hash has been set. Borrows p: bytes are copied.
// Events are noted on p; counters go to c. ret_pkt (on DEFRAG_COMPLETE): source section set, link
// LINK_RAW, a chunk reference to release.
enum defrag_result defrag_add(struct defrag *, struct packet *p, struct counters *c,
	struct packet *ret_pkt, defrag_emit emit, void *ctx);

// After DEFRAG_COMPLETE: layer is what decoding said of the datagram (its ports, hash and tunnel set);
// emits the earlier fragments with it.
void defrag_finish(struct defrag *, const struct ip_layer *layer, defrag_emit emit, void *ctx);

// Gives up datagrams of the capture whose time is over at now_ns, and emits their fragments with
// ports 0. all: gives up every one (end of the capture).
void defrag_expire(struct defrag *, uint16_t capture, uint64_t now_ns, bool all, struct counters *c,
	defrag_emit emit, void *ctx);

// Whether a datagram that became whole now would find a buffer: each is in use until the packet that it
// became has been released.
bool defrag_has_buffer(const struct defrag *);

// Counts a fragment that the caller cannot add: it goes to the flow with ports 0, as DEFRAG_REFUSED.
void defrag_refuse(const struct ip_layer *, struct counters *);

size_t defrag_bytes_in_use(const struct defrag *);
unsigned defrag_fragments_in_use(const struct defrag *);
unsigned defrag_trackers_in_use(const struct defrag *);
