// SPDX-License-Identifier: Apache-2.0
// Running a compiled record filter.
#include "filter.h"

static bool net_matches(const struct filter_op *op, const uint8_t address[16])
{
	for (unsigned i = 0; i < (op->version == 4 ? 4u : 16u); i++)
		if ((address[i] & op->mask[i]) != op->address[i])
			return false;
	return true;
}

static bool by_direction(enum filter_direction direction, bool src, bool dst)
{
	switch (direction) {
	case FILTER_EITHER:
		return src || dst;
	case FILTER_SRC:
		return src;
	case FILTER_DST:
		return dst;
	case FILTER_BOTH:
		return src && dst;
	}
	return false;
}

static bool has_ports(uint8_t proto)
{
	return proto == 6 || proto == 17 || proto == 132;
}

static bool vlan_matches(const struct filter_op *op, const struct flow_tuple *t)
{
	for (unsigned i = 0; i < t->vlan_count; i++)
		if (op->low == UINT32_MAX || t->vlan[i] == op->low)
			return true;
	return false;
}

static bool test(const struct filter_op *op, const struct flow_tuple *t)
{
	switch ((enum filter_op_kind)op->kind) {
	case FILTER_VERSION:
		return t->version == op->low;
	case FILTER_PROTO:
		return t->proto == op->low;
	case FILTER_NET:
		return t->version == op->version &&
		       by_direction((enum filter_direction)op->direction, net_matches(op, t->src),
			       net_matches(op, t->dst));
	case FILTER_PORT:
		return has_ports(t->proto) && (op->proto == 0 || op->proto == t->proto) &&
		       by_direction((enum filter_direction)op->direction,
			       t->src_port >= op->low && t->src_port <= op->high,
			       t->dst_port >= op->low && t->dst_port <= op->high);
	case FILTER_VLAN:
		return vlan_matches(op, t);
	case FILTER_AND:
	case FILTER_OR:
	case FILTER_NOT:
		break;
	}
	return false;
}

bool flow_filter_match(const struct flow_filter *f, const struct flow_tuple *t)
{
	uint64_t stack = 1; // below the first value: what no filter at all says

	if (f == NULL)
		return true;
	for (unsigned i = 0; i < f->count; i++) {
		const struct filter_op *op = &f->op[i];

		switch ((enum filter_op_kind)op->kind) {
		case FILTER_AND:
			stack = (stack >> 1) & (stack | ~UINT64_C(1));
			break;
		case FILTER_OR:
			stack = (stack >> 1) | (stack & 1);
			break;
		case FILTER_NOT:
			stack ^= 1;
			break;
		default: // a test
			stack = stack << 1 | test(op, t);
		}
	}
	return stack & 1;
}
