// SPDX-License-Identifier: Apache-2.0
// A question about flows on its way: gather.c asks, gather_join.c makes one answer of many.
#pragma once

#include "internal.h"

enum { CURSOR_SIZE = 2 + 8 + 16 };

struct gather {
	TAILQ_ENTRY(gather) entry;
	struct control *control;  // NULL: stopped
	struct rpc_call *request; // NULL: nobody waits for it any more
	struct flows_question q;  // its texts are not valid after the start
	int capture, app_proto;   // -1: all
	struct flow_filter *filter;
	uint64_t check; // what a cursor of this question must carry
	unsigned workers;
	struct flow_query *queries; // one a worker, and one for the recent store behind them
	struct flow_record *records;
	// list: where it goes on
	unsigned source; // worker, or workers for the recent store
	uint32_t next;
	// the records of the reply
	const struct flow_record **picked;
	unsigned picked_count;
	uint64_t matched;
};

// Runs the question over the recent store. Returns 0 or -ENOMEM.
int gather_ask_recent(struct gather *);

// The text by which flows.list goes on where g stands.
void gather_cursor(const struct gather *, char text[CURSOR_SIZE + 1]);

// --- gather_join.c ---

// Takes one answer to a list into the page and moves on to where it ended.
void gather_pick_list(struct gather *, const struct flow_query *);

// All workers that were to be asked have answered: asks the recent store, and ends the request.
void gather_finish(struct gather *);
