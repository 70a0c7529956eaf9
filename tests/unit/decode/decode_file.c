// SPDX-License-Identifier: Apache-2.0
// Decodes every frame of a capture file and prints, as one JSON object, what the oracle test
// compares: frames, protocol and event counts, and for each frame with IP its outermost and
// innermost addresses and ports. Exit 77: libpcap refuses the file.
#include <arpa/inet.h>
#include <inttypes.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "decoder.h"

static uint64_t protocol_pkts[PROTOCOL_COUNT];
static uint64_t protocol_bytes[PROTOCOL_COUNT];
static uint64_t events[EVENT_COUNT];

static void print_tuple(const struct ip_layer *l)
{
	bool has_ports = l->proto == IP_TCP || l->proto == IP_UDP || l->proto == IP_SCTP;
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	int family = l->version == 4 ? AF_INET : AF_INET6;

	inet_ntop(family, l->src, src, sizeof(src));
	inet_ntop(family, l->dst, dst, sizeof(dst));
	printf("[%u,\"%s\",%u,\"%s\",%u]", l->proto, src, has_ports ? l->src_port : 0, dst,
		has_ports ? l->dst_port : 0);
}

static void count(const struct packet *p)
{
	for (unsigned i = 0; i < PROTOCOL_COUNT; i++) {
		if (p->protocols >> i & 1) {
			protocol_pkts[i]++;
			protocol_bytes[i] += p->wirelen;
		}
	}
	for (unsigned i = 0; i < p->event_count; i++)
		events[p->events[i]]++;
}

static void print_counts(void)
{
	const char *comma = "";

	printf("],\n\"protocols\":{");
	for (unsigned i = 0; i < PROTOCOL_COUNT; i++) {
		if (protocol_pkts[i] == 0)
			continue;
		printf("%s\"%s\":[%" PRIu64 ",%" PRIu64 "]", comma, protocol_table[i].name,
			protocol_pkts[i], protocol_bytes[i]);
		comma = ",";
	}
	printf("},\n\"events\":{");
	comma = "";
	for (unsigned i = 0; i < EVENT_COUNT; i++) {
		if (events[i] == 0)
			continue;
		printf("%s\"%s\":%" PRIu64, comma, event_table[i].name, events[i]);
		comma = ",";
	}
	printf("}}\n");
}

// libpcap maps some numbers of the file to those of the platform.
static uint16_t link_of(int datalink)
{
	return datalink == DLT_RAW    ? LINK_RAW
	       : datalink == DLT_LOOP ? LINK_LOOP
	                              : (uint16_t)datalink;
}

int main(int argc, char **argv)
{
	const struct decode_config config = {.tunnel_depth = PACKET_LAYERS_MAX - 1};
	char error[PCAP_ERRBUF_SIZE];
	struct pcap_pkthdr *h;
	const u_char *data;
	pcap_t *pcap;
	int rc;

	if (argc != 2)
		return 2;
	pcap = pcap_open_offline_with_tstamp_precision(argv[1], PCAP_TSTAMP_PRECISION_NANO, error);
	if (pcap == NULL) {
		fprintf(stderr, "%s\n", error);
		return 77;
	}
	printf("{\"frames\":[");
	for (unsigned i = 0; (rc = pcap_next_ex(pcap, &h, &data)) == 1; i++) {
		static struct packet p;

		p = (struct packet){.data = data,
			.caplen = h->caplen,
			.wirelen = h->len,
			.link = link_of(pcap_datalink(pcap))};
		decode_burst(&config, &p, 1);
		count(&p);
		printf("%s[%u", i ? ",\n" : "", h->len);
		if (p.layer_count > 0) {
			printf(",");
			print_tuple(&p.layer[0]);
			printf(",");
			print_tuple(&p.layer[p.layer_count - 1]);
		}
		printf("]");
	}
	print_counts();
	if (rc == PCAP_ERROR)
		fprintf(stderr, "%s\n", pcap_geterr(pcap));
	pcap_close(pcap);
	return rc == PCAP_ERROR ? 77 : 0;
}
