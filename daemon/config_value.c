// SPDX-License-Identifier: Apache-2.0
// Single configuration values: from text to their member and back, with the units that people write
// (30s, 5m, 64MB, 1GiB), and what is accepted in words. Exact integer arithmetic throughout.
#include "config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct unit {
	const char *name;
	uint64_t factor;
};

// The first of a size is the one it is written with.
static const struct unit duration_units[] = {
	{"ns", 1},
	{"us", 1000},
	{"ms", 1000000},
	{"s", UINT64_C(1000000000)},
	{"sec", UINT64_C(1000000000)},
	{"m", 60 * UINT64_C(1000000000)},
	{"min", 60 * UINT64_C(1000000000)},
	{"h", 3600 * UINT64_C(1000000000)},
	{"d", 86400 * UINT64_C(1000000000)},
	{NULL, 0},
};

// KB, MB, GB are powers of ten; KiB and plain K powers of two, as systemd and others have it.
static const struct unit size_units[] = {
	{"B", 1},
	{"KiB", 1 << 10},
	{"K", 1 << 10},
	{"MiB", 1 << 20},
	{"M", 1 << 20},
	{"GiB", 1 << 30},
	{"G", 1 << 30},
	{"TiB", UINT64_C(1) << 40},
	{"T", UINT64_C(1) << 40},
	{"kB", 1000},
	{"KB", 1000},
	{"MB", 1000000},
	{"GB", 1000000000},
	{"TB", UINT64_C(1000000000000)},
	{NULL, 0},
};

bool config_value_is_null(const char *text)
{
	return text[0] == '\0' || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0;
}

// Digits, a fraction of up to nine digits, a unit; without a unit, plain is the factor.
// Returns 0, -EINVAL (not of this form) or -ERANGE (does not fit).
static int parse_quantity(const char *text, const struct unit *units, uint64_t plain, uint64_t *ret)
{
	uint64_t whole, fraction = 0, scale = 1, factor = plain, value;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	whole = strtoull(text, &end, 10);
	if (errno != 0)
		return -ERANGE;
	if (*end == '.' && isdigit((unsigned char)end[1]))
		for (end++; isdigit((unsigned char)*end); end++) {
			if (scale == UINT64_C(1000000000))
				return -EINVAL;
			fraction = fraction * 10 + (uint64_t)(*end - '0');
			scale *= 10;
		}
	if (*end != '\0') {
		const struct unit *u = units;

		end += *end == ' ';
		while (u->name != NULL && strcmp(u->name, end) != 0)
			u++;
		if (u->name == NULL)
			return -EINVAL;
		factor = u->factor;
	}
	if (__builtin_mul_overflow(whole, factor, &value) ||
		__builtin_add_overflow(
			value, (uint64_t)((unsigned __int128)fraction * factor / scale), &value))
		return -ERANGE;
	*ret = value;
	return 0;
}

static int parse_switch(const char *text, uint64_t *ret)
{
	static const char *const words[][2] = {
		{"false", "true"},
		{"no", "yes"},
		{"off", "on"},
	};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (unsigned v = 0; v < 2; v++)
			if (strcasecmp(text, words[i][v]) == 0) {
				*ret = v;
				return 0;
			}
	return -EINVAL;
}

static int parse_choice(const struct config_key *key, const char *text, uint64_t *ret)
{
	for (unsigned i = 0; key->choices[i] != NULL; i++)
		if (strcmp(text, key->choices[i]) == 0) {
			*ret = i;
			return 0;
		}
	return -EINVAL;
}

static int parse_number(const struct config_key *key, const char *text, uint64_t *ret)
{
	static const struct unit none[] = {{NULL, 0}};
	uint64_t value;
	int rc;

	switch (key->kind) {
	case CONFIG_SWITCH:
		return parse_switch(text, ret);
	case CONFIG_CHOICE:
		return parse_choice(key, text, ret);
	case CONFIG_NUMBER:
		if (strchr(text, '.') != NULL)
			return -EINVAL;
		rc = parse_quantity(text, none, 1, &value);
		break;
	case CONFIG_BYTES:
		rc = parse_quantity(text, size_units, 1, &value);
		break;
	case CONFIG_MEBIBYTES:
		rc = parse_quantity(text, size_units, 1 << 20, &value);
		if (rc == 0)
			value = (value >> 20) + ((value & 0xfffff) != 0);
		break;
	case CONFIG_DURATION:
		rc = parse_quantity(text, duration_units, UINT64_C(1000000000), &value);
		break;
	case CONFIG_SECTION:
	case CONFIG_LIST:
	case CONFIG_TEXT:
	default: // the enum is complete; gcc wants a value for rc
		return -EINVAL;
	}
	if (rc != 0)
		return rc;
	if ((value < key->min || value > key->max) && !(value == 0 && key->zero != NULL))
		return -ERANGE;
	*ret = value;
	return 0;
}

static void store(const struct config_key *key, void *base, uint64_t value)
{
	void *at = config_key_at(key, base);

	switch (key->width) {
	case 1:
		*(uint8_t *)at = (uint8_t)value;
		break;
	case 4:
		*(uint32_t *)at = (uint32_t)value;
		break;
	case 8:
		*(uint64_t *)at = value;
		break;
	}
}

static uint64_t fetch(const struct config_key *key, const void *base)
{
	const void *at = config_key_at(key, base);

	return key->width == 1   ? *(const uint8_t *)at
	       : key->width == 4 ? *(const uint32_t *)at
	                         : *(const uint64_t *)at;
}

static int set_text(
	const struct config_key *key, void *base, const char *text, char *error, size_t size)
{
	char **at, *copy;
	size_t n = strlen(text);

	if (n < key->min || n > key->max) {
		snprintf(error, size, "is %zu bytes long, not %" PRIu64 " to %" PRIu64, n, key->min,
			key->max);
		return -EINVAL;
	}
	for (const char *c = text; *c != '\0'; c++)
		if (iscntrl((unsigned char)*c)) {
			snprintf(error, size, "holds a control character");
			return -EINVAL;
		}
	if (key->check != NULL && key->check(text, error, size) != 0)
		return -EINVAL;
	if (base == NULL)
		return 0;
	copy = strdup(text);
	if (copy == NULL)
		return -ENOMEM;
	at = config_key_at(key, base);
	free(*at);
	*at = copy;
	return 0;
}

int config_value_set(
	const struct config_key *key, void *base, const char *text, char *error, size_t size)
{
	uint64_t value = 0;
	int rc;

	if (config_value_is_null(text)) {
		if (key->required) {
			snprintf(error, size, "is missing");
			return -EINVAL;
		}
		return base == NULL ? 0 : config_value_default(key, base);
	}
	if (key->kind == CONFIG_TEXT)
		return set_text(key, base, text, error, size);
	rc = parse_number(key, text, &value);
	if (rc != 0) {
		snprintf(error, size,
			rc == -ERANGE ? "'%.64s' is out of range" : "'%.64s' is no such value",
			text);
		return -EINVAL;
	}
	if (base != NULL)
		store(key, base, value);
	return 0;
}

int config_value_default(const struct config_key *key, void *base)
{
	char **at;

	switch (key->kind) {
	case CONFIG_SECTION:
		for (const struct config_key *k = key->keys; k->name != NULL; k++)
			if (config_value_default(k, base) != 0)
				return -ENOMEM;
		return 0;
	case CONFIG_LIST:
		return 0;
	case CONFIG_TEXT:
		at = config_key_at(key, base);
		free(*at);
		*at = NULL;
		if (key->text == NULL)
			return 0;
		*at = strdup(key->text);
		return *at == NULL ? -ENOMEM : 0;
	case CONFIG_SWITCH:
	case CONFIG_CHOICE:
	case CONFIG_NUMBER:
	case CONFIG_BYTES:
	case CONFIG_MEBIBYTES:
	case CONFIG_DURATION:
		store(key, base, key->value);
	}
	return 0;
}

// The largest of the named units that divides the value.
static void quantity_text(
	uint64_t value, const struct unit *units, const char *const *names, char *text, size_t size)
{
	for (; *names != NULL; names++) {
		const struct unit *u = units;

		while (strcmp(u->name, *names) != 0)
			u++;
		if (value != 0 && value % u->factor == 0) {
			snprintf(text, size, "%" PRIu64 "%s", value / u->factor, u->name);
			return;
		}
	}
	snprintf(text, size, "%" PRIu64, value);
}

static void number_text(const struct config_key *key, uint64_t value, char *text, size_t size)
{
	// whole days and hours are clearer than many seconds; 300s is what all tools of the field say
	static const char *const durations[] = {"d", "h", "s", "ms", "us", "ns", NULL};
	static const char *const sizes[] = {"TiB", "GiB", "MiB", "KiB", NULL};

	switch (key->kind) {
	case CONFIG_SWITCH:
		snprintf(text, size, "%s", value != 0 ? "true" : "false");
		break;
	case CONFIG_CHOICE:
		snprintf(text, size, "%s", key->choices[value]);
		break;
	case CONFIG_DURATION:
		quantity_text(value, duration_units, durations, text, size);
		break;
	case CONFIG_BYTES:
		quantity_text(value, size_units, sizes, text, size);
		break;
	case CONFIG_MEBIBYTES:
		quantity_text(value << 20, size_units, sizes, text, size);
		break;
	case CONFIG_NUMBER:
		snprintf(text, size, "%" PRIu64, value);
		break;
	case CONFIG_SECTION:
	case CONFIG_LIST:
	case CONFIG_TEXT:
		text[0] = '\0';
		break;
	}
}

void config_value_text(const struct config_key *key, const void *base, char *text, size_t size)
{
	if (key->kind == CONFIG_TEXT) {
		const char *s = *(char *const *)config_key_at(key, base);

		snprintf(text, size, "%s", s == NULL ? "" : s);
	} else {
		number_text(key, fetch(key, base), text, size);
	}
}

static void names_text(const char *const *names, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (unsigned i = 0; names[i] != NULL && at < size; i++)
		at += (size_t)snprintf(text + at, size - at, "%s%s",
			i == 0                 ? ""
			: names[i + 1] == NULL ? " or "
					       : ", ",
			names[i]);
}

void config_value_accepted(const struct config_key *key, char *text, size_t size)
{
	const char *example = "";
	char min[32], max[32];

	switch (key->kind) {
	case CONFIG_SECTION:
		snprintf(text, size, "a mapping of keys");
		return;
	case CONFIG_LIST:
		snprintf(text, size, "a list of at most %" PRIu64 " entries", key->max);
		return;
	case CONFIG_TEXT:
		snprintf(text, size, "%s", key->accepted);
		return;
	case CONFIG_SWITCH:
		snprintf(text, size, "true or false");
		return;
	case CONFIG_CHOICE:
		names_text(key->choices, text, size);
		return;
	case CONFIG_NUMBER:
		break;
	case CONFIG_BYTES:
		example = ", such as 64MB or 1GiB";
		break;
	case CONFIG_MEBIBYTES:
		example = ", such as 512MiB or 2GB (a plain number is MiB)";
		break;
	case CONFIG_DURATION:
		example = ", such as 500ms, 30s, 5m or 1h (a plain number is seconds)";
		break;
	}
	number_text(key, key->min, min, sizeof(min));
	number_text(key, key->max, max, sizeof(max));
	snprintf(text, size, "%s to %s%s%s%s", min, max, example,
		key->zero == NULL ? "" : ", or 0 for ", key->zero == NULL ? "" : key->zero);
}
