// SPDX-License-Identifier: Apache-2.0
// The ceiling for file analysis: libpcap reads every packet, nobody looks at it.
#include <pcap/pcap.h>
#include <stdint.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *h;
	const uint8_t *data;
	uint64_t packets = 0, bytes = 0;
	pcap_t *p;

	if (argc != 2 || (p = pcap_open_offline(argv[1], error)) == NULL)
		return 2;
	while (pcap_next_ex(p, &h, &data) == 1) {
		packets++;
		bytes += h->len;
	}
	pcap_close(p);
	printf("%llu packets, %llu bytes\n", (unsigned long long)packets,
		(unsigned long long)bytes);
	return 0;
}
