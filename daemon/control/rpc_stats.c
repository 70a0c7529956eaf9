// SPDX-License-Identifier: Apache-2.0
// stats.get, protocols.get, reassembly.stats, drops.get.
#include "internal.h"

#include <string.h>

#include "proto_methods.h"

// --- stats.get: sections of counters, each less its baseline ---

struct writer {
	struct json *j;
	const char *only; // section, or NULL
	const char *open; // section being written, or NULL
	bool reset;
	unsigned written; // sections
};

static bool section(struct writer *w, const char *name)
{
	if (w->open != NULL) {
		json_array_end(w->j);
		json_object_end(w->j);
		w->open = NULL;
	}
	if (name == NULL || (w->only != NULL && strcmp(w->only, name) != 0))
		return false;
	json_object(w->j, NULL);
	json_string(w->j, "name", name);
	json_array(w->j, "counters");
	w->open = name;
	w->written++;
	return true;
}

static void counter(struct writer *w, const char *name, enum counter_kind kind, const char *unit,
	const char *help, uint64_t now, uint64_t *base)
{
	bool sum = kind == COUNTER_KIND_SUM;

	json_object(w->j, NULL);
	json_string(w->j, "name", name);
	json_uint(w->j, "value", sum && base != NULL && now >= *base ? now - *base : now);
	json_string(w->j, "unit", unit);
	json_string(w->j, "kind", sum ? "sum" : "gauge");
	json_string(w->j, "help", help);
	json_object_end(w->j);
	if (w->reset && sum && base != NULL)
		*base = now;
}

// The section of counters.def named name; what other sources have for it follows.
static void write_cells(
	struct writer *w, const char *name, const struct counters *sum, struct counters *base)
{
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		const struct counter_info *info = &counter_table[i];

		if (strcmp(info->section, name) == 0)
			counter(w, info->name, info->kind, info->unit, info->help, sum->value[i],
				&base->value[i]);
	}
}

static void write_export_stats(struct writer *w, struct control *c)
{
	uint64_t *base = c->export_baseline;
	struct export_stats s;

	memset(&s, 0, sizeof(s));
	export_stats(c->config.export, &s);
	counter(w, "flows_written", COUNTER_KIND_SUM, "records",
		"flow records handed to the sinks and the recent store",
		s.records_written[RECORD_FLOW], &base[0]);
	counter(w, "anomalies_written", COUNTER_KIND_SUM, "records",
		"anomaly records handed to the sinks", s.records_written[RECORD_ANOMALY], &base[1]);
	counter(w, "arp_written", COUNTER_KIND_SUM, "records", "ARP records handed to the sinks",
		s.records_written[RECORD_ARP], &base[2]);
	counter(w, "write_errors", COUNTER_KIND_SUM, "errors", "writes of a sink that failed",
		s.write_errors, &base[3]);
	counter(w, "recent_forgotten", COUNTER_KIND_SUM, "flows",
		"ended flows that the recent store has let go of", s.recent_forgotten, &base[4]);
	counter(w, "records_bad", COUNTER_KIND_SUM, "records",
		"records that could not be read: a fault of the daemon", s.records_bad, &base[5]);
	counter(w, "lines_written", COUNTER_KIND_SUM, "lines",
		"ready lines (stats events) handed to the sinks", s.records_written[0], &base[6]);
	counter(w, "lines_lost", COUNTER_KIND_SUM, "lines", "lines that a sink could not write",
		s.lines_lost, &base[7]);
	counter(w, "lines_refused", COUNTER_KIND_SUM, "lines",
		"ready lines not taken because too many waited", s.lines_refused, &base[8]);
	counter(w, "stream_files", COUNTER_KIND_SUM, "files", "files that streams were saved in",
		s.stream_files, &base[9]);
	counter(w, "stream_bytes_saved", COUNTER_KIND_SUM, "bytes",
		"bytes of streams written to files", s.stream_bytes_saved, &base[10]);
	counter(w, "stream_bytes_unsaved", COUNTER_KIND_SUM, "bytes",
		"bytes of streams lost after an error of a file", s.stream_bytes_unsaved,
		&base[11]);
	counter(w, "stream_bytes_forgotten", COUNTER_KIND_SUM, "bytes",
		"bytes of recent streams that had to make room", s.stream_bytes_forgotten,
		&base[12]);
	counter(w, "stream_bytes_kept", COUNTER_KIND_GAUGE, "bytes",
		"bytes of recent streams (stream.keep)", s.stream_bytes_kept, NULL);
	counter(w, "recent_flows", COUNTER_KIND_GAUGE, "flows", "ended flows in the recent store",
		s.recent_flows, NULL);
	counter(w, "recent_bytes", COUNTER_KIND_GAUGE, "bytes", "memory of the recent store",
		s.recent_bytes, NULL);
}

static bool is_new_section(unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (strcmp(counter_table[k].section, counter_table[i].section) == 0)
			return false;
	return true;
}

static void write_sections(
	struct writer *w, struct control *c, const struct capture_status *capture)
{
	struct counters *base = sample_baseline(c, capture), sum;

	memset(&sum, 0, sizeof(sum));
	captures_counters(c->config.workers, capture != NULL ? capture->index : -1, -1, &sum);
	for (unsigned i = 0; i < COUNTER_COUNT; i++) {
		const char *name = counter_table[i].section;

		if (!is_new_section(i) || !section(w, name))
			continue;
		write_cells(w, name, &sum, base);
		if (capture == NULL && strcmp(name, "export") == 0)
			write_export_stats(w, c);
	}
	if (section(w, "malformed"))
		for (unsigned i = 0; i < EVENT_COUNT; i++)
			counter(w, event_table[i].name, COUNTER_KIND_SUM, "packets",
				event_table[i].help, sum.event[i], &base->event[i]);
	if (capture == NULL && section(w, "rpc"))
		for (unsigned i = 0; i < CONTROL_COUNTER_COUNT; i++) {
			const struct counter_info *info = &control_counter_table[i];

			counter(w, info->name, info->kind, info->unit, info->help, c->count[i],
				&c->count_baseline[i]);
		}
	section(w, NULL);
}

// Finds a capture's status by its name, in the control's list. NULL with the request ended.
static const struct capture_status *find_capture(struct rpc_call *call, const char *name)
{
	struct control *c = call->control;
	unsigned n = captures_list(c->config.workers, c->captures, CAPTURES_MAX);

	for (unsigned i = 0; i < n; i++)
		if (strcmp(c->captures[i].name, name) == 0)
			return &c->captures[i];
	request_fail(call, RPC_NOT_FOUND,
		"capture: no capture is named '%s'; capture.list shows them", name);
	return NULL;
}

int rpc_stats_get(struct rpc_call *call, const struct rpc_stats_get_params *p)
{
	const struct capture_status *capture = NULL;
	struct writer w = {.only = p->section, .reset = p->reset};
	struct json j;

	if (p->capture != NULL && (capture = find_capture(call, p->capture)) == NULL)
		return 0;
	json_init(&j);
	w.j = &j;
	json_object(&j, NULL);
	json_array(&j, "sections");
	write_sections(&w, call->control, capture);
	json_array_end(&j);
	json_object_end(&j);
	if (w.written == 0)
		request_fail(call, RPC_NOT_FOUND,
			"section: got '%s'; stats.get without section shows those there are%s",
			p->section, capture != NULL ? " for a capture" : "");
	else
		request_reply(call, &j);
	json_fini(&j);
	return 0;
}

// --- protocols.get, reassembly.stats, drops.get ---

int rpc_protocols_get(struct rpc_call *call, const struct rpc_protocols_get_params *p)
{
	struct control *c = call->control;
	const struct capture_status *capture = NULL;
	struct rates rates;
	struct json j;
	int index = -1;

	if (p->capture != NULL) {
		capture = find_capture(call, p->capture);
		if (capture == NULL)
			return 0;
		index = capture->index;
	}
	sample_rates(c, index, &rates);
	json_init(&j);
	json_object(&j, NULL);
	stats_protocols(&j, c->config.workers, index, &rates);
	json_object_end(&j);
	request_reply(call, &j);
	json_fini(&j);
	return 0;
}

int rpc_reassembly_stats(struct rpc_call *call, const struct rpc_reassembly_stats_params *p)
{
	const struct capture_status *capture = NULL;
	struct json j;

	if (p->capture != NULL && (capture = find_capture(call, p->capture)) == NULL)
		return 0;
	json_init(&j);
	json_object(&j, NULL);
	stats_reassembly(&j, call->control->config.workers, capture != NULL ? capture->index : -1);
	json_object_end(&j);
	request_reply(call, &j);
	json_fini(&j);
	return 0;
}

int rpc_drops_get(struct rpc_call *call, const struct rpc_drops_get_params *p)
{
	struct control *c = call->control;
	const struct capture_status *captures = c->captures;
	struct json j;
	unsigned n = 1;

	if (p->capture != NULL) {
		captures = find_capture(call, p->capture);
		if (captures == NULL)
			return 0;
	} else {
		n = captures_list(c->config.workers, c->captures, CAPTURES_MAX);
	}
	json_init(&j);
	json_object(&j, NULL);
	stats_captures(&j, c->config.workers, captures, n);
	stats_malformed(&j, c->config.workers, p->capture != NULL ? captures[0].index : -1);
	json_object_end(&j);
	request_reply(call, &j);
	json_fini(&j);
	return 0;
}
