// SPDX-License-Identifier: Apache-2.0
// Counter blocks read while they are written: sums between cells hold in every copy.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <string.h>

#include "counters.h"

static struct counters block;
static _Atomic int stop;

static void *writer(void *arg)
{
	(void)arg;
	for (uint64_t i = 1; !stop; i++) {
		counters_begin(&block);
		counter_add(&block, COUNTER_received, i % 64);
		counter_add(&block, COUNTER_filtered, i % 7);
		counter_add(&block, COUNTER_processed, i % 64 - i % 7);
		counters_end(&block);
	}
	return NULL;
}

static void every_copy_is_consistent(void **state)
{
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, writer, NULL), 0);
	for (unsigned i = 0; i < 20000; i++) {
		struct counters c;

		memset(&c, 0, sizeof(c));
		counters_read(&block, &c);
		if (c.value[COUNTER_received] !=
			c.value[COUNTER_processed] + c.value[COUNTER_filtered])
			fail_msg("torn copy");
	}
	stop = 1;
	pthread_join(t, NULL);
}

static void every_row_has_its_help(void **state)
{
	(void)state;
	for (unsigned i = 0; i < COUNTER_COUNT; i++)
		assert_true(strlen(counter_table[i].help) > 10);
	for (unsigned i = 0; i < EVENT_COUNT; i++)
		assert_true(strlen(event_table[i].help) > 10);
	for (unsigned i = 0; i < PROTOCOL_COUNT; i++)
		assert_true(strlen(protocol_table[i].name) > 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_copy_is_consistent),
		cmocka_unit_test(every_row_has_its_help),
	};

	return cmocka_run_group_tests_name("counters", tests, NULL, NULL);
}
