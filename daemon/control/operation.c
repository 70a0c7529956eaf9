// SPDX-License-Identifier: Apache-2.0
// What takes the workers a while besides queries: stopping a capture and flushing flows. The answer
// comes from workers_dispatch(); a request that is gone by then gets none. Thread: control.
#include "internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto_methods.h"

struct operation {
	TAILQ_ENTRY(operation) entry;
	struct control *control;  // NULL: stopped
	struct rpc_call *request; // NULL: nobody waits for it any more
	char name[64];            // of the capture, for capture.stop
};

static struct operation *operation_new(struct rpc_call *call)
{
	struct operation *o = calloc(1, sizeof(*o));

	if (o == NULL) {
		request_fail(call, RPC_INTERNAL_ERROR, "no memory for the request");
		return NULL;
	}
	o->control = call->control;
	o->request = call;
	TAILQ_INSERT_TAIL(&call->control->operations, o, entry);
	return o;
}

static void operation_free(struct operation *o)
{
	if (o->control != NULL)
		TAILQ_REMOVE(&o->control->operations, o, entry);
	free(o);
}

static void operation_abandon(void *owner)
{
	struct operation *o = owner;

	o->request = NULL;
}

static void on_done(void *ctx, uint64_t ended)
{
	struct operation *o = ctx;
	struct json j;

	if (o->request != NULL) {
		json_init(&j);
		json_object(&j, NULL);
		if (o->name[0] != '\0')
			json_string(&j, "name", o->name);
		json_uint(&j, "ended", ended);
		json_object_end(&j);
		request_reply(o->request, &j);
		json_fini(&j);
	}
	operation_free(o);
}

static void operation_failed(struct operation *o, int rc, const char *name)
{
	struct rpc_call *call = o->request;

	operation_free(o);
	if (rc == -ENOENT)
		request_fail(call, RPC_NOT_FOUND,
			"name: no capture is named '%s'; capture.list shows them", name);
	else if (rc == -EBUSY)
		request_fail_busy(call, COUNT_busy_queries,
			"the workers have as many questions as they take");
	else
		request_fail(call, RPC_INTERNAL_ERROR, "%s", strerror(-rc));
}

void operation_stop(struct rpc_call *call, const char *name)
{
	struct operation *o = operation_new(call);
	int rc;

	if (o == NULL)
		return;
	snprintf(o->name, sizeof(o->name), "%s", name);
	request_pend(call, o, operation_abandon); // done may be called before captures_stop returns
	rc = captures_stop(call->control->config.workers, name, on_done, o);
	if (rc < 0)
		operation_failed(o, rc, name);
}

void operation_flush(struct rpc_call *call, int capture)
{
	struct operation *o = operation_new(call);
	int rc;

	if (o == NULL)
		return;
	request_pend(call, o, operation_abandon);
	rc = captures_flush(call->control->config.workers, capture, on_done, o);
	if (rc < 0)
		operation_failed(o, rc, "");
}

void operations_fini(struct control *c)
{
	struct operation *o;

	while ((o = TAILQ_FIRST(&c->operations)) != NULL) {
		TAILQ_REMOVE(&c->operations, o, entry);
		o->control = NULL; // the workers' answer frees it
		o->request = NULL;
	}
}
