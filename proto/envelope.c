// SPDX-License-Identifier: Apache-2.0
// Lines to JSON-RPC 2.0 requests and answers to lines. cJSON is lax (control characters count as
// white space, text need not be UTF-8, \u0000 ends a string early), so a strict pass over the bytes
// comes first; it also bounds the nesting, and with it cJSON's recursion.
#include "frame.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

// --- Strictness ---

// Length of the UTF-8 character at s (n bytes left), 0 when it is none (RFC 3629).
static size_t utf8_length(const unsigned char *s, size_t n)
{
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		len = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		len = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		len = 4;
	else
		return 0;
	if (n < len)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
		(s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

// A number as RFC 8259 has it: no leading zeros, a digit on both sides of the point. cJSON lets
// strtod decide. Returns its length, or 0.
static size_t number_length(const unsigned char *s, size_t n)
{
	size_t i = 0, digits;

	if (i < n && s[i] == '-')
		i++;
	digits = i;
	while (i < n && s[i] >= '0' && s[i] <= '9')
		i++;
	if (i == digits || (s[digits] == '0' && i > digits + 1))
		return 0;
	if (i < n && s[i] == '.') {
		digits = ++i;
		while (i < n && s[i] >= '0' && s[i] <= '9')
			i++;
		if (i == digits)
			return 0;
	}
	if (i < n && (s[i] == 'e' || s[i] == 'E')) {
		i++;
		if (i < n && (s[i] == '+' || s[i] == '-'))
			i++;
		digits = i;
		while (i < n && s[i] >= '0' && s[i] <= '9')
			i++;
		if (i == digits)
			return 0;
	}
	return i;
}

struct scan {
	const unsigned char *text;
	size_t size, at;
	const char *problem;
};

// The rest of a string, from behind its opening quote to behind its closing one.
static bool scan_string(struct scan *s)
{
	while (s->at < s->size) {
		unsigned char c = s->text[s->at];
		size_t len;

		if (c == '"') {
			s->at++;
			return true;
		}
		if (c < 0x20) {
			s->problem = "control character in a string";
			return false;
		}
		if (c == '\\') {
			if (s->size - s->at >= 6 && memcmp(s->text + s->at, "\\u0000", 6) == 0) {
				s->problem = "NUL in a string";
				return false;
			}
			s->at += 2;
			continue;
		}
		len = utf8_length(s->text + s->at, s->size - s->at);
		if (len == 0) {
			s->problem = "not UTF-8";
			return false;
		}
		s->at += len;
	}
	s->problem = "a string without end";
	return false;
}

// What cJSON would let pass. Returns false with problem and at set.
static bool scan_json(struct scan *s, unsigned depth_max)
{
	unsigned depth = 0;

	while (s->at < s->size) {
		unsigned char c = s->text[s->at];
		size_t len;

		if (c == '"') {
			s->at++;
			if (!scan_string(s))
				return false;
			continue;
		}
		if (c == '-' || (c >= '0' && c <= '9')) {
			len = number_length(s->text + s->at, s->size - s->at);
			if (len == 0) {
				s->problem = "not a number of JSON";
				return false;
			}
			s->at += len;
			continue;
		}
		if (c == '{' || c == '[') {
			if (++depth > depth_max) {
				s->problem = "nested too deeply";
				return false;
			}
		} else if (c == '}' || c == ']') {
			depth -= depth > 0;
		} else if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c >= 0x7f) {
			s->problem = "unexpected character";
			return false;
		}
		s->at++;
	}
	return true;
}

cJSON *frame_parse_json(
	const char *text, size_t size, unsigned depth_max, char *error, size_t error_size)
{
	struct scan s = {(const unsigned char *)text, size, 0, NULL};
	const char *end = NULL;
	cJSON *json;

	if (!scan_json(&s, depth_max)) {
		snprintf(error, error_size, "byte %zu: %s", s.at + 1, s.problem);
		return NULL;
	}
	json = cJSON_ParseWithLengthOpts(text, size, &end, 0);
	if (json == NULL) {
		snprintf(error, error_size, "byte %zu: not JSON",
			end >= text && end <= text + size ? (size_t)(end - text) + 1 : size);
		return NULL;
	}
	while (end < text + size && strchr(" \t\r\n", *end) != NULL && *end != '\0')
		end++;
	if (end < text + size) {
		snprintf(error, error_size, "byte %zu: more behind the end",
			(size_t)(end - text) + 1);
		cJSON_Delete(json);
		return NULL;
	}
	return json;
}

// --- Requests ---

int rpc_batch_parse(const char *text, size_t size, struct rpc_batch *ret, struct rpc_error *error)
{
	char problem[64];
	cJSON *json = frame_parse_json(text, size, FRAME_DEPTH_MAX, problem, sizeof(problem));
	int n;

	if (json == NULL) {
		rpc_error_set(error, RPC_PARSE_ERROR, "not JSON in UTF-8: %s", problem);
		return -EBADMSG;
	}
	if (!cJSON_IsObject(json) && !cJSON_IsArray(json)) {
		rpc_error_set(
			error, RPC_INVALID_REQUEST, "a request is an object, a batch an array");
		goto bad;
	}
	if (cJSON_IsArray(json)) {
		n = cJSON_GetArraySize(json);
		if (n == 0 || n > RPC_BATCH_MAX) {
			rpc_error_set(error, RPC_INVALID_REQUEST,
				"a batch of %d requests; it takes 1 to %d", n, RPC_BATCH_MAX);
			goto bad;
		}
	}
	ret->json = json;
	ret->is_batch = cJSON_IsArray(json);
	ret->next = ret->is_batch ? json->child : json;
	return 0;
bad:
	cJSON_Delete(json);
	return -EBADMSG;
}

static bool id_is_valid(const cJSON *id)
{
	if (cJSON_IsString(id) || cJSON_IsNull(id))
		return true;
	// a number that a double does not hold would come back as another one
	return cJSON_IsNumber(id) && isfinite(id->valuedouble) &&
	       fabs(id->valuedouble) <= (double)PROTO_UINT_MAX;
}

static void request_fail(struct rpc_request *r, const char *text)
{
	rpc_error_set(&r->error, RPC_INVALID_REQUEST, "%s", text);
}

static void request_parse(const cJSON *json, struct rpc_request *ret)
{
	const cJSON *version, *method;

	memset(ret, 0, sizeof(*ret));
	if (!cJSON_IsObject(json)) {
		request_fail(ret, "a request is an object");
		return;
	}
	version = cJSON_GetObjectItemCaseSensitive(json, "jsonrpc");
	method = cJSON_GetObjectItemCaseSensitive(json, "method");
	ret->id = cJSON_GetObjectItemCaseSensitive(json, "id");
	ret->params = cJSON_GetObjectItemCaseSensitive(json, "params");
	if (ret->id != NULL && !id_is_valid(ret->id)) {
		ret->id = NULL;
		request_fail(ret, "id: accepts text, a number up to 2^53 - 1, or null");
	} else if (!cJSON_IsString(version) || strcmp(version->valuestring, "2.0") != 0) {
		request_fail(ret, "jsonrpc: accepts \"2.0\"");
	} else if (!cJSON_IsString(method)) {
		request_fail(ret, "method: accepts the name of a method");
	} else if (ret->params != NULL && !cJSON_IsObject(ret->params) &&
		   !cJSON_IsArray(ret->params)) {
		request_fail(ret, "params: accepts an object");
	} else {
		ret->method = method->valuestring;
	}
}

bool rpc_batch_next(struct rpc_batch *b, struct rpc_request *ret)
{
	if (b->next == NULL)
		return false;
	request_parse(b->next, ret);
	b->next = b->is_batch ? b->next->next : NULL;
	return true;
}

void rpc_batch_free(struct rpc_batch *b)
{
	cJSON_Delete(b->json);
	b->json = NULL;
	b->next = NULL;
}

// --- Answers ---

// Whole numbers that %1.15g (what cJSON prints) would round become raw text.
static bool numbers_exact(cJSON *json)
{
	char text[32];
	cJSON *v;

	if (cJSON_IsNumber(json) && fabs(json->valuedouble) >= 1e15 &&
		fabs(json->valuedouble) <= (double)PROTO_UINT_MAX &&
		floor(json->valuedouble) == json->valuedouble) {
		snprintf(text, sizeof(text), "%.0f", json->valuedouble);
		json->valuestring = cJSON_malloc(strlen(text) + 1);
		if (json->valuestring == NULL)
			return false;
		memcpy(json->valuestring, text, strlen(text) + 1);
		json->type = (json->type & ~0xff) | cJSON_Raw;
	}
	// depth is bounded by what made the tree: the parser or our own code
	cJSON_ArrayForEach (v, json)
		if (!numbers_exact(v))
			return false;
	return true;
}

char *frame_print_json(cJSON *json)
{
	return json != NULL && numbers_exact(json) ? cJSON_PrintUnformatted(json) : NULL;
}

char *rpc_reply_result(const cJSON *id, const char *result, size_t result_size, size_t *ret_size)
{
	cJSON *copy = id != NULL ? cJSON_Duplicate(id, 0) : cJSON_CreateNull();
	char *id_text = frame_print_json(copy), *text = NULL;
	size_t size = 0;
	FILE *f;

	cJSON_Delete(copy);
	if (id_text == NULL)
		return NULL;
	f = open_memstream(&text, &size);
	if (f != NULL) {
		fputs("{\"jsonrpc\":\"2.0\",\"result\":", f);
		fwrite(result, 1, result_size, f);
		fprintf(f, ",\"id\":%s}", id_text);
		if (fclose(f) != 0) {
			free(text);
			text = NULL;
		}
	}
	free(id_text);
	if (text != NULL)
		*ret_size = size;
	return text;
}

char *rpc_reply_error(const cJSON *id, const struct rpc_error *error, size_t *ret_size)
{
	cJSON *reply = cJSON_CreateObject(), *e, *data;
	cJSON *id_copy = id != NULL ? cJSON_Duplicate(id, 0) : cJSON_CreateNull();
	char *text = NULL;

	cJSON_AddStringToObject(reply, "jsonrpc", "2.0");
	e = cJSON_AddObjectToObject(reply, "error");
	cJSON_AddNumberToObject(e, "code", error->code);
	if (cJSON_AddStringToObject(e, "message", error->message) == NULL)
		goto out;
	if (error->parameter[0] != '\0') {
		data = cJSON_AddObjectToObject(e, "data");
		if (cJSON_AddStringToObject(data, "parameter", error->parameter) == NULL)
			goto out;
	}
	if (!cJSON_AddItemToObject(reply, "id", id_copy))
		goto out;
	id_copy = NULL;
	text = frame_print_json(reply);
	if (text != NULL)
		*ret_size = strlen(text);
out:
	cJSON_Delete(id_copy);
	cJSON_Delete(reply);
	return text;
}

char *rpc_request_text(unsigned id, const char *method, cJSON *params, size_t *ret_size)
{
	cJSON *request = cJSON_CreateObject();
	char *text = NULL;

	cJSON_AddStringToObject(request, "jsonrpc", "2.0");
	cJSON_AddNumberToObject(request, "id", id);
	if (cJSON_AddStringToObject(request, "method", method) == NULL)
		goto out;
	if (params != NULL) {
		if (!cJSON_AddItemToObject(request, "params", params))
			goto out;
		params = NULL;
	}
	text = frame_print_json(request);
	if (text != NULL)
		*ret_size = strlen(text);
out:
	cJSON_Delete(params);
	cJSON_Delete(request);
	return text;
}
