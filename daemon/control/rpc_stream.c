// SPDX-License-Identifier: Apache-2.0
// flows.stream: bytes of TCP flows from the store of recent ones, in pages. A cursor is the place in
// the store where the next page begins, and the run of the daemon that it belongs to.
#include "internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "proto_methods.h"

// Returns false where the text is no cursor of this run.
static bool read_cursor(const struct control *c, const char *text, struct export_stream_query *q)
{
	uint64_t nonce;
	int end = 0;

	return sscanf(text, "%16" SCNx64 ".%16" SCNx64 ".%8" SCNx32 "%n", &nonce, &q->position,
		       &q->skip, &end) == 3 &&
	       text[end] == '\0' && nonce == c->nonce;
}

static void write_base64(struct json *j, const char *key, const uint8_t *from, uint32_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	static char text[(EXPORT_STREAM_PAGE + 2) / 3 * 4];
	size_t at = 0;

	for (; n >= 3; n -= 3, from += 3) {
		uint32_t v = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];

		for (int shift = 18; shift >= 0; shift -= 6)
			text[at++] = digits[v >> shift & 63];
	}
	if (n > 0) {
		uint32_t v = (uint32_t)from[0] << 16 | (n > 1 ? (uint32_t)from[1] << 8 : 0);

		text[at++] = digits[v >> 18];
		text[at++] = digits[v >> 12 & 63];
		text[at++] = n > 1 ? digits[v >> 6 & 63] : '=';
		text[at++] = '=';
	}
	json_string_n(j, key, text, at);
}

static void write_page(struct json *j, const struct control *c, const struct export_stream_query *q)
{
	char time[CLOCK_TEXT_SIZE], cursor[64];

	json_object(j, NULL);
	json_uint(j, "flow_id", q->flow_id);
	json_array(j, "pieces");
	for (unsigned i = 0; i < q->count; i++) {
		const struct export_stream_piece *p = &q->piece[i];

		clock_text(p->ts_ns, time);
		json_object(j, NULL);
		json_string(j, "direction", p->direction == 0 ? "toserver" : "toclient");
		json_uint(j, "offset", p->offset);
		json_string(j, "timestamp", time);
		write_base64(j, "data", q->bytes + p->at, p->length);
		json_object_end(j);
	}
	json_array_end(j);
	snprintf(cursor, sizeof(cursor), "%" PRIx64 ".%" PRIx64 ".%" PRIx32, c->nonce, q->position,
		q->skip);
	json_string(j, "cursor", cursor);
	json_bool(j, "more", q->has_more);
	json_bool(j, "ended", q->is_ended);
	json_object_end(j);
}

int rpc_flows_stream(struct rpc_call *call, const struct rpc_flows_stream_params *p)
{
	struct control *c = call->control;
	struct export_stream_query *q;
	struct json j;

	if (!export_keeps_streams(c->config.export)) {
		request_fail(call, RPC_FAILED,
			"no bytes of streams are kept: set stream.keep in the configuration and "
			"restart pktaid");
		return 0;
	}
	q = calloc(1, sizeof(*q));
	if (q == NULL) {
		request_fail(call, RPC_FAILED, "out of memory");
		return 0;
	}
	q->flow_id = p->flow_id;
	q->limit = (uint32_t)p->limit;
	q->direction = p->direction == RPC_STREAM_DIRECTION_TOSERVER   ? 0
	               : p->direction == RPC_STREAM_DIRECTION_TOCLIENT ? 1
	                                                               : -1;
	if (p->cursor != NULL && !read_cursor(c, p->cursor, q)) {
		request_fail(call, RPC_INVALID_PARAMS,
			"cursor: got '%s'; accepts what flows.stream of this run of the daemon "
			"answered",
			p->cursor);
		free(q);
		return 0;
	}
	export_stream_read(c->config.export, q);
	if (!q->is_known) {
		request_fail(call, RPC_NOT_FOUND,
			"flow_id: no bytes of flow %" PRIu64
			" are kept: it is no TCP flow, carried "
			"none yet, or they had to make room",
			p->flow_id);
	} else {
		json_init(&j);
		write_page(&j, c, q);
		request_reply(call, &j);
		json_fini(&j);
	}
	free(q);
	return 0;
}
