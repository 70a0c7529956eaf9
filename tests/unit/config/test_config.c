// SPDX-License-Identifier: Apache-2.0
// Configuration files: every key is read into its member, every kind of mistake is reported with its
// line and column, the template holds exactly the defaults, and a reload knows what needs a restart.
#include "config_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define S UINT64_C(1000000000)

static char path[] = "/tmp/pktaid-config-XXXXXX";
static char error[CONFIG_ERROR_MAX];

static int make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

static struct config *load(const char *yaml, size_t size)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(yaml, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
	return config_load(path, error, sizeof(error));
}

static struct config *load_ok(const char *yaml)
{
	struct config *c = load(yaml, strlen(yaml));

	if (c == NULL)
		fail_msg("%s", error);
	return c;
}

// Expects exactly these messages, where "FILE" stands for the file's path.
static void expect_errors_sized(const char *yaml, size_t size, const char *expected)
{
	struct config *c = load(yaml, size);
	char text[CONFIG_ERROR_MAX];
	size_t at = 0;

	assert_null(c);
	for (const char *e = expected; *e != '\0';) {
		if (strncmp(e, "FILE", 4) == 0 && (e == expected || e[-1] == '\n')) {
			at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", path);
			e += 4;
		} else {
			text[at++] = *e++;
		}
	}
	text[at] = '\0';
	assert_string_equal(error, text);
}

static void expect_errors(const char *yaml, const char *expected)
{
	expect_errors_sized(yaml, strlen(yaml), expected);
}

static void defaults(void **state)
{
	struct config *c = config_load(NULL, error, sizeof(error));

	(void)state;
	assert_non_null(c);
	assert_null(c->socket);
	assert_string_equal(c->groups.read, "pktai");
	assert_string_equal(c->groups.admin, "pktai-admin");
	assert_int_equal(c->log, LOG_LEVEL_NOTICE);
	assert_int_equal(c->workers, 1);
	assert_null(c->cpus);
	assert_int_equal(c->memory_mib, 512);
	assert_false(c->busy);
	assert_int_equal(c->capture_count, 0);
	assert_int_equal(c->flow.capacity, 1000000);
	assert_false(c->flow.key_vlan);
	assert_true(c->flow.key_tunnel);
	assert_int_equal(c->flow.tcp_new_ns, 30 * S);
	assert_int_equal(c->flow.tcp_established_ns, 300 * S);
	assert_int_equal(c->flow.tcp_closed_ns, 10 * S);
	assert_int_equal(c->flow.udp_ns, 60 * S);
	assert_int_equal(c->flow.icmp_ns, 30 * S);
	assert_int_equal(c->flow.other_ns, 60 * S);
	assert_int_equal(c->flow.active_ns, 300 * S);
	assert_int_equal(c->recent_bytes, 64 << 20);
	assert_false(c->decode.verify_checksum);
	assert_int_equal(c->decode.tunnel_depth, 4);
	assert_int_equal(c->defrag.trackers, 16384);
	assert_int_equal(c->defrag.fragments, 65536);
	assert_int_equal(c->defrag.bytes, 32 << 20);
	assert_int_equal(c->defrag.timeout_ns, 30 * S);
	assert_int_equal(c->defrag.policy4, DEFRAG_FIRST);
	assert_int_equal(c->defrag.policy6, DEFRAG_DROP);
	assert_int_equal(c->stream.reassembly.bytes, 64 << 20);
	assert_int_equal(c->stream.reassembly.depth_bytes, 0);
	assert_int_equal(c->stream.reassembly.policy, REASSEMBLY_FIRST);
	assert_int_equal(c->stream.keep_bytes, 0);
	assert_int_equal(c->stats_interval_ns, 30 * S);
	config_free(c);
	config_free(NULL);
}

static void every_key(void **state)
{
	struct config *c = load_ok(
		"socket: /tmp/x.sock\n"
		"groups: {read: adm, admin: wheel}\n"
		"log: debug\n"
		"workers: 64\n"
		"cpus: 0,2-3\n"
		"memory: 2GiB\n"
		"idle: busy\n"
		"captures:\n"
		"  - source: pcap:a b,c.pcap\n"
		"  - {name: up.link, source: 'afpacket:eth0,queues=2', filter: not port 22}\n"
		"flow:\n"
		"  capacity: 4000000\n"
		"  key: {vlan: yes, tunnel: off}\n"
		"  timeouts: {tcp_new: 500ms, tcp_established: 1h, tcp_closed: 1.5s,\n"
		"    udp: 5m, icmp: 7, other: 1d, active: 0}\n"
		"  recent_bytes: 64MB\n"
		"decode: {checksum: verify, tunnel_depth: 0}\n"
		"defrag: {trackers: 16, fragments: 100, bytes: 1MiB, timeout: 5s,\n"
		"  policy: {ipv4: windows, ipv6: bsd, networks: [{network: 10.0.0.0/8, policy: "
		"linux},\n"
		"    {policy: last, network: \"2001:db8::/33\"}, {network: 192.0.2.1, policy: "
		"drop}]}}\n"
		"stream: {bytes: 1MiB, depth: 2KiB, policy: linux, keep: 3MiB,\n"
		"  networks: [{network: 10.0.0.0/8, policy: bsd}]}\n"
		"stats: {interval: 250ms}\n");

	(void)state;
	assert_string_equal(c->socket, "/tmp/x.sock");
	assert_string_equal(c->groups.read, "adm");
	assert_string_equal(c->groups.admin, "wheel");
	assert_int_equal(c->log, LOG_LEVEL_DEBUG);
	assert_int_equal(c->workers, 64);
	assert_string_equal(c->cpus, "0,2-3");
	assert_int_equal(c->memory_mib, 2048);
	assert_true(c->busy);
	assert_int_equal(c->capture_count, 2);
	assert_null(c->captures[0].name);
	assert_string_equal(c->captures[0].source, "pcap:a b,c.pcap");
	assert_null(c->captures[0].filter);
	assert_string_equal(c->captures[1].name, "up.link");
	assert_string_equal(c->captures[1].source, "afpacket:eth0,queues=2");
	assert_string_equal(c->captures[1].filter, "not port 22");
	assert_int_equal(c->flow.capacity, 4000000);
	assert_true(c->flow.key_vlan);
	assert_false(c->flow.key_tunnel);
	assert_int_equal(c->flow.tcp_new_ns, S / 2);
	assert_int_equal(c->flow.tcp_established_ns, 3600 * S);
	assert_int_equal(c->flow.tcp_closed_ns, 3 * S / 2);
	assert_int_equal(c->flow.udp_ns, 300 * S);
	assert_int_equal(c->flow.icmp_ns, 7 * S);
	assert_int_equal(c->flow.other_ns, 86400 * S);
	assert_int_equal(c->flow.active_ns, 0);
	assert_int_equal(c->recent_bytes, 64000000);
	assert_true(c->decode.verify_checksum);
	assert_int_equal(c->decode.tunnel_depth, 0);
	assert_int_equal(c->defrag.trackers, 16);
	assert_int_equal(c->defrag.fragments, 100);
	assert_int_equal(c->defrag.bytes, 1 << 20);
	assert_int_equal(c->defrag.timeout_ns, 5 * S);
	assert_int_equal(c->defrag.policy4, DEFRAG_WINDOWS);
	assert_int_equal(c->defrag.policy6, DEFRAG_BSD);
	assert_int_equal(c->defrag.network_count, 3);
	for (unsigned i = 0; i < 3; i++) {
		static const struct defrag_network want[] = {{{10}, 4, 8, DEFRAG_LINUX},
			{{0x20, 0x01, 0x0d, 0xb8}, 6, 33, DEFRAG_LAST},
			{{192, 0, 2, 1}, 4, 32, DEFRAG_DROP}};

		assert_memory_equal(&c->defrag.network[i], &want[i], sizeof(want[i]));
	}
	assert_int_equal(c->stream.reassembly.bytes, 1 << 20);
	assert_int_equal(c->stream.reassembly.depth_bytes, 2048);
	assert_int_equal(c->stream.reassembly.policy, REASSEMBLY_LINUX);
	assert_int_equal(c->stream.keep_bytes, 3 << 20);
	assert_int_equal(c->stream.reassembly.network_count, 1);
	assert_int_equal(c->stream.reassembly.network[0].address[0], 10);
	assert_int_equal(c->stream.reassembly.network[0].prefix_bits, 8);
	assert_int_equal(c->stream.reassembly.network[0].policy, REASSEMBLY_BSD);
	assert_int_equal(c->stats_interval_ns, S / 4);
	config_free(c);
}

static void sizes_and_times(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} times[] = {{"1ms", S / 1000}, {"2000us", S / 500}, {"1000000ns", S / 1000},
		{"3 s", 3 * S}, {"3sec", 3 * S}, {"2min", 120 * S}, {"0.25h", 900 * S},
		{"30d", 2592000 * S}};
	static const struct {
		const char *text;
		uint64_t bytes;
	} sizes[] = {{"65536", 65536}, {"65536B", 65536}, {"64KiB", 65536}, {"64K", 65536},
		{"100KB", 100000}, {"100kB", 100000}, {"1.5M", 3 << 19}, {"1G", 1 << 30},
		{"2GB", 2000000000}, {"1TiB", UINT64_C(1) << 40}, {"1TB", UINT64_C(1000000000000)}};
	char yaml[128];

	(void)state;
	for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		snprintf(yaml, sizeof(yaml), "flow: {timeouts: {udp: %s}}", times[i].text);
		struct config *c = load_ok(yaml);

		assert_int_equal(c->flow.udp_ns, times[i].ns);
		config_free(c);
	}
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		snprintf(yaml, sizeof(yaml), "flow: {recent_bytes: %s}", sizes[i].text);
		struct config *c = load_ok(yaml);

		assert_int_equal(c->recent_bytes, sizes[i].bytes);
		config_free(c);
	}
	struct config *c = load_ok("memory: 300"); // MiB

	assert_int_equal(c->memory_mib, 300);
	config_free(c);
	c = load_ok("memory: 100MB"); // rounded up to MiB
	assert_int_equal(c->memory_mib, 96);
	config_free(c);
}

static void empty_documents_and_values(void **state)
{
	static const char *const yaml[] = {"", "\n\n", "# nothing\n", "---\n", "--- ~\n...\n",
		"flow:\n", "flow: ~\nlog: null\nworkers:\ncaptures:\nsocket: ''\ngroups: {}\n",
		"flow:\n  timeouts:\n  key: {}\n", "captures: []\n", "\xef\xbb\xbflog: notice\n"};
	char keys[256];

	(void)state;
	for (unsigned i = 0; i < sizeof(yaml) / sizeof(yaml[0]); i++) {
		struct config *c = load_ok(yaml[i]);
		struct config *d = config_load(NULL, error, sizeof(error));

		assert_int_equal(config_restart_keys(d, c, keys, sizeof(keys)), 0);
		assert_int_equal(c->log, d->log);
		assert_int_equal(c->capture_count, 0);
		config_free(c);
		config_free(d);
	}
}

static void unknown_keys(void **state)
{
	(void)state;
	expect_errors("workers: 2\nworkerz: 3\n",
		"FILE:2:1: workerz: there is no such key; accepted: socket groups log workers cpus "
		"memory idle captures flow decode defrag stream stats");
	expect_errors("flow:\n    key:\n        vlan: true\n        mpls: true\n",
		"FILE:4:9: flow.key.mpls: there is no such key; accepted: vlan tunnel");
	expect_errors("captures:\n- source: pcap:a\n- {source: pcap:b, nam: x}\n",
		"FILE:3:20: captures[2].nam: there is no such key; accepted: source name filter");
	// what is under an unknown key is not looked at; what follows is
	expect_errors("xdefrag: {a: [1, {b: c}], workers: x}\nstats: {x: 1}\n",
		"FILE:1:1: xdefrag: there is no such key; accepted: socket groups log workers cpus "
		"memory idle captures flow decode defrag stream stats\n"
		"FILE:2:9: stats.x: there is no such key; accepted: interval");
}

static void wrong_values(void **state)
{
	(void)state;
	expect_errors(
		"workers: 65\n", "FILE:1:10: workers: '65' is out of range; accepted: 1 to 64");
	expect_errors("workers: 0\n", "FILE:1:10: workers: '0' is out of range; accepted: 1 to 64");
	expect_errors(
		"workers: -1\n", "FILE:1:10: workers: '-1' is no such value; accepted: 1 to 64");
	expect_errors(
		"workers: 1.0\n", "FILE:1:10: workers: '1.0' is no such value; accepted: 1 to 64");
	expect_errors("workers: 99999999999999999999\n",
		"FILE:1:10: workers: '99999999999999999999' is out of range; accepted: 1 to 64");
	expect_errors("log: loud\n", "FILE:1:6: log: 'loud' is no such value; accepted: error, "
				     "warning, notice, info or debug");
	expect_errors("flow:\n  key:\n    vlan: 1\n",
		"FILE:3:11: flow.key.vlan: '1' is no such value; accepted: true or false");
	expect_errors("flow: {timeouts: {udp: 5 weeks}}\n",
		"FILE:1:24: flow.timeouts.udp: '5 weeks' is no such value; accepted: 1ms to 30d, "
		"such as 500ms, 30s, 5m or 1h (a plain number is seconds)");
	expect_errors("flow: {timeouts: {udp: 0}}\n",
		"FILE:1:24: flow.timeouts.udp: '0' is out of range; accepted: 1ms to 30d, "
		"such as 500ms, 30s, 5m or 1h (a plain number is seconds)");
	expect_errors("memory: 1MiB\n",
		"FILE:1:9: memory: '1MiB' is out of range; accepted: 64MiB to 1TiB, such as 512MiB "
		"or 2GB (a plain number is MiB)");
	expect_errors("memory: 18446744073709551615TiB\n",
		"FILE:1:9: memory: '18446744073709551615TiB' is out of range; accepted: 64MiB to "
		"1TiB, "
		"such as 512MiB or 2GB (a plain number is MiB)");
	expect_errors("flow: {recent_bytes: 1}\n", "FILE:1:22: flow.recent_bytes: '1' is out of "
						   "range; accepted: 64KiB to 1TiB, such as "
						   "64MB or 1GiB, or 0 for none");
	expect_errors("decode: {tunnel_depth: 8}\n",
		"FILE:1:24: decode.tunnel_depth: '8' is out of range; accepted: 0 to 7");
}

static void wrong_texts(void **state)
{
	(void)state;
	expect_errors("cpus: 0,,1\n", "FILE:1:7: cpus: '0,,1' is not a list of CPUs; accepted: CPU "
				      "numbers and ranges such as 0,2-3");
	expect_errors("cpus: 3-2\n", "FILE:1:7: cpus: '3-2' names no CPUs from 0 to 1023 in "
				     "ascending order; accepted: CPU "
				     "numbers and ranges such as 0,2-3");
	expect_errors("cpus: 99999999999999999999\n",
		"FILE:1:7: cpus: '99999999999999999999' names no CPUs from 0 to 1023 in ascending "
		"order; accepted: CPU numbers and ranges such as 0,2-3");
	expect_errors("groups:\n  read: a b\n",
		"FILE:2:9: groups.read: 'a b' holds a character that a name cannot have; accepted: "
		"the name of a group");
	expect_errors("socket: \"a\\0b\"\n", "FILE:1:9: socket: holds a NUL byte; accepted: a path "
					     "of at most 107 bytes");
	expect_errors("socket: \"a\\nb\"\n",
		"FILE:1:9: socket: holds a control character; accepted: "
		"a path of at most 107 bytes");
	expect_errors("socket: "
		      "/012345678901234567890123456789012345678901234567890123456789012345678901234"
		      "5678901"
		      "2345678901234567890123456\n",
		"FILE:1:9: socket: is 108 bytes long, not 1 to 107; accepted: a path of at most "
		"107 "
		"bytes");
}

#define SOURCES "accepted: a source such as pcap:FILE or afpacket:INTERFACE"

static void wrong_captures(void **state)
{
	char yaml[2048] = "captures:\n";
	size_t at = strlen(yaml);

	(void)state;
	expect_errors(
		"captures:\n  - name: a\n", "FILE:2:5: captures[1]: source is missing; " SOURCES);
	expect_errors("captures:\n  - source: trace.pcap\n",
		"FILE:2:13: captures[1].source: 'trace.pcap' is no source: give pcap:FILE, "
		"afpacket:IFACE, afxdp:IFACE, pci:ADDRESS or vdev:NAME,ARGS; " SOURCES);
	expect_errors("captures:\n  - source: pcap:x,loop=no\n",
		"FILE:2:13: captures[1].source: option loop=no: it accepts 1 or more "
		"times; " SOURCES);
	expect_errors(
		"captures:\n  - source:\n", "FILE:2:12: captures[1].source: is missing; " SOURCES);
	expect_errors("captures:\n  - pcap:a\n", "FILE:2:5: captures[1]: a single value cannot "
						 "stand here; accepted: a mapping of keys");
	expect_errors("captures:\n- {name: a, source: pcap:a}\n- {name: b, source: pcap:b}\n"
		      "- {name: a, source: pcap:c}\n",
		"FILE:4:10: captures[3].name: 'a' is in use on line 2; accepted: a different one "
		"for "
		"each entry");
	for (unsigned i = 0; i < CONFIG_CAPTURES_MAX + 2; i++)
		at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, "- source: pcap:%u\n", i);
	expect_errors(yaml,
		"FILE:66:3: captures: there are more; accepted: a list of at most 64 entries");
}

#define NETWORKS                                                                                   \
	"accepted: an address such as 192.0.2.1 or a network such as 10.0.0.0/8 or 2001:db8::/32"

static void expect_bad_network(const char *network, const char *problem)
{
	char yaml[256], expected[512];

	snprintf(yaml, sizeof(yaml),
		"defrag:\n  policy:\n    networks:\n    - {network: '%s', policy: last}\n",
		network);
	snprintf(expected, sizeof(expected),
		"FILE:4:17: defrag.policy.networks[1].network: %s; " NETWORKS, problem);
	expect_errors(yaml, expected);
}

static void wrong_networks(void **state)
{
	char yaml[2048] = "defrag: {policy: {networks: [";
	size_t at = strlen(yaml);

	(void)state;
	expect_bad_network("10.0.0/8", "'10.0.0/8' does not begin with an IPv4 or IPv6 address");
	expect_bad_network("/8", "'/8' does not begin with an IPv4 or IPv6 address");
	expect_bad_network("host", "'host' does not begin with an IPv4 or IPv6 address");
	expect_bad_network("10.0.0.0/33", "'33' is no prefix length from 0 to 32");
	expect_bad_network("10.0.0.0/", "'' is no prefix length from 0 to 32");
	expect_bad_network("10.0.0.0/+8", "'+8' is no prefix length from 0 to 32");
	expect_bad_network("::/129", "'129' is no prefix length from 0 to 128");
	expect_bad_network("10.0.0.1/8", "'10.0.0.1/8' has bits set behind its first 8");
	expect_bad_network(
		"2001:db8::1/127", "'2001:db8::1/127' has bits set behind its first 127");
	expect_errors("defrag: {policy: {networks: [{policy: last}]}}\n",
		"FILE:1:30: defrag.policy.networks[1]: network is missing; " NETWORKS);
	expect_errors("defrag: {policy: {networks: [{network: 10.0.0.0/8}]}}\n",
		"FILE:1:30: defrag.policy.networks[1]: policy is missing; accepted: first, last, "
		"bsd, linux, windows or drop");
	expect_errors("defrag: {policy: {networks: [{network: '::/0', policy: solaris}]}}\n",
		"FILE:1:56: defrag.policy.networks[1].policy: 'solaris' is no such value; "
		"accepted: first, last, bsd, linux, windows or drop");
	expect_errors("defrag:\n  policy:\n    networks:\n    - {network: '::/0', policy: bsd}\n"
		      "    - {network: '::/0', policy: last}\n",
		"FILE:5:17: defrag.policy.networks[2].network: '::/0' is in use on line 4; "
		"accepted: a different one for each entry");
	for (unsigned i = 0; i <= DEFRAG_NETWORKS_MAX; i++)
		at += (size_t)snprintf(yaml + at, sizeof(yaml) - at,
			"{network: 10.0.%u.0/24, policy: bsd}%s", i,
			i < DEFRAG_NETWORKS_MAX ? ",\n" : "]}}\n");
	expect_errors(yaml,
		"FILE:33:1: defrag.policy.networks: there are more; accepted: a list of "
		"at most 32 entries");
}

static void wrong_shapes(void **state)
{
	(void)state;
	expect_errors("flow: 7\n", "FILE:1:7: flow: a single value cannot stand here; accepted: a "
				   "mapping of keys");
	expect_errors("workers: [1, 2]\nlog: {a: b}\n",
		"FILE:1:10: workers: a list cannot stand here; accepted: 1 to 64\n"
		"FILE:2:6: log: a mapping cannot stand here; accepted: error, warning, notice, "
		"info or "
		"debug");
	expect_errors("captures: {source: pcap:a}\n",
		"FILE:1:11: captures: a mapping cannot stand "
		"here; accepted: a list of at most 64 entries");
	expect_errors(
		"- workers\n", "FILE:1:1: a list cannot stand here; accepted: a mapping of keys");
	expect_errors("workers\n",
		"FILE:1:1: a single value cannot stand here; accepted: a mapping of keys");
	expect_errors("? {a: b}\n: c\nworkers: 0\n",
		"FILE:1:3: a mapping cannot be a key; accepted: the name of a key\n"
		"FILE:3:10: workers: '0' is out of range; accepted: 1 to 64");
	expect_errors("log: info\nworkers: 2\nlog: debug\n",
		"FILE:3:1: log: is already set on line 1; accepted: each key once");
	expect_errors("log: &l info\nidle: *l\n",
		"FILE:2:7: idle: an alias cannot stand here; accepted: the value itself");
	expect_errors("log: info\n---\nlog: debug\n",
		"FILE:2:1: a second document begins; accepted: one document");
}

static void not_yaml(void **state)
{
	(void)state;
	expect_errors("workers: 2\n  log: info\n",
		"FILE:1:10: workers: '2 log' is no such value; accepted: 1 to 64\n"
		"FILE:2:6: mapping values are not allowed in this context; accepted: YAML, in "
		"UTF-8");
	expect_errors("log: info\nflow: {a\n", "FILE:2:8: flow.a: there is no such key; accepted: "
					       "capacity key timeouts recent_bytes\n"
					       "FILE:3:1: did not find expected ',' or '}' while "
					       "parsing a flow mapping; accepted: "
					       "YAML, in UTF-8");
	expect_errors(
		"log: \xff\n", "FILE:1:6: invalid leading UTF-8 octet; accepted: YAML, in UTF-8");
	expect_errors_sized("log: a\0b\n", 9,
		"FILE:1:7: control characters are not allowed; accepted: YAML, in UTF-8");
}

static void files_that_cannot_be_read(void **state)
{
	static const char hint[] = "; accepted: a readable file, or /dev/null for the defaults";
	char text[256];
	size_t size = (1 << 20) + 1;
	char *big = malloc(size);

	(void)state;
	assert_null(config_load("/nowhere/x.yaml", error, sizeof(error)));
	snprintf(text, sizeof(text), "/nowhere/x.yaml: No such file or directory%s", hint);
	assert_string_equal(error, text);
	assert_null(config_load("/tmp", error, sizeof(error)));
	snprintf(text, sizeof(text), "/tmp: Is a directory%s", hint);
	assert_string_equal(error, text);
	assert_non_null(big);
	memset(big, '#', size);
	expect_errors_sized(big, size, "FILE: File too large; accepted: files of at most 1 MiB");
	struct config *c = load(big, size - 1);

	assert_non_null(c);
	config_free(c);
	free(big);
}

// More mistakes than the buffer holds are counted, and nothing is written past its end.
static void many_errors(void **state)
{
	char yaml[4096], small[300];
	size_t at = 0;

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		at += (size_t)snprintf(yaml + at, sizeof(yaml) - at, "stats: 1\n");
	assert_null(load(yaml, at));
	assert_non_null(strstr(error, "\nand "));
	memset(small, 'x', sizeof(small));
	assert_null(config_load(path, small, 200));
	assert_in_range(strlen(small), 1, 199);
	assert_int_equal(small[200], 'x');
}

static void template_holds_the_defaults(void **state)
{
	char *yaml = NULL, keys[256];
	size_t size;
	FILE *f = open_memstream(&yaml, &size);
	struct config *c, *d = config_load(NULL, error, sizeof(error));

	(void)state;
	config_write_template(f);
	assert_int_equal(fclose(f), 0);
	c = load_ok(yaml);
	assert_int_equal(config_restart_keys(d, c, keys, sizeof(keys)), 0);
	assert_int_equal(c->log, d->log);
	assert_int_equal(c->capture_count, 0);
	config_free(c);
	// every line that is commented out is accepted as well once it is not
	for (char *line = yaml; line != NULL; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (line[0] == '#' && line[1] != ' ' && line[1] != '\n')
			line[0] = ' ';
		else if (strncmp(line, "#  ", 3) == 0)
			line[0] = ' ';
	}
	for (char *key; (key = strstr(yaml, "\n socket")) != NULL ||
			(key = strstr(yaml, "\n cpus")) != NULL;)
		memmove(key + 1, key + 2, strlen(key + 2) + 1);
	c = load_ok(yaml);
	assert_string_equal(c->socket, "/run/pktaid/pktaid.sock");
	assert_string_equal(c->cpus, "0,2-3");
	assert_int_equal(c->capture_count, 1);
	assert_string_equal(c->captures[0].source, "afpacket:eth0");
	config_free(c);
	config_free(d);
	free(yaml);
}

static void restart_keys(void **state)
{
	struct config *d = config_load(NULL, error, sizeof(error));
	struct config *c;
	char keys[256], few[16];

	(void)state;
	c = load_ok("log: debug\ncaptures: [{source: pcap:x}]\n");
	assert_int_equal(config_restart_keys(d, c, keys, sizeof(keys)), 0);
	assert_string_equal(keys, "");
	config_free(c);
	c = load_ok("workers: 2\nsocket: /x\nflow: {capacity: 100, timeouts: {udp: 1s}}\n");
	assert_int_equal(config_restart_keys(d, c, keys, sizeof(keys)), 4);
	assert_string_equal(keys, "socket, workers, flow.capacity, flow.timeouts.udp");
	assert_int_equal(config_restart_keys(d, c, few, sizeof(few)), 4);
	assert_string_equal(few, "socket, workers");
	config_free(c);
	config_free(d);
	d = load_ok("defrag: {policy: {networks: [{network: '::/0', policy: bsd}]}}");
	c = load_ok("defrag: {policy: {networks: [{network: '::/0', policy: bsd}]}}");
	assert_int_equal(config_restart_keys(d, c, keys, sizeof(keys)), 0);
	config_free(c);
	c = load_ok("defrag: {policy: {networks: [{network: '::/0', policy: last}]}}");
	assert_int_equal(config_restart_keys(d, c, keys, sizeof(keys)), 1);
	assert_string_equal(keys, "defrag.policy.networks");
	config_free(c);
	c = load_ok("");
	assert_int_equal(config_restart_keys(d, c, keys, sizeof(keys)), 1);
	config_free(c);
	config_free(d);
}

// The table itself: defaults within range, members wide enough, a sentence for each key.
static void check_rows(const struct config_key *keys)
{
	char problem[256], accepted[256];

	for (const struct config_key *k = keys; k->name != NULL; k++) {
		assert_non_null(k->about);
		assert_in_range(strlen(k->about), 6, 400);
		if (k->keys != NULL)
			check_rows(k->keys);
		if (k->kind == CONFIG_SECTION || k->kind == CONFIG_LIST)
			continue;
		config_value_accepted(k, accepted, sizeof(accepted));
		assert_in_range(strlen(accepted), 6, 200);
		if (k->kind == CONFIG_TEXT) {
			assert_int_equal(k->width, sizeof(char *));
			assert_true(k->text != NULL || k->unset != NULL || k->required);
			if (k->text != NULL)
				assert_int_equal(config_value_set(k, NULL, k->text, problem,
							 sizeof(problem)),
					0);
			continue;
		}
		assert_true(k->width == 1 || k->width == 4 || k->width == 8);
		if (k->kind == CONFIG_SWITCH || k->kind == CONFIG_CHOICE)
			continue;
		assert_true((k->value >= k->min && k->value <= k->max) ||
			    (k->zero != NULL && k->value == 0));
		assert_true(k->width == 8 || k->max < UINT64_C(1) << (8 * k->width));
	}
}

static void table_is_sound(void **state)
{
	(void)state;
	check_rows(config_keys);
	for (const struct config_option *o = config_options; o->name != NULL; o++) {
		assert_non_null(o->about);
		if (o->key != NULL)
			assert_non_null(config_key_find(o->key));
	}
	assert_ptr_equal(
		config_key_find("flow.key.vlan"), &config_key_find("flow")->keys[1].keys[0]);
	assert_null(config_key_find("flow.key.x"));
	assert_null(config_key_find("flo"));
	assert_null(config_key_find("log.x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_key),
		cmocka_unit_test(sizes_and_times),
		cmocka_unit_test(empty_documents_and_values),
		cmocka_unit_test(unknown_keys),
		cmocka_unit_test(wrong_values),
		cmocka_unit_test(wrong_texts),
		cmocka_unit_test(wrong_captures),
		cmocka_unit_test(wrong_networks),
		cmocka_unit_test(wrong_shapes),
		cmocka_unit_test(not_yaml),
		cmocka_unit_test(files_that_cannot_be_read),
		cmocka_unit_test(many_errors),
		cmocka_unit_test(template_holds_the_defaults),
		cmocka_unit_test(restart_keys),
		cmocka_unit_test(table_is_sound),
	};

	return cmocka_run_group_tests_name("config", tests, make_file, remove_file);
}
