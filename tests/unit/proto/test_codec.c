// SPDX-License-Identifier: Apache-2.0
// Parameters: every kind of error names the parameter, what it got and what it accepts. Results:
// what does not match the declared type is found, with where it is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>

#include "codec.h"
#include "frame.h"

static int decode(enum proto_method m, const char *json, union rpc_params *out,
	struct rpc_error *error, cJSON **ret)
{
	char problem[64];

	*ret = frame_parse_json(json, strlen(json), FRAME_DEPTH_MAX, problem, sizeof(problem));
	if (*ret == NULL)
		fail_msg("%s: %s", json, problem);
	return proto_decode_params(m, *ret, out, error);
}

static void defaults_are_filled(void **state)
{
	union rpc_params p;
	struct rpc_error e;

	(void)state;
	memset(&p, 0xa5, sizeof(p));
	assert_int_equal(proto_decode_params(PROTO_FLOWS_TOP, NULL, &p, &e), 0);
	assert_int_equal(p.flows_top.n, 10);
	assert_int_equal(p.flows_top.by, RPC_FLOW_METRIC_BYTES);
	assert_int_equal(p.flows_top.state, RPC_FLOW_STATE_ALL);
	assert_false(p.flows_top.ascending);
	assert_null(p.flows_top.filter);
	assert_null(p.flows_top.app);
	memset(&p, 0xa5, sizeof(p));
	assert_int_equal(proto_decode_params(PROTO_FLOWS_LIST, NULL, &p, &e), 0);
	assert_false(p.flows_list.has_by);
	assert_int_equal(p.flows_list.limit, 100);
	assert_null(p.flows_list.cursor);
}

static void values_arrive(void **state)
{
	union rpc_params p;
	struct rpc_error e;
	cJSON *json;

	(void)state;
	assert_int_equal(
		decode(PROTO_FLOWS_TOP,
			"{\"n\":1000,\"by\":\"last-seen\",\"ascending\":true,\"state\":\"ended\","
			"\"filter\":\"host ::1\",\"app\":null,\"capture\":\"\xc3\xa4\"}",
			&p, &e, &json),
		0);
	assert_int_equal(p.flows_top.n, 1000);
	assert_int_equal(p.flows_top.by, RPC_FLOW_METRIC_LAST_SEEN);
	assert_true(p.flows_top.ascending);
	assert_int_equal(p.flows_top.state, RPC_FLOW_STATE_ENDED);
	assert_string_equal(p.flows_top.filter, "host ::1");
	assert_null(p.flows_top.app);
	assert_string_equal(p.flows_top.capture, "\xc3\xa4");
	cJSON_Delete(json);
	assert_int_equal(
		decode(PROTO_FLOWS_GET, "{\"flow_id\":9007199254740991}", &p, &e, &json), 0);
	assert_true(p.flows_get.flow_id == PROTO_UINT_MAX);
	cJSON_Delete(json);
	assert_int_equal(decode(PROTO_FLOWS_LIST, "{\"by\":\"score\"}", &p, &e, &json), 0);
	assert_true(p.flows_list.has_by);
	assert_int_equal(p.flows_list.by, RPC_FLOW_METRIC_SCORE);
	cJSON_Delete(json);
}

static void errors_name_what_is_wrong(void **state)
{
	static const struct {
		enum proto_method method;
		const char *json, *parameter, *message;
	} bad[] = {
		{PROTO_FLOWS_TOP, "[]", "",
			"params: got an array; accepts an object, parameters by name"},
		{PROTO_FLOWS_TOP, "{\"n\":0}", "n",
			"n: got 0; accepts a whole number from 1 to 1000"},
		{PROTO_FLOWS_TOP, "{\"n\":1001}", "n",
			"n: got 1001; accepts a whole number from 1 to 1000"},
		{PROTO_FLOWS_TOP, "{\"n\":1.5}", "n",
			"n: got 1.5; accepts a whole number from 1 to 1000"},
		{PROTO_FLOWS_TOP, "{\"n\":-1}", "n",
			"n: got -1; accepts a whole number from 1 to 1000"},
		{PROTO_FLOWS_TOP, "{\"n\":\"5\"}", "n",
			"n: got \"5\"; accepts a whole number from 1 to 1000"},
		{PROTO_FLOWS_TOP, "{\"n\":true}", "n",
			"n: got true; accepts a whole number from 1 to 1000"},
		{PROTO_FLOWS_TOP, "{\"n\":[1]}", "n",
			"n: got an array; accepts a whole number from 1 to 1000"},
		{PROTO_FLOWS_TOP, "{\"n\":{}}", "n",
			"n: got an object; accepts a whole number from 1 to 1000"},
		{PROTO_FLOWS_TOP, "{\"n\":5,\"n\":6}", "n", "n: given twice"},
		{PROTO_FLOWS_TOP, "{\"N\":5}", "N",
			"N: no such parameter; accepts n, by, ascending, state, capture, filter, "
			"app (did you mean n?)"},
		{PROTO_FLOWS_TOP, "{\"ascending\":1}", "ascending",
			"ascending: got 1; accepts true or false"},
		{PROTO_FLOWS_TOP, "{\"by\":\"byte\"}", "by",
			"by: got \"byte\"; accepts one of bytes, packets, throughput, duration, "
			"start, last-seen, score (did you mean bytes?)"},
		{PROTO_FLOWS_TOP, "{\"state\":1}", "state",
			"state: got 1; accepts one of active, ended, all"},
		{PROTO_FLOWS_TOP, "{\"app\":\"01234567890123456789012345678901\"}", "app",
			"app: got \"01234567890123456789012345678901\"; accepts text of at most 31 "
			"bytes"},
		{PROTO_FLOWS_GET, "{}", "flow_id",
			"flow_id: got nothing; accepts a whole number from 0 to 2^53 - 1"},
		{PROTO_FLOWS_GET, "{\"flow_id\":null}", "flow_id",
			"flow_id: got null; accepts a whole number from 0 to 2^53 - 1"},
		{PROTO_FLOWS_GET, "{\"flow_id\":9007199254740992}", "flow_id",
			"flow_id: got 9007199254740992; accepts a whole number from 0 to 2^53 - 1"},
		{PROTO_FLOWS_GET, "{\"flow_id\":1e999}", "flow_id",
			"flow_id: got inf; accepts a whole number from 0 to 2^53 - 1"},
		{PROTO_SYSTEM_INFO, "{\"x\":1}", "x", "x: no such parameter; accepts none"},
		{PROTO_CAPTURE_START, "{\"source\":\"\"}", "source",
			"source: got \"\"; accepts text of 1 to 4159 bytes"},
		{PROTO_CAPTURE_START, "{\"source\":\"pcap:x\",\"name\":\"a b\"}", "name",
			"name: got \"a b\"; accepts text of 1 to 63 bytes: letters, digits and . _ "
			"- : / @ +, a letter or digit first"},
		{PROTO_CAPTURE_START, "{\"source\":\"pcap:x\",\"name\":\"-a\"}", "name",
			"name: got \"-a\"; accepts text of 1 to 63 bytes: letters, digits and . _ "
			"- : / @ +, a letter or digit first"},
		{PROTO_CAPTURE_START, "{\"name\":\"x\"}", "source",
			"source: got nothing; accepts text of 1 to 4159 bytes"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct rpc_error e = {0};
		union rpc_params p;
		cJSON *json;

		assert_int_equal(
			decode(bad[i].method, bad[i].json, &p, &e, &json), RPC_INVALID_PARAMS);
		assert_int_equal(e.code, RPC_INVALID_PARAMS);
		assert_string_equal(e.message, bad[i].message);
		assert_string_equal(e.parameter, bad[i].parameter);
		cJSON_Delete(json);
	}
}

static void long_values_are_cut_at_a_character(void **state)
{
	char json[4000] = "{\"state\":\"x";
	struct rpc_error e;
	union rpc_params p;
	cJSON *tree, *back;
	char *text;
	size_t size;

	(void)state;
	for (int i = 0; i < 100; i++)
		strcat(json, "\xc3\xa4");
	strcat(json, "\"}");
	assert_int_equal(decode(PROTO_FLOWS_TOP, json, &p, &e, &tree), RPC_INVALID_PARAMS);
	assert_non_null(strstr(e.message, "\xc3\xa4...\"; accepts one of"));
	text = rpc_reply_error(NULL, &e, &size);
	back = frame_parse_json(text, size, 8, json, sizeof(json));
	assert_non_null(back);
	cJSON_Delete(back);
	cJSON_Delete(tree);
	free(text);
}

static void methods_are_found(void **state)
{
	struct rpc_error e;

	(void)state;
	for (int i = 0; i < PROTO_METHOD_COUNT; i++)
		assert_int_equal(proto_method_find(proto_methods[i].name, NULL), i);
	assert_int_equal(proto_method_find("flows.topp", &e), -ENOENT);
	assert_int_equal(e.code, RPC_METHOD_NOT_FOUND);
	assert_string_equal(e.message, "no method \"flows.topp\"; did you mean flows.top?");
	assert_int_equal(proto_method_find("Flows.Top", &e), -ENOENT);
	assert_int_equal(proto_method_find("", &e), -ENOENT);
	assert_int_equal(proto_method_find("nothing like it at all", &e), -ENOENT);
	assert_non_null(strstr(e.message, "rpc.discover"));
}

static void access_grows_with_a_parameter(void **state)
{
	union rpc_params p;
	struct rpc_error e;
	cJSON *json;

	(void)state;
	assert_int_equal(proto_decode_params(PROTO_STATS_GET, NULL, &p, &e), 0);
	assert_int_equal(proto_access_needed(PROTO_STATS_GET, &p), PROTO_ACCESS_READ);
	assert_int_equal(decode(PROTO_STATS_GET, "{\"reset\":true}", &p, &e, &json), 0);
	assert_int_equal(proto_access_needed(PROTO_STATS_GET, &p), PROTO_ACCESS_CHANGE);
	cJSON_Delete(json);
	assert_int_equal(decode(PROTO_CAPTURE_STOP, "{\"name\":\"x\"}", &p, &e, &json), 0);
	assert_int_equal(proto_access_needed(PROTO_CAPTURE_STOP, &p), PROTO_ACCESS_CHANGE);
	cJSON_Delete(json);
}

static void words_become_values(void **state)
{
	const struct proto_param *n = &proto_methods[PROTO_FLOWS_TOP].params[0];
	static const char *const bad[] = {
		"", "0", "x", "1x", " 1", "0x10", "inf", "nan", "1.5", "1e9", "-1"};
	char text[400];
	cJSON *v;

	(void)state;
	assert_string_equal(n->name, "n");
	v = proto_value_from_word(n, "25", text, sizeof(text));
	assert_non_null(v);
	assert_int_equal(v->valueint, 25);
	cJSON_Delete(v);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		v = proto_value_from_word(n, bad[i], text, sizeof(text));
		if (v != NULL)
			fail_msg("took \"%s\"", bad[i]);
		assert_non_null(strstr(text, "accepts a whole number from 1 to 1000"));
	}
}

static void replies_are_checked(void **state)
{
	static const struct {
		enum proto_method method;
		const char *json, *error; // NULL: right
	} rows[] = {
		{PROTO_CAPTURE_START, "{\"name\":\"a\"}", NULL},
		{PROTO_CAPTURE_START, "{}", "name: missing"},
		{PROTO_CAPTURE_START, "{\"name\":1}", "name: got 1; accepts text"},
		{PROTO_CAPTURE_START, "{\"name\":null}", "name: got null; accepts text"},
		{PROTO_CAPTURE_START, "{\"name\":\"a\",\"x\":1}", "x: not in type CaptureStarted"},
		{PROTO_CAPTURE_START, "[]", "result: got an array; accepts an object"},
		{PROTO_FLOWS_FLUSH, "{\"ended\":1}", NULL},
		{PROTO_FLOWS_FLUSH, "{\"ended\":-1}",
			"ended: got -1; accepts a whole number from 0 to 2^53 - 1"},
		{PROTO_FLOWS_FLUSH, "{\"ended\":0.5}",
			"ended: got 0.5; accepts a whole number from 0 to 2^53 - 1"},
		{PROTO_FLOWS_FLUSH, "{\"ended\":9007199254740992}",
			"ended: got 9007199254740992; accepts a whole number from 0 to 2^53 - 1"},
		{PROTO_FLOWS_LIST, "{\"flows\":[],\"cursor\":null}", NULL},
		{PROTO_FLOWS_LIST, "{\"flows\":null,\"cursor\":null}",
			"flows: got null; accepts an array"},
		{PROTO_FLOWS_LIST, "{\"flows\":[1],\"cursor\":null}",
			"flows[0]: got 1; accepts an object"},
		{PROTO_SYSTEM_LOG_LEVEL, "{\"level\":\"info\",\"previous\":\"loud\"}",
			"previous: got \"loud\"; accepts LogLevel"},
		{PROTO_DROPS_GET, "{\"captures\":[],\"malformed\":{\"any_name\":3}}", NULL},
		{PROTO_DROPS_GET, "{\"captures\":[],\"malformed\":{\"any_name\":\"3\"}}",
			"malformed.any_name: got \"3\"; accepts a whole number from 0 to 2^53 - 1"},
		{PROTO_DROPS_GET,
			"{\"captures\":[{\"name\":\"a\",\"offered\":1,\"received\":1,\"processed\":"
			"1,\"filtered\":0,"
			"\"dropped\":{},\"device\":{\"missed\":0,\"errors\":0,\"no_mbuf\":0}}],"
			"\"malformed\":{}}",
			"captures[0].device.kernel: missing"},
		{PROTO_STATS_GET,
			"{\"sections\":[{\"name\":\"flow\",\"counters\":[{\"name\":\"a\",\"value\":"
			"1,\"unit\":\"b\","
			"\"kind\":\"sum\",\"help\":\"c\"},{\"name\":\"a\",\"value\":1,\"unit\":"
			"\"b\","
			"\"kind\":\"summ\",\"help\":\"c\"}]}]}",
			"sections[0].counters[1].kind: got \"summ\"; accepts CounterKind"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char problem[64], error[400] = "";
		cJSON *json = frame_parse_json(
			rows[i].json, strlen(rows[i].json), 32, problem, sizeof(problem));
		int r;

		assert_non_null(json);
		r = proto_check_reply(rows[i].method, json, error, sizeof(error));
		if (r != (rows[i].error != NULL ? -EINVAL : 0) ||
			strcmp(error, rows[i].error != NULL ? rows[i].error : "") != 0)
			fail_msg("%s: %d \"%s\"", rows[i].json, r, error);
		cJSON_Delete(json);
	}
}

static void openrpc_matches_its_own_type(void **state)
{
	char error[400] = "";
	cJSON *json = frame_parse_json(
		proto_openrpc, proto_openrpc_size, FRAME_DEPTH_MAX, error, sizeof(error));

	(void)state;
	if (json == NULL || proto_check_reply(PROTO_RPC_DISCOVER, json, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	cJSON_Delete(json);
}

static void nearest_is_near(void **state)
{
	static const char *const names[] = {"status", "stats", "flows", "flow", "capture", NULL};

	(void)state;
	assert_string_equal(proto_nearest("stauts", names, SIZE_MAX), "status");
	assert_string_equal(proto_nearest("flwo", names, SIZE_MAX), "flow");
	assert_string_equal(proto_nearest("captrue", names, 5), "capture");
	assert_null(proto_nearest("", names, SIZE_MAX));
	assert_null(proto_nearest("x", names, SIZE_MAX));
	assert_null(proto_nearest("nothing", names, SIZE_MAX));
	assert_null(proto_nearest("captrue", names, 4));
	assert_null(
		proto_nearest("a word that is far longer than any name could be", names, SIZE_MAX));
}

static void socket_path_rules(void **state)
{
	char path[64];

	(void)state;
	setenv("PKTAID_SOCKET", "/x/y.sock", 1);
	assert_int_equal(proto_socket_path(path, sizeof(path)), 0);
	assert_string_equal(path, "/x/y.sock");
	assert_int_equal(proto_socket_path(path, 5), -ENAMETOOLONG);
	unsetenv("PKTAID_SOCKET");
	setenv("RUNTIME_DIRECTORY", "/run/pktaid", 1);
	assert_int_equal(proto_socket_path(path, sizeof(path)), 0);
	assert_string_equal(path, "/run/pktaid/pktaid.sock");
	unsetenv("RUNTIME_DIRECTORY");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_filled),
		cmocka_unit_test(values_arrive),
		cmocka_unit_test(errors_name_what_is_wrong),
		cmocka_unit_test(long_values_are_cut_at_a_character),
		cmocka_unit_test(methods_are_found),
		cmocka_unit_test(access_grows_with_a_parameter),
		cmocka_unit_test(words_become_values),
		cmocka_unit_test(replies_are_checked),
		cmocka_unit_test(openrpc_matches_its_own_type),
		cmocka_unit_test(nearest_is_near),
		cmocka_unit_test(socket_path_rules),
	};

	return cmocka_run_group_tests_name("codec", tests, NULL, NULL);
}
