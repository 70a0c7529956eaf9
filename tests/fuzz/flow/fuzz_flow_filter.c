// SPDX-License-Identifier: Apache-2.0
// Record filters: any text is compiled or refused with a message; what was compiled runs on any tuple and
// says the same each time, and the other thing under a `not`.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef NDEBUG
#include <assert.h>

#include "flow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct flow_tuple tuple_of(uint32_t n)
{
	static const uint8_t protos[] = {6, 17, 1, 58, 132, 2, 47, 33};
	struct flow_tuple t = {
		.version = n % 3 == 0 ? 6 : 4, .proto = protos[n % 8], .vlan_count = n % 5};

	for (unsigned i = 0; i < (t.version == 4 ? 4 : 16); i++) {
		t.src[i] = (uint8_t)(n * 7 >> i % 8);
		t.dst[i] = (uint8_t)(10 + n * i);
	}
	t.src_port = (uint16_t)(n * 40503);
	t.dst_port = (uint16_t)(n % 2 ? 80 : 53);
	t.vlan[0] = (uint16_t)(n % 4096);
	return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char text[8192], inverse[8200];
	struct flow_filter *f, *g;
	char error[120];
	int r;

	if (size >= sizeof(text))
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	r = flow_filter_parse(text, &f, error, sizeof(error));
	if (r < 0) {
		assert(memchr(error, 0, sizeof(error)) != NULL);
		assert(strncmp(error, "filter", 6) == 0);
		return 0;
	}
	snprintf(inverse, sizeof(inverse), "!(%s)", text);
	if (f == NULL || flow_filter_parse(inverse, &g, error, sizeof(error)) < 0) {
		flow_filter_free(f); // too long or too deep by now
		return 0;
	}
	for (uint32_t n = 0; n < 64; n++) {
		struct flow_tuple t = tuple_of(n);

		assert(flow_filter_match(f, &t) != flow_filter_match(g, &t));
	}
	flow_filter_free(f);
	flow_filter_free(g);
	return 0;
}
