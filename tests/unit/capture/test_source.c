// SPDX-License-Identifier: Apache-2.0
// Source strings: what is taken for an option, what stays with the target, and what is refused how.
#include "testlib.h"

#include <errno.h>
#include <string.h>

static struct capture_source good(const char *text)
{
	struct capture_source s;
	char error[CAPTURE_ERROR_MAX] = "";

	if (capture_source_parse(text, &s, error, sizeof(error)) != 0)
		fail_msg("%s: %s", text, error);
	return s;
}

static void bad(const char *text, const char *says)
{
	struct capture_source s = {.queues = 77};
	char error[CAPTURE_ERROR_MAX] = "";

	assert_int_equal(capture_source_parse(text, &s, error, sizeof(error)), -EINVAL);
	if (strstr(error, says) == NULL)
		fail_msg("%s: '%s' lacks '%s'", text, error, says);
	assert_int_equal(s.queues, 77);
}

static void kinds(void **state)
{
	(void)state;
	assert_int_equal(good("pcap:a.pcap").kind, CAPTURE_PCAP);
	assert_int_equal(good("afpacket:eth0").kind, CAPTURE_AFPACKET);
	assert_int_equal(good("afxdp:eth0").kind, CAPTURE_AFXDP);
	assert_int_equal(good("vdev:net_null0").kind, CAPTURE_VDEV);
	assert_int_equal(good("pci:0000:01:00.0").kind, CAPTURE_PCI);
	assert_int_equal(good("pci:01:00.0").kind, CAPTURE_PCI);
	assert_int_equal(good("pcap:a.pcap").promisc, -1);
	bad("", "pcap:FILE, afpacket:IFACE, afxdp:IFACE, pci:ADDRESS or vdev:NAME,ARGS");
	bad("a.pcap", "'a.pcap' is no source");
	bad("tape:x", "is no source");
	bad("pcap:", "names nothing: give pcap:FILE");
	bad("pcap:,loop=2", "names nothing");
	bad("afpacket:a/b", "no interface name");
	bad("afpacket:sixteen_letters_", "no interface name");
	bad("afpacket:eth0,snap=1", "unknown option");
	bad("pci:00:00", "no PCI address");
	bad("pci:0000:01:00.0x", "no PCI address");
	bad("vdev:a b", "is no device");
	bad("vdev:,iface=x", "is no device");
}

static void options(void **state)
{
	struct capture_source s = good("afpacket:eth0,queues=3,snaplen=128,promisc=off,buffer=64");

	(void)state;
	assert_string_equal(s.target, "eth0");
	assert_int_equal(s.queues, 3);
	assert_int_equal(s.snaplen, 128);
	assert_int_equal(s.promisc, 0);
	assert_int_equal(s.buffer_mib, 64);
	assert_int_equal(good("afpacket:eth0,promisc=on").promisc, 1);
	s = good("pcap:a,speed=0.5x,loop=7");
	assert_true(s.speed == 0.5);
	assert_int_equal(s.loop, 7);
	assert_true(good("pcap:a,speed=1x").speed == 1);
	assert_true(good("pcap:a,speed=max").speed == 0);
	assert_int_equal(good("pcap:a,loop=1,loop=2").loop, 2); // the last one counts
	bad("pcap:a,speed=fast", "speed=fast: it accepts max, or a factor such as 1x, 2x, 0.5x");
	bad("pcap:a,speed=x", "speed=x");
	bad("pcap:a,speed=.x", "speed=.x");
	bad("pcap:a,speed=1.2.3x", "speed=");
	bad("pcap:a,speed=0x", "speed=0x");
	bad("pcap:a,speed=-1x", "speed=-1x");
	bad("pcap:a,loop=0", "loop=0");
	bad("pcap:a,loop=", "loop=");
	bad("pcap:a,loop=4294967296", "loop=");
	bad("pcap:a,queues=2",
		"option queues does not apply to pcap: sources; they have snaplen, speed, "
		"loop");
	bad("afpacket:e,speed=1x", "option speed does not apply to afpacket:");
	bad("afpacket:e,queues=0", "it accepts 1 to 64");
	bad("afpacket:e,queues=65", "it accepts 1 to 64");
	bad("afpacket:e,promisc=yes", "it accepts on or off");
}

static void commas(void **state)
{
	struct capture_source s;

	(void)state;
	assert_string_equal(good("pcap:a,b.pcap").target, "a,b.pcap");
	assert_string_equal(good("pcap:a,x=1").target, "a,x=1");
	assert_string_equal(good("pcap:a,loop=2,x=1").target, "a,loop=2,x=1");
	s = good("pcap:a,x=1,loop=2");
	assert_string_equal(s.target, "a,x=1");
	assert_int_equal(s.loop, 2);
	s = good("pcap:a,loop=2,");
	assert_string_equal(s.target, "a,loop=2");
	assert_int_equal(s.loop, 0);
	s = good("vdev:net_pcap0,iface=lo,queues=2,promisc=off");
	assert_string_equal(s.target, "net_pcap0,iface=lo");
	assert_int_equal(s.queues, 2);
	// These devices have queues of their own: they and we get the number.
	s = good("vdev:net_vhost0,iface=/tmp/s,queues=2");
	assert_string_equal(s.target, "net_vhost0,iface=/tmp/s,queues=2");
	assert_int_equal(s.queues, 2);
	s = good("vdev:net_virtio_user0,path=/tmp/s,queues=2,snaplen=99");
	assert_string_equal(s.target, "net_virtio_user0,path=/tmp/s,queues=2");
	assert_int_equal(s.queues, 2);
	assert_int_equal(s.snaplen, 99);
}

static void long_ones(void **state)
{
	static char text[CAPTURE_TARGET_MAX + 10];
	char error[CAPTURE_ERROR_MAX];
	struct capture_source s;

	(void)state;
	memset(text, 'a', sizeof(text) - 1);
	memcpy(text, "pcap:", 5);
	text[5 + CAPTURE_TARGET_MAX - 1] = 0;
	assert_int_equal(capture_source_parse(text, &s, error, sizeof(error)), 0);
	text[5 + CAPTURE_TARGET_MAX - 1] = 'a';
	assert_int_equal(capture_source_parse(text, &s, error, sizeof(error)), -EINVAL);
	memcpy(text, "afpacket:", 9);
	assert_int_equal(capture_source_parse(text, &s, error, 20), -EINVAL); // cut, not overrun
	assert_int_equal(strlen(error), 19);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(options),
		cmocka_unit_test(commas),
		cmocka_unit_test(long_ones),
	};

	return cmocka_run_group_tests_name("capture source", tests, NULL, NULL);
}
