// SPDX-License-Identifier: Apache-2.0
// What one packet changes in its flow: beginnings of flows, parts and directions, TCP's state. The
// usual packet only goes into the flow's log (see burst.c); here are those that do not, and what is
// taken with them from the log to the figures.
#include <string.h>

#include "flow_internal.h"

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

// How well known a port is: to tell servers from clients where no SYN does.
static unsigned port_rank(uint16_t port)
{
	static const uint16_t known[] = {1080, 1194, 1433, 1521, 1723, 1812, 1813, 1883, 2049, 2152,
		3128, 3306, 3389, 3478, 4317, 5060, 5222, 5353, 5432, 5672, 6379, 6443, 8000, 8080,
		8443, 8883, 9000, 9092, 9200, 11211, 25565, 27017, 50051, 51820};

	if (port < 1024)
		return port != 0 ? 2 : 0;
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (known[i] == port)
			return 1;
	return 0;
}

static bool has_real_ports(uint8_t proto)
{
	return proto == 6 || proto == 17 || proto == 132 || proto == 33 || proto == 136;
}

// Decides which canonical direction is to the server, by the flow's first packet (contract: direction
// of the SYN; else of the first packet, unless it is a SYN/ACK or comes from the better-known port).
static uint8_t first_direction(const struct flow_ref *r)
{
	const struct ip_layer *l = r->layer;
	uint8_t d = r->direction;
	uint8_t flags = l->proto == 6 && (l->flags & LAYER_L4) ? l->tcp.flags & (SYN | ACK) : 0;

	if (flags == SYN)
		return d;
	if (flags == (SYN | ACK) ||
		(has_real_ports(l->proto) && port_rank(l->src_port) > port_rank(l->dst_port)))
		return (uint8_t)((d ^ 1) | FLOW_GUESSED);
	return d;
}

static void join_tunnel(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct ip_layer *around = &r->layer[-1];
	struct flow_turn *u = &t->turn[i];
	struct flow_cold *c = &t->cold[i];
	bool to_client = r->direction != (t->hot[i].bits & FLOW_TO_SERVER), swapped = false;

	c->tunnel = (uint16_t)flow_tunnel_get(t, r->packet, r->layer_number, &swapped);
	if (c->tunnel == 0)
		counter_add(t->capture[r->packet->capture].counters, COUNTER_tunnel_memcap, 1);
	if (swapped != to_client)
		u->marks |= FLOW_TUNNEL_SWAPPED;
	u->tunnel_proto = around->proto;
	c->tunnel_port[to_client] = around->src_port;
	c->tunnel_port[!to_client] = around->dst_port;
}

void flow_create(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct packet *p = r->packet;
	const struct ip_layer *l = r->layer;
	struct flow_capture_state *capture = &t->capture[p->capture];
	struct flow_hot *h = &t->hot[i];
	struct flow_turn *u = &t->turn[i];
	struct flow_cold *c = &t->cold[i];

	memset(h, 0, sizeof(*h));
	memset(u, 0, sizeof(*u));
	memset(c, 0, sizeof(*c));
	h->word[0] = l->key[0];
	h->word[1] = l->key[1];
	h->last_now_ns = p->now_ns;
	h->bits = first_direction(r);
	if (flow_is_extended(l->key[0])) {
		memcpy(t->ends[i].a, l->swapped ? l->dst : l->src, 16);
		memcpy(t->ends[i].b, l->swapped ? l->src : l->dst, 16);
	}
	u->vlan_count = p->vlan_count;
	memcpy(c->vlan, p->vlan, p->vlan_count * sizeof(p->vlan[0]));
	c->flow_id = flow_key_id(capture, &t->config, p, r->layer_number, l->key);
	u->wscale[0] = u->wscale[1] = 0xff;
	u->tunnel_depth = r->layer_number;
	if (r->layer_number > 0)
		join_tunnel(t, i, r);
	if (l->proto == 6 && (l->flags & LAYER_L4) && !(l->tcp.flags & SYN)) {
		h->bits |= FLOW_MIDSTREAM;
		h->state = FLOW_TCP_ESTABLISHED;
		counter_add(capture->counters, COUNTER_midstream, 1);
	}
}

bool flow_is_reused(const struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct flow_hot *h = &t->hot[i];
	const struct ip_layer *l = r->layer;

	if (l->proto != 6 || !(l->flags & LAYER_L4) || (l->tcp.flags & (SYN | ACK | RST)) != SYN)
		return false;
	if (t->turn[i].marks & FLOW_SEEN_SYN << r->direction)
		return t->cold[i].isn[r->direction] != l->tcp.seq;
	// No SYN seen this way: it came late, unless the old connection was over.
	return (h->state & FLOW_CLOSED) != 0;
}

// --- TCP ---

static void tcp_close(struct flow_table *t, uint32_t i, uint8_t why, uint64_t now_ns)
{
	struct flow_hot *h = &t->hot[i];

	if (h->state & FLOW_CLOSED)
		return;
	h->state |= why;
	// It now ends sooner than the wheel would look.
	flow_wheel_remove(t, i);
	flow_wheel_insert(t, i, now_ns);
}

// Whether the other side's FIN has been acknowledged by this segment.
static bool acks_fin(
	const struct flow_turn *u, const struct flow_cold *c, unsigned d, const struct ip_layer *l)
{
	return (u->marks & FLOW_SEEN_FIN << (d ^ 1)) && (l->tcp.flags & ACK) &&
	       (int32_t)(l->tcp.ack - c->fin_end[d ^ 1]) >= 0;
}

// States after a FIN, seen from the client as EVE names them.
static uint8_t tcp_after_fin(uint8_t state, bool from_client, bool is_fin, bool acked)
{
	switch ((enum flow_tcp_state)state) {
	case FLOW_TCP_FIN_WAIT1: // client closed first
		if (!from_client && is_fin)
			return acked ? FLOW_TCP_TIME_WAIT : FLOW_TCP_CLOSING;
		return !from_client && acked ? FLOW_TCP_FIN_WAIT2 : state;
	case FLOW_TCP_FIN_WAIT2:
		return !from_client && is_fin ? FLOW_TCP_TIME_WAIT : state;
	case FLOW_TCP_CLOSING:
		return !from_client && acked ? FLOW_TCP_TIME_WAIT : state;
	case FLOW_TCP_TIME_WAIT:
		return from_client && acked ? FLOW_TCP_CLOSED : state;
	case FLOW_TCP_CLOSE_WAIT: // server closed first
		return from_client && is_fin ? FLOW_TCP_LAST_ACK : state;
	case FLOW_TCP_LAST_ACK:
		return !from_client && acked ? FLOW_TCP_CLOSED : state;
	case FLOW_TCP_CLOSED:
		return state;
	case FLOW_TCP_NONE:
	case FLOW_TCP_SYN_SENT:
	case FLOW_TCP_SYN_RECV:
	case FLOW_TCP_ESTABLISHED:
		break;
	}
	if (!is_fin)
		return state;
	return from_client ? FLOW_TCP_FIN_WAIT1 : FLOW_TCP_CLOSE_WAIT;
}

static void syn_options(struct flow_table *t, uint32_t i, const struct ip_layer *l, unsigned d)
{
	struct flow_hot *h = &t->hot[i];
	struct flow_turn *u = &t->turn[i];
	struct flow_cold *c = &t->cold[i];

	if (!(u->marks & FLOW_SEEN_SYN << d)) {
		u->marks |= (uint16_t)(FLOW_SEEN_SYN << d);
		c->isn[d] = l->tcp.seq;
		if (h->bits & FLOW_MIDSTREAM)
			h->bits |= FLOW_GUESSED; // late: nothing is turned round
	}
	if (l->flags & LAYER_TCP_MSS)
		c->mss[d] = l->tcp.mss;
	if (l->flags & LAYER_TCP_WSCALE)
		u->wscale[d] = l->tcp.wscale;
}

static void tcp_handshake(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct ip_layer *l = r->layer;
	struct flow_hot *h = &t->hot[i];
	struct flow_turn *u = &t->turn[i];
	struct flow_cold *c = &t->cold[i];
	unsigned flags = l->tcp.flags & (SYN | ACK | RST);
	bool from_client = r->direction == (h->bits & FLOW_TO_SERVER);
	uint64_t ts = r->packet->ts_ns;
	uint64_t wait = ts >= c->handshake_at_ns ? ts - c->handshake_at_ns : 0;
	uint8_t state = h->state & FLOW_STATE;

	if (flags & SYN)
		syn_options(t, i, l, r->direction);
	if (flags == SYN && from_client) {
		if (!(u->marks & FLOW_SYNACK_TIMED)) {
			c->handshake_at_ns = ts;
			u->marks |= FLOW_SYN_TIMED;
		}
		if (state == FLOW_TCP_NONE)
			state = FLOW_TCP_SYN_SENT;
	} else if (flags == (SYN | ACK)) {
		if (!(u->marks & FLOW_SYNACK_TIMED)) {
			if (u->marks & FLOW_SYN_TIMED)
				c->syn = flow_compact(wait);
			c->handshake_at_ns = ts;
			u->marks |= FLOW_SYNACK_TIMED;
		}
		if (state <= FLOW_TCP_SYN_SENT)
			state = FLOW_TCP_SYN_RECV;
	} else if (flags == ACK && state < FLOW_TCP_ESTABLISHED &&
		   (from_client || l->payload_len > 0)) {
		// Where only one side is seen, this is all that tells of the handshake's end.
		if (from_client && state == FLOW_TCP_SYN_RECV)
			c->synack = flow_compact(wait);
		state = FLOW_TCP_ESTABLISHED;
	}
	h->state = (uint8_t)((h->state & ~FLOW_STATE) | state);
}

static void tcp_update(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct ip_layer *l = r->layer;
	struct flow_hot *h = &t->hot[i];
	struct flow_turn *u = &t->turn[i];
	struct flow_cold *c = &t->cold[i];
	unsigned d = r->direction;
	uint8_t flags = l->tcp.flags, state = h->state & FLOW_STATE;
	bool from_client = d == (h->bits & FLOW_TO_SERVER), acked;

	if ((flags & SYN) || state < FLOW_TCP_ESTABLISHED)
		tcp_handshake(t, i, r);
	state = h->state & FLOW_STATE;
	if ((flags & FIN) || state > FLOW_TCP_ESTABLISHED) {
		if ((flags & FIN) && !(u->marks & FLOW_SEEN_FIN << d)) {
			u->marks |= (uint16_t)(FLOW_SEEN_FIN << d);
			c->fin_end[d] = l->tcp.seq + l->payload_len + 1;
		}
		acked = acks_fin(u, c, d, l);
		h->state = (uint8_t)((h->state & ~FLOW_STATE) |
				     tcp_after_fin(state, from_client, flags & FIN, acked));
	}
	if (flags & RST) {
		h->state = (uint8_t)((h->state & ~FLOW_STATE) | FLOW_TCP_CLOSED);
		tcp_close(t, i, FLOW_CLOSED_RST, r->packet->now_ns);
	} else if ((u->marks & FLOW_SEEN_FINS) == FLOW_SEEN_FINS) {
		tcp_close(t, i, FLOW_CLOSED_FIN, r->packet->now_ns);
	}
}

// --- Every packet that is not logged ---

static void first_of_direction(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	unsigned d = r->direction;
	struct flow_stats *s = &t->stats[2 * i + d];
	const struct ip_layer *l = r->layer;
	struct flow_hot *h = &t->hot[i];
	struct flow_turn *u = &t->turn[i];
	struct flow_cold *c = &t->cold[i];
	uint64_t last_ns = u->marks & FLOW_SEEN << d ? s->last_ns : 0;

	if (!(u->marks & FLOW_BOTH_COUNT) || r->packet->ts_ns < u->first_ns)
		u->first_ns = r->packet->ts_ns;
	u->marks |= (uint16_t)(FLOW_COUNTS << d);
	*s = (struct flow_stats){.last_ns = last_ns, .iat_min = UINT32_MAX, .size_min = UINT16_MAX};
	c->ttl_min[d] = c->ttl_max[d] = l->ttl;
	u->window_min[d] = UINT16_MAX;
	u->window_max[d] = 0;
	c->size_big[d] = 0;
	if (u->marks & FLOW_SEEN << d)
		return;
	u->marks |= (uint16_t)(FLOW_SEEN << d);
	if (u->marks & FLOW_SEEN << (d ^ 1))
		h->bits |= FLOW_REPLIED;
	if (l->proto == 6 && (l->flags & LAYER_L4))
		c->window_first[d] = l->tcp.window;
	if (l->proto == 1 || l->proto == 58) {
		c->icmp_type[d] = l->icmp_type;
		c->icmp_code[d] = l->icmp_code;
	}
}

// Time went back within a direction: first and last are the extremes all the same.
static void went_back(struct flow_table *t, uint32_t i, uint64_t last_ns, uint64_t ts)
{
	struct flow_turn *u = &t->turn[i];

	if (!(u->marks & FLOW_WENT_BACK) || last_ns > t->splt_second[i].other)
		t->splt_second[i].other = last_ns;
	u->marks |= FLOW_WENT_BACK;
	if (ts < u->first_ns)
		u->first_ns = ts;
}

// The first packet after a part was written.
static void next_part(struct flow_table *t, uint32_t i, uint64_t now_ns)
{
	t->turn[i].marks &= (uint16_t)~FLOW_WENT_BACK;
	flow_part_begin(t, i, now_ns);
	flow_wheel_remove(t, i);
	flow_wheel_insert(t, i, now_ns);
}

// What the log does not say of a packet: it only takes those of which there is nothing to say here.
static void beyond_log(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct packet *p = r->packet;
	unsigned d = r->direction;
	struct flow_stats *s = &t->stats[2 * i + d];
	struct flow_hot *h = &t->hot[i];
	struct flow_cold *c = &t->cold[i];

	if (!(t->turn[i].marks & FLOW_COUNTS << d)) {
		first_of_direction(t, i, r);
	} else {
		if (p->ts_ns < s->last_ns)
			went_back(t, i, s->last_ns, p->ts_ns);
		if (r->ttl != h->ttl[d]) {
			c->ttl_min[d] = r->ttl < c->ttl_min[d] ? r->ttl : c->ttl_min[d];
			c->ttl_max[d] = r->ttl > c->ttl_max[d] ? r->ttl : c->ttl_max[d];
		}
	}
	h->ttl[d] = r->ttl;
	if (p->wirelen >= UINT16_MAX && p->wirelen > c->size_big[d])
		c->size_big[d] = p->wirelen;
}

static bool is_full(const struct flow_table *t, uint32_t i)
{
	const struct flow_stats *s = &t->stats[2 * i];
	const uint32_t most = UINT32_MAX - FLOW_LOG_PKTS - 1;
	unsigned marks = t->turn[i].marks;

	return ((marks & FLOW_COUNTS) && s[0].pkts >= most) ||
	       ((marks & FLOW_COUNTS << 1) && s[1].pkts >= most);
}

void flow_update(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct packet *p = r->packet;
	const struct ip_layer *l = r->layer;
	unsigned d = r->direction;
	struct flow_hot *h = &t->hot[i];
	bool is_tcp = l->proto == 6 && (l->flags & LAYER_L4), is_usual = true;

	flow_sync(t, i);
	if (__builtin_expect(is_full(t, i), 0))
		flow_part_end(t, i); // as if it had lasted too long
	if (__builtin_expect(!(t->turn[i].marks & FLOW_PART_OPEN), 0))
		next_part(t, i, p->now_ns);
	// Queues of a capture have clocks of their own: one may be behind.
	if (p->now_ns > h->last_now_ns)
		h->last_now_ns = p->now_ns;
	h->bits |= r->bits;
	beyond_log(t, i, r);
	flow_account(t, i,
		&(struct flow_facts){.ts_ns = p->ts_ns,
			.size = p->wirelen,
			.payload = l->flags & LAYER_L4 ? l->payload_len : 0,
			.window_low = is_tcp ? l->tcp.window : UINT16_MAX,
			.window_high = is_tcp ? l->tcp.window : 0,
			.tcp_flags = is_tcp ? l->tcp.flags : 0,
			.direction = (uint8_t)d});
	flow_volume_set(t, i);
	if (is_tcp && ((l->tcp.flags & (SYN | FIN | RST)) ||
			      (h->state & FLOW_STATE) != FLOW_TCP_ESTABLISHED))
		tcp_update(t, i, r);
	if (l->proto == 6)
		is_usual = h->state == FLOW_TCP_ESTABLISHED;
	h->bits = (uint8_t)(is_usual ? h->bits | FLOW_LOGS << d : h->bits & ~(3 * FLOW_LOGS));
}
