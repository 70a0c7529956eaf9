// SPDX-License-Identifier: Apache-2.0
// See pipeline_streams.h. Runs on the worker that owns the flows, within the flow stage's functions.
#include "pipeline_streams.h"

#include <stdlib.h>
#include <string.h>

#include "events.h"
#include "pipeline_internal.h"

struct streams {
	struct reassembly *reassembly;
	struct reassembly_fanout *fanout; // NULL: one consumer at most
	struct flow_table *flows;
	struct ring *records;
	struct counters *counters[FLOW_CAPTURES_MAX];
	// Of the flow that is ending: its stream is over before its record is written.
	struct reassembly_view last;
	uint32_t last_index; // 0: it had no stream
};

// --- Segments ---

static void on_early(void *ctx, uint32_t index)
{
	const struct streams *s = ctx;

	reassembly_prefetch_place(s->reassembly, index);
}

static void on_soon(void *ctx, uint32_t index)
{
	const struct streams *s = ctx;

	reassembly_prefetch(s->reassembly, index);
}

// One record for each direction of a stream; as many as there may be flows. What a stream repeats is in
// its flow's figures.
static void note_event(struct streams *s, uint32_t index, const struct packet *p,
	const struct ip_layer *l, enum event_id event)
{
	struct counters *c = s->counters[p->capture];
	struct reassembly_view view;

	counter_event(c, event);
	if (reassembly_get(s->reassembly, index, &view) &&
		view.direction[l->swapped].overlap_differing != 1) {
		counter_add(c, COUNTER_anomalies_sampled_out, 1);
		return;
	}
	if (pipeline_write_anomaly(s->records, p, event, flow_table_id(s->flows, index), 0))
		counter_add(c, COUNTER_records, 1);
	else
		counter_add(c, COUNTER_export_queue_full, 1);
}

static void on_segment(void *ctx, uint32_t index, struct packet *p, const struct ip_layer *l)
{
	struct streams *s = ctx;
	unsigned before = p->event_count;

	reassembly_segment(s->reassembly, index, p, l);
	if (__builtin_expect(p->event_count == before, 1))
		return;
	for (unsigned e = before; e < p->event_count; e++)
		note_event(s, index, p, l, (enum event_id)p->events[e]);
	// Whoever received the packet notes what was found before.
	p->event_count = (uint8_t)before;
}

// --- Ends ---

static enum reassembly_end_reason reason_of(enum flow_end end)
{
	switch (end) {
	case FLOW_END_FIN:
		return REASSEMBLY_END_FIN;
	case FLOW_END_RST:
		return REASSEMBLY_END_RST;
	case FLOW_END_REUSE:
		return REASSEMBLY_END_REUSE;
	case FLOW_END_EVICTED:
		return REASSEMBLY_END_EVICTED;
	case FLOW_END_EOF:
	case FLOW_END_FORCED:
		return REASSEMBLY_END_EOF;
	case FLOW_END_IDLE:
	case FLOW_END_ACTIVE:
	case FLOW_END_NONE:
		break;
	}
	return REASSEMBLY_END_TIMEOUT;
}

static void on_end(void *ctx, uint32_t index, enum flow_end end)
{
	struct streams *s = ctx;

	s->last_index = 0;
	if (!reassembly_end(s->reassembly, index, reason_of(end), &s->last))
		return;
	s->last_index = index;
	if (s->fanout != NULL)
		reassembly_fanout_forget(s->fanout, index);
}

static void on_part(void *ctx, uint32_t index)
{
	struct streams *s = ctx;

	reassembly_part(s->reassembly, index);
}

// --- Records ---

static void copy_figures(struct flow_stream *to, const struct reassembly_figures *from)
{
	*to = (struct flow_stream){
		.bytes_delivered = from->bytes_delivered,
		.gap_bytes = from->gap_bytes,
		.rtt_sum_ns = from->rtt_sum_ns,
		.rtt_min_ns = from->rtt_min_ns,
		.rtt_max_ns = from->rtt_max_ns,
		.rtt_samples = from->rtt_samples,
		.segments = from->segments,
		.duplicate = from->duplicate,
		.out_of_order = from->out_of_order,
		.retransmitted = from->retransmitted,
		.spurious = from->spurious,
		.overlap = from->overlap,
		.overlap_differing = from->overlap_differing,
		.keep_alive = from->keep_alive,
		.zero_window = from->zero_window,
		.zero_window_probe = from->zero_window_probe,
		.gaps = from->gaps,
		.before_base = from->before_base,
		.out_of_window = from->out_of_window,
		.refused = from->refused,
	};
}

static void on_describe(void *ctx, uint32_t index, unsigned to_server, struct flow_record *r)
{
	const struct streams *s = ctx;
	const struct reassembly_view *view = &s->last;
	struct reassembly_view now;

	if (r->end == FLOW_END_NONE || r->end == FLOW_END_ACTIVE) {
		if (!reassembly_get(s->reassembly, index, &now))
			return;
		view = &now;
	} else if (s->last_index != index) {
		return;
	}
	r->has_stream = 1;
	copy_figures(&r->stream[0], &view->direction[to_server]);
	copy_figures(&r->stream[1], &view->direction[to_server ^ 1]);
}

// --- The object ---

static bool set_consumer(
	struct streams *s, const struct streams_config *config, struct reassembly_config *c)
{
	unsigned n = config->consumer_count;

	c->consumer = (struct reassembly_consumer){0};
	if (n == 1)
		c->consumer = config->consumer[0];
	if (n <= 1)
		return true;
	s->fanout = reassembly_fanout_new(config->consumer, n, c->streams, c->hold_bytes);
	if (s->fanout != NULL)
		c->consumer = reassembly_fanout_consumer(s->fanout);
	return s->fanout != NULL;
}

struct streams *streams_new(const struct streams_config *config, uint32_t capacity,
	struct flow_table *flows, struct ring *records)
{
	struct reassembly_config c = config->reassembly;
	struct streams *s = calloc(1, sizeof(*s));
	const struct flow_listener listener = {
		.ctx = s,
		.early = on_early,
		.soon = on_soon,
		.segment = on_segment,
		.describe = on_describe,
		.part = on_part,
		.end = on_end,
	};

	if (s == NULL)
		return NULL;
	c.streams = capacity;
	c.bytes = c.bytes > STREAMS_BYTES_MIN ? c.bytes : STREAMS_BYTES_MIN;
	c.hold_bytes = STREAMS_HOLD_BYTES;
	s->flows = flows;
	s->records = records;
	if (set_consumer(s, config, &c))
		s->reassembly = reassembly_new(&c);
	if (s->reassembly == NULL) {
		streams_free(s);
		return NULL;
	}
	flow_table_listen(flows, &listener);
	return s;
}

void streams_free(struct streams *s)
{
	if (s == NULL)
		return;
	reassembly_free(s->reassembly);
	reassembly_fanout_free(s->fanout);
	free(s);
}

void streams_capture_begin(struct streams *s, uint16_t capture, struct counters *counters)
{
	s->counters[capture] = counters;
	reassembly_capture_begin(s->reassembly, capture, counters);
}

size_t streams_bytes_reserved(const struct streams *s)
{
	return s != NULL ? reassembly_bytes_reserved(s->reassembly) : 0;
}
