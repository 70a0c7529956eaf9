// SPDX-License-Identifier: Apache-2.0
// Fuzz target: bytes become segments of a few streams, a configuration and a consumer's answers.
// Beyond memory safety it checks what the stage promises: bytes and gaps follow each other without
// overlap, what is asked for is given or the end is told, the end comes once and last, figures add
// up, memory stays within the budget and all of it comes back.
//
// Input: configuration (8 bytes: policy, switches, policy of the network that direction 0 goes to), then segments of 16 bytes: operation, stream and direction; flags;
// sequence number and acknowledgement (16 bits each, signed, from the direction's start); length (16
// bits); urgent pointer or cut; window; timestamp; answer. What they carry depends on the place in
// the stream and on a byte of the segment, so that overlaps may differ.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cursor.h"
#include "reassembly.h"

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum { STREAMS = 3, BUDGET = 512 << 10, HOLD = 3000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct side {
	uint64_t out, bytes, gaps;
	uint64_t unused_at;
	uint32_t need;
	bool waits, is_quiet, is_ended;
};

static struct side side[STREAMS + 1][2];
static uint8_t answer;
static uint32_t answer_used, answer_need;
static uint64_t total_gaps;

static struct reassembly_answer on_data(void *ctx, const struct reassembly_data *d)
{
	struct side *s = &side[d->stream][d->direction];
	struct reassembly_answer a = {REASSEMBLY_ON, answer_used, answer_need};
	uint32_t used, sum = 0;

	(void)ctx;
	CHECK(!s->is_quiet && !s->is_ended && d->length > 0 && d->first_ns <= d->last_ns);
	for (uint32_t i = 0; i < d->length; i++)
		sum += d->bytes[i]; // all of them can be read
	(void)sum;
	if (s->waits)
		CHECK(d->offset == s->unused_at && (d->length >= s->need || d->is_last));
	else
		CHECK(d->offset == s->out);
	CHECK(d->offset + d->length >= s->out);
	s->waits = false;
	s->out = d->offset + d->length;
	switch (answer & 15) {
	case 0:
		a.verb = REASSEMBLY_ENOUGH;
		s->is_quiet = true;
		break;
	case 1:
		a.verb = REASSEMBLY_NOT_MINE;
		side[d->stream][0].is_quiet = side[d->stream][1].is_quiet = true;
		side[d->stream][0].waits = side[d->stream][1].waits = false;
		break;
	case 2:
	case 3:
	case 4:
	case 5:
		a.verb = REASSEMBLY_MORE;
		used = a.used < d->length ? a.used : d->length;
		s->unused_at = d->offset + used;
		s->need = a.need > d->length - used ? a.need : d->length - used + 1;
		s->waits = !d->is_last && used < d->length;
		break;
	default:
		break;
	}
	return a;
}

static void on_gap(void *ctx, uint32_t stream, unsigned direction, uint32_t missing)
{
	struct side *s = &side[stream][direction];

	(void)ctx;
	CHECK(!s->is_quiet && !s->is_ended && !s->waits);
	s->out += missing;
	total_gaps++;
}

static void on_end(
	void *ctx, uint32_t stream, unsigned direction, enum reassembly_end_reason reason)
{
	struct side *s = &side[stream][direction];

	(void)ctx;
	CHECK(!s->is_ended);
	if (reason == REASSEMBLY_END_LIMIT) {
		s->waits = false;
		s->is_quiet = true;
	}
	CHECK(!s->waits);
	s->is_ended = true;
}

static void end_stream(struct reassembly *r, uint32_t stream, uint8_t reason)
{
	struct reassembly_view v;
	bool is_known = reassembly_get(r, stream, &v);

	answer = 255;
	reassembly_end(
		r, stream, (enum reassembly_end_reason)(reason % REASSEMBLY_END_LIMIT), NULL);
	CHECK(!reassembly_get(r, stream, &v));
	if (is_known)
		CHECK(!side[stream][0].waits && !side[stream][1].waits);
	memset(side[stream], 0, sizeof(side[stream]));
}

static void take(struct reassembly *r, const uint8_t *b, uint64_t ts_ns)
{
	static uint8_t frame[20 + UINT16_MAX];
	static struct packet p;
	uint32_t stream = 1 + (b[0] >> 1) % STREAMS, length, cut, seq;
	struct ip_layer *l = &p.layer[0];

	if (b[0] >= 0xf8) {
		end_stream(r, stream, b[1]);
		return;
	}
	memset(l, 0, sizeof(*l));
	l->swapped = b[0] & 1;
	l->version = 4;
	l->src[0] = b[0] & 1 ? 10 : 192;
	l->dst[0] = b[0] & 1 ? 192 : 10;
	l->proto = 6;
	l->flags = LAYER_L4;
	l->tcp.flags = b[1];
	seq = (uint32_t)(int32_t)(int16_t)load_be16(b + 2) - 3000;
	l->tcp.seq = seq;
	l->tcp.ack = (uint32_t)(int32_t)(int16_t)load_be16(b + 4) - 3000;
	length = load_be16(b + 6);
	length &= b[0] & 0x40 ? 0x1fff : 0xff;
	cut = b[0] & 0x20 ? b[9] : 0;
	cut = cut < length ? cut : length;
	frame[18] = b[8];
	frame[19] = b[9];
	for (uint32_t i = 0; i < length - cut; i++)
		frame[20 + i] = (uint8_t)((seq + i) * 7 + (b[14] & 1));
	l->payload_off = 20;
	l->payload_len = length;
	l->tcp.window = load_be16(b + 10);
	if (b[14] & 2) {
		l->flags |= LAYER_TCP_TIMESTAMP;
		l->tcp.ts_val = (uint32_t)b[12] << 24 | b[13];
	}
	if (b[14] & 4) {
		l->flags |= LAYER_TCP_WSCALE;
		l->tcp.wscale = b[13];
	}
	p.data = frame;
	p.caplen = 20 + length - cut;
	p.wirelen = 20 + length;
	p.ts_ns = p.now_ns = b[14] & 8 ? ts_ns : ts_ns / 2;
	p.event_count = 0;
	p.layer_count = 1;
	answer = b[15];
	answer_used = b[12];
	answer_need = (uint32_t)b[13] * (b[15] & 16 ? 20 : 2);
	reassembly_segment(r, stream, &p, l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reassembly_config config = {.streams = STREAMS,
		.bytes = BUDGET,
		.hold_bytes = HOLD,
		.consumer = {NULL, on_data, on_gap, on_end}};
	static struct counters counters;
	struct reassembly_stats s;
	static struct reassembly
		*made[REASSEMBLY_DROP + 1][8]
		     [REASSEMBLY_DROP + 1]; // one of each: setting up takes longest
	struct reassembly *r, **at;

	if (size < 8)
		return 0;
	config.policy = (enum reassembly_policy)(data[0] % (REASSEMBLY_DROP + 1));
	config.depth_bytes = data[1] & 1 ? 700 : 0;
	config.drop_urgent = data[1] & 2;
	config.ignore_timestamps = data[1] & 4;
	config.network[0] = (struct reassembly_network){
		{10}, 4, 8, data[2] % (REASSEMBLY_DROP + 1)};
	config.network_count = 1;
	at = &made[config.policy][data[1] & 7][config.network[0].policy];
	if (*at == NULL)
		*at = reassembly_new(&config);
	r = *at;
	if (r == NULL)
		return 0;
	memset(&counters, 0, sizeof(counters));
	memset(side, 0, sizeof(side));
	total_gaps = 0;
	reassembly_capture_begin(r, 0, &counters);
	for (size_t i = 8; i + 16 <= size; i += 16) {
		take(r, data + i, i);
		CHECK(reassembly_bytes_in_use(r) <= BUDGET);
	}
	for (uint32_t i = 1; i <= STREAMS; i++)
		end_stream(r, i, REASSEMBLY_END_EOF);
	reassembly_stats_of(&counters, &s);
	CHECK(reassembly_bytes_in_use(r) == 0 && s.memory == 0 && s.buffered == 0 && s.active == 0);
	CHECK(s.gaps >= total_gaps);
	CHECK(s.gaps == s.gaps_acked + s.gaps_budget + s.gaps_end + s.gaps_truncated);
	CHECK(s.bytes_not_wanted <= s.bytes_delivered);
	return 0;
}
