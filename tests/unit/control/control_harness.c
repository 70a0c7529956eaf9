// SPDX-License-Identifier: Apache-2.0
// The real control and export on a made-up data plane, for the tests that talk to its socket.
// Prints "ready" when it listens, or the error (exit 2). Commands on stdin (fake_data_plane.h) are
// answered by "ok". Ends on SIGTERM, on system.shutdown and at the end of stdin.
#include <errno.h>
#include <event2/event.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "control.h"
#include "fake_data_plane.h"
#include "log.h"

struct harness {
	struct event_base *base;
	struct control *control;
	struct workers *workers;
	const char *reload_error;
	char line[256];
	size_t size;
};

static int on_reload(void *ctx, char *text, size_t size)
{
	struct harness *h = ctx;

	if (h->reload_error != NULL) {
		snprintf(text, size, "%s", h->reload_error);
		return -EINVAL;
	}
	if (control_set_groups(h->control, "pktai", "pktai-admin") < 0)
		return -ENOMEM;
	snprintf(text, size, "workers, flow.capacity");
	return 0;
}

static void on_shutdown(void *ctx)
{
	event_base_loopexit(((struct harness *)ctx)->base, NULL);
}

static void on_signal(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	on_shutdown(ctx);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	fake_tick(((struct harness *)ctx)->workers);
}

static void answer(const char *text)
{
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		_exit(3);
}

static void on_command(evutil_socket_t fd, short what, void *ctx)
{
	struct harness *h = ctx;
	ssize_t n = read(fd, h->line + h->size, sizeof(h->line) - h->size - 1);
	char *end;

	(void)what;
	if (n <= 0) {
		on_shutdown(h);
		return;
	}
	h->size += (size_t)n;
	h->line[h->size] = '\0';
	while ((end = strchr(h->line, '\n')) != NULL) {
		*end = '\0';
		if (strncmp(h->line, "reload-fails", 12) == 0)
			h->reload_error = "pktaid.yaml:3: workers: got many, accepts 1 to 64";
		else if (!fake_command(h->workers, h->line))
			_exit(4);
		answer("ok\n");
		h->size -= (size_t)(end + 1 - h->line);
		memmove(h->line, end + 1, h->size + 1);
	}
}

static unsigned long number(const char *text)
{
	return strtoul(text, NULL, 10);
}

struct settings {
	struct control_config control;
	unsigned workers, flows;
	const char *events;
};

static int read_settings(int argc, char **argv, struct settings *s)
{
	static const struct option options[] = {
		{"socket", 1, NULL, 's'},
		{"workers", 1, NULL, 'w'},
		{"flows", 1, NULL, 'f'},
		{"max-clients", 1, NULL, 'm'},
		{"request-ms", 1, NULL, 'r'},
		{"reader-ms", 1, NULL, 'R'},
		{"stats-ms", 1, NULL, 'i'},
		{"group-read", 1, NULL, 'g'},
		{"group-admin", 1, NULL, 'G'},
		{"events", 1, NULL, 'e'},
		{"files", 1, NULL, 'n'},
		{NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			s->control.socket = optarg;
			break;
		case 'w':
			s->workers = (unsigned)number(optarg);
			break;
		case 'f':
			s->flows = (unsigned)number(optarg);
			break;
		case 'm':
			s->control.max_clients = (unsigned)number(optarg);
			break;
		case 'r':
			s->control.request_timeout_ns = number(optarg) * 1000000;
			break;
		case 'R':
			s->control.reader_timeout_ns = number(optarg) * 1000000;
			break;
		case 'i':
			s->control.stats_interval_ns = number(optarg) * 1000000;
			break;
		case 'g':
			s->control.group_read = optarg;
			break;
		case 'G':
			s->control.group_admin = optarg;
			break;
		case 'e':
			s->events = optarg;
			break;
		case 'n':
			setrlimit(RLIMIT_NOFILE, &(struct rlimit){number(optarg), number(optarg)});
			break;
		default:
			return -EINVAL;
		}
	}
	return 0;
}

static int run(struct harness *h)
{
	const struct timeval interval = {.tv_usec = 50000};
	struct event *term = evsignal_new(h->base, SIGTERM, on_signal, h);
	struct event *tick = event_new(h->base, -1, EV_PERSIST, on_tick, h);
	struct event *in = event_new(h->base, STDIN_FILENO, EV_READ | EV_PERSIST, on_command, h);

	event_add(term, NULL);
	event_add(tick, &interval);
	event_add(in, NULL);
	answer("ready\n");
	control_notify_ready(h->control);
	event_base_dispatch(h->base);
	control_notify_stopping(h->control);
	event_free(term);
	event_free(tick);
	event_free(in);
	return 0;
}

int main(int argc, char **argv)
{
	struct settings s = {.workers = 2, .flows = 100};
	struct harness h = {.base = NULL};
	struct export_config export = {.recent_bytes = 64 << 20};
	struct export *e;
	char error[512];
	int rc;

	if (read_settings(argc, argv, &s) < 0)
		return 1;
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, SIG_IGN); // but in the loop: one more on the way out must not kill it
	log_set_level(LOG_LEVEL_INFO);
	h.base = event_base_new();
	h.workers = fake_new(s.workers, s.flows);
	export.workers = s.workers;
	export.records = workers_records(h.workers);
	export.events_path = s.events;
	if (export_start(&export, &e, error, sizeof(error)) < 0) {
		printf("%s\n", error);
		return 2;
	}
	fake_set_export(h.workers, e);
	s.control.workers = h.workers;
	s.control.export = e;
	s.control.reload = on_reload;
	s.control.shutdown = on_shutdown;
	s.control.ctx = &h;
	rc = control_start(h.base, &s.control, &h.control, error, sizeof(error));
	if (rc < 0) {
		printf("%s\n", error);
		rc = 2;
	} else {
		rc = run(&h);
	}
	control_stop(h.control);
	export_stop(e, error, sizeof(error));
	fake_free(h.workers);
	event_base_free(h.base);
	return rc;
}
