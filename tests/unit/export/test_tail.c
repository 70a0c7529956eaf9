// SPDX-License-Identifier: Apache-2.0
// The tail thread from end to end: real rings and producers, the events file read back.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "events.h"
#include "export.h"
#include "log.h"

enum { WORKERS = 3, RECORDS = 20000, RING_BYTES = 16 << 10, CAPTURE = 5 };

static char folder[] = "/tmp/pktaid-tail-XXXXXX";
static char path[64];
static struct ring *rings[WORKERS];

static int begin(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/events.json", folder);
	export_capture_set(CAPTURE, &(struct export_capture){"test", "", "file"});
	return 0;
}

static int end(void **state)
{
	(void)state;
	return rmdir(folder);
}

static int begin_test(void **state)
{
	(void)state;
	for (unsigned w = 0; w < WORKERS; w++)
		rings[w] = ring_new(RING_BYTES);
	return 0;
}

static int end_test(void **state)
{
	(void)state;
	for (unsigned w = 0; w < WORKERS; w++)
		ring_free(rings[w]);
	unlink(path);
	return 0;
}

static struct export *start(const char *events, unsigned workers, uint64_t recent_bytes)
{
	struct export_config config = {events, recent_bytes, workers, rings};
	struct export *e = NULL;
	char error[200];

	if (export_start(&config, &e, error, sizeof(error)) != 0)
		fail_msg("%s", error);
	return e;
}

static struct flow_record flow_of(unsigned worker, uint32_t n)
{
	struct flow_record r = {
		.flow_id = (uint64_t)worker << 32 | n, .capture = CAPTURE, .part_no = 1};

	r.worker = (uint16_t)worker;
	r.end = n % 10 == 9 ? FLOW_END_ACTIVE : FLOW_END_EOF;
	r.tuple.version = 4;
	r.tuple.proto = 6;
	r.first_ns = r.last_ns = UINT64_C(1795413739000000000) + n;
	r.splt_count = n % (FLOW_SPLT_PKTS + 1);
	r.direction[0].pkts = r.direction[1].pkts = n;
	return r;
}

// A flow without the packets of its sequence that it does not have, as the flow stage may send it.
static void send_flow(struct ring *ring, unsigned worker, uint32_t n)
{
	struct flow_record r = flow_of(worker, n);

	memcpy(record_reserve(ring, RECORD_FLOW, sizeof(r), true), &r, sizeof(r));
	if (n % 2 == 0)
		ring_shrink(ring,
			offsetof(struct flow_record, splt) + r.splt_count * sizeof(r.splt[0]));
}

static void send_anomaly(struct ring *ring, unsigned worker, uint32_t n)
{
	struct anomaly_record a = {
		.pcap_cnt = n, .flow_id = (uint64_t)worker << 32 | n, .capture = CAPTURE};

	memcpy(record_reserve(ring, RECORD_ANOMALY, sizeof(a), true), &a, sizeof(a));
}

static void send_done(struct ring *ring, unsigned worker)
{
	struct capture_done_record d = {CAPTURE, (uint16_t)worker};

	memcpy(record_reserve(ring, RECORD_CAPTURE_DONE, sizeof(d), true), &d, sizeof(d));
	ring_publish(ring);
}

static void *produce(void *arg)
{
	unsigned worker = (unsigned)(uintptr_t)arg;

	for (uint32_t n = 1; n <= RECORDS; n++) {
		if (n % 16 == 3)
			send_anomaly(rings[worker], worker, n);
		else
			send_flow(rings[worker], worker, n);
		if (n % 5 == 0)
			ring_publish(rings[worker]);
	}
	send_done(rings[worker], worker);
	return NULL;
}

// Waits for what a predicate says; fails after a minute.
static void wait_until(bool (*is_so)(struct export *), struct export *e)
{
	for (unsigned ms = 0; !is_so(e); ms++) {
		if (ms > 60000)
			fail_msg("waited for a minute");
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static bool is_done(struct export *e)
{
	return export_capture_is_done(e, CAPTURE);
}

static bool are_drained(struct export *e)
{
	(void)e;
	for (unsigned w = 0; w < WORKERS; w++)
		if (!ring_is_empty(rings[w]))
			return false;
	return true;
}

static char *next_line(FILE *f)
{
	static char line[16384];

	return fgets(line, sizeof(line), f);
}

static uint64_t number_in(const char *line, const char *key)
{
	const char *at = strstr(line, key);

	if (at == NULL)
		fail_msg("no %s in %s", key, line);
	return strtoull(at + strlen(key), NULL, 10);
}

// Reads the events file: each worker's records are all there, in order. Returns how many lines.
static unsigned check_events(void)
{
	uint32_t last[WORKERS] = {0};
	unsigned lines = 0;
	FILE *f = fopen(path, "r");
	char *line;

	assert_non_null(f);
	while ((line = next_line(f)) != NULL) {
		uint64_t id = number_in(line, "\"flow_id\":");
		uint32_t n = (uint32_t)id, worker = (uint32_t)(id >> 32);
		const char *type = n % 16 == 3 ? "\"event_type\":\"anomaly\""
		                               : "\"event_type\":\"flow\"";

		assert_in_range(worker, 0, WORKERS - 1);
		assert_int_equal(n, ++last[worker]);
		assert_non_null(strstr(line, type));
		assert_int_equal(line[strlen(line) - 1], '\n');
		if (n % 100 == 0) {
			cJSON *parsed = cJSON_Parse(line);

			assert_non_null(parsed);
			cJSON_Delete(parsed);
		}
		lines++;
	}
	fclose(f);
	return lines;
}

// Small rings, lossless: nothing is lost, each worker's order is kept, and all of it is in the file
// as soon as the capture is said to be done.
static void nothing_is_lost_and_order_is_kept(void **state)
{
	struct export *e = start(path, WORKERS, 1 << 20);
	struct export_stats stats;
	pthread_t threads[WORKERS];
	uint64_t anomalies = WORKERS * (RECORDS / 16), flows = WORKERS * RECORDS - anomalies,
		 parts = 0;

	(void)state;
	for (unsigned w = 0; w < WORKERS; w++)
		assert_int_equal(
			pthread_create(&threads[w], NULL, produce, (void *)(uintptr_t)w), 0);
	wait_until(is_done, e);
	assert_int_equal(check_events(), WORKERS * RECORDS);
	for (unsigned w = 0; w < WORKERS; w++)
		pthread_join(threads[w], NULL);
	export_stats(e, &stats);
	assert_int_equal(stats.records_written[RECORD_FLOW], flows);
	assert_int_equal(stats.records_written[RECORD_ANOMALY], anomalies);
	assert_int_equal(stats.records_written[RECORD_CAPTURE_DONE], WORKERS);
	assert_int_equal(stats.records_bad, 0);
	assert_true(stats.recent_bytes <= 1 << 20);
	for (uint32_t n = 1; n <= RECORDS; n++)
		parts += n % 10 == 9 && n % 16 != 3;
	assert_int_equal(stats.recent_flows + stats.recent_forgotten, flows - WORKERS * parts);
	assert_int_equal(export_stop(e, NULL, 0), 0);
}

static void done_means_all_workers(void **state)
{
	struct export *e = start(NULL, WORKERS, 1 << 20);

	(void)state;
	send_done(rings[0], 0);
	send_done(rings[2], 2);
	send_done(rings[2], 2); // the same once more
	wait_until(are_drained, e);
	assert_false(export_capture_is_done(e, CAPTURE));
	assert_false(export_capture_is_done(e, CAPTURE + 1));
	assert_false(export_capture_is_done(e, UINT16_MAX));
	send_done(rings[1], 1);
	wait_until(is_done, e);
	export_capture_reset(e, CAPTURE);
	assert_false(export_capture_is_done(e, CAPTURE));
	for (unsigned w = 0; w < WORKERS; w++)
		send_done(rings[w], w);
	wait_until(is_done, e);
	assert_int_equal(export_stop(e, NULL, 0), 0);
	assert_int_equal(export_stop(NULL, NULL, 0), 0);
}

// A ready line comes behind every record that was published before it was handed over.
static void ready_lines_keep_their_place(void **state)
{
	struct export *e = start(path, 2, 0);
	unsigned lines = 0, in_order = 0;
	uint32_t last[2] = {0};
	char text[100], *line;
	FILE *f;

	(void)state;
	for (uint32_t n = 1; n <= 3000; n++) {
		send_flow(rings[n & 1], n & 1, n);
		ring_publish(rings[n & 1]);
		if (n % 10 == 0) {
			int size = snprintf(
				text, sizeof(text), "{\"event_type\":\"stats\",\"n\":%u}", n);

			export_line(e, text, (size_t)size);
		}
	}
	export_line(e, "{\"last\":1}", 10);
	assert_int_equal(export_stop(e, NULL, 0), 0);
	f = fopen(path, "r");
	while ((line = next_line(f)) != NULL) {
		if (strstr(line, "\"stats\"") != NULL) {
			uint64_t n = number_in(line, "\"n\":");

			assert_true(last[0] >= n && last[1] >= n - 1);
			in_order++;
		} else if (strstr(line, "\"flow_id\":") != NULL) {
			uint64_t id = number_in(line, "\"flow_id\":");

			last[id >> 32] = (uint32_t)id;
		}
		lines++;
	}
	assert_string_equal(text, "{\"event_type\":\"stats\",\"n\":3000}");
	fseek(f, -11, SEEK_END);
	assert_string_equal(next_line(f), "{\"last\":1}\n");
	fclose(f);
	assert_int_equal(in_order, 300);
	assert_int_equal(lines, 3301);
}

// Lines reach the file by themselves, without an end or more records.
static bool file_has_a_line(struct export *e)
{
	struct stat st;

	(void)e;
	return stat(path, &st) == 0 && st.st_size > 0;
}

static void a_single_record_is_flushed_soon(void **state)
{
	struct export *e = start(path, 1, 0);

	(void)state;
	send_flow(rings[0], 0, 1);
	ring_publish(rings[0]);
	wait_until(file_has_a_line, e);
	assert_int_equal(export_stop(e, NULL, 0), 0);
}

static void ended_flows_can_be_asked_for(void **state)
{
	struct export *e = start(NULL, 1, 1 << 20);
	struct flow_record found[10];
	struct flow_query q = {.kind = FLOW_QUERY_LIST,
		.capture = -1,
		.app_proto = -1,
		.limit = 10,
		.results = found};
	struct export_stats stats;

	(void)state;
	for (uint32_t n = 1; n <= 10; n++)
		send_flow(rings[0], 0, n); // the ninth goes on: a part
	send_done(rings[0], 0);
	wait_until(is_done, e);
	export_recent_query(e, &q);
	assert_int_equal(q.count, 9);
	assert_int_equal(found[8].flow_id, 10);
	assert_int_equal(found[8].splt_count, 10);
	export_recent_forget(e, CAPTURE);
	q.next = 0;
	export_recent_query(e, &q);
	assert_int_equal(q.count, 0);
	export_stats(e, &stats);
	assert_int_equal(stats.recent_flows, 0);
	assert_int_equal(stats.records_written[RECORD_FLOW], 10);
	assert_int_equal(export_stop(e, NULL, 0), 0);
}

static void bad_records_are_counted(void **state)
{
	struct export *e = start(path, 1, 1 << 20);
	struct flow_record r = flow_of(0, 16);
	struct export_stats stats;

	(void)state;
	memset(ring_reserve(rings[0], 7, 64), 0xff, 64);
	memset(ring_reserve(rings[0], 0, 64), 0xff, 64);
	memset(ring_reserve(rings[0], 4711, 64), 0xff, 64);
	memset(ring_reserve(rings[0], RECORD_FLOW, 64), 0xff, 64);
	memset(ring_reserve(rings[0], RECORD_ARP, 8), 0xff, 8);
	memset(ring_reserve(rings[0], RECORD_CAPTURE_DONE, 8), 0xff, 8);
	memcpy(ring_reserve(rings[0], RECORD_FLOW, 480), &r, 480); // fewer packets than it says
	send_flow(rings[0], 0, 1);
	ring_publish(rings[0]);
	wait_until(are_drained, e);
	export_stats(e, &stats);
	assert_int_equal(stats.records_bad, 7);
	assert_int_equal(stats.records_written[RECORD_FLOW], 1);
	assert_int_equal(export_stop(e, NULL, 0), 0);
}

static void failing_file_is_reported_at_the_end(void **state)
{
	struct export *e = start("/dev/full", 1, 0);
	struct export_stats stats;
	char error[200];

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	for (uint32_t n = 1; n <= 500; n++)
		send_flow(rings[0], 0, n);
	send_done(rings[0], 0);
	wait_until(is_done, e);
	export_stats(e, &stats);
	assert_int_equal(stats.lines_lost, 500);
	assert_true(stats.write_errors > 0);
	assert_int_equal(export_stop(e, error, sizeof(error)), -ENOSPC);
	assert_non_null(strstr(error, "/dev/full"));
	assert_non_null(strstr(error, "500"));
}

// The daemon does not end because a reader of its events did.
static void reader_that_left_is_no_end(void **state)
{
	struct export *e;
	char error[200];
	int reader;

	(void)state;
	signal(SIGPIPE, SIG_DFL);
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	e = start(path, 1, 0);
	close(reader);
	send_flow(rings[0], 0, 1);
	send_done(rings[0], 0);
	wait_until(is_done, e);
	assert_int_equal(export_stop(e, error, sizeof(error)), -EPIPE);
}

static void *drain_pipe(void *arg)
{
	char bytes[65536];

	while (read(*(int *)arg, bytes, sizeof(bytes)) > 0)
		;
	return NULL;
}

// Ready lines are bounded while the file does not take them: what is too much is refused, counted.
static void waiting_lines_are_bounded(void **state)
{
	enum { LINE = 1 << 20, LINES = 24 };
	char *text = calloc(1, LINE);
	struct export_stats stats;
	struct export *e;
	pthread_t t;
	int reader;

	(void)state;
	memset(text, 'x', LINE);
	assert_int_equal(mkfifo(path, 0600), 0);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	fcntl(reader, F_SETFL, 0);
	e = start(path, 1, 0);
	for (unsigned i = 0; i < LINES; i++)
		export_line(e, text, LINE);
	export_stats(e, &stats);
	// those that the tail has taken, and no more than the bound, were accepted
	assert_true(stats.lines_refused >= LINES - 2 * EXPORT_LINES_BYTES / LINE);
	assert_true(stats.lines_refused < LINES);
	pthread_create(&t, NULL, drain_pipe, &reader);
	assert_int_equal(export_stop(e, NULL, 0), 0);
	pthread_join(t, NULL);
	close(reader);
	free(text);
}

static void start_says_what_is_wrong(void **state)
{
	struct export_config config = {"/nowhere/x", 0, 1, rings};
	struct export *e = NULL;
	char error[200];

	(void)state;
	assert_int_equal(export_start(&config, &e, error, sizeof(error)), -ENOENT);
	assert_non_null(strstr(error, "/nowhere/x"));
	config.workers = 0;
	assert_int_equal(export_start(&config, &e, error, sizeof(error)), -EINVAL);
	config.workers = 65;
	assert_int_equal(export_start(&config, &e, error, sizeof(error)), -EINVAL);
	assert_null(e);
}

// The thread has its name, and leaves signals to control.
static void thread_is_named_and_takes_no_signals(void **state)
{
	static const int signals[] = {SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGCHLD, SIGUSR1};
	struct export *e = start(NULL, 1, 0);
	unsigned found = 0;
	DIR *d = opendir("/proc/self/task");
	struct dirent *entry;

	(void)state;
	while ((entry = readdir(d)) != NULL) {
		char file[300], line[200];
		bool is_tail = false;
		FILE *f;

		snprintf(file, sizeof(file), "/proc/self/task/%s/status", entry->d_name);
		f = fopen(file, "r");
		while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
			is_tail |= strcmp(line, "Name:\tpktaid-tail\n") == 0;
			if (is_tail && strncmp(line, "SigBlk:", 7) == 0) {
				uint64_t blocked = strtoull(line + 7, NULL, 16);

				for (int n = 0; n < 6; n++)
					assert_true(blocked >> (signals[n] - 1) & 1);
				found++;
			}
		}
		if (f != NULL)
			fclose(f);
	}
	closedir(d);
	assert_int_equal(found, 1);
	assert_int_equal(export_stop(e, NULL, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			nothing_is_lost_and_order_is_kept, begin_test, end_test),
		cmocka_unit_test_setup_teardown(done_means_all_workers, begin_test, end_test),
		cmocka_unit_test_setup_teardown(ready_lines_keep_their_place, begin_test, end_test),
		cmocka_unit_test_setup_teardown(
			a_single_record_is_flushed_soon, begin_test, end_test),
		cmocka_unit_test_setup_teardown(ended_flows_can_be_asked_for, begin_test, end_test),
		cmocka_unit_test_setup_teardown(bad_records_are_counted, begin_test, end_test),
		cmocka_unit_test_setup_teardown(
			failing_file_is_reported_at_the_end, begin_test, end_test),
		cmocka_unit_test_setup_teardown(reader_that_left_is_no_end, begin_test, end_test),
		cmocka_unit_test_setup_teardown(waiting_lines_are_bounded, begin_test, end_test),
		cmocka_unit_test_setup_teardown(start_says_what_is_wrong, begin_test, end_test),
		cmocka_unit_test_setup_teardown(
			thread_is_named_and_takes_no_signals, begin_test, end_test),
	};

	return cmocka_run_group_tests_name("tail", tests, begin, end);
}
