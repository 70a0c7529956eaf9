// SPDX-License-Identifier: Apache-2.0
// A flow's figures: counts and running moments of each direction, requests and responses, the sequence
// of the first packets; and the way from the log in the hot line to them.
#include "flow_internal.h"

// --- Moments ---
//
// Of sizes and of the times between packets, side by side. Those of some packets are added at once: their
// power sums about the mean so far are what the moments about the new mean need (Chan et al., Pebay).
// The mean size is not kept: it is what bytes and packets say, without rounding.

typedef double pair __attribute__((vector_size(16)));

// Third moments of times are kept in a float: in units in which not even gaps of 2^64 ns overflow it.
static const pair m3_scale = {1, FLOW_IAT_M3_SCALE};

struct moment_sums {
	pair mean, first, second, third;
	uint32_t n;
};

static inline void sums_begin(struct moment_sums *m, const struct flow_stats *s)
{
	*m = (struct moment_sums){.mean = {(double)s->bytes / s->pkts, s->iat_mean}};
}

static inline void sums_add(
	struct moment_sums *m, const struct flow_stats *s, uint32_t size, uint64_t dt)
{
	pair d;

	// No mean to begin with: the first value is one.
	if (__builtin_expect(s->pkts == 1, 0))
		m->mean[1] = (double)dt;
	d = (pair){size, (double)dt} - m->mean;
	m->first += d;
	m->second += d * d;
	m->third += d * d * d;
	m->n++;
}

// before: packets before those that were added; of times there is one less.
static inline void sums_end(const struct moment_sums *m, struct flow_stats *s, uint32_t before)
{
	pair n = (pair){before, (double)before - 1} + (double)m->n;
	pair shift = m->first / n, m2 = (pair){s->m2[0], s->m2[1]} + m->second;
	pair m3 = (pair){s->m3[0], s->m3[1]};

	m3 += m3_scale * (m->third - 3 * shift * m2 + 2 * n * shift * shift * shift);
	m2 -= n * shift * shift;
	s->iat_mean = m->mean[1] + shift[1];
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
	struct flow_splt_half *half = n < FLOW_SPLT_HALF ? &t->splt_first[i] : &t->splt_second[i];
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

// All that is not a moment. bits: the flow's.
static inline __attribute__((always_inline)) void count(struct flow_stats *s, struct flow_turn *u,
	unsigned bits, const struct flow_facts *f, uint64_t dt)
{
	unsigned d = f->direction, marks = u->marks;
	uint16_t size = f->size < UINT16_MAX ? (uint16_t)f->size : UINT16_MAX;
	unsigned last_side = marks & FLOW_PAYLOAD_SEEN ? !!(marks & FLOW_PAYLOAD_LAST) : 2;
	uint32_t compact = flow_compact(dt);

	s->iat_min = compact < s->iat_min ? compact : s->iat_min;
	s->iat_max = compact > s->iat_max ? compact : s->iat_max;
	s->size_min = min16(s->size_min, size);
	s->size_max = max16(s->size_max, size);
	s->last_ns = f->ts_ns;
	s->pkts++;
	s->bytes += f->size;
	u->window_min[d] = min16(u->window_min[d], f->window_low);
	u->window_max[d] = max16(u->window_max[d], f->window_high);
	u->tcp_flags[d] |= f->tcp_flags;
	if (f->payload > 0 && last_side != d)
		payload_turn(u, d == (bits & FLOW_TO_SERVER), d, f->ts_ns);
}

static inline uint64_t since_last(const struct flow_stats *s, uint64_t ts)
{
	return ts > s->last_ns ? ts - s->last_ns : 0;
}

void flow_account(struct flow_table *t, uint32_t i, const struct flow_facts *f)
{
	struct flow_stats *s = &t->stats[2 * i + f->direction];
	uint64_t dt = since_last(s, f->ts_ns);
	unsigned bits = t->hot[i].bits;
	struct moment_sums sums;

	if (!(bits & FLOW_SPLT_FULL))
		splt_add(t, i, f);
	if (s->pkts == 0) {
		count(s, &t->turn[i], bits, f, dt);
		s->iat_min = UINT32_MAX;
		s->iat_max = 0;
		return;
	}
	sums_begin(&sums, s);
	sums_add(&sums, s, f->size, dt);
	sums_end(&sums, s, s->pkts);
	count(s, &t->turn[i], bits, f, dt);
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

// Some packets of directions that have had packets before, in their order.
static inline void account_all(
	struct flow_table *t, uint32_t i, const struct flow_facts *facts, unsigned n)
{
	struct flow_stats *s = &t->stats[2 * i];
	struct moment_sums sums[2];
	uint32_t before[2] = {s[0].pkts, s[1].pkts};
	unsigned bits = t->hot[i].bits;

	sums_begin(&sums[0], &s[0]);
	sums_begin(&sums[1], &s[1]);
	for (unsigned k = 0; k < n; k++) {
		const struct flow_facts *f = &facts[k];
		unsigned d = f->direction;
		uint64_t dt = since_last(&s[d], f->ts_ns);

		if (__builtin_expect(!(bits & FLOW_SPLT_FULL), 0)) {
			splt_add(t, i, f);
			bits = t->hot[i].bits;
		}
		sums_add(&sums[d], &s[d], f->size, dt);
		count(&s[d], &t->turn[i], bits, f, dt);
	}
	for (unsigned d = 0; d < 2; d++)
		if (sums[d].n > 0)
			sums_end(&sums[d], &s[d], before[d]);
	flow_volume_set(t, i);
}

// The logged packets; returns how many.
static inline unsigned take_log(struct flow_hot *h, struct flow_facts facts[FLOW_LOG_PKTS])
{
	unsigned n = h->log_count;
	uint64_t ts = h->last_now_ns;

	h->log_count = 0;
	for (unsigned k = n; k-- > 0;) {
		unsigned flags = h->log_flags[k], is_tcp = flags / FLOW_LOG_TCP & 1;
		uint32_t size = h->log_size[k];

		facts[k] = (struct flow_facts){.ts_ns = ts,
			.size = size,
			.payload = flags & FLOW_LOG_EMPTY ? 0 : size - h->log_header[k],
			.window_low = (uint16_t)(h->log_window[k] | (is_tcp - 1)),
			.window_high = h->log_window[k],
			.tcp_flags = (uint8_t)((flags & ~(unsigned)FLOW_LOG_TAKEN) * is_tcp),
			.direction = flags & FLOW_LOG_DIRECTION};
		ts -= h->log_dt[k];
	}
	return n;
}

void flow_sync(struct flow_table *t, uint32_t i)
{
	struct flow_facts facts[FLOW_LOG_PKTS];
	unsigned n = take_log(&t->hot[i], facts);

	if (n > 0)
		account_all(t, i, facts, n);
}

void flow_log_over(struct flow_table *t, uint32_t i, const struct flow_ref *r)
{
	struct flow_hot *h = &t->hot[i];
	struct flow_facts facts[FLOW_LOG_PKTS + 1];
	unsigned n = take_log(h, facts), is_tcp = r->flags / FLOW_LOG_TCP & 1;

	facts[n] = (struct flow_facts){.ts_ns = r->now_ns,
		.size = r->size,
		.payload = r->flags & FLOW_LOG_EMPTY ? 0 : (uint32_t)(r->size - r->header),
		.window_low = (uint16_t)(r->window | (is_tcp - 1)),
		.window_high = r->window,
		.tcp_flags = (uint8_t)((r->flags & ~(unsigned)FLOW_LOG_TAKEN) * is_tcp),
		.direction = r->flags & FLOW_LOG_DIRECTION};
	account_all(t, i, facts, n + 1);
	h->last_now_ns = r->now_ns;
	h->bits |= r->bits;
}
