// SPDX-License-Identifier: Apache-2.0
// Digits, times, addresses and strings as text. Thread: any; times keep the last minutes' text a
// thread, since most of a time's digits are those of the record before it.
#include "put.h"

#include <stdbool.h>

#include "clock.h"

#define PAIR_ROW(t) t "0" t "1" t "2" t "3" t "4" t "5" t "6" t "7" t "8" t "9"
const char put_pairs[201] = PAIR_ROW("0") PAIR_ROW("1") PAIR_ROW("2") PAIR_ROW("3") PAIR_ROW("4")
	PAIR_ROW("5") PAIR_ROW("6") PAIR_ROW("7") PAIR_ROW("8") PAIR_ROW("9");

char *put_large(char *p, uint64_t v)
{
	if (v > PUT_NUMBER_MAX)
		v = PUT_NUMBER_MAX;
	p = put_u32(p, (uint32_t)(v / 100000000));
	return put_8(p, (uint32_t)(v % 100000000));
}

char *put_odd(char *p, double v)
{
	if (!isfinite(v))
		v = 0;
	if (v < 0)
		*p++ = '-';
	return put_u64(p, (uint64_t)(fmin(fabs(v), 0x1p53) + 0.5));
}

char *put_time(char *p, uint64_t ns)
{
	enum { MINUTES = 4, PREFIX = 17 }; // PREFIX: 2026-11-23T06:02:
	static _Thread_local struct {
		uint64_t minute; // and 1 more: 0 is an unused entry
		char text[PREFIX];
	} known[MINUTES];
	uint64_t minute = ns / (60 * NSEC_PER_S);
	uint64_t rest = ns - minute * 60 * NSEC_PER_S;
	unsigned seconds = (unsigned)(rest / NSEC_PER_S);
	unsigned nanos = (unsigned)(rest % NSEC_PER_S);
	unsigned i = minute % MINUTES;

	if (known[i].minute != minute + 1) {
		char text[CLOCK_TEXT_SIZE];

		clock_text(ns, text);
		memcpy(known[i].text, text, PREFIX);
		known[i].minute = minute + 1;
	}
	p = put_bytes(p, known[i].text, PREFIX);
	p = put_2(p, seconds);
	*p++ = '.';
	*p++ = (char)('0' + nanos / 100000000);
	p = put_8(p, nanos % 100000000);
	return PUT(p, "+0000");
}

static char *put_ip4(char *p, const uint8_t *ip)
{
	for (unsigned i = 0; i < 4; i++) {
		p = put_small(p, ip[i]);
		*p++ = '.';
	}
	return p - 1;
}

static char *put_group(char *p, uint16_t v)
{
	static const char digits[] = "0123456789abcdef";

	if (v >= 0x1000)
		*p++ = digits[v >> 12];
	if (v >= 0x100)
		*p++ = digits[v >> 8 & 15];
	if (v >= 0x10)
		*p++ = digits[v >> 4 & 15];
	*p++ = digits[v & 15];
	return p;
}

// The first longest run of two or more zero groups becomes "::" (RFC 5952); addresses that carry an
// IPv4 address (::a.b.c.d and ::ffff:a.b.c.d) show it, as inet_ntop does.
static char *put_ip6(char *p, const uint8_t *ip)
{
	uint16_t group[8];
	unsigned best = 8, best_len = 1, run = 0, groups = 8;

	for (unsigned i = 0; i < 8; i++) {
		group[i] = (uint16_t)(ip[2 * i] << 8 | ip[2 * i + 1]);
		run = group[i] == 0 ? run + 1 : 0;
		if (run > best_len) {
			best_len = run;
			best = i + 1 - run;
		}
	}
	if (best == 0 && (best_len == 6 || (best_len == 5 && group[5] == 0xffff)))
		groups = 6;
	for (unsigned i = 0; i < groups; i++) {
		if (i == best) {
			p = PUT(p, "::");
			i += best_len - 1;
			continue;
		}
		if (i != 0 && i != best + best_len)
			*p++ = ':';
		p = put_group(p, group[i]);
	}
	if (groups == 6) {
		if (best_len == 5)
			*p++ = ':';
		p = put_ip4(p, ip + 12);
	}
	return p;
}

char *put_ip(char *p, uint8_t version, const uint8_t *ip)
{
	return version == 6 ? put_ip6(p, ip) : put_ip4(p, ip);
}

// Length of the well-formed UTF-8 sequence at s (Unicode, table 3-7), or 0; ret_bad then says how
// many bytes one U+FFFD stands for: the longest part that could have begun a character.
static size_t utf8_length(const uint8_t *s, const uint8_t *end, size_t *ret_bad)
{
	size_t need = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint8_t low = 0x80, high = 0xbf;

	*ret_bad = 1;
	if (s[0] < 0xc2 || s[0] > 0xf4)
		return 0;
	if (s[0] == 0xe0)
		low = 0xa0;
	else if (s[0] == 0xed)
		high = 0x9f; // surrogates
	else if (s[0] == 0xf0)
		low = 0x90;
	else if (s[0] == 0xf4)
		high = 0x8f; // above U+10FFFF
	for (size_t i = 1; i < need; i++) {
		if (s + i == end || s[i] < low || s[i] > high)
			return 0;
		low = 0x80;
		high = 0xbf;
		*ret_bad = i + 1;
	}
	return need;
}

static char *put_escape(char *p, uint8_t c)
{
	static const char names[32] = {
		['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

	*p++ = '\\';
	if (c >= 32) {
		*p++ = (char)c;
	} else if (names[c] != 0) {
		*p++ = names[c];
	} else {
		p = PUT(p, "u00");
		p = put_hex(p, c);
	}
	return p;
}

// True where none of eight bytes needs a look: all ASCII, no control character, no quote or backslash.
static inline bool eight_are_plain(uint64_t v)
{
	const uint64_t ones = UINT64_C(0x0101010101010101);
	uint64_t quote = v ^ ones * '"', backslash = v ^ ones * '\\';

	return (((v - ones * 0x20) | (quote - ones) | (backslash - ones) | v) & ones * 0x80) == 0;
}

char *put_string(char *p, const void *text, size_t n)
{
	const uint8_t *s = text, *end = s + n;
	uint64_t eight;
	size_t length, bad;

	*p++ = '"';
	while (s < end) {
		if (end - s >= 8) {
			memcpy(&eight, s, 8);
			if (eight_are_plain(eight)) {
				p = put_bytes(p, s, 8);
				s += 8;
				continue;
			}
		}
		if (*s < 0x80) {
			if (*s < 0x20 || *s == '"' || *s == '\\')
				p = put_escape(p, *s++);
			else
				*p++ = (char)*s++;
			continue;
		}
		length = utf8_length(s, end, &bad);
		p = length != 0 ? put_bytes(p, s, length) : PUT(p, "\xef\xbf\xbd");
		s += length != 0 ? length : bad;
	}
	*p++ = '"';
	return p;
}
