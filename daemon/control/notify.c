// SPDX-License-Identifier: Apache-2.0
// What the service manager is told (sd_notify(3)): ready, reloading, stopping, a line of status once
// a second, and the watchdog, which is fed only while every worker's heartbeat moves. Without a
// service manager all this does nothing. Thread: control.
#include "internal.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#include "clock.h"
#include "log.h"

static bool every_heart_beats(struct control *c)
{
	bool beats = true;

	for (unsigned w = 0; w < workers_count(c->config.workers) && w < WORKERS_MAX; w++) {
		struct worker_status status = {0};

		workers_status(c->config.workers, w, &status);
		if (status.heartbeat == c->heartbeat[w]) {
			if (!c->watchdog_warned)
				log_warning("worker %u stands still: the watchdog is not fed", w);
			beats = false;
		}
		c->heartbeat[w] = status.heartbeat;
	}
	c->watchdog_warned = !beats;
	return beats;
}

static void on_watchdog(evutil_socket_t fd, short what, void *ctx)
{
	struct control *c = ctx;

	(void)fd;
	(void)what;
	if (every_heart_beats(c))
		sd_notify(0, "WATCHDOG=1");
	else
		c->count[COUNT_watchdog_held]++;
}

int notify_init(struct control *c, char *error, size_t size)
{
	uint64_t usec = 0;
	struct timeval half;

	if (sd_watchdog_enabled(0, &usec) <= 0 || usec == 0)
		return 0;
	half.tv_sec = (time_t)(usec / 2 / 1000000);
	half.tv_usec = (suseconds_t)(usec / 2 % 1000000);
	for (unsigned w = 0; w < WORKERS_MAX; w++)
		c->heartbeat[w] = UINT64_MAX; // the first look always finds them moved
	c->watchdog = event_new(c->base, -1, EV_PERSIST, on_watchdog, c);
	if (c->watchdog == NULL || event_add(c->watchdog, &half) < 0) {
		snprintf(error, size, "no memory for the watchdog's timer");
		return -ENOMEM;
	}
	return 0;
}

void notify_fini(struct control *c)
{
	if (c->watchdog != NULL)
		event_free(c->watchdog);
}

// Fills in what a person wants to read in `systemctl status`.
static void status_line(struct control *c, char *text, size_t size)
{
	unsigned n = captures_list(c->config.workers, c->captures, CAPTURES_MAX), active = 0;
	double pkts = 0;
	uint64_t flows = 0;

	for (unsigned i = 0; i < n; i++)
		active += c->captures[i].phase <= CAPTURE_PAUSED;
	for (unsigned w = 0; w < workers_count(c->config.workers); w++) {
		struct worker_status status = {0};

		workers_status(c->config.workers, w, &status);
		flows += status.flows_active;
	}
	for (unsigned i = 0; i < n; i++)
		pkts += c->captures[i].packets_per_second;
	snprintf(text, size, "%u capture%s running, %.3f Mpps, %" PRIu64 " flow%s", active,
		active == 1 ? "" : "s", pkts / 1e6, flows, flows == 1 ? "" : "s");
}

void notify_status(struct control *c)
{
	char text[160];

	status_line(c, text, sizeof(text));
	sd_notifyf(0, "STATUS=%s", text);
}

void control_notify_ready(struct control *c)
{
	char text[160];

	status_line(c, text, sizeof(text));
	sd_notifyf(0, "READY=1\nSTATUS=%s", text);
}

void control_notify_stopping(struct control *c)
{
	(void)c;
	sd_notify(0, "STOPPING=1\nSTATUS=ending and exporting all flows");
}

int control_reload(struct control *c, char *text, size_t size)
{
	int rc;

	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_monotonic_ns() / 1000);
	if (size > 0)
		text[0] = '\0';
	rc = c->config.reload != NULL ? c->config.reload(c->config.ctx, text, size) : -ENOSYS;
	if (rc == -ENOSYS)
		snprintf(text, size, "this daemon has no configuration file");
	auth_resolve_groups(c);
	control_notify_ready(c);
	return rc;
}
