// SPDX-License-Identifier: Apache-2.0
// pktai.stream of a flow record: what became of the bytes of a TCP flow, both directions side by side.
// The figures that everybody reads are always there; the others where either direction has something
// to say. Thread: that of the struct json.
#include "eve.h"

static inline char *put_pair(
	char *p, const char *name, size_t n, uint64_t to_server, uint64_t to_client)
{
	*p++ = ',';
	*p++ = '"';
	p = put_bytes(p, name, n);
	p = PUT(p, "_toserver\":");
	p = put_u64(p, to_server);
	*p++ = ',';
	*p++ = '"';
	p = put_bytes(p, name, n);
	p = PUT(p, "_toclient\":");
	return put_u64(p, to_client);
}

#define PAIR(name) p = put_pair(p, #name, sizeof(#name) - 1, s[0].name, s[1].name)
#define PAIR_IF_ANY(name)                                                                          \
	do {                                                                                       \
		if ((s[0].name | s[1].name) != 0)                                                  \
			PAIR(name);                                                                \
	} while (0)

static char *put_rtt(char *p, const struct flow_stream *s)
{
	return put_spread(p, s->rtt_min_ns, s->rtt_sum_ns, s->rtt_max_ns, s->rtt_samples);
}

char *eve_put_stream(char *p, const struct flow_stream s[2])
{
	char *start;

	p = PUT(p, ",\"stream\":");
	start = p;
	PAIR(segments);
	PAIR(bytes_delivered);
	PAIR(duplicate);
	PAIR(out_of_order);
	PAIR(overlap);
	PAIR(gap_bytes);
	PAIR(retransmitted);
	PAIR(zero_window);
	PAIR_IF_ANY(gaps);
	PAIR_IF_ANY(overlap_differing);
	PAIR_IF_ANY(spurious);
	PAIR_IF_ANY(keep_alive);
	PAIR_IF_ANY(zero_window_probe);
	PAIR_IF_ANY(before_base);
	PAIR_IF_ANY(out_of_window);
	PAIR_IF_ANY(refused);
	*start = '{'; // in the place of the first comma
	if (s[0].rtt_samples != 0) {
		p = PUT(p, ",\"rtt_toserver\":");
		p = put_rtt(p, &s[0]);
	}
	if (s[1].rtt_samples != 0) {
		p = PUT(p, ",\"rtt_toclient\":");
		p = put_rtt(p, &s[1]);
	}
	*p++ = '}';
	return p;
}
