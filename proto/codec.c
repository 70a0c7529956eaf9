// SPDX-License-Identifier: Apache-2.0
// Parameters into structs and results against their types, by table. The error messages name what
// was wrong, what came and what is accepted. No state, no allocation but for values made from words.
#include "codec.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// --- Values ---

// How many bytes of text to show, at most max, without cutting a character.
static int shown(const char *text, size_t max)
{
	size_t n = strnlen(text, max + 1);

	if (n > max) {
		n = max;
		while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
			n--;
	}
	return (int)n;
}

// What came, short enough for a message.
static void describe(const cJSON *value, char *text, size_t size)
{
	if (cJSON_IsString(value)) {
		int n = shown(value->valuestring, 40);

		snprintf(text, size, "\"%.*s%s\"", n, value->valuestring,
			value->valuestring[n] != '\0' ? "..." : "");
	} else if (cJSON_IsNumber(value)) {
		snprintf(text, size, "%.17g", value->valuedouble);
	} else if (cJSON_IsBool(value)) {
		snprintf(text, size, "%s", cJSON_IsTrue(value) ? "true" : "false");
	} else {
		snprintf(text, size, "%s",
			cJSON_IsNull(value)    ? "null"
			: cJSON_IsArray(value) ? "an array"
					       : "an object");
	}
}

static int name_index(const char *const *names, const char *name)
{
	for (int i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

static bool is_whole(double d)
{
	return isfinite(d) && floor(d) == d && fabs(d) <= (double)PROTO_UINT_MAX;
}

static bool format_is_met(enum proto_format format, const char *text)
{
	switch (format) {
	case PROTO_FORMAT_NONE:
		break;
	case PROTO_FORMAT_NAME:
		if (strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				 "._:/@+-") != strlen(text))
			return false;
		return strchr("._:/@+-", text[0]) == NULL; // also false for ""
	}
	return true;
}

static bool value_fits(const struct proto_param *p, const cJSON *v)
{
	size_t n;

	switch (p->kind) {
	case PROTO_BOOL:
		return cJSON_IsBool(v);
	case PROTO_UINT:
	case PROTO_INT:
		return cJSON_IsNumber(v) && is_whole(v->valuedouble) &&
		       v->valuedouble >= p->minimum && v->valuedouble <= p->maximum;
	case PROTO_NUMBER:
		return cJSON_IsNumber(v) && isfinite(v->valuedouble) &&
		       v->valuedouble >= p->minimum && v->valuedouble <= p->maximum;
	case PROTO_STRING:
		if (!cJSON_IsString(v))
			return false;
		n = strlen(v->valuestring);
		return n >= p->min_length && n <= p->max_length &&
		       format_is_met(p->format, v->valuestring);
	case PROTO_ENUM:
		return cJSON_IsString(v) && name_index(p->names, v->valuestring) >= 0;
	case PROTO_OBJECT:
	case PROTO_ANY:
		break;
	}
	return false;
}

int proto_check_value(const struct proto_param *p, const cJSON *value, char *text, size_t size)
{
	const char *near = NULL;
	char got[128];

	if (value_fits(p, value))
		return 0;
	describe(value, got, sizeof(got));
	if (p->kind == PROTO_ENUM && cJSON_IsString(value))
		near = proto_nearest(value->valuestring, p->names, SIZE_MAX);
	snprintf(text, size, "got %s; accepts %s%s%s%s", got, p->accepts,
		near != NULL ? " (did you mean " : "", near != NULL ? near : "",
		near != NULL ? "?)" : "");
	return -EINVAL;
}

static cJSON *number_from_word(const char *word)
{
	char *end;
	double d;

	// strtod also takes hexadecimal, "inf" and leading white space
	if (word[0] == '\0' || strspn(word, "0123456789+-.eE") != strlen(word))
		return NULL;
	d = strtod(word, &end);
	return *end == '\0' ? cJSON_CreateNumber(d) : NULL;
}

cJSON *proto_value_from_word(const struct proto_param *p, const char *word, char *text, size_t size)
{
	cJSON *value = NULL, *as_text;

	switch (p->kind) {
	case PROTO_BOOL:
		if (strcmp(word, "true") == 0 || strcmp(word, "false") == 0)
			value = cJSON_CreateBool(word[0] == 't');
		break;
	case PROTO_UINT:
	case PROTO_INT:
	case PROTO_NUMBER:
		value = number_from_word(word);
		break;
	case PROTO_STRING:
	case PROTO_ENUM:
	case PROTO_OBJECT:
	case PROTO_ANY:
		value = cJSON_CreateString(word);
		break;
	}
	if (value != NULL && proto_check_value(p, value, text, size) == 0)
		return value;
	if (value == NULL) {
		as_text = cJSON_CreateString(word);
		if (as_text == NULL || proto_check_value(p, as_text, text, size) == 0)
			snprintf(text, size, "out of memory");
		cJSON_Delete(as_text);
	}
	cJSON_Delete(value);
	return NULL;
}

// --- Methods ---

int proto_method_find(const char *name, struct rpc_error *error)
{
	const char *names[PROTO_METHOD_COUNT], *near;

	for (int i = 0; i < PROTO_METHOD_COUNT; i++) {
		if (strcmp(proto_methods[i].name, name) == 0)
			return i;
		names[i] = proto_methods[i].name;
	}
	if (error == NULL)
		return -ENOENT;
	near = proto_nearest(name, names, PROTO_METHOD_COUNT);
	if (near != NULL)
		rpc_error_set(error, RPC_METHOD_NOT_FOUND, "no method \"%.64s\"; did you mean %s?",
			name, near);
	else
		rpc_error_set(error, RPC_METHOD_NOT_FOUND,
			"no method \"%.*s\"; rpc.discover lists them", shown(name, 64), name);
	return -ENOENT;
}

// --- Parameters ---

static void store_number(const struct proto_param *p, char *out, double d)
{
	switch (p->kind) {
	case PROTO_BOOL:
		*(bool *)(out + p->offset) = d != 0;
		break;
	case PROTO_UINT:
		*(uint64_t *)(void *)(out + p->offset) = (uint64_t)d;
		break;
	case PROTO_INT:
		*(int64_t *)(void *)(out + p->offset) = (int64_t)d;
		break;
	case PROTO_NUMBER:
		*(double *)(void *)(out + p->offset) = d;
		break;
	case PROTO_ENUM: {
		// enumerations have the size of int with the compilers that we build with
		int index = (int)d;

		memcpy(out + p->offset, &index, sizeof(index));
		break;
	}
	case PROTO_STRING:
	case PROTO_OBJECT:
	case PROTO_ANY:
		break;
	}
}

static void store_text(const struct proto_param *p, char *out, const char *text)
{
	memcpy(out + p->offset, &text, sizeof(text));
}

static void store_value(const struct proto_param *p, char *out, const cJSON *v)
{
	if (p->kind == PROTO_STRING)
		store_text(p, out, v->valuestring);
	else if (p->kind == PROTO_ENUM)
		store_number(p, out, name_index(p->names, v->valuestring));
	else if (p->kind == PROTO_BOOL)
		store_number(p, out, cJSON_IsTrue(v));
	else
		store_number(p, out, v->valuedouble);
	if (p->has_flag)
		*(bool *)(out + p->has_offset) = true;
}

static void store_defaults(const struct proto_method_info *m, char *out)
{
	memset(out, 0, m->params_size);
	for (unsigned i = 0; i < m->param_count; i++) {
		const struct proto_param *p = &m->params[i];

		if (p->has_default && p->kind == PROTO_STRING)
			store_text(p, out, p->default_text);
		else if (p->has_default)
			store_number(p, out, p->default_number);
	}
}

static int param_error(struct rpc_error *error, const char *name, const char *text)
{
	int n = shown(name, sizeof(error->parameter) - 1);

	rpc_error_set(error, RPC_INVALID_PARAMS, "%.*s: %s", n, name, text);
	snprintf(error->parameter, sizeof(error->parameter), "%.*s", n, name);
	return RPC_INVALID_PARAMS;
}

static int param_unknown(
	const struct proto_method_info *m, const char *name, struct rpc_error *error)
{
	const char *names[32], *near;
	char text[400] = "no such parameter; accepts";
	size_t at = strlen(text);

	if (m->param_count == 0)
		return param_error(error, name, "no such parameter; accepts none");
	for (unsigned i = 0; i < m->param_count; i++) {
		names[i] = m->params[i].name;
		if (at < sizeof(text))
			at += (size_t)snprintf(
				text + at, sizeof(text) - at, "%s %s", i > 0 ? "," : "", names[i]);
	}
	near = proto_nearest(name, names, m->param_count);
	if (near != NULL && at < sizeof(text))
		snprintf(text + at, sizeof(text) - at, " (did you mean %s?)", near);
	return param_error(error, name, text);
}

int proto_decode_params(
	enum proto_method method, const cJSON *params, void *out, struct rpc_error *error)
{
	const struct proto_method_info *m = &proto_methods[method];
	uint32_t seen = 0;
	const cJSON *v;
	char text[400];

	store_defaults(m, out);
	if (params != NULL && !cJSON_IsObject(params)) {
		rpc_error_set(error, RPC_INVALID_PARAMS,
			"params: got %s; accepts an object, parameters by name",
			cJSON_IsArray(params) ? "an array" : "no object");
		return RPC_INVALID_PARAMS;
	}
	cJSON_ArrayForEach (v, params) {
		unsigned i = 0;

		while (i < m->param_count && strcmp(m->params[i].name, v->string) != 0)
			i++;
		if (i == m->param_count)
			return param_unknown(m, v->string, error);
		if ((seen & (1u << i)) != 0)
			return param_error(error, v->string, "given twice");
		if (cJSON_IsNull(v) && !m->params[i].required)
			continue;
		if (proto_check_value(&m->params[i], v, text, sizeof(text)) < 0)
			return param_error(error, v->string, text);
		store_value(&m->params[i], out, v);
		seen |= 1u << i;
	}
	for (unsigned i = 0; i < m->param_count; i++)
		if (m->params[i].required && (seen & (1u << i)) == 0) {
			snprintf(text, sizeof(text), "got nothing; accepts %s",
				m->params[i].accepts);
			return param_error(error, m->params[i].name, text);
		}
	return 0;
}

enum proto_access proto_access_needed(enum proto_method method, const void *params)
{
	const struct proto_method_info *m = &proto_methods[method];

	for (unsigned i = 0; i < m->param_count; i++)
		if (m->params[i].changes &&
			*(const bool *)((const char *)params + m->params[i].offset))
			return PROTO_ACCESS_CHANGE;
	return m->access;
}

// --- Results ---

struct check {
	char *error;
	size_t size;
	char path[256]; // where we are, cut when it grows longer
	size_t path_size;
};

static int check_fail(struct check *c, const cJSON *value, const char *accepts)
{
	char got[128];

	describe(value, got, sizeof(got));
	snprintf(c->error, c->size, "%s: got %s; accepts %s",
		c->path[0] != '\0' ? c->path : "result", got, accepts);
	return -EINVAL;
}

static size_t path_push(struct check *c, const char *name, int index)
{
	size_t before = c->path_size, room = sizeof(c->path) - before;
	int n = name != NULL ? snprintf(c->path + before, room, "%s%s", before > 0 ? "." : "", name)
	                     : snprintf(c->path + before, room, "[%d]", index);

	c->path_size = (size_t)n < room ? before + (size_t)n : sizeof(c->path) - 1;
	return before;
}

static void path_pop(struct check *c, size_t before)
{
	c->path_size = before;
	c->path[before] = '\0';
}

static int check_ref(struct check *c, const struct proto_ref *ref, const cJSON *v);

static int check_member(struct check *c, const struct proto_ref *ref, const cJSON *v)
{
	size_t before = path_push(c, v->string, 0);
	int r = check_ref(c, ref, v);

	if (r == 0)
		path_pop(c, before);
	return r;
}

static int check_object(struct check *c, const struct proto_type *t, const cJSON *object)
{
	const cJSON *v;
	int r;

	if (!cJSON_IsObject(object))
		return check_fail(c, object, "an object");
	for (unsigned i = 0; i < t->field_count; i++) {
		v = cJSON_GetObjectItemCaseSensitive(object, t->fields[i].name);
		if (v == NULL && !t->fields[i].optional) {
			path_push(c, t->fields[i].name, 0);
			snprintf(c->error, c->size, "%s: missing", c->path);
			return -EINVAL;
		}
	}
	cJSON_ArrayForEach (v, object) {
		unsigned i = 0;

		while (i < t->field_count && strcmp(t->fields[i].name, v->string) != 0)
			i++;
		if (i == t->field_count && !t->has_others) {
			path_push(c, v->string, 0);
			snprintf(c->error, c->size, "%s: not in type %s", c->path, t->name);
			return -EINVAL;
		}
		r = check_member(c, i < t->field_count ? &t->fields[i].ref : &t->others, v);
		if (r < 0)
			return r;
	}
	return 0;
}

static int check_scalar(struct check *c, const struct proto_ref *ref, const cJSON *v)
{
	switch (ref->kind) {
	case PROTO_BOOL:
		return cJSON_IsBool(v) ? 0 : check_fail(c, v, "true or false");
	case PROTO_UINT:
		if (cJSON_IsNumber(v) && is_whole(v->valuedouble) && v->valuedouble >= 0)
			return 0;
		return check_fail(c, v, "a whole number from 0 to 2^53 - 1");
	case PROTO_INT:
		if (cJSON_IsNumber(v) && is_whole(v->valuedouble))
			return 0;
		return check_fail(c, v, "a whole number up to 2^53 - 1");
	case PROTO_NUMBER:
		if (cJSON_IsNumber(v) && isfinite(v->valuedouble))
			return 0;
		return check_fail(c, v, "a number");
	case PROTO_STRING:
		return cJSON_IsString(v) ? 0 : check_fail(c, v, "text");
	case PROTO_ENUM:
		if (cJSON_IsString(v) &&
			name_index(proto_types[ref->type].names, v->valuestring) >= 0)
			return 0;
		return check_fail(c, v, proto_types[ref->type].name);
	case PROTO_OBJECT:
		return check_object(c, &proto_types[ref->type], v);
	case PROTO_ANY:
		break;
	}
	return 0;
}

static int check_ref(struct check *c, const struct proto_ref *ref, const cJSON *v)
{
	const cJSON *item;
	int index = 0, r;

	if (cJSON_IsNull(v) && ref->nullable)
		return 0;
	if (!ref->array)
		return check_scalar(c, ref, v);
	if (!cJSON_IsArray(v))
		return check_fail(c, v, "an array");
	cJSON_ArrayForEach (item, v) {
		size_t before = path_push(c, NULL, index++);

		r = check_scalar(c, ref, item);
		if (r < 0)
			return r;
		path_pop(c, before);
	}
	return 0;
}

int proto_check_reply(enum proto_method method, const cJSON *result, char *error, size_t size)
{
	struct check c = {.error = error, .size = size};

	if (result == NULL) {
		snprintf(error, size, "result: missing");
		return -EINVAL;
	}
	return check_object(&c, &proto_types[proto_methods[method].result], result);
}

// --- Socket ---

int proto_socket_path(char *path, size_t size)
{
	const char *env = getenv("PKTAID_SOCKET"), *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	if (env != NULL && env[0] != '\0')
		n = snprintf(path, size, "%s", env);
	else if (geteuid() == 0 || getenv("RUNTIME_DIRECTORY") != NULL)
		n = snprintf(path, size, "/run/pktaid/pktaid.sock");
	else if (runtime != NULL && runtime[0] != '\0')
		n = snprintf(path, size, "%s/pktaid.sock", runtime);
	else
		return -ENOENT;
	return (size_t)n < size ? 0 : -ENAMETOOLONG;
}
