// SPDX-License-Identifier: Apache-2.0
// Doubles of the few functions of flow/ that control and export call, for builds in which flow/ is
// not there. A filter is one word or "port N".
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow.h"

struct flow_filter {
	int proto, port;
};

int flow_query_init(struct flow_query *q)
{
	q->count = 0;
	q->matched = 0;
	return 0;
}

void flow_query_fini(struct flow_query *q)
{
	(void)q;
}

double flow_metric_of(const struct flow_record *r, enum flow_metric metric)
{
	double bytes = (double)(r->direction[0].bytes + r->direction[1].bytes);
	double ns = (double)(r->last_ns - r->first_ns);

	switch (metric) {
	case FLOW_BY_BYTES:
		return bytes;
	case FLOW_BY_PACKETS:
		return (double)(r->direction[0].pkts + r->direction[1].pkts);
	case FLOW_BY_THROUGHPUT:
		return ns > 0 ? bytes * 8e9 / ns : 0;
	case FLOW_BY_DURATION:
		return ns;
	case FLOW_BY_START:
		return (double)r->first_ns;
	case FLOW_BY_LAST_SEEN:
		return (double)r->last_ns;
	case FLOW_BY_SCORE:
		return 0;
	}
	return 0;
}

int flow_filter_parse(const char *text, struct flow_filter **ret, char *error, size_t size)
{
	struct flow_filter f = {-1, -1};
	char rest;

	if (text == NULL || text[0] == '\0') {
		*ret = NULL;
		return 0;
	}
	if (strcmp(text, "tcp") == 0)
		f.proto = 6;
	else if (strcmp(text, "udp") == 0)
		f.proto = 17;
	else if (sscanf(text, "port %d%c", &f.port, &rest) != 1) {
		snprintf(error, size, "got '%s', accepts tcp, udp, port N", text);
		return -EINVAL;
	}
	*ret = malloc(sizeof(f));
	**ret = f;
	return 0;
}

void flow_filter_free(struct flow_filter *f)
{
	free(f);
}

bool flow_filter_match(const struct flow_filter *f, const struct flow_tuple *t)
{
	return (f->proto < 0 || f->proto == t->proto) &&
	       (f->port < 0 || f->port == t->src_port || f->port == t->dst_port);
}
