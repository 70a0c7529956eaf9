// SPDX-License-Identifier: Apache-2.0
// Chunks: bounded, reused, and given back by whichever thread drops the last reference.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "chunk.h"

static void pool_is_bounded_and_reuses(void **state)
{
	struct chunk_pool *pool = chunk_pool_new(1000, 2);
	struct chunk *a = chunk_get(pool, 10), *b = chunk_get(pool, 1000);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_null(chunk_get(pool, 10));
	chunk_ref(a, 5);
	chunk_unref(a, 5);
	assert_null(chunk_get(pool, 10));
	chunk_unref(a, 1);
	assert_int_equal(chunk_pool_in_use(pool), 1);
	assert_ptr_equal(chunk_get(pool, 10), a);
	chunk_unref(a, 1);
	chunk_unref(b, 1);
	chunk_pool_free(pool);
}

static void large_chunk_is_its_own(void **state)
{
	struct chunk_pool *pool = chunk_pool_new(1000, 2);
	struct chunk *a = chunk_get(pool, 5000);

	(void)state;
	assert_int_equal(a->size_bytes, 5000);
	a->data[4999] = 1;
	chunk_unref(a, 1);
	assert_int_equal(chunk_pool_in_use(pool), 0);
	chunk_pool_free(pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pool_is_bounded_and_reuses),
		cmocka_unit_test(large_chunk_is_its_own),
	};

	return cmocka_run_group_tests_name("chunk", tests, NULL, NULL);
}
