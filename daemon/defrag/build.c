// SPDX-License-Identifier: Apache-2.0
// Putting a complete datagram together: header of the first fragment without its fragment fields,
// then the payload, overlaps settled by policy. What overlaps is rare and settled byte by byte;
// what does not is copied.
#include "defrag_internal.h"

#include <string.h>

#include "cursor.h"

static void store_be16(uint8_t *to, uint32_t v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
}

// RFC 1071 over an IPv4 header whose checksum field is zero.
static uint16_t header_checksum(const uint8_t *h, uint32_t length)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i + 1 < length; i += 2)
		sum += load_be16(h + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

// True where the later fragment wins over the earlier one.
static bool later_wins(enum defrag_policy policy, const struct defrag_fragment *earlier,
	const struct defrag_fragment *later)
{
	uint32_t earlier_end = earlier->offset + earlier->length;
	uint32_t later_end = later->offset + later->length;

	switch (policy) {
	case DEFRAG_FIRST:
	case DEFRAG_DROP:
		return false;
	case DEFRAG_LAST:
		return true;
	case DEFRAG_BSD:
		return earlier->offset > later->offset;
	case DEFRAG_LINUX:
		return earlier->offset >= later->offset;
	case DEFRAG_WINDOWS:
		return later->offset < earlier->offset && later_end > earlier_end;
	}
	return false;
}

static void paint(struct defrag *d, const struct defrag_tracker *t, const uint32_t *by_arrival,
	uint32_t count, uint8_t *to)
{
	uint8_t piece[DEFRAG_DATAGRAM_MAX];

	memset(d->painter, 0xff, t->total * sizeof(d->painter[0]));
	for (uint32_t i = 0; i < count; i++) {
		const struct defrag_fragment *f = &d->fragment[by_arrival[i]];
		uint32_t end = f->offset + f->length < t->total ? f->offset + f->length : t->total;

		defrag_load(d, f->blocks, piece, f->length);
		for (uint32_t at = f->offset; at < end; at++) {
			uint16_t was = d->painter[at];

			if (was != 0xffff && !later_wins((enum defrag_policy)t->policy,
						     &d->fragment[by_arrival[was]], f))
				continue;
			d->painter[at] = (uint16_t)i;
			to[at] = piece[at - f->offset];
		}
	}
}

static void settle_overlaps(struct defrag *d, const struct defrag_tracker *t, uint8_t *to)
{
	uint32_t by_arrival[DEFRAG_FRAGMENTS_PER_DATAGRAM];
	uint32_t count = 0;

	for (uint32_t i = t->fragments; i != 0; i = d->fragment[i].next)
		by_arrival[d->fragment[i].arrival] = i, count++;
	paint(d, t, by_arrival, count, to);
}

uint32_t defrag_build(struct defrag *d, const struct defrag_tracker *t, uint8_t *to)
{
	uint8_t *payload = to + t->header_length;

	if (t->header_length + t->total >
		(t->key.version == 6 ? DEFRAG_WHOLE_MAX : DEFRAG_DATAGRAM_MAX))
		return 0;
	if (t->key.version == 4) {
		memcpy(to, t->header, t->header_length);
		store_be16(to + 2, t->header_length + t->total);
		store_be16(to + 6, load_be16(to + 6) & 0x4000); // keeps DF
		store_be16(to + 10, 0);
		store_be16(to + 10, header_checksum(to, t->header_length));
	} else {
		defrag_load(d, t->header_blocks, to, t->header_length);
		to[t->header_next] = t->next_proto;
		store_be16(to + 4, t->header_length - 40 + t->total);
	}
	if (t->overlaps) {
		settle_overlaps(d, t, payload);
	} else {
		for (uint32_t i = t->fragments; i != 0; i = d->fragment[i].next)
			defrag_load(d, d->fragment[i].blocks, payload + d->fragment[i].offset,
				d->fragment[i].length);
	}
	return t->header_length + t->total;
}
