// SPDX-License-Identifier: Apache-2.0
// capture.start, capture.stop, capture.list.
#include "internal.h"

#include <errno.h>
#include <string.h>

#include "capture.h"
#include "clock.h"
#include "proto_methods.h"

int rpc_capture_start(struct rpc_call *call, const struct rpc_capture_start_params *p)
{
	struct workers *workers = call->control->config.workers;
	struct capture_status *list = call->control->captures;
	char error[CAPTURE_ERROR_MAX] = "";
	struct capture_source source;
	unsigned n;
	struct json j;
	int index;

	if (capture_source_parse(p->source, &source, error, sizeof(error)) < 0) {
		request_fail(call, RPC_INVALID_PARAMS, "source: %s", error);
		return 0;
	}
	index = captures_start(
		workers, p->source, p->name, p->filter, p->follow_to, error, sizeof(error));
	if (index < 0) {
		request_fail(call,
			index == -EEXIST   ? RPC_EXISTS
			: index == -ENOSPC ? RPC_LIMIT
					   : RPC_FAILED,
			"%s", error[0] != '\0' ? error : strerror(-index));
		return 0;
	}
	n = captures_list(workers, list, CAPTURES_MAX);
	json_init(&j);
	json_object(&j, NULL);
	for (unsigned i = 0; i < n; i++)
		if (list[i].index == index)
			json_string(&j, "name", list[i].name);
	json_object_end(&j);
	request_reply(call, &j);
	json_fini(&j);
	return 0;
}

int rpc_capture_stop(struct rpc_call *call, const struct rpc_capture_stop_params *p)
{
	operation_stop(call, p->name);
	return 0;
}

static void write_time(struct json *j, const char *key, uint64_t ns)
{
	char text[CLOCK_TEXT_SIZE];

	if (ns == 0) {
		json_null(j, key);
		return;
	}
	clock_text(ns, text);
	json_string(j, key, text);
}

static double progress_of(const struct capture_status *s)
{
	if (s->phase == CAPTURE_FINISHED)
		return 1;
	if (s->bytes_total == 0)
		return 0;
	return s->bytes_read < s->bytes_total ? (double)s->bytes_read / (double)s->bytes_total : 1;
}

static void write_saved(
	struct json *j, const struct control *c, uint16_t capture, const struct counters *sum)
{
	struct export_follow_status f;

	export_follow_status(c->config.export, capture, &f);
	if (!f.is_on)
		return;
	json_object(j, "streams_saved");
	json_uint(j, "files", f.files);
	json_uint(j, "bytes", f.bytes);
	json_uint(j, "bytes_lost", f.bytes_lost + sum->value[COUNTER_stream_bytes_lost]);
	if (f.error != 0)
		json_string(j, "error", strerror(f.error));
	else
		json_null(j, "error");
	json_object_end(j);
}

static void write_capture(struct json *j, struct control *c, const struct capture_status *s)
{
	struct workers *workers = c->config.workers;
	struct capture_losses lost = {0};
	struct counters sum;
	const uint64_t *v = sum.value;

	memset(&sum, 0, sizeof(sum));
	captures_counters(workers, s->index, -1, &sum);
	captures_losses(workers, s->index, &lost);
	json_object(j, NULL);
	json_string(j, "name", s->name);
	json_string(j, "source", s->source);
	if (s->filter[0] != '\0')
		json_string(j, "filter", s->filter);
	else
		json_null(j, "filter");
	json_string(j, "state", capture_phase_name(s->phase));
	json_string(j, "reason", s->reason);
	json_bool(j, "live", s->live);
	json_uint(j, "queues", s->queues);
	write_time(j, "started", s->started_ns);
	write_time(j, "ended", s->ended_ns);
	json_uint(j, "packets", v[COUNTER_received]);
	json_uint(j, "bytes", v[COUNTER_received_bytes]);
	json_uint(j, "dropped",
		stats_dropped(&sum) + lost.missed + lost.errors + lost.no_mbuf + lost.kernel);
	json_uint(j, "filtered", v[COUNTER_filtered]);
	json_double(j, "packets_per_second", s->packets_per_second);
	json_double(j, "bits_per_second", s->bits_per_second);
	if (s->live) {
		json_null(j, "progress");
	} else {
		json_double(j, "progress", progress_of(s));
		json_uint(j, "bytes_read", s->bytes_read);
		json_uint(j, "bytes_total", s->bytes_total);
	}
	write_time(j, "first_packet", s->first_packet_ns);
	write_time(j, "last_packet", s->last_packet_ns);
	write_saved(j, c, s->index, &sum);
	json_object_end(j);
}

unsigned write_captures(struct control *c, struct json *j, const char *name)
{
	unsigned n = captures_list(c->config.workers, c->captures, CAPTURES_MAX), written = 0;

	json_array(j, "captures");
	for (unsigned i = 0; i < n; i++)
		if (name == NULL || strcmp(name, c->captures[i].name) == 0) {
			write_capture(j, c, &c->captures[i]);
			written++;
		}
	json_array_end(j);
	return written;
}

int rpc_capture_list(struct rpc_call *call, const struct rpc_capture_list_params *p)
{
	struct json j;

	json_init(&j);
	json_object(&j, NULL);
	if (write_captures(call->control, &j, p->name) == 0 && p->name != NULL) {
		request_fail(call, RPC_NOT_FOUND,
			"name: no capture is named '%s'; capture.list shows them", p->name);
	} else {
		json_object_end(&j);
		request_reply(call, &j);
	}
	json_fini(&j);
	return 0;
}
