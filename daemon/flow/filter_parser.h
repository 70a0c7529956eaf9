// SPDX-License-Identifier: Apache-2.0
// Between the two halves of the filter compiler: the grammar (filter.c), and words and values
// (filter_value.c).
#pragma once

#include "filter.h"

#include <stdbool.h>
#include <stddef.h>

enum filter_type { TYPE_NONE, TYPE_HOST, TYPE_NET, TYPE_PORT, TYPE_PORTRANGE, TYPE_PROTO };

struct filter_qualifiers {
	int proto;   // -1 none
	int version; // 0 none
	enum filter_direction direction;
	bool has_direction;
	enum filter_type type;
};

struct filter_parser {
	const char *text;
	const char *at;
	struct flow_filter *filter;
	struct filter_qualifiers last; // for values without qualifiers
	char word[128];
	size_t word_at; // where the word begins
	unsigned depth;
	unsigned stack;
	char *error;
	size_t error_size;
};

// A protocol's name. version 0: either; proto -1: a version only.
struct filter_proto {
	const char *name;
	int version;
	int proto;
};

// Says in p->error what is wrong with the current word. Returns -EINVAL.
int filter_fail(struct filter_parser *, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
// Reads the next word into p->word ("" at the end). Returns 0 or -EINVAL.
int filter_next_word(struct filter_parser *);
bool filter_is_word(const struct filter_parser *, const char *word);
// Looks whether the next word is this one, and if so moves past it.
bool filter_take_word(struct filter_parser *, const char *word);
const struct filter_proto *filter_find_proto(const char *word); // NULL: none
// A number up to max, decimal, octal or hexadecimal as in C. Returns 0 or -EINVAL.
int filter_number(const char *text, uint32_t max, uint32_t *ret);
// Makes a test of the current word, as the qualifiers have it. Returns 0 or -EINVAL.
int filter_value(struct filter_parser *, const struct filter_qualifiers *, struct filter_op *ret);
