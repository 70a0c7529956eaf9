// SPDX-License-Identifier: Apache-2.0
// pktctl's own: what the commands share. One thread. A command gets its arguments checked against
// the contract's tables, asks the daemon, and writes tables for people or the result as it is.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <cjson/cJSON.h>

#include "proto_commands.h"

// Exit codes, as commands.json and contract.md have them.
enum {
	EXIT_DONE = 0,
	EXIT_ANSWERED_ERROR = 1,
	EXIT_USAGE = 2,
	EXIT_NO_DAEMON = 3,
	EXIT_INTERRUPTED = 130
};

struct client;

struct ctl {
	struct client *client;
	bool json;
	bool color;       // for stdout
	bool interactive; // stdout is a terminal
};

struct ctl_args {
	const struct ctl_command *command;
	cJSON *params; // object: the method's parameters
	cJSON *local;  // object: the client's own options
};

// --- Errors: one line on stderr, "pktctl: …", control characters made visible ---

void ctl_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
// While held, the last error is kept; it is printed when no longer held (a screen is in the way).
void ctl_errors_hold(bool hold);

// --- args.c ---

struct ctl_globals {
	const char *socket; // NULL: not given
	bool json, help, version;
	double timeout_s; // 0: not given
	enum ctl_color_when color;
	cJSON *values; // owns socket
};

// Parses the command line. Options may stand anywhere; "--" ends them. Returns 0; or EXIT_USAGE,
// with an error printed that names what is accepted. args->command is NULL when there is none
// (only with --help or --version). args_free() either way.
int args_parse(int argc, char **argv, struct ctl_globals *globals, struct ctl_args *args);
void args_free(struct ctl_globals *, struct ctl_args *);

// A local option's value, or NULL; true for a switch that was given.
const cJSON *args_local(const struct ctl_args *, const char *name);
bool args_switch(const struct ctl_args *, const char *name);

// --- help.c ---

void help_program(FILE *);
void help_command(FILE *, const struct ctl_command *);
void help_usage_line(FILE *, const struct ctl_command *);
