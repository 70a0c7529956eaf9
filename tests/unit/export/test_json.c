// SPDX-License-Identifier: Apache-2.0
// The JSON writer: structure, strings and UTF-8, numbers to the edges, addresses and times. Results
// are held against fixed text, or against cJSON, inet_ntop and clock_text.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "clock.h"
#include "put.h"

static struct json j;

static int begin(void **state)
{
	(void)state;
	json_init(&j);
	return 0;
}

static int end(void **state)
{
	(void)state;
	json_fini(&j);
	return 0;
}

static void objects_and_arrays_nest(void **state)
{
	(void)state;
	json_object(&j, NULL);
	json_object(&j, "empty");
	json_object_end(&j);
	json_array(&j, "list");
	json_uint(&j, NULL, 1);
	json_array(&j, NULL);
	json_array_end(&j);
	json_object(&j, NULL);
	json_bool(&j, "yes", true);
	json_bool(&j, "no", false);
	json_null(&j, "null");
	json_object_end(&j);
	json_array_end(&j);
	json_raw(&j, "raw", "{\"a\":1}", 7);
	json_int(&j, "last", -1);
	json_object_end(&j);
	assert_string_equal(json_text(&j),
		"{\"empty\":{},\"list\":[1,[],{\"yes\":true,\"no\":false,"
		"\"null\":null}],\"raw\":{\"a\":1},\"last\":-1}");
	json_reset(&j);
	assert_string_equal(json_text(&j), "");
	json_string(&j, NULL, "again");
	assert_string_equal(json_text(&j), "\"again\"");
}

static void assert_written_as(const char *bytes, size_t size, const char *expected)
{
	json_reset(&j);
	json_string_n(&j, NULL, bytes, size);
	assert_string_equal(json_text(&j), expected);
}

#define BAD "\xef\xbf\xbd"

static void strings_are_escaped(void **state)
{
	(void)state;
	assert_written_as("", 0, "\"\"");
	assert_written_as("a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"");
	assert_written_as("\b\t\n\f\r\x01\x1f\x7f", 8, "\"\\b\\t\\n\\f\\r\\u0001\\u001f\x7f\"");
	assert_written_as("a\0b", 3, "\"a\\u0000b\"");
	assert_written_as(
		"eight888 long enough for two \"", 30, "\"eight888 long enough for two \\\"\"");
	assert_written_as("1234567\x1f"
			  "12345678",
		16, "\"1234567\\u001f12345678\"");
	// well-formed UTF-8 of each length, to its edges
	assert_written_as("\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", 16,
		"\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\"");
	assert_written_as(
		"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8, "\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"");
}

static void invalid_utf8_is_replaced(void **state)
{
	(void)state;
	assert_written_as("\x80", 1, "\"" BAD "\"");
	assert_written_as("\xc0\xaf", 2, "\"" BAD BAD "\"");         // overlong
	assert_written_as("\xe0\x80\xaf", 3, "\"" BAD BAD BAD "\""); // overlong
	assert_written_as("\xed\xa0\x80", 3, "\"" BAD BAD BAD "\""); // surrogate
	assert_written_as("\xf4\x90\x80\x80", 4, "\"" BAD BAD BAD BAD "\"");
	assert_written_as("\xf8\xff", 2, "\"" BAD BAD "\"");
	assert_written_as(
		"\xe2\x82", 2, "\"" BAD "\""); // cut: one for what could have begun a character
	assert_written_as("\xf0\x9f\x98z", 4, "\"" BAD "z\"");
	assert_written_as("\xe2\x82\xc2\xa9", 4, "\"" BAD "\xc2\xa9\"");
	// nothing is read beyond the end
	assert_written_as("\xf0\x9f\x98\x80", 3, "\"" BAD "\"");
}

static void keys_are_escaped(void **state)
{
	(void)state;
	json_object(&j, NULL);
	json_uint(&j, "a\"\n", 1);
	json_object_end(&j);
	assert_string_equal(json_text(&j), "{\"a\\\"\\n\":1}");
}

static void assert_uint(uint64_t value, const char *expected)
{
	json_reset(&j);
	json_uint(&j, NULL, value);
	assert_string_equal(json_text(&j), expected);
}

static void integers_are_exact_and_bounded(void **state)
{
	char text[32];

	(void)state;
	for (uint64_t v = 1; v < UINT64_C(9007199254740992) / 3; v = v * 3 + 1) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
		assert_uint(v, text);
	}
	for (uint64_t p = 1; p <= UINT64_C(1000000000000000); p *= 10) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)p);
		assert_uint(p, text);
		snprintf(text, sizeof(text), "%llu", (unsigned long long)p - 1);
		assert_uint(p - 1, text);
	}
	assert_uint(UINT32_MAX, "4294967295");
	assert_uint(UINT64_C(4294967296), "4294967296");
	assert_uint(UINT64_C(9007199254740991), "9007199254740991");
	assert_uint(UINT64_C(9007199254740992), "9007199254740992");
	assert_uint(UINT64_C(9007199254740993), "9007199254740992");
	assert_uint(UINT64_MAX, "9007199254740992");
	json_reset(&j);
	json_array(&j, NULL);
	json_int(&j, NULL, -42);
	json_int(&j, NULL, 0);
	json_int(&j, NULL, INT64_MIN);
	json_int(&j, NULL, INT64_MAX);
	json_array_end(&j);
	assert_string_equal(json_text(&j), "[-42,0,-9007199254740992,9007199254740992]");
}

static void assert_double_reads_back(double value)
{
	cJSON *parsed;

	json_reset(&j);
	json_double(&j, NULL, value);
	parsed = cJSON_Parse(json_text(&j));
	assert_non_null(parsed);
	if (!cJSON_IsNumber(parsed) || memcmp(&parsed->valuedouble, &value, sizeof(value)) != 0)
		fail_msg("%.17g was written as %s", value, json_text(&j));
	cJSON_Delete(parsed);
}

static void doubles_read_back(void **state)
{
	static const double values[] = {0, 1, -1, 0.1, 1.0 / 3, 1e15, 1e15 + 2, 1e16, -1e300,
		DBL_MAX, DBL_MIN, DBL_TRUE_MIN, -DBL_EPSILON, 123456.789, 9007199254740993.0, 1e-7,
		5e-324};
	uint64_t x = 1, bits;
	double d;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_double_reads_back(values[i]);
	for (unsigned i = 0; i < 20000; i++) {
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
		bits = x ^ x >> 29;
		memcpy(&d, &bits, sizeof(d));
		if (isfinite(d) && d != 0)
			assert_double_reads_back(d);
	}
	json_reset(&j);
	json_array(&j, NULL);
	json_double(&j, NULL, NAN);
	json_double(&j, NULL, INFINITY);
	json_double(&j, NULL, -INFINITY);
	json_double(&j, NULL, -0.0);
	json_double(&j, NULL, 0.5);
	json_double(&j, NULL, 1e21);
	json_array_end(&j);
	assert_string_equal(json_text(&j), "[0,0,0,0,0.5,1e+21]");
}

static void assert_fixed(double value, unsigned decimals, const char *expected)
{
	json_reset(&j);
	json_fixed(&j, NULL, value, decimals);
	assert_string_equal(json_text(&j), expected);
}

static void fixed_decimals_round_and_trim(void **state)
{
	(void)state;
	assert_fixed(0, 3, "0");
	assert_fixed(1.5, 3, "1.5");
	assert_fixed(1.0005, 3, "1.001");
	assert_fixed(1.0004, 3, "1");
	assert_fixed(-0.0004, 3, "0");
	assert_fixed(-1.25, 1, "-1.3");
	assert_fixed(0.05, 2, "0.05");
	assert_fixed(1234.5678, 6, "1234.5678");
	assert_fixed(2.5, 0, "3");
	assert_fixed(0.999999, 3, "1");
	assert_fixed(1e13 + 0.5, 3, "10000000000001");
	assert_fixed(8.5e12, 6, "8500000000000");
	assert_fixed(1e300, 3, "9007199254740992");
	assert_fixed(-1e300, 3, "-9007199254740992");
	assert_fixed(NAN, 3, "0");
	assert_fixed(-INFINITY, 3, "0");
}

static void addresses_are_those_of_inet_ntop(void **state)
{
	static const char *const some[] = {"::", "::1", "1::", "::ffff:1.2.3.4", "::1.2.3.4",
		"::1:0:0", "1:0:0:2::", "1:0:2:0:3:0:4:0", "fe80::1:0:0:1", "::ffff:0:0",
		"2001:db8::", "0:1::", "1:2:3:4:5:6:7:0", "0:0:1::", "::fffe:1.2.3.4",
		"::1:1.2.3.4", "64:ff9b::1.2.3.4"};
	char text[64], expected[INET6_ADDRSTRLEN];
	uint8_t ip[16];
	uint64_t x = 7;

	(void)state;
	for (unsigned n = 0; n < 200000; n++) {
		for (unsigned i = 0; i < 16; i++) {
			x = x * UINT64_C(6364136223846793005) + 1442695040888963407;
			ip[i] = (x >> 60) < 9 ? 0 : (x >> 60) == 9 ? 0xff : (uint8_t)(x >> 40);
		}
		if (n < sizeof(some) / sizeof(some[0]))
			assert_int_equal(inet_pton(AF_INET6, some[n], ip), 1);
		inet_ntop(AF_INET6, ip, expected, sizeof(expected));
		*put_ip(text, 6, ip) = '\0';
		assert_true(strlen(text) <= PUT_IP_SIZE);
		assert_string_equal(text, expected);
		inet_ntop(AF_INET, ip, expected, sizeof(expected));
		*put_ip(text, 4, ip) = '\0';
		assert_string_equal(text, expected);
	}
}

static void times_are_those_of_clock_text(void **state)
{
	static const uint64_t steps[] = {1, 999, NSEC_PER_S, 59 * NSEC_PER_S, 61 * NSEC_PER_S,
		86400 * NSEC_PER_S, UINT64_C(40000000000000000)};
	char text[64], expected[CLOCK_TEXT_SIZE];
	uint64_t t = 0;

	(void)state;
	for (unsigned n = 0; n < 200000; n++) {
		clock_text(t, expected);
		*put_time(text, t) = '\0';
		assert_string_equal(text, expected);
		assert_int_equal(strlen(text), PUT_TIME_SIZE);
		t += steps[(n * 2654435761u >> 16) % (sizeof(steps) / sizeof(steps[0]))] * (n % 7);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(objects_and_arrays_nest, begin, end),
		cmocka_unit_test_setup_teardown(strings_are_escaped, begin, end),
		cmocka_unit_test_setup_teardown(invalid_utf8_is_replaced, begin, end),
		cmocka_unit_test_setup_teardown(keys_are_escaped, begin, end),
		cmocka_unit_test_setup_teardown(integers_are_exact_and_bounded, begin, end),
		cmocka_unit_test_setup_teardown(doubles_read_back, begin, end),
		cmocka_unit_test_setup_teardown(fixed_decimals_round_and_trim, begin, end),
		cmocka_unit_test(addresses_are_those_of_inet_ntop),
		cmocka_unit_test(times_are_those_of_clock_text),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
