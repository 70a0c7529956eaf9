// SPDX-License-Identifier: Apache-2.0
// Codec: by the tables that gen.py makes, parameters from JSON into structs and results checked
// against their type. What it accepts is what the OpenRPC document says. Daemon and client, any
// thread; nothing here keeps state.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cjson/cJSON.h>

#include "proto_methods.h"
#include "rpc_error.h"

// Whole numbers in JSON are exact up to here; nothing above is accepted or sent.
#define PROTO_UINT_MAX ((UINT64_C(1) << 53) - 1)

// --- Tables ---

enum proto_kind {
	PROTO_BOOL,
	PROTO_UINT, // whole, 0 to PROTO_UINT_MAX where no bounds are given
	PROTO_INT,
	PROTO_NUMBER,
	PROTO_STRING,
	PROTO_ENUM,
	PROTO_OBJECT,
	PROTO_ANY,
};

enum proto_access { PROTO_ACCESS_READ, PROTO_ACCESS_CHANGE };

enum proto_format { PROTO_FORMAT_NONE, PROTO_FORMAT_NAME };

struct proto_ref {
	enum proto_kind kind;
	bool array;
	bool nullable;
	uint16_t type; // index in proto_types, for PROTO_ENUM and PROTO_OBJECT
};

struct proto_field {
	const char *name;
	struct proto_ref ref;
	bool optional;
	const char *unit; // or NULL
	const char *help;
};

struct proto_type {
	const char *name;
	const char *help;
	const char *const *names; // an enumeration's values, NULL at the end; NULL for an object
	const struct proto_field *fields;
	unsigned field_count;
	bool has_others; // members that are not in fields are of type others; else refused
	struct proto_ref others;
};

struct proto_param {
	const char *name;
	enum proto_kind kind;
	bool required;
	bool changes; // true needs PROTO_ACCESS_CHANGE although the method itself only reads
	bool has_default;
	bool has_flag;
	enum proto_format format;
	double minimum, maximum;         // numbers
	unsigned min_length, max_length; // text, bytes
	const char *const *names;        // enumerations
	double default_number;           // also bool (0, 1) and enumerations (index)
	const char *default_text;
	size_t offset, has_offset; // in the method's struct
	const char *accepts;       // in words
	const char *help;
};

struct proto_method_info {
	const char *name;
	const char *summary;
	enum proto_access access;
	const struct proto_param *params;
	unsigned param_count;
	size_t params_size; // of its struct
	unsigned result;    // index in proto_types
};

extern const struct proto_type proto_types[];
extern const unsigned proto_type_count;
extern const struct proto_method_info proto_methods[PROTO_METHOD_COUNT];

// --- Methods and parameters ---

// Returns the method's number (enum proto_method), or -ENOENT with error set (RPC_METHOD_NOT_FOUND,
// naming the nearest). error may be NULL.
int proto_method_find(const char *name, struct rpc_error *error);

// Fills out (the method's struct, or a union rpc_params) from params (NULL: none given), defaults
// included. null for an optional parameter is as if it were not given. Strings point into params.
// Returns 0, or RPC_INVALID_PARAMS with error set, out undefined then.
int proto_decode_params(enum proto_method, const cJSON *params, void *out, struct rpc_error *error);

// What a call with these parameters needs: the method's access, or more where a parameter changes
// something.
enum proto_access proto_access_needed(enum proto_method, const void *params);

// Checks one value. Returns 0, or -EINVAL with "got …; accepts …" in text.
int proto_check_value(const struct proto_param *, const cJSON *value, char *text, size_t size);

// Makes a value from a command-line word. Returns NULL with "got …; accepts …" in text.
cJSON *proto_value_from_word(const struct proto_param *, const char *word, char *text, size_t size);

// --- Results ---

// Checks a result against the method's declared type. Returns 0, or -EINVAL with what is wrong and
// where ("captures[2].state: got …").
int proto_check_reply(enum proto_method, const cJSON *result, char *error, size_t size);

// The default socket of a daemon: /run/pktaid/pktaid.sock as root or as a service
// (RUNTIME_DIRECTORY), else $XDG_RUNTIME_DIR/pktaid.sock; PKTAID_SOCKET overrides both.
// Returns 0; -ENOENT: none can be made up (no XDG_RUNTIME_DIR); -ENAMETOOLONG.
int proto_socket_path(char *path, size_t size);
