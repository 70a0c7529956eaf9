// SPDX-License-Identifier: Apache-2.0
// Source strings, KIND:TARGET[,OPTION=VALUE]…, and nothing else: no file or device is looked at.
// Options are taken off the end of the string one by one, as long as the name is one of ours, since
// paths and device arguments hold commas of their own.
#include "capture_internal.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_FILE = 1 << 0, KIND_LIVE = 1 << 1, KIND_AFPACKET = 1 << 2 };

static const struct {
	const char *scheme;
	const char *target;
	enum capture_kind kind;
	unsigned options;
} kinds[] = {
	{"pcap", "FILE", CAPTURE_PCAP, KIND_FILE},
	{"afpacket", "IFACE", CAPTURE_AFPACKET, KIND_LIVE | KIND_AFPACKET},
	{"afxdp", "IFACE", CAPTURE_AFXDP, KIND_LIVE},
	{"vdev", "NAME,ARGS", CAPTURE_VDEV, KIND_LIVE},
	{"pci", "ADDRESS", CAPTURE_PCI, KIND_LIVE},
};

static const char accepted[] =
	"pcap:FILE, afpacket:IFACE, afxdp:IFACE, pci:ADDRESS or vdev:NAME,ARGS";

static int parse_number(const char *text, uint32_t min, uint32_t max, uint32_t *ret)
{
	unsigned long long v;
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return -EINVAL;
	errno = 0;
	v = strtoull(text, &end, 10);
	if (*end != 0 || errno != 0 || v < min || v > max)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

static int set_queues(struct capture_source *s, const char *v)
{
	return parse_number(v, 1, CAPTURE_QUEUES_MAX, &s->queues);
}

static int set_snaplen(struct capture_source *s, const char *v)
{
	return parse_number(v, 0, 262144, &s->snaplen);
}

static int set_promisc(struct capture_source *s, const char *v)
{
	if (strcmp(v, "on") == 0)
		s->promisc = 1;
	else if (strcmp(v, "off") == 0)
		s->promisc = 0;
	else
		return -EINVAL;
	return 0;
}

static int set_speed(struct capture_source *s, const char *v)
{
	size_t n = strlen(v);
	double d;

	if (strcmp(v, "max") == 0) {
		s->speed = 0;
		return 0;
	}
	if (n < 2 || n > 16 || v[n - 1] != 'x' || strspn(v, "0123456789.") != n - 1)
		return -EINVAL;
	if (strchr(v, '.') != strrchr(v, '.') || n - 1 == (size_t)(v[0] == '.'))
		return -EINVAL;
	d = strtod(v, NULL);
	if (d < 0.001 || d > 1e6)
		return -EINVAL;
	s->speed = d;
	return 0;
}

static int set_loop(struct capture_source *s, const char *v)
{
	return parse_number(v, 1, UINT32_MAX, &s->loop);
}

static int set_buffer(struct capture_source *s, const char *v)
{
	return parse_number(v, 1, 1024, &s->buffer_mib);
}

static const struct option {
	const char *name;
	const char *accepts;
	unsigned kinds;
	int (*set)(struct capture_source *, const char *value);
} options[] = {
	{"queues", "1 to 64", KIND_LIVE, set_queues},
	{"snaplen", "0 (all) to 262144 bytes", KIND_FILE | KIND_LIVE, set_snaplen},
	{"promisc", "on or off", KIND_LIVE, set_promisc},
	{"buffer", "1 to 1024 MiB", KIND_AFPACKET, set_buffer},
	{"speed", "max, or a factor such as 1x, 2x, 0.5x", KIND_FILE, set_speed},
	{"loop", "1 or more times", KIND_FILE, set_loop},
};

static const struct option *find_option(const char *text, size_t n)
{
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if (strlen(options[i].name) == n && memcmp(options[i].name, text, n) == 0)
			return &options[i];
	return NULL;
}

// Devices that have an argument "queues" of their own must get it as well.
static bool vdev_has_queues(const char *target)
{
	static const char *const names[] = {
		"net_vhost", "eth_vhost", "net_virtio_user", "virtio_user"};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(target, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static int bad_option(
	const struct option *o, unsigned kind, const char *value, char *error, size_t size)
{
	char names[128] = "";

	if ((o->kinds & kinds[kind].options) != 0)
		return capture_fail(-EINVAL, error, size, "option %s=%.40s: it accepts %s", o->name,
			value, o->accepts);
	for (unsigned i = 0; i < sizeof(options) / sizeof(options[0]); i++)
		if ((options[i].kinds & kinds[kind].options) != 0) {
			if (names[0] != 0)
				strcat(names, ", ");
			strcat(names, options[i].name);
		}
	return capture_fail(-EINVAL, error, size,
		"option %s does not apply to %s: sources; they have %s", o->name,
		kinds[kind].scheme, names);
}

// Takes options off the end of s->target.
static int take_options(struct capture_source *s, unsigned kind, char *error, size_t size)
{
	unsigned seen = 0;

	for (;;) {
		char *comma = strrchr(s->target, ',');
		const struct option *o;
		char *value;

		if (comma == NULL)
			return 0;
		if (comma[1] == 0) { // no options from here on
			*comma = 0;
			return 0;
		}
		value = strchr(comma, '=');
		if (value == NULL)
			return 0;
		o = find_option(comma + 1, (size_t)(value - comma - 1));
		if (o == NULL)
			return 0;
		value++;
		// An option that stands twice: the last one counts.
		if ((seen & 1U << (o - options)) == 0 &&
			((o->kinds & kinds[kind].options) == 0 || o->set(s, value) != 0))
			return bad_option(o, kind, value, error, size);
		seen |= 1U << (o - options);
		if (o->set == set_queues && s->kind == CAPTURE_VDEV && vdev_has_queues(s->target))
			return 0;
		*comma = 0;
	}
}

static bool is_pci_address(const char *text)
{
	unsigned domain, bus, device, function;
	int end = 0;
	size_t n = strcspn(text, ",");

	if (sscanf(text, "%4x:%2x:%2x.%1x%n", &domain, &bus, &device, &function, &end) == 4 &&
		(size_t)end == n)
		return true;
	end = 0;
	return sscanf(text, "%2x:%2x.%1x%n", &bus, &device, &function, &end) == 3 &&
	       (size_t)end == n;
}

static int check_target(const struct capture_source *s, char *error, size_t size)
{
	const char *t = s->target;
	size_t name = strcspn(t, ", \t\n/=");

	switch (s->kind) {
	case CAPTURE_PCAP:
		return 0;
	case CAPTURE_AFPACKET:
	case CAPTURE_AFXDP:
		if (strlen(t) <= 15 && strpbrk(t, "/ \t\n,") == NULL)
			return 0;
		return capture_fail(-EINVAL, error, size,
			"'%.64s' is no interface name (at most 15 characters, none of them '/' or "
			"space), or has an unknown option behind it",
			t);
	case CAPTURE_VDEV:
		if (name >= 1 && name < 64 && (t[name] == 0 || t[name] == ','))
			return 0;
		return capture_fail(-EINVAL, error, size,
			"'%.64s' is no device: give a DPDK vdev such as vdev:net_pcap0,iface=eth0",
			t);
	case CAPTURE_PCI:
		if (is_pci_address(t))
			return 0;
		return capture_fail(-EINVAL, error, size,
			"'%.64s' is no PCI address: give one such as pci:0000:01:00.0", t);
	}
	return -EINVAL;
}

int capture_source_parse(const char *text, struct capture_source *ret, char *error, size_t size)
{
	struct capture_source s = {.promisc = -1};
	size_t n = strcspn(text, ":");
	unsigned kind = 0;
	int r;

	while (kind < sizeof(kinds) / sizeof(kinds[0]) &&
		(strlen(kinds[kind].scheme) != n || memcmp(kinds[kind].scheme, text, n) != 0))
		kind++;
	if (kind == sizeof(kinds) / sizeof(kinds[0]) || text[n] != ':')
		return capture_fail(
			-EINVAL, error, size, "'%.64s' is no source: give %s", text, accepted);
	s.kind = kinds[kind].kind;
	if (strlen(text + n + 1) >= sizeof(s.target))
		return capture_fail(-EINVAL, error, size, "source is longer than %u characters",
			(unsigned)sizeof(s.target) - 1);
	strcpy(s.target, text + n + 1);
	r = take_options(&s, kind, error, size);
	if (r < 0)
		return r;
	if (s.target[0] == 0)
		return capture_fail(-EINVAL, error, size,
			"source '%.64s' names nothing: give %s:%s", text, kinds[kind].scheme,
			kinds[kind].target);
	r = check_target(&s, error, size);
	if (r == 0)
		*ret = s;
	return r;
}
