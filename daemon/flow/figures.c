// SPDX-License-Identifier: Apache-2.0
// A flow's figures: counts and running moments of each direction, requests and responses, the sequence
// of the first packets; and the way from the log in the hot line to them.
#include "flow_internal.h"

// --- Moments (Welford; third moment by Pebay) ---

// Sizes and the times between packets go the same way, side by side.
typedef double pair __attribute__((vector_size(16)));

// Third moments of times are kept in a float: in units in which not even gaps of 2^64 ns overflow it.
static const pair m3_scale = {1, FLOW_IAT_M3_SCALE};

// A packet that is not the direction's first, dt after the one before. Of times there is one less than
// of packets. The mean size is not kept: it is what bytes and packets say, without rounding.
static inline void moments(struct flow_stats *s, uint32_t size, uint64_t dt)
{
	double n = s->pkts;
	pair before = {n, n - 1}, inverse = (pair){1, 1} / (pair){n + 1, n};
	pair m2 = {s->m2[0], s->m2[1]}, m3 = {s->m3[0], s->m3[1]};
	pair d = {(double)(int64_t)((uint64_t)size * s->pkts - s->bytes) * inverse[1],
		(double)dt - s->iat_mean};
	pair dn = d * inverse, t = d * dn * before;

	m3 += m3_scale * (t * dn * (before - 1) - 3 * m2 * dn);
	m2 += t;
	s->iat_mean += dn[1];
	s->m2[0] = m2[0];
	s->m2[1] = m2[1];
	s->m3[0] = (float)m3[0];
	s->m3[1] = (float)m3[1];
}

// --- Turns: request and response ---

// The first packet with payload after one of the other direction. Whether it is a request or a response
// no processor can guess.
static void payload_turn(struct flow_turn *u, bool to_server, unsigned d, uint64_t ts)
{
	bool responds = !to_server && (u->marks & FLOW_REQUEST_OPEN);
	uint64_t wait = ts > u->request_at_ns ? ts - u->request_at_ns : 0;
	uint32_t compact = flow_compact(wait);
	uint32_t least = u->response_samples == 0 ? UINT32_MAX : u->response_min;
	uint32_t most = u->response_samples == 0 ? 0 : u->response_max;
	unsigned marks = u->marks & ~(unsigned)(FLOW_PAYLOAD_LAST | FLOW_REQUEST_OPEN);

	marks |= FLOW_PAYLOAD_SEEN | (d ? FLOW_PAYLOAD_LAST : 0);
	marks |= to_server ? FLOW_REQUEST_OPEN : 0;
	u->marks = (uint16_t)marks;
	u->request_at_ns = to_server ? ts : u->request_at_ns;
	u->first_response = responds && u->first_response == 0 ? compact : u->first_response;
	u->response_min = responds && compact < least ? compact : u->response_min;
	u->response_max = responds && compact >= most ? compact : u->response_max;
	u->response_sum_ns += responds ? wait : 0;
	u->response_samples += responds;
}

// --- Sequence of the first packets ---

static void splt_add(struct flow_table *t, uint32_t i, const struct flow_facts *f)
{
	struct flow_turn *u = &t->turn[i];
	unsigned n = u->splt_count;
	struct flow_splt_half *half = &t->splt[2 * i + n / FLOW_SPLT_HALF];
	unsigned k = n % FLOW_SPLT_HALF;
	uint64_t before, dt = 0;

	if (n > 0) {
		before = t->stats[2 * i + (u->splt_direction >> (n - 1) & 1)].last_ns;
		dt = f->ts_ns > before ? f->ts_ns - before : 0;
	}
	half->dt[k] = dt > UINT32_MAX ? UINT32_MAX : (uint32_t)dt;
	half->size[k] = f->payload > UINT16_MAX ? UINT16_MAX : (uint16_t)f->payload;
	half->flags[k] = f->tcp_flags;
	u->splt_direction |= (uint16_t)(f->direction << n);
	u->splt_count = (uint8_t)(n + 1);
	if (u->splt_count == FLOW_SPLT_PKTS)
		t->hot[i].bits |= FLOW_SPLT_FULL;
}

// --- A packet ---

static inline uint16_t min16(uint16_t x, uint16_t y)
{
	return x < y ? x : y;
}

static inline uint16_t max16(uint16_t x, uint16_t y)
{
	return x > y ? x : y;
}

static inline void account(struct flow_table *t, uint32_t i, const struct flow_facts *f)
{
	unsigned d = f->direction;
	struct flow_stats *s = &t->stats[2 * i + d];
	struct flow_turn *u = &t->turn[i];
	uint16_t size = f->size < UINT16_MAX ? (uint16_t)f->size : UINT16_MAX;
	bool same_side = u->marks & FLOW_PAYLOAD_SEEN && !!(u->marks & FLOW_PAYLOAD_LAST) == d;

	if (!(t->hot[i].bits & FLOW_SPLT_FULL))
		splt_add(t, i, f);
	if (__builtin_expect(s->pkts > 0, 1)) {
		uint64_t dt = f->ts_ns > s->last_ns ? f->ts_ns - s->last_ns : 0;
		uint32_t compact = flow_compact(dt);

		moments(s, f->size, dt);
		s->iat_min = compact < s->iat_min ? compact : s->iat_min;
		s->iat_max = compact > s->iat_max ? compact : s->iat_max;
	}
	s->size_min = min16(s->size_min, size);
	s->size_max = max16(s->size_max, size);
	s->last_ns = f->ts_ns;
	s->pkts++;
	s->bytes += f->size;
	u->window_min[d] = min16(u->window_min[d], f->window_low);
	u->window_max[d] = max16(u->window_max[d], f->window_high);
	u->tcp_flags[d] |= f->tcp_flags;
	if (f->payload > 0 && !same_side)
		payload_turn(u, d == (t->hot[i].bits & FLOW_TO_SERVER), d, f->ts_ns);
}

void flow_account(struct flow_table *t, uint32_t i, const struct flow_facts *f)
{
	account(t, i, f);
}

// --- The log ---

void flow_volume_set(struct flow_table *t, uint32_t i)
{
	const struct flow_stats *s = &t->stats[2 * i];
	unsigned marks = t->turn[i].marks;
	uint64_t bytes = (marks & FLOW_COUNTS ? s[0].bytes : 0) +
	                 (marks & FLOW_COUNTS << 1 ? s[1].bytes : 0);
	uint8_t class = flow_volume_class(bytes);

	if (t->hot[i].volume != class)
		t->hot[i].volume = t->volume[i] = class;
}

void flow_sync(struct flow_table *t, uint32_t i)
{
	struct flow_hot *h = &t->hot[i];
	unsigned n = h->log_count;
	uint64_t ts = h->last_now_ns;

	if (n == 0)
		return;
	h->log_count = 0;
	for (unsigned k = 0; k < n; k++)
		ts -= h->log_dt[k];
	for (unsigned k = 0; k < n; k++) {
		unsigned flags = h->log_flags[k], is_tcp = flags / FLOW_LOG_TCP & 1;
		uint32_t size = h->log_size[k];

		ts += h->log_dt[k];
		account(t, i,
			&(struct flow_facts){.ts_ns = ts,
				.size = size,
				.payload = flags & FLOW_LOG_EMPTY ? 0 : size - h->log_header[k],
				.window_low = (uint16_t)(h->log_window[k] | (is_tcp - 1)),
				.window_high = h->log_window[k],
				.tcp_flags = (uint8_t)((flags & ~(unsigned)FLOW_LOG_TAKEN) *
						       is_tcp),
				.direction = flags & FLOW_LOG_DIRECTION});
	}
	flow_volume_set(t, i);
}
