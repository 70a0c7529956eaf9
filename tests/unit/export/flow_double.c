// SPDX-License-Identifier: Apache-2.0
// Stands in for the flow stage where it is not built: the filters and metrics that the recent store
// calls, as far as these tests use them ("port N"; bytes, packets, start, last seen).
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "flow.h"

struct flow_filter {
	unsigned port;
};

int flow_filter_parse(const char *text, struct flow_filter **ret, char *error, size_t error_size)
{
	struct flow_filter *f = calloc(1, sizeof(*f));

	if (f == NULL || sscanf(text, "port %u", &f->port) != 1) {
		free(f);
		snprintf(error, error_size, "only port N");
		return -EINVAL;
	}
	*ret = f;
	return 0;
}

void flow_filter_free(struct flow_filter *f)
{
	free(f);
}

bool flow_filter_match(const struct flow_filter *f, const struct flow_tuple *t)
{
	return t->src_port == f->port || t->dst_port == f->port;
}

double flow_metric_of(const struct flow_record *r, enum flow_metric by)
{
	switch (by) {
	case FLOW_BY_BYTES:
		return (double)(r->direction[0].bytes + r->direction[1].bytes);
	case FLOW_BY_PACKETS:
		return (double)(r->direction[0].pkts + r->direction[1].pkts);
	case FLOW_BY_START:
		return (double)r->first_ns;
	case FLOW_BY_LAST_SEEN:
		return (double)r->last_ns;
	case FLOW_BY_DURATION:
		return (double)(r->last_ns - r->first_ns);
	case FLOW_BY_THROUGHPUT:
	case FLOW_BY_SCORE:
		return 0;
	}
	return 0;
}
