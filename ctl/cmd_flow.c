// SPDX-License-Identifier: Apache-2.0
// pktctl flow: one flow, everything known of it. First the figures that everybody asks for, then those
// that have a label here, then whatever else the record holds, so that a newer daemon's record loses
// nothing.
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "ctl.h"
#include "follow.h"
#include "table.h"
#include "units.h"

enum { LABEL_WIDTH = 28, PATH_MAX_BYTES = 256, SHOWN_MAX = 256 };

static void line(const char *label, const char *text)
{
	int n = (int)strlen(label) + 3;

	printf("  ");
	print_safe(stdout, label);
	printf(":%*s", n < LABEL_WIDTH ? LABEL_WIDTH - n : 1, "");
	print_safe(stdout, text);
	putchar('\n');
}

static void line_number(const char *label, double n, int digits)
{
	char text[64];

	snprintf(text, sizeof(text), "%.*f", digits, n);
	line(label, text);
}

// --- What everybody asks for ---

static void print_head(const cJSON *record)
{
	const cJSON *flow = member(record, "flow"), *pktai = member(record, "pktai");
	double pkts = member_number(flow, "pkts_toserver") + member_number(flow, "pkts_toclient");
	double bytes = member_number(flow, "bytes_toserver") +
	               member_number(flow, "bytes_toclient");
	char *name = flow_name(record);

	printf("Flow: ");
	print_safe(stdout, name != NULL ? name : "?");
	putchar('\n');
	free(name);
	line("Proto", member_text(record, "proto", "?"));
	line_number("Pkts", pkts, 0);
	line_number("Bytes", bytes, 0);
	line_number("Duration (s)", member_number(pktai, "duration_ns") / 1e9, 6);
	line_number("AvgPkt (B)", member_number(pktai, "avg_packet_bytes"), 1);
	line_number("Throughput (Kbps)", member_number(pktai, "throughput_bps") / 1e3, 1);
}

// --- What has a label ---

enum unit { UNIT_NONE, UNIT_NS, UNIT_BYTES, UNIT_HIDDEN };

static const struct {
	const char *path, *label;
	enum unit unit;
} labels[] = {
	{"src_ip", NULL, UNIT_HIDDEN}, // in the first lines
	{"src_port", NULL, UNIT_HIDDEN},
	{"dest_ip", NULL, UNIT_HIDDEN},
	{"dest_port", NULL, UNIT_HIDDEN},
	{"proto", NULL, UNIT_HIDDEN},
	{"event_type", NULL, UNIT_HIDDEN},
	{"pktai.duration_ns", NULL, UNIT_HIDDEN},
	{"pktai.avg_packet_bytes", NULL, UNIT_HIDDEN},
	{"pktai.throughput_bps", NULL, UNIT_HIDDEN},
	{"flow_id", "ID", UNIT_NONE},
	{"app_proto", "Application", UNIT_NONE},
	{"flow.state", "State", UNIT_NONE},
	{"pktai.end_reason", "End", UNIT_NONE},
	{"flow.reason", "End in EVE's words", UNIT_NONE},
	{"pktai.part_no", "Part", UNIT_NONE},
	{"pktai.capture", "Capture", UNIT_NONE},
	{"in_iface", "Interface", UNIT_NONE},
	{"vlan", "VLAN", UNIT_NONE},
	{"community_id", "Community ID", UNIT_NONE},
	{"flow.start", "First packet", UNIT_NONE},
	{"flow.end", "Last packet", UNIT_NONE},
	{"timestamp", "Timestamp", UNIT_NONE},
	{"pktai.ts_source", "Time from", UNIT_NONE},
	{"flow.age", "Age (s)", UNIT_NONE},
	{"flow.pkts_toserver", "Pkts to server", UNIT_NONE},
	{"flow.pkts_toclient", "Pkts to client", UNIT_NONE},
	{"flow.bytes_toserver", "Bytes to server", UNIT_BYTES},
	{"flow.bytes_toclient", "Bytes to client", UNIT_BYTES},
	{"pktai.latency.syn_ns", "SYN to SYN/ACK", UNIT_NS},
	{"pktai.latency.synack_ns", "SYN/ACK to ACK", UNIT_NS},
	{"pktai.latency.first_response_ns", "First response", UNIT_NS},
	{"pktai.latency.response.min_ns", "Response min", UNIT_NS},
	{"pktai.latency.response.mean_ns", "Response mean", UNIT_NS},
	{"pktai.latency.response.max_ns", "Response max", UNIT_NS},
	{"pktai.latency.response.samples", "Responses", UNIT_NONE},
	{"tcp.state", "TCP state", UNIT_NONE},
	{"tcp.tcp_flags", "TCP flags", UNIT_NONE},
	{"tcp.tcp_flags_ts", "TCP flags to server", UNIT_NONE},
	{"tcp.tcp_flags_tc", "TCP flags to client", UNIT_NONE},
};

static const cJSON *find_path(const cJSON *record, const char *path)
{
	const cJSON *v = record;
	char name[64];

	while (v != NULL && *path != '\0') {
		size_t n = strcspn(path, ".");

		snprintf(name, sizeof(name), "%.*s", (int)n, path);
		v = member(v, name);
		path += n + (path[n] == '.');
	}
	return v;
}

static bool is_leaf(const cJSON *v)
{
	const cJSON *item;

	if (cJSON_IsObject(v))
		return false;
	cJSON_ArrayForEach (item, v)
		if (cJSON_IsObject(item) || cJSON_IsArray(item))
			return false;
	return true;
}

static size_t scalar_text(const cJSON *v, enum unit unit, char *text, size_t size)
{
	char figure[UNITS_MAX];
	int n;

	if (cJSON_IsString(v))
		n = snprintf(text, size, "%s", v->valuestring);
	else if (cJSON_IsBool(v))
		n = snprintf(text, size, "%s", cJSON_IsTrue(v) ? "yes" : "no");
	else if (!cJSON_IsNumber(v))
		n = snprintf(text, size, "-");
	else if (unit == UNIT_NS)
		n = snprintf(text, size, "%s", units_seconds(v->valuedouble / 1e9, figure));
	else if (unit == UNIT_BYTES)
		n = snprintf(text, size, "%.0f", v->valuedouble);
	else if (v->valuedouble == (double)(long long)v->valuedouble)
		n = snprintf(text, size, "%lld", (long long)v->valuedouble);
	else
		n = snprintf(text, size, "%.6g", v->valuedouble);
	return (size_t)n < size ? (size_t)n : size - 1;
}

static void leaf_line(const char *label, const cJSON *v, enum unit unit)
{
	char text[1024];
	size_t at = 0;
	const cJSON *item;

	if (!cJSON_IsArray(v)) {
		scalar_text(v, unit, text, sizeof(text));
		line(label, text);
		return;
	}
	text[0] = '\0';
	cJSON_ArrayForEach (item, v) {
		if (at > 0 && at + 1 < sizeof(text))
			text[at++] = ' ';
		at += scalar_text(item, unit, text + at, sizeof(text) - at);
	}
	line(label, text);
}

// --- The rest ---

struct shown {
	const cJSON *items[SHOWN_MAX];
	unsigned count;
};

static bool was_shown(const struct shown *s, const cJSON *v)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->items[i] == v)
			return true;
	return false;
}

// A time by its name, in nanoseconds; a list of them stays as it is, to be compared.
static enum unit unit_of(const char *path, const cJSON *v)
{
	size_t n = strlen(path);

	return cJSON_IsNumber(v) && n > 3 && strcmp(path + n - 3, "_ns") == 0 ? UNIT_NS : UNIT_NONE;
}

// Prints leaves that were not shown yet, with their path. Depth is bounded by the parser.
static void print_rest(const struct shown *shown, const cJSON *object, const char *path)
{
	char sub[PATH_MAX_BYTES];
	const cJSON *v;
	int index = 0;

	cJSON_ArrayForEach (v, object) {
		if (v->string != NULL)
			snprintf(sub, sizeof(sub), "%s%s%.100s", path, path[0] != '\0' ? "." : "",
				v->string);
		else
			snprintf(sub, sizeof(sub), "%s[%d]", path, index);
		index++;
		if (was_shown(shown, v))
			continue;
		if (is_leaf(v))
			leaf_line(
				strncmp(sub, "pktai.", 6) == 0 ? sub + 6 : sub, v, unit_of(sub, v));
		else
			print_rest(shown, v, sub);
	}
}

// --- The stream, both directions side by side ---

static const struct {
	const char *name, *label;
} stream_labels[] = {
	{"segments", "Segments"},
	{"bytes_delivered", "Bytes delivered"},
	{"duplicate", "Duplicate"},
	{"out_of_order", "Out of order"},
	{"retransmitted", "Retransmitted"},
	{"spurious", "Though acknowledged"},
	{"overlap", "Overlapping"},
	{"overlap_differing", "Overlapping, other bytes"},
	{"gaps", "Gaps"},
	{"gap_bytes", "Bytes missing"},
	{"keep_alive", "Keep-alive"},
	{"zero_window", "Zero window"},
	{"zero_window_probe", "Probe of a zero window"},
	{"before_base", "From before the first seen"},
	{"out_of_window", "Beyond the window"},
	{"refused", "Refused"},
};

static const struct {
	const char *name, *label;
} rtt_labels[] = {
	{"min_ns", "Round trip, shortest"},
	{"mean_ns", "Round trip, mean"},
	{"max_ns", "Round trip, longest"},
	{"samples", "Round trips measured"},
};

static void show_cell(struct shown *shown, struct table *t, const cJSON *v, enum unit unit)
{
	char text[256] = "-";

	if (v != NULL) {
		scalar_text(v, unit, text, sizeof(text));
		if (shown->count < SHOWN_MAX)
			shown->items[shown->count++] = v;
	}
	table_cell(t, text);
}

static int print_stream(const struct ctl *ctl, struct shown *shown, const cJSON *stream)
{
	static const char *const columns[] = {"Stream", ">To server", ">To client", NULL};
	const cJSON *rtt[2] = {member(stream, "rtt_toserver"), member(stream, "rtt_toclient")};
	struct table *t;
	char name[64];

	if (stream == NULL)
		return EXIT_DONE;
	t = table_new(ctl->color, columns);
	for (size_t i = 0; i < sizeof(stream_labels) / sizeof(stream_labels[0]); i++) {
		snprintf(name, sizeof(name), "%s_toserver", stream_labels[i].name);
		if (member(stream, name) == NULL)
			continue;
		table_row(t);
		table_cell(t, stream_labels[i].label);
		show_cell(shown, t, member(stream, name), UNIT_NONE);
		snprintf(name, sizeof(name), "%s_toclient", stream_labels[i].name);
		show_cell(shown, t, member(stream, name), UNIT_NONE);
	}
	for (size_t i = 0; i < sizeof(rtt_labels) / sizeof(rtt_labels[0]); i++) {
		const char *n = rtt_labels[i].name;
		enum unit unit = strcmp(n, "samples") == 0 ? UNIT_NONE : UNIT_NS;

		if (rtt[0] == NULL && rtt[1] == NULL)
			break;
		table_row(t);
		table_cell(t, rtt_labels[i].label);
		show_cell(shown, t, member(rtt[0], n), unit);
		show_cell(shown, t, member(rtt[1], n), unit);
	}
	putchar('\n');
	return table_print(t, stdout);
}

static int print_record(const struct ctl *ctl, const cJSON *record)
{
	struct shown shown = {.count = 0};
	const cJSON *stream = member(member(record, "pktai"), "stream");
	int r;

	print_head(record);
	for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++) {
		const cJSON *v = find_path(record, labels[i].path);

		if (v == NULL || !is_leaf(v))
			continue;
		shown.items[shown.count++] = v;
		if (labels[i].unit != UNIT_HIDDEN && !cJSON_IsNull(v))
			leaf_line(labels[i].label, v, labels[i].unit);
	}
	r = print_stream(ctl, &shown, stream);
	if (stream != NULL)
		putchar('\n');
	print_rest(&shown, record, "");
	return r;
}

int ctl_flow(struct ctl *ctl, const struct ctl_args *args)
{
	struct client_reply reply;
	int r;

	if (args_switch(args, "follow"))
		return ctl_flow_follow(ctl, args);
	if (args_local(args, "direction") != NULL) {
		ctl_error("flow: --direction goes with --follow");
		return EXIT_USAGE;
	}
	r = client_call(ctl->client, "flows.get", cJSON_Duplicate(args->params, 1), &reply);
	if (r != EXIT_DONE)
		return r;
	if (ctl->json)
		printf("%s\n", reply.text);
	else
		r = print_record(ctl, member(reply.result, "flow"));
	client_reply_free(&reply);
	return r;
}
