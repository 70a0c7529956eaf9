// SPDX-License-Identifier: Apache-2.0
// JSON-RPC 2.0 envelopes: what is JSON, what is a request, and that ids come back as they were.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "frame.h"

static void not_json(void **state)
{
	static const struct {
		const char *text;
		size_t size; // 0: all
		const char *message;
	} bad[] = {
		{"{", 0, "not JSON"},
		{"}", 0, "not JSON"},
		{"{\"a\":1}}", 0, "more behind the end"},
		{"{\"a\":1} x", 0, "more behind the end"},
		{"{\"a\":01}", 0, "not a number"},
		{"{\"a\":1.}", 0, "not a number"},
		{"{\"a\":.5}", 0, "not JSON"},
		{"{\"a\":1e}", 0, "not a number"},
		{"{\"a\":-}", 0, "not a number"},
		{"{\"a\":\"\x01\"}", 0, "control character"},
		{"{\"a\":\"\t\"}", 0, "control character"},
		{"{\"a\":\"b\0c\"}", 11, "control character"},
		{"{\"a\":\"\\u0000\"}", 0, "NUL in a string"},
		{"{\"a\":\"\\ud800\"}", 0, "not JSON"},
		{"{\"a\":\"\xff\"}", 0, "not UTF-8"},
		{"{\"a\":\"\xc0\xaf\"}", 0, "not UTF-8"},
		{"{\"a\":\"\xed\xa0\x80\"}", 0, "not UTF-8"},
		{"{\"a\":\"\xf4\x90\x80\x80\"}", 0, "not UTF-8"},
		{"{\"a\":\"\xe2\x82\"}", 0, "not UTF-8"},
		{"{\"a\":\"b}", 0, "without end"},
		{"{\"a\":\"b\\", 0, "without end"},
		{"\x01{}", 0, "unexpected character"},
		{"{}\0", 3, "unexpected character"},
		{"\xef\xbb\xbf{}", 0, "unexpected character"},
		{"nul", 0, "not JSON"},
		{"\\u0000", 0, "not JSON"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		size_t size = bad[i].size != 0 ? bad[i].size : strlen(bad[i].text);
		char *copy = malloc(size);
		struct rpc_batch batch = {0};
		struct rpc_error error = {0};

		memcpy(copy, bad[i].text, size);
		assert_int_equal(rpc_batch_parse(copy, size, &batch, &error), -EBADMSG);
		if (error.code != RPC_PARSE_ERROR || strstr(error.message, bad[i].message) == NULL)
			fail_msg("%s: %d %s", bad[i].text, error.code, error.message);
		rpc_batch_free(&batch);
		free(copy);
	}
}

static void nesting_is_bounded(void **state)
{
	char text[1000];
	struct rpc_batch batch;
	struct rpc_error error;

	(void)state;
	for (unsigned depth = FRAME_DEPTH_MAX; depth <= FRAME_DEPTH_MAX + 1; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		if (depth <= FRAME_DEPTH_MAX) {
			assert_int_equal(
				rpc_batch_parse(text, 2 * (size_t)depth, &batch, &error), 0);
			rpc_batch_free(&batch);
		} else {
			assert_int_equal(
				rpc_batch_parse(text, 2 * (size_t)depth, &batch, &error), -EBADMSG);
			assert_non_null(strstr(error.message, "nested too deeply"));
		}
	}
	memset(text, '[', sizeof(text));
	assert_int_equal(rpc_batch_parse(text, sizeof(text), &batch, &error), -EBADMSG);
}

static void not_a_request(void **state)
{
	static const struct {
		const char *text, *message;
		bool has_id;
	} bad[] = {
		{"{}", "jsonrpc", false},
		{"{\"jsonrpc\":\"1.0\",\"method\":\"a\",\"id\":1}", "jsonrpc", true},
		{"{\"jsonrpc\":2.0,\"method\":\"a\",\"id\":1}", "jsonrpc", true},
		{"{\"JSONRPC\":\"2.0\",\"method\":\"a\",\"id\":1}", "jsonrpc", true},
		{"{\"jsonrpc\":\"2.0\",\"id\":1}", "method", true},
		{"{\"jsonrpc\":\"2.0\",\"method\":1,\"id\":1}", "method", true},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":1,\"id\":1}", "params", true},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"params\":null,\"id\":1}", "params", true},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":{}}", "id", false},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":true}", "id", false},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":9007199254740993}", "id", false},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":1e999}", "id", false},
		{"[1]", "object", false},
		{"[[]]", "object", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rpc_batch batch;
		struct rpc_request r;
		struct rpc_error error;

		assert_int_equal(
			rpc_batch_parse(bad[i].text, strlen(bad[i].text), &batch, &error), 0);
		assert_true(rpc_batch_next(&batch, &r));
		assert_null(r.method);
		assert_int_equal(r.error.code, RPC_INVALID_REQUEST);
		assert_non_null(strstr(r.error.message, bad[i].message));
		assert_int_equal(r.id != NULL, bad[i].has_id);
		assert_false(rpc_batch_next(&batch, &r));
		rpc_batch_free(&batch);
	}
}

static void not_a_batch(void **state)
{
	static const char *const bad[] = {"[]", "1", "\"a\"", "null", "true"};
	struct rpc_batch batch;
	struct rpc_error error;
	char *text = malloc(2 * RPC_BATCH_MAX + 4);
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(rpc_batch_parse(bad[i], strlen(bad[i]), &batch, &error), -EBADMSG);
		assert_int_equal(error.code, RPC_INVALID_REQUEST);
	}
	for (int i = 0; i <= RPC_BATCH_MAX; i++) {
		text[at++] = i == 0 ? '[' : ',';
		text[at++] = '1';
	}
	text[at++] = ']';
	assert_int_equal(rpc_batch_parse(text, at, &batch, &error), -EBADMSG);
	assert_int_equal(error.code, RPC_INVALID_REQUEST);
	assert_string_equal(error.message, "a batch of 101 requests; it takes 1 to 100");
	text[at - 3] = ']';
	assert_int_equal(rpc_batch_parse(text, at - 2, &batch, &error), 0);
	rpc_batch_free(&batch);
	free(text);
}

static void batch_with_notifications(void **state)
{
	static const char text[] =
		"[{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":1},"
		"{\"jsonrpc\":\"2.0\",\"method\":\"b\",\"params\":{\"x\":1}},"
		"{\"jsonrpc\":\"2.0\",\"method\":\"c\",\"id\":null,\"params\":[1]}]";
	struct rpc_batch batch;
	struct rpc_request r;
	struct rpc_error error;

	(void)state;
	assert_int_equal(rpc_batch_parse(text, strlen(text), &batch, &error), 0);
	assert_true(batch.is_batch);
	assert_true(rpc_batch_next(&batch, &r));
	assert_string_equal(r.method, "a");
	assert_int_equal(r.error.code, 0);
	assert_non_null(r.id);
	assert_null(r.params);
	assert_true(rpc_batch_next(&batch, &r));
	assert_string_equal(r.method, "b");
	assert_null(r.id);
	assert_true(cJSON_IsObject(r.params));
	assert_true(rpc_batch_next(&batch, &r));
	assert_true(cJSON_IsNull(r.id)); // null is an id
	assert_true(cJSON_IsArray(r.params));
	assert_false(rpc_batch_next(&batch, &r));
	rpc_batch_free(&batch);
	rpc_batch_free(&batch);
}

static void ids_come_back(void **state)
{
	static const char *const ids[] = {"0", "-1", "9007199254740991", "1.5", "\"\"", "\"7\"",
		"\"a\\\"\\n\xc3\xa4\"", "null"};
	struct rpc_error error;

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		char line[200], want[300];
		struct rpc_batch batch;
		struct rpc_request r;
		size_t size;
		char *text;

		snprintf(line, sizeof(line), "{\"jsonrpc\":\"2.0\",\"method\":\"a\",\"id\":%s}",
			ids[i]);
		assert_int_equal(rpc_batch_parse(line, strlen(line), &batch, &error), 0);
		assert_false(batch.is_batch);
		assert_true(rpc_batch_next(&batch, &r));
		assert_string_equal(r.method, "a");
		text = rpc_reply_result(r.id, "{\"x\":1}", 7, &size);
		snprintf(want, sizeof(want), "{\"jsonrpc\":\"2.0\",\"result\":{\"x\":1},\"id\":%s}",
			ids[i]);
		assert_string_equal(text, want);
		assert_int_equal(size, strlen(want));
		free(text);
		rpc_error_set(&error, RPC_NOT_FOUND, "no \"%s\"", "x");
		text = rpc_reply_error(r.id, &error, &size);
		snprintf(want, sizeof(want),
			"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32002,\"message\":\"no "
			"\\\"x\\\"\"},\"id\":%s}",
			ids[i]);
		assert_string_equal(text, want);
		assert_int_equal(size, strlen(want));
		free(text);
		rpc_batch_free(&batch);
	}
}

static void errors_name_their_parameter(void **state)
{
	struct rpc_error error;
	size_t size;
	char *text;

	(void)state;
	rpc_error_set(&error, RPC_INVALID_PARAMS, NULL);
	strcpy(error.parameter, "n");
	text = rpc_reply_error(NULL, &error, &size);
	assert_non_null(strstr(text, "\"data\":{\"parameter\":\"n\"}},\"id\":null}"));
	free(text);
}

static void requests_keep_53_bits(void **state)
{
	cJSON *params = cJSON_CreateObject();
	size_t size;
	char *text;

	(void)state;
	cJSON_AddNumberToObject(params, "flow_id", 9007199254740991.0);
	text = rpc_request_text(3, "flows.get", params, &size);
	assert_string_equal(text, "{\"jsonrpc\":\"2.0\",\"id\":3,\"method\":\"flows.get\","
				  "\"params\":{\"flow_id\":9007199254740991}}");
	assert_int_equal(size, strlen(text));
	free(text);
}

static void long_messages_stay_utf8(void **state)
{
	char words[700];
	struct rpc_error error;
	size_t size;
	char *text;

	(void)state;
	for (unsigned shift = 0; shift < 4; shift++) {
		struct rpc_batch batch;
		struct rpc_error problem;

		memset(words, 'x', shift);
		for (size_t i = shift; i + 4 < sizeof(words); i += 4)
			memcpy(words + i, "\xf0\x9f\x98\x80", 5);
		rpc_error_set(&error, RPC_FAILED, "%s", words);
		assert_true(strlen(error.message) > RPC_ERROR_MESSAGE_MAX - 6);
		text = rpc_reply_error(NULL, &error, &size);
		assert_int_equal(rpc_batch_parse(text, size, &batch, &problem), 0);
		rpc_batch_free(&batch);
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(not_json),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(not_a_request),
		cmocka_unit_test(not_a_batch),
		cmocka_unit_test(batch_with_notifications),
		cmocka_unit_test(ids_come_back),
		cmocka_unit_test(errors_name_their_parameter),
		cmocka_unit_test(requests_keep_53_bits),
		cmocka_unit_test(long_messages_stay_utf8),
	};

	return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
