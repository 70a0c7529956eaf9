// SPDX-License-Identifier: Apache-2.0
// Community ID 1.0, seed 0: base64 of a SHA-1 over seed, addresses, protocol, a zero byte and ports,
// the lower end first. https://github.com/corelight/community-id-spec
//
// It runs once a record, so what SHA-1 costs is felt: libcrypto's one-block functions take 67 ns
// here, the EVP interface with a kept context 130 to 140. The former are called deprecated, yet need
// no state a thread and cannot fail.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "export.h"

#include <netinet/in.h>
#include <string.h>

#include <openssl/sha.h>

// The type that answers a type, by the specification's tables; 0xffff where there is none. Router
// advertisements (9) are answered here too: whether the tuple's maker pairs them shows in the tuple.
static uint16_t icmp_counterpart(uint8_t proto, uint16_t type)
{
	static const uint8_t pairs[][3] = {
		{IPPROTO_ICMP, 0, 8},
		{IPPROTO_ICMP, 9, 10},
		{IPPROTO_ICMP, 13, 14},
		{IPPROTO_ICMP, 15, 16},
		{IPPROTO_ICMP, 17, 18},
		{IPPROTO_ICMPV6, 128, 129},
		{IPPROTO_ICMPV6, 130, 131},
		{IPPROTO_ICMPV6, 133, 134},
		{IPPROTO_ICMPV6, 135, 136},
		{IPPROTO_ICMPV6, 139, 140},
		{IPPROTO_ICMPV6, 144, 145},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		if (pairs[i][0] != proto)
			continue;
		if (pairs[i][1] == type)
			return pairs[i][2];
		if (pairs[i][2] == type)
			return pairs[i][1];
	}
	return 0xffff;
}

// Messages without an answer keep their direction: their "ports" are type and code, which would mean
// something else the other way round.
static bool is_one_way(const struct flow_tuple *t)
{
	return (t->proto == IPPROTO_ICMP || t->proto == IPPROTO_ICMPV6) &&
	       t->dst_port != icmp_counterpart(t->proto, t->src_port);
}

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

static void base64(char *to, const uint8_t *from, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (; n > 2; n -= 3, from += 3) {
		uint32_t v = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];

		*to++ = digits[v >> 18];
		*to++ = digits[v >> 12 & 63];
		*to++ = digits[v >> 6 & 63];
		*to++ = digits[v & 63];
	}
	if (n == 2) {
		*to++ = digits[from[0] >> 2];
		*to++ = digits[(from[0] & 3) << 4 | from[1] >> 4];
		*to++ = digits[(from[1] & 15) << 2];
		*to++ = '=';
	}
	*to = '\0';
}

// True where the ends are to change places: addresses compare as bytes, then ports.
static bool is_swapped(const struct flow_tuple *t, size_t address_size)
{
	int order = memcmp(t->src, t->dst, address_size);

	if (is_one_way(t))
		return false;
	return order > 0 || (order == 0 && has_ports(t->proto) && t->src_port > t->dst_port);
}

void community_id(const struct flow_tuple *t, char text[40])
{
	size_t address_size = t->version == 6 ? 16 : 4;
	bool swapped = is_swapped(t, address_size);
	uint8_t bytes[2 + 16 + 16 + 2 + 4] = {0}, digest[SHA_DIGEST_LENGTH];
	uint16_t low = swapped ? t->dst_port : t->src_port;
	uint16_t high = swapped ? t->src_port : t->dst_port;
	size_t n = 2;
	SHA_CTX sha;

	memcpy(bytes + n, swapped ? t->dst : t->src, address_size);
	n += address_size;
	memcpy(bytes + n, swapped ? t->src : t->dst, address_size);
	n += address_size;
	bytes[n] = t->proto;
	n += 2;
	if (has_ports(t->proto)) {
		bytes[n++] = (uint8_t)(low >> 8);
		bytes[n++] = (uint8_t)low;
		bytes[n++] = (uint8_t)(high >> 8);
		bytes[n++] = (uint8_t)high;
	}
	SHA1_Init(&sha);
	SHA1_Update(&sha, bytes, n);
	SHA1_Final(digest, &sha);
	text[0] = '1';
	text[1] = ':';
	base64(text + 2, digest, sizeof(digest));
}
