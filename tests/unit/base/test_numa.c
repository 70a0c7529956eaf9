// SPDX-License-Identifier: Apache-2.0
// Memory on a node: zeroed, aligned to pages, on that node where there is one; and ordinary memory where
// the node does not exist.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/mempolicy.h>

#include "numa.h"

enum { SIZE = 3 * 4096 + 8 };

static void zeroed_and_usable(void **state)
{
	(void)state;
	for (int node = -1; node < 70; node++) {
		uint8_t *p = numa_alloc(SIZE, node);

		assert_non_null(p);
		assert_int_equal((uintptr_t)p % 4096, 0);
		for (unsigned i = 0; i < SIZE; i++) {
			assert_int_equal(p[i], 0);
			p[i] = (uint8_t)i;
		}
		numa_free(p, SIZE);
	}
	numa_free(NULL, SIZE);
}

static void on_its_node(void **state)
{
	uint8_t *p = numa_alloc(SIZE, 0);
	int node = -1, policy = -1;

	(void)state;
	assert_non_null(p);
	*p = 1;
	if (syscall(SYS_get_mempolicy, &policy, NULL, 0UL, p, (unsigned long)MPOL_F_ADDR) != 0 ||
		syscall(SYS_get_mempolicy, &node, NULL, 0UL, p,
			(unsigned long)(MPOL_F_NODE | MPOL_F_ADDR)) != 0) {
		numa_free(p, SIZE);
		skip(); // a kernel without nodes
	}
	assert_int_equal(policy, MPOL_PREFERRED);
	assert_int_equal(node, 0);
	numa_free(p, SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zeroed_and_usable),
		cmocka_unit_test(on_its_node),
	};

	return cmocka_run_group_tests_name("numa", tests, NULL, NULL);
}
