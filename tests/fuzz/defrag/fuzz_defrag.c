// SPDX-License-Identifier: Apache-2.0
// Fuzz target: bytes as a sequence of fragments of a few datagrams, decoded as they would be, and of
// looks at the clock. Beyond memory safety it holds: memory stays within its limits, each fragment is
// refused or comes out exactly once, and a datagram that comes out whole is within the largest size,
// says its own length, is no fragment, and each of its bytes is one that was sent for its place.
//
// Input: policies, trackers and fragments, blocks; then steps (see struct step). Seeds are written by
// make_seeds.py.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "decode.h"
#include "defrag.h"
#include "chunk.h"
#include "clock.h"
#include "hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim)                                                                               \
	do {                                                                                       \
		if (!(claim)) {                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim);                \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum { STEPS_MAX = 2048, CAPTURES = 2, FRAME_MAX = 70000, LARGEST_DATAGRAM = 65575 };
enum {
	IP_DESTINATION = 60,
	IP_FRAGMENT_HEADER = 44,
	IP_PROTOCOL = 253,
	IP_IN_IP = 4,
	IP6_IN_IP = 41
};

// Eight bytes of input.
enum step_bits {
	STEP_IPV6 = 1 << 0,
	STEP_MORE = 1 << 1,
	STEP_ID = 3 << 2, // which datagram
	STEP_CAPTURE = 1 << 4,
	STEP_TUNNEL = 1 << 5, // in IPv4
	STEP_CUT = 1 << 6,    // not captured whole
	STEP_PATCH = 1 << 7,  // a byte of the headers is changed
};

enum step_kind { STEP_FRAGMENT, STEP_EXPIRE = 14, STEP_END = 15 }; // other kinds: fragments, too

struct step {
	uint8_t bits;
	uint8_t kind;    // enum step_kind; its upper half: time that passes
	uint16_t place;  // upper 13 bits: offset; lower two: which bytes
	uint16_t length; // of the payload
	uint8_t options; // length of IP options or of an extension header
	uint8_t patch;   // what bit STEP_PATCH or STEP_CUT changes
};

enum fate { UNKNOWN, WAITING, EMITTED, REFUSED, COMPLETED };

struct run {
	struct defrag *defrag;
	struct defrag_config config;
	struct counters counters;
	uint64_t clock[CAPTURES];
	bool patched; // bytes may be anything from now on
	unsigned sent;
	uint8_t fate[STEPS_MAX + 1]; // by sequence number
	uint32_t wirelen[STEPS_MAX + 1];
};

// The bytes at each place of every payload, in four variants. The upper six bits tell the place.
static uint8_t bytes_at[4][2 * 65536];

static void fill_bytes(void)
{
	for (unsigned variant = 0; variant < 4; variant++)
		for (uint32_t at = 0; at < sizeof(bytes_at[0]); at++)
			bytes_at[variant][at] = (uint8_t)((at * 2654435761u >> 13 & 0x3f) << 2 |
							  variant);
}

static void put_be16(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

static uint32_t put_ip4(uint8_t *b, const struct step *s, uint32_t *ret_length)
{
	uint32_t header = 20 + s->options % 11 * 4u;

	*ret_length = s->length < 65535 - header ? s->length : 65535 - header;
	memset(b, 0, 20);
	memset(b + 20, 1, header - 20); // no operation
	b[0] = (uint8_t)(0x40 | header / 4);
	put_be16(b + 2, header + *ret_length);
	put_be16(b + 4, s->bits & STEP_ID);
	put_be16(b + 6, (s->bits & STEP_MORE ? 0x2000u : 0u) | s->place >> 3);
	b[8] = 64;
	b[9] = IP_PROTOCOL;
	b[12] = 10;
	b[16] = (s->bits & STEP_ID) == 0 ? 192 : 193; // networks of different policy
	return header;
}

static uint32_t put_ip6(uint8_t *b, const struct step *s, uint32_t *ret_length)
{
	uint32_t extension = s->options == 0 ? 0 : s->options * 8u, header = 40 + extension;
	uint8_t *fragment = b + header;

	*ret_length = s->length < 65535 - 8 - extension ? s->length : 65535 - 8 - extension;
	memset(b, 0, header + 8);
	b[0] = 0x60;
	put_be16(b + 4, extension + 8 + *ret_length);
	b[6] = extension == 0 ? IP_FRAGMENT_HEADER : IP_DESTINATION;
	b[7] = 64;
	b[8] = b[24] = 0xfd;
	if (extension != 0) { // of padding
		b[40] = IP_FRAGMENT_HEADER;
		b[41] = (uint8_t)(s->options - 1);
	}
	fragment[0] = IP_PROTOCOL;
	put_be16(fragment + 2, (s->place & 0xfff8u) | (s->bits & STEP_MORE ? 1 : 0));
	fragment[7] = s->bits & STEP_ID;
	return header + 8;
}

static uint32_t put_outer(uint8_t *b, const struct step *s, uint32_t inner)
{
	memset(b, 0, 20);
	b[0] = 0x45;
	put_be16(b + 2, 20 + inner);
	b[8] = 64;
	b[9] = s->bits & STEP_IPV6 ? IP6_IN_IP : IP_IN_IP;
	return 20;
}

// Builds the frame of a step in memory of its size; returns false where it can be none.
static bool make_packet(struct run *r, const struct step *s, struct packet *p)
{
	static uint8_t b[FRAME_MAX];
	uint8_t *ip = s->bits & STEP_TUNNEL ? b + 20 : b, *bytes;
	uint32_t length, header, size;

	header = s->bits & STEP_IPV6 ? put_ip6(ip, s, &length) : put_ip4(ip, s, &length);
	memcpy(ip + header, &bytes_at[s->place & 3][s->place & 0xfff8u], length);
	size = header + length;
	if (s->bits & STEP_PATCH) {
		ip[s->patch % header] ^= (uint8_t)(s->options | 1);
		r->patched = true;
	}
	if (s->bits & STEP_TUNNEL)
		size += put_outer(b, s, size);
	memset(p, 0, sizeof(*p));
	p->wirelen = size;
	p->caplen = s->bits & STEP_CUT && s->patch < size ? size - s->patch : size;
	bytes = malloc(p->caplen); // of its own, so that reading beyond it is seen
	if (bytes == NULL)
		return false;
	memcpy(bytes, b, p->caplen);
	p->data = bytes;
	p->link = LINK_RAW;
	p->capture = s->bits & STEP_CAPTURE ? 1 : 0;
	p->ts_ns = p->now_ns = r->clock[p->capture];
	return true;
}

static void take_fragment(void *ctx, const struct packet *p)
{
	struct run *r = ctx;

	CHECK(p->seq >= 1 && p->seq <= r->sent);
	CHECK(r->fate[p->seq] == WAITING);
	r->fate[p->seq] = EMITTED;
	CHECK(p->wirelen == r->wirelen[p->seq]);
	CHECK(p->data == NULL && p->caplen == 0 && p->mbuf == NULL && p->chunk == NULL);
	CHECK(p->layer_count >= 1 && p->event_count == 0);
	CHECK(p->ts_ns <= r->clock[p->capture]);
}

static void check_datagram(const struct run *r, const struct packet *whole, uint8_t version)
{
	const uint8_t *b = whole->data;
	uint32_t at = version == 4 ? (b[0] & 15) * 4u : 40;

	CHECK(whole->caplen > at && whole->caplen <= LARGEST_DATAGRAM);
	CHECK(whole->chunk != NULL && whole->chunk->size_bytes >= whole->caplen);
	if (version == 4) {
		CHECK(load_be16(b + 2) == whole->caplen);
		CHECK((load_be16(b + 6) & 0x3fff) == 0);
	} else {
		CHECK(load_be16(b + 4) + 40u == whole->caplen);
	}
	if (r->patched)
		return;
	for (uint8_t next = b[6]; version == 6 && next == IP_DESTINATION;) {
		CHECK(at + 8 <= whole->caplen);
		next = b[at];
		at += 8 + b[at + 1] * 8u;
	}
	for (uint32_t i = 0; at + i < whole->caplen; i++)
		CHECK((b[at + i] & 0xfc) == bytes_at[0][i]);
}

static void take_datagram(struct run *r, const struct packet *p, struct packet *whole)
{
	static const struct decode_config config = {false, PACKET_LAYERS_MAX - 1};
	const struct ip_layer *last = &p->layer[p->layer_count - 1];

	check_datagram(r, whole, last->version);
	decode_burst(&config, whole, 1);
	CHECK(whole->layer_count >= 1 || r->patched);
	CHECK(r->patched || !(whole->layer[0].flags & LAYER_FRAGMENT));
	defrag_finish(
		r->defrag, whole->layer_count > 0 ? &whole->layer[0] : last, take_fragment, r);
	chunk_unref(whole->chunk, 1);
}

static void step_fragment(struct run *r, const struct step *s)
{
	static const struct decode_config config = {false, PACKET_LAYERS_MAX - 1};
	static struct packet p, whole;
	struct ip_layer *last;

	if (!make_packet(r, s, &p))
		return;
	decode_burst(&config, &p, 1);
	last = p.layer_count > 0 ? &p.layer[p.layer_count - 1] : NULL;
	if (last != NULL && last->flags & LAYER_FRAGMENT) {
		p.seq = ++r->sent;
		last->tunnel_hash = p.layer_count > 1 ? 99 : 0;
		r->wirelen[p.seq] = p.wirelen;
		switch (defrag_add(r->defrag, &p, &r->counters, &whole, take_fragment, r)) {
		case DEFRAG_WAITING:
			r->fate[p.seq] = WAITING;
			break;
		case DEFRAG_REFUSED:
			r->fate[p.seq] = REFUSED;
			break;
		case DEFRAG_COMPLETE:
			r->fate[p.seq] = COMPLETED;
			take_datagram(r, &p, &whole);
			break;
		}
	}
	free((void *)(uintptr_t)p.data);
}

static void step(struct run *r, const struct step *s)
{
	uint16_t capture = s->bits & STEP_CAPTURE ? 1 : 0;

	r->clock[capture] += (s->kind >> 4) * r->config.timeout_ns / 8;
	switch (s->kind & 15) {
	case STEP_EXPIRE:
	case STEP_END:
		defrag_expire(r->defrag, capture, r->clock[capture], (s->kind & 15) == STEP_END,
			&r->counters, take_fragment, r);
		break;
	default: // the rest
		step_fragment(r, s);
		break;
	}
	CHECK(defrag_bytes_in_use(r->defrag) <= r->config.bytes);
	CHECK(defrag_fragments_in_use(r->defrag) <= r->config.fragments);
	CHECK(defrag_trackers_in_use(r->defrag) <= r->config.trackers);
}

static void configure(struct defrag_config *c, const uint8_t *b)
{
	*c = (struct defrag_config){
		.trackers = 1 + (b[1] & 7),
		.fragments = b[1] >> 3 == 31 ? STEPS_MAX : 1u + (b[1] >> 3),
		.bytes = b[2] == 255 ? 16 << 20 : b[2] * 512u,
		.timeout_ns = NSEC_PER_S,
		.policy4 = (enum defrag_policy)((b[0] & 15) % (DEFRAG_DROP + 1)),
		.policy6 = (enum defrag_policy)((b[0] >> 4) % (DEFRAG_DROP + 1)),
		.network = {{{192}, 4, 8, DEFRAG_BSD}},
		.network_count = 1,
	};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor c = cursor_of(data, size);
	const uint8_t *b = cursor_take(&c, 3);
	static struct run r;

	if (b == NULL || size > STEPS_MAX * sizeof(struct step))
		return 0;
	if (bytes_at[3][0] == 0) {
		hash_seed = hash_fixed; // the same in each run
		fill_bytes();
	}
	memset(&r, 0, sizeof(r));
	configure(&r.config, b);
	r.defrag = defrag_new(&r.config);
	if (r.defrag == NULL)
		return 0;
	while ((b = cursor_take(&c, sizeof(struct step))) != NULL) {
		struct step s = {b[0], b[1], load_be16(b + 2), load_be16(b + 4), b[6], b[7]};

		step(&r, &s);
	}
	for (uint16_t i = 0; i < CAPTURES; i++)
		defrag_expire(r.defrag, i, r.clock[i], true, &r.counters, take_fragment, &r);
	for (unsigned i = 1; i <= r.sent; i++)
		CHECK(r.fate[i] != WAITING && r.fate[i] != UNKNOWN);
	CHECK(defrag_bytes_in_use(r.defrag) == 0);
	CHECK(defrag_fragments_in_use(r.defrag) == 0);
	CHECK(defrag_trackers_in_use(r.defrag) == 0);
	defrag_free(r.defrag);
	return 0;
}
