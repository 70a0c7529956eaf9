// SPDX-License-Identifier: Apache-2.0
// Wall clock, and timestamps as text (UTC, nine digits).
#include "clock.h"

#include <time.h>

static uint64_t clock_read(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * NSEC_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_wall_ns(void)
{
	return clock_read(CLOCK_REALTIME);
}

uint64_t clock_monotonic_ns(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

static void put_digits(char *to, unsigned width, uint64_t value)
{
	while (width > 0) {
		to[--width] = (char)('0' + value % 10);
		value /= 10;
	}
}

// Days since 1970-01-01 to a civil date (proleptic Gregorian; H. Hinnant, "chrono-compatible
// low-level date algorithms").
static void civil_from_days(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
	uint64_t z = days + 719468;
	uint64_t era = z / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = (unsigned)(yoe + era * 400) + (*month <= 2);
}

void clock_text(uint64_t ns, char text[CLOCK_TEXT_SIZE])
{
	static const char form[] = "0000-00-00T00:00:00.000000000+0000";
	uint64_t s = ns / NSEC_PER_S;
	unsigned year, month, day, in_day = (unsigned)(s % 86400);

	for (unsigned i = 0; i < sizeof(form); i++)
		text[i] = form[i];
	civil_from_days(s / 86400, &year, &month, &day);
	put_digits(text, 4, year);
	put_digits(text + 5, 2, month);
	put_digits(text + 8, 2, day);
	put_digits(text + 11, 2, in_day / 3600);
	put_digits(text + 14, 2, in_day / 60 % 60);
	put_digits(text + 17, 2, in_day % 60);
	put_digits(text + 20, 9, ns % NSEC_PER_S);
}
