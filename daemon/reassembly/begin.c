// SPDX-License-Identifier: Apache-2.0
// Where the directions of a stream begin: by a SYN, or in the middle with the first segment that was
// seen; and the handshake's times.
#include "segment.h"

// Window scale counts only where both SYNs have it (RFC 7323); before that edges cannot be known.
static void syn_options(struct segment *g)
{
	struct reassembly_side *s = g->at.side;

	if (g->l->flags & LAYER_TCP_WSCALE) {
		s->flags |= SIDE_WSCALE;
		s->wscale = g->l->tcp.wscale < 14 ? g->l->tcp.wscale : 14;
	}
	if (g->other->flags & SIDE_SYN)
		s->flags |= SIDE_EDGE, g->other->flags |= SIDE_EDGE;
	s->edge = s->next;
	g->other->edge = g->other->next;
}

static void time_syn(struct segment *g, bool is_first)
{
	struct reassembly_stream *c = g->at.s;
	bool is_synack = (g->l->tcp.flags & ACK) != 0;
	uint64_t ts = g->p->ts_ns;

	if (!is_synack) {
		if (is_first)
			c->syn_ns = ts;
		else
			c->handshake |= SHAKE_SYN_REPEATED;
		if ((c->marks & REASSEMBLY_SYN) && is_first)
			c->marks |= REASSEMBLY_SIMULTANEOUS, COUNT(&g->at, simultaneous_open, 1);
		c->marks |= REASSEMBLY_SYN;
		return;
	}
	if (!is_first)
		c->handshake |= SHAKE_SYNACK_REPEATED;
	if (is_first && (g->other->flags & SIDE_SYN) && g->l->tcp.ack == g->other->next) {
		g->at.side->flags |= SIDE_SHAKE;
		g->other->flags |= SIDE_SHAKE;
		c->synack_ns = ts;
		// Karn: which SYN was answered is not known where one was repeated.
		if (!(c->handshake & SHAKE_SYN_REPEATED) && ts > c->syn_ns) {
			c->syn_ns = ts - c->syn_ns;
			c->handshake |= SHAKE_RTT_SYN;
			COUNT(&g->at, rtt_handshake_samples, 1);
			COUNT(&g->at, rtt_handshake_sum, c->syn_ns);
		}
	}
	c->marks |= REASSEMBLY_SYNACK;
}

void segment_shake_hands(struct segment *g)
{
	struct reassembly_stream *c = g->at.s;

	if ((g->l->tcp.flags & (SYN | ACK | RST)) != ACK || g->l->tcp.ack != g->other->next ||
		g->other->offset != 0)
		return;
	g->at.side->flags &= (uint16_t)~SIDE_SHAKE;
	g->other->flags &= (uint16_t)~SIDE_SHAKE;
	c->marks |= REASSEMBLY_ESTABLISHED;
	COUNT(&g->at, connections, 1);
	if (!(c->handshake & SHAKE_SYNACK_REPEATED) && g->p->ts_ns > c->synack_ns) {
		c->synack_ns = g->p->ts_ns - c->synack_ns;
		c->handshake |= SHAKE_RTT_SYNACK;
		COUNT(&g->at, rtt_handshake_samples, 1);
		COUNT(&g->at, rtt_handshake_sum, c->synack_ns);
	}
}

bool segment_take_syn(struct segment *g)
{
	struct reassembly_side *s = g->at.side;
	uint32_t after = g->l->tcp.seq + 1;

	if (g->l->tcp.flags & ACK)
		COUNT(&g->at, synack, 1);
	else
		COUNT(&g->at, syn, 1);
	if (!(s->flags & SIDE_STARTED)) {
		s->flags |= SIDE_STARTED | SIDE_SYN;
		s->next = s->high = s->acked = s->base = after;
		syn_options(g);
		time_syn(g, true);
		return true;
	}
	if ((s->flags & SIDE_SYN) && after == s->base) {
		time_syn(g, false);
		return true;
	}
	// Late: the direction has begun without it.
	if (!(s->flags & SIDE_SYN) && seq_diff(after, s->next) <= 0 &&
		seq_diff(after, s->next) > -65536)
		return true;
	COUNT(&g->at, syn_inside, 1);
	return false;
}

// What the receiver has acknowledged already tells where it waits, unless that is too far away to be
// about the same bytes: what was lost or overtaken before the first segment can still come.
void segment_start_midstream(struct segment *g)
{
	struct reassembly_side *s = g->at.side;
	int32_t behind = seq_diff(g->seq, s->acked);

	if (g->l->tcp.flags & RST)
		return; // its sequence number may be anything
	if ((s->flags & SIDE_ACKED) && behind >= -1 && behind <= REASSEMBLY_PICKUP_MAX) {
		s->next = s->acked; // -1: a keep-alive
	} else {
		s->next = s->acked = g->seq;
		s->flags &= (uint16_t)~SIDE_ACKED;
		if (g->length == 0)
			s->flags |= SIDE_SOFT;
	}
	s->flags |= SIDE_STARTED;
	s->high = s->edge = s->base = s->next;
}

void segment_harden(struct segment *g)
{
	struct reassembly_side *s = g->at.side;

	if (g->length == 0)
		return;
	if (g->seq == s->next + 1 && s->root == 0 &&
		(!(s->flags & SIDE_ACKED) || s->acked == g->seq))
		s->next = s->base = g->seq;
	s->flags &= (uint16_t)~SIDE_SOFT;
}
