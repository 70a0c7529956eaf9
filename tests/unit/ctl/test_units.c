// SPDX-License-Identifier: Apache-2.0
// Figures for people: prefixes change where three digits end, times read as clocks do.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>

#include "units.h"

static void figures(void **state)
{
	static const struct {
		const char *(*format)(double, char *);
		double n;
		const char *text;
	} rows[] = {
		{units_count, 1234567, "1234567"},
		{units_count, 9007199254740991.0, "9007199254740991"},
		{units_bytes, 0, "0 B"},
		{units_bytes, 999, "999 B"},
		{units_bytes, 999.5, "1.00 KB"},
		{units_bytes, 1000, "1.00 KB"},
		{units_bytes, 9994, "9.99 KB"},
		{units_bytes, 9996, "10.0 KB"},
		{units_bytes, 99949, "99.9 KB"},
		{units_bytes, 99960, "100 KB"},
		{units_bytes, 999499, "999 KB"},
		{units_bytes, 999500, "1.00 MB"},
		{units_bytes, 9e15, "9.00 PB"},
		{units_bytes, 9e18, "9000 PB"},
		{units_bits_rate, 0, "0 bps"},
		{units_bits_rate, 0.5, "0.5 bps"},
		{units_bits_rate, 12345678, "12.3 Mbps"},
		{units_pkts_rate, 4e6, "4.00 Mpps"},
		{units_seconds, 0, "0 s"},
		{units_seconds, 0.0000005, "500 ns"},
		{units_seconds, 0.0000123, "12.3 us"},
		{units_seconds, 0.0123, "12.3 ms"},
		{units_seconds, 0.9994, "999 ms"},
		{units_seconds, 0.9996, "1.00 s"},
		{units_seconds, 12.34, "12.3 s"},
		{units_seconds, 59.96, "1 m 00 s"},
		{units_seconds, 3599.6, "1 h 00 m"},
		{units_seconds, 7384, "2 h 03 m"},
		{units_seconds, 90000, "1 d 01 h"},
		{units_percent, 0, "0 %"},
		{units_percent, 0.29, "29 %"},
		{units_percent, 0.9999, "99 %"},
		{units_percent, 1, "100 %"},
		{units_clock, 12, "0:12"},
		{units_clock, 3723, "1:02:03"},
		{units_clock, -1, "0:00"},
	};
	char text[UNITS_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(rows[i].format(rows[i].n, text), rows[i].text);
}

static void times(void **state)
{
	static const char *const bad[] = {
		"", "x", "2026-11-23", "2026-11-23T06:02:19", "2026-11-23T06:02:19X"};
	double t;

	(void)state;
	assert_int_equal(time_parse("1970-01-02T00:00:01.500000000+0000", &t), 0);
	assert_true(fabs(t - 86401.5) < 1e-9);
	assert_int_equal(time_parse("1970-01-02T00:00:01Z", &t), 0);
	assert_true(fabs(t - 86401) < 1e-9);
	assert_int_equal(time_parse("1970-01-02T02:00:00+02:00", &t), 0);
	assert_true(fabs(t - 86400) < 1e-9);
	assert_int_equal(time_parse("1970-01-01T23:30:00-0030", &t), 0);
	assert_true(fabs(t - 86400) < 1e-9);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(time_parse(bad[i], &t), -EINVAL);
}

static void names(void **state)
{
	static const char *const rows[][2] = {
		{"{\"src_ip\":\"10.0.0.1\",\"src_port\":1,\"dest_ip\":\"10.0.0.2\",\"dest_port\":"
		 "2}",
			"10.0.0.1:1 -> 10.0.0.2:2"},
		{"{\"src_ip\":\"2001:db8::1\",\"src_port\":1,\"dest_ip\":\"::\",\"dest_port\":0}",
			"[2001:db8::1]:1 -> [::]:0"},
		{"{\"src_ip\":\"fe80::1\",\"dest_ip\":\"ff02::1\"}", "fe80::1 -> ff02::1"},
		{"{}", "? -> ?"},
		{"{\"src_ip\":1,\"src_port\":\"x\"}", "? -> ?"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cJSON *record = cJSON_Parse(rows[i][0]);
		char *name = flow_name(record);

		assert_string_equal(name, rows[i][1]);
		free(name);
		cJSON_Delete(record);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(figures),
		cmocka_unit_test(times),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
