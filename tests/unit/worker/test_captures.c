// SPDX-License-Identifier: Apache-2.0
// Captures of files on several workers, from start to removal: what is counted, what is ended, and
// every order in which starting, ending, stopping, flushing and asking can meet.
#include "testlib.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void file_is_read_to_its_end(void **state)
{
	struct capture_queue_counters queue[4];
	struct capture_status status;
	struct test_file file;
	struct counters c;
	int index;

	(void)state;
	file_of_flows(&file, 500, 7);
	index = start(file.source, "one");
	wait_phase(index, CAPTURE_FINISHED);
	counters_of(index, &c);
	check_identity(&c);
	assert_int_equal(c.value[COUNTER_processed], file.pkts);
	assert_int_equal(c.value[COUNTER_processed_bytes], file.bytes);
	assert_int_equal(c.value[COUNTER_flows_created], file.flows);
	assert_int_equal(c.value[COUNTER_flows_ended_eof], file.flows);
	assert_int_equal(c.value[COUNTER_flows_active], 0);
	assert_int_equal(captures_list(all, &status, 1), 1);
	assert_string_equal(status.name, "one");
	assert_string_equal(status.reason, "end of file");
	assert_int_equal(status.bytes_read, status.bytes_total);
	assert_true(status.ended_ns >= status.started_ns);
	assert_int_equal(captures_queue_counters(all, index, queue, 4), 1);
	assert_int_equal(queue[0].processed, file.pkts);
	assert_true(captures_all_ended(all));
	stop_and_remove("one");
	memset(&c, 0, sizeof(c));
	captures_counters(all, -1, -1, &c);
	assert_int_equal(c.value[COUNTER_processed], file.pkts); // past ones are kept
	file_close(&file);
}

static void two_files_at_once(void **state)
{
	struct test_file a, b;
	char source[80];
	struct counters c;
	int ia, ib;

	(void)state;
	file_of_flows(&a, 300, 20);
	file_of_flows(&b, 700, 10);
	snprintf(source, sizeof(source), "%s,loop=20", a.source);
	ia = start(source, "a");
	snprintf(source, sizeof(source), "%s,loop=20", b.source);
	ib = start(source, "b");
	assert_int_not_equal(ia, ib);
	wait_phase(ia, CAPTURE_FINISHED);
	wait_phase(ib, CAPTURE_FINISHED);
	counters_of(ia, &c);
	check_identity(&c);
	assert_int_equal(c.value[COUNTER_processed], 20 * a.pkts);
	assert_int_equal(c.value[COUNTER_flows_created], a.flows);
	counters_of(ib, &c);
	check_identity(&c);
	assert_int_equal(c.value[COUNTER_processed], 20 * b.pkts);
	assert_int_equal(c.value[COUNTER_flows_ended_eof], b.flows);
	stop_and_remove("a");
	stop_and_remove("b");
	file_close(&a);
	file_close(&b);
}

static void index_is_used_again(void **state)
{
	struct test_file file;

	(void)state;
	file_of_flows(&file, 60, 3);
	for (unsigned i = 0; i < 200; i++) {
		struct counters c;
		int index = start(file.source, "again");

		assert_int_equal(index, 0);
		wait_phase(index, CAPTURE_FINISHED);
		counters_of(index, &c);
		assert_int_equal(c.value[COUNTER_processed], file.pkts);
		assert_int_equal(c.value[COUNTER_flows_ended_eof], file.flows);
		assert_int_equal(captures_stop(all, "again", NULL, NULL), 0);
	}
	file_close(&file);
}

// A stop that meets the capture's own end: the workers may find it in their inbox after the capture
// has been taken off the list.
static void stop_meets_the_end(void **state)
{
	struct test_file file;
	unsigned late = 0;

	(void)state;
	file_of_flows(&file, 10, 2);
	for (unsigned i = 0; i < 200; i++) {
		struct pollfd p = {.fd = workers_event_fd(all), .events = POLLIN};
		struct ended e = {0};
		int index = start(file.source, "short");

		while (phase_of(index) == CAPTURE_STARTING) {
			poll(&p, 1, 1000);
			workers_dispatch(all);
		}
		if (phase_of(index) < CAPTURE_FINISHED)
			poll(&p, 1, 1000); // it has ended, and nobody has looked
		late += phase_of(index) < CAPTURE_FINISHED;
		assert_int_equal(captures_stop(all, "short", on_ended, &e), 0);
		wait_until(is_called, &e, "the end");
		if (captures_find(all, "short") >= 0)
			stop_and_remove("short");
	}
	assert_true(late > 0);
	file_close(&file);
}

static void stop_right_after_start(void **state)
{
	struct test_file file;
	char source[80];

	(void)state;
	file_of_flows(&file, 50, 20);
	snprintf(source, sizeof(source), "%s,loop=1000000", file.source);
	for (unsigned i = 0; i < 50; i++) {
		struct ended first = {0}, second = {0};
		struct counters c;
		int index = start(source, "quick");

		for (unsigned k = 0; k < i % 4; k++)
			workers_dispatch(all);
		assert_int_equal(captures_stop(all, "quick", on_ended, &first), 0);
		// Who stops it too is told as well.
		assert_int_equal(captures_stop(all, "quick", on_ended, &second), 0);
		wait_until(is_called, &first, "the end");
		assert_int_equal(first.calls, 1);
		assert_int_equal(second.calls, 1);
		assert_int_equal(first.flows, second.flows);
		assert_int_equal(phase_of(index), CAPTURE_STOPPED);
		counters_of(index, &c);
		check_identity(&c);
		assert_int_equal(c.value[COUNTER_flows_ended], c.value[COUNTER_flows_created]);
		assert_int_equal(c.value[COUNTER_flows_ended_forced], first.flows);
		stop_and_remove("quick");
	}
	file_close(&file);
}

// --- Questions ---

struct question {
	struct flow_query query[TEST_WORKERS];
	struct flow_record *results;
	unsigned answers;
	bool is_open;
};

static void on_answer(void *ctx)
{
	struct question *q = ctx;

	q->answers++;
	q->is_open = false;
}

static bool is_answered(void *ctx)
{
	return !((struct question *)ctx)->is_open;
}

static int ask(struct question *q, enum flow_query_kind kind)
{
	int r;

	for (unsigned w = 0; w < TEST_WORKERS; w++) {
		flow_query_fini(&q->query[w]);
		q->query[w] = (struct flow_query){.kind = kind,
			.capture = -1,
			.app_proto = -1,
			.limit = 1000,
			.results = q->results + w * 1000};
		assert_int_equal(flow_query_init(&q->query[w]), 0);
	}
	q->is_open = true;
	r = workers_query(all, q->query, on_answer, q);
	if (r < 0)
		q->is_open = false;
	return r;
}

static void question_init(struct question *q)
{
	*q = (struct question){0};
	q->results = calloc(TEST_WORKERS * 1000, sizeof(*q->results));
	assert_non_null(q->results);
}

static void question_fini(struct question *q)
{
	for (unsigned w = 0; w < TEST_WORKERS; w++)
		flow_query_fini(&q->query[w]);
	free(q->results);
}

static bool all_flows_are_there(void *ctx)
{
	struct counters c;

	counters_of(0, &c);
	return c.value[COUNTER_flows_created] >= *(uint64_t *)ctx;
}

static void questions_while_a_file_is_read(void **state)
{
	struct test_file file;
	struct question q;
	char source[80];
	int index;

	(void)state;
	question_init(&q);
	file_of_flows(&file, 400, 20);
	snprintf(source, sizeof(source), "%s,loop=1000000", file.source);
	index = start(source, "long");
	wait_until(all_flows_are_there, &file.flows, "the flows");
	for (unsigned i = 0; i < 100; i++) {
		unsigned flows = 0;
		struct counters c;

		assert_int_equal(ask(&q, i % 2 == 0 ? FLOW_QUERY_TOP : FLOW_QUERY_LIST), 0);
		wait_until(is_answered, &q, "an answer");
		for (unsigned w = 0; w < TEST_WORKERS; w++)
			flows += q.query[w].count;
		assert_int_equal(flows, file.flows); // each exactly once
		counters_of(index, &c);
		check_identity(&c); // at any time
	}
	assert_int_equal(q.answers, 100);
	stop_and_remove("long");
	question_fini(&q);
	file_close(&file);
}

static void too_many_questions_are_refused(void **state)
{
	enum { MANY = 40 };
	struct question q[MANY];
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < MANY; i++) {
		question_init(&q[i]);
		if (ask(&q[i], FLOW_QUERY_TOP) == 0)
			taken++;
	}
	assert_in_range(taken, 1, MANY - 1);
	for (unsigned i = 0; i < MANY; i++)
		wait_until(is_answered, &q[i], "an answer");
	for (unsigned i = 0; i < MANY; i++)
		question_fini(&q[i]);
}

// --- Flushes ---

static void flush_while_a_file_is_read(void **state)
{
	struct test_file file;
	uint64_t ended = 0;
	char source[80];
	struct counters c;
	int index;

	(void)state;
	file_of_flows(&file, 400, 20);
	snprintf(source, sizeof(source), "%s,loop=1000000", file.source);
	index = start(source, "long");
	wait_until(all_flows_are_there, &file.flows, "the flows");
	for (unsigned i = 0; i < 50; i++) {
		struct ended e = {0};

		assert_int_equal(captures_flush(all, i % 2 == 0 ? index : -1, on_ended, &e), 0);
		wait_until(is_called, &e, "a flush");
		ended += e.flows;
	}
	assert_true(ended >= file.flows);
	{
		// A flush and the capture's end, in one go.
		struct ended e = {0}, stopped = {0};

		assert_int_equal(captures_flush(all, index, on_ended, &e), 0);
		assert_int_equal(captures_stop(all, "long", on_ended, &stopped), 0);
		assert_int_equal(captures_flush(all, index, on_ended, &e), 0);
		wait_until(is_called, &stopped, "the end");
		wait_until(is_called, &e, "a flush");
		ended += e.flows + stopped.flows;
		if (e.calls == 1) {
			e.calls = 0;
			wait_until(is_called, &e, "the second flush");
		}
	}
	counters_of(index, &c);
	assert_int_equal(c.value[COUNTER_flows_ended], c.value[COUNTER_flows_created]);
	assert_int_equal(c.value[COUNTER_flows_ended_forced], c.value[COUNTER_flows_ended]);
	assert_int_equal(ended, c.value[COUNTER_flows_ended]);
	stop_and_remove("long");
	file_close(&file);
}

// Without a bound they would fill the inbox, and control would wait for a worker that waits for it.
static void too_many_flushes_are_refused(void **state)
{
	struct ended e = {0};
	unsigned taken = 0;
	int r;

	(void)state;
	do {
		r = captures_flush(all, -1, on_ended, &e);
		taken += r == 0;
	} while (r == 0 && taken < 5000);
	assert_int_equal(r, -EBUSY);
	while (e.calls < taken) {
		struct ended before = e;

		e.calls = 0;
		wait_until(is_called, &e, "a flush");
		e.calls += before.calls;
	}
	assert_int_equal(captures_flush(all, -1, on_ended, &e), 0);
	e.calls = 0;
	wait_until(is_called, &e, "a flush");
}

// --- Fragments, refusals ---

static void no_fragment_of_a_file_is_lost(void **state)
{
	struct test_file file;
	struct counters c;
	int index;

	(void)state;
	file_of_fragments(&file, 3000);
	for (unsigned i = 0; i < 5; i++) {
		index = start(file.source, "fragments");
		wait_phase(index, CAPTURE_FINISHED);
		counters_of(index, &c);
		check_identity(&c);
		assert_int_equal(c.value[COUNTER_processed], file.pkts);
		assert_int_equal(c.value[COUNTER_ipv4_memcap], 0);
		assert_int_equal(c.value[COUNTER_ipv4_reassembled], file.flows);
		assert_int_equal(c.value[COUNTER_flows_created], file.flows);
		stop_and_remove("fragments");
	}
	file_close(&file);
}

static void starts_are_refused_with_reasons(void **state)
{
	struct test_file file;
	char error[512], long_name[80];
	int index;

	(void)state;
	file_of_flows(&file, 5, 5);
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	index = start(file.source, "name");
	assert_int_equal(captures_start(all, file.source, "name", NULL, NULL, error, sizeof(error)),
		-EEXIST);
	assert_int_equal(
		captures_start(all, file.source, "a b", NULL, NULL, error, sizeof(error)), -EINVAL);
	assert_int_equal(
		captures_start(all, file.source, long_name, NULL, NULL, error, sizeof(error)),
		-EINVAL);
	assert_true(captures_start(
			    all, file.source, NULL, "no filter", NULL, error, sizeof(error)) < 0);
	assert_true(captures_start(all, "pcap:/none", NULL, NULL, NULL, error, sizeof(error)) < 0);
	assert_int_equal(captures_stop(all, "nobody", NULL, NULL), -ENOENT);
	for (unsigned i = 1; i < CAPTURES_MAX; i++)
		assert_true(start(file.source, NULL) > 0);
	assert_int_equal(
		captures_start(all, file.source, NULL, NULL, NULL, error, sizeof(error)), -ENOSPC);
	for (unsigned i = 0; i < CAPTURES_MAX; i++)
		wait_phase((int)i, CAPTURE_FINISHED);
	stop_and_remove("name");
	assert_int_equal(start(file.source, "name"), index);
	wait_phase(index, CAPTURE_FINISHED);
	file_close(&file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(file_is_read_to_its_end, setup, teardown),
		cmocka_unit_test_setup_teardown(two_files_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(index_is_used_again, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_meets_the_end, setup, teardown),
		cmocka_unit_test_setup_teardown(stop_right_after_start, setup, teardown),
		cmocka_unit_test_setup_teardown(questions_while_a_file_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_questions_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(flush_while_a_file_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(too_many_flushes_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(no_fragment_of_a_file_is_lost, setup, teardown),
		cmocka_unit_test_setup_teardown(starts_are_refused_with_reasons, setup, teardown),
	};

	if (eal_up() < 0)
		return 1;
	return cmocka_run_group_tests_name("worker captures", tests, NULL, NULL);
}
