// SPDX-License-Identifier: Apache-2.0
// The connection: where the socket is, deadlines, answers. Signals are only let in while waiting
// (ppoll), so that none is lost between a look at the flag and the wait.
#include "client.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "codec.h"
#include "ctl.h"
#include "frame.h"

#define SYSTEM_SOCKET "/run/pktaid/pktaid.sock"

enum {
	CLIENT_DEPTH_MAX = 64,
	CLIENT_CHUNK = 65536, // bytes read at a time
};
#define CLIENT_REPLY_MAX ((size_t)1 << 30)

struct client {
	char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
	bool path_is_bad;
	int fd;
	double timeout_s;
	unsigned id;
	struct frame frame;
	char chunk[CLIENT_CHUNK];
	const char *unread; // in chunk
	size_t unread_size;
};

// --- Time and signals ---

static volatile sig_atomic_t signal_came;
static sigset_t mask_while_waiting;
static bool mask_is_set;

static void on_signal(int number)
{
	signal_came = number;
}

static void on_resize(int number)
{
	(void)number; // ends the wait, nothing else
}

void client_catch_signals(void)
{
	static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction end = {.sa_handler = on_signal}, resize = {.sa_handler = on_resize};
	sigset_t block;

	sigemptyset(&block);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		sigaddset(&block, ends[i]);
		sigaction(ends[i], &end, NULL);
	}
	sigaddset(&block, SIGWINCH);
	sigaction(SIGWINCH, &resize, NULL);
	sigprocmask(SIG_BLOCK, &block, &mask_while_waiting);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigdelset(&mask_while_waiting, ends[i]);
	sigdelset(&mask_while_waiting, SIGWINCH);
	mask_is_set = true;
}

bool client_interrupted(void)
{
	return signal_came != 0;
}

double client_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int wait_for(int fd, short events, double seconds)
{
	struct pollfd p = {.fd = fd, .events = events};
	struct timespec t;
	int r;

	if (seconds < 0)
		seconds = 0;
	t.tv_sec = (time_t)seconds;
	t.tv_nsec = (long)((seconds - floor(seconds)) * 1e9);
	if (signal_came != 0)
		return EXIT_INTERRUPTED;
	r = ppoll(&p, fd >= 0 ? 1 : 0, &t, mask_is_set ? &mask_while_waiting : NULL);
	if (r < 0)
		return signal_came != 0 ? EXIT_INTERRUPTED : -errno;
	return r;
}

int client_pause(int fd, double seconds)
{
	return wait_for(fd, POLLIN, seconds);
}

// --- Connection ---

static int default_path(char *path, size_t size)
{
	int r = proto_socket_path(path, size);

	if (r == 0 && getenv("PKTAID_SOCKET") == NULL && access(path, F_OK) != 0)
		r = -ENOENT; // no daemon of this user: the system's
	if (r == -ENOENT)
		r = (size_t)snprintf(path, size, SYSTEM_SOCKET) < size ? 0 : -ENAMETOOLONG;
	return r;
}

struct client *client_new(const char *socket, double timeout_s)
{
	struct client *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return NULL;
	if (socket != NULL)
		r = (size_t)snprintf(c->path, sizeof(c->path), "%s", socket) < sizeof(c->path) ? 0
		                                                                               : -1;
	else
		r = default_path(c->path, sizeof(c->path));
	c->path_is_bad = r < 0;
	c->fd = -1;
	c->timeout_s = timeout_s;
	frame_init(&c->frame, CLIENT_REPLY_MAX);
	return c;
}

static void client_close(struct client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->unread_size = 0;
	frame_fini(&c->frame);
	frame_init(&c->frame, CLIENT_REPLY_MAX);
}

void client_free(struct client *c)
{
	if (c == NULL)
		return;
	client_close(c);
	frame_fini(&c->frame);
	free(c);
}

static void connect_error(const struct client *c, int error)
{
	if (error == EACCES || error == EPERM)
		ctl_error("no permission to open %s: be root, or a member of group pktai", c->path);
	else if (error == ENOENT)
		ctl_error("no daemon at %s: start it (systemctl start pktaid, or pktaid), or name "
			  "its "
			  "socket with --socket",
			c->path);
	else if (error == ECONNREFUSED)
		ctl_error(
			"no daemon listens at %s, it seems to have died: start it (systemctl start "
			"pktaid, or pktaid)",
			c->path);
	else if (error == EAGAIN)
		ctl_error("the daemon at %s takes no connections, its queue is full: try again",
			c->path);
	else
		ctl_error("cannot connect to %s: %s", c->path, strerror(error));
}

static int client_connect(struct client *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	if (c->fd >= 0)
		return EXIT_DONE;
	if (c->path_is_bad) {
		ctl_error("the socket's path is longer than %zu bytes: name another with --socket",
			sizeof(c->path) - 1);
		return EXIT_NO_DAEMON;
	}
	memcpy(address.sun_path, c->path, sizeof(c->path));
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		connect_error(c, errno);
		client_close(c);
		return EXIT_NO_DAEMON;
	}
	return EXIT_DONE;
}

// --- Requests and answers ---

static int timed_out(const struct client *c)
{
	ctl_error("no answer from %s within %g s: it is busy or stuck; wait longer with --timeout",
		c->path, c->timeout_s);
	return EXIT_NO_DAEMON;
}

// Sends what the socket takes. A daemon that refuses a client answers and closes: then what it said is
// read although the request could not be sent (ret_closed).
static int client_send(
	struct client *c, const char *text, size_t size, double deadline, bool *ret_closed)
{
	while (size > 0) {
		ssize_t n = send(c->fd, text, size, MSG_NOSIGNAL);

		if (n >= 0) {
			text += n;
			size -= (size_t)n;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			*ret_closed = true;
			return EXIT_DONE;
		} else if (errno == EAGAIN || errno == EINTR) {
			int r = wait_for(c->fd, POLLOUT, deadline - client_now());

			if (r == EXIT_INTERRUPTED)
				return r;
			if (r == 0 && client_now() >= deadline)
				return timed_out(c);
		} else {
			ctl_error("cannot send to %s: %s", c->path, strerror(errno));
			return EXIT_NO_DAEMON;
		}
	}
	return EXIT_DONE;
}

// The next line. The text is valid until the next call.
static int client_receive(
	struct client *c, double deadline, const char **ret_line, size_t *ret_size)
{
	for (;;) {
		int r = frame_next(&c->frame, &c->unread, &c->unread_size, ret_line, ret_size);
		ssize_t n;

		if (r == 1)
			return EXIT_DONE;
		if (r < 0) {
			ctl_error("the answer of %s is too large: %s", c->path, strerror(-r));
			return EXIT_ANSWERED_ERROR;
		}
		r = wait_for(c->fd, POLLIN, deadline - client_now());
		if (r == EXIT_INTERRUPTED)
			return r;
		if (r == 0 && client_now() >= deadline)
			return timed_out(c);
		n = recv(c->fd, c->chunk, sizeof(c->chunk), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
			ctl_error("%s closed the connection without an answer%s%s", c->path,
				n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
			return EXIT_NO_DAEMON;
		}
		c->unread = c->chunk;
		c->unread_size = n > 0 ? (size_t)n : 0;
	}
}

// Where the value of the member "result" lies in a line that is known to be a JSON object.
static const char *result_slice(const char *s, size_t size, size_t *ret_size)
{
	const char *end = s + size, *start = NULL;
	unsigned depth = 0;
	bool is_key = false;

	for (; s < end; s++) {
		if (*s == '"') {
			const char *word = s + 1;

			for (s++; s < end && *s != '"'; s++)
				s += *s == '\\';
			is_key = depth == 1 && s - word == 6 && memcmp(word, "result", 6) == 0;
		} else if (*s == ':' && depth == 1 && is_key && start == NULL) {
			start = s + 1;
		} else if (*s == '{' || *s == '[') {
			depth++;
		} else if (((*s == ',' || *s == '}') && depth == 1) || *s == '}' || *s == ']') {
			if (depth == 1 && start != NULL) {
				*ret_size = (size_t)(s - start);
				return start;
			}
			depth -= *s != ',';
		}
	}
	return NULL;
}

static int answer_result(
	struct client *c, const char *line, size_t size, cJSON *json, struct client_reply *ret)
{
	size_t result_size = 0;
	const char *slice = result_slice(line, size, &result_size);

	if (slice == NULL) {
		ctl_error("%s answered neither a result nor an error: is it pktaid?", c->path);
		return EXIT_ANSWERED_ERROR;
	}
	while (result_size > 0 && strchr(" \t\r", *slice) != NULL) {
		slice++;
		result_size--;
	}
	ret->line = strndup(slice, result_size);
	ret->text = ret->line;
	ret->result = cJSON_DetachItemFromObjectCaseSensitive(json, "result");
	if (ret->line == NULL || ret->result == NULL) {
		ctl_error("out of memory");
		client_reply_free(ret);
		return EXIT_ANSWERED_ERROR;
	}
	return EXIT_DONE;
}

static int answer_error(const cJSON *error, struct client_reply *ret)
{
	const cJSON *code = cJSON_GetObjectItemCaseSensitive(error, "code");
	const cJSON *message = cJSON_GetObjectItemCaseSensitive(error, "message");

	rpc_error_set(&ret->error, cJSON_IsNumber(code) ? code->valueint : RPC_INTERNAL_ERROR, "%s",
		cJSON_IsString(message) ? message->valuestring : "an error without a message");
	return EXIT_ANSWERED_ERROR;
}

// Takes one line for the answer. Returns -EAGAIN for one that is not.
static int client_answer(struct client *c, const char *line, size_t size, struct client_reply *ret)
{
	char problem[64];
	cJSON *json = frame_parse_json(line, size, CLIENT_DEPTH_MAX, problem, sizeof(problem));
	const cJSON *id, *error;
	int r;

	if (json == NULL) {
		ctl_error("%s answered something that is not JSON (%s): is it pktaid?", c->path,
			problem);
		return EXIT_ANSWERED_ERROR;
	}
	id = cJSON_GetObjectItemCaseSensitive(json, "id");
	error = cJSON_GetObjectItemCaseSensitive(json, "error");
	if (error != NULL && (cJSON_IsNull(id) || (cJSON_IsNumber(id) && id->valuedouble == c->id)))
		r = answer_error(error, ret);
	else if (cJSON_IsNumber(id) && id->valuedouble == c->id)
		r = answer_result(c, line, size, json, ret);
	else
		r = -EAGAIN; // a notification, or late
	cJSON_Delete(json);
	return r;
}

int client_try(struct client *c, const char *method, cJSON *params, struct client_reply *ret)
{
	double deadline = client_now() + c->timeout_s;
	const char *line = NULL;
	size_t size = 0;
	bool closed = false;
	char *text;
	int r = client_connect(c);

	memset(ret, 0, sizeof(*ret));
	if (r != EXIT_DONE) {
		cJSON_Delete(params);
		return r;
	}
	text = rpc_request_text(++c->id, method, params, &size);
	if (text == NULL) {
		ctl_error("out of memory");
		return EXIT_ANSWERED_ERROR;
	}
	text[size] = '\n'; // in place of the NUL
	r = client_send(c, text, size + 1, deadline, &closed);
	free(text);
	while (r == EXIT_DONE) {
		r = client_receive(c, deadline, &line, &size);
		if (r != EXIT_DONE)
			break;
		r = client_answer(c, line, size, ret);
		if (r != -EAGAIN)
			return r;
		r = EXIT_DONE;
	}
	client_close(c); // a later answer must not be taken for that of another call
	return r;
}

int client_call(struct client *c, const char *method, cJSON *params, struct client_reply *ret)
{
	int r = client_try(c, method, params, ret);

	if (ret->error.code != 0)
		ctl_error("%s", ret->error.message);
	return r;
}

void client_reply_free(struct client_reply *r)
{
	cJSON_Delete(r->result);
	free(r->line);
	r->result = NULL;
	r->line = NULL;
	r->text = NULL;
}

bool client_wait_gone(struct client *c)
{
	double deadline = client_now() + c->timeout_s;

	while (c->fd >= 0) {
		int r = wait_for(c->fd, POLLIN, deadline - client_now());
		ssize_t n;

		if (r == EXIT_INTERRUPTED || (r == 0 && client_now() >= deadline))
			return false;
		n = recv(c->fd, c->chunk, sizeof(c->chunk), 0);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			client_close(c);
	}
	return true;
}
