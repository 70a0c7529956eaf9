// SPDX-License-Identifier: Apache-2.0
// Sends 60-byte UDP frames of many flows out of a network interface at a given rate, as a load for live
// captures: a packet socket that goes round the queueing discipline, 64 frames a system call.
//
//   blast INTERFACE PACKETS_PER_SECOND SECONDS FLOWS
//
// Prints how many were sent, in how many seconds. What the interface had no room for is sent again.
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_BYTES = 60, BATCH = 64 };

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void make_frame(uint8_t *f, uint32_t flow)
{
	static const uint8_t head[42] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, 46,
		0, 1, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 0, 192, 0, 2, 1, 0, 0, 0x0f, 0xa0, 0, 26};
	uint32_t sum = 0;

	memset(f, 0, FRAME_BYTES);
	memcpy(f, head, sizeof(head));
	f[27] = (uint8_t)(flow >> 16);
	f[28] = (uint8_t)(flow >> 8);
	f[29] = (uint8_t)flow;
	f[34] = (uint8_t)(4 + (flow & 0x3f));
	f[35] = (uint8_t)(flow >> 6);
	for (unsigned i = 14; i < 34; i += 2)
		sum += (uint32_t)f[i] << 8 | f[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = ~((sum & 0xffff) + (sum >> 16));
	f[24] = (uint8_t)(sum >> 8);
	f[25] = (uint8_t)sum;
}

static int open_socket(const char *interface)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET};
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1;

	to.sll_ifindex = (int)if_nametoindex(interface);
	if (fd < 0 || to.sll_ifindex == 0 || bind(fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
		fprintf(stderr, "blast: %s: %s\n", interface, strerror(errno));
		exit(1);
	}
	if (setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one)) != 0)
		fprintf(stderr, "blast: through the queueing discipline: %s\n", strerror(errno));
	return fd;
}

int main(int argc, char **argv)
{
	static uint8_t frames[BATCH][FRAME_BYTES];
	static struct iovec iov[BATCH];
	static struct mmsghdr messages[BATCH];
	double rate, seconds, begin, now;
	uint64_t sent = 0;
	uint32_t flows, flow = 0;
	int fd;

	if (argc != 5 || (rate = atof(argv[2])) <= 0 || (seconds = atof(argv[3])) <= 0 ||
		(flows = (uint32_t)strtoul(argv[4], NULL, 10)) == 0) {
		fprintf(stderr, "usage: blast INTERFACE PACKETS_PER_SECOND SECONDS FLOWS\n");
		return 2;
	}
	fd = open_socket(argv[1]);
	for (unsigned i = 0; i < BATCH; i++) {
		iov[i] = (struct iovec){frames[i], FRAME_BYTES};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
	}
	begin = now_s();
	while ((now = now_s()) - begin < seconds) {
		uint64_t due = (uint64_t)((now - begin) * rate);
		unsigned n = due <= sent ? 0 : due - sent < BATCH ? (unsigned)(due - sent) : BATCH;
		int done;

		for (unsigned i = 0; i < n; i++)
			make_frame(frames[i], (flow + i) % flows);
		if (n == 0)
			continue;
		done = sendmmsg(fd, messages, n, 0);
		if (done < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
			fprintf(stderr, "blast: %s\n", strerror(errno));
			return 1;
		}
		if (done > 0) {
			sent += (unsigned)done;
			flow = (flow + (unsigned)done) % flows;
		}
	}
	printf("%llu %.6f\n", (unsigned long long)sent, now_s() - begin);
	close(fd);
	return 0;
}
