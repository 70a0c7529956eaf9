// SPDX-License-Identifier: Apache-2.0
// Random packets through the flow stage and through a plain model: the same records, whenever and how
// far somebody scanned for ends, with one table and with three.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"
#include "model.h"

enum { SEEDS = 24, PACKETS = 6000, CAPTURES = 3 };

static const char *const hosts4[] = {"10.0.0.1", "10.0.0.2", "192.168.7.1", "1.2.3.4"};
static const char *const hosts6[] = {"2001:db8::1", "2001:db8::2", "fe80::9"};

struct scene {
	struct rng rng;
	struct flow_config config;
	uint64_t now[CAPTURES];
	uint64_t jump; // longest usual gap
	struct packet packet[PACKETS];
};

static uint32_t pick(struct scene *s, uint32_t n)
{
	return rng_below(&s->rng, n);
}

static uint64_t duration(struct scene *s, uint64_t max_ms)
{
	return (pick(s, (uint32_t)max_ms) + 1) * MS + pick(s, 3);
}

static void choose_config(struct scene *s)
{
	uint64_t max = pick(s, 4) == 0 ? 3000000 : 60000; // beyond the wheel's turn, too

	s->config = bench_config();
	s->config.capacity = 20000; // nothing is evicted
	s->config.key_vlan = pick(s, 2);
	s->config.key_tunnel = pick(s, 3) != 0;
	s->config.tcp_new_ns = duration(s, max);
	s->config.tcp_established_ns = duration(s, max);
	s->config.tcp_closed_ns = duration(s, max / 4);
	s->config.udp_ns = duration(s, max);
	s->config.icmp_ns = duration(s, max);
	s->config.other_ns = duration(s, max);
	s->config.active_ns = pick(s, 4) == 0 ? 0 : duration(s, 2 * max);
	if (pick(s, 4) == 0)
		s->config.active_ns = s->config.udp_ns;
	s->jump = max / 20;
	for (unsigned c = 0; c < CAPTURES; c++)
		s->now[c] = pick(s, 3) == 0 ? 0 : T0 + c * 12345 * SEC + pick(s, 1000000);
}

// Mostly dense, at times a pause, seldom a jump of days or years.
static uint64_t gap(struct scene *s)
{
	switch (pick(s, 1000)) {
	case 0:
		return pick(s, 400) * 86400 * SEC;
	case 1 ... 40:
		return pick(s, (uint32_t)s->jump * 10) * MS + pick(s, 1000000);
	case 41 ... 300:
		return pick(s, (uint32_t)s->jump) * MS / 4;
	case 301 ... 500:
		return pick(s, 3);
	default:
		return pick(s, 20000) * 1000;
	}
}

static struct packet random_tcp(struct scene *s, const char *src, const char *dst)
{
	static const uint8_t flags[] = {SYN, SYN, SYN | ACK, ACK, ACK, ACK, ACK | PSH, ACK | PSH,
		FIN | ACK, FIN | ACK, FIN | ACK, RST, RST | ACK, 0, SYN | FIN, FIN};
	static const uint16_t ports[] = {80, 40000, 40001};
	struct packet p = packet_tcp(src, ports[pick(s, 3)], dst, ports[pick(s, 3)],
		flags[pick(s, sizeof(flags))], pick(s, 3) == 0 ? pick(s, 1400) : 0, 0);
	struct ip_layer *l = &p.layer[0];

	l->tcp.seq = 1000 * pick(s, 4);
	l->tcp.ack = pick(s, 4) * 1000 + pick(s, 3);
	l->tcp.window = (uint16_t)pick(s, 65536);
	if (pick(s, 3) == 0) {
		l->flags |= LAYER_TCP_MSS;
		l->tcp.mss = (uint16_t)pick(s, 1500);
	}
	if (pick(s, 3) == 0) {
		l->flags |= LAYER_TCP_WSCALE;
		l->tcp.wscale = (uint8_t)pick(s, 15);
	}
	return p;
}

static struct packet random_inner(struct scene *s)
{
	bool six = pick(s, 4) == 0;
	const char *src = six ? hosts6[pick(s, 3)] : hosts4[pick(s, 4)];
	const char *dst = six ? hosts6[pick(s, 3)] : hosts4[pick(s, 4)];
	static const uint8_t types4[] = {8, 0, 3, 13, 14, 11},
			     types6[] = {128, 129, 1, 135, 136, 2};
	struct packet p;

	switch (pick(s, 12)) {
	case 0 ... 5:
		return random_tcp(s, src, dst);
	case 6 ... 8:
		return packet_udp(src, pick(s, 2) ? 53 : 5000, dst, pick(s, 2) ? 53 : 5001,
			pick(s, 2) ? pick(s, 70000) : 0, 0);
	case 9:
		return packet_icmp(
			src, dst, (six ? types6 : types4)[pick(s, 6)], (uint8_t)pick(s, 2), 0);
	case 10: // a fragment that was never joined
		p = packet_ip(src, dst, pick(s, 2) ? 6 : 17, 0);
		p.layer[0].flags |= LAYER_FRAGMENT;
		return p;
	default:
		return packet_ip(src, dst, pick(s, 2) ? 47 : 50, 0);
	}
}

// The packet before once more, as close to the end of a timeout as can be.
static struct packet just_in_time(struct scene *s, const struct packet *before)
{
	const uint64_t timeouts[] = {s->config.tcp_new_ns, s->config.tcp_established_ns,
		s->config.tcp_closed_ns, s->config.udp_ns, s->config.icmp_ns, s->config.other_ns,
		s->config.active_ns};
	struct packet p = *before;

	s->now[p.capture] += timeouts[pick(s, s->config.active_ns != 0 ? 7 : 6)] + pick(s, 3) - 1;
	p.ts_ns = p.now_ns = s->now[p.capture];
	return p;
}

static struct packet random_packet(struct scene *s)
{
	struct packet p = random_inner(s);
	unsigned c = pick(s, CAPTURES);
	uint64_t back;

	p.layer[0].ttl = (uint8_t)pick(s, 256);
	while (pick(s, 4) == 0 && p.layer_count < 4) {
		bool udp = pick(s, 2);

		packet_wrap(&p, hosts4[pick(s, 2)], udp ? (uint16_t)(40000 + pick(s, 3)) : 0,
			hosts4[pick(s, 2)], udp ? 4789 : 0, udp ? 17 : 47,
			udp ? TUNNEL_VXLAN : TUNNEL_GRE, (int64_t)pick(s, 3) - 1, 50);
	}
	if (pick(s, 3) == 0) {
		p.vlan_count = (uint8_t)(1 + pick(s, 2));
		p.vlan[0] = (uint16_t)(1 + pick(s, 2));
		p.vlan[1] = p.vlan_count > 1 ? (uint16_t)pick(s, 2) : 0;
	}
	if (pick(s, 500) == 0)
		p.flags |= PACKET_TRUNCATED;
	s->now[c] += gap(s);
	p.capture = (uint16_t)c;
	p.ts_ns = p.now_ns = s->now[c];
	back = pick(s, 10) == 0 ? pick(s, 3000) * MS : 0;
	p.ts_ns -= back < p.ts_ns ? back : 0;
	return p;
}

// Runs the scene's packets in bursts of random sizes, with random scans between them.
static void run(struct scene *s, struct bench *b, unsigned tables, uint64_t scan_seed)
{
	struct rng scan = {scan_seed};
	uint64_t now[CAPTURES] = {0};
	unsigned at = 0;

	bench_open(b, &s->config, tables);
	for (unsigned c = 0; c < CAPTURES; c++) {
		char name[8] = {'c', (char)('0' + c), 0};

		bench_begin(b, (uint16_t)c, name, c != 1);
	}
	while (at < PACKETS) {
		unsigned n = 1 + rng_below(&scan, PACKET_BURST);
		struct packet burst[PACKET_BURST];

		n = n < PACKETS - at ? n : PACKETS - at;
		memcpy(burst, &s->packet[at], n * sizeof(burst[0]));
		for (unsigned i = 0; i < n; i++)
			now[burst[i].capture] = burst[i].now_ns;
		bench_burst(b, burst, n);
		at += n;
		while (scan_seed != 0 && rng_below(&scan, 2) == 0) {
			unsigned c = rng_below(&scan, CAPTURES);

			bench_expire(b, (uint16_t)c, now[c], rng_below(&scan, 50));
		}
	}
}

static void finish(struct bench *b, const uint64_t now[CAPTURES])
{
	for (unsigned c = 0; c < CAPTURES; c++)
		assert_int_equal(bench_end(b, (uint16_t)c, now[c], FLOW_END_EOF, false), 0);
	assert_int_equal(bench_active(b), 0);
}

static void check(const struct model *m, const char *difference, uint64_t seed)
{
	if (difference == NULL)
		return;
	fail_msg("seed %lu, %zu records of the model: %s", seed, m->count, difference);
}

static void check_counters(const struct bench *b, const struct model *m)
{
	uint64_t sum[COUNTER_COUNT] = {0}, by_end = 0;

	for (unsigned c = 0; c < CAPTURES; c++)
		for (unsigned i = 0; i < COUNTER_COUNT; i++)
			sum[i] += b->counters[c].value[i];
	for (unsigned e = FLOW_END_FIN; e <= FLOW_END_EVICTED; e++)
		by_end += sum[COUNTER_flows_ended_fin + e - FLOW_END_FIN];
	assert_int_equal(sum[COUNTER_flows_created], m->next_id);
	assert_int_equal(sum[COUNTER_flows_ended], m->count);
	assert_int_equal(by_end, m->count);
	assert_int_equal(sum[COUNTER_records], m->count);
	assert_int_equal(sum[COUNTER_flow_memcap], 0);
	assert_int_equal(sum[COUNTER_export_queue_full], 0);
}

static void same_records_as_the_model(void **state)
{
	struct scene *s = malloc(sizeof(*s));
	struct bench *b = malloc(sizeof(*b)), *first = malloc(sizeof(*first));
	size_t records = 0, ends[FLOW_END_EVICTED + 1] = {0};

	(void)state;
	assert_non_null(s);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct model m;

		s->rng.state = seed * 1000003;
		choose_config(s);
		for (unsigned i = 0; i < PACKETS; i++)
			s->packet[i] = i > 0 && pick(s, 30) == 0
			                       ? just_in_time(s, &s->packet[i - 1])
			                       : random_packet(s);
		for (unsigned c = 0; c < CAPTURES; c++)
			s->now[c] += pick(s, 3) ? pick(s, 60) * SEC : 0;
		model_open(&m, &s->config);
		for (unsigned i = 0; i < PACKETS; i++)
			model_packet(&m, &s->packet[i]);
		for (unsigned c = 0; c < CAPTURES; c++)
			model_end(&m, (uint16_t)c, s->now[c], FLOW_END_EOF);
		for (unsigned way = 0; way < 4; way++) {
			bool is_first = way == 0;
			struct bench *x = is_first ? first : b;

			// never scanned, scanned, three tables scanned and not
			run(s, x, way < 2 ? 1 : 3, way == 0 || way == 3 ? 0 : seed * 7 + way);
			finish(x, s->now);
			check_counters(x, &m);
			check(&m, records_differ(x->record, x->count, m.record, m.count, false),
				seed);
			if (!is_first) {
				check(&m,
					records_differ(x->record, x->count, first->record,
						first->count, true),
					seed);
				bench_close(x);
			}
		}
		records += m.count;
		for (size_t i = 0; i < m.count; i++)
			ends[m.record[i].end]++;
		bench_close(first);
		model_close(&m);
	}
	// The scenes must have had all of it.
	assert_true(records > 10000);
	for (unsigned e = FLOW_END_FIN; e <= FLOW_END_EOF; e++)
		if (ends[e] < 50)
			fail_msg("end %u: %zu", e, ends[e]);
	free(s);
	free(b);
	free(first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(same_records_as_the_model)};

	return cmocka_run_group_tests_name("flow model", tests, NULL, NULL);
}
