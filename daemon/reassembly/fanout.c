// SPDX-License-Identifier: Apache-2.0
// Several consumers of the same streams. Each is asked as if it were alone: it says by itself what it
// has used, what it waits for and when it has enough. The bytes that the slowest has not used are held
// once, for all; the others see none of them again.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "reassembly.h"

enum { TAP_OFF = 1, TAP_ENDED = 2 };

// Where one consumer stands in one direction of a stream; zero at its begin.
struct tap {
	uint64_t done; // offset of the first byte that it has not used
	uint32_t need; // bytes from there that it waits for
	uint32_t flags;
};

struct reassembly_fanout {
	struct reassembly_consumer consumer[REASSEMBLY_CONSUMERS_MAX];
	unsigned count;
	uint32_t streams;
	uint32_t hold_bytes;
	struct tap *tap; // of each consumer, for each direction of each stream
	size_t size;
};

static struct tap *taps(const struct reassembly_fanout *f, uint32_t stream, unsigned direction)
{
	return &f->tap[((size_t)stream * 2 + direction) * f->count];
}

static void turn_off(const struct reassembly_fanout *f, unsigned i, uint32_t stream, unsigned d)
{
	taps(f, stream, d)[i].flags |= TAP_OFF;
}

// As the stage does with a consumer of its own.
static void limit(const struct reassembly_fanout *f, unsigned i, uint32_t stream, unsigned d)
{
	const struct reassembly_consumer *c = &f->consumer[i];

	taps(f, stream, d)[i].flags |= TAP_OFF | TAP_ENDED;
	if (c->end != NULL)
		c->end(c->ctx, stream, d, REASSEMBLY_END_LIMIT);
}

static void take_answer(const struct reassembly_fanout *f, unsigned i, struct tap *t,
	const struct reassembly_data *d, struct reassembly_answer a)
{
	uint32_t used = a.used < d->length ? a.used : d->length, rest = d->length - used;

	switch (a.verb) {
	case REASSEMBLY_ON:
	case REASSEMBLY_PASS:
		t->done = d->offset + d->length;
		t->need = 0;
		break;
	case REASSEMBLY_MORE:
		t->done = d->offset + used;
		t->need = rest == 0 ? 0 : a.need > rest ? a.need : rest + 1;
		if (t->need > f->hold_bytes && !d->is_last)
			limit(f, i, d->stream, d->direction);
		break;
	case REASSEMBLY_ENOUGH:
		turn_off(f, i, d->stream, d->direction);
		break;
	case REASSEMBLY_NOT_MINE:
		turn_off(f, i, d->stream, 0);
		turn_off(f, i, d->stream, 1);
		break;
	}
}

// Shows a consumer what it has not seen or not used, where that is enough for it. Returns whether it
// wanted any of it.
static bool offer(const struct reassembly_fanout *f, unsigned i, struct tap *t,
	const struct reassembly_data *d)
{
	const struct reassembly_consumer *c = &f->consumer[i];
	struct reassembly_data part = *d;
	uint32_t skip;

	if (t->done < d->offset) { // behind a gap nobody waits any more
		t->done = d->offset;
		t->need = 0;
	}
	if (t->done >= d->offset + d->length)
		return true;
	skip = (uint32_t)(t->done - d->offset);
	part.bytes += skip;
	part.length -= skip;
	part.offset += skip;
	if (part.length >= t->need || d->is_last) {
		struct reassembly_answer a = c->data(c->ctx, &part);

		take_answer(f, i, t, &part, a);
		return a.verb != REASSEMBLY_PASS;
	}
	return true;
}

static struct reassembly_answer on_data(void *ctx, const struct reassembly_data *d)
{
	const struct reassembly_fanout *f = ctx;
	struct tap *t = taps(f, d->stream, d->direction);
	uint64_t end = d->offset + d->length, from = end, until = UINT64_MAX;
	bool is_on = false, is_wanted = false;

	for (unsigned i = 0; i < f->count; i++) {
		if (f->consumer[i].data == NULL || (t[i].flags & TAP_OFF))
			continue;
		is_wanted |= offer(f, i, &t[i], d);
		if (t[i].flags & TAP_OFF)
			continue;
		is_on = true;
		if (t[i].done == end)
			continue;
		from = t[i].done < from ? t[i].done : from;
		until = t[i].done + t[i].need < until ? t[i].done + t[i].need : until;
	}
	if (!is_on)
		return (struct reassembly_answer){REASSEMBLY_ENOUGH, 0, 0};
	if (from == end)
		return (struct reassembly_answer){
			is_wanted ? REASSEMBLY_ON : REASSEMBLY_PASS, 0, 0};
	return (struct reassembly_answer){
		REASSEMBLY_MORE, (uint32_t)(from - d->offset), (uint32_t)(until - from)};
}

static void on_gap(void *ctx, uint32_t stream, unsigned direction, uint32_t missing)
{
	const struct reassembly_fanout *f = ctx;
	const struct tap *t = taps(f, stream, direction);

	for (unsigned i = 0; i < f->count; i++)
		if (f->consumer[i].gap != NULL && !(t[i].flags & TAP_OFF))
			f->consumer[i].gap(f->consumer[i].ctx, stream, direction, missing);
}

static void on_end(
	void *ctx, uint32_t stream, unsigned direction, enum reassembly_end_reason reason)
{
	const struct reassembly_fanout *f = ctx;
	struct tap *t = taps(f, stream, direction);

	for (unsigned i = 0; i < f->count; i++) {
		if (f->consumer[i].end != NULL && !(t[i].flags & TAP_ENDED))
			f->consumer[i].end(f->consumer[i].ctx, stream, direction, reason);
		t[i].flags |= TAP_OFF | TAP_ENDED;
	}
}

struct reassembly_fanout *reassembly_fanout_new(const struct reassembly_consumer *consumers,
	unsigned count, uint32_t streams, uint32_t hold_bytes)
{
	struct reassembly_fanout *f;

	if (count == 0 || count > REASSEMBLY_CONSUMERS_MAX)
		return NULL;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return NULL;
	memcpy(f->consumer, consumers, count * sizeof(*consumers));
	f->count = count;
	f->streams = streams;
	f->hold_bytes = hold_bytes > 0 ? hold_bytes : 1;
	f->size = ((size_t)streams + 1) * 2 * count * sizeof(struct tap);
	// Touched only as streams come up.
	f->tap = mmap(NULL, f->size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (f->tap == MAP_FAILED) {
		free(f);
		return NULL;
	}
	return f;
}

void reassembly_fanout_free(struct reassembly_fanout *f)
{
	if (f == NULL)
		return;
	munmap(f->tap, f->size);
	free(f);
}

struct reassembly_consumer reassembly_fanout_consumer(struct reassembly_fanout *f)
{
	return (struct reassembly_consumer){f, on_data, on_gap, on_end};
}

void reassembly_fanout_forget(struct reassembly_fanout *f, uint32_t stream)
{
	if (stream <= f->streams)
		memset(taps(f, stream, 0), 0, 2 * f->count * sizeof(struct tap));
}
