// SPDX-License-Identifier: Apache-2.0
// Holding what came ahead of its turn. A segment becomes one piece, or several where others hold parts
// of its range already and the policy lets them have it. Where the policy prefers the later segment,
// pieces are cut. Each byte is thus held once, from the segment that the policy grants it to.
#include <string.h>

#include "events.h"
#include "reassembly_internal.h"

struct stored {
	bool is_overlap, is_differing, is_new, is_full;
};

static int chain_blocks(const struct reassembly *r, uint32_t i)
{
	int n = 0;

	for (; i != 0; i = r->block[i].next)
		n++;
	return n;
}

static void link_first(const struct place *at)
{
	struct reassembly_side *s = at->side;

	if (s->root != 0)
		at->r->block[s->root].first = at->r->block[tree_first(at->r, s->root)].seq;
}

static void link_piece(const struct place *at, uint32_t i)
{
	uint32_t old = at->side->root;

	tree_insert(at->r, &at->side->root, i);
	pool_account(at, old, chain_blocks(at->r, i), 1);
}

static void unlink_piece(const struct place *at, uint32_t i)
{
	uint32_t old = at->side->root;

	tree_remove(at->r, &at->side->root, i);
	pool_account(at, old, -chain_blocks(at->r, i), -1);
}

// Copies bytes into a chain of blocks. Returns its first block, 0 without room.
static uint32_t store_bytes(const struct place *at, const uint8_t *data, uint32_t n)
{
	struct reassembly *r = at->r;
	uint32_t first = 0, last = 0;

	do {
		uint32_t part = n < REASSEMBLY_BLOCK_DATA ? n : REASSEMBLY_BLOCK_DATA;
		uint32_t i = pool_get(r, at->capture);

		if (i == 0) {
			pool_put(r, at->capture, first);
			return 0;
		}
		if (part > 0 && data != NULL)
			memcpy(r->block[i].data, data, part);
		if (first == 0)
			first = i;
		else
			r->block[last].next = i;
		last = i;
		if (data != NULL)
			data += part;
		n -= part;
	} while (n > 0);
	return first;
}

// Makes bytes [from, to) of a segment a piece.
static bool add_piece(const struct place *at, const struct span *n, uint32_t from, uint32_t to)
{
	uint32_t skip = from - n->seq, whole = to - from, have, i;
	struct reassembly *r = at->r;
	struct reassembly_block *b;
	bool is_empty = (n->flags & PIECE_EMPTY) != 0;

	have = skip < n->length ? n->length - skip : 0;
	have = have < whole ? have : whole;
	i = store_bytes(at, is_empty ? NULL : n->data + skip, is_empty ? 0 : have);
	if (i == 0)
		return false;
	b = &r->block[i];
	b->seq = from;
	b->length = have;
	b->missing = whole - have;
	b->origin = n->seq;
	b->origin_length = n->length + n->missing;
	b->flags = n->flags & 3;
	b->ts_ns = n->ts_ns;
	link_piece(at, i);
	return true;
}

uint32_t piece_take_first(const struct place *at)
{
	struct reassembly_side *s = at->side;
	uint32_t i = tree_first(at->r, s->root);

	unlink_piece(at, i);
	link_first(at);
	return i;
}

void piece_free(const struct place *at, uint32_t piece)
{
	pool_put(at->r, at->capture, piece);
}

void piece_drop_all(const struct place *at)
{
	while (at->side->root != 0)
		piece_free(at, piece_take_first(at));
}

// Finds byte n of a piece: its block and the place in it.
static const uint8_t *byte_at(const struct reassembly *r, uint32_t i, uint32_t n, uint32_t *ret_run)
{
	for (; n >= REASSEMBLY_BLOCK_DATA; n -= REASSEMBLY_BLOCK_DATA)
		i = r->block[i].next;
	*ret_run = REASSEMBLY_BLOCK_DATA - n;
	return &r->block[i].data[n];
}

static bool is_differing(
	const struct reassembly *r, uint32_t i, const struct span *n, uint32_t from, uint32_t to)
{
	const struct reassembly_block *b = &r->block[i];
	uint32_t end = b->seq + b->length, n_end = n->seq + n->length;

	if ((b->flags | n->flags) & PIECE_EMPTY)
		return false;
	// Only what was captured of both.
	if (seq_diff(end, to) < 0)
		to = end;
	if (seq_diff(n_end, to) < 0)
		to = n_end;
	while (seq_diff(from, to) < 0) {
		uint32_t run, left = to - from;
		const uint8_t *held = byte_at(r, i, from - b->seq, &run);

		run = run < left ? run : left;
		if (memcmp(held, n->data + (from - n->seq), run) != 0)
			return true;
		from += run;
	}
	return false;
}

static bool new_wins(
	enum reassembly_policy policy, const struct reassembly_block *e, const struct span *n)
{
	uint32_t e_end = e->origin + e->origin_length, n_end = n->seq + n->length + n->missing;

	switch (policy) {
	case REASSEMBLY_FIRST:
	case REASSEMBLY_DROP:
		return false;
	case REASSEMBLY_LAST:
		return true;
	case REASSEMBLY_BSD:
		return seq_diff(e->origin, n->seq) > 0;
	case REASSEMBLY_LINUX:
		return seq_diff(e->origin, n->seq) >= 0;
	case REASSEMBLY_WINDOWS:
		return seq_diff(n->seq, e->origin) < 0 && seq_diff(n_end, e_end) > 0;
	}
	return false;
}

// The part of a piece from `from` on becomes a piece of its own.
static bool split_off(const struct place *at, uint32_t piece, uint32_t from)
{
	struct reassembly *r = at->r;
	struct reassembly_block *b = &r->block[piece], *c;
	uint32_t skip = from - b->seq, n = b->length > skip ? b->length - skip : 0, i, j, done = 0;
	bool is_empty = (b->flags & PIECE_EMPTY) != 0;

	i = store_bytes(at, NULL, is_empty ? 0 : n);
	if (i == 0)
		return false;
	for (j = i; !is_empty && done < n;) {
		uint32_t fill = done % REASSEMBLY_BLOCK_DATA, run, left = n - done;
		const uint8_t *held = byte_at(r, piece, skip + done, &run);

		run = run < left ? run : left;
		if (run > REASSEMBLY_BLOCK_DATA - fill)
			run = REASSEMBLY_BLOCK_DATA - fill;
		memcpy(&r->block[j].data[fill], held, run);
		done += run;
		if (done % REASSEMBLY_BLOCK_DATA == 0)
			j = r->block[j].next;
	}
	c = &r->block[i];
	c->seq = from;
	c->length = n;
	c->missing = piece_end(b) - from - n;
	c->origin = b->origin;
	c->origin_length = b->origin_length;
	c->flags = b->flags;
	c->ts_ns = b->ts_ns;
	link_piece(at, i);
	return true;
}

// Takes [from, to), which lies within the piece, away from it. Returns false where the part behind
// could not be kept.
static bool cut_piece(const struct place *at, uint32_t piece, uint32_t from, uint32_t to)
{
	struct reassembly *r = at->r;
	struct reassembly_block *b = &r->block[piece];
	uint32_t end = piece_end(b), keep;
	bool is_kept = true;

	if (seq_diff(to, end) < 0)
		is_kept = split_off(at, piece, to);
	keep = from - b->seq;
	if (keep == 0) {
		unlink_piece(at, piece);
		piece_free(at, piece);
		return is_kept;
	}
	if (keep < b->length)
		b->length = keep;
	b->missing = keep - b->length;
	return is_kept;
}

// Goes through the held pieces that the segment meets and takes what it is granted.
static void store_parts(const struct place *at, const struct span *n, struct stored *ret)
{
	enum reassembly_policy policy = place_policy(at);
	uint32_t pos = n->seq, end = n->seq + n->length + n->missing;

	// What was delivered since it was sent is no longer asked for.
	if (seq_diff(pos, at->side->next) < 0)
		pos = at->side->next;
	while (seq_diff(pos, end) < 0) {
		uint32_t i = tree_after(at->r, at->side->root, pos), to, from;
		const struct reassembly_block *e = &at->r->block[i];

		if (i == 0 || seq_diff(e->seq, pos) > 0) { // free up to the next piece
			to = i == 0 || seq_diff(e->seq, end) > 0 ? end : e->seq;
			if (!add_piece(at, n, pos, to)) {
				ret->is_full = true;
				return;
			}
			ret->is_new = true;
			pos = to;
			continue;
		}
		from = pos;
		to = seq_diff(piece_end(e), end) < 0 ? piece_end(e) : end;
		ret->is_overlap = true;
		ret->is_differing |= is_differing(at->r, i, n, from, to);
		// What the capture cut of the later segment takes nothing away.
		if (seq_diff(from, n->seq + n->length) < 0 && new_wins(policy, e, n)) {
			if (seq_diff(to, n->seq + n->length) > 0)
				to = n->seq + n->length;
			if (!cut_piece(at, i, from, to) || !add_piece(at, n, from, to)) {
				ret->is_full = true;
				return;
			}
		}
		pos = to;
	}
}

static bool contradicts(const struct place *at, const struct span *n)
{
	uint32_t end = n->seq + n->length + n->missing;
	uint32_t i = tree_after(at->r, at->side->root, n->seq);

	while (i != 0 && seq_diff(at->r->block[i].seq, end) < 0) {
		const struct reassembly_block *e = &at->r->block[i];
		uint32_t from = seq_diff(e->seq, n->seq) > 0 ? e->seq : n->seq;

		if (is_differing(at->r, i, n, from, end))
			return true;
		i = tree_after(at->r, at->side->root, piece_end(e));
	}
	return false;
}

void piece_store(const struct place *at, const struct span *n, struct packet *p)
{
	struct reassembly_figures *f;
	struct stored s = {false, false, false, false};

	if (place_policy(at) == REASSEMBLY_DROP && contradicts(at, n))
		s.is_overlap = s.is_differing = s.is_new = true;
	else
		store_parts(at, n, &s);
	link_first(at);
	if (s.is_full)
		COUNT(at, limit_segments, 1);
	if (!s.is_overlap)
		return;
	f = &side_cold(at)->figures;
	COUNT(at, retransmitted, 1);
	f->retransmitted++;
	if (s.is_differing) {
		COUNT(at, overlap_differing, 1);
		f->overlap_differing++;
		packet_event(p, EVENT_tcp_overlap_differing);
	}
	if (s.is_new) {
		COUNT(at, overlap, 1);
		f->overlap++;
	} else {
		COUNT(at, duplicate_segments, 1);
		f->duplicate++;
	}
}
