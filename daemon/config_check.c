// SPDX-License-Identifier: Apache-2.0
// Checks a YAML document against the table of keys, event by event, and says what is wrong with the
// exact line and column, all of it in one go. libcyaml, which loads the document afterwards, stops at
// the first mistake and knows only where the value before it stood; so it is given documents that
// passed here. Recursion is bounded by the table's depth, whatever the document nests.
#include "config_keys.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <yaml.h>

struct checker {
	yaml_parser_t parser;
	yaml_event_t event;
	struct config_errors *errors;
	const char *yaml;
	size_t size;
	bool over; // syntax error or end: no more events
	char path[128];
	struct { // texts of the unique key of the list that is being read
		char text[64];
		size_t line;
	} unique[CONFIG_CAPTURES_MAX];
	unsigned unique_count;
};

void config_error(struct config_errors *e, size_t line, size_t column, const char *key,
	const char *accepted, const char *format, ...)
{
	char text[1024], where[48] = "";
	va_list ap;
	int n;

	if (line > 0)
		snprintf(where, sizeof(where), ":%zu:%zu", line, column);
	n = snprintf(text, sizeof(text), "%s%s%s: %s%s", e->used > 0 ? "\n" : "", e->file, where,
		key == NULL ? "" : key, key == NULL ? "" : ": ");
	if (n > 0 && n < (int)sizeof(text)) {
		va_start(ap, format);
		n += vsnprintf(text + n, sizeof(text) - (size_t)n, format, ap);
		va_end(ap);
	}
	if (n > 0 && n < (int)sizeof(text) && accepted != NULL)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "; accepted: %s", accepted);
	// texts of the document are shown as they are, but for bytes that would disturb a terminal
	for (char *c = text; *c != '\0'; c++)
		if (iscntrl((unsigned char)*c) && (c > text || *c != '\n'))
			*c = '?';
	e->count++;
	if (e->used + strlen(text) < e->size) {
		memcpy(e->text + e->used, text, strlen(text) + 1);
		e->used += strlen(text);
	} else {
		e->left_out++;
	}
}

#define COMPLAIN(c, mark, accepted, ...)                                                           \
	config_error((c)->errors, (mark).line + 1, (mark).column + 1,                              \
		(c)->path[0] == '\0' ? NULL : (c)->path, accepted, __VA_ARGS__)

// Errors of the reader (encoding) carry an offset in bytes only.
static void complain_syntax(struct checker *c)
{
	const yaml_parser_t *p = &c->parser;
	yaml_mark_t mark = p->problem_mark;

	c->path[0] = '\0';
	if (p->error == YAML_READER_ERROR) {
		mark.line = mark.column = 0;
		for (size_t i = 0; i < p->problem_offset && i < c->size; i++) {
			mark.column++;
			if (c->yaml[i] == '\n') {
				mark.line++;
				mark.column = 0;
			}
		}
	}
	COMPLAIN(c, mark, "YAML, in UTF-8", "%s%s%s", p->problem != NULL ? p->problem : "not YAML",
		p->context != NULL ? " " : "", p->context != NULL ? p->context : "");
}

// The next event. When there is none, over is set and the event is empty.
static void next(struct checker *c)
{
	yaml_event_delete(&c->event);
	if (c->over)
		return;
	if (!yaml_parser_parse(&c->parser, &c->event)) {
		complain_syntax(c);
		memset(&c->event, 0, sizeof(c->event));
		c->over = true;
	} else if (c->event.type == YAML_STREAM_END_EVENT) {
		c->over = true;
	}
}

static const char *scalar(const struct checker *c)
{
	return (const char *)c->event.data.scalar.value;
}

// A scalar as text; false where it holds a NUL byte, which no key or value may.
static bool scalar_is_text(const struct checker *c)
{
	return strlen(scalar(c)) == c->event.data.scalar.length;
}

// Goes on to the last event of the node whose first event is the current one.
static void skip(struct checker *c)
{
	size_t depth = 0;

	while (!c->over) {
		switch (c->event.type) {
		case YAML_SEQUENCE_START_EVENT:
		case YAML_MAPPING_START_EVENT:
			depth++;
			break;
		case YAML_SEQUENCE_END_EVENT:
		case YAML_MAPPING_END_EVENT:
			depth--;
			break;
		default: // libyaml's enum: all others are whole nodes
			break;
		}
		if (depth == 0)
			return;
		next(c);
	}
}

static const char *event_noun(const yaml_event_t *e)
{
	return e->type == YAML_MAPPING_START_EVENT    ? "a mapping"
	       : e->type == YAML_SEQUENCE_START_EVENT ? "a list"
	       : e->type == YAML_ALIAS_EVENT          ? "an alias"
	                                              : "a single value";
}

static void check_mapping(struct checker *c, const struct config_key *keys);

static void check_wrong_kind(struct checker *c, const struct config_key *key)
{
	char accepted[256];

	config_value_accepted(key, accepted, sizeof(accepted));
	COMPLAIN(c, c->event.start_mark, accepted, "%s cannot stand here", event_noun(&c->event));
	skip(c);
}

static void check_unique(struct checker *c)
{
	char *text = c->unique[c->unique_count].text;

	snprintf(text, sizeof(c->unique[0].text), "%s", scalar(c));
	c->unique[c->unique_count].line = c->event.start_mark.line + 1;
	for (unsigned i = 0; i < c->unique_count; i++)
		if (strcmp(c->unique[i].text, text) == 0) {
			COMPLAIN(c, c->event.start_mark, "a different one for each entry",
				"'%s' is in use on line %zu", text, c->unique[i].line);
			return;
		}
	if (c->unique_count + 1 < sizeof(c->unique) / sizeof(c->unique[0]))
		c->unique_count++;
}

static void check_scalar(struct checker *c, const struct config_key *key)
{
	char problem[512], accepted[256];

	if (!scalar_is_text(c))
		snprintf(problem, sizeof(problem), "holds a NUL byte");
	else if (config_value_set(key, NULL, scalar(c), problem, sizeof(problem)) == 0) {
		if (key->unique && !config_value_is_null(scalar(c)))
			check_unique(c);
		return;
	}
	config_value_accepted(key, accepted, sizeof(accepted));
	COMPLAIN(c, c->event.start_mark, accepted, "%s", problem);
}

static void check_list(struct checker *c, const struct config_key *key)
{
	size_t path = strlen(c->path);
	char accepted[256];
	uint64_t n = 0;

	config_value_accepted(key, accepted, sizeof(accepted));
	c->unique_count = 0;
	for (next(c); !c->over && c->event.type != YAML_SEQUENCE_END_EVENT; next(c)) {
		if (++n == key->max + 1)
			COMPLAIN(c, c->event.start_mark, accepted, "there are more");
		snprintf(c->path + path, sizeof(c->path) - path, "[%" PRIu64 "]", n);
		if (n > key->max) {
			skip(c);
		} else if (c->event.type == YAML_MAPPING_START_EVENT) {
			check_mapping(c, key->keys);
		} else {
			COMPLAIN(c, c->event.start_mark, "a mapping of keys",
				"%s cannot stand here", event_noun(&c->event));
			skip(c);
		}
		c->path[path] = '\0';
	}
}

// The current event is the value's first, and when this returns, its last.
static void check_node(struct checker *c, const struct config_key *key)
{
	bool is_scalar = c->event.type == YAML_SCALAR_EVENT;

	if (c->event.type == YAML_ALIAS_EVENT) {
		COMPLAIN(c, c->event.start_mark, "the value itself", "an alias cannot stand here");
		return;
	}
	switch (key->kind) {
	case CONFIG_SECTION:
		if (c->event.type == YAML_MAPPING_START_EVENT)
			check_mapping(c, key->keys);
		else if (!is_scalar || !scalar_is_text(c) || !config_value_is_null(scalar(c)))
			check_wrong_kind(c, key);
		break;
	case CONFIG_LIST:
		if (c->event.type == YAML_SEQUENCE_START_EVENT)
			check_list(c, key);
		else if (!is_scalar || !scalar_is_text(c) || !config_value_is_null(scalar(c)))
			check_wrong_kind(c, key);
		break;
	case CONFIG_TEXT:
	case CONFIG_SWITCH:
	case CONFIG_CHOICE:
	case CONFIG_NUMBER:
	case CONFIG_BYTES:
	case CONFIG_MEBIBYTES:
	case CONFIG_DURATION:
		if (is_scalar)
			check_scalar(c, key);
		else
			check_wrong_kind(c, key);
		break;
	}
}

static void complain_unknown(struct checker *c, const struct config_key *keys)
{
	char accepted[256];
	size_t at = 0;

	for (const struct config_key *k = keys; k->name != NULL && at < sizeof(accepted); k++)
		at += (size_t)snprintf(accepted + at, sizeof(accepted) - at, "%s%s",
			k == keys ? "" : " ", k->name);
	COMPLAIN(c, c->event.start_mark, accepted, "there is no such key");
}

// The key that the current event names, or NULL after a complaint. The path then ends with it.
static const struct config_key *check_key(
	struct checker *c, const struct config_key *keys, size_t lines[static 64])
{
	size_t path = strlen(c->path);
	const struct config_key *k = keys;
	size_t *line;

	if (c->event.type != YAML_SCALAR_EVENT || !scalar_is_text(c)) {
		COMPLAIN(c, c->event.start_mark, "the name of a key", "%s cannot be a key",
			c->event.type == YAML_SCALAR_EVENT ? "a text with a NUL byte"
							   : event_noun(&c->event));
		skip(c);
		return NULL;
	}
	snprintf(c->path + path, sizeof(c->path) - path, "%s%s", path > 0 ? "." : "", scalar(c));
	while (k->name != NULL && strcmp(k->name, scalar(c)) != 0)
		k++;
	if (k->name == NULL) {
		complain_unknown(c, keys);
		return NULL;
	}
	line = &lines[k - keys];
	if (*line != 0) {
		COMPLAIN(c, c->event.start_mark, "each key once", "is already set on line %zu",
			*line);
		return NULL;
	}
	*line = c->event.start_mark.line + 1;
	return k;
}

static void check_mapping(struct checker *c, const struct config_key *keys)
{
	yaml_mark_t start = c->event.start_mark;
	size_t path = strlen(c->path);
	size_t lines[64] = {0}; // where each key was set; 0 not yet

	for (next(c); !c->over && c->event.type != YAML_MAPPING_END_EVENT; next(c)) {
		const struct config_key *key = check_key(c, keys, lines);

		next(c);
		if (key != NULL)
			check_node(c, key);
		else
			skip(c);
		if (!c->over)
			c->path[path] = '\0';
	}
	for (const struct config_key *k = keys; k->name != NULL && !c->over; k++)
		if (k->required && lines[k - keys] == 0) {
			char accepted[256];

			config_value_accepted(k, accepted, sizeof(accepted));
			COMPLAIN(c, start, accepted, "%s is missing", k->name);
		}
}

int config_check(const char *yaml, size_t size, struct config_errors *errors)
{
	unsigned before = errors->count;
	struct checker c = {.errors = errors, .yaml = yaml, .size = size};
	unsigned documents = 0;

	if (!yaml_parser_initialize(&c.parser)) {
		config_error(errors, 0, 0, NULL, NULL, "out of memory");
		return -EINVAL;
	}
	yaml_parser_set_input_string(&c.parser, (const unsigned char *)yaml, size);
	for (next(&c); !c.over; next(&c)) {
		if (c.event.type == YAML_STREAM_START_EVENT ||
			c.event.type == YAML_DOCUMENT_END_EVENT)
			continue;
		if (c.event.type == YAML_DOCUMENT_START_EVENT) {
			if (++documents == 2)
				COMPLAIN(&c, c.event.start_mark, "one document",
					"a second document begins");
		} else if (documents > 1) {
			skip(&c);
		} else if (c.event.type == YAML_MAPPING_START_EVENT) {
			check_mapping(&c, config_keys);
		} else if (c.event.type != YAML_SCALAR_EVENT || !scalar_is_text(&c) ||
			   !config_value_is_null(scalar(&c))) {
			COMPLAIN(&c, c.event.start_mark, "a mapping of keys",
				"%s cannot stand here", event_noun(&c.event));
			skip(&c);
		}
	}
	yaml_event_delete(&c.event);
	yaml_parser_delete(&c.parser);
	return errors->count > before ? -EINVAL : 0;
}
