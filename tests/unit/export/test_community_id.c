// SPDX-License-Identifier: Apache-2.0
// Community ID 1.0 against the baseline values of its specification (seed 0).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <string.h>

#include "export.h"

static const struct {
	uint8_t proto;
	const char *src, *dst;
	uint16_t src_port, dst_port;
	const char *id;
} baseline[] = {
	{6, "128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
	{6, "66.35.250.204", "128.232.110.120", 80, 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
	{17, "192.168.1.52", "8.8.8.8", 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
	{17, "8.8.8.8", "192.168.1.52", 53, 54585, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
	{132, "192.168.170.8", "192.168.170.56", 7, 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="},
	{132, "192.168.170.56", "192.168.170.8", 7, 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="},
	{46, "10.1.12.1", "10.1.12.2", 0, 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="},
	{46, "10.1.12.2", "10.1.12.1", 0, 0, "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw="},
	{6, "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a", 63943, 25,
		"1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
	{6, "2607:f8b0:400c:c03::1a", "2001:470:e5bf:dead:4957:2174:e82c:4887", 25, 63943,
		"1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
	{1, "192.168.0.89", "192.168.0.1", 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
	{1, "192.168.0.1", "192.168.0.89", 0, 8, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="},
	{1, "10.0.0.1", "10.0.0.2", 11, 0, "1:YHxtAirCG//0OzkcVAukqKQN9xM="},
	{58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 136,
		"1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
	{58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 136, 135,
		"1:dGHyGvjMfljg6Bppwm3bg0LO8TY="},
	{58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 135, 136,
		"1:zavyT/cezQr1fmImYCwYnMXbgck="},
	{58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 136, 135,
		"1:zavyT/cezQr1fmImYCwYnMXbgck="},
	{58, "3ffe:501:1800:2345::2", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0,
		"1:2ObVBgIn28oZvibYZhZMBgh7WdQ="},
	{58, "3ffe:501:410:0:2c0:dfff:fe47:33e", "3ffe:507:0:1:200:86ff:fe05:80da", 1, 4,
		"1:hLZd0XGWojozrvxqE0dWB1iM6R0="},
	{58, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2", 128, 129,
		"1:+TW+HtLHvV1xnGhV1lv7XoJrqQg="},
	{58, "3ffe:501:0:1001::2", "3ffe:507:0:1:200:86ff:fe05:80da", 129, 128,
		"1:+TW+HtLHvV1xnGhV1lv7XoJrqQg="},
	{58, "fe80::200:86ff:fe05:80da", "ff02::2", 133, 134, "1:hO+sN4H+MG5MY/8hIrXPqc4ZQz0="},
	{58, "fe80::260:97ff:fe07:69ea", "ff02::1", 134, 133, "1:pkvHqCL88/tg1k4cPigmZXUtL00="},
};

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

static void ids_are_those_of_the_specification(void **state)
{
	char id[40];

	(void)state;
	for (size_t i = 0; i < sizeof(baseline) / sizeof(baseline[0]); i++) {
		struct flow_tuple t = tuple_of(baseline[i].proto, baseline[i].src,
			baseline[i].src_port, baseline[i].dst, baseline[i].dst_port);

		community_id(&t, id);
		assert_string_equal(id, baseline[i].id);
	}
}

// Messages without an answer have a direction; the same host at both ends orders by port.
static void one_way_icmp_keeps_its_direction(void **state)
{
	struct flow_tuple a = tuple_of(1, "10.0.0.1", 3, "10.0.0.2", 1);
	struct flow_tuple b = tuple_of(1, "10.0.0.2", 3, "10.0.0.1", 1);
	struct flow_tuple c = tuple_of(6, "10.0.0.1", 3, "10.0.0.1", 1);
	struct flow_tuple d = tuple_of(6, "10.0.0.1", 1, "10.0.0.1", 3);
	char one[40], other[40];

	(void)state;
	community_id(&a, one);
	community_id(&b, other);
	assert_string_not_equal(one, other);
	community_id(&c, one);
	community_id(&d, other);
	assert_string_equal(one, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ids_are_those_of_the_specification),
		cmocka_unit_test(one_way_icmp_keeps_its_direction),
	};

	return cmocka_run_group_tests_name("community_id", tests, NULL, NULL);
}
