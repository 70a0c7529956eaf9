// SPDX-License-Identifier: Apache-2.0
// Nanoseconds a packet of decode_burst, for kinds of frames and for frames in cache and in memory,
// beside those of merely touching each frame. Best of several rounds.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "frame.h"

enum { STRIDE = 2048, HEADROOM = 128, ROUNDS = 10, PACKETS = 1 << 20 };

static struct frame f;
static struct packet burst[PACKET_BURST];
static volatile uint64_t result; // keeps the work from being optimised away

static void tcp_timestamps(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_TCP);
	frame_tcp_options(&f, 0x10, "\1\1\x08\x0a\0\1\2\3\4\5\6\7", 12);
	frame_put(&f, 500);
}

static void udp_any_port(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	frame_udp(&f, (uint16_t)(30000 + rand() % 30000), 443);
	frame_put(&f, 500);
}

static void tcp_ipv6(void)
{
	frame_eth(&f, ETHERTYPE_IPV6);
	frame_ip6(&f, IP_TCP);
	frame_tcp(&f, 0x10);
	frame_put(&f, 500);
}

static void vlan_syn(void)
{
	frame_eth(&f, ETHERTYPE_VLAN);
	frame_vlan(&f, 5, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_TCP);
	frame_tcp_options(&f, 2, "\2\4\x05\xb4\4\2\x08\x0a\0\0\0\1\0\0\0\2\1\3\3\7", 20);
}

static void mixed(void)
{
	static void (*const kinds[])(void) = {tcp_timestamps, tcp_timestamps, tcp_timestamps,
		tcp_timestamps, tcp_timestamps, udp_any_port, tcp_ipv6, vlan_syn};
	static unsigned next;

	kinds[next++ % 8]();
}

static void icmp(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_ICMP);
	frame_icmp(&f, 8, 0);
	frame_put(&f, 56);
}

static void vxlan(void)
{
	frame_eth(&f, ETHERTYPE_IPV4);
	frame_ip4(&f, IP_UDP);
	frame_udp(&f, 50000, 4789);
	FRAME_TEXT(&f, "\x08\0\0\0\0\0\x2a\0");
	tcp_ipv6();
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double round_ns(const uint8_t *frames, const uint32_t *sizes, unsigned n, bool is_decoding)
{
	const struct decode_config config = {false, 4};
	double start = now_ns();
	uint64_t sum = 0;

	for (unsigned done = 0; done < PACKETS; done += PACKET_BURST) {
		unsigned first = done % n;

		for (unsigned j = 0; j < PACKET_BURST; j++) {
			burst[j].data = frames + (size_t)(first + j) * STRIDE + HEADROOM;
			burst[j].caplen = burst[j].wirelen = sizes[first + j];
			burst[j].link = LINK_ETHERNET;
			burst[j].flags = 0;
		}
		if (is_decoding)
			decode_burst(&config, burst, PACKET_BURST);
		for (unsigned j = 0; j < PACKET_BURST; j++)
			sum += is_decoding ? burst[j].layer[0].src_port : burst[j].data[12];
	}
	result = sum;
	return (now_ns() - start) / PACKETS;
}

static void measure(const char *name, void (*make)(void), unsigned n)
{
	uint8_t *frames = aligned_alloc(4096, (size_t)n * STRIDE);
	uint32_t *sizes = calloc(n, sizeof(*sizes));
	double best[2] = {1e9, 1e9};

	if (frames == NULL || sizes == NULL)
		exit(1);
	for (unsigned i = 0; i < n; i++) {
		frame_init(&f);
		make();
		frame_close(&f);
		memcpy(frames + (size_t)i * STRIDE + HEADROOM, f.data, f.size);
		sizes[i] = f.size;
	}
	for (unsigned i = 0; i < 2 * ROUNDS; i++) {
		double ns = round_ns(frames, sizes, n, i % 2);

		if (ns < best[i % 2])
			best[i % 2] = ns;
	}
	printf("%-16s %6u frames: %5.1f ns, touch alone %5.1f ns\n", name, n, best[1], best[0]);
	free(frames);
	free(sizes);
}

int main(void)
{
	for (unsigned n = 512; n <= 65536; n *= 128) {
		measure("mixed", mixed, n);
		measure("TCP timestamps", tcp_timestamps, n);
		measure("UDP", udp_any_port, n);
		measure("TCP IPv6", tcp_ipv6, n);
		measure("VLAN TCP SYN", vlan_syn, n);
		measure("ICMP", icmp, n);
		measure("VXLAN TCP IPv6", vxlan, n);
	}
	return 0;
}
