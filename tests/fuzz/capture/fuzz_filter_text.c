// SPDX-License-Identifier: Apache-2.0
// The first line as a filter, the rest as a packet: compiled or refused with a reason, and the same
// choice by machine code as by libpcap's interpreter.
#include <netdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "capture_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// libpcap looks names up; not here.
int getaddrinfo(
	const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	(void)node;
	(void)service;
	(void)hints;
	*res = NULL;
	return EAI_NONAME;
}

struct netent *getnetbyname(const char *name)
{
	(void)name;
	return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t links[] = {LINK_ETHERNET, LINK_RAW, LINK_SLL, LINK_SLL2, LINK_NULL};
	const uint8_t *end = memchr(data, '\n', size);
	char error[CAPTURE_ERROR_MAX] = "", *text;
	struct packet p = {0};
	struct filter *f;
	uint8_t *bytes;
	size_t n;

	if (end == NULL || size > 4096)
		return 0;
	n = (size_t)(end - data);
	text = malloc(n + 1);
	memcpy(text, data, n);
	text[n] = 0;
	p.caplen = (uint32_t)(size - n - 1);
	bytes = malloc(p.caplen + 1); // of its own, so that reading beyond it is seen
	memcpy(bytes, end + 1, p.caplen);
	p.data = bytes = realloc(bytes, p.caplen > 0 ? p.caplen : 1);
	p.wirelen = p.caplen + (p.caplen > 0 && bytes[0] % 3 == 0 ? 100 : 0);
	for (unsigned i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		p.link = links[i];
		if (filter_new(text, p.link, &f, error, sizeof(error)) != 0) {
			if (error[0] == 0)
				abort();
			continue;
		}
		if (filter_match(f, &p) != filter_match_pcap(f, &p))
			abort();
		filter_free(f);
	}
	free(bytes);
	free(text);
	return 0;
}
