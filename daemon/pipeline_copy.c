// SPDX-License-Identifier: Apache-2.0
// See pipeline_copy.h. Runs on the worker that owns the flows, within the reassembly stage's functions.
#include "pipeline_copy.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "export.h"
#include "record.h"

enum { COPY_BYTES_MAX = 64 << 10 }; // in one record

struct copy_capture {
	struct counters *counters;
	bool is_wanted;
	bool is_lossless;
};

struct stream_copy {
	const struct flow_table *flows;
	struct ring *records;
	bool keeps;
	bool is_wanted; // by some capture
	struct copy_capture capture[FLOW_CAPTURES_MAX];
	// A bit for each direction of a stream of which something has been passed on.
	uint64_t *begun;
	size_t begun_size;
};

static bool has_begun(const struct stream_copy *c, uint32_t stream, unsigned direction)
{
	return c->begun[stream / 32] >> (stream % 32 * 2 + direction) & 1;
}

static void set_begun(struct stream_copy *c, uint32_t stream, unsigned direction, bool begun)
{
	uint64_t bit = UINT64_C(1) << (stream % 32 * 2 + direction);

	if (begun)
		c->begun[stream / 32] |= bit;
	else
		c->begun[stream / 32] &= ~bit;
}

// Returns NULL where there is no room. What is not there is filled in by the caller: offset, length,
// flags and bytes.
static struct stream_record *reserve(
	struct stream_copy *c, uint32_t stream, unsigned direction, uint32_t length)
{
	const struct copy_capture *capture = &c->capture[flow_table_capture(c->flows, stream)];
	size_t size = offsetof(struct stream_record, bytes) + length;
	struct stream_record *r;
	unsigned to_server;

	if (!capture->is_lossless && length > 0 &&
		ring_used_bytes(c->records) > 2 * ring_payload_max(c->records))
		return NULL;
	r = record_reserve(c->records, RECORD_STREAM, size, capture->is_lossless);
	if (r == NULL)
		return NULL;
	memset(r, 0, sizeof(*r));
	r->flow_id = flow_table_id(c->flows, stream);
	r->capture = flow_table_capture(c->flows, stream);
	to_server = flow_table_tuple(c->flows, stream, &r->tuple);
	r->direction = direction != to_server;
	r->length = length;
	return r;
}

static struct reassembly_answer on_data(void *ctx, const struct reassembly_data *d)
{
	const struct reassembly_answer on = {REASSEMBLY_ON, 0, 0}, pass = {REASSEMBLY_PASS, 0, 0};
	struct stream_copy *c = ctx;
	struct copy_capture *capture;
	uint32_t done = 0;

	if (!c->is_wanted)
		return pass;
	capture = &c->capture[flow_table_capture(c->flows, d->stream)];
	if (!capture->is_wanted)
		return pass;
	while (done < d->length) {
		uint32_t n = d->length - done < COPY_BYTES_MAX ? d->length - done : COPY_BYTES_MAX;
		struct stream_record *r = reserve(c, d->stream, d->direction, n);

		if (r == NULL) {
			counter_add(capture->counters, COUNTER_stream_bytes_lost, d->length - done);
			return on;
		}
		r->offset = d->offset + done;
		r->ts_ns = d->last_ns;
		r->is_first = !has_begun(c, d->stream, d->direction);
		memcpy(r->bytes, d->bytes + done, n);
		set_begun(c, d->stream, d->direction, true);
		counter_add(capture->counters, COUNTER_stream_bytes_copied, n);
		done += n;
	}
	return on;
}

static void on_end(
	void *ctx, uint32_t stream, unsigned direction, enum reassembly_end_reason reason)
{
	struct stream_copy *c = ctx;
	struct stream_record *r;

	(void)reason;
	if (!c->is_wanted || !has_begun(c, stream, direction))
		return;
	set_begun(c, stream, direction, false);
	r = reserve(c, stream, direction, 0);
	if (r != NULL)
		r->is_last = 1;
	else
		counter_add(c->capture[flow_table_capture(c->flows, stream)].counters,
			COUNTER_export_queue_full, 1);
}

struct stream_copy *stream_copy_new(
	const struct flow_table *flows, uint32_t capacity, struct ring *records, bool keeps)
{
	struct stream_copy *c = calloc(1, sizeof(*c));
	void *begun;

	if (c == NULL)
		return NULL;
	c->flows = flows;
	c->records = records;
	c->keeps = keeps;
	c->begun_size = ((size_t)capacity / 32 + 1) * sizeof(*c->begun);
	// Touched only as streams come up.
	begun = mmap(NULL, c->begun_size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (begun == MAP_FAILED) {
		free(c);
		return NULL;
	}
	c->begun = begun;
	return c;
}

void stream_copy_free(struct stream_copy *c)
{
	if (c == NULL)
		return;
	munmap(c->begun, c->begun_size);
	free(c);
}

struct reassembly_consumer stream_copy_consumer(struct stream_copy *c)
{
	return (struct reassembly_consumer){c, on_data, NULL, on_end};
}

void stream_copy_capture_begin(
	struct stream_copy *c, uint16_t capture, const struct flow_capture *begin, bool saves)
{
	c->capture[capture] = (struct copy_capture){
		.counters = begin->counters,
		.is_wanted = saves || c->keeps,
		.is_lossless = begin->lossless,
	};
	c->is_wanted = false;
	for (unsigned i = 0; i < FLOW_CAPTURES_MAX; i++)
		c->is_wanted |= c->capture[i].is_wanted;
}
