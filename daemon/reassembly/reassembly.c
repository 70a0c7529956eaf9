// SPDX-License-Identifier: Apache-2.0
// The object: set up, streams' begin and end, the budget, and what can be asked of it.
#include <stdlib.h>
#include <string.h>

#include "reassembly_internal.h"

#include "aligned.h"

struct reassembly *reassembly_new(const struct reassembly_config *config)
{
	struct reassembly *r;

	if (config->streams == 0 || config->streams >= 1u << 30 ||
		config->bytes / sizeof(struct reassembly_block) < REASSEMBLY_BLOCKS_MIN ||
		config->bytes / sizeof(struct reassembly_block) >= 1u << 30 ||
		config->network_count > REASSEMBLY_NETWORKS_MAX)
		return NULL;
	r = aligned_zalloc(sizeof(*r));
	if (r == NULL)
		return NULL;
	r->config = *config;
	if (r->config.hold_bytes == 0)
		r->config.hold_bytes = 1;
	r->blocks = (uint32_t)(config->bytes / sizeof(struct reassembly_block));
	r->reserve = r->blocks / 8;
	r->random = 0x9e3779b9;
	for (unsigned i = 0; i < REASSEMBLY_CAPTURES_MAX; i++)
		r->counters[i] = &r->nowhere;
	if (!pool_init(r)) {
		reassembly_free(r);
		return NULL;
	}
	return r;
}

void reassembly_free(struct reassembly *r)
{
	if (r == NULL)
		return;
	pool_fini(r);
	free(r);
}

void reassembly_capture_begin(struct reassembly *r, uint16_t capture, struct counters *c)
{
	r->counters[capture] = c;
}

void reassembly_prefetch_place(const struct reassembly *r, uint32_t stream)
{
	prefetch(&r->slot[stream <= r->config.streams ? stream : 0]);
}

void reassembly_prefetch(const struct reassembly *r, uint32_t stream)
{
	const struct reassembly_stream *s;

	if (stream > r->config.streams || r->slot[stream] == 0)
		return;
	s = &r->stream[r->slot[stream]];
	prefetch(&s->side[0]);
	prefetch(&s->side[1]);
	prefetch(&s->rtt_sum_ns);
}

// --- Policies ---

static bool is_in(const struct reassembly_network *n, uint8_t version, const uint8_t *address)
{
	unsigned whole = n->prefix_bits / 8, rest = n->prefix_bits % 8;

	if (n->version != version || n->prefix_bits > (version == 4 ? 32 : 128))
		return false;
	if (memcmp(n->address, address, whole) != 0)
		return false;
	return rest == 0 || ((n->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}

static uint8_t policy_of(const struct reassembly *r, uint8_t version, const uint8_t *receiver)
{
	for (unsigned i = 0; i < r->config.network_count; i++)
		if (is_in(&r->config.network[i], version, receiver))
			return r->config.network[i].policy;
	return (uint8_t)r->config.policy;
}

// --- Streams ---

void stream_begin(
	struct reassembly *r, uint32_t stream, const struct packet *p, const struct ip_layer *l)
{
	struct counters *counters = r->counters[p->capture];
	struct reassembly_stream *s;
	unsigned d = l->swapped;

	pool_stream_get(r, stream);
	s = &r->stream[r->slot[stream]];
	s->capture = (uint8_t)p->capture;
	s->policies = (uint8_t)(policy_of(r, l->version, l->dst) << 4 * d |
				policy_of(r, l->version, l->src) << 4 * (d ^ 1));
	r->capture_streams[p->capture]++;
	counter_add(counters, COUNTER_tcp_streams, 1);
	counter_set(counters, COUNTER_tcp_active, r->capture_streams[p->capture]);
	if (!(l->tcp.flags & SYN)) {
		s->marks |= REASSEMBLY_MIDSTREAM;
		counter_add(counters, COUNTER_tcp_midstream, 1);
	}
}

void side_settle(const struct place *at)
{
	struct reassembly_side *s = at->side;

	if ((s->flags & (SIDE_FIN | SIDE_DONE)) != SIDE_FIN || seq_diff(s->next, s->fin) < 0)
		return;
	s->flags |= SIDE_DONE;
	s->next = s->fin + 1;
	if (s->root != 0) {
		COUNT(at, data_after_fin, 1);
		piece_drop_all(at);
	}
	deliver_end(at, REASSEMBLY_END_FIN);
}

void make_room(struct reassembly *r, uint32_t n)
{
	uint32_t stream;
	unsigned d;

	while (pool_free_blocks(r) < n && pool_heaviest(r, &stream, &d)) {
		struct place at;

		place_set(&at, r, stream, d, r->stream[r->slot[stream]].capture);
		COUNT(&at, limit_bytes, 1);
		deliver_past_gap(&at, GAP_BUDGET);
		side_settle(&at);
	}
}

static void end_side(const struct place *at, enum reassembly_end_reason reason)
{
	struct reassembly_side *s = at->side;

	if (!(s->flags & SIDE_STARTED))
		return;
	while (s->root != 0) {
		deliver_past_gap(at, GAP_END);
		side_settle(at);
	}
	if ((s->flags & (SIDE_FIN | SIDE_DONE)) == SIDE_FIN) {
		deliver_gap(at, s->fin - s->next, GAP_END);
		side_settle(at);
	}
	if ((s->flags & SIDE_RESET) && reason != REASSEMBLY_END_REUSE)
		reason = REASSEMBLY_END_RST;
	deliver_end(at, reason);
}

static bool is_in_use(const struct reassembly *r, uint32_t stream)
{
	return stream != 0 && stream <= r->config.streams && r->slot[stream] != 0;
}

bool reassembly_end(struct reassembly *r, uint32_t stream, enum reassembly_end_reason reason,
	struct reassembly_view *ret)
{
	struct reassembly_stream *s;
	struct place at;
	uint16_t capture;

	if (!is_in_use(r, stream))
		return false;
	s = &r->stream[r->slot[stream]];
	capture = s->capture;
	for (unsigned d = 0; d < 2; d++) {
		place_set(&at, r, stream, d, capture);
		end_side(&at, reason);
	}
	if ((s->side[0].segments == 0) != (s->side[1].segments == 0))
		COUNT(&at, one_sided, 1);
	if (reason == REASSEMBLY_END_REUSE)
		COUNT(&at, reused_tuple, 1);
	if (ret != NULL)
		reassembly_get(r, stream, ret);
	pool_stream_put(r, stream);
	r->capture_streams[capture]--;
	counter_set(at.counters, COUNTER_tcp_active, r->capture_streams[capture]);
	return true;
}

// --- Questions ---

void reassembly_part(struct reassembly *r, uint32_t stream)
{
	if (!is_in_use(r, stream))
		return;
	for (unsigned d = 0; d < 2; d++) {
		struct side_cold *c;
		struct place at;

		place_set(&at, r, stream, d, r->stream[r->slot[stream]].capture);
		c = side_cold(&at);
		memset(&c->figures, 0, sizeof(c->figures));
		memset(&at.s->rtt[d], 0, sizeof(at.s->rtt[d]));
		at.s->rtt_sum_ns[d] = 0;
		at.side->out_of_order = at.side->gaps = 0;
		at.side->gap_bytes = 0;
		c->part_segments = at.side->segments;
		c->part_offset = at.side->offset;
	}
}

// c: NULL: it has none.
static void describe_side(const struct reassembly_stream *stream, unsigned d,
	const struct side_cold *c, struct reassembly_figures *f)
{
	const struct reassembly_side *s = &stream->side[d];
	const struct side_rtt *rtt = &stream->rtt[d];

	if (c != NULL)
		*f = c->figures;
	else
		memset(f, 0, sizeof(*f));
	f->rtt_sum_ns = stream->rtt_sum_ns[d];
	f->rtt_min_ns = rtt->min_ns;
	f->rtt_max_ns = rtt->max_ns;
	f->rtt_samples = rtt->samples;
	f->segments = s->segments - (c != NULL ? c->part_segments : 0);
	f->out_of_order += s->out_of_order;
	f->gaps += s->gaps;
	f->gap_bytes += s->gap_bytes;
	f->bytes_delivered = s->offset - (c != NULL ? c->part_offset : 0) - f->gap_bytes;
}

bool reassembly_get(const struct reassembly *r, uint32_t stream, struct reassembly_view *ret)
{
	const struct reassembly_stream *s;
	uint32_t blocks = 0;

	if (!is_in_use(r, stream))
		return false;
	s = &r->stream[r->slot[stream]];
	for (unsigned d = 0; d < 2; d++) {
		const struct side_cold *c = s->cold != 0 ? &r->cold[s->cold].side[d] : NULL;

		describe_side(s, d, c, &ret->direction[d]);
		if (s->side[d].root != 0)
			blocks += r->block[s->side[d].root].blocks;
		if (s->side[d].flags & SIDE_HELD)
			for (uint32_t i = c->held_head; i != 0; i = r->block[i].next)
				blocks++;
	}
	ret->rtt_syn_ns = s->handshake & SHAKE_RTT_SYN ? s->syn_ns : 0;
	ret->rtt_synack_ns = s->handshake & SHAKE_RTT_SYNACK ? s->synack_ns : 0;
	ret->held_bytes = blocks * (uint32_t)sizeof(struct reassembly_block);
	ret->marks = s->marks;
	return true;
}

void reassembly_stats_of(const struct counters *c, struct reassembly_stats *ret)
{
#define REASSEMBLY_COPY(name) ret->name = c->value[COUNTER_tcp_##name];
	REASSEMBLY_STATS(REASSEMBLY_COPY)
#undef REASSEMBLY_COPY
}

size_t reassembly_bytes_in_use(const struct reassembly *r)
{
	return (size_t)r->blocks_in_use * sizeof(struct reassembly_block);
}

size_t reassembly_bytes_peak(const struct reassembly *r)
{
	return (size_t)r->blocks_peak * sizeof(struct reassembly_block);
}

size_t reassembly_bytes_reserved(const struct reassembly *r)
{
	size_t n = (size_t)r->config.streams + 1;

	return sizeof(*r) + n * (sizeof(*r->slot) + sizeof(*r->stream) + sizeof(*r->cold)) +
	       ((size_t)r->blocks + 1) * sizeof(*r->block) + r->config.hold_bytes;
}
