// SPDX-License-Identifier: Apache-2.0
// The connection to the daemon: one request at a time, with a deadline. Errors are printed here, so
// that callers only pass exit codes on.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "rpc_error.h"

struct client;

// socket NULL: PKTAID_SOCKET, or the default place. Connects at the first call.
struct client *client_new(const char *socket, double timeout_s); // NULL without memory
void client_free(struct client *);                               // accepts NULL

struct client_reply {
	cJSON *result;          // the tree
	const char *text;       // the result as it came, NUL-terminated
	struct rpc_error error; // what the daemon answered, code 0 else
	char *line;             // owns text
};

// Calls a method; takes params (NULL: none). Returns EXIT_DONE with *ret filled; or an exit code, with
// the error printed; EXIT_INTERRUPTED (SIGINT, SIGTERM or SIGHUP, see client_catch_signals) is silent. client_reply_free() in the first case.
int client_call(struct client *, const char *method, cJSON *params, struct client_reply *ret);

// The same, but an error that the daemon answered is not printed: EXIT_ANSWERED_ERROR with
// ret->error.
int client_try(struct client *, const char *method, cJSON *params, struct client_reply *ret);
void client_reply_free(struct client_reply *);

// Waits until the daemon closes the connection, at most the timeout. Returns whether it has.
bool client_wait_gone(struct client *);

// From here on SIGINT, SIGTERM and SIGHUP do not end the program, they end waiting.
void client_catch_signals(void);
bool client_interrupted(void);

// Waits for input on fd (-1: none) or an interruption. Returns 1 readable, 0 time is over,
// EXIT_INTERRUPTED, or -EINTR for another signal (the window's size).
int client_pause(int fd, double seconds);
double client_now(void); // seconds, monotonic
