// SPDX-License-Identifier: Apache-2.0
// Bytes as a configuration file: nothing crashes or leaks, each refusal comes with a message, and what
// the check lets pass is loaded by libcyaml without complaint.
#include "config_keys.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[512] = "";
	struct config_errors errors = {.file = "f", .text = text, .size = sizeof(text)};
	struct config *c;

	if (size > 1 << 16)
		return 0;
	if (config_check((const char *)data, size, &errors) != 0) {
		if (errors.count == 0 || (text[0] == '\0' && errors.left_out == 0))
			abort();
		return 0;
	}
	c = config_load(NULL, text, sizeof(text));
	if (c == NULL || config_parse((const char *)data, size, c, &errors) != 0)
		abort();
	config_networks_resolve(c);
	if (c->defrag.network_count != c->defrag_network_count ||
		c->stream.reassembly.network_count != c->stream.network_count)
		abort();
	config_free(c);
	return 0;
}
