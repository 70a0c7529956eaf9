// SPDX-License-Identifier: Apache-2.0
// What single segments mean: handshakes, keep-alives, probes, windows, timestamps, urgent data, FIN and
// RST, gaps; and what a consumer's answers do. Each test tells a connection segment by segment and
// compares all that the consumer was told, as text.
#include "segments.h"

static char told[4096];
static struct counters counters;
static struct reassembly *r;
static struct reassembly_config config;
static struct segment_args base[2]; // of each direction: what all its segments have
static enum reassembly_verb answer_verb;
static uint32_t answer_used, answer_need;

static void tell(const char *format, ...)
{
	size_t n = strlen(told);
	va_list ap;

	va_start(ap, format);
	vsnprintf(told + n, sizeof(told) - n, format, ap);
	va_end(ap);
}

static struct reassembly_answer on_data(void *ctx, const struct reassembly_data *d)
{
	struct reassembly_answer a = {answer_verb, answer_used, answer_need};

	(void)ctx;
	tell("%c%.*s%s ", d->direction ? '<' : '>', (int)d->length, (const char *)d->bytes,
		d->is_last ? "!" : "");
	answer_verb = REASSEMBLY_ON;
	return a;
}

static void on_gap(void *ctx, uint32_t stream, unsigned direction, uint32_t missing)
{
	(void)ctx;
	(void)stream;
	tell("%cgap(%u) ", direction ? '<' : '>', missing);
}

static void on_end(
	void *ctx, uint32_t stream, unsigned direction, enum reassembly_end_reason reason)
{
	static const char *const names[] = {
		"fin", "rst", "reuse", "timeout", "eof", "evicted", "limit"};

	(void)ctx;
	(void)stream;
	tell("%cend(%s) ", direction ? '<' : '>', names[reason]);
}

static int setup(void **state)
{
	(void)state;
	memset(&counters, 0, sizeof(counters));
	memset(told, 0, sizeof(told));
	memset(base, 0, sizeof(base));
	config = (struct reassembly_config){.streams = 3,
		.bytes = 1 << 20,
		.hold_bytes = 64,
		.consumer = {NULL, on_data, on_gap, on_end}};
	answer_verb = REASSEMBLY_ON;
	r = NULL;
	for (unsigned d = 0; d < 2; d++) {
		base[d].stream = 1;
		base[d].direction = (uint8_t)d;
		base[d].window = 1000;
		base[d].flags = TCP_ACK;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(reassembly_bytes_in_use(r), 0);
	reassembly_free(r);
	return 0;
}

static void begin(void)
{
	r = reassembly_new(&config);
	assert_non_null(r);
	reassembly_capture_begin(r, 0, &counters);
}

static uint64_t count(enum counter_id id)
{
	return counters.value[id];
}

#define COUNTED(name) count(COUNTER_tcp_##name)

// One segment, a microsecond after the one before.
static void send_flags(unsigned d, uint8_t flags, uint32_t seq, uint32_t ack, const char *text)
{
	struct segment_args a = base[d];

	base[0].ts_ns += 1000;
	a.ts_ns = base[0].ts_ns;
	a.flags = flags;
	a.seq = seq;
	a.ack = ack;
	a.data = (const uint8_t *)text;
	a.length = (uint32_t)strlen(text);
	send_segment(r, &a);
}

static void send_text(unsigned d, uint32_t seq, uint32_t ack, const char *text)
{
	send_flags(d, TCP_ACK, seq, ack, text);
}

// Client 0 begins at 100, server 1 at 500.
static void shake_hands(void)
{
	begin();
	send_flags(0, TCP_SYN, 99, 0, "");
	send_flags(1, TCP_SYN | TCP_ACK, 499, 100, "");
	send_flags(0, TCP_ACK, 100, 500, "");
}

static void test_connection(void **state)
{
	struct reassembly_view v;

	(void)state;
	shake_hands();
	send_text(0, 100, 500, "get");
	send_text(1, 500, 103, "page");
	send_flags(1, TCP_ACK | TCP_FIN, 504, 103, "");
	send_flags(0, TCP_ACK | TCP_FIN, 103, 505, "");
	send_flags(1, TCP_ACK, 505, 104, "");
	assert_true(reassembly_get(r, 1, &v));
	assert_int_equal(v.marks, REASSEMBLY_SYN | REASSEMBLY_SYNACK | REASSEMBLY_ESTABLISHED);
	assert_int_equal(v.rtt_syn_ns, 1000);
	assert_int_equal(v.rtt_synack_ns, 1000);
	assert_int_equal(v.direction[0].segments, 4);
	assert_int_equal(v.direction[1].bytes_delivered, 4);
	assert_int_equal(v.direction[0].rtt_samples, 1);
	assert_int_equal(v.direction[0].rtt_min_ns, 1000);
	assert_int_equal(v.direction[1].rtt_max_ns, 2000);
	reassembly_end(r, 1, REASSEMBLY_END_TIMEOUT, NULL);
	assert_false(reassembly_get(r, 1, &v));
	assert_string_equal(told, ">get <page <end(fin) >end(fin) ");
	assert_int_equal(COUNTED(connections), 1);
	assert_int_equal(COUNTED(segments_received), 8);
	assert_int_equal(COUNTED(bytes_delivered), 7);
	assert_int_equal(COUNTED(rtt_handshake_samples), 2);
	assert_int_equal(COUNTED(rtt_samples), 2);
	assert_int_equal(COUNTED(duplicate_segments), 0);
	assert_int_equal(COUNTED(midstream) + COUNTED(one_sided), 0);
}

static void test_simultaneous_open(void **state)
{
	(void)state;
	begin();
	send_flags(0, TCP_SYN, 99, 0, "");
	send_flags(1, TCP_SYN, 499, 0, "");
	send_flags(0, TCP_SYN | TCP_ACK, 99, 500, "");
	send_flags(1, TCP_SYN | TCP_ACK, 499, 100, "");
	send_text(0, 100, 500, "a");
	send_text(1, 500, 101, "b");
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, ">a <b >end(eof) <end(eof) ");
	assert_int_equal(COUNTED(simultaneous_open), 1);
}

static void test_syn_with_data(void **state)
{
	(void)state;
	begin();
	send_flags(0, TCP_SYN, 99, 0, "early");
	send_flags(1, TCP_SYN | TCP_ACK, 499, 105, "");
	send_text(0, 105, 500, "late");
	send_flags(0, TCP_SYN, 99, 0, "early");  // sent again
	send_flags(0, TCP_SYN, 777, 0, "other"); // of no connection here
	reassembly_end(r, 1, REASSEMBLY_END_REUSE, NULL);
	assert_string_equal(told, ">early >late >end(reuse) <end(reuse) ");
	assert_int_equal(COUNTED(duplicate_segments), 1);
	assert_int_equal(COUNTED(syn_inside), 1);
	assert_int_equal(COUNTED(reused_tuple), 1);
}

static void test_keep_alive_and_probes(void **state)
{
	(void)state;
	shake_hands();
	send_text(0, 100, 500, "x");
	send_text(1, 500, 101, "");
	send_text(0, 100, 500, "");  // keep-alive, empty
	send_text(0, 100, 500, "?"); // with a byte of garbage
	base[1].window = 0;
	send_text(1, 500, 101, "");
	send_text(0, 101, 500, "y"); // the next byte, into a closed window
	send_text(0, 101, 500, "y");
	base[1].window = 1000;
	send_text(1, 500, 102, "");
	send_text(0, 102, 500, "z");
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, ">x >y >z >end(eof) <end(eof) ");
	assert_int_equal(COUNTED(keep_alive), 2);
	assert_int_equal(COUNTED(zero_window), 1);
	assert_int_equal(COUNTED(zero_window_probe), 2);
	assert_int_equal(COUNTED(duplicate_segments), 0);
}

static void test_midstream(void **state)
{
	(void)state;
	begin();
	send_text(0, 0xfffffffe, 500, "abcd"); // across the end of numbers
	send_text(0, 0xfffffff0, 500, "older");
	send_text(0, 2, 500, "e");
	// The other way: its receiver waits for 500, and that comes after all.
	send_text(1, 503, 3, "X");
	send_text(1, 500, 3, "UVW");
	// A keep-alive first.
	base[0].stream = base[1].stream = 2;
	send_text(0, 999, 7, "");
	send_text(0, 1000, 7, "k");
	reassembly_end(r, 1, REASSEMBLY_END_TIMEOUT, NULL);
	reassembly_end(r, 2, REASSEMBLY_END_TIMEOUT, NULL);
	assert_string_equal(told, ">abcd >e <UVW <X >k >end(timeout) <end(timeout) >end(timeout) ");
	assert_int_equal(COUNTED(midstream), 2);
	assert_int_equal(COUNTED(one_sided), 1);
	assert_int_equal(COUNTED(before_base), 1);
	assert_int_equal(COUNTED(gaps), 0);
}

static void test_gaps(void **state)
{
	struct reassembly_view v;

	(void)state;
	shake_hands();
	send_text(0, 103, 500, "def");
	send_text(1, 500, 103, ""); // reaches the hole's end: those bytes may have been overtaken
	assert_string_equal(told, "");
	send_text(1, 500, 106, "");
	assert_string_equal(told, ">gap(3) >def ");
	send_text(0, 100, 500, "abc"); // too late
	send_text(0, 110, 500, "klm");
	send_text(0, 120, 500, "u");
	assert_true(reassembly_get(r, 1, &v));
	assert_int_equal(v.direction[0].gap_bytes, 3);
	assert_int_equal(v.direction[0].out_of_order, 3);
	assert_true(v.held_bytes > 0);
	send_flags(0, TCP_ACK | TCP_FIN, 125, 500, "");
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(
		told, ">gap(3) >def >gap(4) >klm >gap(7) >u >gap(4) >end(fin) <end(eof) ");
	assert_int_equal(COUNTED(gaps), 4);
	assert_int_equal(COUNTED(gap_bytes), 18);
	assert_int_equal(COUNTED(gaps_acked), 1);
	assert_int_equal(COUNTED(gaps_end), 3);
	assert_int_equal(COUNTED(buffered_peak), 2);
	assert_int_equal(COUNTED(spurious_retransmission), 1);
}

static void test_cut_segments(void **state)
{
	(void)state;
	shake_hands();
	base[0].cut = 2;
	send_text(0, 100, 500, "abcd");
	send_text(0, 108, 500, "ijkl");
	base[0].cut = 0;
	send_text(0, 104, 500, "efgh");
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, ">ab >gap(2) >efgh >ij >gap(2) >end(eof) <end(eof) ");
	assert_int_equal(COUNTED(gaps_truncated), 2);
	assert_int_equal(COUNTED(bytes_delivered), 8);
}

static void test_reset(void **state)
{
	(void)state;
	shake_hands();
	send_text(0, 100, 500, "a");
	send_flags(1, TCP_RST, 70000, 0, ""); // blind
	send_flags(1, TCP_RST, 400, 0, "");
	assert_int_equal(COUNTED(rst_out_of_window), 1 + 1);
	assert_int_equal(COUNTED(data_after_rst), 0);
	send_flags(1, TCP_RST | TCP_ACK, 500, 101, "why");
	send_text(0, 101, 500, "b"); // was under way
	reassembly_end(r, 1, REASSEMBLY_END_TIMEOUT, NULL);
	assert_string_equal(told, ">a >b >end(rst) <end(rst) ");
	assert_int_equal(COUNTED(rst), 3);
	assert_int_equal(COUNTED(data_after_rst), 1);
}

static void test_fin(void **state)
{
	(void)state;
	shake_hands();
	send_flags(0, TCP_ACK | TCP_FIN, 103, 500, "d");
	send_text(0, 104, 500, "behind");
	send_text(0, 100, 500, "abc");
	send_text(0, 104, 500, "behind");
	send_flags(0, TCP_ACK | TCP_FIN, 103, 500, "d");
	send_text(1, 500, 105, "half-closed");
	reassembly_end(r, 1, REASSEMBLY_END_TIMEOUT, NULL);
	assert_string_equal(told, ">abc >d >end(fin) <half-closed <end(timeout) ");
	assert_int_equal(COUNTED(fin), 2);
	assert_int_equal(COUNTED(data_after_fin), 2);
	assert_int_equal(COUNTED(duplicate_segments), 1);
}

// Bytes that came before the FIN in front of them: they are never delivered, the gap ends at the FIN,
// and the acknowledgement of all of it ends the direction.
static void test_held_behind_a_fin(void **state)
{
	(void)state;
	shake_hands();
	send_text(1, 508, 100, "beyond");
	send_flags(1, TCP_ACK | TCP_FIN, 503, 100, "");
	send_text(0, 100, 514, "a");
	assert_string_equal(told, "<gap(3) <end(fin) >a ");
	assert_int_equal(COUNTED(data_after_fin), 1);
	assert_int_equal(COUNTED(gap_bytes), 3);
	reassembly_end(r, 1, REASSEMBLY_END_TIMEOUT, NULL);
	assert_string_equal(told, "<gap(3) <end(fin) >a >end(timeout) ");
}

static void test_window(void **state)
{
	(void)state;
	base[0].wscale = base[1].wscale = 2;
	shake_hands();
	base[0].wscale = base[1].wscale = 0;
	send_text(1, 500, 100, ""); // 4000 bytes from 100 on
	send_text(0, 100 + 4000 + 65536 + 1, 500, "far");
	assert_int_equal(COUNTED(out_of_window), 1);
	send_text(0, 100 + 3999, 500, "near");
	assert_int_equal(COUNTED(out_of_window), 1);
	send_text(1, 500, 100 + 300000, ""); // acknowledges what cannot have been sent
	assert_int_equal(COUNTED(bad_ack), 1);
	send_text(1, 500, 105, "");
	assert_int_equal(COUNTED(ack_unseen), 0); // below what was seen
	send_text(1, 500, 100 + 4010, "");
	assert_int_equal(COUNTED(ack_unseen), 1);
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, ">gap(3999) >near >end(eof) <end(eof) ");
}

static void test_timestamps(void **state)
{
	for (unsigned ignore = 0; ignore < 2; ignore++) {
		if (ignore) {
			reassembly_free(r);
			setup(state);
			config.ignore_timestamps = true;
		}
		base[0].has_timestamp = true;
		base[0].ts_val = 0xfffffff0;
		shake_hands();
		base[0].ts_val = 5; // wrapped
		send_text(0, 100, 500, "new");
		base[0].ts_val = 4;
		send_text(0, 103, 500, "OLD");
		send_text(0, 100, 500, "new"); // nothing new in it: a repeat, not refused
		base[0].ts_val = 6;
		send_text(0, 103, 500, "yes");
		reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
		assert_string_equal(told, ignore ? ">new >OLD >end(eof) <end(eof) "
						 : ">new >yes >end(eof) <end(eof) ");
		assert_int_equal(COUNTED(bad_timestamp), !ignore);
	}
}

static void test_urgent(void **state)
{
	for (unsigned drop = 0; drop < 2; drop++) {
		if (drop) {
			reassembly_free(r);
			setup(state);
			config.drop_urgent = true;
		}
		shake_hands();
		base[0].urgent = 2;
		send_flags(0, TCP_ACK | TCP_URG, 103, 500, "d!e");
		send_flags(0, TCP_ACK | TCP_URG, 100, 500, "a!c");
		base[0].urgent = 0;
		send_text(0, 106, 500, "f");
		reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
		assert_string_equal(told, drop ? ">a >c >d >e >f >end(eof) <end(eof) "
					       : ">a!c >d!e >f >end(eof) <end(eof) ");
		assert_int_equal(COUNTED(urgent), 2);
		assert_int_equal(COUNTED(bytes_delivered), drop ? 5 : 7);
		assert_int_equal(COUNTED(gaps), 0);
	}
}

static void test_depth(void **state)
{
	(void)state;
	config.depth_bytes = 5;
	shake_hands();
	send_text(0, 100, 500, "abc");
	send_text(0, 103, 500, "def");
	send_text(0, 106, 500, "ghi");
	send_text(1, 500, 109, "12345"); // exactly
	send_text(1, 505, 109, "6");
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, ">abc >de <12345 >end(eof) <end(eof) ");
	assert_int_equal(COUNTED(limit_depth), 2);
	assert_int_equal(COUNTED(bytes_delivered), 15);
	assert_int_equal(COUNTED(bytes_not_wanted), 5);
}

static void test_enough(void **state)
{
	(void)state;
	shake_hands();
	answer_verb = REASSEMBLY_ENOUGH;
	send_text(0, 100, 500, "abc");
	send_text(0, 106, 500, "ghi"); // held without its bytes
	send_text(0, 103, 500, "def");
	send_text(1, 500, 109, "other way");
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, ">abc <other way >end(eof) <end(eof) ");
	assert_int_equal(COUNTED(bytes_delivered), 18);
	assert_int_equal(COUNTED(bytes_not_wanted), 6);
	assert_int_equal(COUNTED(out_of_order_segments), 1);
}

// Not wanted this time: counted so, and the next bytes are shown all the same.
static void test_pass(void **state)
{
	(void)state;
	shake_hands();
	answer_verb = REASSEMBLY_PASS;
	send_text(0, 100, 500, "abc");
	send_text(0, 103, 500, "def");
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, ">abc >def >end(eof) <end(eof) ");
	assert_int_equal(COUNTED(bytes_delivered), 6);
	assert_int_equal(COUNTED(bytes_not_wanted), 3);
}

static void test_not_mine(void **state)
{
	(void)state;
	shake_hands();
	answer_verb = REASSEMBLY_MORE;
	answer_need = 10;
	send_text(1, 500, 100, "wait");
	answer_verb = REASSEMBLY_NOT_MINE;
	send_text(0, 100, 500, "abc");
	send_text(1, 504, 103, "never shown");
	send_text(0, 103, 500, "nor this");
	assert_int_equal(reassembly_bytes_in_use(r), 0);
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, "<wait >abc >end(eof) <end(eof) ");
	assert_int_equal(COUNTED(bytes_not_wanted), 19);
}

static void test_more(void **state)
{
	(void)state;
	shake_hands();
	answer_verb = REASSEMBLY_MORE;
	answer_used = 1;
	answer_need = 6;
	send_text(0, 100, 500, "abc");
	send_text(0, 103, 500, "de"); // four are held, six are wanted
	answer_verb = REASSEMBLY_MORE;
	answer_used = 5;
	answer_need = 4;
	send_text(0, 105, 500, "fgh"); // bcdefgh, of which gh stay
	send_text(0, 110, 500, "kl");
	send_text(1, 500, 112, ""); // a gap: gh are shown for the last time
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, ">abc >bcdefgh >gh! >gap(2) >kl >end(eof) <end(eof) ");
}

static void test_more_than_allowed(void **state)
{
	(void)state;
	shake_hands();
	answer_verb = REASSEMBLY_MORE;
	answer_used = 0;
	answer_need = 65;
	send_text(0, 100, 500, "abc");
	send_text(0, 103, 500, "def");
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, ">abc >end(limit) <end(eof) ");
	assert_int_equal(COUNTED(limit_hold), 1);
}

static void test_refused(void **state)
{
	static const uint8_t bytes[] = "abc";
	struct packet p = {.data = bytes, .caplen = 3, .wirelen = 3, .layer_count = 1};
	struct ip_layer *l = &p.layer[0];

	(void)state;
	config.refuse_bad_checksum = true;
	begin();
	l->version = 4;
	l->flags = LAYER_L4;
	l->payload_len = 3;
	l->tcp.flags = TCP_ACK;
	packet_event(&p, EVENT_tcp_bad_checksum);
	reassembly_segment(r, 1, &p, l);
	p.event_count = 0;
	packet_event(&p, EVENT_ipv4_truncated);
	reassembly_segment(r, 1, &p, l);
	reassembly_segment(r, 0, &p, l);
	reassembly_end(r, 0, REASSEMBLY_END_EOF, NULL);
	reassembly_end(r, 1, REASSEMBLY_END_EOF, NULL);
	assert_string_equal(told, "");
	assert_int_equal(COUNTED(bad_checksum), 1);
	assert_int_equal(COUNTED(bad_length), 1);
	assert_int_equal(COUNTED(limit_streams), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_connection), TEST(test_simultaneous_open),
		TEST(test_syn_with_data), TEST(test_keep_alive_and_probes), TEST(test_midstream),
		TEST(test_gaps), TEST(test_cut_segments), TEST(test_reset), TEST(test_fin),
		TEST(test_held_behind_a_fin), TEST(test_window), TEST(test_timestamps),
		TEST(test_urgent), TEST(test_depth), TEST(test_enough), TEST(test_pass),
		TEST(test_not_mine), TEST(test_more), TEST(test_more_than_allowed),
		TEST(test_refused)};

	return cmocka_run_group_tests_name("reassembly streams", tests, NULL, NULL);
}
