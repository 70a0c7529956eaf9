// SPDX-License-Identifier: Apache-2.0
// What makes packets one flow: ICMP's pairs, IPv6, VLANs, tunnels, captures; and flow_id.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <string.h>

#include "builder.h"

static struct bench b;

static void open_with(bool key_vlan, bool key_tunnel)
{
	struct flow_config c = bench_config();

	c.key_vlan = key_vlan;
	c.key_tunnel = key_tunnel;
	bench_open(&b, &c, 1);
	bench_begin(&b, 0, "cap", true);
}

static void run(struct packet p)
{
	bench_send(&b, &p);
}

static void end_all(void)
{
	bench_end(&b, 0, T0, FLOW_END_EOF, true);
}

static const struct flow_record *of_proto(uint8_t proto)
{
	for (size_t i = 0; i < b.count; i++)
		if (b.record[i].tuple.proto == proto)
			return &b.record[i];
	fail_msg("no record of protocol %u", proto);
	return NULL;
}

static bool is_address(const uint8_t address[16], const char *text)
{
	uint8_t want[16] = {0};

	inet_pton(strchr(text, ':') ? AF_INET6 : AF_INET, text, want);
	return memcmp(address, want, 16) == 0;
}

// --- ICMP ---

static void echo_pairs(void **state)
{
	const struct flow_record *r;

	(void)state;
	open_with(false, true);
	run(packet_icmp("10.0.0.9", "10.0.0.2", 8, 0, T0));
	run(packet_icmp("10.0.0.2", "10.0.0.9", 0, 0, T0));
	run(packet_icmp("2001:db8::9", "2001:db8::2", 128, 0, T0));
	run(packet_icmp("2001:db8::2", "2001:db8::9", 129, 3, T0));
	end_all();
	assert_int_equal(b.count, 2);
	r = of_proto(1);
	assert_true(is_address(r->tuple.src, "10.0.0.9"));
	assert_int_equal(r->tuple.src_port, 8);
	assert_int_equal(r->tuple.dst_port, 0);
	assert_int_equal(r->direction[0].pkts, 1);
	assert_int_equal(r->direction[1].pkts, 1);
	assert_true(r->has_icmp && r->has_icmp_reply);
	assert_int_equal(r->icmp_type, 8);
	assert_int_equal(r->icmp_reply_type, 0);
	r = of_proto(58);
	assert_int_equal(r->tuple.version, 6);
	assert_int_equal(r->icmp_type, 128);
	assert_int_equal(r->icmp_reply_type, 129);
	assert_int_equal(r->icmp_reply_code, 3);
	assert_int_equal(r->replied, 1);
	bench_close(&b);
}

static void one_way_types_do_not_pair(void **state)
{
	(void)state;
	open_with(false, true);
	// Destination unreachable: each direction and each code is a flow of its own.
	run(packet_icmp("10.0.0.9", "10.0.0.2", 3, 1, T0));
	run(packet_icmp("10.0.0.2", "10.0.0.9", 3, 1, T0));
	run(packet_icmp("10.0.0.2", "10.0.0.9", 3, 3, T0));
	run(packet_icmp("10.0.0.2", "10.0.0.9", 3, 3, T0));
	end_all();
	assert_int_equal(b.count, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct flow_record *r = &b.record[i];

		assert_int_equal(r->direction[1].pkts, 0);
		assert_int_equal(r->direction[0].pkts, r->icmp_code == 3 ? 2 : 1);
		assert_int_equal(r->icmp_type, 3);
		assert_int_equal(r->tuple.dst_port, r->icmp_code);
		assert_int_equal(r->has_icmp_reply, 0);
	}
	bench_close(&b);
}

static void reply_type_in_a_later_part(void **state)
{
	const struct flow_record *r;

	(void)state;
	open_with(false, true);
	for (uint64_t t = 0; t < 320; t += 20)
		run(packet_icmp("10.0.0.9", "10.0.0.2", 13, 0, T0 + t * SEC));
	run(packet_icmp("10.0.0.2", "10.0.0.9", 14, 5, T0 + 320 * SEC));
	end_all();
	assert_int_equal(b.count, 2);
	r = &b.record[1];
	assert_int_equal(r->part_no, 2);
	assert_int_equal(r->icmp_type, 13);
	assert_int_equal(r->icmp_reply_type, 14);
	assert_int_equal(r->icmp_reply_code, 5);
	assert_int_equal(b.record[0].has_icmp_reply, 0);
	bench_close(&b);
}

// --- IPv6 ---

static void ipv6_is_told_by_all_its_bytes(void **state)
{
	static const char *const hosts[] = {
		"2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::ffff:10.0.0.9", "3001:db8::1"};

	(void)state;
	open_with(false, true);
	for (unsigned i = 0; i < 5; i++) {
		run(packet_udp(hosts[i], 1000, "2001:db8::ffff", 53, 1, T0));
		run(packet_udp("2001:db8::ffff", 53, hosts[i], 1000, 1, T0));
	}
	// The same bytes as IPv4 addresses: another flow.
	run(packet_udp("32.1.13.184", 1000, "32.1.13.184", 53, 1, T0));
	assert_int_equal(bench_active(&b), 6);
	end_all();
	for (size_t i = 0; i < 6; i++) {
		const struct flow_record *r = &b.record[i];

		assert_int_equal(r->tuple.dst_port, 53);
		if (r->tuple.version == 6) {
			assert_true(is_address(r->tuple.dst, "2001:db8::ffff"));
			assert_int_equal(r->direction[0].pkts, 1);
			assert_int_equal(r->direction[1].pkts, 1);
		}
	}
	bench_close(&b);
}

// --- VLAN ---

static struct packet tagged(
	const char *src, const char *dst, unsigned count, unsigned a, unsigned c)
{
	bool back = strcmp(src, dst) > 0;
	struct packet p = packet_udp(src, back ? 53 : 999, dst, back ? 999 : 53, 1, T0);

	p.vlan_count = (uint8_t)count;
	p.vlan[0] = (uint16_t)a;
	p.vlan[1] = (uint16_t)c;
	return p;
}

static void send_tagged(const char *low, const char *high)
{
	static const unsigned tags[][3] = {
		{0, 0, 0}, {1, 5, 0}, {1, 6, 0}, {2, 5, 6}, {2, 6, 5}, {1, 0, 0}, {2, 0, 0}};

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		run(tagged(low, high, tags[i][0], tags[i][1], tags[i][2]));
		run(tagged(high, low, tags[i][0], tags[i][1], tags[i][2]));
	}
}

static void vlan_in_the_key(void **state)
{
	(void)state;
	for (unsigned six = 0; six < 2; six++) {
		open_with(true, true);
		send_tagged(six ? "2001::1" : "1.0.0.1", six ? "2001::2" : "1.0.0.2");
		assert_int_equal(bench_active(&b), 7);
		end_all();
		for (size_t i = 0; i < b.count; i++)
			assert_int_equal(
				b.record[i].direction[0].pkts + b.record[i].direction[1].pkts, 2);
		bench_close(&b);
		open_with(false, true);
		send_tagged(six ? "2001::1" : "1.0.0.1", six ? "2001::2" : "1.0.0.2");
		assert_int_equal(bench_active(&b), 1);
		end_all();
		assert_int_equal(b.record[0].direction[0].pkts, 7);
		assert_int_equal(b.record[0].tuple.vlan_count, 0); // as the first packet's
		bench_close(&b);
	}
}

// --- Tunnels ---

static struct packet vxlan(bool back, int64_t vni, uint16_t outer_port)
{
	struct packet p = back ? packet_udp("192.168.0.2", 53, "192.168.0.1", 3000, 1, T0)
	                       : packet_udp("192.168.0.1", 3000, "192.168.0.2", 53, 1, T0);

	packet_wrap(&p, back ? "10.0.0.2" : "10.0.0.1", outer_port, back ? "10.0.0.1" : "10.0.0.2",
		4789, 17, TUNNEL_VXLAN, vni, 50);
	return p;
}

static const struct flow_record *tunnelled(int64_t id)
{
	for (size_t i = 0; i < b.count; i++)
		if (b.record[i].tunnel_depth == 1 && b.record[i].tunnel_id == (uint32_t)id)
			return &b.record[i];
	fail_msg("no flow in tunnel %ld", id);
	return NULL;
}

static void tunnel_in_the_key(void **state)
{
	const struct flow_record *r;

	(void)state;
	open_with(false, true);
	run(vxlan(false, 7, 50001));
	run(vxlan(true, 7, 50002));
	run(vxlan(true, 8, 50003));
	run(vxlan(false, 8, 50004));
	// Without the tunnel: a third inner flow.
	run(packet_udp("192.168.0.1", 3000, "192.168.0.2", 53, 1, T0));
	end_all();
	// four outer (by their source ports), three inner
	assert_int_equal(b.count, 7);
	r = tunnelled(7);
	assert_int_equal(r->tuple.tunnel_type, TUNNEL_VXLAN);
	assert_true(is_address(r->tuple.src, "192.168.0.1"));
	assert_true(is_address(r->tunnel_src, "10.0.0.1"));
	assert_true(is_address(r->tunnel_dst, "10.0.0.2"));
	assert_int_equal(r->tunnel_src_port, 50001);
	assert_int_equal(r->tunnel_dst_port, 4789);
	assert_int_equal(r->tunnel_has_id, 1);
	assert_int_equal(r->tunnel_version, 4);
	assert_int_equal(r->tunnel_proto, 17);
	assert_int_equal(r->direction[0].pkts, 1);
	assert_int_equal(r->direction[1].pkts, 1);
	// The first packet seen came from the server (by its port): the tunnel lies as the flow does.
	r = tunnelled(8);
	assert_int_equal(r->direction_guessed, 1);
	assert_true(is_address(r->tuple.src, "192.168.0.1"));
	assert_true(is_address(r->tunnel_src, "10.0.0.1"));
	assert_int_equal(r->tunnel_src_port, 4789);
	assert_int_equal(r->tunnel_dst_port, 50003);
	bench_close(&b);
}

static void tunnel_not_in_the_key(void **state)
{
	(void)state;
	open_with(false, false);
	run(vxlan(false, 7, 50001));
	run(vxlan(true, 7, 50001));
	run(vxlan(true, 8, 50001));
	run(packet_udp("192.168.0.1", 3000, "192.168.0.2", 53, 1, T0));
	end_all();
	// two outer, one inner
	assert_int_equal(b.count, 3);
	for (size_t i = 0; i < 3; i++)
		if (b.record[i].tunnel_depth == 1) {
			assert_int_equal(b.record[i].direction[0].pkts, 2);
			assert_int_equal(b.record[i].direction[1].pkts, 2);
			assert_int_equal(b.record[i].tunnel_id, 7);
		}
	bench_close(&b);
}

static void tunnels_in_tunnels(void **state)
{
	unsigned inner = 0;

	(void)state;
	open_with(false, true);
	for (unsigned k = 0; k < 4; k++) { // the outermost differs: so does everything within
		struct packet p = packet_udp("192.168.0.1", 3000, "192.168.0.2", 53, 1, T0);

		packet_wrap(&p, "10.0.0.1", 0, "10.0.0.2", 0, 47, TUNNEL_GRE, -1, 24);
		packet_wrap(&p, "2001:db8::1", 0, "2001:db8::2", 0, 41, TUNNEL_IPIP, k, 40);
		run(p);
	}
	assert_int_equal(bench_active(&b), 1 + 4 + 4);
	end_all();
	for (size_t i = 0; i < b.count; i++)
		if (b.record[i].tunnel_depth == 2) {
			inner++;
			assert_int_equal(b.record[i].tuple.tunnel_type, TUNNEL_GRE);
			assert_int_equal(b.record[i].tunnel_has_id, 0);
			assert_int_equal(b.record[i].tunnel_proto, 47);
			assert_int_equal(b.record[i].tunnel_version, 4);
			assert_int_equal(b.record[i].direction[0].bytes, 14 + 20 + 8 + 1 + 24 + 40);
		} else if (b.record[i].tunnel_depth == 1) {
			assert_int_equal(b.record[i].tunnel_version, 6);
			assert_int_equal(b.record[i].tuple.tunnel_type, TUNNEL_IPIP);
		}
	assert_int_equal(inner, 4);
	bench_close(&b);
}

static void no_key_is_not_key_zero(void **state)
{
	(void)state;
	open_with(false, true);
	for (int64_t key = -1; key <= 0; key++) {
		struct packet p = packet_udp("192.168.0.1", 3000, "192.168.0.2", 53, 1, T0);

		packet_wrap(&p, "10.0.0.1", 0, "10.0.0.2", 0, 47, TUNNEL_GRE, key, 24);
		run(p);
	}
	assert_int_equal(bench_active(&b), 3);
	bench_close(&b);
}

static void tunnels_are_bounded_and_given_back(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	c.capacity = 300000;
	bench_open(&b, &c, 1);
	b.forget = true;
	bench_begin(&b, 0, "cap", true);
	for (unsigned round = 0; round < 2; round++) {
		uint64_t before = bench_count(&b, COUNTER_tunnel_memcap);

		for (uint32_t k = 0; k < 70000; k++) {
			struct packet p = packet_udp("192.168.0.1", 3000, "192.168.0.2", 53, 1, T0);

			packet_wrap(&p, "10.0.0.1", 9, "10.0.0.2", 4789, 17, TUNNEL_VXLAN, k, 50);
			run(p);
		}
		// 65,535 tunnels have details; the other flows go without, all the same.
		assert_int_equal(bench_count(&b, COUNTER_tunnel_memcap) - before, 70000 - 65535);
		assert_int_equal(bench_active(&b), 70001);
		end_all();
		assert_int_equal(bench_active(&b), 0);
	}
	bench_close(&b);
}

static void not_counted_layers_are_left_alone(void **state)
{
	struct packet p = vxlan(false, 7, 50001);

	(void)state;
	open_with(false, true);
	p.layer[0].owner = LAYER_NOT_COUNTED;
	run(p);
	end_all();
	assert_int_equal(b.count, 1);
	assert_int_equal(b.record[0].tunnel_depth, 1);
	bench_close(&b);
}

// --- Hash ---

static void hash_is_the_same_both_ways(void **state)
{
	struct flow_config c = bench_config();
	struct rng rng = {9};

	(void)state;
	for (unsigned i = 0; i < 10000; i++) {
		struct packet p[2];
		uint16_t sp = (uint16_t)rng_below(&rng, 4), dp = (uint16_t)rng_below(&rng, 4);
		bool six = rng_below(&rng, 2);

		p[0] = packet_udp(
			six ? "fe80::1" : "10.0.0.1", sp, six ? "fe80::1" : "10.0.0.2", dp, 1, T0);
		p[1] = packet_udp(
			six ? "fe80::1" : "10.0.0.2", dp, six ? "fe80::1" : "10.0.0.1", sp, 1, T0);
		for (unsigned k = 0; k < 2; k++)
			packet_wrap(&p[k], k ? "1.1.1.1" : "2.2.2.2", 0, k ? "2.2.2.2" : "1.1.1.1",
				0, 47, TUNNEL_GRE, 77, 24);
		flow_key_hash(&c, p, 2);
		for (unsigned l = 0; l < 2; l++) {
			assert_true(p[0].layer[l].hash == p[1].layer[l].hash);
			assert_true(p[0].layer[l].tunnel_hash == p[1].layer[l].tunnel_hash);
		}
		if (!six || sp != dp)
			assert_true(p[0].layer[1].swapped != p[1].layer[1].swapped);
		assert_true(p[0].layer[0].swapped != p[1].layer[0].swapped);
		assert_true((p[0].layer[1].tunnel_hash != 0) && p[0].layer[0].tunnel_hash == 0);
	}
}

static void owners_are_spread_evenly(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	for (unsigned workers = 1; workers <= 64; workers = workers * 2 + 1) {
		unsigned count[64] = {0};

		for (unsigned i = 0; i < 64000; i++) {
			struct packet p = packet_udp(
				"10.0.0.1", (uint16_t)i, "10.0.0.2", 53, 1, T0);
			uint8_t owner;

			flow_key_hash(&c, &p, 1);
			owner = flow_owner(p.layer[0].hash, workers);
			assert_true(owner < workers);
			count[owner]++;
		}
		for (unsigned w = 0; w < workers; w++)
			assert_true(count[w] > 64000 / workers * 8 / 10 &&
				    count[w] < 64000 / workers * 12 / 10 + 1);
	}
}

// --- flow_id ---

static uint64_t id_of(const char *capture, bool lossless, uint64_t skip, uint64_t ts)
{
	struct packet p = packet_udp("10.0.0.1", 1, "10.0.0.2", 53, 1, ts);
	uint64_t id;

	open_with(false, true);
	bench_end(&b, 0, T0, FLOW_END_EOF, false);
	bench_begin(&b, 0, capture, lossless);
	b.seq[0] = skip;
	run(p);
	end_all();
	assert_int_equal(b.count, 1);
	id = b.record[0].flow_id;
	bench_close(&b);
	return id;
}

static void flow_id_says_capture_key_start_and_occurrence(void **state)
{
	uint64_t id = id_of("a", true, 0, T0);

	(void)state;
	assert_true(id != 0 && id < UINT64_C(1) << 53);
	assert_true(id == id_of("a", true, 0, T0));
	assert_true(id != id_of("b", true, 0, T0));
	assert_true(id != id_of("a", true, 1, T0));
	assert_true(id != id_of("a", true, 0, T0 + 1));
	assert_true(id_of("a", false, 0, T0) == id_of("a", false, 1, T0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(echo_pairs),
		cmocka_unit_test(one_way_types_do_not_pair),
		cmocka_unit_test(reply_type_in_a_later_part),
		cmocka_unit_test(ipv6_is_told_by_all_its_bytes),
		cmocka_unit_test(vlan_in_the_key),
		cmocka_unit_test(tunnel_in_the_key),
		cmocka_unit_test(tunnel_not_in_the_key),
		cmocka_unit_test(tunnels_in_tunnels),
		cmocka_unit_test(no_key_is_not_key_zero),
		cmocka_unit_test(tunnels_are_bounded_and_given_back),
		cmocka_unit_test(not_counted_layers_are_left_alone),
		cmocka_unit_test(hash_is_the_same_both_ways),
		cmocka_unit_test(owners_are_spread_evenly),
		cmocka_unit_test(flow_id_says_capture_key_start_and_occurrence),
	};

	return cmocka_run_group_tests_name("flow keys", tests, NULL, NULL);
}
