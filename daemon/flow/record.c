// SPDX-License-Identifier: Apache-2.0
// From the table's layout to the record that leaves the stage: canonical directions become to-server
// and to-client, compact times become nanoseconds.
#include "record.h"

#include <string.h>

#include "flow_internal.h"

// A key that is not extended says it all.
static inline void ends_of(const struct flow_table *t, uint32_t i, struct flow_ends *ret)
{
	const struct flow_hot *h = &t->hot[i];

	if (flow_is_extended(h->word[0])) {
		*ret = t->ends[i];
		return;
	}
	*ret = (struct flow_ends){0};
	memcpy(ret->a, &h->word[1], 4);
	memcpy(ret->b, (const uint8_t *)&h->word[1] + 4, 4);
}

void flow_tuple_of(const struct flow_table *t, uint32_t i, struct flow_tuple *ret)
{
	const struct flow_hot *h = &t->hot[i];
	const struct flow_cold *c = &t->cold[i];
	unsigned s = h->bits & FLOW_TO_SERVER; // canonical direction to the server
	uint16_t a_port = (uint16_t)h->word[0], b_port = (uint16_t)(h->word[0] >> 16);
	struct flow_ends ends;

	ends_of(t, i, &ends);
	memcpy(ret->src, s == 0 ? ends.a : ends.b, 16);
	memcpy(ret->dst, s == 0 ? ends.b : ends.a, 16);
	ret->src_port = s == 0 ? a_port : b_port;
	ret->dst_port = s == 0 ? b_port : a_port;
	ret->version = h->word[0] >> 50 & 1 ? 4 : 6;
	ret->proto = flow_proto_of(h);
	ret->vlan_count = t->turn[i].vlan_count;
	memcpy(ret->vlan, c->vlan, sizeof(ret->vlan));
	ret->tunnel_type = c->tunnel != 0 ? t->tunnel[c->tunnel].type : TUNNEL_NONE;
}

static void direction_of(
	const struct flow_table *t, uint32_t i, unsigned d, struct flow_direction *ret)
{
	const struct flow_stats *s = &t->stats[2 * i + d];
	const struct flow_turn *u = &t->turn[i];
	const struct flow_cold *c = &t->cold[i];

	memset(ret, 0, sizeof(*ret));
	ret->wscale = u->wscale[d];
	if (flow_proto_of(&t->hot[i]) == 6)
		ret->mss = c->mss[d];
	ret->window_first = c->window_first[d];
	ret->tcp_flags = u->tcp_flags[d];
	if (!(u->marks & FLOW_COUNTS << d))
		return;
	ret->pkts = s->pkts;
	ret->bytes = s->bytes;
	ret->last_ns = s->last_ns;
	ret->size_mean = (double)s->bytes / s->pkts;
	ret->size_m2 = s->m2[0];
	ret->size_m3 = s->m3[0];
	ret->iat_mean = s->iat_mean;
	ret->iat_m2 = s->m2[1];
	ret->iat_m3 = s->m3[1] / FLOW_IAT_M3_SCALE;
	if (s->pkts > 1) {
		ret->iat_min_ns = flow_expand(s->iat_min);
		ret->iat_max_ns = flow_expand(s->iat_max);
	}
	ret->size_min = s->size_min;
	ret->size_max = s->size_max == UINT16_MAX ? c->size_big[d] : s->size_max;
	if (u->window_min[d] <= u->window_max[d]) {
		ret->window_min = u->window_min[d];
		ret->window_max = u->window_max[d];
	}
	ret->ttl_min = c->ttl_min[d];
	ret->ttl_max = c->ttl_max[d];
}

void flow_times(
	const struct flow_table *t, uint32_t i, uint64_t *ret_first_ns, uint64_t *ret_last_ns)
{
	const struct flow_turn *u = &t->turn[i];
	bool is_empty = !(u->marks & FLOW_BOTH_COUNT); // between parts
	uint64_t last = u->marks & FLOW_WENT_BACK ? t->splt_second[i].other : 0;

	for (unsigned d = 0; d < 2; d++)
		if (u->marks & (is_empty ? FLOW_SEEN : FLOW_COUNTS) << d &&
			t->stats[2 * i + d].last_ns > last)
			last = t->stats[2 * i + d].last_ns;
	if (t->hot[i].log_count > 0 && t->hot[i].last_now_ns > last)
		last = t->hot[i].last_now_ns;
	*ret_last_ns = last;
	*ret_first_ns = is_empty ? last : u->first_ns;
}

static void tunnel_of(const struct flow_table *t, uint32_t i, struct flow_record *r)
{
	const struct flow_cold *c = &t->cold[i];
	const struct flow_tunnel *n = &t->tunnel[c->tunnel];
	bool swapped = t->turn[i].marks & FLOW_TUNNEL_SWAPPED;

	r->tunnel_depth = t->turn[i].tunnel_depth;
	if (c->tunnel == 0)
		return;
	r->tunnel_has_id = n->has_id;
	r->tunnel_id = n->id;
	r->tunnel_version = n->version;
	r->tunnel_proto = t->turn[i].tunnel_proto;
	memcpy(r->tunnel_src, swapped ? n->dst : n->src, 16);
	memcpy(r->tunnel_dst, swapped ? n->src : n->dst, 16);
	r->tunnel_src_port = c->tunnel_port[0];
	r->tunnel_dst_port = c->tunnel_port[1];
}

static void sequence_of(const struct flow_table *t, uint32_t i, unsigned s, struct flow_record *r)
{
	const struct flow_turn *u = &t->turn[i];

	r->splt_count = u->splt_count;
	for (unsigned n = 0; n < u->splt_count; n++) {
		const struct flow_splt_half *half = n < FLOW_SPLT_HALF ? &t->splt_first[i]
		                                                       : &t->splt_second[i];
		unsigned d = u->splt_direction >> n & 1, k = n % FLOW_SPLT_HALF;

		r->splt[n] = (struct flow_splt){.dt_ns = half->dt[k],
			.size = half->size[k],
			.direction = d != s,
			.tcp_flags = half->flags[k]};
	}
}

void flow_snapshot(struct flow_table *t, uint32_t i, struct flow_record *r)
{
	const struct flow_hot *h = &t->hot[i];
	const struct flow_turn *u = &t->turn[i];
	const struct flow_cold *c = &t->cold[i];
	unsigned s = h->bits & FLOW_TO_SERVER;

	flow_sync(t, i);
	memset(r, 0, sizeof(*r));
	flow_tuple_of(t, i, &r->tuple);
	r->flow_id = flow_id_of(t, i);
	r->capture = flow_capture_of(h);
	r->worker = (uint16_t)t->worker;
	r->part_no = u->part_no + !(u->marks & FLOW_PART_OPEN);
	r->tcp_state = h->state & FLOW_STATE;
	r->midstream = !!(h->bits & FLOW_MIDSTREAM);
	r->direction_guessed = !!(h->bits & FLOW_GUESSED);
	r->replied = !!(h->bits & FLOW_REPLIED);
	r->truncated = !!(h->bits & FLOW_TRUNCATED);
	r->app_proto = c->app_proto;
	if (r->tuple.proto == 1 || r->tuple.proto == 58) {
		r->has_icmp = !!(u->marks & FLOW_COUNTS << s);
		r->icmp_type = c->icmp_type[s];
		r->icmp_code = c->icmp_code[s];
		r->has_icmp_reply = !!(u->marks & FLOW_COUNTS << (s ^ 1));
		r->icmp_reply_type = c->icmp_type[s ^ 1];
		r->icmp_reply_code = c->icmp_code[s ^ 1];
	}
	flow_times(t, i, &r->first_ns, &r->last_ns);
	tunnel_of(t, i, r);
	r->syn_ns = flow_expand(c->syn);
	r->synack_ns = flow_expand(c->synack);
	r->first_response_ns = flow_expand(u->first_response);
	r->response_samples = u->response_samples;
	if (u->response_samples > 0) {
		r->response_min_ns = flow_expand(u->response_min);
		r->response_max_ns = flow_expand(u->response_max);
		r->response_sum_ns = u->response_sum_ns;
	}
	direction_of(t, i, s, &r->direction[0]);
	direction_of(t, i, s ^ 1, &r->direction[1]);
	sequence_of(t, i, s, r);
}

// With what the stage behind knows of it.
static void describe(struct flow_table *t, uint32_t i, enum flow_end end, struct flow_record *r)
{
	r->end = (uint8_t)end;
	if (t->listener.describe != NULL && r->tuple.proto == 6)
		t->listener.describe(t->listener.ctx, i, t->hot[i].bits & FLOW_TO_SERVER, r);
}

// Figures come out in the last digits as the log is taken to them, three packets or four at a time. So
// that an answer does not depend on who else asked, what asking did is undone.
void flow_table_get(struct flow_table *t, uint32_t i, struct flow_record *r)
{
	struct flow_hot hot = t->hot[i];
	struct flow_turn turn = t->turn[i];
	struct flow_stats stats[2] = {t->stats[2 * i], t->stats[2 * i + 1]};

	flow_snapshot(t, i, r);
	if (hot.log_count == 0)
		return;
	// The sequence beyond turn.splt_count is written again.
	t->hot[i] = hot;
	t->turn[i] = turn;
	t->stats[2 * i] = stats[0];
	t->stats[2 * i + 1] = stats[1];
	t->volume[i] = hot.volume;
}

void flow_peek(struct flow_table *t, uint32_t i, struct flow_record *r)
{
	flow_table_get(t, i, r);
	describe(t, i, FLOW_END_NONE, r);
}

void flow_write(struct flow_table *t, uint32_t i, enum flow_end end)
{
	struct flow_capture_state *c = &t->capture[flow_capture_of(&t->hot[i])];
	struct flow_record *r = record_reserve(t->records, RECORD_FLOW, sizeof(*r), c->lossless);

	counter_add(c->counters, COUNTER_flows_ended, 1);
	counter_add(
		c->counters, (enum counter_id)(COUNTER_flows_ended_fin + end - FLOW_END_FIN), 1);
	if (r == NULL) {
		counter_add(c->counters, COUNTER_export_queue_full, 1);
		return;
	}
	flow_snapshot(t, i, r);
	describe(t, i, end, r);
	ring_shrink(t->records, flow_record_size(r));
	counter_add(c->counters, COUNTER_records, 1);
}
