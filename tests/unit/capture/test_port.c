// SPDX-License-Identifier: Apache-2.0
// DPDK ports without hardware: a ring that the test itself fills (segments, tags, filter, counts), a
// vhost/virtio_user pair with several queues, and devices that come and go. What needs root stands
// behind a check.
#include "testlib.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "port.h"

static struct packet pkts[PACKET_BURST];
static struct rte_mempool *pool; // of the test's own packets

static struct capture *open_source(const char *text, const char *filter, unsigned workers)
{
	struct capture_options options = {.filter = filter, .workers = workers, .numa_node = -1};
	struct capture_source source;
	char error[CAPTURE_ERROR_MAX] = "";
	struct capture *c = NULL;

	if (capture_source_parse(text, &source, error, sizeof(error)) != 0 ||
		capture_open(&source, &options, &c, error, sizeof(error)) != 0)
		fail_msg("%s: %s", text, error);
	return c;
}

static void expect_refusal(const char *text, int code, const char *says)
{
	struct capture_options options = {.workers = 1, .numa_node = -1};
	struct capture_source source;
	char error[CAPTURE_ERROR_MAX] = "";
	struct capture *c = NULL;
	int r;

	assert_int_equal(capture_source_parse(text, &source, error, sizeof(error)), 0);
	r = capture_open(&source, &options, &c, error, sizeof(error));
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

// A packet of size bytes in segments of at most part bytes; byte i is i & 0xff, byte 0 is number.
static struct rte_mbuf *make_packet(uint32_t size, uint32_t part, uint8_t number)
{
	struct rte_mbuf *head = NULL;

	for (uint32_t at = 0; at < size;) {
		uint32_t n = size - at < part ? size - at : part;
		struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
		uint8_t *data;

		assert_non_null(m);
		data = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)n);
		assert_non_null(data);
		for (uint32_t i = 0; i < n; i++)
			data[i] = (uint8_t)(at + i);
		if (head == NULL) {
			data[0] = number;
			head = m;
		} else {
			assert_int_equal(rte_pktmbuf_chain(head, m), 0);
		}
		at += n;
	}
	return head;
}

static void check_packet(const struct packet *p, uint32_t size, uint8_t number)
{
	assert_int_equal(p->caplen, size);
	assert_int_equal(p->wirelen, size);
	assert_int_equal(p->data[0], number);
	for (uint32_t i = 1; i < size; i++)
		assert_int_equal(p->data[i], (uint8_t)i);
}

static void send_one(uint16_t port, uint16_t queue, struct rte_mbuf *m)
{
	while (rte_eth_tx_burst(port, queue, &m, 1) != 1)
		;
}

static void ring_of_our_own(void **state)
{
	struct capture *c = open_source("vdev:net_ring0", NULL, 1);
	struct capture_losses losses;
	struct capture_rx rx;
	struct timespec now;
	uint16_t port;
	unsigned n;

	(void)state;
	assert_int_equal(rte_eth_dev_get_port_by_name("net_ring_net_ring0", &port) &&
				 rte_eth_dev_get_port_by_name("net_ring0", &port),
		0);
	assert_true(capture_is_live(c));
	assert_string_equal(capture_interface(c), "net_ring0");
	assert_string_equal(capture_time_source(c), "tsc");
	assert_int_equal(capture_queues(c), 1);
	for (unsigned i = 0; i < 40; i++) // every third one in segments
		send_one(port, 0, make_packet(60 + i * 37, i % 3 == 0 ? 100 : 1600, (uint8_t)i));
	n = capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx);
	assert_int_equal(n, 40);
	assert_int_equal(rx.received, 40);
	clock_gettime(CLOCK_REALTIME, &now);
	for (unsigned i = 0; i < n; i++) {
		check_packet(&pkts[i], 60 + i * 37, (uint8_t)i);
		assert_int_equal(pkts[i].seq, i + 1);
		assert_int_equal(pkts[i].link, LINK_ETHERNET);
		assert_int_equal(pkts[i].chunk != NULL, i % 3 == 0 && 60 + i * 37 > 100);
		assert_int_equal(pkts[i].chunk == NULL, pkts[i].mbuf != NULL);
		assert_in_range(pkts[i].ts_ns, (uint64_t)(now.tv_sec - 10) * 1000000000,
			(uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec);
	}
	packet_ref(&pkts[1], 1); // an mbuf and a chunk with two owners each
	packet_ref(&pkts[3], 1);
	release(n);
	check_packet(&pkts[1], 97, 1);
	check_packet(&pkts[3], 171, 3);
	release(0);
	packet_release((struct packet *[]){&pkts[1], &pkts[3]}, 2);
	capture_losses(c, &losses);
	assert_int_equal(losses.missed + losses.errors + losses.no_mbuf + losses.kernel, 0);
	expect_refusal("vdev:net_ring0", -EBUSY, "in use by another capture");
	// Packets that nobody took are given back when it closes.
	send_one(port, 0, make_packet(60, 60, 0));
	capture_close(c);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static void copies_are_bounded(void **state)
{
	struct capture *c = open_source("vdev:net_ring1", NULL, 1);
	struct packet *held = calloc(20000, sizeof(*held)), *one;
	unsigned count = 0, sent = 0;
	struct capture_rx rx = {0};
	uint64_t dropped = 0;
	uint16_t port;

	(void)state;
	assert_int_equal(rte_eth_dev_get_port_by_name("net_ring_net_ring1", &port) &&
				 rte_eth_dev_get_port_by_name("net_ring1", &port),
		0);
	while (dropped == 0) {
		unsigned n;

		assert_true(sent < 20000);
		send_one(port, 0, make_packet(9000, 1000, 1));
		sent++;
		n = capture_rx_burst(c, 0, held + count, 1, &rx);
		assert_int_equal(rx.received, 1);
		assert_int_equal(rx.received_bytes, 9000);
		assert_int_equal(n + rx.dropped_no_mbuf, 1);
		dropped += rx.dropped_no_mbuf;
		count += n;
	}
	assert_in_range(count, 1500, 1900); // 16 MiB
	for (unsigned i = 0; i < count; i++) {
		one = &held[i];
		packet_release(&one, 1);
	}
	send_one(port, 0, make_packet(9000, 1000, 2));
	assert_int_equal(capture_rx_burst(c, 0, pkts, 1, &rx), 1);
	check_packet(&pkts[0], 9000, 2);
	release(1);
	capture_close(c);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	free(held);
}

static void filter_and_snaplen(void **state)
{
	struct capture *c = open_source("vdev:net_ring2,snaplen=64", "ether[0] & 1 = 1", 1);
	struct capture_rx rx;
	uint16_t port;
	unsigned n;

	(void)state;
	assert_int_equal(rte_eth_dev_get_port_by_name("net_ring_net_ring2", &port) &&
				 rte_eth_dev_get_port_by_name("net_ring2", &port),
		0);
	for (unsigned i = 0; i < 50; i++)
		send_one(port, 0, make_packet(100, i % 7 == 0 ? 30 : 100, (uint8_t)i));
	n = capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx);
	assert_int_equal(n, 25);
	assert_int_equal(rx.received, 50);
	assert_int_equal(rx.filtered, 25);
	assert_int_equal(rx.truncated, 50);
	assert_int_equal(rx.received_bytes, 5000);
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(pkts[i].data[0], 2 * i + 1);
		assert_int_equal(pkts[i].caplen, 64);
		assert_int_equal(pkts[i].wirelen, 100);
		assert_true(pkts[i].flags & PACKET_TRUNCATED);
	}
	release(n);
	capture_close(c);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static void refusals(void **state)
{
	(void)state;
	expect_refusal("vdev:net_nosuchdriver0", 0, "DPDK could not make device net_nosuchdriver0");
	expect_refusal("vdev:net_pcap0,iface=nosuchiface", 0, "net_pcap0 with iface=nosuchiface");
	expect_refusal("vdev:crypto_null0", 0, "crypto_null0");
	expect_refusal("pci:0000:01:00.0", -ENOTSUP, "without --no-pci");
	expect_refusal("afxdp:nosuchiface", 0, "AF_XDP on nosuchiface failed");
}

static void null_device(void **state)
{
	struct capture *c = open_source("vdev:net_null0,size=128,queues=2", NULL, 4);
	struct capture_rx rx;

	(void)state;
	assert_int_equal(capture_queues(c), 1 + (capture_queues(c) == 2));
	for (unsigned i = 0; i < 1000; i++) {
		unsigned n = capture_rx_burst(c, i % capture_queues(c), pkts, PACKET_BURST, &rx);

		assert_int_equal(n, PACKET_BURST);
		assert_int_equal(pkts[0].caplen, 128);
		assert_int_equal(rx.state, CAPTURE_RX_RUNNING);
		release(n);
	}
	capture_close(c);
}

// Waits until the queue's state is as wanted, for ten seconds at most.
static void wait_for(struct capture *c, enum capture_state want)
{
	time_t end = time(NULL) + 10;
	struct capture_rx rx;

	do {
		release(capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx));
		if (time(NULL) > end)
			fail_msg("state %d, not %d: %s", rx.state, want, capture_reason(c));
	} while (rx.state != want);
}

enum { QUEUES = 3, EACH = 500 };

// The side of a pair that the test sends on.
static uint16_t start_sender(const char *name, const char *args)
{
	struct rte_eth_conf conf = {0};
	uint16_t port;

	assert_int_equal(rte_eal_hotplug_add("vdev", name, args), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(name, &port), 0);
	assert_int_equal(rte_eth_dev_configure(port, QUEUES, QUEUES, &conf), 0);
	for (uint16_t q = 0; q < QUEUES; q++) {
		assert_int_equal(rte_eth_rx_queue_setup(port, q, 256, 0, NULL, pool), 0);
		assert_int_equal(rte_eth_tx_queue_setup(port, q, 256, 0, NULL), 0);
	}
	assert_int_equal(rte_eth_dev_start(port), 0);
	return port;
}

// Sends on each queue in turn and receives on all, until everything has come, each packet on the queue
// it was sent on and no number twice.
static void send_and_receive(struct capture *c, uint16_t port)
{
	static uint8_t seen[QUEUES * EACH + 1];
	unsigned got[QUEUES] = {0}, sent = 0, received = 0;
	time_t end = time(NULL) + 20;
	struct capture_rx rx;

	memset(seen, 0, sizeof(seen));
	while (received < QUEUES * EACH) {
		if (sent < QUEUES * EACH) {
			uint16_t q = (uint16_t)(sent % QUEUES);
			struct rte_mbuf *m = make_packet(100 + sent % 1000, 1600, (uint8_t)q);

			if (rte_eth_tx_burst(port, q, &m, 1) == 1)
				sent++;
			else
				rte_pktmbuf_free(m);
		}
		for (unsigned q = 0; q < QUEUES; q++) {
			unsigned n = capture_rx_burst(c, q, pkts, PACKET_BURST, &rx);

			for (unsigned k = 0; k < n; k++) {
				assert_int_equal(pkts[k].queue, q);
				assert_int_equal(pkts[k].data[0], q);
				assert_in_range(pkts[k].seq, 1, QUEUES * EACH);
				assert_int_equal(seen[pkts[k].seq]++, 0);
			}
			got[q] += n;
			received += n;
			release(n);
		}
		assert_true(time(NULL) < end);
	}
	for (unsigned q = 0; q < QUEUES; q++)
		assert_int_equal(got[q], EACH);
}

static void vhost_pair(void **state)
{
	char source[128], args[128];
	struct capture *c = NULL;
	uint16_t port;

	(void)state;
	snprintf(source, sizeof(source), "vdev:net_vhost0,iface=/tmp/test_port.%d,queues=%d",
		getpid(), QUEUES);
	snprintf(args, sizeof(args), "path=/tmp/test_port.%d,queues=%d,queue_size=256", getpid(),
		QUEUES);
	c = open_source(source, NULL, 8);
	assert_int_equal(capture_queues(c), QUEUES);
	wait_for(c, CAPTURE_RX_PAUSED); // nobody at the other end
	assert_non_null(strstr(capture_reason(c), "the link of net_vhost0 is down"));
	port = start_sender("net_virtio_user0", args);
	wait_for(c, CAPTURE_RX_RUNNING);
	assert_string_equal(capture_reason(c), "");
	send_and_receive(c, port);
	rte_eth_dev_stop(port);
	assert_int_equal(rte_eal_hotplug_remove("vdev", "net_virtio_user0"), 0);
	wait_for(c, CAPTURE_RX_PAUSED); // gone again
	capture_close(c);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static void virtio_user_pair(void **state)
{
	char source[128], args[128];
	struct capture *c = NULL;
	uint16_t port;

	(void)state;
	snprintf(source, sizeof(source),
		"vdev:net_virtio_user1,path=/tmp/test_port2.%d,queue_size=256,queues=%d", getpid(),
		QUEUES);
	snprintf(args, sizeof(args), "iface=/tmp/test_port2.%d,queues=%d", getpid(), QUEUES);
	port = start_sender("net_vhost1", args); // the server has to be there first
	c = open_source(source, NULL, 8);
	assert_int_equal(capture_queues(c), QUEUES);
	send_and_receive(c, port);
	capture_close(c);
	rte_eth_dev_stop(port);
	assert_int_equal(rte_eal_hotplug_remove("vdev", "net_vhost1"), 0);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
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

// Fifty times up and down, nothing left behind.
static void cycles(const char *text)
{
	unsigned files = 0;
	size_t memory = 0;
	struct capture_rx rx;

	for (unsigned i = 0; i < 50; i++) {
		struct capture *c = open_source(text, "tcp or udp or arp or ip6", 1);

		for (unsigned k = 0; k < 10; k++)
			release(capture_rx_burst(c, 0, pkts, PACKET_BURST, &rx));
		capture_close(c);
		if (i == 10) {
			files = open_files();
			memory = resident_kib();
		}
	}
	assert_int_equal(open_files(), files);
	if (!IS_SANITIZED) // which keeps freed memory for a while; it looks for leaks itself
		assert_true(resident_kib() < memory + 2048);
}

static void tap_cycles(void **state)
{
	(void)state;
	if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) != 0) {
		print_message("needs root and /dev/net/tun\n");
		skip();
	}
	cycles("vdev:net_tap0,iface=pktaidtest0");
}

static void null_cycles(void **state)
{
	(void)state;
	cycles("vdev:net_null1");
}

static void nic_clock(void **state)
{
	struct port_clock c;

	(void)state;
	port_clock_start(&c, 1000, 5000000000);
	port_clock_sync(&c, 1000 + 25000000, 5000000000 + 200000000); // 125 MHz
	assert_true(c.ns_per_tick > 7.999 && c.ns_per_tick < 8.001);
	assert_in_range(port_clock_ns(&c, 1000 + 25000000 + 125), 5200000999, 5200001001);
	assert_in_range(port_clock_ns(&c, 1000 + 25000000 - 125), 5199998999, 5199999001); // before
	// Ten hours later: the rate is known better, and the anchor is new.
	port_clock_sync(&c, 1000 + UINT64_C(4500045000000), UINT64_C(36005000000000));
	assert_in_range(port_clock_ns(&c, 1000 + UINT64_C(4500045000000) + 125000000),
		UINT64_C(36005999980000), UINT64_C(36006000020000));
	port_clock_sync(&c, 5, 77); // the device began anew
	assert_in_range(port_clock_ns(&c, 5 + 1000), 77 + 7990, 77 + 8010);
}

int main(void)
{
	char *eal[] = {(char *)(uintptr_t) "test", (char *)(uintptr_t) "--no-huge",
		(char *)(uintptr_t) "--no-shconf", (char *)(uintptr_t) "-m",
		(char *)(uintptr_t) "256", (char *)(uintptr_t) "--no-pci",
		(char *)(uintptr_t) "--no-telemetry", (char *)(uintptr_t) "--log-level=*:1", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ring_of_our_own),
		cmocka_unit_test(copies_are_bounded),
		cmocka_unit_test(filter_and_snaplen),
		cmocka_unit_test(refusals),
		cmocka_unit_test(null_device),
		cmocka_unit_test(vhost_pair),
		cmocka_unit_test(virtio_user_pair),
		cmocka_unit_test(null_cycles),
		cmocka_unit_test(tap_cycles),
		cmocka_unit_test(nic_clock),
	};

	if (rte_eal_init(8, eal) < 0)
		return 1;
	pool = rte_pktmbuf_pool_create(
		"test", 16383, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL)
		return 1;
	return cmocka_run_group_tests_name("capture port", tests, NULL, NULL);
}
