// SPDX-License-Identifier: Apache-2.0
// The JSON writer fed with arbitrary strings and numbers: what it writes is always JSON that cJSON
// reads, and reads back as what was written (strings: well-formed UTF-8, else U+FFFD).
//
// Input: records of a byte that says what to write, then its bytes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "cursor.h"
#include "export.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim)                                                                               \
	do {                                                                                       \
		if (!(claim)) {                                                                    \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim);                \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

enum { VALUES_MAX = 64 };

struct value {
	enum { STRING, UINT, INT, DOUBLE, FIXED, NEST, KINDS } kind;
	const uint8_t *bytes;
	size_t size;
	uint64_t bits;
};

static unsigned split(const uint8_t *data, size_t size, struct value *ret)
{
	struct cursor c = cursor_of(data, size);
	unsigned n = 0;
	uint8_t kind, length;

	while (n < VALUES_MAX && cursor_u8(&c, &kind)) {
		struct value *v = &ret[n];

		v->kind = kind % KINDS;
		v->size = v->bits = 0;
		if (v->kind == STRING) {
			length = kind >> 3;
			v->size = cursor_left(&c) < length ? cursor_left(&c) : length;
			v->bytes = cursor_take(&c, v->size);
		} else if (v->kind != NEST) {
			const uint8_t *p = cursor_take(&c, 8);

			if (p == NULL)
				break;
			v->bits = load_be64(p);
		}
		n++;
	}
	return n;
}

static double double_of(const struct value *v)
{
	double d;

	memcpy(&d, &v->bits, sizeof(d));
	return d;
}

static void write_value(struct json *j, const struct value *v)
{
	switch (v->kind) {
	case STRING:
		json_string_n(j, NULL, v->bytes, v->size);
		break;
	case UINT:
		json_uint(j, NULL, v->bits);
		break;
	case INT:
		json_int(j, NULL, (int64_t)v->bits);
		break;
	case DOUBLE:
		json_double(j, NULL, double_of(v));
		break;
	case FIXED:
		json_fixed(j, NULL, double_of(v), v->bits & 3);
		break;
	case NEST:
	case KINDS:
		json_object(j, NULL);
		json_bool(j, "a", true);
		json_array(j, "b");
		json_null(j, NULL);
		json_array_end(j);
		json_object_end(j);
		break;
	}
}

static double bounded(double v)
{
	return fmax(fmin(v, 0x1p53), -0x1p53);
}

static void check_string(const char *got, const struct value *v)
{
	bool ascii = true;

	for (size_t i = 0; i < v->size; i++)
		ascii &= v->bytes[i] < 0x80 && v->bytes[i] != 0;
	if (ascii) // what is no ASCII may be replaced; cJSON ends strings at NUL
		CHECK(strlen(got) == v->size && memcmp(got, v->bytes, v->size) == 0);
	else
		CHECK(strlen(got) <= 3 * v->size);
}

static void check_value(const cJSON *got, const struct value *v)
{
	double d = double_of(v);
	static const double half[] = {0.5, 0.05, 0.005, 0.0005};

	switch (v->kind) {
	case STRING:
		CHECK(cJSON_IsString(got));
		check_string(got->valuestring, v);
		break;
	case UINT:
		CHECK(got->valuedouble == bounded((double)v->bits));
		break;
	case INT:
		CHECK(got->valuedouble == bounded((double)(int64_t)v->bits));
		break;
	case DOUBLE:
		CHECK(got->valuedouble == (isfinite(d) ? d : 0));
		break;
	case FIXED:
		d = isfinite(d) ? bounded(d) : 0;
		CHECK(fabs(got->valuedouble - d) <=
			(fabs(d) >= 9e12 ? 1 : half[v->bits & 3] * 1.001 + fabs(d) * 1e-15));
		break;
	case NEST:
	case KINDS:
		CHECK(cJSON_IsTrue(cJSON_GetObjectItem(got, "a")));
		CHECK(cJSON_GetArraySize(cJSON_GetObjectItem(got, "b")) == 1);
		break;
	}
}

// Bytes are UTF-8 as RFC 3629 has it, checked by the C library's eyes instead of the writer's.
static void check_utf8(const char *text, size_t size)
{
	const uint8_t *s = (const uint8_t *)text, *end = s + size;

	while (s < end) {
		unsigned n = *s < 0x80 ? 1 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : 4;
		uint32_t code = n == 1 ? *s : *s & (0x7fu >> n);

		CHECK(*s < 0x80 || *s >= 0xc0);
		CHECK((size_t)(end - s) >= n);
		for (unsigned i = 1; i < n; i++) {
			CHECK((s[i] & 0xc0) == 0x80);
			code = code << 6 | (s[i] & 0x3f);
		}
		CHECK(n == 1     ? code >= 0x20
			: n == 2 ? code >= 0x80
			: n == 3 ? code >= 0x800
				 : code >= 0x10000);
		CHECK(code <= 0x10ffff && (code < 0xd800 || code > 0xdfff));
		s += n;
	}
}

// The input as one struct: records from any bytes are JSON too.
static void check_records(const uint8_t *data, size_t size)
{
	union {
		struct flow_record flow;
		struct anomaly_record anomaly;
		struct arp_record arp;
	} r;
	struct json j;
	cJSON *parsed;

	memset(&r, 0, sizeof(r));
	memcpy(&r, data, size < sizeof(r) ? size : sizeof(r));
	json_init(&j);
	json_array(&j, NULL);
	eve_flow(&j, &r.flow);
	eve_anomaly(&j, &r.anomaly);
	eve_arp(&j, &r.arp);
	json_array_end(&j);
	parsed = cJSON_Parse(json_text(&j));
	CHECK(cJSON_GetArraySize(parsed) == 3);
	check_utf8(j.text, j.size);
	cJSON_Delete(parsed);
	json_fini(&j);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct value values[VALUES_MAX];
	unsigned n = split(data, size, values), i = 0;
	struct json j;
	cJSON *parsed;
	const cJSON *member;

	json_init(&j);
	json_array(&j, NULL);
	for (unsigned k = 0; k < n; k++)
		write_value(&j, &values[k]);
	json_array_end(&j);
	parsed = cJSON_Parse(json_text(&j));
	CHECK(parsed != NULL);
	CHECK(cJSON_GetArraySize(parsed) == (int)n);
	check_utf8(j.text, j.size);
	cJSON_ArrayForEach (member, parsed) {
		check_value(member, &values[i++]);
	}
	cJSON_Delete(parsed);
	json_fini(&j);
	check_records(data, size);
	return 0;
}
