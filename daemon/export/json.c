// SPDX-License-Identifier: Apache-2.0
// The streaming JSON writer. It checks nothing of the nesting: objects and arrays are closed by who
// opened them. What it guarantees is that every value is valid JSON, whatever the bytes and numbers
// handed to it. Thread: that of the struct json.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "put.h"

void json_init(struct json *j)
{
	memset(j, 0, sizeof(*j));
}

void json_fini(struct json *j)
{
	free(j->text);
	memset(j, 0, sizeof(*j));
}

void json_reset(struct json *j)
{
	j->size = 0;
	j->failed = false;
	j->comma = false;
}

char *json_grow(struct json *j, size_t n)
{
	size_t capacity = j->capacity != 0 ? j->capacity : 1024;
	char *text;

	if (j->failed)
		return NULL;
	if (j->capacity - j->size >= n)
		return j->text + j->size;
	while (capacity - j->size < n) {
		if (capacity > SIZE_MAX / 2) {
			j->failed = true;
			return NULL;
		}
		capacity *= 2;
	}
	text = realloc(j->text, capacity);
	if (text == NULL) {
		j->failed = true;
		return NULL;
	}
	j->text = text;
	j->capacity = capacity;
	return text + j->size;
}

const char *json_text(struct json *j)
{
	char *p = json_grow(j, 1);

	if (p == NULL)
		return NULL;
	*p = '\0';
	return j->text;
}

// Comma and key; room for n more bytes behind them.
static char *json_begin(struct json *j, const char *key, size_t n)
{
	size_t key_size = key != NULL ? strlen(key) : 0;
	char *p = json_grow(j, 6 * key_size + 4 + n);

	if (p == NULL)
		return NULL;
	if (j->comma)
		*p++ = ',';
	if (key != NULL) {
		p = put_string(p, key, key_size);
		*p++ = ':';
	}
	return p;
}

static void json_end(struct json *j, const char *end)
{
	json_grown(j, end);
	j->comma = true;
}

static void json_open(struct json *j, const char *key, char bracket)
{
	char *p = json_begin(j, key, 1);

	if (p == NULL)
		return;
	*p++ = bracket;
	json_grown(j, p);
	j->comma = false;
}

static void json_close(struct json *j, char bracket)
{
	char *p = json_grow(j, 1);

	if (p == NULL)
		return;
	*p++ = bracket;
	json_end(j, p);
}

void json_object(struct json *j, const char *key)
{
	json_open(j, key, '{');
}

void json_object_end(struct json *j)
{
	json_close(j, '}');
}

void json_array(struct json *j, const char *key)
{
	json_open(j, key, '[');
}

void json_array_end(struct json *j)
{
	json_close(j, ']');
}

void json_string(struct json *j, const char *key, const char *value)
{
	json_string_n(j, key, value, strlen(value));
}

void json_string_n(struct json *j, const char *key, const void *value, size_t size)
{
	char *p;

	if (size > SIZE_MAX / 16) {
		j->failed = true;
		return;
	}
	p = json_begin(j, key, 6 * size + 2);
	if (p != NULL)
		json_end(j, put_string(p, value, size));
}

void json_uint(struct json *j, const char *key, uint64_t value)
{
	char *p = json_begin(j, key, PUT_NUMBER_SIZE);

	if (p != NULL)
		json_end(j, put_u64(p, value));
}

void json_int(struct json *j, const char *key, int64_t value)
{
	char *p = json_begin(j, key, PUT_NUMBER_SIZE);

	if (p == NULL)
		return;
	if (value < 0)
		*p++ = '-';
	json_end(j, put_u64(p, value < 0 ? 0 - (uint64_t)value : (uint64_t)value));
}

// The shortest of 15 to 17 digits that reads back as the same double. Whatever LC_NUMERIC makes of
// the decimal point is made a point again.
void json_double(struct json *j, const char *key, double value)
{
	char text[PUT_NUMBER_SIZE + 8], *p = json_begin(j, key, sizeof(text));

	if (p == NULL)
		return;
	if (!isfinite(value) || value == 0)
		value = 0;
	if (value == (double)(int64_t)fmax(fmin(value, 1e15), -1e15)) {
		if (value < 0)
			*p++ = '-';
		json_end(j, put_u64(p, (uint64_t)fabs(value)));
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	for (const char *t = text; *t != '\0'; t++)
		*p++ = (*t >= '0' && *t <= '9') || *t == '-' || *t == '+' || *t == 'e' ? *t : '.';
	json_end(j, p);
}

void json_fixed(struct json *j, const char *key, double value, unsigned decimals)
{
	char *p = json_begin(j, key, PUT_NUMBER_SIZE);

	if (p == NULL)
		return;
	switch (decimals) {
	case 0:
		p = put_fixed(p, value, 0);
		break;
	case 1:
		p = put_fixed(p, value, 1);
		break;
	case 2:
		p = put_fixed(p, value, 2);
		break;
	case 3:
		p = put_fixed(p, value, 3);
		break;
	default:
		p = put_fixed(p, value, 6);
		break;
	}
	json_end(j, p);
}

void json_bool(struct json *j, const char *key, bool value)
{
	json_raw(j, key, value ? "true" : "false", value ? 4 : 5);
}

void json_null(struct json *j, const char *key)
{
	json_raw(j, key, "null", 4);
}

void json_raw(struct json *j, const char *key, const char *text, size_t size)
{
	char *p = json_begin(j, key, size);

	if (p != NULL)
		json_end(j, put_bytes(p, text, size));
}
