// SPDX-License-Identifier: Apache-2.0
// Timestamps as text, and a capture's clock on packets that go back in time.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <time.h>

#include "clock.h"

static void text_agrees_with_libc(void **state)
{
	static const uint64_t seconds[] = {0, 1, 951782400, 951868799, 1709164800, 1795413739,
		4102444799, 4107542400, 18446744073};
	char text[CLOCK_TEXT_SIZE], want[64], part[32];

	(void)state;
	for (unsigned i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		time_t t = (time_t)seconds[i];
		struct tm tm;

		gmtime_r(&t, &tm);
		strftime(part, sizeof(part), "%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(want, sizeof(want), "%s.123456789+0000", part);
		if (seconds[i] < 18446744073)
			clock_text(seconds[i] * NSEC_PER_S + 123456789, text);
		else
			continue;
		assert_string_equal(text, want);
	}
}

static void clock_never_goes_back(void **state)
{
	struct capture_clock c = {0};

	(void)state;
	assert_int_equal(capture_clock_at(&c, 100 * NSEC_PER_S), 100 * NSEC_PER_S);
	assert_int_equal(capture_clock_at(&c, 99 * NSEC_PER_S), 100 * NSEC_PER_S);
	assert_int_equal(capture_clock_at(&c, 101 * NSEC_PER_S), 101 * NSEC_PER_S);
	assert_int_equal(c.backwards, 1);
}

static void clock_follows_a_jump_back(void **state)
{
	struct capture_clock c = {0};

	(void)state;
	capture_clock_at(&c, 10000 * NSEC_PER_S);
	for (unsigned i = 0; i < CLOCK_REBASE_PKTS; i++)
		assert_int_equal(capture_clock_at(&c, 100 * NSEC_PER_S), 10000 * NSEC_PER_S);
	assert_int_equal(c.rebased, 1);
	assert_int_equal(capture_clock_at(&c, 107 * NSEC_PER_S), 10007 * NSEC_PER_S);
}

static void one_old_packet_moves_nothing(void **state)
{
	struct capture_clock c = {0};

	(void)state;
	capture_clock_at(&c, 10000 * NSEC_PER_S);
	capture_clock_at(&c, 1);
	assert_int_equal(capture_clock_at(&c, 10001 * NSEC_PER_S), 10001 * NSEC_PER_S);
	assert_int_equal(c.rebased, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_agrees_with_libc),
		cmocka_unit_test(clock_never_goes_back),
		cmocka_unit_test(clock_follows_a_jump_back),
		cmocka_unit_test(one_old_packet_moves_nothing),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
