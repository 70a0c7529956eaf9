// SPDX-License-Identifier: Apache-2.0
// Any text as a source: it is parsed or refused with a reason, and what is parsed is within bounds.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct capture_source s;
	char error[100] = "";
	char *text = malloc(size + 1);

	memcpy(text, data, size);
	text[size] = 0;
	if (capture_source_parse(text, &s, error, sizeof(error)) != 0) {
		if (error[0] == 0)
			abort();
	} else if (s.target[0] == 0 || strlen(s.target) > strlen(text) ||
		   s.queues > CAPTURE_QUEUES_MAX || s.snaplen > 262144 || s.promisc < -1 ||
		   s.promisc > 1 || !(s.speed >= 0 && s.speed <= 1e6)) {
		abort();
	}
	free(text);
	return 0;
}
