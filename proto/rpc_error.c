// SPDX-License-Identifier: Apache-2.0
// Errors with a message, and the nearest name to a mistyped one. Pure functions.
#include "rpc_error.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { NEAREST_WORD_MAX = 32 };

const char *rpc_error_name(int code)
{
	for (unsigned i = 0; i < proto_error_count; i++)
		if (proto_errors[i].code == code)
			return proto_errors[i].name;
	return NULL;
}

static const char *error_text(int code)
{
	for (unsigned i = 0; i < proto_error_count; i++)
		if (proto_errors[i].code == code)
			return proto_errors[i].text;
	return "error";
}

// Takes off a character that was cut in the middle at the end of text.
static void cut_at_character(char *text)
{
	size_t n = strlen(text), start = n, need;
	unsigned char lead;

	while (start > 0 && n - start < 4 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
		start--;
	if (start == 0)
		return;
	lead = (unsigned char)text[start - 1];
	need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
	if (n - (start - 1) < need)
		text[start - 1] = '\0';
}

int rpc_error_set(struct rpc_error *error, int code, const char *format, ...)
{
	va_list ap;

	error->code = code;
	error->parameter[0] = '\0';
	if (format == NULL) {
		snprintf(error->message, sizeof(error->message), "%s", error_text(code));
		return code;
	}
	va_start(ap, format);
	vsnprintf(error->message, sizeof(error->message), format, ap);
	va_end(ap);
	cut_at_character(error->message);
	return code;
}

// Edits (insert, delete, change, swap neighbours) from a to b; both at most NEAREST_WORD_MAX.
static unsigned edit_distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned d[NEAREST_WORD_MAX + 1][NEAREST_WORD_MAX + 1];

	for (size_t i = 0; i <= na; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= nb; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++)
		for (size_t j = 1; j <= nb; j++) {
			unsigned best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			if (d[i - 1][j] + 1 < best)
				best = d[i - 1][j] + 1;
			if (d[i][j - 1] + 1 < best)
				best = d[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				d[i - 2][j - 2] + 1 < best)
				best = d[i - 2][j - 2] + 1;
			d[i][j] = best;
		}
	return d[na][nb];
}

const char *proto_nearest(const char *word, const char *const *names, size_t n)
{
	const char *best = NULL;
	size_t nw = strlen(word);
	unsigned best_distance = nw < 3 ? 1 : nw < 6 ? 2 : 3; // more than that is another word

	if (nw == 0 || nw > NEAREST_WORD_MAX)
		return NULL;
	for (size_t i = 0; i < n && names[i] != NULL; i++) {
		size_t nn = strlen(names[i]);
		unsigned distance;

		if (nn > NEAREST_WORD_MAX)
			continue;
		distance = edit_distance(word, nw, names[i], nn);
		if (distance < best_distance || (distance == best_distance && best == NULL)) {
			best = names[i];
			best_distance = distance;
		}
	}
	return best;
}
