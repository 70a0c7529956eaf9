// SPDX-License-Identifier: Apache-2.0
// Filters on records: what is accepted, what is refused and in which words, and that they match what
// libpcap's filters of the same text match on packets of the same addresses, ports and protocols.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"

static char error[256];

static struct flow_filter *parse(const char *text)
{
	struct flow_filter *f = NULL;
	int r = flow_filter_parse(text, &f, error, sizeof(error));

	if (r != 0)
		fail_msg("'%s' was refused: %s", text != NULL ? text : "NULL", error);
	return f;
}

static struct flow_tuple tuple(
	const char *src, uint16_t sport, const char *dst, uint16_t dport, uint8_t proto)
{
	struct flow_tuple t = {.src_port = sport, .dst_port = dport, .proto = proto};
	bool six = strchr(src, ':') != NULL;

	t.version = six ? 6 : 4;
	assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, src, t.src), 1);
	assert_int_equal(inet_pton(six ? AF_INET6 : AF_INET, dst, t.dst), 1);
	return t;
}

static bool matches(const char *text, const struct flow_tuple *t)
{
	struct flow_filter *f = parse(text);
	bool m = flow_filter_match(f, t);

	flow_filter_free(f);
	return m;
}

static void nothing_matches_all(void **state)
{
	struct flow_tuple t = tuple("1.2.3.4", 1, "5.6.7.8", 2, 6);

	(void)state;
	assert_null(parse(NULL));
	assert_null(parse(""));
	assert_null(parse(" \t\n"));
	assert_true(flow_filter_match(NULL, &t));
	flow_filter_free(NULL);
}

static void refused_in_words(void **state)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{"tcp[13] & 2 != 0", "at character 1: 'tcp[13]': only a packet can answer that"},
		{"ip[0]=69", "only a packet can answer that"},
		{"host 1.2.3.4 and len > 100", "at character 18: 'len': only a packet"},
		{"greater 100", "'greater': only a packet"},
		{"ether host 1:2:3:4:5:6", "'ether': only a packet"},
		{"port", "a value is missing"},
		{"src", "a value is missing"},
		{"host", "a value is missing"},
		{"host and tcp", "a value is missing"},
		{"tcp port", "a value is missing"},
		{"port 65536", "'65536' is not a port"},
		{"port -1", "'-1' is not a port"},
		{"port 080", "'080' is not a port"},
		{"port nosuchservice", "'nosuchservice' is not a port"},
		{"portrange 1-70000", "'70000' is not a port"},
		{"portrange x-5", "'x' is not a port"},
		{"host www.example.com", "names are not looked up"},
		{"host 1.2.3", "'1.2.3' is not an address"},
		{"host 1.2.3.256", "is not an address"},
		{"host 10.0.0.0/8", "'net' accepts it"},
		{"net 10.1.2.3/8", "bits set beyond its mask"},
		{"net 10.0.0.0/33", "a prefix length from 0 to 32"},
		{"net 2001:db8::/129", "a prefix length from 0 to 128"},
		{"net 2001:db8::/", "a prefix length"},
		{"net 10.0.0.0/-1", "a prefix length"},
		{"net 300", "is not an address"},
		{"net 1.2.3.4.5", "is not an address"},
		{"net 1.", "is not an address"},
		{"net 10.0.0.0 mask 255.x", "is not a mask"},
		{"net 10.0.0.0 mask", "is not a mask"},
		{"ip host 2001:db8::1", "'ip' asks for IPv4"},
		{"ip6 net 10.0.0.0/8", "'ip6' asks for IPv6"},
		{"proto nosuch", "is not a protocol"},
		{"proto 256", "is not a protocol"},
		{"vlan 4096", "is not a VLAN id"},
		{"(tcp", "')' is missing"},
		{"port (80 or 443", "')' is missing"},
		{"tcp)", "at character 4: ')' is not accepted here"},
		{"tcp udp", "at character 5: 'udp' is not accepted here"},
		{"tcp and", "the filter ends too early"},
		{"not", "the filter ends too early"},
		{"and tcp", "'and' is not accepted here"},
		{"tcp and or udp", "'or' is not accepted here"},
		{"()", "')' is not accepted here"},
		{"port ()", "a value is missing"},
		{"tcp | udp", "'|' is not accepted here"},
		{"host 1.2.3.4%eth0", "'%' is not accepted here"},
		{"host \x01", "'?' is not accepted here"},
		{"80", "'80' is not an address"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct flow_filter *f = (void *)1;

		memset(error, 'x', sizeof(error));
		if (flow_filter_parse(cases[i].text, &f, error, sizeof(error)) != -EINVAL)
			fail_msg("'%s' was accepted", cases[i].text);
		assert_ptr_equal(f, (void *)1);
		assert_non_null(memchr(error, 0, sizeof(error)));
		if (strstr(error, cases[i].message) == NULL)
			fail_msg("'%s': %s", cases[i].text, error);
		// However little room there is for the message.
		for (size_t size = 0; size < 40; size++) {
			error[size] = 'y';
			assert_int_equal(
				flow_filter_parse(cases[i].text, &f, error, size), -EINVAL);
			assert_int_equal(error[size], 'y');
			assert_true(size == 0 || memchr(error, 0, size) != NULL);
		}
	}
}

static void repeat(char *text, size_t size, const char *part, unsigned n, const char *end)
{
	size_t at = 0;

	for (unsigned i = 0; i < n; i++)
		at += (size_t)snprintf(text + at, size - at, "%s", part);
	snprintf(text + at, size - at, "%s", end);
}

static void limits(void **state)
{
	static char text[20000];
	static const char *const deep[] = {"(", "not ", "!", "! ( ", "port ("};
	struct flow_tuple t = tuple("1.2.3.4", 1, "5.6.7.8", 2, 6);
	struct flow_filter *f;

	(void)state;
	for (size_t i = 0; i < sizeof(deep) / sizeof(deep[0]); i++)
		for (unsigned n = 1; n < 1000; n = n * 2 + 1) {
			repeat(text, sizeof(text), deep[i], n, "tcp");
			if (flow_filter_parse(text, &f, error, sizeof(error)) == 0)
				flow_filter_free(f);
			else
				assert_true(n > 50 || strchr(deep[i], '(') != NULL);
		}
	// Nested to the left and to the right, as deep as is accepted, and deeper.
	repeat(text, sizeof(text), "(udp or ", 50, "tcp");
	repeat(text + strlen(text), 1000, ")", 50, "");
	assert_true(matches(text, &t));
	repeat(text, sizeof(text), "(udp or ", 70, "tcp");
	repeat(text + strlen(text), 1000, ")", 70, "");
	assert_int_equal(flow_filter_parse(text, &f, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "nested too deeply"));
	repeat(text, sizeof(text), "udp or ", 250, "tcp");
	assert_true(matches(text, &t));
	repeat(text, sizeof(text), "udp or ", 400, "tcp");
	assert_int_equal(flow_filter_parse(text, &f, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "too long"));
	repeat(text, sizeof(text), " ", 4100, "tcp");
	assert_int_equal(flow_filter_parse(text, &f, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "at most 4096"));
	repeat(text, sizeof(text), "a", 500, "");
	assert_int_equal(flow_filter_parse(text, &f, error, sizeof(error)), -EINVAL);
	assert_non_null(strstr(error, "word is too long"));
}

// What libpcap does not have, or has otherwise.
static void our_own(void **state)
{
	struct flow_tuple t = tuple("10.1.2.3", 40000, "192.168.0.1", 443, 6);
	struct flow_tuple dccp = tuple("2001:db8::1", 1, "2001:db8::2", 2, 33);

	(void)state;
	assert_true(matches("10.1.2.3", &t));
	assert_true(matches("10.0.0.0/8", &t));
	assert_true(matches("10.0.0.0/8 and 192.168.0.0/16", &t));
	assert_false(matches("10.2.0.0/16", &t));
	assert_true(matches("tcp src 10.1.2.3", &t));
	assert_true(matches("tcp net 10", &t));
	assert_false(matches("udp net 10", &t));
	assert_true(matches("ip proto tcp", &t));
	assert_true(matches("port (443)", &t));
	if (getservbyname("http", "tcp") != NULL) {
		assert_true(matches("port https", &t));
		assert_false(matches("udp port https", &t));
	}
	assert_true(matches("dccp", &dccp));
	assert_true(matches("ip6 proto dccp", &dccp));
	assert_false(matches("ip proto dccp", &dccp));
}

static void vlans(void **state)
{
	struct flow_tuple t = tuple("10.1.2.3", 40000, "192.168.0.1", 443, 6);

	(void)state;
	assert_false(matches("vlan", &t));
	assert_true(matches("not vlan", &t));
	t.vlan_count = 2;
	t.vlan[0] = 100;
	t.vlan[1] = 7;
	t.vlan[2] = 8; // not counted
	assert_true(matches("vlan", &t));
	assert_true(matches("vlan and tcp", &t));
	assert_true(matches("vlan 100", &t));
	assert_true(matches("vlan 7 and port 443", &t));
	assert_true(matches("vlan 100 && vlan 7", &t));
	assert_true(matches("(vlan)", &t));
	assert_false(matches("vlan 8", &t));
	assert_true(matches("vlan 0x64", &t));
}

// --- Against libpcap ---

static const char *const filters[] = {
	"ip",
	"ip6",
	"tcp",
	"udp",
	"icmp",
	"icmp6",
	"sctp",
	"igmp",
	"esp",
	"ah",
	"pim",
	"vrrp",
	"not tcp",
	"!udp",
	"not not udp",
	"tcp or udp",
	"tcp||udp",
	"ip and tcp",
	"host 10.0.0.1",
	"src host 10.0.0.1",
	"dst 10.0.0.1",
	"ip host 10.0.0.2",
	"host 2001:db8::1",
	"src net 2001:db8::/32",
	"ip6 net 2001:db8::/64",
	"net 10",
	"net 10.0",
	"net 10.0.0.0/30",
	"src net 192.168.0.0/16",
	"net 10.0.0.0 mask 255.255.255.252",
	"net 10.0.0.0",
	"net 0.0.0.0/0",
	"net 10.0.3.0 mask 255.0.255.0",
	"src and dst net 10.0.0.0/8",
	"src or dst net 10.0.0.0/8",
	"dst or src host 10.0.0.2",
	"dst and src host 10.0.0.2",
	"port 80",
	"src port 80",
	"tcp dst port 443",
	"udp port domain",
	"sctp port 80",
	"port 0x50",
	"portrange 80-443",
	"portrange 443-80",
	"udp src portrange 50-100",
	"tcp portrange 80",
	"src or dst port 80",
	"src and dst port 80",
	"port 80 or 443",
	"tcp port 80 or 443",
	"not port 80 or 443",
	"src host 10.0.0.1 or 10.0.0.2",
	"src host 10.0.0.1 or 10.0.0.2 and port 80",
	"host 10.0.0.1 and 10.0.0.2",
	"host 10.0.0.1 and not 10.0.0.2",
	"net 10.0.0.0/8 or 192.168.0.0/16",
	"port (80 or 443)",
	"tcp port (80 or 443) and host 10.0.0.1",
	"src or dst port (80 or 443)",
	"host (10.0.0.1 and 10.0.0.2)",
	"port not 80",
	"port ! 80",
	"port (80 or not 443)",
	"port (53 or (80 and not 443))",
	"port 80 or (443 and 53)",
	"tcp and port 80 or udp and port 53",
	"tcp or udp and port 53",
	"udp and port 53 or tcp",
	"tcp and (port 80 or port 443)",
	"not (tcp and port 80)",
	"! ( tcp or udp ) and ip",
	"not tcp and port 53",
	"not host 10.0.0.1 and port 53",
	"((port 80))",
	"ip proto 6",
	"proto 17",
	"ip6 proto 58",
	"ip proto \\udp",
	"proto \\tcp or \\udp",
	"ip proto 1 or 6 and host 10.0.0.1",
	"src port 80 or dst 10.0.0.1",
	"ip src or dst 10.0.0.2",
	"tcp src or dst port 80",
	"port http or domain",
	"tcp src port 80 and dst portrange 50-100",
};

// Names of services need a list of them (/etc/services), for both sides.
static bool can_tell(const char *filter)
{
	return getservbyname("http", "tcp") != NULL ||
	       (strstr(filter, "http") == NULL && strstr(filter, "domain") == NULL);
}

// A frame whose headers say what the tuple says.
static uint32_t frame_of(const struct flow_tuple *t, uint8_t f[128])
{
	uint32_t l3 = t->version == 4 ? 20 : 40, at = 14 + l3;
	uint16_t sport = htons(t->src_port), dport = htons(t->dst_port);

	memset(f, 0, 128);
	if (t->version == 4) {
		f[12] = 0x08;
		f[14] = 0x45;
		f[17] = 60;
		f[22] = 64;
		f[23] = t->proto;
		memcpy(f + 26, t->src, 4);
		memcpy(f + 30, t->dst, 4);
	} else {
		f[12] = 0x86;
		f[13] = 0xdd;
		f[14] = 0x60;
		f[19] = 40;
		f[20] = t->proto;
		f[21] = 64;
		memcpy(f + 22, t->src, 16);
		memcpy(f + 38, t->dst, 16);
	}
	if (t->proto == 6 || t->proto == 17 || t->proto == 132) {
		memcpy(f + at, &sport, 2);
		memcpy(f + at + 2, &dport, 2);
	} else { // type and code, where a careless filter would look for a port
		f[at] = (uint8_t)t->src_port;
		f[at + 1] = (uint8_t)t->dst_port;
	}
	return at + 40;
}

static struct flow_tuple random_tuple(struct rng *r)
{
	static const char *const four[] = {"10.0.0.1", "10.0.0.2", "10.0.3.7", "192.168.1.1",
		"8.8.8.8", "0.0.0.0", "10.0.0.0"};
	static const char *const six[] = {"2001:db8::1", "2001:db8::2", "fe80::1", "a00:1::"};
	static const uint8_t protos[] = {6, 6, 17, 17, 1, 58, 132, 2, 50, 51, 103, 112, 47};
	static const uint16_t ports[] = {0, 53, 80, 81, 443, 444, 50, 100, 65535, 20480};
	bool is_six = rng_below(r, 3) == 0;

	return tuple(is_six ? six[rng_below(r, 4)] : four[rng_below(r, 7)], ports[rng_below(r, 10)],
		is_six ? six[rng_below(r, 4)] : four[rng_below(r, 7)], ports[rng_below(r, 10)],
		protos[rng_below(r, sizeof(protos))]);
}

static void as_libpcap(void **state)
{
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, 65535);
	struct rng rng = {21};

	(void)state;
	assert_non_null(dead);
	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		struct flow_filter *f;
		struct bpf_program program;
		unsigned yes = 0, no = 0;

		if (!can_tell(filters[i]))
			continue;
		f = parse(filters[i]);
		if (pcap_compile(dead, &program, filters[i], 0, PCAP_NETMASK_UNKNOWN) < 0)
			fail_msg("libpcap: '%s': %s", filters[i], pcap_geterr(dead));
		for (unsigned k = 0; k < 4000; k++) {
			struct flow_tuple t = random_tuple(&rng);
			uint8_t frame[128];
			struct pcap_pkthdr h = {.len = frame_of(&t, frame)};
			bool theirs, ours = flow_filter_match(f, &t);

			h.caplen = h.len;
			theirs = pcap_offline_filter(&program, &h, frame) != 0;
			if (ours != theirs)
				fail_msg(
					"'%s': ours %d, libpcap's %d on IPv%u proto %u ports %u %u",
					filters[i], ours, theirs, t.version, t.proto, t.src_port,
					t.dst_port);
			yes += ours;
			no += !ours;
		}
		// A filter that says the same of all tests nothing ("net 0.0.0.0/0": of all IPv4).
		if (yes == 0 || no == 0)
			fail_msg("'%s': %u yes, %u no", filters[i], yes, no);
		pcap_freecode(&program);
		flow_filter_free(f);
	}
	pcap_close(dead);
}

// Filters made at random from the common grammar, so that precedence and carried qualifiers meet in
// every combination.
static unsigned random_expression(struct rng *r, char *text, size_t size, unsigned depth)
{
	static const char *const primitives[] = {"tcp", "udp", "ip6", "port 80", "src port 443",
		"host 10.0.0.1", "dst net 10.0.0.0/8", "udp port 53", "portrange 50-100",
		"src or dst host 10.0.0.2", "ip proto 1", "net 192.168.0.0/16"};
	static const char *const joints[] = {" and ", " or ", "&&", " || "};
	unsigned at = 0, terms = 1 + rng_below(r, 3);

	for (unsigned i = 0; i < terms; i++) {
		if (i > 0)
			at += (unsigned)snprintf(
				text + at, size - at, "%s", joints[rng_below(r, 4)]);
		if (rng_below(r, 4) == 0)
			at += (unsigned)snprintf(text + at, size - at, "not ");
		if (depth < 3 && rng_below(r, 3) == 0) {
			at += (unsigned)snprintf(text + at, size - at, "(");
			at += random_expression(r, text + at, size - at, depth + 1);
			at += (unsigned)snprintf(text + at, size - at, ")");
		} else {
			at += (unsigned)snprintf(
				text + at, size - at, "%s", primitives[rng_below(r, 12)]);
		}
	}
	return at;
}

static void random_filters_as_libpcap(void **state)
{
	pcap_t *dead = pcap_open_dead(DLT_EN10MB, 65535);
	struct rng rng = {22};

	(void)state;
	assert_non_null(dead);
	for (unsigned i = 0; i < 400; i++) {
		char text[4000];
		struct flow_filter *f;
		struct bpf_program program;

		random_expression(&rng, text, sizeof(text), 0);
		f = parse(text);
		if (pcap_compile(dead, &program, text, 0, PCAP_NETMASK_UNKNOWN) < 0)
			fail_msg("libpcap: '%s': %s", text, pcap_geterr(dead));
		for (unsigned k = 0; k < 300; k++) {
			struct flow_tuple t = random_tuple(&rng);
			uint8_t frame[128];
			struct pcap_pkthdr h = {.len = frame_of(&t, frame)};

			h.caplen = h.len;
			if (flow_filter_match(f, &t) !=
				(pcap_offline_filter(&program, &h, frame) != 0))
				fail_msg("'%s' differs", text);
		}
		pcap_freecode(&program);
		flow_filter_free(f);
	}
	pcap_close(dead);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_matches_all),
		cmocka_unit_test(refused_in_words),
		cmocka_unit_test(limits),
		cmocka_unit_test(our_own),
		cmocka_unit_test(vlans),
		cmocka_unit_test(as_libpcap),
		cmocka_unit_test(random_filters_as_libpcap),
	};

	return cmocka_run_group_tests_name("flow filters", tests, NULL, NULL);
}
