// SPDX-License-Identifier: Apache-2.0
// pktctl capture start, stop and list; the progress that --wait shows.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture_table.h"
#include "client.h"
#include "codec.h"
#include "table.h"
#include "units.h"

#define WAIT_POLL_S 0.2 // how often --wait looks

// --- list ---

int capture_table(const struct ctl *ctl, const cJSON *captures, FILE *f)
{
	static const char *const columns[] = {"Capture", "State", ">Packets", ">Bytes", ">Rate",
		">Dropped", ">Read", "Source", "Reason", NULL};
	struct table *t = table_new(ctl->color, columns);
	char text[UNITS_MAX];
	const cJSON *c;

	cJSON_ArrayForEach (c, captures) {
		const char *state = member_text(c, "state", "?");
		const cJSON *progress = member(c, "progress");
		double dropped = member_number(c, "dropped");

		table_row(t);
		table_cell(t, member_text(c, "name", "?"));
		table_cell_color(t, table_state_color(state), state);
		table_cell(t, units_count(member_number(c, "packets"), text));
		table_cell(t, units_bytes(member_number(c, "bytes"), text));
		table_cell(t, units_pkts_rate(member_number(c, "packets_per_second"), text));
		table_cell_color(
			t, dropped > 0 ? TABLE_BAD : TABLE_PLAIN, units_count(dropped, text));
		table_cell(t, cJSON_IsNumber(progress) ? units_percent(progress->valuedouble, text)
						       : "-");
		table_cell(t, member_text(c, "source", "?"));
		table_cell(t, member_text(c, "reason", ""));
	}
	return table_print(t, f);
}

int ctl_capture_list(struct ctl *ctl, const struct ctl_args *args)
{
	struct client_reply reply;
	const cJSON *captures;
	int r = client_call(ctl->client, "capture.list", NULL, &reply);

	(void)args;
	if (r != EXIT_DONE)
		return r;
	captures = member(reply.result, "captures");
	if (ctl->json)
		printf("%s\n", reply.text);
	else if (cJSON_GetArraySize(captures) == 0)
		printf("No captures; pktctl capture start --help shows how to begin.\n");
	else
		r = capture_table(ctl, captures, stdout);
	client_reply_free(&reply);
	return r;
}

// --- stop ---

int ctl_capture_stop(struct ctl *ctl, const struct ctl_args *args)
{
	struct client_reply reply;
	int r = client_call(ctl->client, "capture.stop", cJSON_Duplicate(args->params, 1), &reply);

	if (r != EXIT_DONE)
		return r;
	if (ctl->json) {
		printf("%s\n", reply.text);
	} else {
		printf("Stopped ");
		print_safe(stdout, member_text(reply.result, "name", "?"));
		printf("; %.0f active flows ended.\n", member_number(reply.result, "ended"));
	}
	client_reply_free(&reply);
	return EXIT_DONE;
}

// --- start ---

struct wait {
	struct ctl *ctl;
	const char *name;
	bool live_line; // progress is drawn in place on stderr
	double start, last_at, last_packets, rate;
	double first_progress;
};

// Files and folders are meant here, not where the daemon runs. Returns 0 or an exit code.
static int make_absolute(cJSON *params, const char *name, const char *prefix)
{
	const cJSON *value = member(params, name);
	size_t n = strlen(prefix);
	char *cwd, *path = NULL;
	int size;

	if (!cJSON_IsString(value) || strncmp(value->valuestring, prefix, n) != 0 ||
		value->valuestring[n] == '/' || value->valuestring[n] == '\0')
		return EXIT_DONE;
	cwd = get_current_dir_name();
	if (cwd == NULL) {
		ctl_error("capture start: the current folder has no name; give whole paths");
		return EXIT_USAGE;
	}
	size = asprintf(&path, "%s%s/%s", prefix, cwd, value->valuestring + n);
	free(cwd);
	if (size < 0) {
		ctl_error("out of memory");
		return EXIT_ANSWERED_ERROR;
	}
	cJSON_ReplaceItemInObjectCaseSensitive(params, name, cJSON_CreateString(path));
	free(path);
	return EXIT_DONE;
}

static void wait_clear(const struct wait *w)
{
	if (w->live_line)
		fputs("\r\033[K", stderr);
}

// One line in place: percent, rate, ETA; for live captures packets and rate.
static void wait_show(struct wait *w, const cJSON *capture)
{
	double now = client_now(), packets = member_number(capture, "packets");
	const cJSON *progress = member(capture, "progress");
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX];
	double share;

	if (now > w->last_at)
		w->rate = (packets - w->last_packets) / (now - w->last_at);
	w->last_at = now;
	w->last_packets = packets;
	if (!w->live_line)
		return;
	fprintf(stderr, "\r\033[K");
	print_safe(stderr, w->name);
	if (!cJSON_IsNumber(progress)) {
		fprintf(stderr, ": %s, %s packets, %s", member_text(capture, "state", "?"),
			units_count(packets, a), units_pkts_rate(w->rate, b));
	} else {
		share = progress->valuedouble;
		fprintf(stderr, ": %s, %.2f Mpps", units_percent(share, a), w->rate / 1e6);
		if (share > w->first_progress && share < 1)
			fprintf(stderr, ", ETA %s",
				units_clock((1 - share) * (now - w->start) /
						    (share - w->first_progress),
					c));
	}
	fflush(stderr);
}

// What has become of the streams that were to be saved. Returns an exit code.
static int wait_saved(const struct wait *w, const cJSON *capture)
{
	const cJSON *saved = member(capture, "streams_saved");
	double lost = member_number(saved, "bytes_lost");
	char a[UNITS_MAX], b[UNITS_MAX];

	if (!cJSON_IsObject(saved))
		return EXIT_DONE;
	if (!w->ctl->json)
		printf("%s of TCP streams in %s files\n",
			units_bytes(member_number(saved, "bytes"), a),
			units_count(member_number(saved, "files"), b));
	if (lost == 0)
		return EXIT_DONE;
	ctl_error("capture %s: %s of TCP streams could not be saved: %s", w->name,
		units_bytes(lost, a), member_text(saved, "error", "the capture was too fast"));
	return EXIT_ANSWERED_ERROR;
}

static int wait_end(const struct wait *w, const struct client_reply *reply, const cJSON *capture)
{
	const char *state = member_text(capture, "state", "stopped"),
		   *reason = member_text(capture, "reason", "");
	double packets = member_number(capture, "packets"), seconds = client_now() - w->start, from,
	       to;
	char a[UNITS_MAX], b[UNITS_MAX], c[UNITS_MAX];

	wait_clear(w);
	if (strcmp(state, "finished") != 0) {
		ctl_error("capture %s %s%s%s after %s packets", w->name, state,
			reason[0] != '\0' ? ": " : "", reason, units_count(packets, a));
		return EXIT_ANSWERED_ERROR;
	}
	if (w->ctl->json) {
		printf("%s\n", reply->text);
		return wait_saved(w, capture);
	}
	if (time_parse(member_text(capture, "started", ""), &from) == 0 &&
		time_parse(member_text(capture, "ended", ""), &to) == 0 && to > from)
		seconds = to - from;
	print_safe(stdout, w->name);
	printf(": finished, %s packets, %s in %s (%.2f Mpps)", units_count(packets, a),
		units_bytes(member_number(capture, "bytes"), b), units_seconds(seconds, c),
		seconds > 0 ? packets / seconds / 1e6 : 0);
	if (member_number(capture, "dropped") > 0)
		printf(", %.0f dropped", member_number(capture, "dropped"));
	putchar('\n');
	return wait_saved(w, capture);
}

static int wait_interrupted(const struct wait *w)
{
	wait_clear(w);
	ctl_error("interrupted; capture %s goes on (pktctl capture stop %s ends it)", w->name,
		w->name);
	return EXIT_INTERRUPTED;
}

// One look. Returns an exit code with *ret_ended, or EXIT_INTERRUPTED.
static int wait_look(struct wait *w, bool *ret_ended)
{
	struct client_reply reply;
	cJSON *params = cJSON_CreateObject();
	const cJSON *capture;
	const char *state;
	int r;

	cJSON_AddStringToObject(params, "name", w->name);
	r = client_try(w->ctl->client, "capture.list", params, &reply);
	if (r == EXIT_INTERRUPTED)
		return r;
	if (r != EXIT_DONE) {
		wait_clear(w);
		if (reply.error.code == RPC_NOT_FOUND)
			ctl_error("capture %s was stopped before it had ended", w->name);
		else if (reply.error.code != 0)
			ctl_error("%s", reply.error.message);
		return r;
	}
	capture = cJSON_GetArrayItem(member(reply.result, "captures"), 0);
	state = member_text(capture, "state", "stopped");
	*ret_ended = strcmp(state, "finished") == 0 || strcmp(state, "failed") == 0 ||
	             strcmp(state, "stopped") == 0;
	if (*ret_ended)
		r = wait_end(w, &reply, capture);
	else
		wait_show(w, capture);
	client_reply_free(&reply);
	return r;
}

static int wait_for_end(struct ctl *ctl, const char *name)
{
	struct wait w = {.ctl = ctl, .name = name, .live_line = isatty(STDERR_FILENO) == 1};
	bool ended = false;
	int r = EXIT_DONE;

	w.start = w.last_at = client_now();
	for (;;) {
		r = wait_look(&w, &ended);
		if (r == EXIT_DONE && !ended)
			r = client_pause(-1, WAIT_POLL_S) == EXIT_INTERRUPTED ? EXIT_INTERRUPTED
			                                                      : EXIT_DONE;
		if (r == EXIT_INTERRUPTED)
			return wait_interrupted(&w);
		if (r != EXIT_DONE || ended)
			return r;
	}
}

int ctl_capture_start(struct ctl *ctl, const struct ctl_args *args)
{
	bool wait = args_switch(args, "wait");
	struct client_reply reply;
	const char *name;
	int r = make_absolute(args->params, "source", "pcap:");

	if (r == EXIT_DONE)
		r = make_absolute(args->params, "follow_to", "");
	if (r != EXIT_DONE)
		return r;
	r = client_call(ctl->client, "capture.start", cJSON_Duplicate(args->params, 1), &reply);
	if (r != EXIT_DONE)
		return r;
	name = member_text(reply.result, "name", "?");
	if (wait) {
		// only now: before, Ctrl-C may end the program as it likes
		client_catch_signals();
		r = wait_for_end(ctl, name);
	} else if (ctl->json) {
		printf("%s\n", reply.text);
	} else {
		printf("Started ");
		print_safe(stdout, name);
		printf(".\n");
	}
	client_reply_free(&reply);
	return r;
}
