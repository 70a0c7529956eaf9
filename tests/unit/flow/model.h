// SPDX-License-Identifier: Apache-2.0
// What the flow stage must do, written as plainly as can be: flows in an array, found by looking at
// each, every packet kept, figures summed over the packets when a record is written. Shares no code
// with the stage.
#pragma once

#include "flow.h"
#include "packet.h"

struct model_flow;

struct model {
	struct flow_config config;
	struct model_flow *flow;
	size_t flows, flow_room;
	struct flow_record *record; // flow_id: a number of the model's own
	size_t count, room;
	uint64_t next_id;
};

void model_open(struct model *, const struct flow_config *);
void model_close(struct model *);
void model_packet(struct model *, const struct packet *);
void model_end(struct model *, uint16_t capture, uint64_t now_ns, enum flow_end);

// Compares two sets of records, whatever their order: integers exactly, moments to 1e-9 (third ones
// to 1e-5). same_ids: flow_id equal; else equal ids where the other has equal ids.
// Returns NULL, or what differs first. Sorts both.
const char *records_differ(
	struct flow_record *x, size_t xn, struct flow_record *y, size_t yn, bool same_ids);
