// SPDX-License-Identifier: Apache-2.0
// Networks in the configuration: from ADDRESS/BITS to the form in which the stages compare them.
#include "config_keys.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

// The number of leading bits: all of them where the text is empty. Returns -EINVAL where it is none.
static int parse_bits(const char *text, unsigned most)
{
	unsigned long bits;
	char *end;

	if (text[0] == '\0')
		return (int)most;
	if (!isdigit((unsigned char)text[1]))
		return -EINVAL;
	bits = strtoul(text + 1, &end, 10);
	return *end == '\0' && bits <= most ? (int)bits : -EINVAL;
}

int config_network_parse(const char *text, uint8_t ret_address[16], uint8_t *ret_version,
	uint8_t *ret_prefix_bits, char *error, size_t size)
{
	size_t n = strcspn(text, "/");
	char address[INET6_ADDRSTRLEN];
	uint8_t bytes[16] = {0};
	unsigned version = strchr(text, ':') != NULL ? 6 : 4;
	int bits;

	snprintf(address, sizeof(address), "%.*s", (int)n, text);
	if (n >= sizeof(address) ||
		inet_pton(version == 4 ? AF_INET : AF_INET6, address, bytes) != 1) {
		snprintf(error, size, "'%.64s' does not begin with an IPv4 or IPv6 address", text);
		return -EINVAL;
	}
	bits = parse_bits(text + n, version == 4 ? 32 : 128);
	if (bits < 0) {
		snprintf(error, size, "'%.64s' is no prefix length from 0 to %d", text + n + 1,
			version == 4 ? 32 : 128);
		return -EINVAL;
	}
	// What lies behind the prefix would be ignored: most likely a slip in one of the two.
	for (unsigned i = (unsigned)bits; i < 128; i++)
		if (bytes[i / 8] >> (7 - i % 8) & 1) {
			snprintf(error, size, "'%.64s' has bits set behind its first %d", text,
				bits);
			return -EINVAL;
		}
	memcpy(ret_address, bytes, 16);
	*ret_version = (uint8_t)version;
	*ret_prefix_bits = (uint8_t)bits;
	return 0;
}

static bool resolve(const struct config_network *from, uint8_t ret_address[16],
	uint8_t *ret_version, uint8_t *ret_prefix_bits, uint8_t *ret_policy)
{
	char error[256];

	*ret_policy = (uint8_t)from->policy;
	return config_network_parse(from->network, ret_address, ret_version, ret_prefix_bits, error,
		       sizeof(error)) == 0;
}

// Each stage has a struct of its own for the same four things.
void config_networks_resolve(struct config *c)
{
	struct reassembly_config *r = &c->stream.reassembly;
	struct defrag_config *d = &c->defrag;

	d->network_count = r->network_count = 0;
	for (unsigned i = 0; i < c->defrag_network_count && i < DEFRAG_NETWORKS_MAX; i++) {
		struct defrag_network *n = &d->network[d->network_count];

		d->network_count += resolve(&c->defrag_networks[i], n->address, &n->version,
			&n->prefix_bits, &n->policy);
	}
	for (unsigned i = 0; i < c->stream.network_count && i < REASSEMBLY_NETWORKS_MAX; i++) {
		struct reassembly_network *n = &r->network[r->network_count];

		r->network_count += resolve(&c->stream.networks[i], n->address, &n->version,
			&n->prefix_bits, &n->policy);
	}
}
