// SPDX-License-Identifier: Apache-2.0
// flows.top, flows.list, flows.get (asked of the workers, see gather.c) and flows.flush.
#include "internal.h"

#include "proto_methods.h"

_Static_assert((int)RPC_FLOW_METRIC_BYTES == (int)FLOW_BY_BYTES &&
		       (int)RPC_FLOW_METRIC_PACKETS == (int)FLOW_BY_PACKETS &&
		       (int)RPC_FLOW_METRIC_THROUGHPUT == (int)FLOW_BY_THROUGHPUT &&
		       (int)RPC_FLOW_METRIC_DURATION == (int)FLOW_BY_DURATION &&
		       (int)RPC_FLOW_METRIC_START == (int)FLOW_BY_START &&
		       (int)RPC_FLOW_METRIC_LAST_SEEN == (int)FLOW_BY_LAST_SEEN &&
		       (int)RPC_FLOW_METRIC_SCORE == (int)FLOW_BY_SCORE,
	"the contract's metrics are those of flow.h, in the same order");

int rpc_flows_top(struct rpc_call *call, const struct rpc_flows_top_params *p)
{
	gather_start(call, &(struct flows_question){
				   .kind = FLOW_QUERY_TOP,
				   .active = p->state != RPC_FLOW_STATE_ENDED,
				   .ended = p->state != RPC_FLOW_STATE_ACTIVE,
				   .metric = (int)p->by,
				   .ascending = p->ascending,
				   .capture = p->capture,
				   .filter = p->filter,
				   .app = p->app,
				   .limit = (unsigned)p->n,
			   });
	return 0;
}

int rpc_flows_list(struct rpc_call *call, const struct rpc_flows_list_params *p)
{
	if (p->has_by && p->cursor != NULL) {
		request_fail(call, RPC_INVALID_PARAMS,
			"cursor: got one together with 'by'; accepts none then: "
			"sorted flows come in one page");
		return 0;
	}
	gather_start(call, &(struct flows_question){
				   .kind = p->has_by ? FLOW_QUERY_TOP : FLOW_QUERY_LIST,
				   .active = p->state != RPC_FLOW_STATE_ENDED,
				   .ended = p->state != RPC_FLOW_STATE_ACTIVE,
				   .metric = p->has_by ? (int)p->by : -1,
				   .capture = p->capture,
				   .filter = p->filter,
				   .app = p->app,
				   .cursor = p->cursor,
				   .limit = (unsigned)p->limit,
			   });
	return 0;
}

int rpc_flows_get(struct rpc_call *call, const struct rpc_flows_get_params *p)
{
	gather_start(call, &(struct flows_question){
				   .kind = FLOW_QUERY_GET,
				   .active = true,
				   .ended = true,
				   .metric = -1,
				   .flow_id = p->flow_id,
				   .limit = 1,
			   });
	return 0;
}

int rpc_flows_flush(struct rpc_call *call, const struct rpc_flows_flush_params *p)
{
	int index = -1;

	if (p->capture != NULL) {
		index = captures_find(call->control->config.workers, p->capture);
		if (index < 0) {
			request_fail(call, RPC_NOT_FOUND,
				"capture: no capture is named '%s'; capture.list shows them",
				p->capture);
			return 0;
		}
	}
	operation_flush(call, index);
	return 0;
}
