// SPDX-License-Identifier: Apache-2.0
// Times at which captures lost packets, and the mark that flows get for them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "clock.h"
#include "export.h"

#define S NSEC_PER_S

static int begin(void **state)
{
	static const struct export_capture c = {.name = "c", .time_source = "kernel"};

	(void)state;
	export_capture_set(3, &c);
	return 0;
}

static void overlap_decides(void **state)
{
	(void)state;
	assert_false(export_capture_lost_during(3, 0, UINT64_MAX));
	export_capture_lost(3, 10 * S, 11 * S);
	export_capture_lost(3, 20 * S, 21 * S);
	export_capture_lost(3, 21 * S, 22 * S); // goes on
	assert_false(export_capture_lost_during(3, 0, 10 * S - 1));
	assert_true(export_capture_lost_during(3, 0, 10 * S));
	assert_true(export_capture_lost_during(3, 11 * S, 11 * S));
	assert_false(export_capture_lost_during(3, 11 * S + 1, 20 * S - 1));
	assert_true(export_capture_lost_during(3, 12 * S, 30 * S));
	assert_true(export_capture_lost_during(3, 22 * S, 30 * S));
	assert_false(export_capture_lost_during(3, 22 * S + 1, 30 * S));
	assert_false(export_capture_lost_during(4, 0, UINT64_MAX)); // another capture
	assert_false(export_capture_lost_during(1000, 0, UINT64_MAX));
}

static void index_used_anew_forgets(void **state)
{
	export_capture_lost(3, 10 * S, 11 * S);
	begin(state);
	assert_false(export_capture_lost_during(3, 0, UINT64_MAX));
}

static void old_times_grow_together(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 1000; i++)
		export_capture_lost(3, 10 * i * S, (10 * i + 1) * S);
	assert_true(export_capture_lost_during(3, 0, S));
	assert_true(export_capture_lost_during(3, 5 * S, 6 * S)); // cannot be told apart
	assert_true(export_capture_lost_during(3, 9990 * S, 9991 * S));
	assert_false(export_capture_lost_during(3, 9982 * S, 9989 * S));
	assert_false(export_capture_lost_during(3, 9992 * S, 9999 * S));
}

static const char *mark_of(struct json *j, uint64_t first_ns, uint64_t last_ns)
{
	struct flow_record r;

	memset(&r, 0, sizeof(r));
	r.capture = 3;
	r.tuple.version = 4;
	r.tuple.proto = 17;
	r.end = FLOW_END_IDLE;
	r.first_ns = first_ns;
	r.last_ns = last_ns;
	json_reset(j);
	eve_flow(j, &r);
	return strstr(json_text(j), "\"dropped_nearby\":") + strlen("\"dropped_nearby\":");
}

static void flows_are_marked(void **state)
{
	struct json j;

	(void)state;
	json_init(&j);
	export_capture_lost(3, 10 * S, 11 * S);
	assert_memory_equal(mark_of(&j, 5 * S, 9 * S), "false", 5);
	assert_memory_equal(mark_of(&j, 5 * S, 15 * S), "true", 4);
	json_fini(&j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(overlap_decides, begin),
		cmocka_unit_test_setup(index_used_anew_forgets, begin),
		cmocka_unit_test_setup(old_times_grow_together, begin),
		cmocka_unit_test_setup(flows_are_marked, begin),
	};

	return cmocka_run_group_tests_name("losses", tests, NULL, NULL);
}
