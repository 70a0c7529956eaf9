// SPDX-License-Identifier: Apache-2.0
// What control asks of the export stage: where a capture stands, figures, recent flows, streams. Thread:
// control.
#include "export_internal.h"

bool export_capture_is_done(struct export *e, uint16_t capture)
{
	return capture < FLOW_CAPTURES_MAX &&
	       atomic_load_explicit(&e->done[capture], memory_order_acquire);
}

void export_capture_reset(struct export *e, uint16_t capture)
{
	if (capture >= FLOW_CAPTURES_MAX)
		return;
	atomic_store_explicit(&e->done_workers[capture], 0, memory_order_relaxed);
	atomic_store_explicit(&e->done[capture], false, memory_order_relaxed);
	follow_forget(e->follow, capture);
}

int export_follow(struct export *e, uint16_t capture, int dirfd, const char *path)
{
	return follow_capture(e->follow, capture, dirfd, path);
}

void export_follow_status(struct export *e, uint16_t capture, struct export_follow_status *ret)
{
	follow_status(e->follow, capture, ret);
}

void export_stream_read(struct export *e, struct export_stream_query *q)
{
	kept_read(e->kept, q);
}

bool export_keeps_streams(const struct export *e)
{
	return e->keeps;
}

void export_stats(struct export *e, struct export_stats *ret)
{
	for (unsigned i = 0; i < RECORD_TYPES; i++)
		ret->records_written[i] = atomic_load_explicit(
			&e->written[i], memory_order_relaxed);
	ret->records_bad = atomic_load_explicit(&e->bad, memory_order_relaxed);
	ret->write_errors = atomic_load_explicit(&e->write_errors, memory_order_relaxed);
	ret->lines_lost = atomic_load_explicit(&e->lines_lost, memory_order_relaxed);
	ret->lines_refused = e->lines_refused;
	kept_stats(e->kept, &ret->stream_bytes_kept, &ret->stream_bytes_forgotten);
	follow_totals(e->follow, ret);
	recent_stats(e->recent, &ret->recent_flows, &ret->recent_bytes, &ret->recent_forgotten);
}

void export_recent_query(struct export *e, struct flow_query *q)
{
	recent_query(e->recent, q);
}

void export_recent_forget(struct export *e, uint16_t capture)
{
	recent_forget(e->recent, capture);
	kept_forget(e->kept, capture);
}
