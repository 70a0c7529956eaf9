// SPDX-License-Identifier: Apache-2.0
// Control as a whole: what is started in which order, the timers, and taking it down again. All runs
// on the loop of the main thread; nothing here blocks. Thread: control.
#include "internal.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"
#include "log.h"

const struct counter_info control_counter_table[CONTROL_COUNTER_COUNT] = {
#define CONTROL_COUNTER(id, unit, kind, help) {#id, "rpc", unit, help, COUNTER_KIND_##kind},
#include "counters_control.def"
#undef CONTROL_COUNTER
};

static void on_workers(evutil_socket_t fd, short what, void *ctx)
{
	struct control *c = ctx;

	(void)fd;
	(void)what;
	workers_dispatch(c->config.workers);
}

static void on_second(evutil_socket_t fd, short what, void *ctx)
{
	struct control *c = ctx;

	(void)fd;
	(void)what;
	sample_take(c);
	notify_status(c);
}

static void on_stats_event(evutil_socket_t fd, short what, void *ctx)
{
	struct control *c = ctx;
	struct json j;

	(void)fd;
	(void)what;
	json_init(&j);
	control_stats_event(c, &j);
	if (j.failed) {
		log_error("no memory for a stats event");
	} else {
		export_line(c->config.export, j.text, j.size);
		c->count[COUNT_stats_events]++;
	}
	json_fini(&j);
}

static struct event *every(
	struct control *c, uint64_t ns, void (*run)(evutil_socket_t, short, void *))
{
	struct timeval interval = {
		.tv_sec = (time_t)(ns / NSEC_PER_S),
		.tv_usec = (suseconds_t)(ns % NSEC_PER_S / 1000),
	};
	struct event *e = event_new(c->base, -1, EV_PERSIST, run, c);

	if (e != NULL && event_add(e, &interval) < 0) {
		event_free(e);
		e = NULL;
	}
	return e;
}

static char *copy(const char *text)
{
	return strdup(text != NULL ? text : "");
}

static struct control *control_new(struct event_base *base, const struct control_config *config)
{
	struct control *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->base = base;
	c->config = *config;
	c->limits.request_ns = config->request_timeout_ns != 0 ? config->request_timeout_ns
	                                                       : 10 * NSEC_PER_S;
	c->limits.reader_ns = config->reader_timeout_ns != 0 ? config->reader_timeout_ns
	                                                     : 30 * NSEC_PER_S;
	c->started_ns = clock_monotonic_ns();
	c->started_wall_ns = clock_wall_ns();
	c->reserve_fd = -1;
	TAILQ_INIT(&c->sessions);
	TAILQ_INIT(&c->calls);
	TAILQ_INIT(&c->gathers_waiting);
	TAILQ_INIT(&c->gathers_running);
	TAILQ_INIT(&c->operations);
	c->socket = copy(config->socket);
	c->group_read = copy(config->group_read);
	c->group_admin = copy(config->group_admin);
	if (c->socket == NULL || c->group_read == NULL || c->group_admin == NULL) {
		control_stop(c);
		return NULL;
	}
	if (getrandom(&c->nonce, sizeof(c->nonce), GRND_NONBLOCK) != sizeof(c->nonce))
		c->nonce = c->started_wall_ns;
	auth_resolve_groups(c);
	return c;
}

static int start_events(struct control *c)
{
	c->workers_event = event_new(
		c->base, workers_event_fd(c->config.workers), EV_READ | EV_PERSIST, on_workers, c);
	if (c->workers_event == NULL || event_add(c->workers_event, NULL) < 0)
		return -ENOMEM;
	c->second = every(c, NSEC_PER_S, on_second);
	if (c->second == NULL)
		return -ENOMEM;
	if (c->config.stats_interval_ns > 0) {
		c->stats_event = every(c, c->config.stats_interval_ns, on_stats_event);
		if (c->stats_event == NULL)
			return -ENOMEM;
	}
	return 0;
}

int control_start(struct event_base *base, const struct control_config *config,
	struct control **ret, char *error, size_t size)
{
	struct control *c = control_new(base, config);
	int rc = -ENOMEM;

	snprintf(error, size, "no memory for the control socket");
	if (c == NULL)
		return rc;
	if (sessions_init(c) < 0 || requests_init(c) < 0 || sample_init(c) < 0 ||
		start_events(c) < 0)
		goto fail;
	rc = notify_init(c, error, size);
	if (rc == 0)
		rc = server_start(c, error, size);
	if (rc < 0)
		goto fail;
	*ret = c;
	return 0;
fail:
	control_stop(c);
	return rc;
}

void control_stop(struct control *c)
{
	if (c == NULL)
		return;
	server_stop(c);
	sessions_fini(c);
	gather_fini(c);
	operations_fini(c);
	requests_fini(c);
	notify_fini(c);
	if (c->workers_event != NULL)
		event_free(c->workers_event);
	if (c->second != NULL)
		event_free(c->second);
	if (c->stats_event != NULL)
		event_free(c->stats_event);
	sample_fini(c);
	free(c->socket);
	free(c->group_read);
	free(c->group_admin);
	free(c);
}

int control_set_groups(struct control *c, const char *read, const char *admin)
{
	char *r = copy(read), *a = copy(admin);

	if (r == NULL || a == NULL) {
		free(r);
		free(a);
		return -ENOMEM;
	}
	free(c->group_read);
	free(c->group_admin);
	c->group_read = r;
	c->group_admin = a;
	auth_resolve_groups(c);
	return 0;
}

int control_set_stats_interval(struct control *c, uint64_t interval_ns)
{
	struct event *e = NULL;

	if (interval_ns > 0) {
		e = every(c, interval_ns, on_stats_event);
		if (e == NULL)
			return -ENOMEM;
	}
	if (c->stats_event != NULL)
		event_free(c->stats_event);
	c->stats_event = e;
	c->config.stats_interval_ns = interval_ns;
	return 0;
}
