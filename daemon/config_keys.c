// SPDX-License-Identifier: Apache-2.0
// The configuration's tables: every key with its place, range, default and help text, and every
// command-line option. Data only, but for the checks of texts that have a form of their own.
#include "config_keys.h"

#include "capture.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_DAY (86400 * UINT64_C(1000000000))
#define SECONDS(n) ((n)*UINT64_C(1000000000))
#define MIB (UINT64_C(1) << 20)

// A member of a struct: its place and width.
#define MEMBER(type, member)                                                                       \
	.offset = offsetof(struct type, member), .width = sizeof(((struct type *)0)->member)

static const char *const log_choices[] = {"error", "warning", "notice", "info", "debug", NULL};
static const char *const idle_choices[] = {"sleep", "busy", NULL};
static const char *const overlap_choices[] = {
	"first", "last", "bsd", "linux", "windows", "drop", NULL};
static const char *const checksum_choices[] = {"ignore", "verify", NULL};

// "0,2-3": numbers and ranges below 1024 (what the kernel's cpu_set_t holds).
static int check_cpus(const char *text, char *error, size_t size)
{
	const char *at = text;

	while (*at != '\0') {
		unsigned long first, last;
		char *end;

		if (!isdigit((unsigned char)*at))
			goto bad;
		first = last = strtoul(at, &end, 10);
		if (*end == '-') {
			if (!isdigit((unsigned char)end[1]))
				goto bad;
			last = strtoul(end + 1, &end, 10);
		}
		if (last < first || last > 1023) {
			snprintf(error, size,
				"'%s' names no CPUs from 0 to 1023 in ascending order", text);
			return -EINVAL;
		}
		if (*end == ',' && end[1] != '\0')
			end++;
		else if (*end != '\0')
			goto bad;
		at = end;
	}
	return 0;
bad:
	snprintf(error, size, "'%s' is not a list of CPUs", text);
	return -EINVAL;
}

static int check_name(const char *text, char *error, size_t size)
{
	for (const char *c = text; *c != '\0'; c++)
		if (!isalnum((unsigned char)*c) && strchr("._:@+-", *c) == NULL) {
			snprintf(error, size, "'%s' holds a character that a name cannot have",
				text);
			return -EINVAL;
		}
	return 0;
}

// What the sources themselves make of it: their message names what is accepted for its part.
static int check_source(const char *text, char *error, size_t size)
{
	struct capture_source source;

	return capture_source_parse(text, &source, error, size) == 0 ? 0 : -EINVAL;
}

static int check_network(const char *text, char *error, size_t size)
{
	uint8_t address[16], version, prefix_bits;

	return config_network_parse(text, address, &version, &prefix_bits, error, size);
}

static const struct config_key group_keys[] = {
	{.name = "read",
		.kind = CONFIG_TEXT,
		MEMBER(config, groups.read),
		.live = true,
		.text = "pktai",
		.min = 1,
		.max = 31,
		.check = check_name,
		.accepted = "the name of a group",
		.about = "Members of this group may ask: status, flows, counters, events."},
	{.name = "admin",
		.kind = CONFIG_TEXT,
		MEMBER(config, groups.admin),
		.live = true,
		.text = "pktai-admin",
		.min = 1,
		.max = 31,
		.check = check_name,
		.accepted = "the name of a group",
		.about = "Members of this group may also change: captures, log level, reload, "
			 "shutdown."},
	{.name = NULL},
};

static const struct config_key capture_keys[] = {
	{.name = "source",
		.kind = CONFIG_TEXT,
		MEMBER(config_capture, source),
		.required = true,
		.min = 1,
		.max = 4199,
		.check = check_source,
		.accepted = "a source such as pcap:FILE or afpacket:INTERFACE",
		.about = "Where the packets come from: pcap:FILE, afpacket:INTERFACE, "
			 "afxdp:INTERFACE, "
			 "pci:ADDRESS or vdev:NAME,ARGUMENTS. Options after a comma: "
			 "snaplen=BYTES; for "
			 "files speed=max|1x|2x and loop=N; for the others queues=N and "
			 "promisc=on|off; "
			 "for afpacket buffer=MIB."},
	{.name = "name",
		.kind = CONFIG_TEXT,
		MEMBER(config_capture, name),
		.unique = true,
		.min = 1,
		.max = 63,
		.check = check_name,
		.accepted = "letters, digits and . _ : @ + -",
		.unset = "made from the source",
		.about = "What the capture is called in pktctl."},
	{.name = "filter",
		.kind = CONFIG_TEXT,
		MEMBER(config_capture, filter),
		.min = 1,
		.max = 1023,
		.accepted = "a filter as pcap-filter(7) describes",
		.unset = "none",
		.about = "Only packets that match are analysed; the others are counted as "
			 "filtered."},
	{.name = NULL},
};

static const struct config_key flow_key_keys[] = {
	{.name = "vlan",
		.kind = CONFIG_SWITCH,
		MEMBER(config, flow.key_vlan),
		.value = false,
		.about = "Packets with different VLAN ids belong to different flows."},
	{.name = "tunnel",
		.kind = CONFIG_SWITCH,
		MEMBER(config, flow.key_tunnel),
		.value = true,
		.about = "Packets of different tunnels (type, network identifier, outer addresses) "
			 "belong to different flows."},
	{.name = NULL},
};

#define TIMEOUT(key, member, seconds, ...)                                                         \
	{                                                                                          \
		.name = key, .kind = CONFIG_DURATION, MEMBER(config, flow.member),                 \
		.min = NS_PER_MS, .max = 30 * NS_PER_DAY, .value = SECONDS(seconds), __VA_ARGS__   \
	}

static const struct config_key timeout_keys[] = {
	TIMEOUT("tcp_new", tcp_new_ns, 30,
		.about =
			"A TCP flow whose handshake is not complete ends after this long without a "
			"packet."),
	TIMEOUT("tcp_established", tcp_established_ns, 300,
		.about = "The same for an established TCP flow."),
	TIMEOUT("tcp_closed", tcp_closed_ns, 10,
		.about = "How long a flow that FIN or RST closed waits for late packets."),
	TIMEOUT("udp", udp_ns, 60, .about = "A UDP flow ends after this long without a packet."),
	TIMEOUT("icmp", icmp_ns, 30, .about = "The same for ICMP and ICMPv6."),
	TIMEOUT("other", other_ns, 60, .about = "The same for all other protocols."),
	TIMEOUT("active", active_ns, 300, .zero = "never",
		.about = "A flow that lasts longer is reported in parts of this length."),
	{.name = NULL},
};

static const struct config_key flow_keys[] = {
	{.name = "capacity",
		.kind = CONFIG_NUMBER,
		MEMBER(config, flow.capacity),
		.min = 64,
		.max = 1000000000,
		.value = 1000000,
		.about = "Active flows that all workers together can hold. When a table is full, a "
			 "flow that has been silent for long is ended early and counted as "
			 "evicted."},
	{.name = "key",
		.kind = CONFIG_SECTION,
		.keys = flow_key_keys,
		.about = "What tells flows apart, beside protocol, addresses and ports."},
	{.name = "timeouts",
		.kind = CONFIG_SECTION,
		.keys = timeout_keys,
		.about = "When flows end. Files follow the packets' time, live captures also the "
			 "clock."},
	{.name = "recent_bytes",
		.kind = CONFIG_BYTES,
		MEMBER(config, recent_bytes),
		.zero = "none",
		.min = 64 << 10,
		.max = MIB << 20,
		.value = 64 * MIB,
		.about = "Memory for ended flows that pktctl can still show; the oldest make room. "
			 "With --exit-when-done 4MiB at most."},
	{.name = NULL},
};

static const struct config_key decode_keys[] = {
	{.name = "checksum",
		.kind = CONFIG_CHOICE,
		MEMBER(config, decode.verify_checksum),
		.choices = checksum_choices,
		.value = 0,
		.about = "Whether to verify the checksums of IPv4, TCP, UDP and ICMP. Captures "
			 "taken "
			 "on the sending host hold packets whose checksums its NIC had yet to fill "
			 "in."},
	{.name = "tunnel_depth",
		.kind = CONFIG_NUMBER,
		MEMBER(config, decode.tunnel_depth),
		.min = 0,
		.max = PACKET_LAYERS_MAX - 1,
		.value = 4,
		.about = "How many tunnels inside each other are followed; deeper ones are "
			 "counted."},
	{.name = NULL},
};

static const struct config_key network_keys[] = {
	{.name = "network",
		.kind = CONFIG_TEXT,
		MEMBER(config_network, network),
		.required = true,
		.unique = true,
		.min = 1,
		.max = 63,
		.check = check_network,
		.accepted = "an address such as 192.0.2.1 or a network such as 10.0.0.0/8 or "
			    "2001:db8::/32",
		.about = "The receivers that are meant."},
	{.name = "policy",
		.kind = CONFIG_CHOICE,
		MEMBER(config_network, policy),
		.required = true,
		.choices = overlap_choices,
		.about = "Their policy."},
	{.name = NULL},
};

static const struct config_key defrag_policy_keys[] = {
	{.name = "ipv4",
		.kind = CONFIG_CHOICE,
		MEMBER(config, defrag.policy4),
		.choices = overlap_choices,
		.value = DEFRAG_FIRST,
		.about = "Which bytes count where fragments of an IPv4 datagram overlap with "
			 "different content: those that came first or last, those that BSD, Linux "
			 "or "
			 "Windows would take, or none (drop: the datagram is given up)."},
	{.name = "ipv6",
		.kind = CONFIG_CHOICE,
		MEMBER(config, defrag.policy6),
		.choices = overlap_choices,
		.value = DEFRAG_DROP,
		.about = "The same for IPv6; RFC 5722 says drop."},
	{.name = "networks",
		.kind = CONFIG_LIST,
		MEMBER(config, defrag_networks),
		.count_offset = offsetof(struct config, defrag_network_count),
		.entry_size = sizeof(struct config_network),
		.keys = network_keys,
		.max = DEFRAG_NETWORKS_MAX,
		.example = "  - network: 10.0.0.0/8\n    policy: linux\n",
		.about = "Receivers that settle overlaps otherwise. The first network that the "
			 "destination is in decides."},
	{.name = NULL},
};

static const struct config_key defrag_keys[] = {
	{.name = "trackers",
		.kind = CONFIG_NUMBER,
		MEMBER(config, defrag.trackers),
		.min = 16,
		.max = 10000000,
		.value = 16384,
		.about = "Datagrams of which fragments are kept, over all workers. When they are "
			 "used up, the oldest is given up and counted as evicted."},
	{.name = "fragments",
		.kind = CONFIG_NUMBER,
		MEMBER(config, defrag.fragments),
		.min = 64,
		.max = 100000000,
		.value = 65536,
		.about = "Fragments that are kept, over all workers."},
	{.name = "bytes",
		.kind = CONFIG_BYTES,
		MEMBER(config, defrag.bytes),
		.min = 128 << 10,
		.max = MIB << 20,
		.value = 32 * MIB,
		.about = "Memory for their bytes."},
	{.name = "timeout",
		.kind = CONFIG_DURATION,
		MEMBER(config, defrag.timeout_ns),
		.min = NS_PER_MS,
		.max = NS_PER_DAY,
		.value = SECONDS(30),
		.about = "How long after its first fragment a datagram may become complete."},
	{.name = "policy",
		.kind = CONFIG_SECTION,
		.keys = defrag_policy_keys,
		.about = "Overlapping fragments."},
	{.name = NULL},
};

static const struct config_key stream_keys[] = {
	{.name = "bytes",
		.kind = CONFIG_BYTES,
		MEMBER(config, stream.reassembly.bytes),
		.zero = "flows only: TCP is not put together",
		.min = 400 << 10,
		.max = MIB << 20,
		.value = 64 * MIB,
		.about = "Memory for segments that came ahead of their turn, over all workers, of "
			 "which each has 400 KiB at least. When it is spent, the stream that holds "
			 "the most gives up what it waits for."},
	{.name = "depth",
		.kind = CONFIG_BYTES,
		MEMBER(config, stream.reassembly.depth_bytes),
		.zero = "all",
		.min = 1,
		.max = UINT64_C(1) << 50,
		.value = 0,
		.about =
			"How many bytes of each direction of a stream are looked into or kept; the "
			"rest is counted."},
	{.name = "policy",
		.kind = CONFIG_CHOICE,
		MEMBER(config, stream.reassembly.policy),
		.choices = overlap_choices,
		.value = REASSEMBLY_FIRST,
		.about =
			"Which bytes count where segments that are held overlap with different "
			"content: those that came first or last, those that BSD, Linux or Windows "
			"would take, or none of a segment that contradicts an earlier one (drop)."},
	{.name = "networks",
		.kind = CONFIG_LIST,
		MEMBER(config, stream.networks),
		.count_offset = offsetof(struct config, stream.network_count),
		.entry_size = sizeof(struct config_network),
		.keys = network_keys,
		.max = REASSEMBLY_NETWORKS_MAX,
		.example = "  - network: 10.0.0.0/8\n    policy: linux\n",
		.about =
			"Receivers whose policy is another. The first network that the destination "
			"is in decides."},
	{.name = "keep",
		.kind = CONFIG_BYTES,
		MEMBER(config, stream.keep_bytes),
		.zero = "none",
		.min = 64 << 10,
		.max = MIB << 20,
		.value = 0,
		.about = "Memory for the bytes of recent streams, in order as their receivers read "
			 "them, for pktctl flow ID --follow. Whoever may ask the daemon may read "
			 "them."},
	{.name = NULL},
};

static const struct config_key stats_keys[] = {
	{.name = "interval",
		.kind = CONFIG_DURATION,
		MEMBER(config, stats_interval_ns),
		.live = true,
		.zero = "never",
		.min = 100 * NS_PER_MS,
		.max = NS_PER_DAY,
		.value = SECONDS(30),
		.about = "How often a stats event with all counters is written."},
	{.name = NULL},
};

const struct config_key config_keys[] = {
	{.name = "socket",
		.kind = CONFIG_TEXT,
		MEMBER(config, socket),
		.min = 1,
		.max = 107,
		.accepted = "a path of at most 107 bytes",
		.example = "/run/pktaid/pktaid.sock",
		.unset = "/run/pktaid/pktaid.sock for root and the service, else "
			 "$XDG_RUNTIME_DIR/pktaid.sock",
		.about = "Where pktctl finds the daemon. PKTAID_SOCKET in the environment and "
			 "--socket "
			 "go before it. Under systemd the socket unit decides."},
	{.name = "groups",
		.kind = CONFIG_SECTION,
		.keys = group_keys,
		.about = "Who may use the socket, beside root and the daemon's own user."},
	{.name = "log",
		.kind = CONFIG_CHOICE,
		MEMBER(config, log),
		.live = true,
		.choices = log_choices,
		.value = LOG_LEVEL_NOTICE,
		.about = "The least important messages that are logged."},
	{.name = "workers",
		.kind = CONFIG_NUMBER,
		MEMBER(config, workers),
		.min = 1,
		.max = 64,
		.value = 1,
		.about = "Threads that analyse packets, best one for each free core."},
	{.name = "cpus",
		.kind = CONFIG_TEXT,
		MEMBER(config, cpus),
		.min = 1,
		.max = 255,
		.check = check_cpus,
		.accepted = "CPU numbers and ranges such as 0,2-3",
		.example = "0,2-3",
		.unset = "all that the process may use",
		.about = "The CPUs that the workers run on."},
	{.name = "memory",
		.kind = CONFIG_MEBIBYTES,
		MEMBER(config, memory_mib),
		.min = 64,
		.max = 1 << 20,
		.value = 512,
		.about = "Memory for packet buffers; hugepages where there are any, else ordinary "
			 "memory."},
	{.name = "idle",
		.kind = CONFIG_CHOICE,
		MEMBER(config, busy),
		.choices = idle_choices,
		.value = 0,
		.about = "What a worker without packets does: sleep until some come, or stay busy "
			 "asking, "
			 "which answers sooner and uses a whole core."},
	{.name = "captures",
		.kind = CONFIG_LIST,
		MEMBER(config, captures),
		.live = true,
		.count_offset = offsetof(struct config, capture_count),
		.entry_size = sizeof(struct config_capture),
		.keys = capture_keys,
		.max = CONFIG_CAPTURES_MAX,
		.example = "  - name: uplink\n    source: afpacket:eth0\n    filter: not port 22\n",
		.about =
			"Captures that start with the daemon; pktctl starts and stops others. With "
			"--capture on the command line, those here are not started."},
	{.name = "flow", .kind = CONFIG_SECTION, .keys = flow_keys, .about = "Flows."},
	{.name = "decode",
		.kind = CONFIG_SECTION,
		.keys = decode_keys,
		.about = "Decoding of packets."},
	{.name = "defrag",
		.kind = CONFIG_SECTION,
		.keys = defrag_keys,
		.about = "Reassembly of IP fragments."},
	{.name = "stream",
		.kind = CONFIG_SECTION,
		.keys = stream_keys,
		.about = "Reassembly of TCP streams."},
	{.name = "stats",
		.kind = CONFIG_SECTION,
		.keys = stats_keys,
		.about = "Counters as events."},
	{.name = NULL},
};

const struct config_option config_options[] = {
	{"config", OPTION_CONFIG, "FILE", NULL,
		"Read this configuration file. Without it " CONFIG_DEFAULT_PATH
		" is read if it exists; "
		"/dev/null stands for the defaults."},
	{"socket", OPTION_KEY, "PATH", "socket", "Listen on this socket."},
	{"workers", OPTION_KEY, "N", "workers", "Run this many worker threads."},
	{"cpus", OPTION_KEY, "LIST", "cpus", "Run the workers on these CPUs, such as 0,2-3."},
	{"memory", OPTION_KEY, "MIB", "memory", "Use this much memory for packet buffers."},
	{"no-huge", OPTION_NO_HUGE, NULL, NULL,
		"Use ordinary memory, even where there are hugepages."},
	{"capture", OPTION_LIST, "SOURCE", "captures",
		"Start this capture: pcap:FILE, afpacket:INTERFACE, afxdp:INTERFACE, pci:ADDRESS "
		"or "
		"vdev:NAME,ARGUMENTS. May be given several times. The captures of the "
		"configuration "
		"file are then not started."},
	{"events", OPTION_EVENTS, "FILE", NULL,
		"Write all events as EVE JSON lines to this file; - is standard output."},
	{"follow-to", OPTION_FOLLOW, "DIR", NULL,
		"Save every TCP stream of the captures that start with the daemon in this folder: "
		"one file for "
		"each direction that carries bytes, named FLOWID_SRC_SPORT_DST_DPORT by its flow "
		"and by who "
		"sent the bytes to whom."},
	{"exit-when-done", OPTION_EXIT_WHEN_DONE, NULL, NULL,
		"Exit when all captures have ended. Needs --capture."},
	{"log-level", OPTION_KEY, "LEVEL", "log",
		"Log messages of this importance and above: error, warning, notice, info or "
		"debug."},
	{"check-config", OPTION_CHECK, NULL, NULL, "Check the configuration and exit."},
	{"version", OPTION_VERSION, NULL, NULL, "Show the version and exit."},
	{"help", OPTION_HELP, NULL, NULL, "Show this help and exit."},
	{NULL, OPTION_HELP, NULL, NULL, NULL},
};

const struct config_key *config_key_find(const char *path)
{
	const struct config_key *keys = config_keys;

	while (keys != NULL) {
		size_t n = strcspn(path, ".");
		const struct config_key *k = keys;

		while (k->name != NULL && (strncmp(k->name, path, n) != 0 || k->name[n] != '\0'))
			k++;
		if (k->name == NULL)
			return NULL;
		if (path[n] == '\0')
			return k;
		path += n + 1;
		keys = k->keys;
	}
	return NULL;
}
