// SPDX-License-Identifier: Apache-2.0
// One segment: what its acknowledgement, its window and its bytes mean for the stream (where it
// begins: begin.c).
// The usual segment, in order and without holes, touches the two sides (a line each), the counters
// and the consumer, and nothing else.
#include "events.h"
#include "reassembly_internal.h"
#include "segment.h"

static uint32_t compact_ns(uint64_t ns)
{
	return ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

// --- Acknowledgement and window ---

static void sample_rtt(struct segment *g)
{
	struct reassembly_side *o = g->other;
	struct side_rtt *rtt = &g->at.s->rtt[g->at.direction ^ 1];
	uint64_t ns;

	o->flags &= (uint16_t)~SIDE_TIMING;
	if (g->p->ts_ns < o->rtt_ns)
		return;
	ns = g->p->ts_ns - o->rtt_ns;
	if (rtt->samples == 0 || compact_ns(ns) < rtt->min_ns)
		rtt->min_ns = compact_ns(ns);
	if (compact_ns(ns) > rtt->max_ns)
		rtt->max_ns = compact_ns(ns);
	g->at.s->rtt_sum_ns[g->at.direction ^ 1] += ns;
	rtt->samples++;
	COUNT(&g->at, rtt_samples, 1);
	COUNT(&g->at, rtt_sum, ns);
}

// How far beyond what was seen a number can be believed.
static uint32_t reach(const struct reassembly_side *s, uint32_t from)
{
	uint32_t window, beyond;

	if (!(s->flags & SIDE_EDGE) || !(s->flags & SIDE_ACKED))
		return REASSEMBLY_AHEAD_MAX;
	// A window more than was granted: the capture may have missed an update.
	window = s->edge - s->acked;
	window = window < 65536 ? 65536 : window;
	beyond = seq_diff(s->edge, from) > 0 ? s->edge - from : 0;
	return beyond + window < REASSEMBLY_AHEAD_MAX ? beyond + window : REASSEMBLY_AHEAD_MAX;
}

// Bytes were acknowledged that nobody saw: those in front of what is held will not come any more.
// Held bytes must be acknowledged as well, so that an ACK that overtook its data does no harm.
static void declare_acked(struct segment *g, uint32_t ack)
{
	struct reassembly_side *o = g->other;
	struct place at;

	place_other(&g->at, &at);
	while (o->root != 0 && seq_diff(ack, side_first(&at)) > 0) {
		deliver_past_gap(&at, GAP_ACKED);
		side_settle(&at); // at a FIN what is held behind it goes
	}
}

static void take_ack(struct segment *g)
{
	struct reassembly_side *o = g->other;
	uint32_t ack = g->l->tcp.ack;

	if (__builtin_expect(!(o->flags & SIDE_STARTED), 0)) { // for when it begins
		o->acked = ack;
		o->flags |= SIDE_ACKED;
		return;
	}
	if (seq_diff(ack, o->acked) > 0 || !(o->flags & SIDE_ACKED)) {
		int32_t over = seq_diff(ack, o->high);

		if (__builtin_expect(over > 0, 0)) {
			if ((uint32_t)over > reach(o, o->high)) {
				COUNT(&g->at, bad_ack, 1);
				return;
			}
			COUNT(&g->at, ack_unseen, 1);
			o->high = ack;
		}
		o->acked = ack;
		o->flags |= SIDE_ACKED;
		if ((o->flags & SIDE_TIMING) && seq_diff(ack, o->rtt_seq) >= 0)
			sample_rtt(g);
		if (__builtin_expect(o->root != 0, 0) &&
			seq_diff(ack, g->r->block[o->root].first) > 0)
			declare_acked(g, ack);
	}
	if (!(g->l->tcp.flags & SYN)) {
		bool is_scaled = (o->flags & g->at.side->flags & SIDE_WSCALE) != 0;
		uint32_t edge = ack + ((uint32_t)g->l->tcp.window
					      << (is_scaled ? g->at.side->wscale : 0));

		if (seq_diff(edge, o->edge) > 0)
			o->edge = edge;
	}
}

static void take_window(struct segment *g)
{
	struct reassembly_side *s = g->at.side;

	if (__builtin_expect(g->l->tcp.window != 0, 1)) {
		s->flags &= (uint16_t)~SIDE_CLOSED;
		return;
	}
	if (g->l->tcp.flags & (SYN | FIN | RST))
		return;
	s->flags |= SIDE_CLOSED;
	COUNT(&g->at, zero_window, 1);
	FIGURE(g, zero_window);
}

// --- RST ---

static void take_rst(struct segment *g)
{
	struct reassembly_side *s = g->at.side;
	int32_t ahead = seq_diff(g->l->tcp.seq, s->next);

	COUNT(&g->at, rst, 1);
	// One behind: the answer to a keep-alive or in place of a FIN.
	if ((s->flags & SIDE_STARTED) &&
		(ahead < -1 || (ahead > 0 && (uint32_t)ahead > reach(s, s->next)))) {
		COUNT(&g->at, rst_out_of_window, 1);
		return;
	}
	s->flags |= SIDE_RESET;
	g->other->flags |= SIDE_RESET;
	g->at.s->marks |= REASSEMBLY_RESET;
}

// --- Bytes ---

// All of it was seen before. Of what was delivered the bytes are gone: nothing to compare with.
static void take_old(struct segment *g)
{
	struct reassembly_side *s = g->at.side;
	uint32_t end = g->seq + g->length;

	s->flags &= (uint16_t)~SIDE_TIMING;
	if (g->length == 1 && end == s->next && !(g->l->tcp.flags & (SYN | FIN | RST))) {
		if (g->other->flags & SIDE_CLOSED) {
			COUNT(&g->at, zero_window_probe, 1);
			FIGURE(g, zero_window_probe);
		} else {
			COUNT(&g->at, keep_alive, 1);
			FIGURE(g, keep_alive);
		}
		return;
	}
	if (seq_diff(g->seq, s->base) < 0) {
		COUNT(&g->at, before_base, 1);
		FIGURE(g, before_base);
		return;
	}
	COUNT(&g->at, duplicate_segments, 1);
	FIGURE(g, duplicate);
	COUNT(&g->at, retransmitted, 1);
	FIGURE(g, retransmitted);
	if ((s->flags & SIDE_ACKED) && seq_diff(end, s->acked) <= 0) {
		COUNT(&g->at, spurious_retransmission, 1);
		FIGURE(g, spurious);
	}
}

static void store(struct segment *g, uint32_t flags)
{
	struct span n = {g->data, g->seq, g->have, g->length - g->have, flags, g->p->ts_ns};

	if (g->at.side->flags & SIDE_QUIET)
		n.flags |= PIECE_EMPTY;
	piece_store(&g->at, &n, g->p);
	deliver_pieces(&g->at);
}

static void take_in_order(struct segment *g, uint32_t flags)
{
	struct reassembly_side *s = g->at.side;
	uint32_t skip = s->next - g->seq, end = g->seq + g->length;
	struct span n;

	COUNT(&g->at, in_order, 1);
	if (__builtin_expect(skip > 0, 0)) {
		s->flags &= (uint16_t)~SIDE_TIMING;
		COUNT(&g->at, overlap, 1);
		FIGURE(g, overlap);
		COUNT(&g->at, retransmitted, 1);
		FIGURE(g, retransmitted);
	} else if (!(s->flags & SIDE_TIMING) && s->root == 0) {
		s->flags |= SIDE_TIMING;
		s->rtt_seq = end;
		s->rtt_ns = g->p->ts_ns;
	}
	if (__builtin_expect(s->root != 0, 0) && seq_diff(end, side_first(&g->at)) > 0) {
		store(g, flags);
		return;
	}
	n.data = g->data + skip;
	n.seq = s->next;
	n.length = g->have > skip ? g->have - skip : 0;
	n.missing = g->length - skip - n.length;
	n.flags = flags;
	n.ts_ns = g->p->ts_ns;
	deliver_span(&g->at, &n);
	if (__builtin_expect(s->root != 0, 0))
		deliver_pieces(&g->at);
}

static void take_ahead(struct segment *g, uint32_t flags)
{
	COUNT(&g->at, out_of_order_segments, 1);
	if (__builtin_expect(g->at.side->out_of_order < UINT8_MAX, 1))
		g->at.side->out_of_order++;
	else
		FIGURE(g, out_of_order);
	g->at.side->flags &= (uint16_t)~SIDE_TIMING;
	store(g, flags);
}

static bool is_too_old(const struct segment *g)
{
	const struct reassembly_side *s = g->at.side;

	return (g->l->flags & LAYER_TCP_TIMESTAMP) && (s->flags & SIDE_TIMESTAMP) &&
	       seq_diff(g->l->tcp.ts_val, s->ts_recent) < 0 && !g->r->config.ignore_timestamps;
}

// Bytes of which some are new. Returns false where the segment is refused.
static bool take_new(struct segment *g, uint32_t flags)
{
	struct reassembly_side *s = g->at.side;
	int32_t ahead = seq_diff(g->seq, s->next);

	if (__builtin_expect(is_too_old(g), 0)) {
		COUNT(&g->at, bad_timestamp, 1);
		FIGURE(g, refused);
		return false;
	}
	if (ahead > 0 || (s->root != 0 && seq_diff(g->seq + g->length, side_first(&g->at)) > 0)) {
		if (ahead > 0 && (uint32_t)ahead > reach(s, s->next)) {
			COUNT(&g->at, out_of_window, 1);
			FIGURE(g, out_of_window);
			return false;
		}
		// This may deliver what this very side holds, and move it on.
		make_room(g->r, g->r->reserve + 2 * (65536 / REASSEMBLY_BLOCK_DATA + 1));
		if (seq_diff(g->seq + g->length, s->next) <= 0) {
			take_old(g);
			return true;
		}
		ahead = seq_diff(g->seq, s->next);
	}
	if (ahead <= 0)
		take_in_order(g, flags);
	else
		take_ahead(g, flags);
	return true;
}

static bool take_bytes(struct segment *g, uint32_t flags)
{
	struct reassembly_side *s = g->at.side;
	uint32_t end = g->seq + g->length;

	if (__builtin_expect((s->flags & (SIDE_FIN | SIDE_RESET)) != 0, 0)) {
		if (s->flags & SIDE_RESET)
			COUNT(&g->at, data_after_rst, 1);
		if ((s->flags & SIDE_FIN) && seq_diff(end, s->fin) > 0) {
			COUNT(&g->at, data_after_fin, 1);
			if (seq_diff(g->seq, s->fin) >= 0)
				return false;
			end = s->fin;
			g->length = end - g->seq;
			g->have = g->have < g->length ? g->have : g->length;
		}
	}
	if (seq_diff(end, s->next) <= 0) {
		take_old(g);
		return true;
	}
	if (g->length == 1 && (g->other->flags & SIDE_CLOSED) && g->seq == s->next) {
		COUNT(&g->at, zero_window_probe, 1);
		FIGURE(g, zero_window_probe);
	}
	if (!take_new(g, flags))
		return false;
	if (seq_diff(end, s->high) > 0)
		s->high = end;
	return true;
}

// Urgent data that is taken out of the stream: the byte that the urgent pointer stands behind (as all
// stacks read it, RFC 6093).
static bool take_urgent(struct segment *g)
{
	const uint8_t *h = g->p->data + g->l->l4_off;
	uint32_t pointer = (uint32_t)h[18] << 8 | h[19], seq = g->seq, length = g->length;
	uint32_t have = g->have;
	const uint8_t *data = g->data;
	bool is_taken = true;

	COUNT(&g->at, urgent, 1);
	if (!g->r->config.drop_urgent || pointer == 0 || pointer > have)
		return take_bytes(g, 0);
	if (pointer > 1) {
		g->length = g->have = pointer - 1;
		is_taken = take_bytes(g, 0);
	}
	g->seq = seq + pointer - 1;
	g->data = data + pointer - 1;
	g->length = g->have = 1;
	is_taken = take_bytes(g, PIECE_URGENT) && is_taken;
	if (pointer < length) {
		g->seq = seq + pointer;
		g->data = data + pointer;
		g->length = length - pointer;
		g->have = have - pointer;
		is_taken = take_bytes(g, 0) && is_taken;
	}
	g->seq = seq;
	g->length = length;
	return is_taken;
}

static void take_fin(struct segment *g, uint32_t fin)
{
	struct reassembly_side *s = g->at.side;
	int32_t ahead = seq_diff(fin, s->next);

	if ((s->flags & SIDE_FIN) || ahead < 0 || (uint32_t)ahead > reach(s, s->next))
		return;
	s->flags |= SIDE_FIN;
	s->fin = fin;
	if (seq_diff(fin + 1, s->high) > 0)
		s->high = fin + 1;
	side_settle(&g->at);
}

static void take_empty(struct segment *g)
{
	if (g->seq + 1 == g->at.side->next && g->l->tcp.flags == ACK &&
		!(g->at.side->flags & SIDE_DONE) && g->at.side->high == g->at.side->next) {
		COUNT(&g->at, keep_alive, 1);
		FIGURE(g, keep_alive);
	}
}

static void take_payload(struct segment *g)
{
	uint8_t flags = g->l->tcp.flags;
	uint32_t fin = g->seq + g->length;
	bool is_taken = true;

	if ((g->l->flags & LAYER_TCP_TIMESTAMP) && seq_diff(g->seq, g->at.side->next) <= 0 &&
		(!(g->at.side->flags & SIDE_TIMESTAMP) ||
			seq_diff(g->l->tcp.ts_val, g->at.side->ts_recent) > 0)) {
		g->at.side->ts_recent = g->l->tcp.ts_val;
		g->at.side->flags |= SIDE_TIMESTAMP;
	}
	if (g->length == 0)
		take_empty(g);
	else if (__builtin_expect((flags & URG) != 0, 0))
		is_taken = take_urgent(g);
	else
		is_taken = take_bytes(g, 0);
	if (__builtin_expect((flags & FIN) != 0, 0)) {
		COUNT(&g->at, fin, 1);
		if (is_taken)
			take_fin(g, fin);
	}
	if (__builtin_expect((g->at.side->flags & (SIDE_FIN | SIDE_DONE)) == SIDE_FIN, 0))
		side_settle(&g->at);
}

// What decoding found wrong with the packet: bytes that its headers claim and its frame does not have
// (no receiver takes such a datagram; what is there in their place is padding), a checksum.
static bool is_refused(struct segment *g)
{
	const struct packet *p = g->p;

	for (unsigned i = 0; i < p->event_count; i++) {
		uint8_t e = p->events[i];

		if (e == EVENT_ipv4_truncated || e == EVENT_ipv6_truncated)
			COUNT(&g->at, bad_length, 1);
		else if (e == EVENT_tcp_bad_checksum && g->r->config.refuse_bad_checksum)
			COUNT(&g->at, bad_checksum, 1);
		else
			continue;
		FIGURE(g, refused);
		return true;
	}
	return false;
}

static void segment_init(struct segment *g, struct reassembly *r, uint32_t stream, struct packet *p,
	const struct ip_layer *l)
{
	uint32_t captured = p->caplen - l->payload_off;

	g->r = r;
	g->p = p;
	g->l = l;
	place_set(&g->at, r, stream, l->swapped, p->capture);
	g->other = &g->at.s->side[l->swapped ^ 1];
	g->data = p->data + l->payload_off;
	g->seq = l->tcp.seq + ((l->tcp.flags & SYN) != 0);
	g->length = l->payload_len;
	g->have = captured < l->payload_len ? captured : l->payload_len;
}

void reassembly_segment(
	struct reassembly *r, uint32_t stream, struct packet *p, const struct ip_layer *l)
{
	uint8_t flags = l->tcp.flags;
	struct segment g;

	counter_add(r->counters[p->capture], COUNTER_tcp_segments_received, 1);
	if (__builtin_expect(stream == 0 || stream > r->config.streams, 0)) {
		counter_add(r->counters[p->capture], COUNTER_tcp_limit_streams, 1);
		return;
	}
	if (__builtin_expect(r->slot[stream] == 0, 0))
		stream_begin(r, stream, p, l);
	segment_init(&g, r, stream, p, l);
	g.at.side->segments++;
	if (__builtin_expect(p->event_count != 0, 0) && is_refused(&g))
		return;
	if (__builtin_expect((flags & SYN) != 0, 0) && !segment_take_syn(&g))
		return;
	if (__builtin_expect(!(g.at.side->flags & SIDE_STARTED), 0))
		segment_start_midstream(&g);
	else if (__builtin_expect((g.at.side->flags & SIDE_SOFT) != 0, 0))
		segment_harden(&g);
	if (__builtin_expect((g.at.side->flags & SIDE_SHAKE) != 0, 0))
		segment_shake_hands(&g);
	if (flags & ACK)
		take_ack(&g);
	take_window(&g);
	if (__builtin_expect((flags & RST) != 0, 0))
		take_rst(&g);
	else if (g.at.side->flags & SIDE_STARTED)
		take_payload(&g);
}
