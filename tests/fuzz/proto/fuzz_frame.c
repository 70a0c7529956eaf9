// SPDX-License-Identifier: Apache-2.0
// What a client can send: bytes to lines, to requests, to decoded parameters, to answers. The first
// byte chooses in what pieces the rest arrives. Checks that the result does not depend on it, that
// memory stays within the limit, and that every answer is one line of valid JSON.
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LIMIT = 4096 };

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);            \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static void check_answer(char *text, size_t size)
{
	char problem[64];
	cJSON *json;

	CHECK(text != NULL);
	CHECK(strlen(text) == size);
	CHECK(memchr(text, '\n', size) == NULL);
	json = frame_parse_json(text, size, FRAME_DEPTH_MAX, problem, sizeof(problem));
	CHECK(json != NULL);
	cJSON_Delete(json);
	free(text);
}

static void one_request(const struct rpc_request *r)
{
	union rpc_params params;
	struct rpc_error error = r->error;
	size_t size = 0;
	char *text;
	int method;

	if (r->method != NULL) {
		method = proto_method_find(r->method, &error);
		if (method >= 0) {
			error.code = proto_decode_params(
				(enum proto_method)method, r->params, &params, &error);
			if (error.code == 0)
				(void)proto_access_needed((enum proto_method)method, &params);
		}
	}
	text = error.code != 0 ? rpc_reply_error(r->id, &error, &size)
	                       : rpc_reply_result(r->id, "{}", 2, &size);
	check_answer(text, size);
}

static void one_line(const char *line, size_t line_size)
{
	struct rpc_batch batch;
	struct rpc_request request;
	struct rpc_error error;
	size_t size = 0;
	char *text;

	if (rpc_batch_parse(line, line_size, &batch, &error) < 0) {
		text = rpc_reply_error(NULL, &error, &size);
		check_answer(text, size);
		return;
	}
	while (rpc_batch_next(&batch, &request))
		one_request(&request);
	rpc_batch_free(&batch);
}

// Feeds all in pieces. Returns a sum over what came out.
static uint64_t feed(const uint8_t *data, size_t size, size_t piece, int look)
{
	uint64_t sum = 14695981039346656037u;
	struct frame f;

	frame_init(&f, LIMIT);
	while (size > 0) {
		size_t n = piece < size ? piece : size, left = n, line_size = 0;
		char *copy = malloc(n); // of exactly this size, so that a sanitizer sees overruns
		const char *at = copy, *line = NULL;
		int r;

		CHECK(copy != NULL);
		memcpy(copy, data, n);
		while ((r = frame_next(&f, &at, &left, &line, &line_size)) != 0) {
			sum = (sum ^ (uint64_t)(r < 0)) * 1099511628211u;
			for (size_t i = 0; r > 0 && i < line_size; i++)
				sum = (sum ^ (uint8_t)line[i]) * 1099511628211u;
			if (r > 0 && look)
				one_line(line, line_size);
		}
		CHECK(left == 0);
		CHECK(f.capacity <= LIMIT);
		free(copy);
		data += n;
		size -= n;
	}
	frame_fini(&f);
	return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece;

	if (size == 0)
		return 0;
	piece = (size_t)data[0] + 1;
	CHECK(feed(data + 1, size - 1, size, 1) == feed(data + 1, size - 1, piece, 0));
	return 0;
}
