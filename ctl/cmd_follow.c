// SPDX-License-Identifier: Apache-2.0
// pktctl flow ID --follow: the bytes of a TCP flow as its receivers read them, page after page, until the
// flow is over. Bytes go to stdout as they are; to a terminal without what would disturb it. What is
// missing is told on stderr.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "ctl.h"
#include "follow.h"
#include "table.h"
#include "units.h"

#define FOLLOW_POLL_S 0.2

struct follow {
	struct ctl *ctl;
	cJSON *params;     // without the cursor
	char cursor[64];   // "": from the begin
	double behind[2];  // where the last piece of each direction ended
	bool has_begun[2]; // a piece of the direction has come
	bool is_over;
};

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// In place. Returns the number of bytes.
static size_t decode(char *text)
{
	size_t n = 0;
	uint32_t v = 0;
	unsigned bits = 0;

	for (const char *c = text; *c != '\0' && digit(*c) >= 0; c++) {
		v = v << 6 | (uint32_t)digit(*c);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			text[n++] = (char)(v >> bits);
		}
	}
	return n;
}

static void write_bytes(const struct follow *f, const char *bytes, size_t n)
{
	if (!f->ctl->interactive) {
		fwrite(bytes, 1, n, stdout);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)bytes[i];

		putchar((c >= ' ' && c < 0x7f) || c == '\n' || c == '\t' ? c
			: c == '\r'                                      ? ' '
									 : '.');
	}
}

static void write_piece(struct follow *f, const cJSON *piece)
{
	const char *direction = member_text(piece, "direction", "toserver");
	cJSON *data = cJSON_GetObjectItemCaseSensitive(piece, "data");
	unsigned d = strcmp(direction, "toclient") == 0;
	double offset = member_number(piece, "offset");
	size_t n;

	if (!cJSON_IsString(data))
		return;
	if (offset > f->behind[d]) {
		fflush(stdout);
		ctl_error("%.0f bytes are missing %s %s", offset - f->behind[d],
			f->has_begun[d] ? "here" : "before the first",
			d == 0 ? "to the server" : "to the client");
	}
	n = decode(data->valuestring);
	write_bytes(f, data->valuestring, n);
	f->behind[d] = offset + (double)n;
	f->has_begun[d] = true;
}

// One page. Returns an exit code; *ret_more: there is another one already.
static int follow_page(struct follow *f, bool *ret_more)
{
	cJSON *params = cJSON_Duplicate(f->params, 1);
	struct client_reply reply;
	const cJSON *piece;
	int r;

	if (f->cursor[0] != '\0')
		cJSON_AddStringToObject(params, "cursor", f->cursor);
	r = client_call(f->ctl->client, "flows.stream", params, &reply);
	if (r != EXIT_DONE)
		return r;
	if (f->ctl->json)
		printf("%s\n", reply.text);
	else
		cJSON_ArrayForEach (piece, member(reply.result, "pieces"))
			write_piece(f, piece);
	*ret_more = cJSON_IsTrue(member(reply.result, "more"));
	f->is_over = cJSON_IsTrue(member(reply.result, "ended"));
	snprintf(f->cursor, sizeof(f->cursor), "%s", member_text(reply.result, "cursor", ""));
	client_reply_free(&reply);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		ctl_error("cannot write: %s", strerror(errno));
		return EXIT_ANSWERED_ERROR;
	}
	return EXIT_DONE;
}

int ctl_flow_follow(struct ctl *ctl, const struct ctl_args *args)
{
	struct follow f = {.ctl = ctl, .params = cJSON_Duplicate(args->params, 1)};
	const cJSON *direction = args_local(args, "direction");
	int r = EXIT_DONE;

	if (direction != NULL)
		cJSON_AddItemToObject(f.params, "direction", cJSON_Duplicate(direction, 1));
	client_catch_signals();
	while (r == EXIT_DONE && !f.is_over) {
		bool more = false;

		r = follow_page(&f, &more);
		if (r == EXIT_DONE && !more && !f.is_over &&
			client_pause(-1, FOLLOW_POLL_S) == EXIT_INTERRUPTED)
			r = EXIT_INTERRUPTED;
	}
	cJSON_Delete(f.params);
	return r;
}
