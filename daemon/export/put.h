// SPDX-License-Identifier: Apache-2.0
// The innermost part of writing JSON: digits, times and addresses put at a pointer that has room.
// Each function returns where it stopped. Room is the caller's duty: json_grow() for the most that a
// record can take, once, instead of a check a field; that is what makes a record cost well under a
// microsecond. Inside export/ only.
#pragma once

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "export.h"

// The largest number that every JSON reader takes exactly.
#define PUT_NUMBER_MAX (UINT64_C(1) << 53)

enum {
	PUT_NUMBER_SIZE = 24, // the most that a number takes
	PUT_TIME_SIZE = 34,   // a time without its quotes
	PUT_IP_SIZE = 45,     // an address without its quotes
};

// Makes room for n more bytes and returns where they go, or NULL (failed is set). json_grown() says
// how far they reached.
char *json_grow(struct json *, size_t n);

static inline void json_grown(struct json *j, const char *end)
{
	j->size = (size_t)(end - j->text);
}

static inline char *put_bytes(char *p, const void *bytes, size_t n)
{
	memcpy(p, bytes, n);
	return p + n;
}

#define PUT(p, literal) put_bytes(p, literal, sizeof(literal) - 1)

extern const char put_pairs[201]; // 00 to 99

static inline char *put_2(char *p, unsigned v)
{
	return put_bytes(p, &put_pairs[2 * v], 2);
}

static inline char *put_4(char *p, unsigned v)
{
	p = put_2(p, v / 100);
	return put_2(p, v % 100);
}

static inline char *put_8(char *p, uint32_t v)
{
	p = put_4(p, v / 10000);
	return put_4(p, v % 10000);
}

// Below 10,000.
static inline char *put_small(char *p, unsigned v)
{
	if (v >= 100) {
		if (v >= 1000)
			return put_4(p, v);
		*p++ = (char)('0' + v / 100);
		return put_2(p, v % 100);
	}
	if (v >= 10)
		return put_2(p, v);
	*p++ = (char)('0' + v);
	return p;
}

static inline char *put_u32(char *p, uint32_t v)
{
	if (v < 10000)
		return put_small(p, v);
	if (v < 100000000) {
		p = put_small(p, v / 10000);
		return put_4(p, v % 10000);
	}
	p = put_small(p, v / 100000000);
	return put_8(p, v % 100000000);
}

char *put_large(char *p, uint64_t v); // from 2^32 up, bounded to PUT_NUMBER_MAX

static inline char *put_u64(char *p, uint64_t v)
{
	return v <= UINT32_MAX ? put_u32(p, (uint32_t)v) : put_large(p, v);
}

// An object of some durations' least, mean, most and number, which is not 0.
static inline char *put_spread(
	char *p, uint64_t min_ns, uint64_t sum_ns, uint64_t max_ns, uint32_t samples)
{
	p = PUT(p, "{\"min_ns\":");
	p = put_u64(p, min_ns);
	p = PUT(p, ",\"mean_ns\":");
	p = put_u64(p, sum_ns / samples);
	p = PUT(p, ",\"max_ns\":");
	p = put_u64(p, max_ns);
	p = PUT(p, ",\"samples\":");
	p = put_u32(p, samples);
	*p++ = '}';
	return p;
}

char *put_odd(char *p, double v); // not finite, or from 9e12 up

// A double with at most so many decimals (0 to 6, a constant), trailing zeros left out. What is not
// finite is written as 0, what lies beyond 2^53 as 2^53; from 9e12 up there are no decimals.
static inline __attribute__((always_inline)) char *put_fixed(char *p, double v, unsigned decimals)
{
	static const uint32_t scales[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
	const uint32_t scale = scales[decimals];
	uint64_t scaled;
	uint32_t rest;

	if (!(v > -9e12 && v < 9e12))
		return put_odd(p, v);
	scaled = (uint64_t)(fabs(v) * scale + 0.5);
	if (v < 0 && scaled != 0)
		*p++ = '-';
	if (decimals == 0)
		return put_u64(p, scaled);
	p = put_u64(p, scaled / scale);
	rest = (uint32_t)(scaled % scale);
	if (rest == 0)
		return p;
	*p++ = '.';
	for (uint32_t s = scale / 10; rest != 0; s /= 10) {
		*p++ = (char)('0' + rest / s);
		rest %= s;
	}
	return p;
}

static inline char *put_text(char *p, const char *text) // needs no escapes
{
	return put_bytes(p, text, strlen(text));
}

// Two hexadecimal digits.
static inline char *put_hex(char *p, uint8_t v)
{
	static const char digits[] = "0123456789abcdef";

	*p++ = digits[v >> 4];
	*p++ = digits[v & 15];
	return p;
}

// EVE's form with nine digits, as clock_text.
char *put_time(char *p, uint64_t ns);

// An address as inet_ntop writes it.
char *put_ip(char *p, uint8_t version, const uint8_t *ip); // 4 or 16 bytes

// A string in quotes, escaped; takes at most 6 n + 2 bytes.
char *put_string(char *p, const void *text, size_t n);
