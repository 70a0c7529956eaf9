// SPDX-License-Identifier: Apache-2.0
// Figures as people read them: decimal units, three digits that count. And how to get at the members
// of a result. Pure functions but for the static part of endpoint names.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

enum { UNITS_MAX = 48 };

// Each writes into text (UNITS_MAX bytes) and returns it.
const char *units_count(double n, char *text);     // 1234567
const char *units_bytes(double n, char *text);     // 1.23 MB
const char *units_bits_rate(double n, char *text); // 1.23 Mbps
const char *units_pkts_rate(double n, char *text); // 1.23 Mpps
const char *units_seconds(double s, char *text);   // 12.3 ms, 4.56 s, 2 m 03 s, 1 h 02 m, 3 d 04 h
const char *units_percent(double share, char *text); // 0 to 1: 42 %
const char *units_clock(double s, char *text);       // 0:12, 1:02:03

// Members by name. Missing or of another type: 0, or other.
double member_number(const cJSON *object, const char *name);
const char *member_text(const cJSON *object, const char *name, const char *other);
const cJSON *member(const cJSON *object, const char *name);
double member_sum(const cJSON *object); // of all its numbers

// "2026-11-23T06:02:19.123456789+0000" (or Z, or +00:00) to seconds since 1970.
// Returns 0 or -EINVAL.
int time_parse(const char *text, double *ret);

// "192.168.0.104:40498 -> 13.89.179.8:443"; IPv6 in brackets where there is a port.
// On the heap; NULL without memory.
char *flow_name(const cJSON *record);
