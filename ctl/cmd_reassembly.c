// SPDX-License-Identifier: Apache-2.0
// pktctl reassembly: first the four figures that everybody reads, then TCP by what they are about,
// then the fragments of both IP families side by side. What a newer daemon tells beyond that is shown
// by its name, so that nothing is lost.
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "ctl.h"
#include "screen.h"
#include "table.h"
#include "units.h"

enum { LABEL_WIDTH = 36 };

enum kind { HEADING, COUNT, BYTES, BAD, MEAN, HIDDEN };

struct row {
	enum kind kind;
	const char *name; // member of the result; HEADING: none
	const char *label;
	const char *samples; // MEAN: the member to divide by
};

static const struct row head_rows[] = {
	{COUNT, "segments_received", "Segments received", NULL},
	{BYTES, "bytes_delivered", "Bytes delivered", NULL},
	{COUNT, "duplicate_segments", "Duplicate segments", NULL},
	{COUNT, "out_of_order_segments", "Out-of-order segments", NULL},
};

static const struct row tcp_rows[] = {
	{HEADING, NULL, "TCP streams", NULL},
	{COUNT, "streams", "Begun", NULL},
	{COUNT, "active", "Under way", NULL},
	{COUNT, "connections", "Handshake seen whole", NULL},
	{COUNT, "simultaneous_open", "Opened from both ends", NULL},
	{COUNT, "midstream", "Begun without SYN", NULL},
	{COUNT, "one_sided", "One direction only", NULL},
	{COUNT, "reused_tuple", "Ended by a new connection", NULL},
	{MEAN, "rtt_handshake_sum", "Round trip of handshakes", "rtt_handshake_samples"},
	{MEAN, "rtt_sum", "Round trip of data", "rtt_samples"},
	{HIDDEN, "rtt_handshake_samples", NULL, NULL},
	{HIDDEN, "rtt_samples", NULL, NULL},

	{HEADING, NULL, "TCP segments", NULL},
	{COUNT, "syn", "SYN", NULL},
	{COUNT, "synack", "SYN/ACK", NULL},
	{COUNT, "fin", "FIN", NULL},
	{COUNT, "rst", "RST", NULL},
	{COUNT, "in_order", "In order", NULL},
	{COUNT, "retransmitted", "Retransmitted", NULL},
	{COUNT, "spurious_retransmission", "Retransmitted though acknowledged", NULL},
	{COUNT, "overlap", "Overlapping", NULL},
	{BAD, "overlap_differing", "Overlapping, other bytes", NULL},
	{COUNT, "keep_alive", "Keep-alive", NULL},
	{COUNT, "zero_window", "Zero window", NULL},
	{COUNT, "zero_window_probe", "Probe of a zero window", NULL},
	{COUNT, "urgent", "Urgent", NULL},
	{COUNT, "ack_unseen", "Acknowledge what was not seen", NULL},
	{COUNT, "before_base", "From before the first seen", NULL},

	{HEADING, NULL, "TCP gaps", NULL},
	{BAD, "gaps", "Gaps", NULL},
	{BYTES, "gap_bytes", "Bytes missing", NULL},
	{COUNT, "gaps_acked", "Acknowledged, never seen", NULL},
	{COUNT, "gaps_budget", "Given up for memory", NULL},
	{COUNT, "gaps_end", "Open at the end", NULL},
	{COUNT, "gaps_truncated", "Cut by the capture", NULL},

	{HEADING, NULL, "TCP refused", NULL},
	{BAD, "bad_checksum", "Checksum wrong", NULL},
	{BAD, "bad_length", "IP length beyond the frame", NULL},
	{BAD, "bad_timestamp", "Timestamp too old (PAWS)", NULL},
	{BAD, "bad_ack", "Acknowledgement too far ahead", NULL},
	{BAD, "out_of_window", "Beyond the window", NULL},
	{BAD, "syn_inside", "SYN inside a stream", NULL},
	{BAD, "rst_out_of_window", "RST out of window", NULL},
	{BAD, "data_after_rst", "Data after RST", NULL},
	{BAD, "data_after_fin", "Data after FIN", NULL},

	{HEADING, NULL, "TCP limits and memory", NULL},
	{BAD, "limit_streams", "Segments without a stream", NULL},
	{BAD, "limit_bytes", "Holes given up", NULL},
	{BAD, "limit_segments", "Segments not kept whole", NULL},
	{COUNT, "limit_depth", "Directions beyond the depth", NULL},
	{BAD, "limit_hold", "Decoders that wanted too much", NULL},
	{BYTES, "bytes_not_wanted", "Bytes that nobody asked for", NULL},
	{COUNT, "buffered", "Segments held", NULL},
	{COUNT, "buffered_peak", "Segments held, most", NULL},
	{BYTES, "memory", "Memory in use", NULL},
	{BYTES, "memory_peak", "Memory in use, most", NULL},
};

static const struct row ip_rows[] = {
	{COUNT, "fragments", "Fragments", NULL},
	{COUNT, "reassembled", "Datagrams put together", NULL},
	{BAD, "timeout", "Datagrams not complete in time", NULL},
	{BAD, "evicted", "Datagrams given up for newer ones", NULL},
	{COUNT, "duplicate", "Duplicate", NULL},
	{COUNT, "overlap", "Overlapping", NULL},
	{BAD, "overlap_differing", "Overlapping, other bytes", NULL},
	{BAD, "bad_length", "Length no multiple of 8", NULL},
	{BAD, "too_large", "Beyond 65,535 bytes", NULL},
	{BAD, "too_small", "Too small", NULL},
	{BAD, "too_many", "Too many of a datagram", NULL},
	{COUNT, "unreadable", "Not captured whole", NULL},
	{BAD, "memcap", "Kept out for memory", NULL},
};

#define ROWS(table) table, sizeof(table) / sizeof(table[0])

static const char *value_text(const cJSON *object, const struct row *r, char text[2 * UNITS_MAX])
{
	double n = member_number(object, r->name), samples;
	char unit[UNITS_MAX];

	if (r->kind == BYTES && n >= 1000) {
		snprintf(text, 2 * UNITS_MAX, "%.0f (%s)", n, units_bytes(n, unit));
		return text;
	}
	if (r->kind == MEAN) {
		samples = member_number(object, r->samples);
		if (samples == 0)
			return "-";
		snprintf(text, 2 * UNITS_MAX, "%s (mean of %.0f)",
			units_seconds(n / samples / 1e9, unit), samples);
		return text;
	}
	return units_count(n, text);
}

static bool is_bad(const cJSON *object, const struct row *r)
{
	return r->kind == BAD && member_number(object, r->name) > 0;
}

static void print_rows(const struct ctl *ctl, const cJSON *object, const struct row *rows, size_t n,
	int indent, FILE *f)
{
	char text[2 * UNITS_MAX];

	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];

		const char *color = ctl->color && is_bad(object, r) ? "\033[33m" : "";

		if (r->kind == HEADING)
			fprintf(f, "\n%s\n", r->label);
		else if (r->kind != HIDDEN && member(object, r->name) != NULL)
			fprintf(f, "%*s%s:%*s%s%s%s\n", indent, "", r->label,
				LABEL_WIDTH - indent - (int)strlen(r->label), "", color,
				value_text(object, r, text), color[0] != '\0' ? "\033[0m" : "");
	}
}

static bool is_known(const char *name, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].name != NULL && strcmp(rows[i].name, name) == 0)
			return true;
	return false;
}

static void print_others(const cJSON *tcp, FILE *f)
{
	bool is_first = true;
	const cJSON *v;

	cJSON_ArrayForEach (v, tcp) {
		if (!cJSON_IsNumber(v) || v->string == NULL ||
			is_known(v->string, ROWS(head_rows)) || is_known(v->string, ROWS(tcp_rows)))
			continue;
		if (is_first)
			fprintf(f, "\nOther figures of TCP\n");
		is_first = false;
		fprintf(f, "  ");
		print_safe(f, v->string);
		fprintf(f, ": %.0f\n", v->valuedouble);
	}
}

static void ip_row(struct table *t, const struct row *r, const cJSON *ip4, const cJSON *ip6)
{
	char text[2 * UNITS_MAX];

	table_row(t);
	table_cell(t, r->label);
	table_cell_color(t, is_bad(ip4, r) ? TABLE_WARN : TABLE_PLAIN, value_text(ip4, r, text));
	table_cell_color(t, is_bad(ip6, r) ? TABLE_WARN : TABLE_PLAIN, value_text(ip6, r, text));
}

static int print_ip(const struct ctl *ctl, const cJSON *ip4, const cJSON *ip6, FILE *f)
{
	static const char *const columns[] = {"IP fragments", ">IPv4", ">IPv6", NULL};
	struct table *t = table_new(ctl->color, columns);
	const cJSON *v;

	fputc('\n', f);
	for (size_t i = 0; i < sizeof(ip_rows) / sizeof(ip_rows[0]); i++)
		ip_row(t, &ip_rows[i], ip4, ip6);
	cJSON_ArrayForEach (v, ip4) {
		const struct row other = {COUNT, v->string, v->string, NULL};

		if (v->string != NULL && !is_known(v->string, ROWS(ip_rows)))
			ip_row(t, &other, ip4, ip6);
	}
	return table_print(t, f);
}

static int draw_reassembly(struct ctl *ctl, const struct ctl_args *args, FILE *f)
{
	struct client_reply reply;
	const cJSON *tcp;
	int r = client_call(
		ctl->client, "reassembly.stats", cJSON_Duplicate(args->params, 1), &reply);

	if (r != EXIT_DONE)
		return r;
	tcp = member(reply.result, "tcp");
	if (ctl->json) {
		fprintf(f, "%s\n", reply.text);
	} else {
		print_rows(ctl, tcp, ROWS(head_rows), 0, f);
		print_rows(ctl, tcp, ROWS(tcp_rows), 2, f);
		print_others(tcp, f);
		r = print_ip(ctl, member(reply.result, "ipv4"), member(reply.result, "ipv6"), f);
	}
	client_reply_free(&reply);
	return r;
}

int ctl_reassembly(struct ctl *ctl, const struct ctl_args *args)
{
	return screen_run(ctl, args, args_switch(args, "watch"), draw_reassembly);
}
