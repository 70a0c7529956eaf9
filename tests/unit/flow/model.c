// SPDX-License-Identifier: Apache-2.0
#include "model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

#include "builder.h"

struct seen { // one packet of a flow
	uint64_t ts;
	uint32_t wirelen;
	uint32_t payload;
	bool reply; // to the client
	bool has_tcp;
	uint8_t flags;
	uint16_t window;
	uint8_t ttl;
	uint8_t part;
};

struct level { // one tunnel around a flow
	uint8_t type, version;
	bool has_id;
	uint32_t id;
	uint8_t low[16], high[16];
};

struct model_flow {
	uint16_t capture;
	bool one_way;
	uint8_t first_src[16], first_dst[16];
	uint16_t first_sport, first_dport;
	bool first_is_reply;
	struct level level[PACKET_LAYERS_MAX];
	struct flow_record head; // what does not change
	struct seen *seen;       // of the current part
	size_t count, room;
	uint64_t last_now, part_now;
	uint32_t part;
	// over all parts
	uint64_t packets;
	bool any[2];
	uint8_t icmp_type[2], icmp_code[2];
	uint16_t window_first[2], mss[2];
	uint8_t wscale[2];
	struct flow_splt splt[16];
	unsigned splt_count;
	uint64_t splt_last;
	bool truncated, guessed;
	unsigned state;
	enum flow_end closed;
	bool syn[2], fin[2];
	uint32_t isn[2], fin_end[2];
	bool syn_timed, synack_timed;
	uint64_t syn_at, synack_at, syn_ns, synack_ns;
	bool payload_any, payload_reply, waiting;
	uint64_t waiting_since, first_response;
	uint64_t response_min, response_max, response_sum;
	uint32_t responses;
};

void model_open(struct model *m, const struct flow_config *config)
{
	memset(m, 0, sizeof(*m));
	m->config = *config;
}

void model_close(struct model *m)
{
	for (size_t i = 0; i < m->flows; i++)
		free(m->flow[i].seen);
	free(m->flow);
	free(m->record);
}

// A duration as it is kept: 26 significant bits.
static uint64_t kept(uint64_t ns)
{
	unsigned shift = 0;

	while (ns >> shift >= 1u << 26)
		shift++;
	return ns >> shift << shift;
}

// --- Key ---

static bool same_level(const struct level *x, const struct level *y)
{
	return x->type == y->type && x->version == y->version && x->has_id == y->has_id &&
	       x->id == y->id && memcmp(x->low, y->low, 16) == 0 &&
	       memcmp(x->high, y->high, 16) == 0;
}

static void level_of(const struct packet *p, unsigned layer, struct level *v)
{
	const struct ip_layer *in = &p->layer[layer], *out = in - 1;
	bool turn = memcmp(out->src, out->dst, 16) > 0;

	memset(v, 0, sizeof(*v));
	v->type = in->tunnel_type;
	v->version = out->version;
	v->has_id = in->flags & LAYER_TUNNEL_ID;
	v->id = v->has_id ? in->tunnel_id : 0;
	memcpy(v->low, turn ? out->dst : out->src, 16);
	memcpy(v->high, turn ? out->src : out->dst, 16);
}

static bool goes_as_first(const struct model_flow *f, const struct ip_layer *l)
{
	return memcmp(l->src, f->first_src, 16) == 0 && memcmp(l->dst, f->first_dst, 16) == 0 &&
	       l->src_port == f->first_sport && l->dst_port == f->first_dport;
}

static bool goes_back(const struct model_flow *f, const struct ip_layer *l)
{
	return memcmp(l->src, f->first_dst, 16) == 0 && memcmp(l->dst, f->first_src, 16) == 0 &&
	       l->src_port == f->first_dport && l->dst_port == f->first_sport;
}

static bool is_of(
	const struct model *m, const struct model_flow *f, const struct packet *p, unsigned layer)
{
	const struct ip_layer *l = &p->layer[layer];
	bool one_way = l->flags & LAYER_ICMP_ONE_WAY;

	if (f->capture != p->capture || f->head.tuple.version != l->version ||
		f->head.tuple.proto != l->proto || one_way != f->one_way)
		return false;
	if (!goes_as_first(f, l) && (one_way || !goes_back(f, l)))
		return false;
	if (m->config.key_vlan && (f->head.tuple.vlan_count != p->vlan_count ||
					  memcmp(f->head.tuple.vlan, p->vlan,
						  p->vlan_count * sizeof(p->vlan[0])) != 0))
		return false;
	if (!m->config.key_tunnel)
		return true;
	if (f->head.tunnel_depth != layer)
		return false;
	for (unsigned i = 1; i <= layer; i++) {
		struct level v;

		level_of(p, i, &v);
		if (!same_level(&v, &f->level[i]))
			return false;
	}
	return true;
}

// --- Figures of a part ---

static void moments_of(const double *x, size_t n, double *mean, double *m2, double *m3)
{
	long double sum = 0, s2 = 0, s3 = 0, mu;

	for (size_t i = 0; i < n; i++)
		sum += x[i];
	mu = n > 0 ? sum / n : 0;
	for (size_t i = 0; i < n; i++) {
		long double d = x[i] - mu;

		s2 += d * d;
		s3 += d * d * d;
	}
	*mean = (double)mu;
	*m2 = (double)s2;
	*m3 = (double)s3;
}

static void figures(const struct model_flow *f, bool reply, struct flow_direction *d)
{
	double *size = calloc(f->count + 1, sizeof(*size)),
	       *gap = calloc(f->count + 1, sizeof(*gap));
	size_t n = 0, gaps = 0;

	assert(size != NULL && gap != NULL);
	d->wscale = f->wscale[reply];
	d->mss = f->mss[reply];
	d->window_first = f->window_first[reply];
	for (size_t i = 0; i < f->count; i++) {
		const struct seen *s = &f->seen[i];

		if (s->reply != reply)
			continue;
		if (n > 0) {
			uint64_t dt = s->ts > d->last_ns ? s->ts - d->last_ns : 0;

			gap[gaps++] = (double)dt;
			if (gaps == 1 || kept(dt) < d->iat_min_ns)
				d->iat_min_ns = kept(dt);
			if (kept(dt) > d->iat_max_ns)
				d->iat_max_ns = kept(dt);
		}
		if (n == 0 || s->wirelen < d->size_min)
			d->size_min = s->wirelen;
		if (s->wirelen > d->size_max)
			d->size_max = s->wirelen;
		if (n == 0 || s->ttl < d->ttl_min)
			d->ttl_min = s->ttl;
		if (s->ttl > d->ttl_max)
			d->ttl_max = s->ttl;
		if (s->has_tcp) {
			if ((d->pkts & UINT64_C(1) << 63) == 0 || s->window < d->window_min)
				d->window_min = s->window;
			d->pkts |= UINT64_C(1) << 63; // a window has been seen
			if (s->window > d->window_max)
				d->window_max = s->window;
			d->tcp_flags |= s->flags;
		}
		size[n++] = s->wirelen;
		d->bytes += s->wirelen;
		d->last_ns = s->ts;
	}
	if (d->size_min > UINT16_MAX)
		d->size_min = UINT16_MAX;
	d->pkts = n;
	moments_of(size, n, &d->size_mean, &d->size_m2, &d->size_m3);
	moments_of(gap, gaps, &d->iat_mean, &d->iat_m2, &d->iat_m3);
	free(size);
	free(gap);
}

static void write_part(struct model *m, struct model_flow *f, enum flow_end end)
{
	struct flow_record *r;

	if (f->count == 0)
		return;
	if (m->count == m->room) {
		m->room = m->room * 2 + 64;
		m->record = realloc(m->record, m->room * sizeof(*m->record));
		assert(m->record != NULL);
	}
	r = &m->record[m->count++];
	*r = f->head;
	r->end = (uint8_t)end;
	r->part_no = f->part;
	r->tcp_state = (uint8_t)f->state;
	r->direction_guessed = f->guessed;
	r->replied = f->any[0] && f->any[1];
	r->truncated = f->truncated;
	r->first_ns = UINT64_MAX;
	for (size_t i = 0; i < f->count; i++) {
		if (f->seen[i].ts < r->first_ns)
			r->first_ns = f->seen[i].ts;
		if (f->seen[i].ts > r->last_ns)
			r->last_ns = f->seen[i].ts;
	}
	figures(f, false, &r->direction[0]);
	figures(f, true, &r->direction[1]);
	if (r->tuple.proto == 1 || r->tuple.proto == 58) {
		r->has_icmp = r->direction[0].pkts > 0;
		r->has_icmp_reply = r->direction[1].pkts > 0;
		r->icmp_type = f->icmp_type[0];
		r->icmp_code = f->icmp_code[0];
		r->icmp_reply_type = f->icmp_type[1];
		r->icmp_reply_code = f->icmp_code[1];
	}
	if (f->part == 1) {
		r->splt_count = (uint8_t)f->splt_count;
		memcpy(r->splt, f->splt, f->splt_count * sizeof(f->splt[0]));
	}
	r->syn_ns = f->syn_ns;
	r->synack_ns = f->synack_ns;
	r->first_response_ns = f->first_response;
	r->response_samples = f->responses;
	if (f->responses > 0) {
		r->response_min_ns = f->response_min;
		r->response_max_ns = f->response_max;
		r->response_sum_ns = f->response_sum;
	}
}

// --- Ends ---

static uint64_t timeout(const struct model *m, const struct model_flow *f)
{
	switch (f->head.tuple.proto) {
	case 6:
		if (f->closed != FLOW_END_NONE)
			return m->config.tcp_closed_ns;
		return f->state < FLOW_TCP_ESTABLISHED ? m->config.tcp_new_ns
		                                       : m->config.tcp_established_ns;
	case 17:
		return m->config.udp_ns;
	case 1:
	case 58:
		return m->config.icmp_ns;
	default:
		return m->config.other_ns;
	}
}

static bool is_idle(const struct model *m, const struct model_flow *f, uint64_t now)
{
	return now >= f->last_now + timeout(m, f);
}

// Whether the part was full before the flow went idle, and by now.
static bool is_full(const struct model *m, const struct model_flow *f, uint64_t now)
{
	uint64_t full = f->part_now + m->config.active_ns;

	return m->config.active_ns != 0 && f->count > 0 && now >= full &&
	       full < f->last_now + timeout(m, f);
}

static void finish(struct model *m, struct model_flow *f, enum flow_end end)
{
	write_part(m, f, f->closed != FLOW_END_NONE ? f->closed : end);
	free(f->seen);
	*f = m->flow[--m->flows];
}

static void part_over(struct model *m, struct model_flow *f)
{
	write_part(m, f, FLOW_END_ACTIVE);
	f->count = 0;
	f->responses = 0;
	f->response_sum = 0;
}

static void finish_by_time(struct model *m, struct model_flow *f, uint64_t now)
{
	if (f->closed == FLOW_END_NONE && is_full(m, f, now))
		part_over(m, f);
	finish(m, f, FLOW_END_IDLE);
}

void model_end(struct model *m, uint16_t capture, uint64_t now, enum flow_end end)
{
	for (size_t i = m->flows; i-- > 0;) {
		struct model_flow *f = &m->flow[i];

		if (f->capture != capture)
			continue;
		if (is_idle(m, f, now)) {
			finish_by_time(m, f, now);
			continue;
		}
		if (f->closed == FLOW_END_NONE && is_full(m, f, now))
			part_over(m, f);
		finish(m, f, end);
	}
}

// --- Packets ---

static bool is_server_port(uint16_t port)
{
	return port == 80 || port == 53;
}

static struct model_flow *begin(struct model *m, const struct packet *p, unsigned layer)
{
	const struct ip_layer *l = &p->layer[layer];
	bool tcp = l->proto == 6 && (l->flags & LAYER_L4);
	bool ports = l->proto == 6 || l->proto == 17;
	struct model_flow *f;

	if (m->flows == m->flow_room) {
		m->flow_room = m->flow_room * 2 + 64;
		m->flow = realloc(m->flow, m->flow_room * sizeof(*m->flow));
		assert(m->flow != NULL);
	}
	f = &m->flow[m->flows++];
	memset(f, 0, sizeof(*f));
	f->capture = p->capture;
	f->one_way = l->flags & LAYER_ICMP_ONE_WAY;
	memcpy(f->first_src, l->src, 16);
	memcpy(f->first_dst, l->dst, 16);
	f->first_sport = l->src_port;
	f->first_dport = l->dst_port;
	if (tcp && (l->tcp.flags & (SYN | ACK)) == (SYN | ACK))
		f->first_is_reply = true;
	else if (!(tcp && (l->tcp.flags & SYN)) && ports)
		f->first_is_reply = is_server_port(l->src_port) && !is_server_port(l->dst_port);
	f->guessed = f->first_is_reply;
	f->wscale[0] = f->wscale[1] = 0xff;
	f->head.flow_id = ++m->next_id;
	f->head.capture = p->capture;
	f->head.midstream = tcp && !(l->tcp.flags & SYN);
	f->state = f->head.midstream ? FLOW_TCP_ESTABLISHED : FLOW_TCP_NONE;
	f->head.tunnel_depth = (uint8_t)layer;
	for (unsigned i = 1; i <= layer; i++)
		level_of(p, i, &f->level[i]);
	f->head.tuple = (struct flow_tuple){.version = l->version,
		.proto = l->proto,
		.vlan_count = p->vlan_count,
		.tunnel_type = l->tunnel_type};
	memcpy(f->head.tuple.vlan, p->vlan, p->vlan_count * sizeof(p->vlan[0]));
	memcpy(f->head.tuple.src, f->first_is_reply ? l->dst : l->src, 16);
	memcpy(f->head.tuple.dst, f->first_is_reply ? l->src : l->dst, 16);
	f->head.tuple.src_port = f->first_is_reply ? l->dst_port : l->src_port;
	f->head.tuple.dst_port = f->first_is_reply ? l->src_port : l->dst_port;
	if (layer > 0) {
		const struct ip_layer *o = l - 1;

		f->head.tunnel_has_id = f->level[layer].has_id;
		f->head.tunnel_id = f->level[layer].id;
		f->head.tunnel_version = o->version;
		f->head.tunnel_proto = o->proto;
		memcpy(f->head.tunnel_src, f->first_is_reply ? o->dst : o->src, 16);
		memcpy(f->head.tunnel_dst, f->first_is_reply ? o->src : o->dst, 16);
		f->head.tunnel_src_port = f->first_is_reply ? o->dst_port : o->src_port;
		f->head.tunnel_dst_port = f->first_is_reply ? o->src_port : o->dst_port;
	}
	return f;
}

static void handshake(struct model_flow *f, const struct ip_layer *l, bool reply, uint64_t ts)
{
	bool syn = l->tcp.flags & SYN, ack = l->tcp.flags & ACK, rst = l->tcp.flags & RST;

	if (syn) {
		if (!f->syn[reply]) {
			f->isn[reply] = l->tcp.seq;
			f->guessed |= f->head.midstream;
		}
		f->syn[reply] = true;
		if (l->flags & LAYER_TCP_MSS)
			f->mss[reply] = l->tcp.mss;
		if (l->flags & LAYER_TCP_WSCALE)
			f->wscale[reply] = l->tcp.wscale;
	}
	if (rst)
		return;
	if (syn && !ack && !reply) {
		if (!f->synack_timed) {
			f->syn_timed = true;
			f->syn_at = ts;
		}
		if (f->state == FLOW_TCP_NONE)
			f->state = FLOW_TCP_SYN_SENT;
	} else if (syn && ack) {
		if (!f->synack_timed) {
			if (f->syn_timed && ts > f->syn_at)
				f->syn_ns = kept(ts - f->syn_at);
			f->synack_timed = true;
			f->synack_at = ts;
		}
		if (f->state < FLOW_TCP_SYN_RECV)
			f->state = FLOW_TCP_SYN_RECV;
	} else if (!syn && ack && f->state < FLOW_TCP_ESTABLISHED &&
		   (!reply || l->payload_len > 0)) {
		if (!reply && f->state == FLOW_TCP_SYN_RECV && ts > f->synack_at)
			f->synack_ns = kept(ts - f->synack_at);
		f->state = FLOW_TCP_ESTABLISHED;
	}
}

static void teardown(struct model_flow *f, const struct ip_layer *l, bool reply)
{
	bool fin = l->tcp.flags & FIN, acks;

	if (fin && !f->fin[reply]) {
		f->fin[reply] = true;
		f->fin_end[reply] = l->tcp.seq + l->payload_len + 1;
	}
	acks = f->fin[!reply] && (l->tcp.flags & ACK) &&
	       (int32_t)(l->tcp.ack - f->fin_end[!reply]) >= 0;
	if (f->state <= FLOW_TCP_ESTABLISHED) {
		if (fin)
			f->state = reply ? FLOW_TCP_CLOSE_WAIT : FLOW_TCP_FIN_WAIT1;
	} else if (f->state == FLOW_TCP_FIN_WAIT1 && reply) {
		if (fin)
			f->state = acks ? FLOW_TCP_TIME_WAIT : FLOW_TCP_CLOSING;
		else if (acks)
			f->state = FLOW_TCP_FIN_WAIT2;
	} else if (f->state == FLOW_TCP_FIN_WAIT2 && reply && fin) {
		f->state = FLOW_TCP_TIME_WAIT;
	} else if (f->state == FLOW_TCP_CLOSING && reply && acks) {
		f->state = FLOW_TCP_TIME_WAIT;
	} else if (f->state == FLOW_TCP_TIME_WAIT && !reply && acks) {
		f->state = FLOW_TCP_CLOSED;
	} else if (f->state == FLOW_TCP_CLOSE_WAIT && !reply && fin) {
		f->state = FLOW_TCP_LAST_ACK;
	} else if (f->state == FLOW_TCP_LAST_ACK && reply && acks) {
		f->state = FLOW_TCP_CLOSED;
	}
}

static void tcp(struct model_flow *f, const struct ip_layer *l, bool reply, uint64_t ts)
{
	handshake(f, l, reply, ts);
	teardown(f, l, reply);
	if (l->tcp.flags & RST)
		f->state = FLOW_TCP_CLOSED;
	if (f->closed == FLOW_END_NONE && (l->tcp.flags & RST))
		f->closed = FLOW_END_RST;
	else if (f->closed == FLOW_END_NONE && f->fin[0] && f->fin[1])
		f->closed = FLOW_END_FIN;
}

static void turn(struct model_flow *f, bool reply, uint64_t ts)
{
	uint64_t wait;

	if (f->payload_any && f->payload_reply == reply)
		return;
	f->payload_any = true;
	f->payload_reply = reply;
	if (!reply) {
		f->waiting = true;
		f->waiting_since = ts;
		return;
	}
	if (!f->waiting)
		return;
	f->waiting = false;
	wait = ts > f->waiting_since ? ts - f->waiting_since : 0;
	if (f->first_response == 0)
		f->first_response = kept(wait);
	if (f->responses == 0 || kept(wait) < f->response_min)
		f->response_min = kept(wait);
	if (f->responses == 0 || kept(wait) > f->response_max)
		f->response_max = kept(wait);
	f->response_sum += wait;
	f->responses++;
}

static void add(struct model_flow *f, const struct packet *p, const struct ip_layer *l)
{
	bool reply = goes_as_first(f, l) ? f->first_is_reply : !f->first_is_reply;
	bool has_tcp = l->proto == 6 && (l->flags & LAYER_L4);
	uint32_t payload = l->flags & LAYER_L4 ? l->payload_len : 0;

	if (f->count == 0) {
		f->part++;
		f->part_now = p->now_ns;
	}
	if (f->count == f->room) {
		f->room = f->room * 2 + 16;
		f->seen = realloc(f->seen, f->room * sizeof(*f->seen));
		assert(f->seen != NULL);
	}
	f->seen[f->count++] = (struct seen){.ts = p->ts_ns,
		.wirelen = p->wirelen,
		.reply = reply,
		.has_tcp = has_tcp,
		.flags = has_tcp ? l->tcp.flags : 0,
		.window = l->tcp.window,
		.ttl = l->ttl};
	f->last_now = p->now_ns;
	f->truncated |= !!(p->flags & PACKET_TRUNCATED);
	if (!f->any[reply]) {
		f->window_first[reply] = has_tcp ? l->tcp.window : 0;
		f->icmp_type[reply] = l->icmp_type;
		f->icmp_code[reply] = l->icmp_code;
	}
	f->any[reply] = true;
	if (f->part == 1 && f->splt_count < 16) {
		uint64_t dt = f->packets > 0 && p->ts_ns > f->splt_last ? p->ts_ns - f->splt_last
		                                                        : 0;

		f->splt[f->splt_count++] = (struct flow_splt){
			.dt_ns = dt > UINT32_MAX ? UINT32_MAX : (uint32_t)dt,
			.size = payload > UINT16_MAX ? UINT16_MAX : (uint16_t)payload,
			.direction = reply,
			.tcp_flags = has_tcp ? l->tcp.flags : 0};
	}
	f->splt_last = p->ts_ns;
	f->packets++;
	if (payload > 0)
		turn(f, reply, p->ts_ns);
	if (has_tcp)
		tcp(f, l, reply, p->ts_ns);
}

static bool is_new_connection(const struct model_flow *f, const struct ip_layer *l)
{
	bool reply = goes_as_first(f, l) ? f->first_is_reply : !f->first_is_reply;

	if (l->proto != 6 || !(l->flags & LAYER_L4) || (l->tcp.flags & (SYN | ACK | RST)) != SYN)
		return false;
	return f->syn[reply] ? f->isn[reply] != l->tcp.seq : f->closed != FLOW_END_NONE;
}

void model_packet(struct model *m, const struct packet *p)
{
	for (unsigned layer = 0; layer < p->layer_count; layer++) {
		const struct ip_layer *l = &p->layer[layer];
		struct model_flow *f = NULL;

		for (size_t i = 0; i < m->flows && f == NULL; i++)
			if (is_of(m, &m->flow[i], p, layer))
				f = &m->flow[i];
		if (f != NULL && is_idle(m, f, p->now_ns)) {
			finish_by_time(m, f, p->now_ns);
			f = NULL;
		}
		if (f != NULL && is_full(m, f, p->now_ns))
			part_over(m, f);
		if (f != NULL && is_new_connection(f, l)) {
			finish(m, f, FLOW_END_REUSE);
			f = NULL;
		}
		if (f == NULL)
			f = begin(m, p, layer);
		add(f, p, l);
	}
}

// --- Comparison ---

// Without moments (they are compared by value) and names.
static struct flow_record bare(const struct flow_record *r)
{
	struct flow_record x = *r;

	x.flow_id = 0;
	x.worker = 0;
	for (unsigned d = 0; d < 2; d++) {
		struct flow_direction *f = &x.direction[d];

		f->size_mean = f->size_m2 = f->size_m3 = f->iat_mean = f->iat_m2 = f->iat_m3 = 0;
	}
	return x;
}

static int by_content(const void *a, const void *b)
{
	struct flow_record x = bare(a), y = bare(b);
	int c = memcmp(&x, &y, sizeof(x));

	// Equal ones (the same packets at the same times) in the order of their flows.
	return c != 0 ? c : memcmp(a, b, sizeof(x));
}

static bool near(double x, double y, double tolerance, double scale)
{
	return fabs(x - y) <= tolerance * fabs(y) + scale;
}

// scale: how much rounding of the inputs alone may do.
static bool near_moments(const double x[3], const double y[3], uint64_t n)
{
	double sd = n > 0 ? sqrt(y[1] / (double)n) : 0, ulp = fabs(y[0]) * 4e-16;

	return near(x[0], y[0], 1e-9, 0) &&
	       near(x[1], y[1], 1e-9, (double)n * ulp * (sd + ulp) * 8) &&
	       // a third moment may cancel out: measured by what it is made of
	       near(x[2], y[2], 1e-5,
		       1e-5 * (double)n * pow(sd, 3) * sqrt((double)n) +
			       (double)n * ulp * (sd + ulp) * (sd + ulp) * 16);
}

static bool same_moments(const struct flow_direction *x, const struct flow_direction *y)
{
	const double xs[3] = {x->size_mean, x->size_m2, x->size_m3},
		     ys[3] = {y->size_mean, y->size_m2, y->size_m3},
		     xi[3] = {x->iat_mean, x->iat_m2, x->iat_m3},
		     yi[3] = {y->iat_mean, y->iat_m2, y->iat_m3};

	return near_moments(xs, ys, y->pkts) && near_moments(xi, yi, y->pkts);
}

static const char *describe(const struct flow_record *x, const struct flow_record *y)
{
	static char text[512];
	const unsigned char *a = (const void *)x, *b = (const void *)y;
	size_t at = 0;

	while (at < sizeof(*x) - 1 && a[at] == b[at])
		at++;
	snprintf(text, sizeof(text),
		"byte %zu: proto %u/%u ports %u>%u/%u>%u part %u/%u end %u/%u state %u/%u pkts "
		"%lu+%lu/%lu+%lu first %lu/%lu last %lu/%lu",
		at, x->tuple.proto, y->tuple.proto, x->tuple.src_port, x->tuple.dst_port,
		y->tuple.src_port, y->tuple.dst_port, x->part_no, y->part_no, x->end, y->end,
		x->tcp_state, y->tcp_state, x->direction[0].pkts, x->direction[1].pkts,
		y->direction[0].pkts, y->direction[1].pkts, x->first_ns, y->first_ns, x->last_ns,
		y->last_ns);
	return text;
}

struct pair {
	uint64_t x, y;
};

static int by_x(const void *a, const void *b)
{
	const struct pair *p = a, *q = b;

	return p->x != q->x ? (p->x > q->x) - (p->x < q->x) : (p->y > q->y) - (p->y < q->y);
}

static bool is_function(struct pair *p, size_t n)
{
	qsort(p, n, sizeof(*p), by_x);
	for (size_t i = 1; i < n; i++)
		if (p[i].x == p[i - 1].x && p[i].y != p[i - 1].y)
			return false;
	return true;
}

static bool ids_correspond(const struct flow_record *x, const struct flow_record *y, size_t n)
{
	struct pair *p = calloc(n + 1, sizeof(*p));
	bool ok;

	assert(p != NULL);
	for (size_t i = 0; i < n; i++)
		p[i] = (struct pair){x[i].flow_id, y[i].flow_id};
	ok = is_function(p, n);
	for (size_t i = 0; i < n; i++)
		p[i] = (struct pair){p[i].y, p[i].x};
	ok = ok && is_function(p, n);
	free(p);
	return ok;
}

const char *records_differ(
	struct flow_record *x, size_t xn, struct flow_record *y, size_t yn, bool same_ids)
{
	qsort(x, xn, sizeof(*x), by_content);
	qsort(y, yn, sizeof(*y), by_content);
	for (size_t i = 0; i < xn && i < yn; i++) {
		struct flow_record a = bare(&x[i]), c = bare(&y[i]);

		if (memcmp(&a, &c, sizeof(a)) != 0)
			return describe(&a, &c);
		for (unsigned d = 0; d < 2; d++)
			if (!same_moments(&x[i].direction[d], &y[i].direction[d]))
				return "moments";
		if (same_ids && x[i].flow_id != y[i].flow_id)
			return "flow_id";
	}
	if (xn != yn)
		return "the number of records";
	return same_ids || ids_correspond(x, y, xn) ? NULL : "flow_id of parts";
}
