// SPDX-License-Identifier: Apache-2.0
// Compiling record filters: the part of libpcap's language (pcap-filter(7)) that a record can answer.
// As there, `and` and `or` bind equally and from the left, `not` binds tighter, and qualifiers carry
// over: `port 80 or 443`, `port (80 or 443)`. src and dst mean the record's, that is the to-server
// direction.
#include "filter.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "filter_parser.h"

static const char *const packet_words[] = {"len", "greater", "less", "ether", "broadcast",
	"multicast", "gateway", "inbound", "outbound", "ifname", "on", "rnr", "rulenum", "reason",
	"action", "wlan", "type", "subtype", "dir", "mpls", "pppoed", "pppoes", "geneve", "vxlan",
	"decnet", "fddi", "tr", "ppp", "slip", "link", "iso", "llc", "lat", "moprc", "mopdl", "arp",
	"rarp", "atalk", "aarp", "stp", "ipx", "netbeui", "lane", "metac", "protochain", "radio",
	"hop"};

// --- Operations ---

static int emit(struct filter_parser *p, const struct filter_op *op)
{
	bool joins = op->kind == FILTER_AND || op->kind == FILTER_OR;

	if (p->filter->count == FILTER_OPS_MAX)
		return filter_fail(p,
			"the filter is too long: at most %d tests and connectives are accepted",
			FILTER_OPS_MAX);
	if (joins)
		p->stack--;
	else if (op->kind != FILTER_NOT && ++p->stack > FILTER_DEPTH_MAX)
		return filter_fail(p, "the filter is nested too deeply");
	p->filter->op[p->filter->count++] = *op;
	return 0;
}

static int emit_number(struct filter_parser *p, enum filter_op_kind kind, uint32_t low)
{
	return emit(p, &(struct filter_op){.kind = (uint8_t)kind, .low = low});
}

// Adds the filter_qualifiers' protocol and version to the test just emitted.
static int emit_qualifiers(struct filter_parser *p, const struct filter_qualifiers *q)
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

static bool is_end(const struct filter_parser *p)
{
	return p->word[0] == '\0' || filter_is_word(p, ")") || filter_is_word(p, "and") ||
	       filter_is_word(p, "or") || filter_is_word(p, "&&") || filter_is_word(p, "||");
}

static int deeper(struct filter_parser *p)
{
	if (++p->depth > FILTER_DEPTH_MAX)
		return filter_fail(p, "the filter is nested too deeply");
	return 0;
}

// Takes `and` or `or`. Returns false where neither follows.
static bool take_connective(struct filter_parser *p, enum filter_op_kind *ret)
{
	if (filter_take_word(p, "and") || filter_take_word(p, "&&"))
		*ret = FILTER_AND;
	else if (filter_take_word(p, "or") || filter_take_word(p, "||"))
		*ret = FILTER_OR;
	else
		return false;
	return true;
}

static int parse_values(struct filter_parser *p, const struct filter_qualifiers *q);

// Behind the parenthesis of `port (80 or 443)`.
static int parse_value_list(struct filter_parser *p, const struct filter_qualifiers *q)
{
	enum filter_op_kind kind;
	int r = filter_next_word(p);

	if (r == 0)
		r = parse_values(p, q);
	while (r == 0 && take_connective(p, &kind)) {
		r = filter_next_word(p);
		if (r == 0)
			r = parse_values(p, q);
		if (r == 0)
			r = emit_number(p, kind, 0);
	}
	if (r < 0)
		return r;
	return filter_take_word(p, ")") ? 0 : filter_fail(p, "')' is missing");
}

// The value under the qualifiers, in p->word, or what is made of several.
static int parse_values(struct filter_parser *p, const struct filter_qualifiers *q)
{
	bool is_not = filter_is_word(p, "not") || filter_is_word(p, "!");
	struct filter_op op;
	int r;

	if (is_not || filter_is_word(p, "(")) {
		r = deeper(p);
		if (r == 0 && !is_not)
			r = parse_value_list(p, q);
		else if (r == 0)
			r = filter_next_word(p);
		if (r == 0 && is_not)
			r = parse_values(p, q);
		if (r == 0 && is_not)
			r = emit_number(p, FILTER_NOT, 0);
		p->depth--;
		return r;
	}
	if (is_end(p))
		return filter_fail(p, "a value is missing");
	r = filter_value(p, q, &op);
	if (r == 0)
		r = emit(p, &op);
	if (r == 0)
		r = emit_qualifiers(p, q);
	p->last = *q;
	return r;
}

// --- Primitives ---

static bool take_type(struct filter_parser *p, struct filter_qualifiers *q)
{
	static const struct {
		const char *word;
		enum filter_type type;
	} types[] = {{"host", TYPE_HOST}, {"net", TYPE_NET}, {"port", TYPE_PORT},
		{"portrange", TYPE_PORTRANGE}, {"proto", TYPE_PROTO}};

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (filter_is_word(p, types[i].word)) {
			q->type = types[i].type;
			return true;
		}
	return false;
}

static bool take_direction(struct filter_parser *p, struct filter_qualifiers *q)
{
	bool src = filter_is_word(p, "src"), dst = filter_is_word(p, "dst");
	const char *at = p->at, *other = src ? "dst" : "src";

	if (!src && !dst)
		return false;
	q->has_direction = true;
	q->direction = src ? FILTER_SRC : FILTER_DST;
	if (filter_take_word(p, "or")) {
		if (filter_take_word(p, other)) {
			q->direction = FILTER_EITHER;
			return true;
		}
	} else if (filter_take_word(p, "and")) {
		if (filter_take_word(p, other)) {
			q->direction = FILTER_BOTH;
			return true;
		}
	}
	p->at = at;
	return true;
}

static int parse_vlan(struct filter_parser *p)
{
	const char *at = p->at;
	uint32_t id = UINT32_MAX;

	if (filter_next_word(p) < 0)
		return -EINVAL;
	if (is_end(p) || !isdigit((unsigned char)p->word[0]))
		p->at = at;
	else if (filter_number(p->word, 4095, &id) < 0)
		return filter_fail(p, "'%s' is not a VLAN id: 0 to 4095 is accepted", p->word);
	return emit_number(p, FILTER_VLAN, id);
}

static int refuse_packet_words(struct filter_parser *p)
{
	if (strpbrk(p->word, "[]<>=+*&") != NULL)
		return filter_fail(p,
			"'%s': only a packet can answer that, a record cannot; it is accepted "
			"as a capture's filter",
			p->word);
	for (unsigned i = 0; i < sizeof(packet_words) / sizeof(packet_words[0]); i++)
		if (filter_is_word(p, packet_words[i]))
			return filter_fail(p,
				"'%s': only a packet can answer that, a record cannot; it is "
				"accepted as a capture's filter",
				p->word);
	return 0;
}

// A protocol's name stands alone, or before a direction, a type or `proto`.
static int after_proto(struct filter_parser *p, struct filter_qualifiers *q)
{
	const char *at = p->at;
	int r;

	if (filter_next_word(p) < 0)
		return -EINVAL;
	if (filter_is_word(p, "src") || filter_is_word(p, "dst") || take_type(p, q))
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

static int parse_primitive(struct filter_parser *p)
{
	struct filter_qualifiers q = {.proto = -1};
	const struct filter_proto *known = filter_find_proto(p->word);
	bool any = false;
	int r;

	if (filter_is_word(p, "vlan"))
		return parse_vlan(p);
	if (known != NULL) {
		q.proto = known->proto;
		q.version = known->version;
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
		if (filter_next_word(p) < 0)
			return -EINVAL;
	}
	if (take_type(p, &q) || q.type != TYPE_NONE) {
		if (filter_next_word(p) < 0)
			return -EINVAL;
	} else if (!any) {
		q = p->last; // a value alone: as the one before
	}
	return parse_values(p, &q);
}

static int parse_expression(struct filter_parser *p);

static int parse_term(struct filter_parser *p)
{
	int r;

	if (filter_next_word(p) < 0)
		return -EINVAL;
	if (filter_is_word(p, "not") || filter_is_word(p, "!")) {
		r = deeper(p);
		if (r < 0)
			return r;
		r = parse_term(p);
		p->depth--;
		return r < 0 ? r : emit_number(p, FILTER_NOT, 0);
	}
	if (filter_is_word(p, "(")) {
		r = deeper(p);
		if (r < 0)
			return r;
		r = parse_expression(p);
		p->depth--;
		if (r < 0)
			return r;
		return filter_take_word(p, ")") ? 0 : filter_fail(p, "')' is missing");
	}
	if (is_end(p))
		return filter_fail(p,
			p->word[0] == '\0' ? "the filter ends too early"
					   : "'%s' is not accepted here",
			p->word);
	return parse_primitive(p);
}

static int parse_expression(struct filter_parser *p)
{
	enum filter_op_kind kind;
	int r = parse_term(p);

	while (r == 0 && take_connective(p, &kind)) {
		r = parse_term(p);
		if (r == 0)
			r = emit_number(p, kind, 0);
	}
	return r;
}

int flow_filter_parse(const char *text, struct flow_filter **ret, char *error, size_t error_size)
{
	struct filter_parser p = {
		.text = text, .at = text, .error = error, .error_size = error_size};
	int r;

	if (text == NULL || text[strspn(text, " \t\r\n")] == '\0') {
		*ret = NULL;
		return 0;
	}
	if (strlen(text) > FILTER_TEXT_MAX)
		return filter_fail(&p, "the filter has %zu bytes, at most %d are accepted",
			strlen(text), FILTER_TEXT_MAX);
	p.last = (struct filter_qualifiers){.proto = -1, .type = TYPE_NONE};
	p.filter = calloc(1, sizeof(*p.filter));
	if (p.filter == NULL) {
		snprintf(error, error_size, "filter: no memory");
		return -ENOMEM;
	}
	r = parse_expression(&p);
	if (r == 0 && filter_next_word(&p) < 0)
		r = -EINVAL;
	if (r == 0 && p.word[0] != '\0')
		r = filter_fail(&p, "'%s' is not accepted here: 'and', 'or' or the end is", p.word);
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
