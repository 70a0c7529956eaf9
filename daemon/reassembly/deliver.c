// SPDX-License-Identifier: Apache-2.0
// From a side to its consumer: bytes in order, gaps, the end. Bytes are handed on where they lie. Only
// what a consumer leaves unused because it needs more of it is copied, into blocks of the pool, and
// put into one piece when there is enough; a bound is set to that. Streams that hold segments cannot
// starve those that hold such bytes, since some blocks are kept for these.
#include <string.h>

#include "reassembly_internal.h"

static bool is_quiet(const struct place *at)
{
	return (at->side->flags & SIDE_QUIET) != 0 || at->r->config.consumer.data == NULL;
}

// --- What the consumer asked to hold ---

static void held_drop(const struct place *at)
{
	struct side_cold *c;

	if (!(at->side->flags & SIDE_HELD))
		return;
	c = side_cold(at);
	pool_put(at->r, at->capture, c->held_head);
	c->held_head = c->held_tail = c->held_at = c->held = 0;
	at->side->flags &= (uint16_t)~SIDE_HELD;
}

static void quiet(const struct place *at)
{
	at->side->flags |= SIDE_QUIET;
	held_drop(at);
}

static void quiet_both(const struct place *at)
{
	struct place other;

	place_other(at, &other);
	quiet(at);
	quiet(&other);
}

static void hold_fails(const struct place *at)
{
	COUNT(at, limit_hold, 1);
	quiet(at);
	deliver_end(at, REASSEMBLY_END_LIMIT);
}

static bool hold(const struct place *at, const uint8_t *data, uint32_t n, uint64_t ts_ns)
{
	struct side_cold *c = side_cold(at);
	struct reassembly *r = at->r;

	if (n == 0)
		return true;
	if (c->held == 0)
		c->held_first_ns = c->held_last_ns = ts_ns;
	c->held_first_ns = ts_ns < c->held_first_ns ? ts_ns : c->held_first_ns;
	c->held_last_ns = ts_ns > c->held_last_ns ? ts_ns : c->held_last_ns;
	at->side->flags |= SIDE_HELD;
	while (n > 0) {
		uint32_t fill = (c->held_at + c->held) % REASSEMBLY_BLOCK_DATA, part, i;

		if (c->held_tail == 0 || fill == 0) {
			i = pool_get(r, at->capture);
			if (i == 0) {
				hold_fails(at);
				return false;
			}
			if (c->held_tail == 0)
				c->held_head = i;
			else
				r->block[c->held_tail].next = i;
			c->held_tail = i;
		}
		part = REASSEMBLY_BLOCK_DATA - fill;
		part = part < n ? part : n;
		memcpy(&r->block[c->held_tail].data[fill], data, part);
		c->held += part;
		data += part;
		n -= part;
	}
	return true;
}

// Forgets n bytes at the front, fewer than there are.
static void held_skip(const struct place *at, uint32_t n)
{
	struct side_cold *c = side_cold(at);
	struct reassembly *r = at->r;

	c->held -= n;
	c->held_at += n;
	while (c->held_at >= REASSEMBLY_BLOCK_DATA) {
		uint32_t i = c->held_head;

		c->held_head = r->block[i].next;
		r->block[i].next = 0;
		pool_put(r, at->capture, i);
		c->held_at -= REASSEMBLY_BLOCK_DATA;
	}
}

static void held_load(const struct place *at, uint8_t *to)
{
	const struct side_cold *c = side_cold(at);
	uint32_t i = c->held_head, from = c->held_at, n = c->held;

	while (n > 0) {
		uint32_t part = REASSEMBLY_BLOCK_DATA - from;

		part = part < n ? part : n;
		memcpy(to, &at->r->block[i].data[from], part);
		to += part;
		n -= part;
		from = 0;
		i = at->r->block[i].next;
	}
}

// --- Bytes ---

// Asks the consumer. Returns true where it goes on, with used and (for MORE) need made sensible.
static bool ask(
	const struct place *at, struct reassembly_data *d, uint32_t *ret_used, uint32_t *ret_need)
{
	const struct reassembly_consumer *c = &at->r->config.consumer;
	struct reassembly_answer a = c->data(c->ctx, d);
	uint32_t rest;

	switch (a.verb) {
	case REASSEMBLY_PASS:
		COUNT(at, bytes_not_wanted, d->length);
		*ret_used = d->length;
		*ret_need = 0;
		return true;
	case REASSEMBLY_ON:
		*ret_used = d->length;
		*ret_need = 0;
		return true;
	case REASSEMBLY_MORE:
		*ret_used = a.used < d->length ? a.used : d->length;
		rest = d->length - *ret_used;
		*ret_need = a.need > rest ? a.need : rest + 1;
		return true;
	case REASSEMBLY_ENOUGH:
		quiet(at);
		return false;
	case REASSEMBLY_NOT_MINE:
		quiet_both(at);
		return false;
	}
	return false;
}

static void describe(const struct place *at, struct reassembly_data *d, const uint8_t *bytes,
	uint32_t n, uint64_t first_ns, uint64_t last_ns)
{
	d->bytes = bytes;
	d->length = n;
	d->stream = at->stream;
	d->direction = at->direction;
	d->is_last = false;
	d->first_ns = first_ns;
	d->last_ns = last_ns;
}

// Nothing is held: in place. offset: of data in the stream.
static void give(
	const struct place *at, const uint8_t *data, uint32_t n, uint64_t offset, uint64_t ts_ns)
{
	struct reassembly_data d;
	uint32_t used, need;

	describe(at, &d, data, n, ts_ns, ts_ns);
	d.offset = offset;
	if (!ask(at, &d, &used, &need) || used == n)
		return;
	side_cold(at)->need = need;
	if (need > at->r->config.hold_bytes)
		hold_fails(at);
	else
		hold(at, data + used, n - used, ts_ns);
}

// Something is held: show it with all that is new, as far as it goes (a consumer that asks for one
// more byte each time is not asked again for each byte), then go on in place.
static void give_held(
	const struct place *at, const uint8_t *data, uint32_t n, uint64_t offset, uint64_t ts_ns)
{
	struct side_cold *c = side_cold(at);

	while (n > 0 && !(at->side->flags & SIDE_QUIET)) {
		uint32_t held = c->held, more, used, need;
		struct reassembly_data d;

		if (held == 0) {
			give(at, data, n, offset, ts_ns);
			return;
		}
		if (n < c->need - held) {
			hold(at, data, n, ts_ns);
			return;
		}
		more = at->r->config.hold_bytes - held;
		more = more < n ? more : n;
		held_load(at, at->r->scratch);
		memcpy(at->r->scratch + held, data, more);
		describe(at, &d, at->r->scratch, held + more,
			ts_ns < c->held_first_ns ? ts_ns : c->held_first_ns,
			ts_ns > c->held_last_ns ? ts_ns : c->held_last_ns);
		d.offset = offset - held;
		if (!ask(at, &d, &used, &need))
			return;
		if (used >= held) { // the rest is in the new bytes
			held_drop(at);
			data += used - held;
			offset += used - held;
			n -= used - held;
			c->need = need;
			if (used == held + more || n >= need)
				continue;
		} else {
			held_skip(at, used);
			c->need = need;
		}
		if (need > at->r->config.hold_bytes) {
			hold_fails(at);
			return;
		}
		if (c->held == 0) {
			hold(at, data, n, ts_ns);
			return;
		}
	}
}

// What is held will not get what it waits for.
static void deliver_held(const struct place *at)
{
	uint32_t n, used, need;
	const struct side_cold *c;
	struct reassembly_data d;

	if (!(at->side->flags & SIDE_HELD))
		return;
	c = side_cold(at);
	n = c->held;
	held_load(at, at->r->scratch);
	describe(at, &d, at->r->scratch, n, c->held_first_ns, c->held_last_ns);
	d.offset = at->side->offset - n;
	d.is_last = true;
	if (ask(at, &d, &used, &need))
		held_drop(at);
}

// n bytes whose turn it is; side.offset is behind them already.
static void hand_on(const struct place *at, const uint8_t *data, uint32_t n, uint64_t ts_ns)
{
	uint64_t offset = at->side->offset - n, depth = at->r->config.depth_bytes;
	uint32_t part = n;

	if (is_quiet(at)) {
		COUNT(at, bytes_not_wanted, n);
		return;
	}
	if (depth != 0 && at->side->offset > depth) {
		part = offset < depth ? (uint32_t)(depth - offset) : 0;
		COUNT(at, bytes_not_wanted, n - part);
		COUNT(at, limit_depth, 1);
	}
	if (part == 0)
		;
	else if (!(at->side->flags & SIDE_HELD))
		give(at, data, part, offset, ts_ns);
	else
		give_held(at, data, part, offset, ts_ns);
	if (depth != 0 && at->side->offset > depth && !(at->side->flags & SIDE_QUIET)) {
		struct reassembly_side *s = at->side;
		uint64_t after = s->offset;

		s->offset = depth;
		deliver_held(at);
		s->offset = after;
		quiet(at);
	}
}

void deliver_span(const struct place *at, const struct span *n)
{
	struct reassembly_side *s = at->side;

	s->next = n->seq + n->length;
	if (n->length > 0 && !(n->flags & PIECE_URGENT)) {
		s->offset += n->length;
		COUNT(at, bytes_delivered, n->length);
		hand_on(at, n->data, n->length, n->ts_ns);
	}
	if (n->missing > 0)
		deliver_gap(at, n->missing, GAP_TRUNCATED);
}

// --- Pieces ---

static void deliver_piece(const struct place *at, uint32_t piece)
{
	struct reassembly *r = at->r;
	struct reassembly_block *b = &r->block[piece];
	uint32_t left = b->length, missing = b->missing;

	if (b->flags & PIECE_URGENT) {
		at->side->next += left;
	} else if (b->flags & PIECE_EMPTY) {
		at->side->next += left;
		at->side->offset += left;
		COUNT(at, bytes_delivered, left);
		COUNT(at, bytes_not_wanted, left);
	} else {
		COUNT(at, bytes_delivered, left);
		for (uint32_t i = piece; left > 0; i = r->block[i].next) {
			uint32_t part = left < REASSEMBLY_BLOCK_DATA ? left : REASSEMBLY_BLOCK_DATA;

			at->side->next += part;
			at->side->offset += part;
			hand_on(at, r->block[i].data, part, b->ts_ns);
			left -= part;
		}
	}
	if (missing > 0)
		deliver_gap(at, missing, GAP_TRUNCATED);
}

void deliver_pieces(const struct place *at)
{
	struct reassembly_side *s = at->side;

	while (s->root != 0 && side_first(at) == s->next) {
		uint32_t piece;

		if ((s->flags & SIDE_FIN) && seq_diff(s->next, s->fin) >= 0)
			return;
		piece = piece_take_first(at);
		deliver_piece(at, piece);
		piece_free(at, piece);
	}
}

static void count_cause(const struct place *at, enum gap_cause cause)
{
	switch (cause) {
	case GAP_ACKED:
		COUNT(at, gaps_acked, 1);
		break;
	case GAP_BUDGET:
		COUNT(at, gaps_budget, 1);
		break;
	case GAP_END:
		COUNT(at, gaps_end, 1);
		break;
	case GAP_TRUNCATED:
		COUNT(at, gaps_truncated, 1);
		break;
	}
}

// Before the first byte of a direction without SYN there is nothing that a gap could be in.
static bool is_front(const struct place *at)
{
	return !(at->side->flags & SIDE_SYN) && at->side->offset == 0;
}

static void count_gap(const struct place *at, uint32_t missing)
{
	struct reassembly_side *s = at->side;

	if (s->gaps < UINT8_MAX && missing <= (uint32_t)(UINT16_MAX - s->gap_bytes)) {
		s->gaps++;
		s->gap_bytes = (uint16_t)(s->gap_bytes + missing);
	} else {
		side_cold(at)->figures.gaps++;
		side_cold(at)->figures.gap_bytes += missing;
	}
}

void deliver_gap(const struct place *at, uint32_t missing, enum gap_cause cause)
{
	const struct reassembly_consumer *c = &at->r->config.consumer;

	if (is_front(at)) {
		at->side->next += missing;
		at->side->base = at->side->next;
		return;
	}
	deliver_held(at);
	at->side->next += missing;
	at->side->offset += missing;
	count_gap(at, missing);
	COUNT(at, gaps, 1);
	count_cause(at, cause);
	COUNT(at, gap_bytes, missing);
	if (!(at->side->flags & SIDE_QUIET) && c->gap != NULL)
		c->gap(c->ctx, at->stream, at->direction, missing);
}

void deliver_past_gap(const struct place *at, enum gap_cause cause)
{
	struct reassembly_side *s = at->side;
	uint32_t to = side_first(at);

	if ((s->flags & SIDE_FIN) && seq_diff(to, s->fin) > 0) // nothing is behind a FIN
		to = s->fin;
	if (to != s->next)
		deliver_gap(at, to - s->next, cause);
	deliver_pieces(at);
}

void deliver_end(const struct place *at, enum reassembly_end_reason reason)
{
	const struct reassembly_consumer *c = &at->r->config.consumer;

	if (at->side->flags & SIDE_ENDED)
		return;
	deliver_held(at);
	if (at->side->flags & SIDE_ENDED) // by a limit just now
		return;
	at->side->flags |= SIDE_ENDED;
	if (c->end != NULL)
		c->end(c->ctx, at->stream, at->direction, reason);
}
