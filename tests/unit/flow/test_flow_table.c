// SPDX-License-Identifier: Apache-2.0
// Directions, TCP's states and every way in which a flow or a part of it ends, packet by packet.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "builder.h"

static struct bench b;

static void open_with(const struct flow_config *c)
{
	bench_open(&b, c, 1);
	bench_begin(&b, 0, "cap", true);
}

static int setup(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	open_with(&c);
	return 0;
}

static void reopen(const struct flow_config *c)
{
	bench_close(&b);
	open_with(c);
}

static int teardown(void **state)
{
	(void)state;
	bench_close(&b);
	return 0;
}

static void run(struct packet p)
{
	bench_send(&b, &p);
}

#define CLIENT "10.0.0.9"
#define SERVER "10.0.0.2"

static uint32_t client_seq, server_seq;

// Segments of one connection, with the numbers that their flags and payload imply.
static void c2s(uint8_t flags, uint32_t payload, uint64_t ts)
{
	struct packet p = packet_tcp(CLIENT, 40000, SERVER, 443, flags, payload, ts);

	p.layer[0].tcp.seq = client_seq;
	p.layer[0].tcp.ack = server_seq;
	client_seq += payload + !!(flags & (SYN | FIN));
	run(p);
}

static void s2c(uint8_t flags, uint32_t payload, uint64_t ts)
{
	struct packet p = packet_tcp(SERVER, 443, CLIENT, 40000, flags, payload, ts);

	p.layer[0].tcp.seq = server_seq;
	p.layer[0].tcp.ack = client_seq;
	server_seq += payload + !!(flags & (SYN | FIN));
	run(p);
}

static void handshake(uint64_t ts)
{
	client_seq = 1000;
	server_seq = 5000;
	c2s(SYN, 0, ts);
	s2c(SYN | ACK, 0, ts + 10 * MS);
	c2s(ACK, 0, ts + 12 * MS);
}

// The one flow of the table, as a query sees it.
static struct flow_record peek(void)
{
	struct flow_record r;
	struct flow_query q = {
		.kind = FLOW_QUERY_LIST, .capture = -1, .app_proto = -1, .limit = 1, .results = &r};

	assert_int_equal(flow_query_init(&q), 0);
	assert_true(flow_query_step(b.table[0], &q, UINT32_MAX));
	flow_query_fini(&q);
	assert_int_equal(q.count, 1);
	return r;
}

static unsigned state_now(void)
{
	return peek().tcp_state;
}

static const struct flow_record *record(size_t i)
{
	assert_true(i < b.count);
	return &b.record[i];
}

static void end_all(uint64_t now)
{
	assert_int_equal(bench_end(&b, 0, now, FLOW_END_EOF, false), 0);
}

// --- Directions ---

static void expect_from(const struct flow_record *r, uint8_t last_byte, uint16_t port)
{
	assert_int_equal(r->tuple.src[3], last_byte);
	assert_int_equal(r->tuple.src_port, port);
}

static void direction_is_that_of_the_syn(void **state)
{
	(void)state;
	// From a well-known port to a high one, and from the higher end: still the SYN decides.
	run(packet_tcp("10.0.0.9", 80, "10.0.0.2", 50000, SYN, 0, T0));
	run(packet_tcp("10.0.0.2", 50000, "10.0.0.9", 80, SYN | ACK, 0, T0));
	end_all(T0);
	assert_int_equal(b.count, 1);
	expect_from(record(0), 9, 80);
	assert_int_equal(record(0)->direction_guessed, 0);
	assert_int_equal(record(0)->midstream, 0);
	assert_int_equal(record(0)->direction[0].pkts, 1);
	assert_int_equal(record(0)->direction[0].tcp_flags, SYN);
	assert_int_equal(record(0)->direction[1].tcp_flags, SYN | ACK);
}

static void syn_ack_first_turns(void **state)
{
	(void)state;
	run(packet_tcp("10.0.0.9", 50000, "10.0.0.2", 80, SYN | ACK, 0, T0));
	end_all(T0);
	expect_from(record(0), 2, 80);
	assert_int_equal(record(0)->direction_guessed, 1);
	assert_int_equal(record(0)->midstream, 0);
	assert_int_equal(record(0)->direction[0].pkts, 0);
	assert_int_equal(record(0)->direction[1].pkts, 1);
	assert_int_equal(record(0)->replied, 0);
	assert_int_equal(record(0)->tcp_state, FLOW_TCP_SYN_RECV);
}

static void better_known_port_turns(void **state)
{
	static const struct {
		uint16_t from, to;
		bool turned;
	} cases[] = {{443, 50000, true}, {50000, 443, false}, {50000, 50001, false},
		{50001, 50000, false}, {8080, 50000, true}, {80, 8080, true}, {8080, 80, false},
		{22, 80, false}, {0, 80, false}, {80, 0, true}, {8080, 3306, false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (unsigned tcp = 0; tcp < 2; tcp++) {
			struct packet p = tcp ? packet_tcp("10.0.0.9", cases[i].from, "10.0.0.2",
							cases[i].to, ACK, 1, T0)
			                      : packet_udp("10.0.0.9", cases[i].from, "10.0.0.2",
							cases[i].to, 1, T0);

			b.count = 0;
			run(p);
			bench_end(&b, 0, T0, FLOW_END_FORCED, true);
			assert_int_equal(b.count, 1);
			expect_from(record(0), cases[i].turned ? 2 : 9,
				cases[i].turned ? cases[i].to : cases[i].from);
			assert_int_equal(record(0)->direction_guessed, cases[i].turned);
			assert_int_equal(record(0)->midstream, tcp);
			assert_int_equal(record(0)->direction[cases[i].turned].pkts, 1);
		}
	assert_int_equal(bench_count(&b, COUNTER_midstream), sizeof(cases) / sizeof(cases[0]));
}

static void late_syn_only_sets_the_mark(void **state)
{
	(void)state;
	run(packet_tcp("10.0.0.2", 1024, "10.0.0.9", 1025, ACK, 5, T0));
	assert_int_equal(peek().direction_guessed, 0);
	run(packet_tcp("10.0.0.9", 1025, "10.0.0.2", 1024, SYN, 0, T0 + 1));
	end_all(T0 + 1);
	assert_int_equal(b.count, 1);
	expect_from(record(0), 2, 1024);
	assert_int_equal(record(0)->direction_guessed, 1);
	assert_int_equal(record(0)->midstream, 1);
	assert_int_equal(record(0)->replied, 1);
}

static void flow_to_itself(void **state)
{
	(void)state;
	// Same address, ports differ: two directions. Same ports too: one.
	run(packet_udp("127.0.0.1", 5000, "127.0.0.1", 53, 1, T0));
	run(packet_udp("127.0.0.1", 53, "127.0.0.1", 5000, 1, T0));
	run(packet_udp("127.0.0.1", 7, "127.0.0.1", 7, 1, T0));
	run(packet_udp("127.0.0.1", 7, "127.0.0.1", 7, 1, T0));
	run(packet_udp("::1", 7, "::1", 7, 1, T0));
	assert_int_equal(bench_active(&b), 3);
	end_all(T0);
	for (size_t i = 0; i < 3; i++) {
		const struct flow_record *r = record(i);

		if (r->tuple.version == 6) {
			assert_int_equal(r->direction[0].pkts, 1);
		} else if (r->tuple.src_port == 7) {
			assert_int_equal(r->direction[0].pkts, 2);
			assert_int_equal(r->direction[1].pkts, 0);
		} else {
			assert_int_equal(r->tuple.src_port, 5000);
			assert_int_equal(r->direction[0].pkts, 1);
			assert_int_equal(r->direction[1].pkts, 1);
		}
	}
}

// --- TCP ---

static void closes_by_fin_of_the_client_first(void **state)
{
	(void)state;
	client_seq = 1000;
	server_seq = 5000;
	c2s(SYN, 0, T0);
	assert_int_equal(state_now(), FLOW_TCP_SYN_SENT);
	s2c(SYN | ACK, 0, T0 + 10 * MS);
	assert_int_equal(state_now(), FLOW_TCP_SYN_RECV);
	c2s(ACK, 0, T0 + 12 * MS);
	assert_int_equal(state_now(), FLOW_TCP_ESTABLISHED);
	c2s(ACK | PSH, 100, T0 + 13 * MS);
	s2c(ACK, 200, T0 + 14 * MS);
	assert_int_equal(state_now(), FLOW_TCP_ESTABLISHED);
	c2s(FIN | ACK, 0, T0 + 15 * MS);
	assert_int_equal(state_now(), FLOW_TCP_FIN_WAIT1);
	s2c(ACK, 0, T0 + 16 * MS);
	assert_int_equal(state_now(), FLOW_TCP_FIN_WAIT2);
	s2c(ACK, 50, T0 + 17 * MS);
	assert_int_equal(state_now(), FLOW_TCP_FIN_WAIT2);
	s2c(FIN | ACK, 0, T0 + 18 * MS);
	assert_int_equal(state_now(), FLOW_TCP_TIME_WAIT);
	c2s(ACK, 0, T0 + 19 * MS);
	assert_int_equal(state_now(), FLOW_TCP_CLOSED);
	end_all(T0 + 20 * MS);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_FIN);
	assert_int_equal(record(0)->tcp_state, FLOW_TCP_CLOSED);
	assert_int_equal(record(0)->direction[0].pkts, 5);
	assert_int_equal(record(0)->direction[1].pkts, 5);
	assert_int_equal(record(0)->direction[0].tcp_flags, SYN | ACK | PSH | FIN);
	assert_int_equal(record(0)->direction[1].tcp_flags, SYN | ACK | FIN);
}

static void closes_by_fin_of_the_server_first(void **state)
{
	(void)state;
	handshake(T0);
	s2c(FIN | ACK, 10, T0 + 15 * MS);
	assert_int_equal(state_now(), FLOW_TCP_CLOSE_WAIT);
	c2s(ACK, 0, T0 + 16 * MS);
	assert_int_equal(state_now(), FLOW_TCP_CLOSE_WAIT);
	c2s(FIN | ACK, 0, T0 + 16 * MS);
	assert_int_equal(state_now(), FLOW_TCP_LAST_ACK);
	s2c(ACK, 0, T0 + 17 * MS);
	assert_int_equal(state_now(), FLOW_TCP_CLOSED);
	bench_expire(&b, 0, T0 + 17 * MS + 10 * SEC - 1, 100);
	assert_int_equal(b.count, 0);
	bench_expire(&b, 0, T0 + 17 * MS + 12 * SEC, 100);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_FIN);
}

static void closes_at_the_same_time(void **state)
{
	struct packet p;

	(void)state;
	handshake(T0);
	c2s(FIN | ACK, 0, T0 + 15 * MS);
	// The server's FIN crosses: it does not acknowledge the client's.
	p = packet_tcp(SERVER, 443, CLIENT, 40000, FIN | ACK, 0, T0 + 15 * MS);
	p.layer[0].tcp.seq = server_seq++;
	p.layer[0].tcp.ack = client_seq - 1;
	run(p);
	assert_int_equal(state_now(), FLOW_TCP_CLOSING);
	// The client has the server's FIN, but its own is not acknowledged yet.
	c2s(ACK, 0, T0 + 16 * MS);
	assert_int_equal(state_now(), FLOW_TCP_CLOSING);
	s2c(ACK, 0, T0 + 16 * MS);
	assert_int_equal(state_now(), FLOW_TCP_TIME_WAIT);
	end_all(T0 + 20 * MS);
	assert_int_equal(record(0)->end, FLOW_END_FIN);
}

static void half_closed_is_not_closed(void **state)
{
	(void)state;
	handshake(T0);
	c2s(FIN | ACK, 0, T0 + 1 * SEC);
	s2c(ACK, 500, T0 + 200 * SEC);
	assert_int_equal(bench_active(&b), 1);
	end_all(T0 + 201 * SEC);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_EOF);
}

static void closes_by_rst(void **state)
{
	(void)state;
	handshake(T0);
	s2c(RST, 0, T0 + 1 * SEC);
	assert_int_equal(state_now(), FLOW_TCP_CLOSED);
	// What comes late counts, extends the wait and reopens nothing.
	c2s(ACK, 7, T0 + 9 * SEC);
	assert_int_equal(state_now(), FLOW_TCP_CLOSED);
	c2s(FIN | ACK, 0, T0 + 18 * SEC);
	assert_int_equal(state_now(), FLOW_TCP_CLOSED);
	bench_expire(&b, 0, T0 + 28 * SEC - 1, 100);
	assert_int_equal(b.count, 0);
	bench_expire(&b, 0, T0 + 30 * SEC, 100);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_RST);
	assert_int_equal(record(0)->tcp_state, FLOW_TCP_CLOSED);
	assert_int_equal(record(0)->direction[0].pkts, 4);
	assert_true(record(0)->last_ns == T0 + 18 * SEC);
	assert_int_equal(bench_count(&b, COUNTER_flows_ended_rst), 1);
}

static void rst_to_a_syn(void **state)
{
	(void)state;
	client_seq = 1;
	c2s(SYN, 0, T0);
	s2c(RST | ACK, 0, T0 + 1);
	end_all(T0 + 2);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_RST);
	assert_int_equal(record(0)->midstream, 0);
	assert_int_equal(record(0)->replied, 1);
}

static void lone_rst(void **state)
{
	(void)state;
	run(packet_tcp(SERVER, 443, CLIENT, 40000, RST, 0, T0));
	assert_int_equal(state_now(), FLOW_TCP_CLOSED);
	bench_expire(&b, 0, T0 + 12 * SEC, 100);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_RST);
	assert_int_equal(record(0)->midstream, 1);
}

// Only one side is seen: acknowledgements tell that the handshake was completed.
static void one_way_captures_are_established(void **state)
{
	(void)state;
	run(packet_tcp(CLIENT, 40000, SERVER, 443, SYN, 0, T0));
	run(packet_tcp(CLIENT, 40000, SERVER, 443, ACK, 0, T0 + MS));
	assert_int_equal(state_now(), FLOW_TCP_ESTABLISHED);
	run(packet_tcp(CLIENT, 40000, SERVER, 443, ACK, 10, T0 + 200 * SEC));
	assert_int_equal(b.count, 0);
	end_all(T0 + 200 * SEC);
	assert_int_equal(record(0)->replied, 0);
	assert_int_equal(record(0)->synack_ns, 0);
}

static void one_way_from_the_server_is_established(void **state)
{
	(void)state;
	run(packet_tcp(SERVER, 443, CLIENT, 40000, SYN | ACK, 0, T0));
	run(packet_tcp(SERVER, 443, CLIENT, 40000, ACK, 0, T0 + MS));
	assert_int_equal(state_now(), FLOW_TCP_SYN_RECV);
	run(packet_tcp(SERVER, 443, CLIENT, 40000, ACK, 100, T0 + MS));
	assert_int_equal(state_now(), FLOW_TCP_ESTABLISHED);
}

static void syn_again(uint32_t isn, uint64_t ts)
{
	struct packet p = packet_tcp(CLIENT, 40000, SERVER, 443, SYN, 0, ts);

	p.layer[0].tcp.seq = isn;
	run(p);
}

static void reuse_needs_another_isn(void **state)
{
	(void)state;
	handshake(T0);
	syn_again(1000, T0 + 1 * SEC); // repeated
	assert_int_equal(b.count, 0);
	syn_again(77777, T0 + 2 * SEC);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_REUSE);
	assert_int_equal(record(0)->direction[0].pkts, 3);
	end_all(T0 + 2 * SEC);
	assert_int_equal(b.count, 2);
	assert_int_equal(record(1)->direction[0].pkts, 1);
	assert_int_equal(record(1)->part_no, 1);
	assert_true(record(0)->flow_id != record(1)->flow_id);
	assert_true(record(1)->first_ns == T0 + 2 * SEC);
	assert_int_equal(record(1)->tcp_state, FLOW_TCP_SYN_SENT);
}

static void reuse_of_a_closed_flow_ends_as_it_closed(void **state)
{
	(void)state;
	handshake(T0);
	c2s(FIN | ACK, 0, T0 + 1 * SEC);
	s2c(FIN | ACK, 0, T0 + 1 * SEC);
	c2s(ACK, 0, T0 + 1 * SEC);
	syn_again(99, T0 + 2 * SEC);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_FIN);
	assert_int_equal(bench_active(&b), 1);
	assert_int_equal(state_now(), FLOW_TCP_SYN_SENT);
	// Of a midstream flow no ISN is known: a SYN is late while it is open, new once it closed.
	run(packet_tcp(CLIENT, 1, SERVER, 2, RST, 0, T0));
	run(packet_tcp(CLIENT, 1, SERVER, 2, SYN, 0, T0 + 1));
	assert_int_equal(b.count, 2);
	assert_int_equal(record(1)->end, FLOW_END_RST);
}

static void syn_sequence_wraps(void **state)
{
	(void)state;
	client_seq = UINT32_MAX;
	server_seq = UINT32_MAX - 1;
	c2s(SYN, 0, T0);
	s2c(SYN | ACK, 0, T0);
	c2s(ACK, 0, T0);
	c2s(FIN | ACK, 3, T0);
	s2c(ACK, 0, T0);
	assert_int_equal(state_now(), FLOW_TCP_FIN_WAIT2);
	s2c(FIN | ACK, 5, T0);
	c2s(ACK, 0, T0);
	assert_int_equal(state_now(), FLOW_TCP_CLOSED);
}

// --- Idle ---

static struct packet of_class(unsigned class, uint64_t ts)
{
	switch (class) {
	case 0:
		return packet_tcp(CLIENT, 20000, SERVER, 20001, SYN, 0, ts);
	case 1:
		return packet_tcp(CLIENT, 20000, SERVER, 20001, ACK, 5, ts);
	case 2:
		return packet_tcp(CLIENT, 20000, SERVER, 20001, RST, 0, ts);
	case 3:
		return packet_udp(CLIENT, 20000, SERVER, 20001, 5, ts);
	case 4:
		return packet_icmp(CLIENT, SERVER, 8, 0, ts);
	case 5:
		return packet_icmp("2001:db8::1", "2001:db8::2", 128, 0, ts);
	default:
		return packet_ip(CLIENT, SERVER, 47, ts);
	}
}

static uint64_t timeout_of(const struct flow_config *c, unsigned class)
{
	const uint64_t t[] = {c->tcp_new_ns, c->tcp_established_ns, c->tcp_closed_ns, c->udp_ns,
		c->icmp_ns, c->icmp_ns, c->other_ns};

	return t[class];
}

static void idle_exactly_at_the_boundary(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	c.active_ns = 0;
	reopen(&c);
	for (unsigned class = 0; class < 7; class ++) {
		// Odd starts, so that neither end falls on a whole second.
		uint64_t t = T0 + class * 1000 * SEC + 123456789 * (class + 1), last;
		uint64_t timeout = timeout_of(&c, class);

		run(of_class(class, t));
		last = t + timeout - 1;
		run(of_class(class, last)); // just in time
		assert_int_equal(b.count, 0);
		bench_expire(&b, 0, last + timeout - 1, 100);
		assert_int_equal(b.count, 0);
		run(of_class(class, last + timeout)); // just too late
		assert_int_equal(b.count, 1);
		assert_int_equal(record(0)->end, class == 2 ? FLOW_END_RST : FLOW_END_IDLE);
		assert_int_equal(record(0)->direction[0].pkts + record(0)->direction[1].pkts, 2);
		assert_true(record(0)->last_ns == last);
		// The wheel turns by seconds: at the latest it is there when the next has begun.
		bench_expire(&b, 0, last + 2 * timeout - 1, 100);
		assert_int_equal(b.count, 1);
		bench_expire(&b, 0, last + 2 * timeout + SEC, 100);
		assert_int_equal(b.count, 2);
		assert_int_equal(bench_active(&b), 0);
		b.count = 0;
	}
}

static void idle_at_the_end_of_a_capture(void **state)
{
	(void)state;
	run(of_class(3, T0));
	run(of_class(4, T0 + 40 * SEC));
	end_all(T0 + 60 * SEC);
	assert_int_equal(b.count, 2);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(record(i)->end,
			record(i)->tuple.proto == 17 ? FLOW_END_IDLE : FLOW_END_EOF);
}

static void forced_and_kept(void **state)
{
	(void)state;
	run(of_class(3, T0));
	assert_int_equal(bench_end(&b, 0, T0, FLOW_END_FORCED, true), 0);
	assert_int_equal(record(0)->end, FLOW_END_FORCED);
	run(of_class(3, T0 + 1)); // the capture goes on
	end_all(T0 + 1);
	assert_int_equal(b.count, 2);
	assert_int_equal(record(1)->end, FLOW_END_EOF);
	assert_int_equal(bench_count(&b, COUNTER_flows_ended), 2);
	assert_int_equal(bench_count(&b, COUNTER_flows_ended_forced), 1);
	assert_int_equal(bench_count(&b, COUNTER_flows_ended_eof), 1);
	assert_int_equal(bench_count(&b, COUNTER_flows_active), 0);
}

// --- Parts ---

static void parts_hold_their_own_packets(void **state)
{
	struct flow_config c = bench_config();
	uint64_t sent = 0;

	(void)state;
	reopen(&c);
	handshake(T0);
	for (unsigned i = 1; i < 100; i++) // every 10 s, 990 s
		c2s(ACK, i, T0 + i * 10 * SEC);
	end_all(T0 + 990 * SEC);
	assert_int_equal(b.count, 4);
	for (size_t i = 0; i < 4; i++) {
		const struct flow_record *r = record(i);

		assert_true(r->flow_id == record(0)->flow_id);
		assert_int_equal(r->part_no, i + 1);
		assert_int_equal(r->end, i < 3 ? FLOW_END_ACTIVE : FLOW_END_EOF);
		assert_true(r->first_ns == T0 + i * 300 * SEC);
		assert_true(r->last_ns == T0 + (i < 3 ? i * 300 + 290 : 990) * SEC);
		assert_int_equal(r->direction[0].pkts, i == 0 ? 31 : i < 3 ? 30 : 10);
		assert_int_equal(r->direction[1].pkts, i == 0 ? 1 : 0);
		assert_int_equal(r->direction[0].tcp_flags, i == 0 ? SYN | ACK : ACK);
		assert_int_equal(r->direction[1].tcp_flags, i == 0 ? SYN | ACK : 0);
		assert_int_equal(r->splt_count, i == 0 ? 16 : 0);
		assert_int_equal(r->replied, 1);
		sent += r->direction[0].pkts + r->direction[1].pkts;
	}
	assert_int_equal(sent, 102);
	assert_int_equal(record(1)->direction[0].size_min, 54 + 30);
	assert_int_equal(record(1)->direction[0].size_max, 54 + 59);
	assert_true(record(1)->direction[0].iat_mean == 10e9);
}

static void part_is_full_exactly_at_the_active_timeout(void **state)
{
	(void)state;
	for (uint64_t t = 0; t < 300 * SEC; t += 30 * SEC)
		run(of_class(3, T0 + 7 + t));
	run(of_class(3, T0 + 7 + 300 * SEC - 1));
	assert_int_equal(b.count, 0);
	run(of_class(3, T0 + 7 + 300 * SEC));
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->direction[0].pkts, 11);
	assert_int_equal(record(0)->end, FLOW_END_ACTIVE);
	end_all(T0 + 300 * SEC + 8);
	assert_int_equal(record(1)->direction[0].pkts, 1);
	assert_int_equal(record(1)->part_no, 2);
}

static void no_empty_part(void **state)
{
	(void)state;
	// A part is written while the flow is silent; then it goes idle: nothing more to say.
	for (uint64_t t = 0; t <= 270 * SEC; t += 30 * SEC)
		run(of_class(3, T0 + t));
	bench_expire(&b, 0, T0 + 302 * SEC, 100);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_ACTIVE);
	assert_int_equal(bench_active(&b), 1);
	assert_int_equal(peek().part_no, 2);
	assert_int_equal(peek().direction[0].pkts, 0);
	assert_true(peek().first_ns == peek().last_ns);
	bench_expire(&b, 0, T0 + 332 * SEC, 100);
	assert_int_equal(b.count, 1);
	assert_int_equal(bench_active(&b), 0);
}

static void late_scan_changes_nothing(void **state)
{
	(void)state;
	// As above, but nobody looks before both times have passed.
	for (uint64_t t = 0; t <= 270 * SEC; t += 30 * SEC)
		run(of_class(3, T0 + t));
	bench_expire(&b, 0, T0 + 5000 * SEC, 100);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_ACTIVE);
	assert_int_equal(bench_active(&b), 0);
	// A packet after the part was full, before the flow was idle: part 2, whoever noticed.
	for (unsigned scanned = 0; scanned < 2; scanned++) {
		b.count = 0;
		for (uint64_t t = 0; t <= 270 * SEC; t += 30 * SEC)
			run(of_class(3, T0 + (6000 + scanned * 1000) * SEC + t));
		if (scanned)
			bench_expire(&b, 0, T0 + 7302 * SEC, 100);
		run(of_class(3, T0 + (6000 + scanned * 1000 + 310) * SEC));
		bench_end(&b, 0, T0 + (6000 + scanned * 1000 + 311) * SEC, FLOW_END_FORCED, true);
		assert_int_equal(b.count, 2);
		assert_int_equal(record(0)->direction[0].pkts, 10);
		assert_int_equal(record(1)->direction[0].pkts, 1);
		assert_int_equal(record(1)->part_no, 2);
		assert_true(record(0)->flow_id == record(1)->flow_id);
	}
}

static void a_closed_flow_ends_as_it_closed(void **state)
{
	(void)state;
	// Closed shortly before its part is full: that must not hide the FIN.
	handshake(T0);
	c2s(ACK, 1, T0 + 200 * SEC);
	c2s(FIN | ACK, 0, T0 + 295 * SEC);
	s2c(FIN | ACK, 0, T0 + 295 * SEC);
	c2s(ACK, 0, T0 + 295 * SEC);
	bench_expire(&b, 0, T0 + 303 * SEC, 100);
	assert_int_equal(b.count, 0);
	bench_expire(&b, 0, T0 + 307 * SEC, 100);
	assert_int_equal(b.count, 1);
	assert_int_equal(record(0)->end, FLOW_END_FIN);
	// Late packets can make a closed flow long: then its parts are cut like any other's.
	b.count = 0;
	run(of_class(2, T0 + 1000 * SEC));
	for (unsigned t = 1; t <= 65; t++) {
		run(of_class(2, T0 + (1000 + t * 5) * SEC));
		bench_expire(&b, 0, T0 + (1000 + t * 5) * SEC, 100);
	}
	bench_expire(&b, 0, T0 + 2000 * SEC, 100);
	assert_int_equal(b.count, 2);
	assert_int_equal(record(0)->end, FLOW_END_ACTIVE);
	assert_int_equal(record(0)->direction[0].pkts + record(0)->direction[1].pkts, 60);
	assert_int_equal(record(1)->end, FLOW_END_RST);
	assert_int_equal(record(1)->direction[0].pkts + record(1)->direction[1].pkts, 6);
}

static void parts_shorter_than_a_second(void **state)
{
	struct flow_config c = bench_config();

	(void)state;
	c.active_ns = MS;
	c.udp_ns = 2 * MS;
	reopen(&c);
	for (unsigned i = 0; i < 20; i++) // each half a millisecond: two packets a part
		run(of_class(3, T0 + i * MS / 2));
	end_all(T0 + 10 * MS);
	assert_int_equal(b.count, 10);
	for (size_t i = 0; i < 10; i++) {
		assert_int_equal(record(i)->part_no, i + 1);
		assert_int_equal(record(i)->direction[0].pkts, 2);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(direction_is_that_of_the_syn),
		T(syn_ack_first_turns),
		T(better_known_port_turns),
		T(late_syn_only_sets_the_mark),
		T(flow_to_itself),
		T(closes_by_fin_of_the_client_first),
		T(closes_by_fin_of_the_server_first),
		T(closes_at_the_same_time),
		T(half_closed_is_not_closed),
		T(closes_by_rst),
		T(rst_to_a_syn),
		T(lone_rst),
		T(one_way_captures_are_established),
		T(one_way_from_the_server_is_established),
		T(reuse_needs_another_isn),
		T(reuse_of_a_closed_flow_ends_as_it_closed),
		T(syn_sequence_wraps),
		T(idle_exactly_at_the_boundary),
		T(idle_at_the_end_of_a_capture),
		T(forced_and_kept),
		T(parts_hold_their_own_packets),
		T(part_is_full_exactly_at_the_active_timeout),
		T(no_empty_part),
		T(late_scan_changes_nothing),
		T(a_closed_flow_ends_as_it_closed),
		T(parts_shorter_than_a_second),
	};

	return cmocka_run_group_tests_name("flow table", tests, NULL, NULL);
}
