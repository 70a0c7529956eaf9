// SPDX-License-Identifier: Apache-2.0
// RSS in software: what capture_spread_queue says is what DPDK's Toeplitz hash over the headers says,
// for both directions; and a port with RSS tells how it spreads.
#include "testlib.h"

#include <stdlib.h>
#include <string.h>

#include <rte_eal.h>
#include <rte_thash.h>

#include "spread.h"

enum { ENTRIES = 128, WORDS_MAX = 9, ROUNDS = 2000 };

static uint64_t seed = 7;

static uint32_t next_random(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 32);
}

static struct ip_layer random_layer(uint8_t version, uint8_t proto)
{
	struct ip_layer l = {.version = version, .proto = proto};

	for (unsigned i = 0; i < (version == 4 ? 4 : 16); i++) {
		l.src[i] = (uint8_t)next_random();
		l.dst[i] = (uint8_t)next_random();
	}
	l.src_port = (uint16_t)next_random();
	l.dst_port = (uint16_t)next_random();
	return l;
}

static struct ip_layer turned(const struct ip_layer *l)
{
	struct ip_layer t = *l;

	memcpy(t.src, l->dst, 16);
	memcpy(t.dst, l->src, 16);
	t.src_port = l->dst_port;
	t.dst_port = l->src_port;
	return t;
}

// As the hardware: over addresses and, with_ports, ports in the order of the wire.
static uint32_t toeplitz(const struct ip_layer *l, bool with_ports)
{
	unsigned bytes = l->version == 4 ? 4 : 16, n = 0;
	uint32_t words[WORDS_MAX];
	uint8_t wire[WORDS_MAX * 4], key[52];

	for (unsigned i = 0; i < sizeof(key); i++)
		key[i] = i % 2 == 0 ? 0x6d : 0x5a;
	memcpy(wire, l->src, bytes);
	memcpy(wire + bytes, l->dst, bytes);
	n = 2 * bytes;
	if (with_ports) {
		wire[n++] = (uint8_t)(l->src_port >> 8);
		wire[n++] = (uint8_t)l->src_port;
		wire[n++] = (uint8_t)(l->dst_port >> 8);
		wire[n++] = (uint8_t)l->dst_port;
	}
	for (unsigned i = 0; i < n / 4; i++)
		words[i] = (uint32_t)wire[4 * i] << 24 | (uint32_t)wire[4 * i + 1] << 16 |
		           (uint32_t)wire[4 * i + 2] << 8 | wire[4 * i + 3];
	return rte_softrss(words, n / 4, key);
}

static void check(struct capture_spread *s, uint8_t version, uint8_t proto, bool with_ports)
{
	bool seen[ENTRIES] = {false};
	unsigned distinct = 0;

	for (unsigned i = 0; i < ROUNDS; i++) {
		struct ip_layer l = random_layer(version, proto), t = turned(&l);
		unsigned queue = capture_spread_queue(s, &l);

		assert_int_equal(queue, s->queue[toeplitz(&l, with_ports) & s->mask]);
		assert_int_equal(queue, capture_spread_queue(s, &t));
		distinct += !seen[queue];
		seen[queue] = true;
	}
	assert_int_equal(distinct, ENTRIES);
}

static void as_hardware_does(void **state)
{
	struct capture_spread s;
	uint16_t queue[ENTRIES];

	(void)state;
	for (uint16_t i = 0; i < ENTRIES; i++)
		queue[i] = (uint16_t)(i * 5 % ENTRIES);
	capture_spread_init(
		&s, SPREAD_TCP | SPREAD_UDP | SPREAD_TCP << SPREAD_IPV6, queue, ENTRIES);
	check(&s, 4, 6, true);
	check(&s, 4, 17, true);
	check(&s, 4, 132, false); // not asked for
	check(&s, 4, 1, false);   // ports are a type and a code, which no card hashes
	check(&s, 6, 6, true);
	check(&s, 6, 17, false);
	check(&s, 6, 58, false);
}

static struct capture *open_source(const char *text, unsigned workers)
{
	struct capture_options options = {.workers = workers, .numa_node = -1};
	struct capture_source source;
	char error[CAPTURE_ERROR_MAX] = "";
	struct capture *c = NULL;

	if (capture_source_parse(text, &source, error, sizeof(error)) != 0 ||
		capture_open(&source, &options, &c, error, sizeof(error)) != 0)
		fail_msg("%s: %s", text, error);
	return c;
}

static void ports_tell(void **state)
{
	struct capture *c = open_source("vdev:net_null0,size=128", 4);
	const struct capture_spread *s = capture_spread(c);
	struct ip_layer l = random_layer(4, 6);

	(void)state;
	assert_int_equal(capture_queues(c), 4);
	assert_non_null(s); // net_null takes key and table, and has them read
	assert_int_equal(s->mask & (s->mask + 1), 0);
	for (unsigned i = 0; i <= s->mask; i++)
		assert_int_equal(s->queue[i], i % 4);
	assert_in_range(capture_spread_queue(s, &l), 0, 3);
	capture_close(c);
	c = open_source("vdev:net_null0,size=128", 1);
	assert_null(capture_spread(c)); // one queue: nothing to spread
	capture_close(c);
	c = open_source("pcap:" CAPTURES_SAMPLE, 4);
	assert_null(capture_spread(c));
	capture_close(c);
}

int main(void)
{
	char *eal[] = {(char *)(uintptr_t) "test", (char *)(uintptr_t) "--no-huge",
		(char *)(uintptr_t) "--no-shconf", (char *)(uintptr_t) "-m",
		(char *)(uintptr_t) "256", (char *)(uintptr_t) "--no-pci",
		(char *)(uintptr_t) "--no-telemetry", (char *)(uintptr_t) "--log-level=*:1", NULL};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_hardware_does),
		cmocka_unit_test(ports_tell),
	};

	if (rte_eal_init(8, eal) < 0)
		return 1;
	return cmocka_run_group_tests_name("capture spread", tests, NULL, NULL);
}
