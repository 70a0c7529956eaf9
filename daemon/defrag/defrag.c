// SPDX-License-Identifier: Apache-2.0
// Trackers of datagrams under way: finding them, adding fragments, completing, giving up, expiry.
// A tracker stays for a while after its datagram was complete: a late repeat of a fragment then counts
// in the right flow. Fragments that come for it begin a second datagram with the same identification;
// only if that one never completes were they repeats.
#include "defrag.h"

#include <stdlib.h>
#include <string.h>

#include "aligned.h"
#include "cursor.h"
#include "defrag_internal.h"
#include "events.h"
#include "hash.h"

enum { EVICT_TRIES = 8 };

// Where a fragment's bytes are in its packet.
struct piece {
	const uint8_t *header; // IP header
	const uint8_t *data;   // payload
	uint32_t header_length;
	uint32_t header_next; // IPv6: offset of the byte that names the fragment header
	uint32_t offset;
	uint32_t length;
	uint8_t next_proto;
	bool more;
};

static void count(struct counters *c, uint8_t version, enum counter_id id4)
{
	counter_add(
		c, id4 + (version == 6 ? COUNTER_ipv6_fragments - COUNTER_ipv4_fragments : 0), 1);
}

struct defrag *defrag_new(const struct defrag_config *config)
{
	struct defrag *d = aligned_zalloc(sizeof(*d));

	if (d == NULL)
		return NULL;
	d->config = *config;
	if (!defrag_pool_init(d)) {
		defrag_free(d);
		return NULL;
	}
	return d;
}

void defrag_free(struct defrag *d)
{
	if (d == NULL)
		return;
	defrag_pool_fini(d);
	free(d);
}

bool defrag_has_buffer(const struct defrag *d)
{
	return chunk_pool_in_use(d->chunks) < DEFRAG_BUFFERS;
}

void defrag_refuse(const struct ip_layer *l, struct counters *c)
{
	count(c, l->version, COUNTER_ipv4_fragments);
	count(c, l->version, COUNTER_ipv4_memcap);
}

size_t defrag_bytes_in_use(const struct defrag *d)
{
	return (size_t)d->blocks_in_use * DEFRAG_BLOCK_BYTES;
}

unsigned defrag_fragments_in_use(const struct defrag *d)
{
	return d->fragments_in_use;
}

unsigned defrag_trackers_in_use(const struct defrag *d)
{
	return d->trackers_in_use;
}

// --- Reading a fragment ---

// Finds the fragment header behind the other extension headers (RFC 8200).
static bool piece_ipv6(struct piece *f, const uint8_t *end)
{
	uint32_t at = 40, next_at = 6;
	uint8_t next = f->header[6];

	while (next != 44) {
		if (next != 0 && next != 43 && next != 60)
			return false;
		if (f->header + at + 8 > end || at > DEFRAG_HEADER_MAX)
			return false;
		next_at = at;
		next = f->header[at];
		at += 8 + f->header[at + 1] * 8u;
	}
	if (f->header + at + 8 > end || at > DEFRAG_HEADER_MAX)
		return false;
	f->header_length = at;
	f->header_next = next_at;
	f->next_proto = f->header[at];
	f->data = f->header + at + 8;
	return true;
}

// Returns false where the fragment was not captured whole or makes no sense.
static bool piece_read(const struct packet *p, const struct ip_layer *l, struct piece *f)
{
	const uint8_t *end = p->data + p->caplen;
	uint32_t skip;

	*f = (struct piece){
		.header = p->data + l->l3_off, .offset = l->frag_off, .more = l->more_fragments};
	if (l->version == 4) {
		f->header_length = (f->header[0] & 15) * 4u;
		f->data = f->header + f->header_length;
	} else if (!piece_ipv6(f, end)) {
		return false;
	}
	skip = (uint32_t)(f->data - f->header);
	if (l->l3_len < skip || f->data + (l->l3_len - skip) > end)
		return false;
	f->length = l->l3_len - skip;
	return true;
}

// --- Finding trackers ---

static void key_of(const struct packet *p, const struct ip_layer *l, struct defrag_key *key)
{
	memset(key, 0, sizeof(*key));
	memcpy(key->src, l->src, 16);
	memcpy(key->dst, l->dst, 16);
	key->tunnel_hash = l->tunnel_hash;
	key->id = l->frag_id;
	key->capture = p->capture;
	key->vlan = p->vlan_count > 0 ? p->vlan[0] : 0;
	key->version = l->version;
	key->proto = l->version == 4 ? l->proto : 0;
}

static uint32_t *bucket_of(struct defrag *d, const struct defrag_key *key)
{
	return &d->bucket[hash_bytes(&hash_seed, key, sizeof(*key)) & d->bucket_mask];
}

static uint32_t tracker_find(struct defrag *d, const struct defrag_key *key)
{
	uint32_t i = *bucket_of(d, key);

	while (i != 0 && memcmp(&d->tracker[i].key, key, sizeof(*key)) != 0)
		i = d->tracker[i].chain;
	return i;
}

static void tracker_unlink(struct defrag *d, uint32_t i)
{
	struct defrag_tracker *t = &d->tracker[i];
	uint32_t *link = bucket_of(d, &t->key);

	while (*link != i)
		link = &d->tracker[*link].chain;
	*link = t->chain;
	if (t->older != 0)
		d->tracker[t->older].newer = t->newer;
	else
		d->oldest = t->newer;
	if (t->newer != 0)
		d->tracker[t->newer].older = t->older;
	else
		d->newest = t->older;
}

static void age_append(struct defrag *d, uint32_t i)
{
	struct defrag_tracker *t = &d->tracker[i];

	t->older = d->newest;
	t->newer = 0;
	if (d->newest != 0)
		d->tracker[d->newest].newer = i;
	else
		d->oldest = i;
	d->newest = i;
}

static uint8_t policy_for(const struct defrag_config *c, const struct ip_layer *l)
{
	for (unsigned i = 0; i < c->network_count; i++) {
		const struct defrag_network *n = &c->network[i];
		unsigned bytes = n->prefix_bits / 8, bits = n->prefix_bits % 8;

		if (n->version == l->version && memcmp(n->address, l->dst, bytes) == 0 &&
			(bits == 0 || (n->address[bytes] ^ l->dst[bytes]) >> (8 - bits) == 0))
			return n->policy;
	}
	return (uint8_t)(l->version == 4 ? c->policy4 : c->policy6);
}

// --- Letting fragments go ---

// Emits the accounting of a tracker's fragments in the order in which they came, the last `leave_out`
// excepted. They keep their timestamps, but for the flows they come now: the capture's clock never goes
// back, so that it makes no difference whether somebody looked for idle flows in the meantime.
static void emit_fragments(struct defrag *d, const struct defrag_tracker *t, uint32_t leave_out,
	uint64_t now_ns, defrag_emit emit, void *ctx)
{
	uint32_t by_arrival[DEFRAG_FRAGMENTS_PER_DATAGRAM];
	struct packet *p = &d->scratch;

	for (uint32_t i = t->fragments; i != 0; i = d->fragment[i].next)
		by_arrival[d->fragment[i].arrival] = i;
	memcpy(p, &t->context, packet_size(&t->context));
	p->data = NULL;
	p->caplen = 0;
	p->mbuf = NULL;
	p->chunk = NULL;
	p->event_count = 0;
	p->layer[p->layer_count - 1].flags &= (uint16_t)~LAYER_L4;
	for (uint32_t i = 0; i + leave_out < t->fragment_count; i++) {
		const struct defrag_fragment *f = &d->fragment[by_arrival[i]];

		p->ts_ns = f->ts_ns;
		p->now_ns = now_ns;
		p->seq = f->seq;
		p->wirelen = f->wirelen;
		emit(ctx, p);
	}
}

static void tracker_drop(struct defrag *d, uint32_t i, uint64_t now_ns, defrag_emit emit, void *ctx)
{
	emit_fragments(d, &d->tracker[i], 0, now_ns, emit, ctx);
	tracker_unlink(d, i);
	defrag_tracker_put(d, i);
}

// When the fragments of a tracker may be said to come now: another capture has a clock of its own.
static uint64_t now_for(const struct defrag *d, uint32_t i, const struct packet *p)
{
	const struct defrag_tracker *t = &d->tracker[i];
	uint64_t now = t->first_now_ns;

	if (t->key.capture == p->capture)
		return p->now_ns;
	for (uint32_t f = t->fragments; f != 0; f = d->fragment[f].next)
		if (d->fragment[f].now_ns > now)
			now = d->fragment[f].now_ns;
	return now;
}

// Makes room for p by letting the oldest datagram go.
static bool evict_oldest(struct defrag *d, uint32_t but, const struct packet *p, struct counters *c,
	defrag_emit emit, void *ctx)
{
	uint32_t i = d->oldest;

	if (i == but && i != 0)
		i = d->tracker[i].newer;
	if (i == 0)
		return false;
	if (d->tracker[i].fragment_count > 0)
		count(c, d->tracker[i].key.version, COUNTER_ipv4_evicted);
	tracker_drop(d, i, now_for(d, i, p), emit, ctx);
	return true;
}

static uint32_t tracker_new(struct defrag *d, const struct defrag_key *key, const struct packet *p,
	const struct ip_layer *l, struct counters *c, defrag_emit emit, void *ctx)
{
	uint32_t i = defrag_tracker_get(d), *bucket;
	struct defrag_tracker *t;

	if (i == 0 && evict_oldest(d, 0, p, c, emit, ctx))
		i = defrag_tracker_get(d);
	if (i == 0)
		return 0;
	t = &d->tracker[i];
	t->key = *key;
	t->total = UINT32_MAX;
	t->first_now_ns = p->now_ns;
	t->policy = policy_for(&d->config, l);
	memcpy(&t->context, p, packet_size(p));
	bucket = bucket_of(d, key);
	t->chain = *bucket;
	*bucket = i;
	age_append(d, i);
	return i;
}

// --- Adding ---

// Bytes of [offset, offset+length) that are there already; notes whether any differ.
static uint32_t covered(struct defrag *d, const struct defrag_tracker *t, const struct piece *f,
	bool *ret_differs, bool *ret_repeat)
{
	uint32_t sum = 0, at = f->offset, end = f->offset + f->length;

	*ret_differs = *ret_repeat = false;
	for (uint32_t i = t->fragments; i != 0; i = d->fragment[i].next) {
		const struct defrag_fragment *e = &d->fragment[i];
		uint32_t e_end = e->offset + e->length;
		uint32_t from = e->offset > f->offset ? e->offset : f->offset;
		uint32_t to = e_end < end ? e_end : end;
		bool same;

		if (e->offset >= end)
			break;
		if (from >= to)
			continue;
		same = defrag_compare(d, e->blocks, from - e->offset, f->data + (from - f->offset),
			       to - from) == 0;
		*ret_differs |= !same;
		*ret_repeat |= same && e->offset == f->offset && e->length == f->length;
		if (to > at) {
			sum += to - (from > at ? from : at);
			at = to;
		}
	}
	return sum;
}

static void insert_sorted(struct defrag *d, struct defrag_tracker *t, uint32_t i)
{
	uint32_t *link = &t->fragments;

	if (d->fragment[i].length == 0) { // accounting only: out of the way of those with bytes
		d->fragment[i].offset = 0;
		d->fragment[i].next = t->fragments;
		t->fragments = i;
		if (t->tail == 0)
			t->tail = i;
		return;
	}
	if (t->tail != 0 && d->fragment[t->tail].offset <= d->fragment[i].offset) {
		d->fragment[t->tail].next = i;
		t->tail = i;
		return;
	}
	while (*link != 0 && d->fragment[*link].offset <= d->fragment[i].offset)
		link = &d->fragment[*link].next;
	d->fragment[i].next = *link;
	if (*link == 0)
		t->tail = i;
	*link = i;
}

// Keeps a fragment (its bytes too, where payload is set). Returns false without room.
static bool keep(struct defrag *d, uint32_t tracker, const struct packet *p, const struct piece *f,
	bool payload, struct counters *c, defrag_emit emit, void *ctx)
{
	struct defrag_tracker *t = &d->tracker[tracker];
	uint32_t i = 0, blocks = 0;

	for (unsigned try = 0; try < EVICT_TRIES; try++) {
		if (i == 0)
			i = defrag_fragment_get(d);
		if (i != 0 && payload && blocks == 0)
			blocks = defrag_store(d, f->data, f->length);
		if (i != 0 && (!payload || blocks != 0))
			break;
		if (!evict_oldest(d, tracker, p, c, emit, ctx))
			break;
	}
	if (i == 0 || (payload && blocks == 0)) {
		if (i != 0)
			defrag_fragment_put(d, i);
		count(c, t->key.version, COUNTER_ipv4_memcap);
		return false;
	}
	d->fragment[i].blocks = blocks;
	d->fragment[i].offset = f->offset;
	d->fragment[i].length = payload ? f->length : 0;
	d->fragment[i].arrival = t->fragment_count++;
	d->fragment[i].wirelen = p->wirelen;
	d->fragment[i].ts_ns = p->ts_ns;
	d->fragment[i].now_ns = p->now_ns;
	d->fragment[i].seq = p->seq;
	insert_sorted(d, t, i);
	return true;
}

// Keeps the header of a first fragment. Returns false without room.
static bool keep_header(struct defrag *d, uint32_t tracker, const struct packet *p,
	const struct piece *f, struct counters *c, defrag_emit emit, void *ctx)
{
	struct defrag_tracker *t = &d->tracker[tracker];

	if (f->offset != 0 || t->header_length != 0)
		return true;
	t->header_next = f->header_next;
	t->next_proto = f->next_proto;
	if (t->key.version == 4)
		memcpy(t->header, f->header, f->header_length);
	else
		t->header_blocks = defrag_store(d, f->header, f->header_length);
	for (unsigned try = 0; t->key.version == 6 && t->header_blocks == 0; try++) {
		if (try == EVICT_TRIES || !evict_oldest(d, tracker, p, c, emit, ctx))
			return false;
		t->header_blocks = defrag_store(d, f->header, f->header_length);
	}
	t->header_length = f->header_length;
	return true;
}

static void give_up(struct defrag *d, struct defrag_tracker *t)
{
	t->state = DEFRAG_GIVEN_UP;
	for (uint32_t i = t->fragments; i != 0; i = d->fragment[i].next) {
		defrag_blocks_put(d, d->fragment[i].blocks);
		d->fragment[i].blocks = 0;
		d->fragment[i].length = 0;
	}
}

// Whether a fragment says that the datagram ends elsewhere than others did: no byte may lie beyond
// the end, or a count of bytes would not tell that all have come.
static bool contradicts_end(const struct defrag_tracker *t, const struct piece *f)
{
	uint32_t end = f->offset + f->length;

	if (t->total != UINT32_MAX)
		return f->more ? end > t->total : end != t->total;
	return !f->more && end < t->reach;
}

// Looks for what is wrong with a fragment; returns whether its bytes are wanted.
static bool check(struct defrag *d, struct defrag_tracker *t, struct packet *p, struct piece *f,
	struct counters *c)
{
	uint8_t version = t->key.version;

	if (f->more && f->length % 8 != 0) {
		packet_event(p, EVENT_frag_bad_length);
		count(c, version, COUNTER_ipv4_bad_length);
		f->length &= ~7u;
	}
	if (f->offset + f->length > DEFRAG_DATAGRAM_MAX) {
		packet_event(p, EVENT_frag_too_large);
		count(c, version, COUNTER_ipv4_too_large);
		give_up(d, t);
		return false;
	}
	if (f->offset == 0 && f->more && f->length < 8) {
		packet_event(p, EVENT_frag_too_small);
		count(c, version, COUNTER_ipv4_too_small);
	}
	if (contradicts_end(t, f)) {
		packet_event(p, EVENT_frag_overlap_differing);
		count(c, version, COUNTER_ipv4_overlap_differing);
		if (t->policy == DEFRAG_DROP)
			give_up(d, t);
		return false;
	}
	return f->length > 0 && t->state != DEFRAG_GIVEN_UP;
}

// Settles overlaps; returns whether the bytes are wanted, and how many are new.
static bool overlap(struct defrag *d, struct defrag_tracker *t, struct packet *p,
	const struct piece *f, struct counters *c, uint32_t *ret_new)
{
	uint8_t version = t->key.version;
	bool differs = false, repeat = false;
	uint32_t n = 0;

	if (t->tail == 0 || d->fragment[t->tail].offset + d->fragment[t->tail].length > f->offset ||
		t->overlaps)
		n = covered(d, t, f, &differs, &repeat);
	*ret_new = f->length - n;
	if (n == 0)
		return true;
	if (repeat) {
		count(c, version, COUNTER_ipv4_duplicate);
		return false;
	}
	packet_event(p, differs ? EVENT_frag_overlap_differing : EVENT_frag_overlap);
	count(c, version, differs ? COUNTER_ipv4_overlap_differing : COUNTER_ipv4_overlap);
	if (t->policy == DEFRAG_DROP) {
		give_up(d, t);
		return false;
	}
	t->overlaps = 1;
	return true;
}

static enum defrag_result complete(struct defrag *d, uint32_t tracker, struct packet *p,
	struct packet *ret_pkt, struct counters *c)
{
	struct defrag_tracker *t = &d->tracker[tracker];
	struct chunk *chunk = chunk_get(d->chunks, DEFRAG_WHOLE_MAX);
	uint32_t length;

	if (chunk == NULL) {
		count(c, t->key.version, COUNTER_ipv4_memcap);
		give_up(d, t);
		return DEFRAG_WAITING;
	}
	length = defrag_build(d, t, chunk->data);
	if (length == 0) {
		chunk_unref(chunk, 1);
		packet_event(p, EVENT_frag_too_large);
		count(c, t->key.version, COUNTER_ipv4_too_large);
		give_up(d, t);
		return DEFRAG_WAITING;
	}
	count(c, t->key.version, COUNTER_ipv4_reassembled);
	memcpy(ret_pkt, p, offsetof(struct packet, layer));
	ret_pkt->data = chunk->data;
	ret_pkt->caplen = length;
	ret_pkt->link = LINK_RAW;
	ret_pkt->mbuf = NULL;
	ret_pkt->chunk = chunk;
	d->finishing = tracker;
	d->finishing_now_ns = p->now_ns;
	return DEFRAG_COMPLETE;
}

enum defrag_result defrag_add(struct defrag *d, struct packet *p, struct counters *c,
	struct packet *ret_pkt, defrag_emit emit, void *ctx)
{
	const struct ip_layer *l = &p->layer[p->layer_count - 1];
	uint32_t i, fresh = 0;
	struct defrag_tracker *t;
	struct defrag_key key;
	struct piece f;
	bool payload;

	count(c, l->version, COUNTER_ipv4_fragments);
	if (!piece_read(p, l, &f)) {
		count(c, l->version, COUNTER_ipv4_unreadable);
		return DEFRAG_REFUSED;
	}
	key_of(p, l, &key);
	i = tracker_find(d, &key);
	if (i != 0 && d->tracker[i].first_now_ns + d->config.timeout_ns <= p->now_ns) {
		if (d->tracker[i].fragment_count > 0)
			count(c, l->version, COUNTER_ipv4_timeout);
		tracker_drop(d, i, p->now_ns, emit, ctx);
		i = 0;
	}
	if (i == 0)
		i = tracker_new(d, &key, p, l, c, emit, ctx);
	if (i == 0) {
		count(c, l->version, COUNTER_ipv4_memcap);
		return DEFRAG_REFUSED;
	}
	t = &d->tracker[i];
	if (t->fragment_count >= DEFRAG_FRAGMENTS_PER_DATAGRAM) {
		packet_event(p, EVENT_frag_too_many);
		count(c, l->version, COUNTER_ipv4_too_many);
		return DEFRAG_REFUSED;
	}
	payload = check(d, t, p, &f, c) && overlap(d, t, p, &f, c, &fresh);
	if (payload && !keep_header(d, i, p, &f, c, emit, ctx)) {
		count(c, l->version, COUNTER_ipv4_memcap);
		payload = false;
	}
	if (!keep(d, i, p, &f, payload, c, emit, ctx))
		return DEFRAG_REFUSED;
	if (t->state == DEFRAG_GIVEN_UP)
		return DEFRAG_WAITING;
	t->have += payload ? fresh : 0;
	if (payload && t->reach < f.offset + f.length)
		t->reach = f.offset + f.length;
	if (payload && !f.more)
		t->total = f.offset + f.length;
	if (t->header_length == 0 || t->total == UINT32_MAX || t->have < t->total)
		return DEFRAG_WAITING;
	return complete(d, i, p, ret_pkt, c);
}

void defrag_finish(struct defrag *d, const struct ip_layer *layer, defrag_emit emit, void *ctx)
{
	struct defrag_tracker *t = &d->tracker[d->finishing];

	t->context.layer[t->context.layer_count - 1] = *layer;
	emit_fragments(d, t, 1, d->finishing_now_ns, emit, ctx);
	defrag_fragments_put(d, t);
	// What comes from now on under this identification is a repeat or a second datagram.
	t->state = DEFRAG_UNDER_WAY;
	t->total = UINT32_MAX;
	t->have = 0;
	t->reach = 0;
	t->header_length = 0;
	t->overlaps = 0;
	d->finishing = 0;
}

void defrag_expire(struct defrag *d, uint16_t capture, uint64_t now_ns, bool all,
	struct counters *c, defrag_emit emit, void *ctx)
{
	uint32_t i = d->oldest, newer;

	for (; i != 0; i = newer) {
		struct defrag_tracker *t = &d->tracker[i];

		newer = t->newer;
		if (t->key.capture != capture)
			continue;
		if (!all && t->first_now_ns + d->config.timeout_ns > now_ns)
			break;
		if (t->fragment_count > 0)
			count(c, t->key.version, COUNTER_ipv4_timeout);
		tracker_drop(d, i, now_ns, emit, ctx);
	}
}
