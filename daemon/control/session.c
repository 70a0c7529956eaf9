// SPDX-License-Identifier: Apache-2.0
// Clients: bytes in, lines out. Requests are cut at line ends; one that is too long is skipped to its
// end and answered with an error. What a client does not read is bounded twice: above OUTPUT_LOW its
// requests wait (and the socket fills, which stops the client), at OUTPUT_MAX, or when nothing moves
// for a while, it is disconnected. Thread: control.
//
// A session is freed by the reaper alone, from the loop, never while one of its functions runs.
#include "internal.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "rpc_error.h"

static size_t unread_bytes(const struct session *s)
{
	return evbuffer_get_length(bufferevent_get_output(s->bev));
}

bool session_is_congested(const struct session *s)
{
	size_t unread = unread_bytes(s);

	return unread > OUTPUT_LOW ||
	       (unread > 0 && s->control->output_bytes > OUTPUT_TOTAL_MAX / 2);
}

void session_kill(struct session *s)
{
	if (s->dead)
		return;
	s->dead = true;
	bufferevent_disable(s->bev, EV_READ | EV_WRITE);
	requests_orphan(s);
	event_active(s->control->reaper, EV_TIMEOUT, 0);
}

// Keeps the sum of what all clients have not read.
static void on_output_change(
	struct evbuffer *buffer, const struct evbuffer_cb_info *info, void *ctx)
{
	struct control *c = ctx;

	(void)buffer;
	c->output_bytes += info->n_added;
	c->output_bytes -= info->n_deleted;
}

static void session_free(struct session *s)
{
	struct control *c = s->control;

	TAILQ_REMOVE(&c->sessions, s, entry);
	if (s->refused)
		c->refused_count--;
	else
		c->count[COUNT_clients]--;
	c->output_bytes -= unread_bytes(s);
	evbuffer_remove_cb(bufferevent_get_output(s->bev), on_output_change, c);
	bufferevent_free(s->bev);
	frame_fini(&s->frame);
	free(s);
}

static void on_reap(evutil_socket_t fd, short what, void *ctx)
{
	struct control *c = ctx;
	struct session *s, *next;

	(void)fd;
	(void)what;
	for (s = TAILQ_FIRST(&c->sessions); s != NULL; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (s->dead)
			session_free(s);
	}
}

int sessions_init(struct control *c)
{
	TAILQ_INIT(&c->sessions);
	c->reaper = evtimer_new(c->base, on_reap, c);
	return c->reaper != NULL ? 0 : -ENOMEM;
}

void sessions_fini(struct control *c)
{
	struct session *s;

	while ((s = TAILQ_FIRST(&c->sessions)) != NULL) {
		// replies that are ready are worth one try
		if (!s->dead && unread_bytes(s) > 0) {
			struct evbuffer *out = bufferevent_get_output(s->bev);

			evbuffer_unfreeze(out, 1);
			evbuffer_write(out, bufferevent_getfd(s->bev));
		}
		requests_orphan(s);
		session_free(s);
	}
	if (c->reaper != NULL)
		event_free(c->reaper);
}

void session_send(struct session *s, const char *text, size_t size)
{
	struct control *c = s->control;

	if (s->dead)
		return;
	if (unread_bytes(s) + size > OUTPUT_MAX || c->output_bytes + size > OUTPUT_TOTAL_MAX) {
		c->count[COUNT_slow_readers]++;
		log_info("client uid %u pid %d disconnected: it does not read its replies",
			(unsigned)s->uid, (int)s->pid);
		session_kill(s);
		return;
	}
	if (bufferevent_write(s->bev, text, size) < 0 || bufferevent_write(s->bev, "\n", 1) < 0)
		session_kill(s);
}

// A client that has closed its sending side gets what it asked for before it is let go.
static void close_when_done(struct session *s)
{
	if (s->ended && !s->processing && s->under_way == 0 && unread_bytes(s) == 0)
		session_kill(s);
}

void session_request_ended(struct session *s)
{
	s->under_way--;
	close_when_done(s);
}

static void refuse_oversized(struct session *s)
{
	struct rpc_error error;

	memset(&error, 0, sizeof(error));
	rpc_error_set(&error, RPC_TOO_LARGE,
		"a request may have %d bytes; this one was skipped to its end", FRAME_REQUEST_MAX);
	s->control->count[COUNT_oversized]++;
	request_error_line(s, &error);
}

// Runs the requests in some bytes. Returns how many were used: fewer when replies pile up.
static size_t run_lines(struct session *s, const char *data, size_t size)
{
	size_t left = size, line_size;
	const char *line;
	int rc;

	while (!s->dead && !session_is_congested(s)) {
		rc = frame_next(&s->frame, &data, &left, &line, &line_size);
		if (rc == 0)
			break;
		if (rc < 0)
			refuse_oversized(s);
		else
			request_line(s, line, line_size);
	}
	return size - left;
}

static void session_pause(struct session *s)
{
	if (!s->paused)
		s->control->count[COUNT_output_paused]++;
	s->paused = true;
	bufferevent_disable(s->bev, EV_READ);
}

static void session_process(struct session *s)
{
	struct evbuffer *in = bufferevent_get_input(s->bev);
	size_t n;

	s->processing = true;
	while (!s->dead && (n = evbuffer_get_contiguous_space(in)) > 0) {
		evbuffer_drain(in, run_lines(s, (const char *)evbuffer_pullup(in, (ssize_t)n), n));
		if (!s->dead && session_is_congested(s)) {
			session_pause(s);
			break;
		}
	}
	if (s->ended && !s->paused && !s->dead)
		run_lines(s, "\n", 1); // the last line may lack its end
	s->processing = false;
	if (!s->dead)
		close_when_done(s);
}

static void on_read(struct bufferevent *bev, void *ctx)
{
	struct session *s = ctx;
	struct evbuffer *in = bufferevent_get_input(bev);

	if (s->refused || s->dead)
		evbuffer_drain(in, evbuffer_get_length(in));
	else
		session_process(s);
}

static void on_write(struct bufferevent *bev, void *ctx)
{
	struct session *s = ctx;

	if (s->dead || s->refused || session_is_congested(s))
		return;
	if (s->paused) {
		s->paused = false;
		if (!s->ended)
			bufferevent_enable(bev, EV_READ);
		session_process(s);
	}
	gather_pump(s->control); // its queries may have waited for this
	if (!s->dead)
		close_when_done(s);
}

static void on_event(struct bufferevent *bev, short what, void *ctx)
{
	struct session *s = ctx;

	(void)bev;
	if ((what & BEV_EVENT_TIMEOUT) && (what & BEV_EVENT_WRITING) && !s->refused && !s->dead) {
		s->control->count[COUNT_slow_readers]++;
		log_info("client uid %u pid %d disconnected: it has read nothing for a while",
			(unsigned)s->uid, (int)s->pid);
	}
	if ((what & BEV_EVENT_EOF) && !s->refused && !s->dead) {
		s->ended = true;
		if (!s->paused)
			session_process(s);
		return;
	}
	session_kill(s);
}

void session_open(
	struct control *c, int fd, enum access access, uid_t uid, pid_t pid, const char *refusal)
{
	const struct timeval moment = {.tv_sec = 1};
	const struct timeval patience = {
		.tv_sec = (time_t)(c->limits.reader_ns / NSEC_PER_S),
		.tv_usec = (suseconds_t)(c->limits.reader_ns % NSEC_PER_S / 1000),
	};
	struct session *s = calloc(1, sizeof(*s));

	if (s == NULL) {
		close(fd);
		return;
	}
	evutil_make_socket_nonblocking(fd);
	s->bev = bufferevent_socket_new(c->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (s->bev == NULL) {
		close(fd);
		free(s);
		return;
	}
	s->control = c;
	s->access = access;
	s->uid = uid;
	s->pid = pid;
	s->refused = refusal != NULL;
	frame_init(&s->frame, FRAME_REQUEST_MAX);
	TAILQ_INSERT_TAIL(&c->sessions, s, entry);
	evbuffer_add_cb(bufferevent_get_output(s->bev), on_output_change, c);
	bufferevent_setcb(s->bev, on_read, on_write, on_event, s);
	bufferevent_setwatermark(s->bev, EV_WRITE, OUTPUT_LOW / 2, 0);
	if (s->refused) {
		c->refused_count++;
		bufferevent_set_timeouts(s->bev, &moment, &moment);
		bufferevent_write(s->bev, refusal, strlen(refusal));
	} else {
		c->count[COUNT_clients]++;
		bufferevent_set_timeouts(s->bev, NULL, &patience);
	}
	bufferevent_enable(s->bev, EV_READ | EV_WRITE);
}
