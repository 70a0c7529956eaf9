// SPDX-License-Identifier: Apache-2.0
// The message ring: order, sizes, wrap-around, full and empty, and two threads at once.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "ring.h"

static void full_ring_refuses_and_recovers(void **state)
{
	struct ring *r = ring_new(4096);
	unsigned n = 0;

	(void)state;
	while (ring_reserve(r, 1, 100) != NULL)
		n++;
	assert_in_range(n, 30, 40);
	assert_false(ring_has_room(r, 100));
	assert_null(ring_next(r)); // nothing is published yet
	ring_publish(r);
	for (unsigned i = 0; i < n; i++)
		assert_non_null(ring_next(r));
	assert_null(ring_next(r));
	assert_null(ring_reserve(r, 1, 100)); // read, but not released
	ring_release(r);
	assert_true(ring_is_empty(r));
	assert_non_null(ring_reserve(r, 1, 100));
	ring_free(r);
}

static void shrink_gives_back(void **state)
{
	struct ring *r = ring_new(4096);
	const struct ring_msg *m;

	(void)state;
	memcpy(ring_reserve(r, 7, 800), "abc", 4);
	ring_shrink(r, 4);
	memcpy(ring_reserve(r, 8, 8), "defghij", 8);
	ring_publish(r);
	m = ring_next(r);
	assert_int_equal(m->type, 7);
	assert_int_equal(m->size, 16);
	assert_string_equal((const char *)(m + 1), "abc");
	m = ring_next(r);
	assert_int_equal(m->type, 8);
	assert_string_equal((const char *)(m + 1), "defghij");
	ring_free(r);
}

enum { MESSAGES = 300000 };

static void *writer(void *arg)
{
	struct ring *r = arg;
	uint32_t x = 1;

	for (uint32_t i = 0; i < MESSAGES;) {
		uint32_t size = 4 + x % 900;
		uint8_t *p = ring_reserve(r, (uint16_t)(i & 0x7fff), size);

		if (p == NULL) {
			ring_publish(r);
			sched_yield();
			continue;
		}
		memcpy(p, &i, 4);
		memset(p + 4, (int)(i & 0xff), size - 4);
		if (x % 7 == 0)
			ring_publish(r);
		x = x * 1103515245u + 12345u;
		i++;
	}
	ring_publish(r);
	return NULL;
}

static void two_threads_keep_order_and_content(void **state)
{
	struct ring *r = ring_new(16384);
	uint32_t x = 1, i = 0;
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, writer, r), 0);
	while (i < MESSAGES) {
		const struct ring_msg *m = ring_next(r);
		const uint8_t *p = (const uint8_t *)(m + 1);
		uint32_t number, size = 4 + x % 900;

		if (m == NULL) {
			ring_release(r);
			sched_yield();
			continue;
		}
		memcpy(&number, p, 4);
		if (number != i || m->type != (i & 0x7fff) || m->size != ((8 + size + 7) & ~7u))
			fail_msg("message %u is %u", i, number);
		for (uint32_t j = 4; j < size; j++)
			if (p[j] != (i & 0xff))
				fail_msg("message %u: byte %u is wrong", i, j);
		x = x * 1103515245u + 12345u;
		i++;
	}
	ring_release(r);
	pthread_join(t, NULL);
	assert_true(ring_is_empty(r));
	ring_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(full_ring_refuses_and_recovers),
		cmocka_unit_test(shrink_gives_back),
		cmocka_unit_test(two_threads_keep_order_and_content),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
