// SPDX-License-Identifier: Apache-2.0
// Frames and envelopes: a stream of bytes into lines, a line into JSON-RPC 2.0 requests, and answers
// back into lines. Bounded: a line has a limit, nesting and batches too. Daemon and client, any
// thread (an object by one at a time). Knows nothing of methods; codec.h does.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <cjson/cJSON.h>

#include "rpc_error.h"

enum {
	FRAME_REQUEST_MAX = 65536, // bytes of a request without its newline
	FRAME_DEPTH_MAX = 64,      // nesting of a request
	RPC_BATCH_MAX = 100,       // requests in a batch
};

// --- Bytes to lines ---

// Collects the line that is not complete yet. Its memory never exceeds limit + 1, and is given back
// when a line that needed much of it has been taken.
struct frame {
	char *text;
	size_t size, capacity;
	size_t limit;
	bool skipping; // behind a line that was too long: nothing counts until its newline
	bool taken;    // text was handed out; forgotten at the next call
};

void frame_init(struct frame *, size_t limit);
void frame_fini(struct frame *); // accepts one that was zeroed

// Takes bytes from *data (*size of them; both are moved on) until a line is complete. Call it again
// until it returns 0; the caller may also stop between lines and go on later with what is left.
// Lines of white space only are left out; a carriage return before the newline is white space to JSON.
// Returns 1: a line, ret_line points to ret_size bytes without the newline, not NUL-terminated, valid
// until the next call or until data goes; 0: all bytes taken, no line yet; -EMSGSIZE: a line is longer
// than limit (once for it; its rest is skipped); -ENOMEM: the line is lost, as for -EMSGSIZE.
int frame_next(
	struct frame *, const char **data, size_t *size, const char **ret_line, size_t *ret_size);

// --- A line to requests ---

struct rpc_batch {
	cJSON *json;       // owns what requests point to
	bool is_batch;     // an array: the answer is an array too
	const cJSON *next; // iterator
};

struct rpc_request {
	const char *method;  // NULL: not a valid request, see error
	const cJSON *params; // object, array, or NULL
	const cJSON *id;     // string, number or null; NULL: a notification, never answered
	struct rpc_error
		error; // code 0, or RPC_INVALID_REQUEST: to be answered with id (null where NULL)
};

// Parses a line: strict JSON in UTF-8, no NUL or control characters in strings, nesting bounded.
// Returns 0; or a negative errno with error set, to be answered with id null: -EBADMSG for
// RPC_PARSE_ERROR and RPC_INVALID_REQUEST (neither object nor array, empty or too large batch),
// -ENOMEM for RPC_INTERNAL_ERROR.
int rpc_batch_parse(const char *text, size_t size, struct rpc_batch *ret, struct rpc_error *error);

// The next request of it. Returns false at the end.
bool rpc_batch_next(struct rpc_batch *, struct rpc_request *ret);

void rpc_batch_free(struct rpc_batch *); // accepts one that was zeroed or freed

// --- Answers ---

// An answer as JSON text without newline, on the heap (free()); NULL without memory.
// id NULL stands for null. result: JSON text of result_size bytes, valid as it is.
char *rpc_reply_result(const cJSON *id, const char *result, size_t result_size, size_t *ret_size);
char *rpc_reply_error(const cJSON *id, const struct rpc_error *, size_t *ret_size);

// A request as JSON text without newline (for clients); takes params (NULL: none).
char *rpc_request_text(unsigned id, const char *method, cJSON *params, size_t *ret_size);

// JSON in UTF-8 as a request must be: the same strictness for other texts (the client's own input).
// Returns NULL with a message ("byte 12: ...").
cJSON *frame_parse_json(
	const char *text, size_t size, unsigned depth_max, char *error, size_t error_size);

// JSON text of a tree, without white space, on the heap; NULL without memory. cJSON's own printer
// rounds whole numbers to 15 digits and so breaks ids of 53 bits: this one does not. Changes the
// tree's large numbers to raw text.
char *frame_print_json(cJSON *json);
