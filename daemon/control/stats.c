// SPDX-License-Identifier: Apache-2.0
// Figures as JSON: where packets went, protocols, malformations. One function for each serves the
// RPC methods and the stats event alike, so that both always have the same shape. Thread: control.
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

// --- drops.get ---

static const char dropped[] = "dropped_"; // how the names of drop counters begin

uint64_t stats_dropped(const struct counters *sum)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		if (strncmp(counter_table[i].name, dropped, sizeof(dropped) - 1) == 0)
			n += sum->value[i];
	return n;
}

static void write_dropped(struct json *j, const struct counters *sum)
{
	json_object(j, "dropped");
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		if (strncmp(counter_table[i].name, dropped, sizeof(dropped) - 1) == 0)
			json_uint(j, counter_table[i].name + sizeof(dropped) - 1, sum->value[i]);
	json_object_end(j);
}

static void write_queues(struct json *j, struct workers *workers, int capture)
{
	struct capture_queue_counters queues[CAPTURE_QUEUES_MAX];
	unsigned n = captures_queue_counters(workers, capture, queues, CAPTURE_QUEUES_MAX);

	json_array(j, "queues");
	for (unsigned i = 0; i < n; i++) {
		const struct capture_queue_counters *q = &queues[i];

		json_object(j, NULL);
		json_uint(j, "queue", i);
		json_uint(j, "worker", q->worker);
		json_uint(j, "received", q->received);
		json_uint(j, "processed", q->processed);
		json_uint(j, "filtered", q->filtered);
		json_object(j, "dropped");
		json_uint(j, "ring_full", q->dropped_ring_full);
		json_uint(j, "steer_ring_full", q->dropped_steer_ring_full);
		json_uint(j, "no_mbuf", q->dropped_no_mbuf);
		json_uint(j, "shutdown", q->dropped_shutdown);
		json_object_end(j);
		json_object_end(j);
	}
	json_array_end(j);
}

void stats_captures(
	struct json *j, struct workers *workers, const struct capture_status *captures, unsigned n)
{
	json_array(j, "captures");
	for (unsigned i = 0; i < n; i++) {
		struct capture_losses lost = {0};
		struct counters sum;
		const uint64_t *v = sum.value;

		// losses last: a packet that is counted as received is never missing in offered
		memset(&sum, 0, sizeof(sum));
		captures_counters(workers, captures[i].index, -1, &sum);
		captures_losses(workers, captures[i].index, &lost);
		json_object(j, NULL);
		json_string(j, "name", captures[i].name);
		json_uint(j, "offered",
			v[COUNTER_received] + lost.missed + lost.errors + lost.no_mbuf +
				lost.kernel);
		json_uint(j, "received", v[COUNTER_received]);
		json_uint(j, "processed", v[COUNTER_processed]);
		json_uint(j, "filtered", v[COUNTER_filtered]);
		write_dropped(j, &sum);
		json_object(j, "device");
		json_uint(j, "missed", lost.missed);
		json_uint(j, "errors", lost.errors);
		json_uint(j, "no_mbuf", lost.no_mbuf);
		json_uint(j, "kernel", lost.kernel);
		json_object_end(j);
		write_queues(j, workers, captures[i].index);
		json_object_end(j);
	}
	json_array_end(j);
}

void stats_malformed(struct json *j, struct workers *workers, int capture)
{
	struct counters sum;

	memset(&sum, 0, sizeof(sum));
	captures_counters(workers, capture, -1, &sum);
	json_object(j, "malformed");
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		if (sum.event[i] > 0)
			json_uint(j, event_table[i].name, sum.event[i]);
	json_object_end(j);
}

// --- protocols.get ---

static double per_second(const struct rates *r, uint64_t now, uint64_t before)
{
	return r == NULL || r->seconds <= 0 || now < before ? 0
	                                                    : (double)(now - before) / r->seconds;
}

void stats_protocols(
	struct json *j, struct workers *workers, int capture, const struct rates *rates)
{
	struct counters sum;

	memset(&sum, 0, sizeof(sum));
	captures_counters(workers, capture, -1, &sum);
	json_array(j, "protocols");
	for (unsigned i = 0; i < PROTOCOL_COUNT; i++) {
		double pkts = 0, bytes = 0;

		if (sum.protocol_pkts[i] == 0)
			continue;
		if (rates != NULL) {
			pkts = per_second(rates, rates->now->protocol_pkts[i],
				rates->before->protocol_pkts[i]);
			bytes = per_second(rates, rates->now->protocol_bytes[i],
				rates->before->protocol_bytes[i]);
		}
		json_object(j, NULL);
		json_string(j, "name", protocol_table[i].name);
		json_string(j, "layer", protocol_table[i].layer);
		json_uint(j, "packets", sum.protocol_pkts[i]);
		json_uint(j, "bytes", sum.protocol_bytes[i]);
		json_double(j, "packets_per_second", pkts);
		json_double(j, "bits_per_second", bytes * 8);
		json_object_end(j);
	}
	json_array_end(j);
}

// --- Reassembly ---

// Counters of the protocols that put something together are sections of their own; in their names
// the protocol comes first.
void stats_reassembly(struct json *j, struct workers *workers, int capture)
{
	static const char *const protocols[] = {"tcp", "ipv4", "ipv6"};
	struct counters sum;

	memset(&sum, 0, sizeof(sum));
	captures_counters(workers, capture, -1, &sum);
	for (unsigned p = 0; p < sizeof(protocols) / sizeof(protocols[0]); p++) {
		size_t n = strlen(protocols[p]);

		json_object(j, protocols[p]);
		for (unsigned i = 0; i < COUNTER_COUNT; i++) {
			const char *name = counter_table[i].name;

			if (strcmp(counter_table[i].section, protocols[p]) != 0)
				continue;
			if (strncmp(name, protocols[p], n) == 0 && name[n] == '_')
				name += n + 1;
			json_uint(j, name, sum.value[i]);
		}
		json_object_end(j);
	}
}

// --- The stats event ---

// EVE's decoder counters that we have by the same meaning.
static const struct {
	const char *eve;
	enum protocol_id id;
} eve_protocols[] = {
	{"ethernet", PROTOCOL_ETHERNET},
	{"sll", PROTOCOL_SLL},
	{"sll2", PROTOCOL_SLL2},
	{"null", PROTOCOL_NULL},
	{"raw", PROTOCOL_RAW},
	{"vlan", PROTOCOL_VLAN},
	{"vlan_qinq", PROTOCOL_QINQ},
	{"mpls", PROTOCOL_MPLS},
	{"pppoe", PROTOCOL_PPPOE},
	{"ppp", PROTOCOL_PPP},
	{"arp", PROTOCOL_ARP},
	{"ipv4", PROTOCOL_IPV4},
	{"ipv6", PROTOCOL_IPV6},
	{"icmpv4", PROTOCOL_ICMP},
	{"icmpv6", PROTOCOL_ICMPV6},
	{"igmp", PROTOCOL_IGMP},
	{"tcp", PROTOCOL_TCP},
	{"udp", PROTOCOL_UDP},
	{"sctp", PROTOCOL_SCTP},
	{"esp", PROTOCOL_ESP},
	{"gre", PROTOCOL_GRE},
	{"erspan", PROTOCOL_ERSPAN},
	{"vxlan", PROTOCOL_VXLAN},
	{"geneve", PROTOCOL_GENEVE},
	{"teredo", PROTOCOL_TEREDO},
};

static void write_decoder(struct json *j, const struct counters *sum)
{
	uint64_t pkts = sum->value[COUNTER_processed], bytes = sum->value[COUNTER_processed_bytes];

	json_object(j, "decoder");
	json_uint(j, "pkts", pkts);
	json_uint(j, "bytes", bytes);
	json_uint(j, "avg_pkt_size", pkts > 0 ? bytes / pkts : 0);
	for (unsigned i = 0; i < sizeof(eve_protocols) / sizeof(eve_protocols[0]); i++)
		json_uint(j, eve_protocols[i].eve, sum->protocol_pkts[eve_protocols[i].id]);
	json_uint(j, "unknown_ethertype", sum->event[EVENT_unknown_ethertype]);
	json_uint(j, "too_many_layers", sum->event[EVENT_too_many_layers]);
	json_object_end(j);
}

static void write_tcp(struct json *j, const struct counters *sum)
{
	const uint64_t *v = sum->value;

	json_uint(j, "sessions", v[COUNTER_tcp_streams]);
	json_uint(j, "active_sessions", v[COUNTER_tcp_active]);
	json_uint(j, "midstream_pickups", v[COUNTER_midstream]);
	json_uint(j, "syn", v[COUNTER_tcp_syn]);
	json_uint(j, "synack", v[COUNTER_tcp_synack]);
	json_uint(j, "rst", v[COUNTER_tcp_rst]);
	json_uint(j, "urg", v[COUNTER_tcp_urgent]);
	json_uint(j, "invalid_checksum", v[COUNTER_tcp_bad_checksum]);
	json_uint(j, "ack_unseen_data", v[COUNTER_tcp_ack_unseen]);
	json_uint(j, "overlap", v[COUNTER_tcp_overlap]);
	json_uint(j, "overlap_diff_data", v[COUNTER_tcp_overlap_differing]);
	json_uint(j, "reassembly_gap", v[COUNTER_tcp_gaps]);
	json_uint(j, "stream_depth_reached", v[COUNTER_tcp_limit_depth]);
	json_uint(j, "segment_memcap_drop", v[COUNTER_tcp_limit_segments]);
	json_uint(j, "reassembly_memuse", v[COUNTER_tcp_memory]);
}

static void write_eve_stats(struct json *j, struct workers *workers,
	const struct capture_status *captures, unsigned n, uint64_t uptime_s)
{
	uint64_t received = 0, kernel = 0, table_bytes = 0;
	struct counters sum;

	memset(&sum, 0, sizeof(sum));
	captures_counters(workers, -1, -1, &sum);
	for (unsigned w = 0; w < workers_count(workers); w++) {
		struct worker_status status = {0};

		workers_status(workers, w, &status);
		table_bytes += status.flow_table_bytes;
	}
	for (unsigned i = 0; i < n; i++) {
		struct capture_losses lost = {0};

		captures_losses(workers, captures[i].index, &lost);
		kernel += lost.kernel;
	}
	received = sum.value[COUNTER_received];
	json_object(j, "stats");
	json_uint(j, "uptime", uptime_s);
	json_object(j, "capture");
	json_uint(j, "kernel_packets", received + kernel);
	json_uint(j, "kernel_drops", kernel);
	json_object_end(j);
	write_decoder(j, &sum);
	json_object(j, "flow");
	json_uint(j, "total", sum.value[COUNTER_flows_created]);
	json_uint(j, "active", sum.value[COUNTER_flows_active]);
	json_uint(j, "memcap", sum.value[COUNTER_flow_memcap]);
	json_uint(j, "memuse", table_bytes);
	json_uint(j, "tcp_reuse", sum.value[COUNTER_flows_ended_reuse]);
	json_object_end(j);
	json_object(j, "tcp");
	write_tcp(j, &sum);
	json_object_end(j);
	json_object_end(j);
}

static void write_counters(struct json *j, struct workers *workers)
{
	struct counters sum;

	memset(&sum, 0, sizeof(sum));
	captures_counters(workers, -1, -1, &sum);
	json_object(j, "counters");
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		json_uint(j, counter_table[i].name, sum.value[i]);
	json_object_end(j);
}

static void write_export(struct json *j, struct export *export)
{
	struct export_stats s;

	memset(&s, 0, sizeof(s));
	export_stats(export, &s);
	json_object(j, "export");
	json_uint(j, "flows_written", s.records_written[RECORD_FLOW]);
	json_uint(j, "anomalies_written", s.records_written[RECORD_ANOMALY]);
	json_uint(j, "arp_written", s.records_written[RECORD_ARP]);
	json_uint(j, "write_errors", s.write_errors);
	json_uint(j, "lines_lost", s.lines_lost);
	json_uint(j, "recent_flows", s.recent_flows);
	json_uint(j, "recent_bytes", s.recent_bytes);
	json_uint(j, "recent_forgotten", s.recent_forgotten);
	json_object_end(j);
}

static void write_event(struct workers *workers, struct export *export, uint64_t uptime_s,
	const struct capture_status *captures, unsigned n, const struct rates *rates,
	struct json *j)
{
	char text[CLOCK_TEXT_SIZE];

	clock_text(clock_wall_ns(), text);
	json_object(j, NULL);
	json_string(j, "timestamp", text);
	json_string(j, "event_type", "stats");
	write_eve_stats(j, workers, captures, n, uptime_s);
	json_object(j, "pktai");
	json_uint(j, "schema", 1);
	stats_captures(j, workers, captures, n);
	stats_protocols(j, workers, -1, rates);
	json_object(j, "reassembly");
	stats_reassembly(j, workers, -1);
	json_object_end(j);
	stats_malformed(j, workers, -1);
	write_counters(j, workers);
	write_export(j, export);
	json_object_end(j);
	json_object_end(j);
}

void control_stats_event(struct control *c, struct json *j)
{
	unsigned n = captures_list(c->config.workers, c->captures, CAPTURES_MAX);
	struct rates rates;

	sample_rates(c, -1, &rates);
	write_event(c->config.workers, c->config.export,
		(clock_monotonic_ns() - c->started_ns) / NSEC_PER_S, c->captures, n, &rates, j);
}

void control_stats_write(
	struct workers *workers, struct export *export, uint64_t uptime_s, struct json *j)
{
	struct capture_status *captures = calloc(CAPTURES_MAX, sizeof(*captures));

	if (captures == NULL) {
		j->failed = true;
		return;
	}
	write_event(workers, export, uptime_s, captures,
		captures_list(workers, captures, CAPTURES_MAX), NULL, j);
	free(captures);
}
