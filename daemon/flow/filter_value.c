// SPDX-License-Identifier: Apache-2.0
// Words and values of record filters: numbers, ports and services, addresses and networks, protocols.
#include "filter_parser.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct filter_proto filter_protos[] = {
	{"ip", 4, -1},
	{"ip6", 6, -1},
	{"tcp", 0, 6},
	{"udp", 0, 17},
	{"icmp", 4, 1},
	{"icmp6", 6, 58},
	{"sctp", 0, 132},
	{"igmp", 4, 2},
	{"gre", 0, 47},
	{"esp", 0, 50},
	{"ah", 0, 51},
	{"pim", 0, 103},
	{"vrrp", 4, 112},
	{"ospf", 0, 89},
	{"udplite", 0, 136},
	{"dccp", 0, 33},
	{"igrp", 4, 9},
};

int filter_fail(struct filter_parser *p, const char *format, ...)
{
	va_list ap;
	int n;

	if (p->error_size == 0)
		return -EINVAL;
	n = snprintf(p->error, p->error_size, "filter, at character %zu: ", p->word_at + 1);
	if (n < 0 || (size_t)n >= p->error_size)
		return -EINVAL;
	va_start(ap, format);
	vsnprintf(p->error + n, p->error_size - (size_t)n, format, ap);
	va_end(ap);
	return -EINVAL;
}

// --- Words ---

static bool is_word_char(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr(".:/_-\\[]<>=+*&", c) != NULL);
}

// Reads the next word into p->word ("" at the end). Returns 0 or -EINVAL.
int filter_next_word(struct filter_parser *p)
{
	size_t n = 0;

	while (isspace((unsigned char)*p->at))
		p->at++;
	p->word_at = (size_t)(p->at - p->text);
	p->word[0] = '\0';
	if (*p->at == '\0')
		return 0;
	if (strncmp(p->at, "&&", 2) == 0 || strncmp(p->at, "||", 2) == 0) {
		memcpy(p->word, p->at, 2);
		p->word[2] = '\0';
		p->at += 2;
		return 0;
	}
	if (strchr("()!", *p->at) != NULL) {
		p->word[0] = *p->at++;
		p->word[1] = '\0';
		return 0;
	}
	if (!is_word_char(*p->at))
		return filter_fail(p, "'%c' is not accepted here",
			isprint((unsigned char)*p->at) ? *p->at : '?');
	while (is_word_char(*p->at) && strncmp(p->at, "&&", 2) != 0) {
		if (n + 1 >= sizeof(p->word))
			return filter_fail(p, "the word is too long");
		p->word[n++] = *p->at++;
	}
	p->word[n] = '\0';
	return 0;
}

bool filter_is_word(const struct filter_parser *p, const char *word)
{
	return strcmp(p->word, word) == 0;
}

// Looks whether the next word is this one, and if so moves past it.
bool filter_take_word(struct filter_parser *p, const char *word)
{
	const char *at = p->at;
	size_t word_at = p->word_at;
	char keep[sizeof(p->word)];

	memcpy(keep, p->word, sizeof(keep));
	if (filter_next_word(p) == 0 && filter_is_word(p, word))
		return true;
	p->at = at;
	p->word_at = word_at;
	memcpy(p->word, keep, sizeof(keep));
	return false;
}

// --- Values ---

int filter_number(const char *text, uint32_t max, uint32_t *ret)
{
	char *end;
	unsigned long v;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	v = strtoul(text, &end, 0);
	if (*end != '\0' || errno != 0 || v > max)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

// A port's number or a service's name. ret_proto: the one protocol that has the service, else 0 (as
// libpcap has it; ports that differ between protocols are TCP's).
static int parse_port(const char *text, uint32_t *ret, uint8_t *ret_proto)
{
	int tcp = -1, udp = -1;
	const struct servent *s;

	*ret_proto = 0;
	if (isdigit((unsigned char)text[0]))
		return filter_number(text, 65535, ret);
	s = getservbyname(text, "tcp");
	if (s != NULL)
		tcp = ntohs((uint16_t)s->s_port);
	s = getservbyname(text, "udp");
	if (s != NULL)
		udp = ntohs((uint16_t)s->s_port);
	if (tcp < 0 && udp < 0)
		return -EINVAL;
	*ret = (uint32_t)(tcp >= 0 ? tcp : udp);
	if (tcp != udp)
		*ret_proto = tcp >= 0 ? IPPROTO_TCP : IPPROTO_UDP;
	return 0;
}

static void mask_of_bits(uint8_t mask[16], unsigned bits)
{
	memset(mask, 0, 16);
	for (unsigned i = 0; i < bits; i++)
		mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
}

// "10", "10.1", "10.1.2": as many bytes as are named.
static int parse_short_net(const char *text, uint8_t address[16], unsigned *ret_bits)
{
	unsigned n = 0;

	memset(address, 0, 16);
	while (n < 4) {
		char *end;
		unsigned long v;

		if (!isdigit((unsigned char)*text))
			return -EINVAL;
		v = strtoul(text, &end, 10);
		if (v > 255)
			return -EINVAL;
		address[n++] = (uint8_t)v;
		text = end;
		if (*text == '\0')
			break;
		if (*text++ != '.')
			return -EINVAL;
	}
	*ret_bits = 8 * n;
	return *text == '\0' ? 0 : -EINVAL;
}

static int value_address(struct filter_parser *p, bool is_net, struct filter_op *op)
{
	char text[sizeof(p->word)], *slash;
	uint32_t bits = UINT32_MAX;
	unsigned named = 32;

	memcpy(text, p->word, sizeof(text));
	slash = strchr(text, '/');
	if (slash != NULL) {
		if (!is_net)
			return filter_fail(
				p, "'%s' is a network: 'net' accepts it, 'host' does not", p->word);
		*slash = '\0';
	}
	memset(op->address, 0, sizeof(op->address));
	op->kind = FILTER_NET;
	if (inet_pton(AF_INET6, text, op->address) == 1) {
		op->version = 6;
		named = 128;
	} else if (inet_pton(AF_INET, text, op->address) == 1 ||
		   (is_net && parse_short_net(text, op->address, &named) == 0)) {
		op->version = 4;
	} else {
		return filter_fail(p,
			"'%s' is not an address: IPv4 and IPv6 addresses are accepted, names "
			"are not looked up",
			p->word);
	}
	if (slash != NULL && filter_number(slash + 1, op->version == 4 ? 32 : 128, &bits) < 0)
		return filter_fail(p, "'/%s': a prefix length from 0 to %d is accepted", slash + 1,
			op->version == 4 ? 32 : 128);
	mask_of_bits(op->mask, bits != UINT32_MAX ? bits : named);
	if (is_net && slash == NULL && op->version == 4 && filter_take_word(p, "mask")) {
		if (filter_next_word(p) < 0 || inet_pton(AF_INET, p->word, op->mask) != 1)
			return filter_fail(p, "'%s' is not a mask like 255.255.0.0", p->word);
	}
	for (unsigned i = 0; i < 16; i++) {
		if (op->address[i] & ~op->mask[i])
			return filter_fail(p, "'%s' has bits set beyond its mask", text);
	}
	return 0;
}

static int value_port(
	struct filter_parser *p, const struct filter_qualifiers *q, struct filter_op *op)
{
	char *dash = q->type == TYPE_PORTRANGE ? strchr(p->word, '-') : NULL;
	uint8_t proto = 0;

	op->kind = FILTER_PORT;
	if (dash != NULL)
		*dash = '\0';
	if (parse_port(p->word, &op->low, &op->proto) < 0)
		return filter_fail(p,
			"'%s' is not a port: 0 to 65535 or a service's name is accepted", p->word);
	op->high = op->low;
	if (dash != NULL && parse_port(dash + 1, &op->high, &proto) < 0)
		return filter_fail(p,
			"'%s' is not a port: 0 to 65535 or a service's name is accepted", dash + 1);
	if (q->proto >= 0 || (dash != NULL && op->proto != proto))
		op->proto = 0;
	if (op->high < op->low) {
		uint32_t swap = op->low;

		op->low = op->high;
		op->high = swap;
	}
	return 0;
}

const struct filter_proto *filter_find_proto(const char *word)
{
	for (unsigned i = 0; i < sizeof(filter_protos) / sizeof(filter_protos[0]); i++)
		if (strcmp(word, filter_protos[i].name) == 0)
			return &filter_protos[i];
	return NULL;
}

static int value_proto(struct filter_parser *p, struct filter_op *op)
{
	const char *word = p->word[0] == '\\' ? p->word + 1 : p->word;
	const struct filter_proto *known = filter_find_proto(word);

	op->kind = FILTER_PROTO;
	if (known != NULL && known->proto >= 0)
		op->low = (uint32_t)known->proto;
	else if (filter_number(word, 255, &op->low) < 0)
		return filter_fail(p,
			"'%s' is not a protocol: a name (tcp, udp, icmp, ...) or 0 to 255 is "
			"accepted",
			p->word);
	return 0;
}

int filter_value(struct filter_parser *p, const struct filter_qualifiers *q, struct filter_op *ret)
{
	int r = -EINVAL;

	memset(ret, 0, sizeof(*ret));
	ret->direction = (uint8_t)q->direction;
	switch (q->type) {
	case TYPE_PORT:
	case TYPE_PORTRANGE:
		return value_port(p, q, ret);
	case TYPE_PROTO:
		return value_proto(p, ret);
	case TYPE_NET:
		r = value_address(p, true, ret);
		break;
	case TYPE_NONE: // an address or a network, as it is written
		r = value_address(p, strchr(p->word, '/') != NULL, ret);
		break;
	case TYPE_HOST:
		r = value_address(p, false, ret);
		break;
	}
	if (r == 0 && q->version != 0 && q->version != ret->version)
		return filter_fail(p, "'%s' is an IPv%d address, but '%s' asks for IPv%d", p->word,
			ret->version, q->version == 4 ? "ip" : "ip6", q->version);
	return r;
}
