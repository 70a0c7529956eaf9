// SPDX-License-Identifier: Apache-2.0
// Tables; see table.h. Output is as wide as it has to be, so that no address is ever cut: the
// terminal wraps what is too long.
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <libsmartcols.h>

#include "ctl.h"

struct table {
	struct libscols_table *scols;
	struct libscols_line *line;
	size_t cell;
	int error; // first negative errno
};

static void keep(struct table *t, int r)
{
	if (r < 0 && t->error == 0)
		t->error = r;
}

struct table *table_new(bool color, const char *const *columns)
{
	static struct table failed;
	struct table *t = calloc(1, sizeof(*t));

	if (t == NULL) {
		failed.error = -ENOMEM;
		return &failed;
	}
	t->scols = scols_new_table();
	if (t->scols == NULL) {
		t->error = -ENOMEM;
		return t;
	}
	keep(t, scols_table_enable_colors(t->scols, color));
	keep(t, scols_table_set_termforce(t->scols, SCOLS_TERMFORCE_NEVER));
	keep(t, scols_table_set_column_separator(t->scols, "  "));
	for (; *columns != NULL; columns++) {
		bool right = (*columns)[0] == '>';
		struct libscols_column *c = scols_table_new_column(
			t->scols, *columns + right, 0, right ? SCOLS_FL_RIGHT : 0);

		keep(t, c == NULL ? -ENOMEM : 0);
		if (c != NULL && color)
			keep(t, scols_cell_set_color(scols_column_get_header(c), "bold"));
	}
	return t;
}

void table_row(struct table *t)
{
	if (t->error != 0)
		return;
	t->line = scols_table_new_line(t->scols, NULL);
	t->cell = 0;
	if (t->line == NULL)
		t->error = -ENOMEM;
}

void table_cell_color(struct table *t, enum table_color color, const char *text)
{
	static const char *const names[] = {
		[TABLE_GOOD] = "green",
		[TABLE_WARN] = "yellow",
		[TABLE_BAD] = "red",
		[TABLE_DIM] = "halfbright",
	};

	if (t->error != 0)
		return;
	keep(t, scols_line_set_data(t->line, t->cell, text));
	if (color != TABLE_PLAIN && t->error == 0)
		keep(t, scols_cell_set_color(scols_line_get_cell(t->line, t->cell), names[color]));
	t->cell++;
}

void table_cell(struct table *t, const char *text)
{
	table_cell_color(t, TABLE_PLAIN, text);
}

// Prints without the blanks that pad the last column.
static int print_lines(struct table *t, FILE *f)
{
	char *text = NULL, *line, *next;
	int r = scols_print_table_to_string(t->scols, &text);

	if (r != 0)
		return r < 0 ? r : -ENOMEM;
	for (line = text; line != NULL && *line != '\0'; line = next) {
		char *end = strchrnul(line, '\n');

		next = *end == '\n' ? end + 1 : end;
		while (end > line && end[-1] == ' ')
			end--;
		fprintf(f, "%.*s\n", (int)(end - line), line);
	}
	free(text);
	return 0;
}

int table_print(struct table *t, FILE *f)
{
	int error = t->error;

	if (error == 0)
		error = print_lines(t, f);
	if (t->scols != NULL) {
		scols_unref_table(t->scols);
		free(t);
	}
	if (error != 0) {
		ctl_error("cannot print the table: %s", strerror(-error));
		return EXIT_ANSWERED_ERROR;
	}
	return EXIT_DONE;
}

enum table_color table_state_color(const char *state)
{
	static const struct {
		const char *state;
		enum table_color color;
	} colors[] = {
		{"running", TABLE_GOOD},
		{"starting", TABLE_WARN},
		{"paused", TABLE_WARN},
		{"failed", TABLE_BAD},
		{"finished", TABLE_DIM},
		{"stopped", TABLE_DIM},
	};

	for (size_t i = 0; i < sizeof(colors) / sizeof(colors[0]); i++)
		if (strcmp(colors[i].state, state) == 0)
			return colors[i].color;
	return TABLE_PLAIN;
}

size_t control_length(const char *s)
{
	unsigned char c = (unsigned char)s[0], next = (unsigned char)s[1];

	if (c == 0xc2 && next >= 0x80 && next <= 0x9f)
		return 2; // C1: U+0080 to U+009F
	return c < 0x20 || c == 0x7f;
}

void print_safe(FILE *f, const char *text)
{
	while (*text != '\0') {
		size_t n = control_length(text);

		if (n == 0)
			fputc(*text++, f);
		else
			fprintf(f, "\\x%02x", (unsigned char)text[n - 1]);
		text += n;
	}
}
