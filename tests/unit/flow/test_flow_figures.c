// SPDX-License-Identifier: Apache-2.0
// What a record says of a flow's packets: times, moments, sizes, windows, the first packets, latencies.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "builder.h"
#include "flow_internal.h"

#define CLIENT "10.0.0.9"
#define SERVER "10.0.0.2"

static struct bench b;

static int setup(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	bench_open(&b, &c, 1);
	bench_begin(&b, 0, "cap", true);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bench_close(&b);
	return 0;
}

static void run(struct packet p)
{
	bench_send(&b, &p);
}

static const struct flow_record *only_record(void)
{
	bench_end(&b, 0, 0, FLOW_END_FORCED, true);
	assert_int_equal(b.count, 1);
	b.count = 0;
	return &b.record[0];
}

static void assert_near(double x, long double reference, long double tolerance)
{
	if (fabsl(x - reference) > tolerance)
		fail_msg("%.17g is not %.17Lg", x, reference);
}

static struct packet udp(uint32_t payload, uint64_t ts)
{
	return packet_udp(CLIENT, 40000, SERVER, 40001, payload, ts);
}

static struct packet udp_back(uint32_t payload, uint64_t ts)
{
	return packet_udp(SERVER, 40001, CLIENT, 40000, payload, ts);
}

// --- Compact durations ---

static void compact_keeps_order_and_26_bits(void **state)
{
	struct rng rng = {1};
	uint32_t before = 0;

	(void)state;
	for (uint64_t ns = 0; ns < UINT64_C(1) << 26; ns += 1 + rng_below(&rng, 1000))
		assert_true(flow_expand(flow_compact(ns)) == ns);
	for (unsigned shift = 20; shift < 64; shift++)
		for (int k = -2; k <= 2; k++) {
			uint64_t ns = (UINT64_C(1) << shift) + (uint64_t)(int64_t)k;
			uint32_t c = flow_compact(ns);
			uint64_t back = flow_expand(c);

			assert_true(c >= before && c != UINT32_MAX);
			assert_true(back <= ns && ns - back <= ns >> 25);
			assert_true(flow_compact(back) == c);
			before = c;
		}
	assert_true(flow_compact(UINT64_MAX) >= before);
	for (unsigned i = 0; i < 1000000; i++) {
		uint64_t x = ((uint64_t)rng_below(&rng, UINT32_MAX) << 32 |
				     rng_below(&rng, UINT32_MAX)) >>
		             rng_below(&rng, 64);
		uint64_t y = rng_below(&rng, 2) ? x + rng_below(&rng, 5)
		                                : x + (x >> rng_below(&rng, 40));

		if (y >= x)
			assert_true(flow_compact(x) <= flow_compact(y));
		assert_true(x - flow_expand(flow_compact(x)) <= x >> 25);
	}
}

// --- Moments ---

struct reference {
	long double mean, m2, m3, cubes;
};

static struct reference reference_of(const double *x, unsigned n)
{
	struct reference r = {0};

	for (unsigned i = 0; i < n; i++)
		r.mean += x[i];
	r.mean /= n;
	for (unsigned i = 0; i < n; i++) {
		long double d = x[i] - r.mean;

		r.m2 += d * d;
		r.m3 += d * d * d;
		r.cubes += fabsl(d * d * d);
	}
	return r;
}

static void expect_moments(const struct reference *r, double mean, double m2, double m3)
{
	assert_near(mean, r->mean, 1e-9L * fabsl(r->mean));
	assert_near(m2, r->m2, 1e-9L * r->m2);
	assert_near(m3, r->m3, 1e-5L * r->cubes);
}

static void moments_are_those_of_the_packets(void **state)
{
	enum { N = 20000 };
	static double size[N], gap[N];
	struct rng rng = {3};

	(void)state;
	for (unsigned round = 0; round < 6; round++) {
		const struct flow_direction *d;
		struct reference s, g;
		uint64_t ts = T0;
		unsigned n = round == 0 ? 2 : round == 1 ? 3 : N;

		for (unsigned i = 0; i < n; i++) {
			// sizes of two kinds; gaps from nanoseconds to 10 ms, skewed
			uint32_t payload = rng_below(&rng, 3) ? rng_below(&rng, 1400) : 1400;
			uint64_t dt = round == 2 ? 1000000
			                         : rng_below(&rng, 1u << (1 + rng_below(&rng, 22)));

			if (i > 0) {
				gap[i - 1] = (double)dt;
				ts += dt;
			}
			size[i] = 14 + 20 + 8 + payload;
			run(udp(payload, ts));
		}
		d = &only_record()->direction[0];
		assert_int_equal(d->pkts, n);
		s = reference_of(size, n);
		g = reference_of(gap, n - 1);
		expect_moments(&s, d->size_mean, d->size_m2, d->size_m3);
		expect_moments(&g, d->iat_mean, d->iat_m2, d->iat_m3);
	}
}

static void long_silences_do_not_overflow(void **state)
{
	struct flow_config c = bench_config();
	double gap[60];
	struct reference g;
	uint64_t ts = T0;
	const struct flow_direction *d;

	(void)state;
	bench_close(&b);
	c.udp_ns = 31 * UINT64_C(86400) * SEC;
	c.active_ns = 0;
	bench_open(&b, &c, 1);
	bench_begin(&b, 0, "cap", true);
	for (unsigned i = 0; i <= 60; i++) {
		run(udp(1, ts));
		if (i == 60)
			break;
		gap[i] = i % 7 == 0 ? 30.0 * 86400e9 : 1000;
		ts += (uint64_t)gap[i];
	}
	d = &only_record()->direction[0];
	g = reference_of(gap, 60);
	expect_moments(&g, d->iat_mean, d->iat_m2, d->iat_m3);
	assert_true(d->iat_min_ns == 1000);
	assert_true(d->iat_max_ns <= 30 * 86400 * SEC &&
		    d->iat_max_ns > 30 * 86400 * SEC - (86400 * SEC >> 20));
}

static void one_packet_has_no_gap(void **state)
{
	const struct flow_record *r;

	(void)state;
	run(udp(100, T0));
	run(udp_back(7, T0 + 5));
	r = only_record();
	for (unsigned d = 0; d < 2; d++) {
		assert_int_equal(r->direction[d].pkts, 1);
		assert_true(r->direction[d].size_mean == (d ? 49 : 142));
		assert_true(r->direction[d].size_m2 == 0 && r->direction[d].iat_mean == 0);
		assert_int_equal(r->direction[d].iat_min_ns + r->direction[d].iat_max_ns, 0);
		assert_int_equal(r->direction[d].size_min, d ? 49 : 142);
		assert_int_equal(r->direction[d].size_max, d ? 49 : 142);
	}
	assert_true(r->first_ns == T0 && r->last_ns == T0 + 5);
	assert_int_equal(r->replied, 1);
}

static void giant_frames(void **state)
{
	const struct flow_direction *d;

	(void)state;
	run(udp(200000, T0));
	run(udp(90000, T0));
	d = &only_record()->direction[0];
	assert_int_equal(d->size_max, 200042);
	assert_int_equal(d->size_min, 65535);
	assert_int_equal(d->bytes, 290084);
	run(udp(65493, T0)); // 65,535 exactly
	run(udp(65492, T0));
	d = &only_record()->direction[0];
	assert_int_equal(d->size_max, 65535);
	assert_int_equal(d->size_min, 65534);
}

// --- Times ---

static void time_that_goes_back(void **state)
{
	struct rng rng = {5};
	const struct flow_record *r;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		uint64_t lowest = UINT64_MAX, highest = 0, now = T0;

		for (unsigned i = 0; i < 10; i++) {
			uint64_t ts = T0 + rng_below(&rng, 1000000000);
			struct packet p = rng_below(&rng, 2) ? udp(1, ts) : udp_back(1, ts);

			now = ts > now ? ts : now; // the capture's clock never goes back
			p.now_ns = now;
			lowest = ts < lowest ? ts : lowest;
			highest = ts > highest ? ts : highest;
			run(p);
		}
		r = only_record();
		assert_true(r->first_ns == lowest);
		assert_true(r->last_ns == highest);
		assert_true(r->direction[0].iat_mean >= 0);
	}
}

static void time_that_begins_at_zero(void **state)
{
	const struct flow_record *r;
	struct packet p;

	(void)state;
	run(packet_tcp(CLIENT, 1, SERVER, 2, SYN, 0, 0));
	run(packet_tcp(SERVER, 2, CLIENT, 1, SYN | ACK, 0, 5));
	run(packet_tcp(CLIENT, 1, SERVER, 2, ACK, 0, 7));
	r = only_record();
	assert_true(r->first_ns == 0 && r->last_ns == 7);
	assert_int_equal(r->syn_ns, 5);
	assert_int_equal(r->synack_ns, 2);
	assert_int_equal(r->splt[1].dt_ns, 5);
	run(udp(3, 0));
	run(udp_back(3, 11));
	r = only_record();
	assert_int_equal(r->first_response_ns, 11);
	assert_true(r->first_ns == 0);
	p = udp(1, 0);
	run(p);
	bench_expire(&b, 0, 59 * SEC, 100);
	assert_int_equal(b.count, 0);
	bench_expire(&b, 0, 62 * SEC, 100);
	assert_int_equal(b.count, 1);
	assert_int_equal(b.record[0].end, FLOW_END_IDLE);
	assert_true(b.record[0].last_ns == 0);
}

// --- Sequence of the first packets ---

static void sequence_of_the_first_packets(void **state)
{
	const struct flow_record *r;
	uint64_t ts = T0;

	(void)state;
	for (unsigned i = 0; i < 20; i++) {
		uint8_t flags = i == 0 ? SYN : i == 1 ? SYN | ACK : ACK;
		struct packet p = i % 2 == 0 ? packet_tcp(CLIENT, 1, SERVER, 2, flags, i * 10, ts)
		                             : packet_tcp(SERVER, 2, CLIENT, 1, flags, i * 10, ts);

		if (i == 4)
			p.ts_ns = ts - 50; // back
		run(p);
		ts += i == 6 ? 5 * SEC : 100 + i;
	}
	r = only_record();
	assert_int_equal(r->splt_count, 16);
	for (unsigned i = 0; i < 16; i++) {
		uint64_t dt = i == 0 ? 0 : i == 7 ? UINT32_MAX : 100 + i - 1;

		if (i == 4)
			dt -= 50;
		if (i == 5)
			dt += 50;
		assert_int_equal(r->splt[i].size, i * 10);
		assert_int_equal(r->splt[i].direction, i % 2);
		assert_int_equal(r->splt[i].tcp_flags, i == 0 ? SYN : i == 1 ? SYN | ACK : ACK);
		assert_int_equal(r->splt[i].dt_ns, dt);
	}
}

static void sequence_saturates(void **state)
{
	const struct flow_record *r;

	(void)state;
	run(udp(70000, T0));
	r = only_record();
	assert_int_equal(r->splt_count, 1);
	assert_int_equal(r->splt[0].size, 65535);
}

// --- TCP's fields ---

static void windows_and_options(void **state)
{
	struct packet p = packet_tcp(CLIENT, 1, SERVER, 2, SYN, 0, T0);
	const struct flow_record *r;

	(void)state;
	p.layer[0].flags |= LAYER_TCP_MSS | LAYER_TCP_WSCALE;
	p.layer[0].tcp.mss = 1460;
	p.layer[0].tcp.wscale = 7;
	p.layer[0].tcp.window = 64240;
	p.layer[0].ttl = 63;
	run(p);
	p = packet_tcp(SERVER, 2, CLIENT, 1, SYN | ACK, 0, T0);
	p.layer[0].flags |= LAYER_TCP_MSS;
	p.layer[0].tcp.mss = 1380;
	p.layer[0].tcp.window = 0;
	run(p);
	p = packet_tcp(CLIENT, 1, SERVER, 2, ACK, 0, T0);
	p.layer[0].tcp.window = 502;
	p.layer[0].ttl = 62;
	run(p);
	p.layer[0].tcp.window = 65535;
	p.layer[0].ttl = 255;
	run(p);
	r = only_record();
	assert_int_equal(r->direction[0].mss, 1460);
	assert_int_equal(r->direction[0].wscale, 7);
	assert_int_equal(r->direction[0].window_first, 64240);
	assert_int_equal(r->direction[0].window_min, 502);
	assert_int_equal(r->direction[0].window_max, 65535);
	assert_int_equal(r->direction[0].ttl_min, 62);
	assert_int_equal(r->direction[0].ttl_max, 255);
	assert_int_equal(r->direction[1].mss, 1380);
	assert_int_equal(r->direction[1].wscale, 0xff);
	assert_int_equal(r->direction[1].window_min, 0);
	assert_int_equal(r->direction[1].window_max, 0);
}

static void a_fragment_has_no_window(void **state)
{
	const struct flow_record *r;

	(void)state;
	run(packet_ip(CLIENT, SERVER, 6, T0));
	r = only_record();
	assert_int_equal(r->direction[0].window_min, 0);
	assert_int_equal(r->direction[0].window_max, 0);
	assert_int_equal(r->tcp_state, FLOW_TCP_NONE);
	assert_int_equal(r->midstream, 0);
}

// --- Latencies ---

static void latencies(void **state)
{
	const struct flow_record *r;

	(void)state;
	run(packet_tcp(CLIENT, 1, SERVER, 2, SYN, 0, T0));
	run(packet_tcp(CLIENT, 1, SERVER, 2, SYN, 0, T0 + 1 * SEC)); // again
	run(packet_tcp(SERVER, 2, CLIENT, 1, SYN | ACK, 0, T0 + 1 * SEC + 20 * MS));
	run(packet_tcp(CLIENT, 1, SERVER, 2, SYN, 0, T0 + 1 * SEC + 21 * MS)); // late copy
	run(packet_tcp(CLIENT, 1, SERVER, 2, ACK, 0, T0 + 1 * SEC + 23 * MS));
	run(packet_tcp(CLIENT, 1, SERVER, 2, ACK, 100, T0 + 2 * SEC));
	run(packet_tcp(CLIENT, 1, SERVER, 2, ACK, 100, T0 + 2 * SEC + 1 * MS));
	run(packet_tcp(SERVER, 2, CLIENT, 1, ACK, 0, T0 + 2 * SEC + 2 * MS)); // no payload
	run(packet_tcp(SERVER, 2, CLIENT, 1, ACK, 9, T0 + 2 * SEC + 40 * MS));
	run(packet_tcp(SERVER, 2, CLIENT, 1, ACK, 9, T0 + 2 * SEC + 50 * MS));
	run(packet_tcp(CLIENT, 1, SERVER, 2, ACK, 100, T0 + 3 * SEC));
	run(packet_tcp(SERVER, 2, CLIENT, 1, ACK, 9, T0 + 3 * SEC + 10 * MS));
	run(packet_tcp(CLIENT, 1, SERVER, 2, ACK, 100, T0 + 4 * SEC));
	run(packet_tcp(SERVER, 2, CLIENT, 1, ACK, 9, T0 + 4 * SEC + 61 * MS));
	r = only_record();
	assert_int_equal(r->syn_ns, 20 * MS);
	assert_int_equal(r->synack_ns, 3 * MS);
	assert_int_equal(r->first_response_ns, 40 * MS);
	assert_int_equal(r->response_samples, 3);
	assert_int_equal(r->response_min_ns, 10 * MS);
	assert_int_equal(r->response_max_ns, 61 * MS);
	assert_int_equal(r->response_sum_ns, 111 * MS);
}

static void no_request_no_response(void **state)
{
	const struct flow_record *r;

	(void)state;
	// The server speaks first (a greeting): that answers nothing.
	run(packet_tcp(CLIENT, 1, SERVER, 2, SYN, 0, T0));
	run(packet_tcp(SERVER, 2, CLIENT, 1, SYN | ACK, 0, T0));
	run(packet_tcp(CLIENT, 1, SERVER, 2, ACK, 0, T0));
	run(packet_tcp(SERVER, 2, CLIENT, 1, ACK, 50, T0 + SEC));
	r = only_record();
	assert_int_equal(r->first_response_ns, 0);
	assert_int_equal(r->response_samples, 0);
	assert_int_equal(r->response_sum_ns, 0);
}

static void truncated_marks_the_flow(void **state)
{
	struct packet p = udp(1, T0);

	(void)state;
	run(p);
	p.flags |= PACKET_TRUNCATED;
	run(p);
	p.flags = 0;
	run(p);
	assert_int_equal(only_record()->truncated, 1);
	run(p);
	assert_int_equal(only_record()->truncated, 0);
}

static void sizes_of_the_layout(void **state)
{
	struct flow_config c = bench_config();
	struct flow_table *t;

	(void)state;
	c.capacity = 1000000;
	t = flow_table_new(&c, 0, b.ring[0]);
	assert_non_null(t);
	// Whatever does not grow with the flows: wheels of all captures, tunnels.
	assert_true(flow_table_bytes(t) <= 512 * UINT64_C(1000000) + (6u << 20));
	flow_table_free(t);
	flow_table_free(NULL);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(compact_keeps_order_and_26_bits),
		T(moments_are_those_of_the_packets),
		T(long_silences_do_not_overflow),
		T(one_packet_has_no_gap),
		T(giant_frames),
		T(time_that_goes_back),
		T(time_that_begins_at_zero),
		T(sequence_of_the_first_packets),
		T(sequence_saturates),
		T(windows_and_options),
		T(a_fragment_has_no_window),
		T(latencies),
		T(no_request_no_response),
		T(truncated_marks_the_flow),
		T(sizes_of_the_layout),
	};

	return cmocka_run_group_tests_name("flow figures", tests, NULL, NULL);
}
