// SPDX-License-Identifier: Apache-2.0
// EVE records: hand-built ones against golden lines (records.jsonl beside this file, compared byte by
// byte), and extremes that must still be valid JSON. PKTAI_GOLDEN=write makes the file anew.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "events.h"
#include "export.h"

#define T0 UINT64_C(1795413739123456789)
#define MS UINT64_C(1000000)

enum { LIVE = 0, PCAP = 1, ODD = 2 };

static struct json j;

static void set_captures(void)
{
	static const char *const apps[] = {NULL, "tls", NULL};

	export_capture_set(LIVE, &(struct export_capture){"uplink", "eth0", "kernel"});
	export_capture_set(PCAP, &(struct export_capture){"sample.pcap", "", "file"});
	export_capture_set(ODD, &(struct export_capture){"na\"me\x01\xff", "\"\n\\", "nic"});
	export_app_protocols(apps, 3);
}

static struct flow_tuple tuple_of(
	uint8_t proto, const char *src, uint16_t sp, const char *dst, uint16_t dp)
{
	struct flow_tuple t = {.proto = proto, .src_port = sp, .dst_port = dp};
	int family = strchr(src, ':') != NULL ? AF_INET6 : AF_INET;

	t.version = family == AF_INET6 ? 6 : 4;
	assert_int_equal(inet_pton(family, src, t.src), 1);
	assert_int_equal(inet_pton(family, dst, t.dst), 1);
	return t;
}

static struct flow_record flow_of(
	uint8_t proto, const char *src, uint16_t sp, const char *dst, uint16_t dp)
{
	struct flow_record r = {
		.tuple = tuple_of(proto, src, sp, dst, dp),
		.flow_id = 123456789012345,
		.first_ns = T0,
		.last_ns = T0,
		.capture = PCAP,
		.part_no = 1,
		.end = FLOW_END_IDLE,
		.direction[0] = {.pkts = 1,
			.bytes = 74,
			.last_ns = T0,
			.size_mean = 74,
			.size_min = 74,
			.size_max = 74,
			.ttl_min = 64,
			.ttl_max = 64,
			.wscale = 0xff},
		.direction[1] = {.wscale = 0xff},
	};

	return r;
}

// Everything that a TCP flow can have.
static struct flow_record full_flow(void)
{
	struct flow_record r = flow_of(6, "192.168.0.104", 40498, "13.89.179.8", 443);

	r.capture = LIVE;
	r.tuple.vlan_count = 2;
	r.tuple.vlan[0] = 100;
	r.tuple.vlan[1] = 4094;
	r.last_ns = T0 + 3250 * MS;
	r.end = FLOW_END_FIN;
	r.tcp_state = FLOW_TCP_TIME_WAIT;
	r.replied = 1;
	r.app_proto = 1;
	r.syn_ns = 21 * MS;
	r.synack_ns = 40000;
	r.first_response_ns = 35 * MS;
	r.response_min_ns = 1 * MS;
	r.response_max_ns = 70 * MS;
	r.response_sum_ns = 106 * MS;
	r.response_samples = 3;
	r.direction[0] = (struct flow_direction){.pkts = 10,
		.bytes = 4200,
		.size_mean = 420,
		.size_m2 = 1900000.25,
		.size_m3 = 1.5e9,
		.iat_mean = 361111111.11,
		.iat_m2 = 2.5e17,
		.iat_m3 = 3.1e25,
		.iat_min_ns = 12000,
		.iat_max_ns = 1500 * MS,
		.size_min = 54,
		.size_max = 1514,
		.window_first = 64240,
		.window_min = 501,
		.window_max = 64240,
		.mss = 1460,
		.wscale = 7,
		.ttl_min = 64,
		.ttl_max = 64,
		.tcp_flags = 0x1b};
	r.direction[1] = (struct flow_direction){.pkts = 9,
		.bytes = 9001,
		.size_mean = 1000.1111,
		.size_m2 = 3.3e6,
		.size_m3 = -1.5e9,
		.iat_mean = 400e6,
		.iat_m2 = 2.5e17,
		.iat_m3 = 0,
		.iat_min_ns = 900,
		.iat_max_ns = 1400 * MS,
		.size_min = 54,
		.size_max = 1514,
		.window_first = 65535,
		.window_min = 16384,
		.window_max = 65535,
		.mss = 1440,
		.wscale = 0,
		.ttl_min = 110,
		.ttl_max = 111,
		.tcp_flags = 0xd3};
	r.has_stream = 1;
	r.stream[0] = (struct flow_stream){.bytes_delivered = 3300,
		.rtt_sum_ns = 63 * MS,
		.rtt_min_ns = 20 * MS,
		.rtt_max_ns = 22 * MS,
		.rtt_samples = 3,
		.segments = 10,
		.duplicate = 1,
		.retransmitted = 2,
		.spurious = 1,
		.keep_alive = 1,
		.overlap = 1,
		.zero_window_probe = 2};
	r.stream[1] = (struct flow_stream){.bytes_delivered = 7001,
		.gap_bytes = 1440,
		.rtt_sum_ns = 100,
		.rtt_min_ns = 100,
		.rtt_max_ns = 100,
		.rtt_samples = 1,
		.segments = 9,
		.out_of_order = 3,
		.overlap_differing = 1,
		.zero_window = 1,
		.gaps = 1,
		.before_base = 1,
		.out_of_window = 1,
		.refused = 1};
	r.splt_count = 4;
	r.splt[0] = (struct flow_splt){0, 0, 0, 0x02};
	r.splt[1] = (struct flow_splt){21000000, 0, 1, 0x12};
	r.splt[2] = (struct flow_splt){40000, 517, 0, 0x18};
	r.splt[3] = (struct flow_splt){UINT32_MAX, 65535, 1, 0xff};
	return r;
}

static struct flow_record tunnelled_flow(void)
{
	struct flow_record r = flow_of(17, "10.1.1.1", 5353, "224.0.0.251", 5353);

	r.tuple.tunnel_type = TUNNEL_VXLAN;
	r.tunnel_id = 4711;
	r.tunnel_has_id = 1;
	r.tunnel_depth = 1;
	r.tunnel_version = 6;
	r.tunnel_proto = 17;
	r.tunnel_src_port = 61000;
	r.tunnel_dst_port = 4789;
	inet_pton(AF_INET6, "fd00::1", r.tunnel_src);
	inet_pton(AF_INET6, "fd00::2", r.tunnel_dst);
	r.direction_guessed = 1;
	r.truncated = 1;
	r.dropped_nearby = 1;
	r.splt_count = 1;
	r.splt[0].size = 32;
	return r;
}

static struct flow_record icmp_flow(
	uint8_t proto, const char *src, const char *dst, uint8_t type, uint8_t code, int reply)
{
	struct flow_record r = flow_of(proto, src, type, dst, reply >= 0 ? (uint16_t)reply : code);

	r.has_icmp = 1;
	r.icmp_type = type;
	r.icmp_code = code;
	if (reply >= 0) {
		r.has_icmp_reply = r.replied = 1;
		r.icmp_reply_type = (uint8_t)reply;
		r.direction[1] = r.direction[0];
	}
	return r;
}

static struct flow_record ipip_inner(void)
{
	struct flow_record r = flow_of(47, "172.16.0.1", 0, "172.16.0.2", 0);

	r.tuple.tunnel_type = TUNNEL_IPIP;
	r.tunnel_depth = 2;
	r.tunnel_version = 4;
	r.tunnel_proto = 4;
	inet_pton(AF_INET, "198.51.100.1", r.tunnel_src);
	inet_pton(AF_INET, "198.51.100.2", r.tunnel_dst);
	return r;
}

// The largest and the strangest of everything.
static struct flow_record extreme_flow(void)
{
	struct flow_record r;

	memset(&r, 0xff, sizeof(r)); // doubles are NaN, integers at their end, enums out of range
	memset(&r.tuple.src, 0xee, 32);
	r.tuple.version = 6;
	r.tuple.proto = 6;
	r.capture = ODD;
	return r;
}

static void line_ends(FILE *to)
{
	cJSON *parsed = cJSON_Parse(json_text(&j));

	if (parsed == NULL)
		fail_msg("not JSON: %s", json_text(&j));
	cJSON_Delete(parsed);
	fwrite(j.text, 1, j.size, to);
	fputc('\n', to);
	json_reset(&j);
}

static void put_flow_line(FILE *to, struct flow_record r)
{
	eve_flow(&j, &r);
	line_ends(to);
}

static void write_flows(FILE *to)
{
	struct flow_record r;

	put_flow_line(to, full_flow());
	put_flow_line(to, tunnelled_flow());
	put_flow_line(to, ipip_inner());
	put_flow_line(to, icmp_flow(1, "10.0.0.1", "10.0.0.2", 8, 0, 0));
	put_flow_line(to, icmp_flow(58, "fe80::1", "ff02::1", 3, 1, -1));
	put_flow_line(to, flow_of(132, "2001:db8::1", 36412, "2001:db8::2", 36412));
	put_flow_line(to, flow_of(253, "0.0.0.0", 0, "255.255.255.255", 0));
	put_flow_line(to, flow_of(50, "10.0.0.1", 0, "10.0.0.2", 0));
	put_flow_line(to, extreme_flow());
	for (int end = FLOW_END_NONE; end <= FLOW_END_EVICTED; end++) {
		r = flow_of(6, "10.0.0.1", 1024, "10.0.0.2", 80);
		r.end = (uint8_t)end;
		r.tcp_state = (uint8_t)(end + 1);
		r.midstream = end & 1;
		r.part_no = (uint32_t)end + 1;
		put_flow_line(to, r);
	}
	r.tcp_state = FLOW_TCP_CLOSED;
	put_flow_line(to, r);
	r.tcp_state = FLOW_TCP_NONE;
	r.flow_id = (UINT64_C(1) << 53) - 1;
	put_flow_line(to, r);
	memset(&r, 0, sizeof(r)); // as an empty struct
	put_flow_line(to, r);
}

static void write_packets(FILE *to)
{
	struct anomaly_record a = {.ts_ns = T0,
		.pcap_cnt = 17,
		.flow_id = 99,
		.capture = LIVE,
		.event = EVENT_tcp_syn_fin,
		.has_tuple = 1,
		.wirelen = 60,
		.repeated = 3};
	struct arp_record arp = {.ts_ns = T0,
		.pcap_cnt = 18,
		.capture = LIVE,
		.hw_type = 1,
		.proto_type = 0x0800,
		.opcode = 1,
		.src_mac = {0, 1, 2, 0xab, 0xcd, 0xef},
		.dest_mac = {255, 255, 255, 255, 255, 255},
		.src_ip = {10, 0, 0, 1},
		.dest_ip = {10, 0, 0, 2},
		.vlan_count = 1,
		.vlan = {7}};

	a.tuple = tuple_of(6, "10.0.0.1", 1024, "2.2.2.2", 80);
	a.tuple.vlan_count = 1;
	a.tuple.vlan[0] = 12;
	eve_anomaly(&j, &a);
	line_ends(to);
	a.event = EVENT_tcp_overlap_differing;
	eve_anomaly(&j, &a);
	line_ends(to);
	memset(&a.tuple, 0, sizeof(a.tuple));
	a.flow_id = a.has_tuple = 0;
	a.event = EVENT_eth_short;
	a.capture = PCAP;
	eve_anomaly(&j, &a);
	line_ends(to);
	a.event = 255;
	eve_anomaly(&j, &a);
	line_ends(to);
	eve_arp(&j, &arp);
	line_ends(to);
	arp.opcode = 2;
	arp.capture = PCAP;
	arp.vlan_count = 0;
	eve_arp(&j, &arp);
	line_ends(to);
	arp.opcode = 0xffff;
	arp.hw_type = 6;
	arp.proto_type = 0x86dd;
	arp.capture = ODD;
	eve_arp(&j, &arp);
	line_ends(to);
}

static char *read_all(const char *path, size_t *ret_size)
{
	FILE *f = fopen(path, "r");
	char *text = calloc(1, 1 << 20);

	if (f == NULL)
		fail_msg("cannot open %s", path);
	*ret_size = fread(text, 1, (1 << 20) - 1, f);
	fclose(f);
	return text;
}

static void records_equal_the_golden_lines(void **state)
{
	const char *path = GOLDEN "/records.jsonl", *mode = getenv("PKTAI_GOLDEN");
	size_t size, golden_size;
	char *text, *golden, *a, *b, *save_a, *save_b;
	FILE *to = open_memstream(&text, &size);

	(void)state;
	json_init(&j);
	set_captures();
	write_flows(to);
	write_packets(to);
	fclose(to);
	json_fini(&j);
	if (mode != NULL && strcmp(mode, "write") == 0) {
		to = fopen(path, "w");
		assert_non_null(to);
		fwrite(text, 1, size, to);
		fclose(to);
	}
	golden = read_all(path, &golden_size);
	assert_memory_equal(text + size, "", 1);
	for (a = strtok_r(text, "\n", &save_a), b = strtok_r(golden, "\n", &save_b);
		a != NULL && b != NULL;
		a = strtok_r(NULL, "\n", &save_a), b = strtok_r(NULL, "\n", &save_b))
		assert_string_equal(a, b);
	assert_true(a == NULL && b == NULL);
	assert_int_equal(size, golden_size);
	free(text);
	free(golden);
}

// Records are members of arrays in RPC results.
static void records_go_into_arrays(void **state)
{
	struct flow_record r = full_flow();
	struct arp_record arp = {.capture = PCAP};
	cJSON *parsed;

	(void)state;
	json_init(&j);
	json_object(&j, NULL);
	json_array(&j, "flows");
	eve_flow(&j, &r);
	eve_flow(&j, &r);
	eve_arp(&j, &arp);
	json_array_end(&j);
	json_null(&j, "cursor");
	json_object_end(&j);
	parsed = cJSON_Parse(json_text(&j));
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(parsed, "flows")), 3);
	cJSON_Delete(parsed);
	json_fini(&j);
}

static void captures_are_remembered(void **state)
{
	struct export_capture c;

	(void)state;
	set_captures();
	export_capture_get(LIVE, &c);
	assert_string_equal(c.name, "uplink");
	assert_string_equal(c.interface, "eth0");
	export_capture_set(FLOW_CAPTURES_MAX, &c); // out of range: nothing happens
	export_capture_get(FLOW_CAPTURES_MAX, &c);
	assert_string_equal(c.name, "");
}

static void names_are_those_of_eve(void **state)
{
	char number[4];

	(void)state;
	assert_string_equal(ip_proto_name(6, number), "TCP");
	assert_string_equal(ip_proto_name(58, number), "IPv6-ICMP");
	assert_string_equal(ip_proto_name(46, number), "46");
	assert_string_equal(ip_proto_name(255, number), "255");
	assert_string_equal(flow_end_name(FLOW_END_EVICTED), "evicted");
	assert_string_equal(flow_tcp_state_name(FLOW_TCP_FIN_WAIT2), "fin_wait2");
	assert_string_equal(tunnel_type_name(TUNNEL_VXLAN_GPE), "vxlan-gpe");
	for (int t = TUNNEL_IPIP; t < TUNNEL_TYPES; t++)
		assert_string_not_equal(tunnel_type_name((enum tunnel_type)t), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_equal_the_golden_lines),
		cmocka_unit_test(records_go_into_arrays),
		cmocka_unit_test(captures_are_remembered),
		cmocka_unit_test(names_are_those_of_eve),
	};

	return cmocka_run_group_tests_name("eve", tests, NULL, NULL);
}
