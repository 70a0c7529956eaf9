// SPDX-License-Identifier: Apache-2.0
// From the table's layout to the record that leaves the stage: canonical directions become to-server
// and to-client, compact times become nanoseconds.
#include "record.h"

#include <string.h>

#include "flow_internal.h"

void flow_tuple_of(const struct flow_table *t, uint32_t i, struct flow_tuple *ret)
{
	const struct flow_hot *h = &t->hot[i];
	const struct flow_cold *c = &t->cold[i];
	unsigned s = h->bits & FLOW_TO_SERVER; // canonical direction to the server
	uint16_t a_port = (uint16_t)h->word[0], b_port = (uint16_t)(h->word[0] >> 16);

	memcpy(ret->src, s == 0 ? c->a : c->b, 16);
	memcpy(ret->dst, s == 0 ? c->b : c->a, 16);
	ret->src_port = s == 0 ? a_port : b_port;
	ret->dst_port = s == 0 ? b_port : a_port;
	ret->version = h->word[0] >> 50 & 1 ? 4 : 6;
	ret->proto = flow_proto_of(h);
	ret->vlan_count = c->vlan_count;
	memcpy(ret->vlan, c->vlan, sizeof(ret->vlan));
	ret->tunnel_type = c->tunnel != 0 ? t->tunnel[c->tunnel].type : TUNNEL_NONE;
}

static void direction_of(
	const struct flow_table *t, uint32_t i, unsigned d, struct flow_direction *ret)
{
	const struct flow_hot *h = &t->hot[i];
	const struct flow_stats *s = &t->stats[2 * i + d];
	const struct flow_cold *c = &t->cold[i];

	memset(ret, 0, sizeof(*ret));
	ret->wscale = c->wscale[d];
	ret->mss = c->mss[d];
	ret->window_first = c->window_first[d];
	ret->tcp_flags = h->tcp_flags[d];
	if (h->pkts[d] == 0)
		return;
	ret->pkts = h->pkts[d];
	ret->bytes = h->bytes[d];
	ret->last_ns = s->last_ns;
	ret->size_mean = s->size_mean;
	ret->size_m2 = s->size_m2;
	ret->size_m3 = s->size_m3;
	ret->iat_mean = s->iat_mean;
	ret->iat_m2 = s->iat_m2;
	ret->iat_m3 = s->iat_m3 / FLOW_IAT_M3_SCALE;
	if (h->pkts[d] > 1) {
		ret->iat_min_ns = flow_expand(s->iat_min);
		ret->iat_max_ns = flow_expand(s->iat_max);
	}
	ret->size_min = h->size_min[d];
	ret->size_max = h->size_max[d] == UINT16_MAX ? c->size_big[d] : h->size_max[d];
	if (s->window_min <= s->window_max) {
		ret->window_min = s->window_min;
		ret->window_max = s->window_max;
	}
	ret->ttl_min = s->ttl_min;
	ret->ttl_max = s->ttl_max;
}

void flow_times(
	const struct flow_table *t, uint32_t i, uint64_t *ret_first_ns, uint64_t *ret_last_ns)
{
	const struct flow_hot *h = &t->hot[i];
	const struct flow_cold *c = &t->cold[i];
	bool is_empty = (h->pkts[0] | h->pkts[1]) == 0; // between parts
	uint64_t last = c->max_ns;

	for (unsigned d = 0; d < 2; d++)
		if ((h->pkts[d] > 0 || is_empty) && t->stats[2 * i + d].last_ns > last)
			last = t->stats[2 * i + d].last_ns;
	*ret_last_ns = last;
	*ret_first_ns = is_empty ? last : c->first_ns;
}

static void tunnel_of(const struct flow_table *t, const struct flow_cold *c, struct flow_record *r)
{
	const struct flow_tunnel *n = &t->tunnel[c->tunnel];
	bool swapped = c->marks & FLOW_TUNNEL_SWAPPED;

	r->tunnel_depth = c->tunnel_depth;
	if (c->tunnel == 0)
		return;
	r->tunnel_has_id = n->has_id;
	r->tunnel_id = n->id;
	r->tunnel_version = n->version;
	r->tunnel_proto = c->tunnel_proto;
	memcpy(r->tunnel_src, swapped ? n->dst : n->src, 16);
	memcpy(r->tunnel_dst, swapped ? n->src : n->dst, 16);
	r->tunnel_src_port = c->tunnel_port[0];
	r->tunnel_dst_port = c->tunnel_port[1];
}

static void sequence_of(const struct flow_cold *c, unsigned s, struct flow_record *r)
{
	r->splt_count = c->splt_count;
	for (unsigned n = 0; n < c->splt_count; n++) {
		unsigned d = c->splt_direction >> n & 1;

		r->splt[n] = (struct flow_splt){.dt_ns = c->splt_dt[n],
			.size = c->splt_size[n],
			.direction = d != s,
			.tcp_flags = c->splt_flags[n]};
	}
}

void flow_snapshot(const struct flow_table *t, uint32_t i, struct flow_record *r)
{
	const struct flow_hot *h = &t->hot[i];
	const struct flow_cold *c = &t->cold[i];
	unsigned s = h->bits & FLOW_TO_SERVER;

	memset(r, 0, sizeof(*r));
	flow_tuple_of(t, i, &r->tuple);
	r->flow_id = c->flow_id;
	r->capture = flow_capture_of(h);
	r->worker = (uint16_t)t->worker;
	r->part_no = c->part_no + !(c->marks & FLOW_PART_OPEN);
	r->tcp_state = h->state & FLOW_STATE;
	r->midstream = !!(h->bits & FLOW_MIDSTREAM);
	r->direction_guessed = !!(h->bits & FLOW_GUESSED);
	r->replied = !!(h->bits & FLOW_REPLIED);
	r->truncated = !!(h->bits & FLOW_TRUNCATED);
	r->app_proto = c->app_proto;
	if (r->tuple.proto == 1 || r->tuple.proto == 58) {
		r->has_icmp = h->pkts[s] > 0;
		r->icmp_type = c->icmp_type[s];
		r->icmp_code = c->icmp_code[s];
		r->has_icmp_reply = h->pkts[s ^ 1] > 0;
		r->icmp_reply_type = c->icmp_type[s ^ 1];
		r->icmp_reply_code = c->icmp_code[s ^ 1];
	}
	flow_times(t, i, &r->first_ns, &r->last_ns);
	tunnel_of(t, c, r);
	r->syn_ns = flow_expand(c->syn);
	r->synack_ns = flow_expand(c->synack);
	r->first_response_ns = flow_expand(c->first_response);
	r->response_samples = c->response_samples;
	if (c->response_samples > 0) {
		r->response_min_ns = flow_expand(c->response_min);
		r->response_max_ns = flow_expand(c->response_max);
		r->response_sum_ns = c->response_sum_ns;
	}
	direction_of(t, i, s, &r->direction[0]);
	direction_of(t, i, s ^ 1, &r->direction[1]);
	sequence_of(c, s, r);
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
	r->end = (uint8_t)end;
	counter_add(c->counters, COUNTER_records, 1);
}
