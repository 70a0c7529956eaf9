// SPDX-License-Identifier: Apache-2.0
// The flow stage under any sequence of packets, scans, ends, captures and queries: every packet is in
// exactly one record or was counted as kept out, and no record contradicts itself.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

#include "builder.h"

enum { CAPTURES = 3, RESULTS = 5 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *at, *end;
};

static uint8_t byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

// 0 to about 2^60, small ones likely.
static uint64_t number(struct input *in)
{
	uint8_t b = byte(in);

	return (uint64_t)(b & 15) * (b & 8 ? 999999937 : 1) << (b >> 4) * 2;
}

struct run {
	struct bench bench;
	uint64_t now[CAPTURES];
	bool begun[CAPTURES];
	uint64_t layers; // counted in flows
	uint64_t in_records;
	struct packet burst[PACKET_BURST];
	unsigned burst_count;
	struct flow_query query;
	struct flow_record result[RESULTS];
	bool asking;
};

static void check_direction(const struct flow_direction *d)
{
	assert(isfinite(d->size_m3) && isfinite(d->iat_m3) && isfinite(d->iat_m2));
	if (d->pkts == 0) {
		assert(d->bytes == 0 && d->last_ns == 0 && d->size_mean == 0);
		return;
	}
	assert(d->size_m2 >= 0 && d->iat_m2 >= 0);
	assert(d->size_min <= d->size_max && d->iat_min_ns <= d->iat_max_ns);
	assert(d->size_max <= d->bytes);
	assert(d->size_mean <= d->size_max * 1.000001);
	assert(d->size_max > UINT16_MAX || d->size_mean >= d->size_min * 0.999999);
	assert(d->iat_mean >= (double)d->iat_min_ns * 0.999999);
	assert(d->iat_mean <= (double)d->iat_max_ns * 1.000001 + 1);
	assert(d->window_min <= d->window_max && d->ttl_min <= d->ttl_max);
	assert(d->pkts > 1 || (d->size_m2 == 0 && d->iat_max_ns == 0));
}

static void check_record(const struct flow_record *r, bool is_ended)
{
	uint64_t pkts = r->direction[0].pkts + r->direction[1].pkts;

	assert(r->first_ns <= r->last_ns);
	assert(r->flow_id != 0 && r->flow_id < UINT64_C(1) << 53);
	assert(r->part_no > 0 && r->splt_count <= FLOW_SPLT_PKTS);
	assert(r->tuple.version == 4 || r->tuple.version == 6);
	assert(r->tcp_state <= FLOW_TCP_CLOSED);
	assert((pkts > 0 && r->end != FLOW_END_NONE) || !is_ended);
	assert(r->response_samples > 0 || r->response_sum_ns == 0);
	for (unsigned d = 0; d < 2; d++) {
		check_direction(&r->direction[d]);
		assert(r->direction[d].last_ns <= r->last_ns);
	}
}

static void take_records(struct run *x)
{
	for (size_t i = 0; i < x->bench.count; i++) {
		const struct flow_record *r = &x->bench.record[i];

		check_record(r, true);
		x->in_records += r->direction[0].pkts + r->direction[1].pkts;
	}
	x->bench.count = 0;
}

static void flush(struct run *x)
{
	bench_burst(&x->bench, x->burst, x->burst_count);
	x->burst_count = 0;
	take_records(x);
}

static void begin(struct run *x, unsigned c)
{
	const char name[] = {(char)('a' + c), '\0'};

	bench_begin(&x->bench, (uint16_t)c, name, c != 1);
	x->begun[c] = true;
}

static void add_packet(struct run *x, struct input *in)
{
	static const char *const hosts[] = {"10.0.0.1", "10.0.0.2", "0.0.0.0", "255.255.255.255",
		"::1", "2001:db8::1", "::", "fe80::"};
	uint8_t kind = byte(in), ends = byte(in), ports = byte(in);
	const char *src = hosts[(kind & 8 ? 4 : 0) + (ends & 3)];
	const char *dst = hosts[(kind & 8 ? 4 : 0) + (ends >> 2 & 3)];
	struct packet made;
	unsigned c = (ends >> 4) % CAPTURES;

	switch (kind & 7) {
	case 0 ... 3:
		made = packet_tcp(src, ports & 15, dst, ports >> 4, byte(in), byte(in), 0);
		made.layer[0].tcp.seq = byte(in);
		made.layer[0].tcp.ack = byte(in);
		made.layer[0].tcp.window = (uint16_t)(made.layer[0].tcp.seq << 8 | ports);
		break;
	case 4:
		made = packet_udp(
			src, ports & 15, dst, ports >> 4, (uint32_t)number(in) & 0xfffff, 0);
		break;
	case 5:
		made = packet_icmp(src, dst, byte(in), ports, 0);
		break;
	default:
		made = packet_ip(src, dst, byte(in), 0);
	}
	made.layer[0].ttl = ends;
	for (unsigned n = kind >> 6; n > 0; n--) {
		uint8_t t = byte(in);

		packet_wrap(&made, hosts[t & 3], t, hosts[t >> 2 & 3], 5, t & 64 ? 17 : 47,
			1 + t % (TUNNEL_TYPES - 1), (t >> 4 & 3) - 1, 20);
	}
	if (kind & 16) {
		made.vlan_count = (uint8_t)(byte(in) % (PACKET_VLANS_MAX + 1));
		made.vlan[0] = ports;
	}
	if (kind & 32)
		made.flags = PACKET_TRUNCATED;
	if (!x->begun[c]) {
		flush(x);
		begin(x, c);
	}
	x->now[c] += number(in);
	made.capture = (uint16_t)c;
	made.now_ns = x->now[c];
	made.ts_ns = ends & 128 ? x->now[c] / 2 : x->now[c];
	x->layers += made.layer_count;
	x->burst[x->burst_count] = made;
	if (++x->burst_count == PACKET_BURST)
		flush(x);
}

static void end_query(struct run *x)
{
	if (!x->asking)
		return;
	for (unsigned i = 0; i < x->query.count; i++)
		check_record(&x->result[i], false);
	flow_query_fini(&x->query);
	x->asking = false;
}

static void ask(struct run *x, struct input *in)
{
	uint8_t b = byte(in);

	if (!x->asking) {
		x->query = (struct flow_query){.kind = b % 3,
			.metric = (enum flow_metric)((b >> 2) % 7),
			.ascending = b & 64,
			.capture = (b >> 5 & 3) - 1,
			.app_proto = -1,
			.limit = RESULTS,
			.results = x->result,
			.next = b & 128 ? (uint32_t)number(in) : 0};
		assert(flow_query_init(&x->query) == 0);
		x->asking = true;
	}
	if (flow_query_step(x->bench.table[0], &x->query, b & 7))
		end_query(x);
}

static void step(struct run *x, struct input *in)
{
	uint8_t op = byte(in);
	unsigned c = op % CAPTURES;

	if (op >= 32) {
		add_packet(x, in);
		return;
	}
	flush(x);
	switch (op / CAPTURES) {
	case 0 ... 3:
		x->now[c] += number(in);
		bench_expire(&x->bench, (uint16_t)c, x->now[c], byte(in) & 31);
		break;
	case 4:
		bench_end(&x->bench, (uint16_t)c, x->now[c], FLOW_END_FORCED, true);
		break;
	case 5:
		bench_end(&x->bench, (uint16_t)c, x->now[c], FLOW_END_EOF, false);
		x->begun[c] = false;
		break;
	default:
		ask(x, in);
	}
	take_records(x);
}

static struct flow_config config_of(struct input *in)
{
	struct flow_config c = bench_config();
	uint8_t b = byte(in);

	c.capacity = b & 63;
	c.key_vlan = b & 64;
	c.key_tunnel = b & 128;
	c.tcp_new_ns = 1 + number(in);
	c.tcp_established_ns = 1 + number(in);
	c.tcp_closed_ns = 1 + number(in);
	c.udp_ns = 1 + number(in);
	c.active_ns = number(in);
	return c;
}

static void check_counters(const struct run *x)
{
	uint64_t sum[COUNTER_COUNT] = {0}, ends = 0;

	for (unsigned c = 0; c < CAPTURES; c++)
		for (unsigned i = 0; i < COUNTER_COUNT; i++)
			sum[i] += x->bench.counters[c].value[i];
	for (unsigned e = FLOW_END_FIN; e <= FLOW_END_EVICTED; e++)
		ends += sum[COUNTER_flows_ended_fin + e - FLOW_END_FIN];
	assert(ends == sum[COUNTER_flows_ended] && sum[COUNTER_records] == ends);
	assert(x->in_records + sum[COUNTER_flow_memcap] == x->layers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct run run;
	struct input in = {data, data + size};
	struct flow_config config = config_of(&in);

	memset(&run, 0, sizeof(run));
	bench_open(&run.bench, &config, 1 + (byte(&in) & 1));
	while (in.at < in.end)
		step(&run, &in);
	flush(&run);
	for (unsigned c = 0; c < CAPTURES; c++)
		if (run.begun[c])
			bench_end(&run.bench, (uint16_t)c, run.now[c], FLOW_END_EOF, false);
	take_records(&run);
	end_query(&run);
	assert(bench_active(&run.bench) == 0);
	check_counters(&run);
	bench_close(&run.bench);
	return 0;
}
