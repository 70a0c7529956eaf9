// SPDX-License-Identifier: Apache-2.0
// RPC errors: a code of errors.json with a message for people. Daemon and client, any thread.
#pragma once

#include "proto_methods.h"

enum { RPC_ERROR_MESSAGE_MAX = 480 };

struct rpc_error {
	int code;           // enum rpc_code, or what a daemon of another version says; 0: no error
	char parameter[64]; // with RPC_INVALID_PARAMS: which one, else ""
	char message[RPC_ERROR_MESSAGE_MAX]; // valid UTF-8
};

struct proto_error_info {
	int code;
	const char *name;
	const char *text; // what it means
};

// All codes, as errors.json has them.
extern const struct proto_error_info proto_errors[];
extern const unsigned proto_error_count;

// Sets code and message; a format of NULL takes the code's own text. A message that is too long is
// cut at a character, so that it stays UTF-8. Returns code, so that a handler can return it.
int rpc_error_set(struct rpc_error *, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

// The name of a code ("not_found"), or NULL.
const char *rpc_error_name(int code);

// The nearest of the names (n, or NULL-terminated with n = SIZE_MAX) to a mistyped word, or NULL
// when none is near: for "did you mean".
const char *proto_nearest(const char *word, const char *const *names, size_t n);
