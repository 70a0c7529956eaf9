// SPDX-License-Identifier: Apache-2.0
// A flow record as EVE JSON: the one shape that flows have as event, as RPC result and in sinks.
// proto/records/flow.json describes each field; a test holds the two against each other.
//
// A field is always of one type. What was not seen is absent, never a null or a 0 that could be
// mistaken for a value. Written with one check for room a record and no calls for constant text.
// Thread: that of the struct json.
#include <assert.h>
#include <math.h>
#include <netinet/in.h>
#include <string.h>

#include "clock.h"
#include "eve.h"

enum {
	// The most that a record takes: about 2,000 bytes of names, and 16 for each of 130 numbers.
	EVE_FLOW_SIZE = EVE_HEAD_SIZE + EVE_CAPTURE_SIZE + EVE_STREAM_SIZE + 6144,
	APP_NAME_MAX = 64,
};

enum {
	TCP_FIN = 1,
	TCP_SYN = 2,
	TCP_RST = 4,
	TCP_PSH = 8,
	TCP_ACK = 16,
	TCP_URG = 32,
	TCP_ECE = 64,
	TCP_CWR = 128,
};

static uint64_t duration_ns(const struct flow_record *r)
{
	return r->last_ns > r->first_ns ? r->last_ns - r->first_ns : 0;
}

// EVE's three states: what Suricata makes of TCP's, and of replies elsewhere.
static const char *eve_state(const struct flow_record *r)
{
	if (r->tuple.proto != IPPROTO_TCP)
		return r->replied ? "established" : "new";
	switch ((enum flow_tcp_state)r->tcp_state) {
	case FLOW_TCP_NONE:
	case FLOW_TCP_SYN_SENT:
	case FLOW_TCP_SYN_RECV:
		return "new";
	case FLOW_TCP_ESTABLISHED:
	case FLOW_TCP_FIN_WAIT1:
	case FLOW_TCP_FIN_WAIT2:
	case FLOW_TCP_CLOSING:
	case FLOW_TCP_CLOSE_WAIT:
		return "established";
	case FLOW_TCP_LAST_ACK:
	case FLOW_TCP_TIME_WAIT:
	case FLOW_TCP_CLOSED:
		return "closed";
	}
	return "new";
}

// EVE's words for the end: there a closed flow times out as well, and memory pressure is "forced".
// NULL while active.
static const char *eve_reason(enum flow_end end)
{
	switch (end) {
	case FLOW_END_NONE:
		return NULL;
	case FLOW_END_FIN:
	case FLOW_END_RST:
	case FLOW_END_IDLE:
	case FLOW_END_ACTIVE:
		return "timeout";
	case FLOW_END_REUSE:
		return "tcp_reuse";
	case FLOW_END_EOF:
		return "shutdown";
	case FLOW_END_FORCED:
	case FLOW_END_EVICTED:
		return "forced";
	}
	return "unknown";
}

static char *put_icmp(char *p, const struct flow_record *r)
{
	if (r->has_icmp) {
		p = PUT(p, ",\"icmp_type\":");
		p = put_u32(p, r->icmp_type);
		p = PUT(p, ",\"icmp_code\":");
		p = put_u32(p, r->icmp_code);
	}
	if (r->has_icmp_reply) {
		p = PUT(p, ",\"response_icmp_type\":");
		p = put_u32(p, r->icmp_reply_type);
		p = PUT(p, ",\"response_icmp_code\":");
		p = put_u32(p, r->icmp_reply_code);
	}
	return p;
}

static char *put_flow(char *p, const struct flow_record *r)
{
	const struct flow_direction *ts = &r->direction[0], *tc = &r->direction[1];
	const char *reason = eve_reason((enum flow_end)r->end);

	p = PUT(p, ",\"flow\":{\"pkts_toserver\":");
	p = put_u64(p, ts->pkts);
	p = PUT(p, ",\"pkts_toclient\":");
	p = put_u64(p, tc->pkts);
	p = PUT(p, ",\"bytes_toserver\":");
	p = put_u64(p, ts->bytes);
	p = PUT(p, ",\"bytes_toclient\":");
	p = put_u64(p, tc->bytes);
	p = PUT(p, ",\"start\":\"");
	p = put_time(p, r->first_ns);
	p = PUT(p, "\",\"end\":\"");
	p = put_time(p, r->last_ns);
	p = PUT(p, "\",\"age\":");
	p = put_u64(p, duration_ns(r) / NSEC_PER_S);
	p = PUT(p, ",\"state\":\"");
	p = put_text(p, eve_state(r));
	if (reason != NULL) {
		p = PUT(p, "\",\"reason\":\"");
		p = put_text(p, reason);
	}
	return PUT(p, "\"}");
}

// Flags that were not seen are left out, as in EVE.
static char *put_tcp(char *p, const struct flow_record *r)
{
	uint8_t ts = r->direction[0].tcp_flags, tc = r->direction[1].tcp_flags, all = ts | tc;

	p = PUT(p, ",\"tcp\":{\"tcp_flags\":\"");
	p = put_hex(p, all);
	p = PUT(p, "\",\"tcp_flags_ts\":\"");
	p = put_hex(p, ts);
	p = PUT(p, "\",\"tcp_flags_tc\":\"");
	p = put_hex(p, tc);
	*p++ = '"';
	if (all & TCP_SYN)
		p = PUT(p, ",\"syn\":true");
	if (all & TCP_FIN)
		p = PUT(p, ",\"fin\":true");
	if (all & TCP_RST)
		p = PUT(p, ",\"rst\":true");
	if (all & TCP_PSH)
		p = PUT(p, ",\"psh\":true");
	if (all & TCP_ACK)
		p = PUT(p, ",\"ack\":true");
	if (all & TCP_URG)
		p = PUT(p, ",\"urg\":true");
	if (all & TCP_ECE)
		p = PUT(p, ",\"ecn\":true");
	if (all & TCP_CWR)
		p = PUT(p, ",\"cwr\":true");
	p = PUT(p, ",\"state\":\"");
	p = put_text(p, flow_tcp_state_name((enum flow_tcp_state)r->tcp_state));
	return PUT(p, "\"}");
}

static char *put_tunnel(char *p, const struct flow_record *r)
{
	p = PUT(p, ",\"tunnel\":{");
	p = eve_put_ends(p, r->tunnel_version, r->tunnel_proto, r->tunnel_src, r->tunnel_src_port,
		r->tunnel_dst, r->tunnel_dst_port);
	p = eve_put_proto(p, r->tunnel_proto);
	p = PUT(p, ",\"depth\":");
	p = put_u32(p, r->tunnel_depth);
	*p++ = '}';
	return p;
}

// Sample standard deviation and skewness of n values from their running sums.
static double stddev_of(double m2, uint64_t n)
{
	return n > 1 && m2 > 0 ? sqrt(m2 / (double)(n - 1)) : 0;
}

static double skew_of(double m2, double m3, uint64_t n)
{
	return n > 2 && m2 > 0 ? m3 * sqrt((double)n / m2) / m2 : 0;
}

static char *put_sizes(char *p, const struct flow_direction *d)
{
	p = PUT(p, "\"size\":{\"mean_bytes\":");
	p = put_fixed(p, d->size_mean, 3);
	p = PUT(p, ",\"stddev_bytes\":");
	p = put_fixed(p, stddev_of(d->size_m2, d->pkts), 3);
	p = PUT(p, ",\"skew\":");
	p = put_fixed(p, skew_of(d->size_m2, d->size_m3, d->pkts), 4);
	p = PUT(p, ",\"min_bytes\":");
	p = put_u32(p, d->size_min);
	p = PUT(p, ",\"max_bytes\":");
	p = put_u32(p, d->size_max);
	*p++ = '}';
	return p;
}

static char *put_iats(char *p, const struct flow_direction *d)
{
	uint64_t n = d->pkts - 1;

	p = PUT(p, ",\"iat\":{\"mean_ns\":");
	p = put_fixed(p, d->iat_mean, 0);
	p = PUT(p, ",\"stddev_ns\":");
	p = put_fixed(p, stddev_of(d->iat_m2, n), 0);
	p = PUT(p, ",\"skew\":");
	p = put_fixed(p, skew_of(d->iat_m2, d->iat_m3, n), 4);
	p = PUT(p, ",\"min_ns\":");
	p = put_u64(p, d->iat_min_ns);
	p = PUT(p, ",\"max_ns\":");
	p = put_u64(p, d->iat_max_ns);
	*p++ = '}';
	return p;
}

static char *put_direction(char *p, const struct flow_direction *d, bool is_tcp)
{
	p = put_sizes(p, d);
	if (d->pkts > 1)
		p = put_iats(p, d);
	p = PUT(p, ",\"ttl\":{\"min\":");
	p = put_u32(p, d->ttl_min);
	p = PUT(p, ",\"max\":");
	p = put_u32(p, d->ttl_max);
	*p++ = '}';
	if (is_tcp) {
		p = PUT(p, ",\"window\":{\"first\":");
		p = put_u32(p, d->window_first);
		p = PUT(p, ",\"min\":");
		p = put_u32(p, d->window_min);
		p = PUT(p, ",\"max\":");
		p = put_u32(p, d->window_max);
		*p++ = '}';
		if (d->mss != 0) {
			p = PUT(p, ",\"mss\":");
			p = put_u32(p, d->mss);
		}
		if (d->wscale != 0xff) {
			p = PUT(p, ",\"wscale\":");
			p = put_u32(p, d->wscale);
		}
	}
	*p++ = '}';
	return p;
}

// Each latency where it was seen; the object where any was.
static char *put_latency(char *p, const struct flow_record *r)
{
	char *start = p;

	if (r->syn_ns != 0) {
		p = PUT(p, ",\"syn_ns\":");
		p = put_u64(p, r->syn_ns);
	}
	if (r->synack_ns != 0) {
		p = PUT(p, ",\"synack_ns\":");
		p = put_u64(p, r->synack_ns);
	}
	if (r->first_response_ns != 0) {
		p = PUT(p, ",\"first_response_ns\":");
		p = put_u64(p, r->first_response_ns);
	}
	if (r->response_samples != 0) {
		p = PUT(p, ",\"response\":");
		p = put_spread(p, r->response_min_ns, r->response_sum_ns, r->response_max_ns,
			r->response_samples);
	}
	if (p == start)
		return p;
	// What is written becomes the inside of the object: its first comma gives way to the name.
	memmove(start + sizeof(",\"latency\":{") - 1, start + 1, (size_t)(p - start - 1));
	PUT(start, ",\"latency\":{");
	p += sizeof(",\"latency\":{") - 2;
	*p++ = '}';
	return p;
}

static char *put_bool(char *p, bool v)
{
	return v ? PUT(p, "true") : PUT(p, "false");
}

static bool has_gap(const struct flow_record *r)
{
	return r->has_stream && (r->stream[0].gaps | r->stream[1].gaps) != 0;
}

static char *put_quality(char *p, const struct flow_record *r)
{
	p = PUT(p, ",\"quality\":{\"midstream\":");
	p = put_bool(p, r->midstream);
	p = PUT(p, ",\"gap\":");
	p = put_bool(p, has_gap(r));
	p = PUT(p, ",\"truncated\":");
	p = put_bool(p, r->truncated);
	p = PUT(p, ",\"direction_guessed\":");
	p = put_bool(p, r->direction_guessed);
	p = PUT(p, ",\"dropped_nearby\":");
	p = put_bool(p, r->dropped_nearby ||
				export_capture_lost_during(r->capture, r->first_ns, r->last_ns));
	*p++ = '}';
	return p;
}

// The first packets, a column each.
static char *put_splt(char *p, const struct flow_record *r, bool is_tcp)
{
	unsigned n = r->splt_count < FLOW_SPLT_PKTS ? r->splt_count : FLOW_SPLT_PKTS;

	p = PUT(p, ",\"splt\":{\"payload_bytes\":[");
	for (unsigned i = 0; i < n; i++) {
		p = put_u32(p, r->splt[i].size);
		*p++ = ',';
	}
	p = PUT(p - 1, "],\"dt_ns\":[");
	for (unsigned i = 0; i < n; i++) {
		p = put_u32(p, r->splt[i].dt_ns);
		*p++ = ',';
	}
	p = PUT(p - 1, "],\"direction\":[");
	for (unsigned i = 0; i < n; i++) {
		*p++ = (char)('0' + (r->splt[i].direction != 0));
		*p++ = ',';
	}
	if (is_tcp) {
		p = PUT(p - 1, "],\"tcp_flags\":[");
		for (unsigned i = 0; i < n; i++) {
			p = put_small(p, r->splt[i].tcp_flags);
			*p++ = ',';
		}
	}
	return PUT(p - 1, "]}");
}

static char *put_figures(char *p, const struct flow_record *r)
{
	uint64_t duration = duration_ns(r);
	double bytes = (double)r->direction[0].bytes + (double)r->direction[1].bytes;
	double pkts = (double)r->direction[0].pkts + (double)r->direction[1].pkts;

	p = PUT(p, ",\"part_no\":");
	p = put_u32(p, r->part_no);
	p = PUT(p, ",\"duration_ns\":");
	p = put_u64(p, duration);
	p = PUT(p, ",\"throughput_bps\":");
	p = put_fixed(p, duration != 0 ? bytes * 8e9 / (double)duration : 0, 0);
	p = PUT(p, ",\"avg_packet_bytes\":");
	p = put_fixed(p, pkts > 0 ? bytes / pkts : 0, 2);
	if (r->end != FLOW_END_NONE) {
		p = PUT(p, ",\"end_reason\":\"");
		p = put_text(p, flow_end_name((enum flow_end)r->end));
		*p++ = '"';
	}
	return p;
}

static char *put_pktai(char *p, const struct flow_record *r)
{
	bool is_tcp = r->tuple.proto == IPPROTO_TCP;

	p = PUT(p, ",\"pktai\":{\"schema\":\"pktai-flow/1\",");
	p = eve_put_capture(p, r->capture);
	p = put_figures(p, r);
	if (r->direction[0].pkts != 0) {
		p = PUT(p, ",\"toserver\":{");
		p = put_direction(p, &r->direction[0], is_tcp);
	}
	if (r->direction[1].pkts != 0) {
		p = PUT(p, ",\"toclient\":{");
		p = put_direction(p, &r->direction[1], is_tcp);
	}
	p = put_latency(p, r);
	if (r->has_stream)
		p = eve_put_stream(p, r->stream);
	p = put_quality(p, r);
	if (r->splt_count != 0)
		p = put_splt(p, r, is_tcp);
	if (r->tuple.tunnel_type != TUNNEL_NONE) {
		p = PUT(p, ",\"tunnel\":{\"type\":\"");
		p = put_text(p, tunnel_type_name((enum tunnel_type)r->tuple.tunnel_type));
		*p++ = '"';
		if (r->tunnel_has_id) {
			p = PUT(p, ",\"id\":");
			p = put_u32(p, r->tunnel_id);
		}
		*p++ = '}';
	}
	*p++ = '}';
	return p;
}

void eve_flow(struct json *j, const struct flow_record *r)
{
	const char *app = eve_app_protocol(r->app_proto);
	char *p = json_grow(j, EVE_FLOW_SIZE);

	if (p == NULL)
		return;
	p = eve_put_head(j, p, r->last_ns, r->flow_id, r->capture, "flow");
	p = eve_put_vlan(p, r->tuple.vlan, r->tuple.vlan_count);
	p = eve_put_tuple(p, &r->tuple);
	if (r->tuple.proto == IPPROTO_ICMP || r->tuple.proto == IPPROTO_ICMPV6)
		p = put_icmp(p, r);
	if (app != NULL) {
		p = PUT(p, ",\"app_proto\":\"");
		p = put_bytes(p, app, strnlen(app, APP_NAME_MAX));
		*p++ = '"';
	}
	p = put_flow(p, r);
	p = PUT(p, ",\"community_id\":\"");
	community_id(&r->tuple, p);
	p += strlen(p);
	*p++ = '"';
	if (r->tuple.proto == IPPROTO_TCP)
		p = put_tcp(p, r);
	if (r->tuple.tunnel_type != TUNNEL_NONE)
		p = put_tunnel(p, r);
	p = put_pktai(p, r);
	*p++ = '}';
	assert(p <= j->text + j->capacity);
	json_grown(j, p);
	j->comma = true;
}
