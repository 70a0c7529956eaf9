// SPDX-License-Identifier: Apache-2.0
// What one packet changes in its flow: counts and running moments, TCP's state, latencies, the sequence
// of the first packets. The usual packet touches the hot line and its direction's statistics; cold is
// for beginnings, ends and turns.
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
	struct flow_cold *c = &t->cold[i];
	bool to_client = r->direction != (t->hot[i].bits & FLOW_TO_SERVER), swapped = false;

	c->tunnel = flow_tunnel_get(t, r->packet, r->layer_number, &swapped);
	if (c->tunnel == 0)
		counter_add(t->capture[r->packet->capture].counters, COUNTER_tunnel_memcap, 1);
	if (swapped != to_client)
		c->marks |= FLOW_TUNNEL_SWAPPED;
	c->tunnel_proto = around->proto;
	c->tunnel_port[to_client] = around->src_port;
	c->tunnel_port[!to_client] = around->dst_port;
}

void flow_create(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct packet *p = r->packet;
	const struct ip_layer *l = r->layer;
	struct flow_capture_state *capture = &t->capture[p->capture];
	struct flow_hot *h = &t->hot[i];
	struct flow_cold *c = &t->cold[i];
	uint32_t slot = c->slot;

	memset(h, 0, sizeof(*h));
	memset(&t->stats[2 * i], 0, 2 * sizeof(t->stats[0]));
	memset(c, 0, sizeof(*c));
	c->slot = slot;
	h->word[0] = r->word[0];
	h->word[1] = r->word[1];
	h->last_now_ns = p->now_ns;
	h->bits = first_direction(r);
	memcpy(c->a, l->swapped ? l->dst : l->src, 16);
	memcpy(c->b, l->swapped ? l->src : l->dst, 16);
	c->vlan_count = p->vlan_count;
	memcpy(c->vlan, p->vlan, p->vlan_count * sizeof(p->vlan[0]));
	c->flow_id = flow_key_id(capture, &t->config, p, r->layer_number, r->word);
	c->wscale[0] = c->wscale[1] = 0xff;
	c->tunnel_depth = r->layer_number;
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
	if (t->cold[i].marks & FLOW_SEEN_SYN << r->direction)
		return t->cold[i].isn[r->direction] != l->tcp.seq;
	// No SYN seen this way: it came late, unless the old connection was over.
	return (h->state & FLOW_CLOSED) != 0;
}

// --- Moments (Welford; third moment by Pebay) ---

// scale: the unit of m3.
static inline void moments(double x, double n, double *mean, double *m2, float *m3, double scale)
{
	double d = x - *mean, dn = d / n, t = d * dn * (n - 1);

	*mean += dn;
	*m3 = (float)(*m3 + scale * (t * dn * (n - 2) - 3 * *m2 * dn));
	*m2 += t;
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
static bool acks_fin(const struct flow_cold *c, unsigned d, const struct ip_layer *l)
{
	return (c->marks & FLOW_SEEN_FIN << (d ^ 1)) && (l->tcp.flags & ACK) &&
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

static void syn_options(
	struct flow_hot *h, struct flow_cold *c, const struct ip_layer *l, unsigned d)
{
	if (!(c->marks & FLOW_SEEN_SYN << d)) {
		c->marks |= (uint16_t)(FLOW_SEEN_SYN << d);
		c->isn[d] = l->tcp.seq;
		if (h->bits & FLOW_MIDSTREAM)
			h->bits |= FLOW_GUESSED; // late: nothing is turned round
	}
	if (l->flags & LAYER_TCP_MSS)
		c->mss[d] = l->tcp.mss;
	if (l->flags & LAYER_TCP_WSCALE)
		c->wscale[d] = l->tcp.wscale;
}

static void tcp_handshake(
	struct flow_hot *h, struct flow_cold *c, const struct ip_layer *l, unsigned d, uint64_t ts)
{
	unsigned flags = l->tcp.flags & (SYN | ACK | RST);
	bool from_client = d == (h->bits & FLOW_TO_SERVER);
	uint64_t wait = ts >= c->handshake_at_ns ? ts - c->handshake_at_ns : 0;
	uint8_t state = h->state & FLOW_STATE;

	if (flags & SYN)
		syn_options(h, c, l, d);
	if (flags == SYN && from_client) {
		if (!(c->marks & FLOW_SYNACK_TIMED)) {
			c->handshake_at_ns = ts;
			c->marks |= FLOW_SYN_TIMED;
		}
		if (state == FLOW_TCP_NONE)
			state = FLOW_TCP_SYN_SENT;
	} else if (flags == (SYN | ACK)) {
		if (!(c->marks & FLOW_SYNACK_TIMED)) {
			if (c->marks & FLOW_SYN_TIMED)
				c->syn = flow_compact(wait);
			c->handshake_at_ns = ts;
			c->marks |= FLOW_SYNACK_TIMED;
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
	struct flow_cold *c = &t->cold[i];
	unsigned d = r->direction;
	uint8_t flags = l->tcp.flags, state = h->state & FLOW_STATE;
	bool from_client = d == (h->bits & FLOW_TO_SERVER), acked;

	if ((flags & SYN) || state < FLOW_TCP_ESTABLISHED)
		tcp_handshake(h, c, l, d, r->packet->ts_ns);
	state = h->state & FLOW_STATE;
	if ((flags & FIN) || state > FLOW_TCP_ESTABLISHED) {
		if ((flags & FIN) && !(c->marks & FLOW_SEEN_FIN << d)) {
			c->marks |= (uint16_t)(FLOW_SEEN_FIN << d);
			c->fin_end[d] = l->tcp.seq + l->payload_len + 1;
		}
		acked = acks_fin(c, d, l);
		h->state = (uint8_t)((h->state & ~FLOW_STATE) |
				     tcp_after_fin(state, from_client, flags & FIN, acked));
	}
	h->tcp_flags[d] |= flags;
	if (flags & RST) {
		h->state = (uint8_t)((h->state & ~FLOW_STATE) | FLOW_TCP_CLOSED);
		tcp_close(t, i, FLOW_CLOSED_RST, r->packet->now_ns);
	} else if ((c->marks & FLOW_SEEN_FINS) == FLOW_SEEN_FINS) {
		tcp_close(t, i, FLOW_CLOSED_FIN, r->packet->now_ns);
	}
}

// --- Turns: request and response ---

static void payload_turn(struct flow_hot *h, struct flow_cold *c, unsigned d, uint64_t ts)
{
	bool to_server = d == (h->bits & FLOW_TO_SERVER);
	uint64_t wait;

	h->bits = (uint8_t)((h->bits & ~FLOW_PAYLOAD_LAST) | FLOW_PAYLOAD_SEEN |
			    (d ? FLOW_PAYLOAD_LAST : 0));
	if (to_server) {
		c->request_at_ns = ts;
		c->marks |= FLOW_REQUEST_OPEN;
		return;
	}
	if (!(c->marks & FLOW_REQUEST_OPEN))
		return;
	wait = ts > c->request_at_ns ? ts - c->request_at_ns : 0;
	c->marks &= (uint16_t)~FLOW_REQUEST_OPEN;
	if (c->first_response == 0)
		c->first_response = flow_compact(wait);
	if (c->response_samples == 0 || flow_compact(wait) < c->response_min)
		c->response_min = flow_compact(wait);
	if (c->response_samples == 0 || flow_compact(wait) > c->response_max)
		c->response_max = flow_compact(wait);
	c->response_sum_ns += wait;
	c->response_samples++;
}

static void splt_add(struct flow_table *t, uint32_t i, const struct flow_ref *r, uint32_t payload)
{
	struct flow_hot *h = &t->hot[i];
	struct flow_cold *c = &t->cold[i];
	unsigned n = c->splt_count;
	uint64_t before, dt = 0;

	if (n > 0) {
		before = t->stats[2 * i + (c->splt_direction >> (n - 1) & 1)].last_ns;
		dt = r->packet->ts_ns > before ? r->packet->ts_ns - before : 0;
	}
	c->splt_dt[n] = dt > UINT32_MAX ? UINT32_MAX : (uint32_t)dt;
	c->splt_size[n] = payload > UINT16_MAX ? UINT16_MAX : (uint16_t)payload;
	c->splt_direction |= (uint16_t)(r->direction << n);
	c->splt_flags[n] = r->layer->proto == 6 && (r->layer->flags & LAYER_L4)
	                           ? r->layer->tcp.flags
	                           : 0;
	c->splt_count = (uint8_t)(n + 1);
	if (c->splt_count == FLOW_SPLT_PKTS)
		h->bits |= FLOW_SPLT_FULL;
}

// --- Every packet ---

static void first_of_direction(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	struct flow_stats *s = &t->stats[2 * i + r->direction];
	const struct ip_layer *l = r->layer;
	struct flow_hot *h = &t->hot[i];
	struct flow_cold *c = &t->cold[i];
	unsigned d = r->direction;

	if (h->pkts[d ^ 1] == 0 || r->packet->ts_ns < c->first_ns)
		c->first_ns = r->packet->ts_ns;
	s->ttl_min = s->ttl_max = l->ttl;
	s->iat_min = UINT32_MAX;
	s->iat_max = 0;
	s->window_min = UINT16_MAX;
	s->window_max = 0;
	c->size_big[d] = 0;
	if (c->marks & FLOW_SEEN << d)
		return;
	c->marks |= (uint16_t)(FLOW_SEEN << d);
	if (c->marks & FLOW_SEEN << (d ^ 1))
		h->bits |= FLOW_REPLIED;
	if (l->proto == 6 && (l->flags & LAYER_L4))
		c->window_first[d] = l->tcp.window;
	if (l->proto == 1 || l->proto == 58) {
		c->icmp_type[d] = l->icmp_type;
		c->icmp_code[d] = l->icmp_code;
	}
}

// Time went back within a direction: first and last are the extremes all the same.
static void went_back(struct flow_cold *c, const struct flow_stats *s, uint64_t ts)
{
	if (s->last_ns > c->max_ns)
		c->max_ns = s->last_ns;
	if (ts < c->first_ns)
		c->first_ns = ts;
}

// The first packet after a part was written.
static void next_part(struct flow_table *t, uint32_t i, uint64_t now_ns)
{
	t->cold[i].max_ns = 0;
	flow_part_begin(t, i, now_ns);
	flow_wheel_remove(t, i);
	flow_wheel_insert(t, i, now_ns);
}

void flow_update(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	const struct packet *p = r->packet;
	const struct ip_layer *l = r->layer;
	unsigned d = r->direction;
	struct flow_hot *h = &t->hot[i];
	struct flow_stats *s = &t->stats[2 * i + d];
	uint32_t payload = l->flags & LAYER_L4 ? l->payload_len : 0;
	uint16_t size = p->wirelen < UINT16_MAX ? (uint16_t)p->wirelen : UINT16_MAX;
	uint32_t n;

	if (__builtin_expect(h->pkts[d] == UINT32_MAX, 0))
		flow_part_end(t, i); // as if it had lasted too long
	if (__builtin_expect((h->pkts[0] | h->pkts[1]) == 0, 0) &&
		!(t->cold[i].marks & FLOW_PART_OPEN))
		next_part(t, i, p->now_ns);
	if (__builtin_expect(!(h->bits & FLOW_SPLT_FULL), 0))
		splt_add(t, i, r, payload);
	n = ++h->pkts[d];
	h->bytes[d] += p->wirelen;
	// Queues of a capture have clocks of their own: one may be behind.
	if (p->now_ns > h->last_now_ns)
		h->last_now_ns = p->now_ns;
	if (p->flags & PACKET_TRUNCATED)
		h->bits |= FLOW_TRUNCATED;
	moments(p->wirelen, n, &s->size_mean, &s->size_m2, &s->size_m3, 1);
	if (__builtin_expect(n == 1, 0)) {
		first_of_direction(t, i, r);
		h->size_min[d] = h->size_max[d] = size;
	} else {
		uint64_t dt = p->ts_ns > s->last_ns ? p->ts_ns - s->last_ns : 0;
		uint32_t compact = flow_compact(dt);

		if (__builtin_expect(p->ts_ns < s->last_ns, 0))
			went_back(&t->cold[i], s, p->ts_ns);
		moments((double)dt, n - 1, &s->iat_mean, &s->iat_m2, &s->iat_m3, FLOW_IAT_M3_SCALE);
		s->iat_min = compact < s->iat_min ? compact : s->iat_min;
		s->iat_max = compact > s->iat_max ? compact : s->iat_max;
		h->size_min[d] = size < h->size_min[d] ? size : h->size_min[d];
		h->size_max[d] = size > h->size_max[d] ? size : h->size_max[d];
		s->ttl_min = l->ttl < s->ttl_min ? l->ttl : s->ttl_min;
		s->ttl_max = l->ttl > s->ttl_max ? l->ttl : s->ttl_max;
	}
	s->last_ns = p->ts_ns;
	if (__builtin_expect(size == UINT16_MAX, 0) && p->wirelen > t->cold[i].size_big[d])
		t->cold[i].size_big[d] = p->wirelen;
	if (payload > 0 &&
		__builtin_expect(
			!(h->bits & FLOW_PAYLOAD_SEEN) || !!(h->bits & FLOW_PAYLOAD_LAST) != d, 0))
		payload_turn(h, &t->cold[i], d, p->ts_ns);
	if (l->proto == 6 && (l->flags & LAYER_L4)) {
		uint16_t w = l->tcp.window;

		s->window_min = w < s->window_min ? w : s->window_min;
		s->window_max = w > s->window_max ? w : s->window_max;
		if (__builtin_expect((l->tcp.flags & (SYN | FIN | RST)) ||
					     (h->state & FLOW_STATE) != FLOW_TCP_ESTABLISHED,
			    0))
			tcp_update(t, i, r);
		else
			h->tcp_flags[d] |= l->tcp.flags;
	}
}
