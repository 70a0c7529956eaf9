// SPDX-License-Identifier: Apache-2.0
// The recent store: bound, forgetting, top, list with a cursor, get, and a reader beside the writer.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "recent.h"

static struct flow_record results[5000];

// Flow number n; what is sorted by is a scrambled n.
static struct flow_record flow_number(uint32_t n)
{
	struct flow_record r = {.flow_id = n + 1, .part_no = 1, .end = FLOW_END_IDLE};

	r.capture = n % 3;
	r.app_proto = n % 5;
	r.tuple.version = 4;
	r.tuple.proto = 17;
	r.tuple.src_port = (uint16_t)(1000 + n % 7);
	r.tuple.dst_port = 53;
	r.first_ns = n;
	r.last_ns = n + 10;
	r.direction[0].bytes = n * 2654435761u;
	r.direction[0].pkts = 1;
	r.splt_count = n % (FLOW_SPLT_PKTS + 1);
	for (unsigned i = 0; i < r.splt_count; i++)
		r.splt[i].size = (uint16_t)(n + i);
	return r;
}

static void add(struct recent *s, uint32_t from, uint32_t to)
{
	for (uint32_t n = from; n < to; n++) {
		struct flow_record r = flow_number(n);

		memset(&r.splt[r.splt_count], 0xaa,
			(FLOW_SPLT_PKTS - r.splt_count) * sizeof(r.splt[0]));
		recent_add(s, &r);
	}
}

static struct flow_query query_of(enum flow_query_kind kind, unsigned limit)
{
	memset(results, 0x55, sizeof(results));
	return (struct flow_query){
		.kind = kind, .capture = -1, .app_proto = -1, .limit = limit, .results = results};
}

static void assert_is_flow(const struct flow_record *r, uint32_t n)
{
	struct flow_record expected = flow_number(n);

	assert_memory_equal(r, &expected, sizeof(expected));
}

static void list_gives_all_in_order(void **state)
{
	struct recent *s = recent_new(8 << 20);
	struct flow_query q = query_of(FLOW_QUERY_LIST, 5000);

	(void)state;
	recent_query(s, &q);
	assert_int_equal(q.count, 0);
	assert_int_equal(q.next, UINT32_MAX);
	add(s, 0, 5000);
	q.next = 0;
	recent_query(s, &q);
	assert_int_equal(q.count, 5000);
	assert_int_equal(q.next, UINT32_MAX);
	for (uint32_t n = 0; n < 5000; n++)
		assert_is_flow(&results[n], n);
	recent_query(s, &q); // from the end there is nothing
	assert_int_equal(q.count, 0);
	recent_free(s);
}

static void list_pages_by_cursor(void **state)
{
	struct recent *s = recent_new(8 << 20);
	struct flow_query q = query_of(FLOW_QUERY_LIST, 7);
	uint32_t n = 0;

	(void)state;
	add(s, 0, 1000);
	q.app_proto = 3;
	do {
		recent_query(s, &q);
		for (unsigned i = 0; i < q.count; i++, n++)
			assert_is_flow(&results[i], n * 5 + 3);
		if (n == 21)
			add(s, 1000, 1100); // what comes meanwhile is listed as well
	} while (q.next != UINT32_MAX);
	assert_int_equal(n, 220);
	recent_free(s);
}

static void store_is_bounded_and_keeps_the_newest(void **state)
{
	struct recent *s = recent_new(256 << 10);
	struct flow_query q = query_of(FLOW_QUERY_LIST, 5000);
	uint64_t flows, bytes, forgotten;

	(void)state;
	for (uint32_t n = 0; n < 20000; n += 100) {
		add(s, n, n + 100);
		recent_stats(s, &flows, &bytes, &forgotten);
		assert_true(bytes <= 256 << 10);
		assert_int_equal(flows + forgotten, n + 100);
	}
	assert_true(flows > 380 && forgotten > 0); // 600 bytes a flow
	recent_query(s, &q);
	assert_int_equal(q.count, flows);
	for (uint32_t i = 0; i < q.count; i++)
		assert_is_flow(&results[i], (uint32_t)forgotten + i);
	recent_free(s);
}

static void cursor_survives_forgetting(void **state)
{
	struct recent *s = recent_new(256 << 10);
	struct flow_query q = query_of(FLOW_QUERY_LIST, 10);
	uint64_t flows, bytes, forgotten, last;

	(void)state;
	add(s, 0, 100);
	recent_query(s, &q);
	assert_is_flow(&results[9], 9);
	add(s, 100, 5000); // flow 10 is forgotten: it goes on with the oldest
	recent_stats(s, &flows, &bytes, &forgotten);
	assert_true(forgotten > 100);
	last = forgotten - 1;
	do {
		recent_query(s, &q);
		for (unsigned i = 0; i < q.count; i++)
			assert_is_flow(&results[i], (uint32_t)++last);
	} while (q.next != UINT32_MAX);
	assert_int_equal(last, 4999);
	q.next = 123456; // made up, beyond what there was
	recent_query(s, &q);
	assert_is_flow(&results[0], (uint32_t)forgotten);
	recent_free(s);
}

static int by_bytes(const void *a, const void *b)
{
	const struct flow_record *x = a, *y = b;
	uint64_t i = x->direction[0].bytes, j = y->direction[0].bytes;

	return i < j ? 1 : i > j ? -1 : 0;
}

static void top_is_sorted_and_counts_matches(void **state)
{
	static struct flow_record all[3000];
	struct recent *s = recent_new(8 << 20);
	struct flow_query q = query_of(FLOW_QUERY_TOP, 100);

	(void)state;
	add(s, 0, 3000);
	for (uint32_t n = 0; n < 3000; n++)
		all[n] = flow_number(n);
	qsort(all, 3000, sizeof(all[0]), by_bytes);
	q.metric = FLOW_BY_BYTES;
	recent_query(s, &q);
	assert_int_equal(q.count, 100);
	assert_int_equal(q.matched, 3000);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(results[i].flow_id, all[i].flow_id);
	q.ascending = true;
	recent_query(s, &q);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(results[i].flow_id, all[2999 - i].flow_id);
	q.ascending = false;
	q.metric = FLOW_BY_LAST_SEEN;
	recent_query(s, &q);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(results[i].flow_id, 3000 - i);
	q.metric = FLOW_BY_PACKETS; // all equal: by identity
	recent_query(s, &q);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(results[i].flow_id, i + 1);
	q.limit = 5000;
	q.metric = FLOW_BY_BYTES;
	recent_query(s, &q);
	assert_int_equal(q.count, 3000);
	for (unsigned i = 0; i < 3000; i++)
		assert_int_equal(results[i].flow_id, all[i].flow_id);
	q.limit = 0;
	recent_query(s, &q);
	assert_int_equal(q.count, 0);
	assert_int_equal(q.matched, 3000);
	recent_free(s);
}

static void queries_are_filtered(void **state)
{
	struct recent *s = recent_new(8 << 20);
	struct flow_query q = query_of(FLOW_QUERY_TOP, 5000);
	struct flow_filter *filter;
	char error[100];

	(void)state;
	add(s, 0, 2100);
	q.capture = 1;
	recent_query(s, &q);
	assert_int_equal(q.matched, 700);
	assert_int_equal(flow_filter_parse("port 1003", &filter, error, sizeof(error)), 0);
	q.filter = filter;
	recent_query(s, &q);
	assert_int_equal(q.matched, 100);
	for (unsigned i = 0; i < q.count; i++) {
		assert_int_equal(results[i].tuple.src_port, 1003);
		assert_int_equal(results[i].capture, 1);
	}
	flow_filter_free(filter);
	recent_free(s);
}

static void get_finds_the_latest_part(void **state)
{
	struct recent *s = recent_new(8 << 20);
	struct flow_query q = query_of(FLOW_QUERY_GET, 1);
	struct flow_record r = flow_number(41);

	(void)state;
	add(s, 0, 3000);
	r.part_no = 2;
	recent_add(s, &r);
	add(s, 3000, 4000);
	q.flow_id = 1;
	recent_query(s, &q);
	assert_int_equal(q.count, 1);
	assert_is_flow(&results[0], 0);
	q.flow_id = 42;
	recent_query(s, &q);
	assert_int_equal(q.count, 1);
	assert_int_equal(results[0].part_no, 2);
	q.flow_id = 9999;
	recent_query(s, &q);
	assert_int_equal(q.count, 0);
	recent_free(s);
}

static void captures_are_forgotten(void **state)
{
	struct recent *s = recent_new(256 << 10);
	struct flow_query q = query_of(FLOW_QUERY_LIST, 5000);
	uint64_t flows, bytes, forgotten, before;

	(void)state;
	add(s, 0, 300);
	recent_forget(s, 2);
	recent_forget(s, 2);
	recent_stats(s, &flows, &bytes, &forgotten);
	assert_int_equal(flows, 200);
	assert_int_equal(forgotten, 0); // taken away, not pushed out
	recent_query(s, &q);
	assert_int_equal(q.count, 200);
	for (unsigned i = 0; i < q.count; i++)
		assert_int_not_equal(results[i].capture, 2);
	add(s, 300, 5000);
	recent_stats(s, &flows, &bytes, &before);
	assert_int_equal(flows + before + 100, 5000);
	recent_forget(s, 0);
	recent_forget(s, 1);
	recent_forget(s, 2);
	recent_stats(s, &flows, &bytes, &forgotten);
	assert_int_equal(flows, 0);
	assert_int_equal(forgotten, before);
	recent_free(s);
}

static void nothing_is_kept_in_no_room(void **state)
{
	struct recent *s = recent_new(0);
	struct flow_query q = query_of(FLOW_QUERY_LIST, 10);
	uint64_t flows, bytes, forgotten;

	(void)state;
	add(s, 0, 10);
	recent_query(s, &q);
	assert_int_equal(q.count, 0);
	recent_stats(s, &flows, &bytes, &forgotten);
	assert_int_equal(flows, 0);
	assert_int_equal(bytes, 0);
	assert_int_equal(forgotten, 10);
	recent_free(s);
	recent_free(NULL);
}

static _Atomic bool writer_done;

static void *write_many(void *arg)
{
	add(arg, 0, 400000);
	atomic_store(&writer_done, true);
	return NULL;
}

// While the tail adds and forgets, each page of control's list is a run without holes of whole flows.
static void reader_beside_writer_sees_whole_flows(void **state)
{
	struct recent *s = recent_new(512 << 10);
	struct flow_query q = query_of(FLOW_QUERY_LIST, 500);
	uint64_t flows, bytes, forgotten, removed = 0, last = 0;
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, write_many, s), 0);
	for (unsigned round = 0; !atomic_load(&writer_done); round++) {
		recent_query(s, &q);
		for (unsigned i = 0; i < q.count; i++) {
			if (results[i].flow_id <= last)
				fail_msg("flow %llu twice", (unsigned long long)results[i].flow_id);
			last = results[i].flow_id;
			assert_is_flow(&results[i], (uint32_t)last - 1);
		}
		if (q.next == UINT32_MAX) {
			q.next = 0;
			last = 0;
		}
		if (round % 16 == 0)
			recent_forget(s, 1);
		recent_stats(s, &flows, &bytes, &forgotten);
		assert_true(bytes <= 512 << 10);
	}
	pthread_join(t, NULL);
	recent_stats(s, &flows, &bytes, &forgotten);
	removed = 400000 - forgotten - flows;
	assert_true(removed <= 400000 / 3 + 1);
	q = query_of(FLOW_QUERY_LIST, 5000);
	recent_query(s, &q);
	assert_int_equal(q.count, flows);
	recent_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(list_gives_all_in_order),
		cmocka_unit_test(list_pages_by_cursor),
		cmocka_unit_test(store_is_bounded_and_keeps_the_newest),
		cmocka_unit_test(cursor_survives_forgetting),
		cmocka_unit_test(top_is_sorted_and_counts_matches),
		cmocka_unit_test(queries_are_filtered),
		cmocka_unit_test(get_finds_the_latest_part),
		cmocka_unit_test(captures_are_forgotten),
		cmocka_unit_test(nothing_is_kept_in_no_room),
		cmocka_unit_test(reader_beside_writer_sees_whole_flows),
	};

	return cmocka_run_group_tests_name("recent", tests, NULL, NULL);
}
