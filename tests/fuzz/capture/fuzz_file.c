// SPDX-License-Identifier: Apache-2.0
// Any bytes as a capture file. Whatever they are, reading ends, counts add up, and chunks of two sizes
// give the same packets.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "capture.h"
#include "hash.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t read_all(const char *path, uint32_t chunk_bytes)
{
	static struct packet pkts[PACKET_BURST];
	struct capture_options options = {
		.workers = 1, .numa_node = -1, .chunk_bytes = chunk_bytes};
	struct capture_source source = {.kind = CAPTURE_PCAP, .loop = 2};
	struct packet *all[PACKET_BURST];
	char error[CAPTURE_ERROR_MAX] = "";
	uint64_t h = 1, seq = 0;
	struct capture_rx rx;
	struct capture *c;
	unsigned n;

	snprintf(source.target, sizeof(source.target), "%s", path);
	if (capture_open(&source, &options, &c, error, sizeof(error)) != 0)
		return error[0] == 0 ? abort(), 0 : 0;
	do {
		n = capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx);
		if (rx.received != n)
			abort();
		for (unsigned i = 0; i < n; i++) {
			const struct packet *p = &pkts[i];

			if (p->seq != ++seq)
				abort();
			h = hash_2(&hash_fixed, h ^ p->ts_ns, (uint64_t)p->wirelen << 32 | p->link);
			h ^= hash_bytes(&hash_fixed, p->data, p->caplen);
			all[i] = &pkts[i];
		}
		packet_release(all, n);
	} while (rx.state == CAPTURE_RX_RUNNING && seq < 100000);
	if (rx.state != CAPTURE_RX_RUNNING && capture_reason(c)[0] == 0)
		abort();
	h ^= hash_bytes(&hash_fixed, capture_reason(c), strlen(capture_reason(c)));
	capture_close(c);
	return h ^ rx.state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[64];
	int fd = memfd_create("fuzz", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (read_all(path, 0) != read_all(path, 40))
		abort();
	close(fd);
	return 0;
}
