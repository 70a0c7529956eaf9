// SPDX-License-Identifier: Apache-2.0
// pktctl call and completion.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "ctl.h"
#include "frame.h"

// All of standard input, at most what a request may hold. Returns NULL with an error printed.
static char *read_stdin(size_t *ret_size)
{
	char *text = malloc(FRAME_REQUEST_MAX + 1);
	size_t size = 0;

	if (text != NULL)
		size = fread(text, 1, FRAME_REQUEST_MAX + 1, stdin);
	if (text == NULL || ferror(stdin)) {
		ctl_error("call: cannot read standard input: %s", strerror(errno));
	} else if (size > FRAME_REQUEST_MAX) {
		ctl_error("call: the parameters are larger than %d bytes", FRAME_REQUEST_MAX);
	} else {
		*ret_size = size;
		return text;
	}
	free(text);
	return NULL;
}

static int parse_params(const char *word, cJSON **ret)
{
	char *input = NULL, problem[64];
	size_t size = strlen(word);

	if (strcmp(word, "-") == 0) {
		input = read_stdin(&size);
		if (input == NULL)
			return EXIT_USAGE;
		word = input;
	}
	*ret = frame_parse_json(word, size, FRAME_DEPTH_MAX, problem, sizeof(problem));
	free(input);
	if (*ret == NULL) {
		ctl_error(
			"call: JSON: %s; accepts an object like '{\"name\": \"value\"}'", problem);
		return EXIT_USAGE;
	}
	if (!cJSON_IsObject(*ret)) {
		ctl_error("call: JSON: accepts an object, parameters by name, like '{\"name\": "
			  "\"value\"}'");
		cJSON_Delete(*ret);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

int ctl_call(struct ctl *ctl, const struct ctl_args *args)
{
	const cJSON *method = args_local(args, "method"), *word = args_local(args, "params");
	struct client_reply reply;
	cJSON *params = NULL;
	int r = word != NULL ? parse_params(word->valuestring, &params) : EXIT_DONE;

	if (r != EXIT_DONE)
		return r;
	r = client_call(ctl->client, method->valuestring, params, &reply);
	if (r != EXIT_DONE)
		return r;
	printf("%s\n", reply.text);
	client_reply_free(&reply);
	return EXIT_DONE;
}

int ctl_completion(struct ctl *ctl, const struct ctl_args *args)
{
	(void)ctl;
	(void)args; // bash is the only shell that the table accepts
	fputs(ctl_bash_completion, stdout);
	return EXIT_DONE;
}
