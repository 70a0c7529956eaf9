// SPDX-License-Identifier: Apache-2.0
// Requests: from a line to handlers, and from their answers to lines. Decides what is a request, who
// may make it, how many may be under way, and when one has waited long enough. A batch's answers are
// collected and sent as one. Thread: control.
#include "internal.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "codec.h"
#include "frame.h"
#include "log.h"

// --- Batches ---

static void batch_unref(struct batch *b)
{
	if (--b->open > 0)
		return;
	if (b->session != NULL && b->out.size > 0) {
		json_array_end(&b->out);
		if (b->out.failed)
			session_kill(b->session);
		else
			session_send(b->session, b->out.text, b->out.size);
	}
	json_fini(&b->out);
	free(b);
}

static void batch_add(struct batch *b, const char *text, size_t size)
{
	if (b->out.size == 0)
		json_array(&b->out, NULL);
	json_raw(&b->out, NULL, text, size);
}

// --- Answers ---

static size_t room_for(const struct rpc_call *call)
{
	size_t used = call->batch != NULL ? call->batch->out.size : 0;

	return used < REPLY_MAX ? REPLY_MAX - used : 0;
}

static void call_send(struct rpc_call *call, const char *text, size_t size)
{
	if (call->session == NULL)
		return;
	if (text == NULL)
		session_kill(call->session); // without memory; the client must not wait for ever
	else if (call->batch != NULL)
		batch_add(call->batch, text, size);
	else
		session_send(call->session, text, size);
}

// Takes it off the lists first: sending may end the session, and with it all its other requests.
static void call_unlink(struct rpc_call *call)
{
	TAILQ_REMOVE(&call->control->calls, call, entry);
	call->control->count[COUNT_under_way]--;
	call->owner = NULL;
}

static void call_free(struct rpc_call *call)
{
	// the batch's answer goes out before its session may be found to be at its end
	if (call->batch != NULL)
		batch_unref(call->batch);
	if (call->session != NULL && !call->session->dead)
		session_request_ended(call->session);
	cJSON_Delete(call->id);
	free(call);
}

static void call_fail(struct rpc_call *call, const struct rpc_error *error)
{
	size_t size = 0;
	char *text;

	call_unlink(call);
	if (call->wants_reply) {
		call->control->count[COUNT_errors]++;
		text = rpc_reply_error(call->id, error, &size);
		call_send(call, text, size);
		free(text);
	}
	call_free(call);
}

void request_fail(struct rpc_call *call, int code, const char *format, ...)
{
	char message[RPC_ERROR_MESSAGE_MAX];
	struct rpc_error error;
	va_list ap;

	va_start(ap, format);
	vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	memset(&error, 0, sizeof(error));
	rpc_error_set(&error, code, "%s", message);
	// by our convention such a message begins with the parameter's name
	if (code == RPC_INVALID_PARAMS) {
		call->control->count[COUNT_bad_params]++;
		snprintf(error.parameter, sizeof(error.parameter), "%.*s",
			(int)strcspn(message, ":"), message);
	}
	call_fail(call, &error);
}

void request_fail_busy(struct rpc_call *call, enum control_counter counter, const char *what)
{
	call->control->count[counter]++;
	request_fail(call, RPC_BUSY, "%s; try again", what);
}

#ifndef NDEBUG
// What we say of our replies (rpc.discover) must be true.
static void check_reply(const struct rpc_call *call, const struct json *result)
{
	cJSON *json = cJSON_ParseWithLength(result->text, result->size);
	char error[512] = "not JSON";

	if (json == NULL || proto_check_reply((enum proto_method)call->method, json, error,
				    sizeof(error)) < 0) {
		call->control->count[COUNT_replies_off_type]++;
		log_error("reply of %s is not of its type: %s", proto_methods[call->method].name,
			error);
	}
	cJSON_Delete(json);
}
#endif

void request_reply(struct rpc_call *call, struct json *result)
{
	size_t size = 0;
	char *text;

	if (json_text(result) == NULL) {
		request_fail(call, RPC_INTERNAL_ERROR, "no memory for the answer");
		return;
	}
#ifndef NDEBUG
	check_reply(call, result);
#endif
	if (result->size > room_for(call)) {
		call->control->count[COUNT_reply_too_large]++;
		request_fail(call, RPC_TOO_LARGE,
			"the answer has %zu bytes, more than a client may leave unread; ask for "
			"less "
			"at a time",
			result->size);
		return;
	}
	call_unlink(call);
	call->control->count[COUNT_replies] += call->wants_reply;
	if (call->wants_reply && call->session != NULL) {
		text = rpc_reply_result(call->id, result->text, result->size, &size);
		call_send(call, text, size);
		free(text);
	}
	call_free(call);
}

void request_error_line(struct session *s, const struct rpc_error *error)
{
	size_t size = 0;
	char *text = rpc_reply_error(NULL, error, &size);

	s->control->count[COUNT_errors]++;
	if (text == NULL)
		session_kill(s);
	else
		session_send(s, text, size);
	free(text);
}

// --- Time ---

static void deadline_set(struct control *c)
{
	const struct rpc_call *first = TAILQ_FIRST(&c->calls);
	uint64_t now = clock_monotonic_ns(), left = 0;
	struct timeval wait;

	if (first == NULL || evtimer_pending(c->deadline, NULL))
		return;
	if (first->deadline_ns > now)
		left = first->deadline_ns - now;
	wait.tv_sec = (time_t)(left / NSEC_PER_S);
	wait.tv_usec = (suseconds_t)(left % NSEC_PER_S / 1000) + 1;
	evtimer_add(c->deadline, &wait);
}

// Ends a pending request from our side.
static void call_abandon(struct rpc_call *call)
{
	void *owner = call->owner;

	call->owner = NULL;
	if (owner != NULL)
		call->abandon(owner);
}

static void on_deadline(evutil_socket_t fd, short what, void *ctx)
{
	struct control *c = ctx;
	uint64_t now = clock_monotonic_ns();
	struct rpc_call *call;

	(void)fd;
	(void)what;
	while ((call = TAILQ_FIRST(&c->calls)) != NULL && call->deadline_ns <= now) {
		c->count[COUNT_timeouts]++;
		call_abandon(call);
		request_fail(call, RPC_TIMEOUT,
			"%s was not answered within %.1f s; what it began goes on",
			proto_methods[call->method].name,
			(double)c->limits.request_ns / (double)NSEC_PER_S);
	}
	deadline_set(c);
}

void request_pend(struct rpc_call *call, void *owner, void (*abandon)(void *owner))
{
	call->owner = owner;
	call->abandon = abandon;
	deadline_set(call->control);
}

void requests_orphan(struct session *s)
{
	struct rpc_call *call, *next;

	for (call = TAILQ_FIRST(&s->control->calls); call != NULL; call = next) {
		next = TAILQ_NEXT(call, entry);
		if (call->session != s)
			continue;
		call->session = NULL;
		if (call->batch != NULL)
			call->batch->session = NULL;
		if (call->owner != NULL) { // else its handler runs now and will end it
			call_abandon(call);
			call_unlink(call);
			call_free(call);
		}
	}
	s->under_way = 0;
}

int requests_init(struct control *c)
{
	TAILQ_INIT(&c->calls);
	c->deadline = evtimer_new(c->base, on_deadline, c);
	return c->deadline != NULL ? 0 : -ENOMEM;
}

void requests_fini(struct control *c)
{
	if (c->deadline != NULL)
		event_free(c->deadline);
}

// --- From line to handler ---

static struct rpc_call *call_new(
	struct session *s, struct batch *batch, const struct rpc_request *request)
{
	struct control *c = s->control;
	struct rpc_call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return NULL;
	call->wants_reply = request->id != NULL || request->method == NULL;
	if (request->id != NULL) {
		call->id = cJSON_Duplicate(request->id, 0);
		if (call->id == NULL) {
			free(call);
			return NULL;
		}
	}
	call->control = c;
	call->session = s;
	call->batch = batch;
	call->deadline_ns = clock_monotonic_ns() + c->limits.request_ns;
	if (batch != NULL)
		batch->open++;
	s->under_way++;
	c->count[COUNT_under_way]++;
	TAILQ_INSERT_TAIL(&c->calls, call, entry);
	return call;
}

// Checks that come before the parameters. Returns 0 or an error code with error set.
static int call_admit(
	struct rpc_call *call, const struct rpc_request *request, struct rpc_error *error)
{
	struct control *c = call->control;
	int method;

	if (request->method == NULL) {
		c->count[COUNT_not_request]++;
		*error = request->error;
		return error->code;
	}
	c->count[COUNT_notifications] += request->id == NULL;
	if (call->session->under_way > UNDER_WAY_CLIENT_MAX) {
		c->count[COUNT_busy_client]++;
		return rpc_error_set(error, RPC_BUSY,
			"%d requests of this client are under way, as many as it may have; try "
			"again",
			UNDER_WAY_CLIENT_MAX);
	}
	if (c->count[COUNT_under_way] > UNDER_WAY_MAX) {
		c->count[COUNT_busy_total]++;
		return rpc_error_set(error, RPC_BUSY,
			"%d requests are under way, as many as may be; try again", UNDER_WAY_MAX);
	}
	method = proto_method_find(request->method, error);
	if (method < 0) {
		c->count[COUNT_unknown_method]++;
		return error->code;
	}
	call->method = (unsigned)method;
	return 0;
}

static int call_authorise(struct rpc_call *call, const void *params, struct rpc_error *error)
{
	struct control *c = call->control;

	if (proto_access_needed((enum proto_method)call->method, params) == PROTO_ACCESS_READ)
		return 0;
	if (call->session->access != ACCESS_ADMIN) {
		c->count[COUNT_denied]++;
		return rpc_error_set(error, RPC_DENIED,
			"user %u may read only; %s is for root, user %u and members of group %s",
			(unsigned)call->session->uid, proto_methods[call->method].name,
			(unsigned)geteuid(), c->group_admin);
	}
	if (c->stopping)
		return rpc_error_set(
			error, RPC_SHUTTING_DOWN, "the daemon is stopping; nothing can be changed");
	return 0;
}

static void call_run(struct rpc_call *call, const struct rpc_request *request)
{
	union rpc_params params;
	struct rpc_error error;
	int rc;

	memset(&error, 0, sizeof(error));
	rc = call_admit(call, request, &error);
	if (rc == 0) {
		rc = proto_decode_params(
			(enum proto_method)call->method, request->params, &params, &error);
		call->control->count[COUNT_bad_params] += rc != 0;
	}
	if (rc == 0)
		rc = call_authorise(call, &params, &error);
	if (rc == 0) {
		rc = proto_dispatch[call->method](call, &params);
		if (rc != 0)
			rpc_error_set(&error, rc, NULL);
	}
	if (rc != 0)
		call_fail(call, &error);
}

static void refuse_line(
	struct session *s, const char *text, size_t size, const struct rpc_error *error)
{
	struct control *c = s->control;

	if (error->code == RPC_PARSE_ERROR) {
		c->count[COUNT_not_json]++;
	} else {
		while (size > 0 && isspace((unsigned char)*text)) {
			text++;
			size--;
		}
		// an array that is refused is empty or too long
		if (size > RPC_BATCH_MAX && *text == '[')
			c->count[COUNT_batch_too_long]++;
		else
			c->count[COUNT_not_request]++;
	}
	request_error_line(s, error);
}

void request_line(struct session *s, const char *text, size_t size)
{
	struct control *c = s->control;
	struct rpc_request request;
	struct rpc_batch lines;
	struct rpc_error error;
	struct batch *batch = NULL;

	memset(&error, 0, sizeof(error));
	memset(&lines, 0, sizeof(lines));
	if (rpc_batch_parse(text, size, &lines, &error) < 0) {
		refuse_line(s, text, size, &error);
		return;
	}
	if (lines.is_batch) {
		c->count[COUNT_batches]++;
		batch = calloc(1, sizeof(*batch));
		if (batch == NULL) {
			session_kill(s);
			goto out;
		}
		json_init(&batch->out);
		batch->session = s;
		batch->open = 1;
	}
	while (!s->dead && rpc_batch_next(&lines, &request)) {
		struct rpc_call *call = call_new(s, batch, &request);

		c->count[COUNT_requests]++;
		if (call == NULL)
			session_kill(s);
		else
			call_run(call, &request);
	}
	if (batch != NULL) {
		if (s->dead)
			batch->session = NULL;
		batch_unref(batch);
	}
out:
	rpc_batch_free(&lines);
}
