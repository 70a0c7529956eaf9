// SPDX-License-Identifier: Apache-2.0
// Live captures on a pair of veths in a network namespace of the test's own: exact counts, queues,
// drops, interfaces that go down and away, AF_XDP. Needs root.
#include "testlib.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>

#if IS_SANITIZED
#include <sanitizer/lsan_interface.h>
#define leak_check_off() __lsan_disable()
#define leak_check_on() __lsan_enable()
#else
#define leak_check_off() (void)0
#define leak_check_on() (void)0
#endif

#define S UINT64_C(1000000000)

static struct packet pkts[PACKET_BURST];

static void run(const char *command)
{
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

static int new_pair(void **state)
{
	(void)state;
	run("ip link add v0 type veth peer name v1 && ip link set v0 up && ip link set v1 up");
	return 0;
}

static int del_pair(void **state)
{
	(void)state;
	if (if_nametoindex("v0") != 0)
		run("ip link del v0");
	return 0;
}

static int open_source(const char *text, unsigned workers, struct capture **ret, char *error)
{
	struct capture_options options = {.workers = workers, .numa_node = -1};
	struct capture_source source;

	assert_int_equal(capture_source_parse(text, &source, error, CAPTURE_ERROR_MAX), 0);
	return capture_open(&source, &options, ret, error, CAPTURE_ERROR_MAX);
}

static struct capture *must_open(const char *text, unsigned workers)
{
	char error[CAPTURE_ERROR_MAX] = "";
	struct capture *c = NULL;

	if (open_source(text, workers, &c, error) != 0)
		fail_msg("%s: %s", text, error);
	return c;
}

static void expect_refusal(const char *text, int code, const char *says)
{
	char error[CAPTURE_ERROR_MAX] = "";
	struct capture *c = NULL;
	int r = open_source(text, 1, &c, error);

	if ((code != 0 && r != code) || r >= 0 || strstr(error, says) == NULL)
		fail_msg("%s: %d %s", text, r, error);
}

static void release(unsigned n)
{
	struct packet *all[PACKET_BURST];

	for (unsigned i = 0; i < n; i++)
		all[i] = &pkts[i];
	packet_release(all, n);
}

// --- sending ---

enum { HEAD = 14 + 20 + 8, FRAME = 100 };

struct sender {
	int fd;
	struct sockaddr_ll to;
	uint32_t sent;
};

static struct sender sender_on(const char *interface)
{
	struct sender s = {.fd = socket(AF_PACKET, SOCK_RAW, 0)};
	int buffer = 8 << 20;

	assert_true(s.fd >= 0);
	setsockopt(s.fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof(buffer));
	s.to = (struct sockaddr_ll){.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(interface),
		.sll_halen = 6};
	return s;
}

// An UDP packet of a flow and a direction, with the number sent behind its headers.
static void send_frame(struct sender *s, uint16_t flow, bool back)
{
	uint8_t f[FRAME] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, FRAME - 14, 0, 0,
		0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2};
	uint16_t ports[2] = {htons((uint16_t)(1000 + flow)), htons(53)};

	if (back) {
		f[29] = 2;
		f[33] = 1;
		ports[0] = htons(53);
		ports[1] = htons((uint16_t)(1000 + flow));
	}
	memcpy(f + 34, ports, 4);
	memcpy(f + HEAD, &s->sent, 4);
	while (sendto(s->fd, f, sizeof(f), 0, (struct sockaddr *)&s->to, sizeof(s->to)) !=
		sizeof(f))
		sched_yield(); // its buffer is full
	s->sent++;
}

static uint32_t number_of(const struct packet *p)
{
	uint32_t n;

	memcpy(&n, p->data + HEAD, 4);
	return n;
}

static bool is_ours(const struct packet *p)
{
	return p->caplen == FRAME && p->data[0] == 2 && p->data[5] == 1 && p->data[12] == 8;
}

static uint64_t wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

// Receives from all queues until want of our packets are there, calling each for each.
// Asks every queue once. Returns how many packets of ours there were.
static unsigned receive_once(struct capture *c, void (*each)(const struct packet *))
{
	struct capture_rx rx;
	unsigned got = 0;

	for (unsigned q = 0; q < capture_queues(c); q++) {
		unsigned n = capture_rx_burst(c, q, pkts, PACKET_BURST, &rx);

		assert_int_equal(rx.received, n + rx.filtered + rx.dropped_no_mbuf);
		assert_true(rx.state == CAPTURE_RX_RUNNING);
		for (unsigned i = 0; i < n; i++)
			if (is_ours(&pkts[i])) {
				got++;
				if (each != NULL)
					each(&pkts[i]);
			}
		release(n);
	}
	return got;
}

static void receive(struct capture *c, unsigned want, void (*each)(const struct packet *))
{
	uint64_t end = wall_ns() + 10 * S;
	unsigned got = 0;

	while (got < want) {
		got += receive_once(c, each);
		if (wall_ns() > end)
			fail_msg("%u packets of %u", got, want);
	}
}

static void wait_for(struct capture *c, enum capture_state want)
{
	uint64_t end = wall_ns() + 10 * S;
	struct capture_rx rx;

	do {
		release(capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx));
		if (wall_ns() > end)
			fail_msg("state %d, not %d: %s", rx.state, want, capture_reason(c));
	} while (rx.state != want);
}

// --- counts ---

static uint64_t first_ns, last_ns, fractions;
static uint32_t next_number;

static void in_order(const struct packet *p)
{
	assert_int_equal(number_of(p), next_number++);
	assert_int_equal(p->seq, next_number);
	assert_int_equal(p->wirelen, FRAME);
	assert_int_equal(p->link, LINK_ETHERNET);
	assert_true(p->ts_ns >= first_ns && p->ts_ns <= wall_ns());
	fractions += p->ts_ns % 1000 != 0;
	first_ns = p->ts_ns;
}

static void exact_on(const char *text, const char *time_source)
{
	struct capture *c = must_open(text, 1);
	struct sender s = sender_on("v1");
	struct capture_losses losses;

	first_ns = last_ns = wall_ns();
	fractions = next_number = 0;
	assert_string_equal(capture_interface(c), "v0");
	assert_string_equal(capture_time_source(c), time_source);
	for (unsigned i = 0; i < 20; i++) {
		for (unsigned k = 0; k < 500; k++)
			send_frame(&s, (uint16_t)k, false);
		receive(c, 500, in_order);
	}
	assert_true(fractions > 0); // nanoseconds, not microseconds
	capture_losses(c, &losses);
	assert_int_equal(losses.kernel + losses.missed + losses.errors + losses.no_mbuf, 0);
	close(s.fd);
	capture_close(c);
}

static void exact(void **state)
{
	(void)state;
	exact_on("afpacket:v0", "kernel");
}

static void exact_pcap_device(void **state)
{
	(void)state;
	exact_on("vdev:net_pcap0,iface=v0", "tsc");
}

// Again and again, too, though the driver alone cannot. (It leaks 80 bytes each time.)
static void exact_afxdp(void **state)
{
	char error[CAPTURE_ERROR_MAX] = "";
	struct capture *c = NULL;

	(void)state;
	leak_check_off();
	if (open_source("afxdp:v0", 1, &c, error) < 0) {
		leak_check_on();
		print_message("no AF_XDP here: %s\n", error);
		skip();
	}
	capture_close(c);
	for (unsigned i = 0; i < 3; i++)
		exact_on("afxdp:v0", "tsc");
	leak_check_on();
}

// --- queues ---

static uint8_t times_seen[200000];
static int queue_of[400];

static void one_queue_a_flow(const struct packet *p)
{
	uint16_t flow = (uint16_t)((p->data[33] == 2 ? p->data[34] << 8 | p->data[35]
						     : p->data[36] << 8 | p->data[37]) -
				   1000);

	assert_int_equal(times_seen[number_of(p)]++, 0);
	if (queue_of[flow] < 0)
		queue_of[flow] = p->queue;
	assert_int_equal(queue_of[flow], p->queue);
}

static void fanout(void **state)
{
	struct capture *c = must_open("afpacket:v0", 3);
	unsigned used = 0;
	struct sender s = sender_on("v1");

	(void)state;
	assert_int_equal(capture_queues(c), 3);
	memset(times_seen, 0, sizeof(times_seen));
	memset(queue_of, -1, sizeof(queue_of));
	for (unsigned i = 0; i < 10; i++) {
		for (unsigned k = 0; k < 400; k++) {
			send_frame(&s, (uint16_t)k, false);
			send_frame(&s, (uint16_t)k, true);
		}
		receive(c, 800, one_queue_a_flow);
	}
	for (unsigned i = 0; i < 400; i++)
		used |= 1U << queue_of[i];
	assert_int_equal(used, 7);
	close(s.fd);
	capture_close(c);
}

static _Atomic bool stop_sending;

static void *send_all_the_time(void *arg)
{
	struct sender *s = arg;
	struct timespec pause = {.tv_nsec = 100000};

	while (!atomic_load(&stop_sending) && s->sent < sizeof(times_seen)) {
		for (unsigned i = 0; i < 5; i++)
			send_frame(s, (uint16_t)(s->sent % 400), false);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static uint32_t lowest, highest;

static void once(const struct packet *p)
{
	uint32_t n = number_of(p);

	assert_int_equal(times_seen[n]++, 0);
	lowest = n < lowest ? n : lowest;
	highest = n > highest ? n : highest;
}

// Queues that come into being under traffic: no packet twice, and none missing from the first on
// that every queue has seen.
static void fanout_under_traffic(void **state)
{
	struct sender s = sender_on("v1");
	pthread_t thread;
	struct capture_losses losses;

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		struct capture *c;
		uint32_t missing = 0;

		s.sent = 0;
		memset(times_seen, 0, sizeof(times_seen));
		lowest = UINT32_MAX;
		highest = 0;
		atomic_store(&stop_sending, false);
		pthread_create(&thread, NULL, send_all_the_time, &s);
		c = must_open("afpacket:v0", 3);
		receive(c, 2000, once);
		atomic_store(&stop_sending, true);
		pthread_join(thread, NULL);
		while (highest + 1 < s.sent)
			receive(c, 1, once);
		for (uint64_t end = wall_ns() + S / 10; wall_ns() < end;)
			receive_once(c, once);
		capture_losses(c, &losses);
		assert_int_equal(losses.kernel, 0);
		for (uint32_t i = lowest; i <= highest; i++)
			missing += times_seen[i] == 0;
		if (missing > 100) // while the queues are let loose one by one
			fail_msg("%u of %u to %u missing", missing, lowest, highest);
		capture_close(c);
	}
	close(s.fd);
}

// --- losses ---

static void kernel_drops(void **state)
{
	struct capture *c = must_open("afpacket:v0,buffer=1", 1);
	struct sender s = sender_on("v1");
	struct capture_losses losses;
	struct capture_rx rx;
	unsigned got = 0, empty = 0;

	(void)state;
	for (unsigned i = 0; i < 50000; i++)
		send_frame(&s, 1, false);
	while (empty < 3) {
		unsigned n = capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx);

		got += n;
		release(n);
		empty = n == 0 ? empty + 1 : 0;
		if (n == 0) {
			struct timespec block = {.tv_nsec = 30000000}; // longer than a block waits

			nanosleep(&block, NULL);
		}
	}
	capture_losses(c, &losses);
	assert_true(losses.kernel > 1000);
	assert_int_equal(got + losses.kernel, 50000);
	capture_losses(c, &losses); // it adds up, though the kernel starts anew at each reading
	assert_int_equal(got + losses.kernel, 50000);
	close(s.fd);
	capture_close(c);
}

static void held_chunks(void **state)
{
	enum { MANY = 400000 };
	struct capture *c = must_open("afpacket:v0", 1);
	struct packet *held = calloc(MANY, sizeof(*held)), *one;
	struct sender s = sender_on("v1");
	struct capture_rx rx = {0};
	unsigned count = 0, dropped = 0;

	(void)state;
	assert_non_null(held);
	while (dropped == 0 && count < MANY - PACKET_BURST) {
		send_frame(&s, 1, false);
		count += capture_rx_burst(c, 0, held + count, PACKET_BURST, &rx);
		dropped += rx.dropped_no_mbuf;
	}
	assert_true(dropped > 0);
	assert_in_range(count, 140000, 160000); // 16 MiB
	for (unsigned i = 0; i < count; i++) {
		one = &held[i];
		packet_release(&one, 1);
	}
	wait_for(c, CAPTURE_RX_RUNNING);
	free(held);
	close(s.fd);
	capture_close(c);
}

// --- interfaces ---

static void down_and_up(const char *text)
{
	struct capture *c = must_open(text, 1);
	struct sender s;

	wait_for(c, CAPTURE_RX_RUNNING);
	run("ip link set v0 down");
	wait_for(c, CAPTURE_RX_PAUSED);
	assert_non_null(strstr(capture_reason(c), "interface v0 is down"));
	run("ip link set v0 up");
	wait_for(c, CAPTURE_RX_RUNNING);
	assert_string_equal(capture_reason(c), "");
	s = sender_on("v1");
	for (unsigned i = 0; i < 100; i++)
		send_frame(&s, 1, false);
	receive(c, 100, NULL);
	run("ip link del v0");
	wait_for(c, CAPTURE_RX_FAILED);
	assert_string_equal(capture_reason(c), "interface v0 is gone");
	wait_for(c, CAPTURE_RX_FAILED); // and stays so
	close(s.fd);
	capture_close(c);
}

static void interface_down_and_gone(void **state)
{
	(void)state;
	down_and_up("afpacket:v0");
}

static void pcap_device_down_and_gone(void **state)
{
	(void)state;
	down_and_up("vdev:net_pcap1,iface=v0");
}

static void refusals(void **state)
{
	(void)state;
	expect_refusal("afpacket:nosuch", -ENODEV, "no interface nosuch; there are: lo, ");
	run("ip link set v0 down");
	expect_refusal("afpacket:v0", -ENETDOWN, "bring it up (ip link set v0 up)");
	run("ip link set v0 up");
	assert_int_equal(seteuid(65534), 0);
	expect_refusal("afpacket:v0", -EPERM, "it needs root or CAP_NET_RAW");
	assert_int_equal(seteuid(0), 0);
}

static void loopback_once(void **state)
{
	struct capture *c = NULL;
	struct sender s;

	(void)state;
	run("ip link set lo up");
	c = must_open("afpacket:lo", 1);
	s = sender_on("lo");
	for (unsigned i = 0; i < 300; i++)
		send_frame(&s, 1, false);
	receive(c, 300, NULL);
	for (uint64_t end = wall_ns() + S / 10; wall_ns() < end;)
		receive_once(c, NULL);
	close(s.fd);
	capture_close(c);
}

static void all_interfaces(void **state)
{
	struct capture *c = must_open("afpacket:any", 1);
	struct sender s = sender_on("v1");
	struct capture_rx rx;
	unsigned n;

	(void)state;
	send_frame(&s, 1, false);
	do {
		n = capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx);
		assert_int_equal(rx.state, CAPTURE_RX_RUNNING);
		for (unsigned i = 0; i < n; i++)
			assert_true(pkts[i].link == LINK_SLL || pkts[i].link == LINK_SLL2);
		release(n);
	} while (n == 0);
	close(s.fd);
	capture_close(c);
}

static unsigned open_files(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static size_t resident_kib(void)
{
	size_t pages = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	assert_int_equal(fscanf(f, "%zu %zu", &pages, &resident), 2);
	fclose(f);
	return resident * (size_t)sysconf(_SC_PAGESIZE) / 1024;
}

static void cycles_under_traffic(void **state)
{
	struct sender s = sender_on("v1");
	unsigned files = 0;
	size_t memory = 0;
	pthread_t thread;

	(void)state;
	atomic_store(&stop_sending, false);
	pthread_create(&thread, NULL, send_all_the_time, &s);
	for (unsigned i = 0; i < 50; i++) {
		struct capture *c = must_open("afpacket:v0", 1 + i % 2);
		struct capture_rx rx;

		for (unsigned k = 0; k < 50; k++)
			release(capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx));
		capture_close(c);
		if (i == 10) {
			files = open_files();
			memory = resident_kib();
		}
	}
	atomic_store(&stop_sending, true);
	pthread_join(thread, NULL);
	assert_int_equal(open_files(), files);
	if (!IS_SANITIZED) // which keeps freed memory for a while; it looks for leaks itself
		assert_true(resident_kib() < memory + 2048);
	close(s.fd);
}

#define ON_A_PAIR(f) cmocka_unit_test_setup_teardown(f, new_pair, del_pair)

int main(void)
{
	char *eal[] = {(char *)(uintptr_t) "test", (char *)(uintptr_t) "--no-huge",
		(char *)(uintptr_t) "--no-shconf", (char *)(uintptr_t) "-m",
		(char *)(uintptr_t) "256", (char *)(uintptr_t) "--no-pci",
		(char *)(uintptr_t) "--no-telemetry", (char *)(uintptr_t) "--log-level=*:1", NULL};
	const struct CMUnitTest tests[] = {
		ON_A_PAIR(exact),
		ON_A_PAIR(exact_pcap_device),
		ON_A_PAIR(fanout),
		ON_A_PAIR(fanout_under_traffic),
		ON_A_PAIR(kernel_drops),
		ON_A_PAIR(held_chunks),
		ON_A_PAIR(interface_down_and_gone),
		ON_A_PAIR(pcap_device_down_and_gone),
		ON_A_PAIR(refusals),
		ON_A_PAIR(loopback_once),
		ON_A_PAIR(all_interfaces),
		ON_A_PAIR(cycles_under_traffic),
		ON_A_PAIR(exact_afxdp),
	};

	if (unshare(CLONE_NEWNET) != 0) {
		printf("no network namespace of its own (needs root): skipped\n");
		return 77;
	}
	if (system("sysctl -qw net.ipv6.conf.all.disable_ipv6=1 "
		   "net.ipv6.conf.default.disable_ipv6=1") != 0 ||
		system("ip link show lo >/dev/null") != 0) {
		printf("no ip or sysctl command: skipped\n");
		return 77;
	}
	if (rte_eal_init(8, eal) < 0)
		return 1;
	return cmocka_run_group_tests_name("capture live", tests, NULL, NULL);
}
