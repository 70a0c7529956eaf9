// SPDX-License-Identifier: Apache-2.0
// pktaid: boots from top to bottom (configuration, EAL, workers, tail, control, captures), runs the
// control loop, and unwinds in the opposite order. Batch use is the same way with an end.
#include <errno.h>
#include <event2/event.h>
#include <rte_version.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aligned.h"
#include "clock.h"
#include "cpu.h"
#include "config.h"
#include "control.h"
#include "eal.h"
#include "export.h"
#include "hash.h"
#include "log.h"
#include "worker.h"

enum { ERROR_MAX = 4096, SETTLE_US = 2000, GIVE_UP_S = 5, BATCH_RECENT_BYTES = 4 << 20 };

struct daemon {
	struct config *config;      // as last read
	struct config *boot_config; // as the daemon started
	const char *config_path;
	struct event_base *base;
	struct workers *workers;
	struct export *export;
	struct control *control;
	struct event *signals[4];
	struct event *workers_event;
	struct event *tick;
	struct event *settle; // while a capture's last records are being written
	uint64_t started_ns;
	uint64_t started_monotonic_ns;
	int exit_status;
	bool stopping;
	bool is_terminated; // by a signal
};

// --- Captures of the configuration ---

static void start_capture(struct daemon *d, const struct config_capture *c)
{
	char error[ERROR_MAX];
	int r = captures_start(d->workers, c->source, c->name, c->filter, d->boot_config->follow_to,
		error, sizeof(error));

	if (r >= 0)
		return;
	log_error("capture %s: %s", c->source, error);
	if (d->config->exit_when_done) // a daemon goes on, and can be asked
		d->exit_status = 2;
}

static bool has_capture(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->capture_count; i++)
		if (config->captures[i].name != NULL && strcmp(config->captures[i].name, name) == 0)
			return true;
	return false;
}

// Named captures that came are started, those that went are stopped; nameless ones are left alone.
static void reload_captures(struct daemon *d, const struct config *fresh)
{
	for (unsigned i = 0; i < d->config->capture_count; i++) {
		const char *name = d->config->captures[i].name;

		if (name != NULL && !has_capture(fresh, name))
			captures_stop(d->workers, name, NULL, NULL);
	}
	for (unsigned i = 0; i < fresh->capture_count; i++) {
		const char *name = fresh->captures[i].name;

		if (name != NULL && !has_capture(d->config, name))
			start_capture(d, &fresh->captures[i]);
	}
}

// Takes over what may change while running. Says in text which keys need a restart, measured against
// what the daemon started with.
static int reload(void *ctx, char *text, size_t size)
{
	struct daemon *d = ctx;
	struct config *fresh;

	if (d->config_path == NULL) {
		snprintf(text, size, "no configuration file was given: nothing to reload");
		return -ENOENT;
	}
	fresh = config_reload(d->boot_config, d->config_path, text, size);
	if (fresh == NULL)
		return -EINVAL;
	log_set_level(fresh->log);
	reload_captures(d, fresh);
	control_set_groups(d->control, fresh->groups.read, fresh->groups.admin);
	control_set_stats_interval(d->control, fresh->stats_interval_ns);
	text[0] = '\0';
	if (config_restart_keys(d->boot_config, fresh, text, size) > 0)
		log_warning("configuration reloaded from %s; these keys need a restart: %s",
			d->config_path, text);
	else
		log_notice("configuration reloaded from %s", d->config_path);
	if (d->config != d->boot_config)
		config_free(d->config);
	d->config = fresh;
	return 0;
}

// --- The end ---

static void look_for_the_end(struct daemon *d)
{
	struct timeval soon = {.tv_usec = SETTLE_US};

	if (captures_settling(d->workers) && !event_pending(d->settle, EV_TIMEOUT, NULL))
		event_add(d->settle, &soon);
	if (captures_all_ended(d->workers) && (d->stopping || d->config->exit_when_done))
		event_base_loopbreak(d->base);
}

static void shut_down(void *ctx)
{
	struct daemon *d = ctx;

	if (d->stopping)
		return;
	d->stopping = true;
	log_notice("stopping");
	captures_stop_all(d->workers);
	look_for_the_end(d);
}

// --- Events of the loop ---

static void give_up(int number)
{
	static const char text[] = "pktaid: error: events cannot be written: ended without them\n";
	ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);

	(void)number;
	(void)n;
	_exit(2);
}

// Asked a second time: captures are not waited for any more, whoever reads our events only for so long.
static void on_terminate(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd;
	(void)what;
	if (d->is_terminated) {
		log_warning("stopping at once");
		d->exit_status = 2;
		signal(SIGALRM, give_up);
		alarm(GIVE_UP_S);
		event_base_loopbreak(d->base);
	}
	d->is_terminated = true;
	shut_down(d);
}

static void on_hangup(evutil_socket_t fd, short what, void *ctx)
{
	char text[ERROR_MAX];

	(void)fd;
	(void)what;
	if (((struct daemon *)ctx)->stopping)
		return;
	if (control_reload(((struct daemon *)ctx)->control, text, sizeof(text)) < 0)
		log_error("not reloaded: %s", text);
}

static void on_workers(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd;
	(void)what;
	workers_dispatch(d->workers);
	look_for_the_end(d);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	struct daemon *d = ctx;

	(void)fd;
	(void)what;
	workers_tick(d->workers);
	look_for_the_end(d);
}

// --- Batch ---

// What saving its streams came to.
static void print_saved(struct daemon *d, const struct capture_status *s, const struct counters *c)
{
	uint64_t too_fast = c->value[COUNTER_stream_bytes_lost];
	struct export_follow_status f;

	export_follow_status(d->export, s->index, &f);
	if (!f.is_on)
		return;
	fprintf(stderr, "%s: %llu bytes of TCP streams in %llu files", s->source,
		(unsigned long long)f.bytes, (unsigned long long)f.files);
	if (f.bytes_lost + too_fast > 0)
		fprintf(stderr, "; %llu bytes could not be saved: %s",
			(unsigned long long)(f.bytes_lost + too_fast),
			f.error != 0 ? strerror(f.error) : "the capture was too fast");
	fputc('\n', stderr);
	if (f.error != 0 || too_fast > 0)
		d->exit_status = 2;
}

static void print_capture(struct daemon *d, const struct capture_status *s)
{
	struct counters *c = aligned_zalloc(sizeof(*c));
	struct capture_losses lost;
	uint64_t malformed = 0;

	if (c == NULL)
		return;
	captures_counters(d->workers, s->index, -1, c);
	captures_losses(d->workers, s->index, &lost);
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		malformed += c->event[i];
	fprintf(stderr,
		"%s: %s%s%s: %llu packets, %llu bytes, %llu flows, %llu malformed, %llu filtered, "
		"%llu dropped\n",
		s->source, capture_phase_name(s->phase), s->reason[0] != '\0' ? ": " : "",
		s->reason, (unsigned long long)c->value[COUNTER_received],
		(unsigned long long)c->value[COUNTER_received_bytes],
		(unsigned long long)c->value[COUNTER_flows_created], (unsigned long long)malformed,
		(unsigned long long)c->value[COUNTER_filtered],
		(unsigned long long)(c->value[COUNTER_dropped_no_mbuf] +
				     c->value[COUNTER_dropped_steer_ring_full] +
				     c->value[COUNTER_dropped_ring_full] +
				     c->value[COUNTER_dropped_shutdown] + lost.missed +
				     lost.errors + lost.no_mbuf + lost.kernel));
	print_saved(d, s, c);
	free(c);
}

// What a batch run came to.
static void summary(struct daemon *d)
{
	struct capture_status *list = calloc(CAPTURES_MAX, sizeof(*list));
	unsigned n = list != NULL ? captures_list(d->workers, list, CAPTURES_MAX) : 0;

	for (unsigned i = 0; i < n; i++) {
		if (!d->config->exit_when_done)
			continue;
		if (list[i].phase == CAPTURE_FAILED)
			d->exit_status = 2;
		print_capture(d, &list[i]);
	}
	free(list);
}

static void last_stats_event(struct daemon *d)
{
	struct json json;

	json_init(&json);
	control_stats_write(d->workers, d->export,
		(clock_monotonic_ns() - d->started_monotonic_ns) / NSEC_PER_S, &json);
	if (!json.failed)
		export_line(d->export, json.text, json.size);
	json_fini(&json);
}

// --- Boot ---

static int start_data_plane(struct daemon *d, char *error, size_t size)
{
	const struct config *c = d->config;
	struct eal_config eal = {
		.workers = c->workers,
		.cpus = c->cpus,
		.memory_mib = c->memory_mib,
		.no_huge = c->no_huge,
		.pci = !c->exit_when_done &&
	               (geteuid() == 0 || access("/dev/vfio/vfio", R_OK | W_OK) == 0),
		.argc = c->eal_argc,
		.argv = c->eal_argv,
	};
	struct workers_config workers = {
		.count = c->workers,
		.busy = c->busy,
		.flow = c->flow,
		.decode = c->decode,
		.defrag = c->defrag,
		.stream = c->stream.reassembly,
		.record_ring_bytes = 4 << 20,
		.steer_ring_bytes = 4 << 20,
	};
	int r;

	workers.flow.capacity = (c->flow.capacity + c->workers - 1) / c->workers;
	workers.defrag.trackers = (c->defrag.trackers + c->workers - 1) / c->workers;
	workers.defrag.fragments = (c->defrag.fragments + c->workers - 1) / c->workers;
	workers.defrag.bytes = c->defrag.bytes / c->workers;
	workers.keeps_streams = c->stream.keep_bytes > 0;
	workers.stream.bytes = c->stream.reassembly.bytes / c->workers;
	workers.stream.refuse_bad_checksum = c->decode.verify_checksum;
	hash_seed_init();
	r = eal_start(&eal, error, size);
	if (r < 0)
		return r;
	return workers_start(&workers, &d->workers, error, size);
}

// Who runs a batch reads its events: the memory for what nobody will ask for is not worth touching.
static uint64_t recent_bytes(const struct config *c)
{
	return c->exit_when_done && c->recent_bytes > BATCH_RECENT_BYTES ? BATCH_RECENT_BYTES
	                                                                 : c->recent_bytes;
}

static int start_export(struct daemon *d, char *error, size_t size)
{
	struct export_config export = {
		.events_path = d->config->events,
		.recent_bytes = recent_bytes(d->config),
		.keep_bytes = d->config->stream.keep_bytes,
		.workers = workers_count(d->workers),
		.records = workers_records(d->workers),
	};
	int r = export_start(&export, &d->export, error, size);

	if (r == 0)
		workers_set_export(d->workers, d->export);
	return r;
}

static int start_control(struct daemon *d, char *error, size_t size)
{
	char socket[4096];
	struct control_config control = {
		.socket = socket,
		.group_read = d->config->groups.read,
		.group_admin = d->config->groups.admin,
		.workers = d->workers,
		.export = d->export,
		.stats_interval_ns = d->config->stats_interval_ns,
		.config_path = d->config_path,
		.dpdk_version = rte_version(),
		.reload = reload,
		.shutdown = shut_down,
		.ctx = d,
	};

	if (config_socket_path(d->config, socket, sizeof(socket)) < 0) {
		snprintf(error, size,
			"no place for the socket: set --socket, PKTAID_SOCKET or XDG_RUNTIME_DIR");
		return -ENOENT;
	}
	return control_start(d->base, &control, &d->control, error, size);
}

static int start_loop(struct daemon *d)
{
	static const struct timeval second = {.tv_sec = 1};

	d->base = event_base_new();
	if (d->base == NULL)
		return -ENOMEM;
	d->signals[0] = evsignal_new(d->base, SIGTERM, on_terminate, d);
	d->signals[1] = evsignal_new(d->base, SIGINT, on_terminate, d);
	d->signals[2] = evsignal_new(d->base, SIGHUP, on_hangup, d);
	d->workers_event = event_new(
		d->base, workers_event_fd(d->workers), EV_READ | EV_PERSIST, on_workers, d);
	d->tick = event_new(d->base, -1, EV_PERSIST, on_tick, d);
	d->settle = event_new(d->base, -1, 0, on_workers, d);
	for (unsigned i = 0; i < 3; i++)
		if (d->signals[i] == NULL || event_add(d->signals[i], NULL) < 0)
			return -ENOMEM;
	if (d->workers_event == NULL || d->tick == NULL || d->settle == NULL ||
		event_add(d->workers_event, NULL) < 0 || event_add(d->tick, &second) < 0)
		return -ENOMEM;
	return 0;
}

static void unwind(struct daemon *d)
{
	char error[ERROR_MAX] = "";

	workers_halt(d->workers);
	for (unsigned i = 0; i < 3; i++)
		if (d->signals[i] != NULL)
			event_free(d->signals[i]);
	if (d->workers_event != NULL)
		event_free(d->workers_event);
	if (d->tick != NULL)
		event_free(d->tick);
	if (d->settle != NULL)
		event_free(d->settle);
	if (export_stop(d->export, error, sizeof(error)) < 0) {
		log_error("%s", error);
		d->exit_status = 2;
	}
	workers_stop(d->workers);
	if (d->base != NULL)
		event_base_free(d->base);
	if (d->config != d->boot_config)
		config_free(d->config);
	config_free(d->boot_config);
}

int main(int argc, char **argv)
{
	char error[ERROR_MAX] = "";
	struct daemon d = {
		.started_ns = clock_wall_ns(), .started_monotonic_ns = clock_monotonic_ns()};
	int status = 0;

	if (cpu_lacks() != NULL) {
		log_error("this processor has no %s, which this build of pktaid needs (meson's "
			  "option march)",
			cpu_lacks());
		return 1;
	}
	if (config_from_command_line(argc, argv, &d.config, &d.config_path, &status) != 0)
		return status;
	d.boot_config = d.config;
	log_set_level(d.config->log);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ,
		SIG_IGN); // a file that may not grow is an error of write(), as a full disk is
	if (start_data_plane(&d, error, sizeof(error)) < 0)
		goto fail;
	if (start_loop(&d) < 0) {
		snprintf(error, sizeof(error), "no memory for the control loop");
		goto fail;
	}
	if (start_export(&d, error, sizeof(error)) < 0 ||
		start_control(&d, error, sizeof(error)) < 0)
		goto fail;
	for (unsigned i = 0; i < d.config->capture_count; i++)
		start_capture(&d, &d.config->captures[i]);
	control_notify_ready(d.control);
	look_for_the_end(&d);
	if (!event_base_got_break(d.base))
		event_base_dispatch(d.base);
	control_notify_stopping(d.control);
	// First those who ask, then the workers, who answer; then nothing is written but the last event.
	control_stop(d.control);
	workers_halt(d.workers);
	if (d.config->exit_when_done)
		summary(&d);
	last_stats_event(&d);
	unwind(&d);
	eal_stop();
	return d.exit_status;
fail:
	log_error("%s", error);
	unwind(&d);
	return 1;
}
