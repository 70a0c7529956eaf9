// SPDX-License-Identifier: Apache-2.0
// --help, from the tables that the man page is made of too.
#include <string.h>

#include "ctl.h"

enum { HELP_WIDTH = 80, HELP_COLUMN = 28 };

// Where text may be broken next: at a space that is not within brackets.
static int unbroken(const char *text)
{
	int depth = 0, n = 0;

	for (; text[n] != '\0' && (text[n] != ' ' || depth > 0); n++)
		depth += (text[n] == '[') - (text[n] == ']');
	return n;
}

// Writes text from column on, broken at spaces; begins where the cursor is (at).
static void wrap(FILE *f, const char *text, int at, int column)
{
	while (*text != '\0') {
		int n = unbroken(text);

		if (at > column && at + 1 + n > HELP_WIDTH) {
			fprintf(f, "\n%*s", column, "");
			at = column;
		} else if (at > column) {
			fputc(' ', f);
			at++;
		}
		fprintf(f, "%.*s", n, text);
		at += n;
		text += n + (text[n] == ' ');
	}
	fputc('\n', f);
}

// Writes what stands left, then the text in its column.
static void row(FILE *f, const char *left, const char *text)
{
	int at = fprintf(f, "  %s", left);

	if (at + 2 > HELP_COLUMN) {
		fputc('\n', f);
		at = 0;
	}
	fprintf(f, "%*s", HELP_COLUMN - at, "");
	wrap(f, text, HELP_COLUMN, HELP_COLUMN);
}

// What stands for an option's value: "N", "active|ended|all", "" for a switch.
static void value_text(const struct ctl_option *o, char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	if (o->param.kind == PROTO_BOOL)
		return;
	if (o->metavar != NULL) {
		snprintf(text, size, "%s", o->metavar);
		return;
	}
	for (int i = 0; o->param.names[i] != NULL && at < size; i++)
		at += (size_t)snprintf(
			text + at, size - at, "%s%s", i > 0 ? "|" : "", o->param.names[i]);
}

static void option_row(FILE *f, const struct ctl_option *o)
{
	char value[128], left[256], text[512];
	const struct proto_param *p = &o->param;

	value_text(o, value, sizeof(value));
	snprintf(left, sizeof(left), "%s%s%s%s%s", o->short_flag != NULL ? o->short_flag : "",
		o->short_flag != NULL ? ", " : "", o->flag != NULL ? o->flag : "",
		o->flag != NULL && value[0] != '\0' ? " " : "", value);
	if (!p->has_default || p->kind == PROTO_BOOL)
		snprintf(text, sizeof(text), "%s", p->help);
	else if (p->kind == PROTO_ENUM)
		snprintf(text, sizeof(text), "%s (default %s)", p->help,
			p->names[(int)p->default_number]);
	else if (p->kind == PROTO_STRING)
		snprintf(text, sizeof(text), "%s (default %s)", p->help, p->default_text);
	else
		snprintf(text, sizeof(text), "%s (default %g)", p->help, p->default_number);
	row(f, left, text);
}

void help_usage_line(FILE *f, const struct ctl_command *c)
{
	char line[1024];
	int indent = fprintf(f, "usage: ");
	size_t at = (size_t)snprintf(line, sizeof(line), "pktctl %s", c->words);

	for (int flags = 0; flags < 2; flags++)
		for (unsigned i = 0; i < c->option_count && at < sizeof(line); i++) {
			const struct ctl_option *o = &c->options[i];
			char value[128];

			if ((o->flag != NULL) != flags)
				continue;
			value_text(o, value, sizeof(value));
			at += (size_t)snprintf(line + at, sizeof(line) - at, " %s%s%s%s%s",
				o->param.required ? "" : "[", o->flag != NULL ? o->flag : "",
				o->flag != NULL && value[0] != '\0' ? " " : "", value,
				o->param.required ? "" : "]");
		}
	wrap(f, line, indent, indent);
}

void help_program(FILE *f)
{
	fprintf(f, "usage: pktctl [options] command [arguments]\n\n");
	wrap(f, ctl_program_description, 0, 0);
	fprintf(f, "\ncommands:\n");
	for (unsigned i = 0; i < ctl_command_count; i++)
		row(f, ctl_commands[i].words, ctl_commands[i].summary);
	fprintf(f, "\noptions, before or after the command:\n");
	for (unsigned i = 0; i < ctl_global_option_count; i++)
		option_row(f, &ctl_global_options[i]);
	fprintf(f, "\nexit codes:\n");
	for (const struct ctl_example *e = ctl_exit_codes; e->line != NULL; e++)
		row(f, e->line, e->help);
	fprintf(f, "\nenvironment:\n");
	for (const struct ctl_example *e = ctl_environment; e->line != NULL; e++)
		row(f, e->line, e->help);
	fprintf(f, "\nA command's own help: pktctl COMMAND --help\n");
}

void help_command(FILE *f, const struct ctl_command *c)
{
	help_usage_line(f, c);
	fputc('\n', f);
	wrap(f, c->description != NULL ? c->description : c->summary, 0, 0);
	if (c->option_count > 0)
		fputc('\n', f);
	for (unsigned i = 0; i < c->option_count; i++)
		option_row(f, &c->options[i]);
	if (c->example_count > 0)
		fprintf(f, "\nexamples:\n");
	for (unsigned i = 0; i < c->example_count; i++)
		fprintf(f, "  %s\n      %s\n", c->examples[i].line, c->examples[i].help);
	fprintf(f, "\nOptions of every command: pktctl --help\n");
}
