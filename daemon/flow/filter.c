// SPDX-License-Identifier: Apache-2.0
// Compiling record filters: the part of libpcap's language (pcap-filter(7)) that a record can answer.
// As there, `and` and `or` bind equally and from the left, `not` binds tighter, and qualifiers carry
// over: `port 80 or 443`. src and dst mean the record's, that is the to-server direction.
#include "filter.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum filter_type { TYPE_NONE, TYPE_HOST, TYPE_NET, TYPE_PORT, TYPE_PORTRANGE, TYPE_PROTO };

struct qualifiers {
	int proto;   // -1 none
	int version; // 0 none
	enum filter_direction direction;
	bool has_direction;
	enum filter_type type;
};

struct parser {
	const char *text;
	const char *at;
	struct flow_filter *filter;
	struct qualifiers last; // for values without qualifiers
	char word[128];
	size_t word_at; // where the word begins
	unsigned depth;
	unsigned stack;
	char *error;
	size_t error_size;
};

static const struct {
	const char *name;
	int version; // 0: either
	int proto;
} filter_protos[] = {
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

static const char *const packet_words[] = {"len", "greater", "less", "ether", "broadcast",
	"multicast", "gateway", "inbound", "outbound", "ifname", "on", "rnr", "rulenum", "reason",
	"action", "wlan", "type", "subtype", "dir", "mpls", "pppoed", "pppoes", "geneve", "vxlan",
	"decnet", "fddi", "tr", "ppp", "slip", "link", "iso", "llc", "lat", "moprc", "mopdl", "arp",
	"rarp", "atalk", "aarp", "stp", "ipx", "netbeui", "lane", "metac", "protochain", "radio",
	"hop"};

static int fail(struct parser *p, const char *format, ...)
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
static int next_word(struct parser *p)
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
		return fail(p, "'%c' is not accepted here",
			isprint((unsigned char)*p->at) ? *p->at : '?');
	while (is_word_char(*p->at) && strncmp(p->at, "&&", 2) != 0) {
		if (n + 1 >= sizeof(p->word))
			return fail(p, "the word is too long");
		p->word[n++] = *p->at++;
	}
	p->word[n] = '\0';
	return 0;
}

static bool is_word(const struct parser *p, const char *word)
{
	return strcmp(p->word, word) == 0;
}

// Looks whether the next word is this one, and if so moves past it.
static bool take_word(struct parser *p, const char *word)
{
	const char *at = p->at;
	size_t word_at = p->word_at;
	char keep[sizeof(p->word)];

	memcpy(keep, p->word, sizeof(keep));
	if (next_word(p) == 0 && is_word(p, word))
		return true;
	p->at = at;
	p->word_at = word_at;
	memcpy(p->word, keep, sizeof(keep));
	return false;
}

// --- Operations ---

static int emit(struct parser *p, const struct filter_op *op)
{
	bool joins = op->kind == FILTER_AND || op->kind == FILTER_OR;

	if (p->filter->count == FILTER_OPS_MAX)
		return fail(p,
			"the filter is too long: at most %d tests and connectives are accepted",
			FILTER_OPS_MAX);
	if (joins)
		p->stack--;
	else if (op->kind != FILTER_NOT && ++p->stack > FILTER_DEPTH_MAX)
		return fail(p, "the filter is nested too deeply");
	p->filter->op[p->filter->count++] = *op;
	return 0;
}

static int emit_number(struct parser *p, enum filter_op_kind kind, uint32_t low)
{
	return emit(p, &(struct filter_op){.kind = (uint8_t)kind, .low = low});
}

// Adds the qualifiers' protocol and version to the test just emitted.
static int emit_qualifiers(struct parser *p, const struct qualifiers *q)
{
	int r;

	if (q->version != 0) {
		r = emit_number(p, FILTER_VERSION, (uint32_t)q->version);
		if (r == 0)
			r = emit_number(p, FILTER_AND, 0);
		if (r < 0)
			return r;
	}
	if (q->proto >= 0) {
		r = emit_number(p, FILTER_PROTO, (uint32_t)q->proto);
		return r < 0 ? r : emit_number(p, FILTER_AND, 0);
	}
	return 0;
}

// --- Values ---

static int parse_number(const char *text, uint32_t max, uint32_t *ret)
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

static int parse_port(const char *text, uint32_t *ret)
{
	const struct servent *s;

	if (isdigit((unsigned char)text[0]))
		return parse_number(text, 65535, ret);
	s = getservbyname(text, NULL);
	if (s == NULL)
		return -EINVAL;
	*ret = ntohs((uint16_t)s->s_port);
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

static int parse_address(struct parser *p, bool is_net, struct filter_op *op)
{
	char text[sizeof(p->word)], *slash;
	uint32_t bits = UINT32_MAX;
	unsigned named = 32;

	memcpy(text, p->word, sizeof(text));
	slash = strchr(text, '/');
	if (slash != NULL) {
		if (!is_net)
			return fail(
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
		return fail(p,
			"'%s' is not an address: IPv4 and IPv6 addresses are accepted, names "
			"are not looked up",
			p->word);
	}
	if (slash != NULL && parse_number(slash + 1, op->version == 4 ? 32 : 128, &bits) < 0)
		return fail(p, "'/%s': a prefix length from 0 to %d is accepted", slash + 1,
			op->version == 4 ? 32 : 128);
	mask_of_bits(op->mask, bits != UINT32_MAX ? bits : named);
	if (is_net && slash == NULL && op->version == 4 && take_word(p, "mask")) {
		if (next_word(p) < 0 || inet_pton(AF_INET, p->word, op->mask) != 1)
			return fail(p, "'%s' is not a mask like 255.255.0.0", p->word);
	}
	for (unsigned i = 0; i < 16; i++) {
		if (op->address[i] & ~op->mask[i])
			return fail(p, "'%s' has bits set beyond its mask", text);
	}
	return 0;
}

static int value_port(struct parser *p, const struct qualifiers *q, struct filter_op *op)
{
	char *dash = q->type == TYPE_PORTRANGE ? strchr(p->word, '-') : NULL;

	op->kind = FILTER_PORT;
	if (dash != NULL)
		*dash = '\0';
	if (parse_port(p->word, &op->low) < 0)
		return fail(p, "'%s' is not a port: 0 to 65535 or a service's name is accepted",
			p->word);
	op->high = op->low;
	if (dash != NULL && parse_port(dash + 1, &op->high) < 0)
		return fail(p, "'%s' is not a port: 0 to 65535 or a service's name is accepted",
			dash + 1);
	if (op->high < op->low) {
		uint32_t swap = op->low;

		op->low = op->high;
		op->high = swap;
	}
	return 0;
}

static int find_proto(const char *word)
{
	for (unsigned i = 0; i < sizeof(filter_protos) / sizeof(filter_protos[0]); i++)
		if (strcmp(word, filter_protos[i].name) == 0)
			return (int)i;
	return -1;
}

static int value_proto(struct parser *p, struct filter_op *op)
{
	const char *word = p->word[0] == '\\' ? p->word + 1 : p->word;
	int known = find_proto(word);

	op->kind = FILTER_PROTO;
	if (known >= 0 && filter_protos[known].proto >= 0)
		op->low = (uint32_t)filter_protos[known].proto;
	else if (parse_number(word, 255, &op->low) < 0)
		return fail(p,
			"'%s' is not a protocol: a name (tcp, udp, icmp, ...) or 0 to 255 is "
			"accepted",
			p->word);
	return 0;
}

// The value under the qualifiers, in p->word.
static int parse_value(struct parser *p, const struct qualifiers *q)
{
	struct filter_op op = {.direction = (uint8_t)q->direction};
	int r;

	switch (q->type) {
	case TYPE_PORT:
	case TYPE_PORTRANGE:
		r = value_port(p, q, &op);
		break;
	case TYPE_PROTO:
		r = value_proto(p, &op);
		break;
	case TYPE_NET:
		r = parse_address(p, true, &op);
		break;
	default:
		r = parse_address(p, strchr(p->word, '/') != NULL && q->type == TYPE_NONE, &op);
	}
	if (r == 0)
		r = emit(p, &op);
	if (r == 0)
		r = emit_qualifiers(p, q);
	p->last = *q;
	return r;
}

// --- Primitives ---

static bool take_type(struct parser *p, struct qualifiers *q)
{
	static const struct {
		const char *word;
		enum filter_type type;
	} types[] = {{"host", TYPE_HOST}, {"net", TYPE_NET}, {"port", TYPE_PORT},
		{"portrange", TYPE_PORTRANGE}, {"proto", TYPE_PROTO}};

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (is_word(p, types[i].word)) {
			q->type = types[i].type;
			return true;
		}
	return false;
}

static bool take_direction(struct parser *p, struct qualifiers *q)
{
	bool src = is_word(p, "src"), dst = is_word(p, "dst");
	const char *at = p->at, *other = src ? "dst" : "src";

	if (!src && !dst)
		return false;
	q->has_direction = true;
	q->direction = src ? FILTER_SRC : FILTER_DST;
	if (take_word(p, "or")) {
		if (take_word(p, other)) {
			q->direction = FILTER_EITHER;
			return true;
		}
	} else if (take_word(p, "and")) {
		if (take_word(p, other)) {
			q->direction = FILTER_BOTH;
			return true;
		}
	}
	p->at = at;
	return true;
}

static bool is_end(const struct parser *p)
{
	return p->word[0] == '\0' || is_word(p, ")") || is_word(p, "and") || is_word(p, "or") ||
	       is_word(p, "&&") || is_word(p, "||");
}

static int parse_vlan(struct parser *p)
{
	const char *at = p->at;
	uint32_t id = UINT32_MAX;

	if (next_word(p) < 0)
		return -EINVAL;
	if (is_end(p) || !isdigit((unsigned char)p->word[0]))
		p->at = at;
	else if (parse_number(p->word, 4095, &id) < 0)
		return fail(p, "'%s' is not a VLAN id: 0 to 4095 is accepted", p->word);
	return emit_number(p, FILTER_VLAN, id);
}

static int refuse_packet_words(struct parser *p)
{
	if (strpbrk(p->word, "[]<>=+*&") != NULL)
		return fail(p,
			"'%s': only a packet can answer that, a record cannot; it is accepted "
			"as a capture's filter",
			p->word);
	for (unsigned i = 0; i < sizeof(packet_words) / sizeof(packet_words[0]); i++)
		if (is_word(p, packet_words[i]))
			return fail(p,
				"'%s': only a packet can answer that, a record cannot; it is "
				"accepted as a capture's filter",
				p->word);
	return 0;
}

// A protocol's name stands alone, or before a direction, a type or `proto`.
static int after_proto(struct parser *p, struct qualifiers *q)
{
	const char *at = p->at;
	int r;

	if (next_word(p) < 0)
		return -EINVAL;
	if (is_word(p, "src") || is_word(p, "dst") || take_type(p, q))
		return 1;
	p->at = at;
	if (q->version != 0) {
		r = emit_number(p, FILTER_VERSION, (uint32_t)q->version);
		if (r < 0 || q->proto < 0)
			return r;
		r = emit_number(p, FILTER_PROTO, (uint32_t)q->proto);
		return r < 0 ? r : emit_number(p, FILTER_AND, 0);
	}
	return emit_number(p, FILTER_PROTO, (uint32_t)q->proto);
}

static int parse_primitive(struct parser *p)
{
	struct qualifiers q = {.proto = -1};
	int known = find_proto(p->word), r;
	bool any = false;

	if (is_word(p, "vlan"))
		return parse_vlan(p);
	if (known >= 0) {
		q.proto = filter_protos[known].proto;
		q.version = filter_protos[known].version;
		r = after_proto(p, &q);
		if (r <= 0)
			return r;
		any = true;
	} else {
		r = refuse_packet_words(p);
		if (r < 0)
			return r;
	}
	if (take_direction(p, &q)) {
		any = true;
		if (next_word(p) < 0)
			return -EINVAL;
	}
	if (take_type(p, &q) || q.type != TYPE_NONE) {
		if (next_word(p) < 0)
			return -EINVAL;
	} else if (!any) {
		q = p->last; // a value alone: as the one before
	}
	if (is_end(p))
		return fail(p, "a value is missing");
	return parse_value(p, &q);
}

static int parse_expression(struct parser *p);

static int parse_term(struct parser *p)
{
	int r;

	if (next_word(p) < 0)
		return -EINVAL;
	if (is_word(p, "not") || is_word(p, "!")) {
		if (++p->depth > FILTER_DEPTH_MAX)
			return fail(p, "the filter is nested too deeply");
		r = parse_term(p);
		p->depth--;
		return r < 0 ? r : emit_number(p, FILTER_NOT, 0);
	}
	if (is_word(p, "(")) {
		if (++p->depth > FILTER_DEPTH_MAX)
			return fail(p, "the filter is nested too deeply");
		r = parse_expression(p);
		p->depth--;
		if (r < 0)
			return r;
		return take_word(p, ")") ? 0 : fail(p, "')' is missing");
	}
	if (is_end(p))
		return fail(p,
			p->word[0] == '\0' ? "the filter ends too early"
					   : "'%s' is not accepted here",
			p->word);
	return parse_primitive(p);
}

static int parse_expression(struct parser *p)
{
	int r = parse_term(p);

	while (r == 0) {
		enum filter_op_kind kind;

		if (take_word(p, "and") || take_word(p, "&&"))
			kind = FILTER_AND;
		else if (take_word(p, "or") || take_word(p, "||"))
			kind = FILTER_OR;
		else
			break;
		r = parse_term(p);
		if (r == 0)
			r = emit_number(p, kind, 0);
	}
	return r;
}

int flow_filter_parse(const char *text, struct flow_filter **ret, char *error, size_t error_size)
{
	struct parser p = {.text = text, .at = text, .error = error, .error_size = error_size};
	int r;

	if (text == NULL || text[strspn(text, " \t\r\n")] == '\0') {
		*ret = NULL;
		return 0;
	}
	if (strlen(text) > FILTER_TEXT_MAX)
		return fail(&p, "the filter has %zu bytes, at most %d are accepted", strlen(text),
			FILTER_TEXT_MAX);
	p.last = (struct qualifiers){.proto = -1, .type = TYPE_HOST};
	p.filter = calloc(1, sizeof(*p.filter));
	if (p.filter == NULL) {
		snprintf(error, error_size, "filter: no memory");
		return -ENOMEM;
	}
	r = parse_expression(&p);
	if (r == 0 && next_word(&p) < 0)
		r = -EINVAL;
	if (r == 0 && p.word[0] != '\0')
		r = fail(&p, "'%s' is not accepted here: 'and', 'or' or the end is", p.word);
	if (r < 0) {
		free(p.filter);
		return r;
	}
	*ret = p.filter;
	return 0;
}

void flow_filter_free(struct flow_filter *f)
{
	free(f);
}
