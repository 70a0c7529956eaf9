// SPDX-License-Identifier: Apache-2.0
// pktctl: reads the command line, connects, hands over to the command, and turns what comes of it
// into an exit code.
#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "ctl.h"
#include "table.h"

enum { DEFAULT_TIMEOUT_S = 10 };

static char held[1024];
static bool is_holding;

void ctl_errors_hold(bool hold)
{
	is_holding = hold;
	if (!hold && held[0] != '\0')
		fprintf(stderr, "pktctl: %s\n", held);
	held[0] = '\0';
}

void ctl_error(const char *format, ...)
{
	char text[sizeof(held)];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	// the text may come from anywhere: one line, and no control over the terminal
	for (char *s = text; *s != '\0'; s++)
		for (size_t n = control_length(s); n > 0; n--)
			s[n - 1] = s[n - 1] == '\n' || s[n - 1] == '\t' ? ' ' : '?';
	if (is_holding)
		memcpy(held, text, sizeof(held));
	else
		fprintf(stderr, "pktctl: %s\n", text);
}

static bool want_color(enum ctl_color_when when, bool terminal)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	switch (when) {
	case CTL_COLOR_WHEN_ALWAYS:
		return true;
	case CTL_COLOR_WHEN_NEVER:
		return false;
	case CTL_COLOR_WHEN_AUTO:
		break;
	}
	return terminal && (no == NULL || no[0] == '\0') && term != NULL &&
	       strcmp(term, "dumb") != 0;
}

static int run(const struct ctl_globals *globals, const struct ctl_args *args)
{
	struct ctl ctl = {
		.json = globals->json,
		.interactive = isatty(STDOUT_FILENO) == 1,
	};
	int r;

	if (globals->version) {
		printf("pktctl %s\n", PKTAID_VERSION);
		return EXIT_DONE;
	}
	if (globals->help) {
		if (args->command != NULL)
			help_command(stdout, args->command);
		else
			help_program(stdout);
		return EXIT_DONE;
	}
	ctl.color = want_color(globals->color, ctl.interactive);
	ctl.client = client_new(
		globals->socket, globals->timeout_s > 0 ? globals->timeout_s : DEFAULT_TIMEOUT_S);
	if (ctl.client == NULL) {
		ctl_error("out of memory");
		return EXIT_ANSWERED_ERROR;
	}
	r = args->command->run(&ctl, args);
	client_free(ctl.client);
	return r;
}

int main(int argc, char **argv)
{
	struct ctl_globals globals;
	struct ctl_args args;
	int r;

	setlocale(LC_CTYPE, ""); // not LC_NUMERIC: JSON and tables have a point
	r = args_parse(argc, argv, &globals, &args);
	if (r == 0)
		r = run(&globals, &args);
	args_free(&globals, &args);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		if (errno != EPIPE)
			ctl_error("cannot write: %s", strerror(errno));
		return r != EXIT_DONE ? r : EXIT_ANSWERED_ERROR;
	}
	return r;
}
