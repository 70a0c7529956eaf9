// SPDX-License-Identifier: Apache-2.0
// Named malformations and anomalies, as an enum and a table made from events.def, and the one way
// to note one on a packet.
#pragma once

#include "packet.h"

enum event_id {
#define EVENT(id, layer, help) EVENT_##id,
#include "events.def"
#undef EVENT
	EVENT_COUNT
};

_Static_assert(EVENT_COUNT <= 255, "packet.events holds bytes");

struct event_info {
	const char *name;
	const char *layer;
	const char *help;
};

extern const struct event_info event_table[EVENT_COUNT];

// Notes an event on the packet. An event is noted once a packet; the ninth different one is lost.
static inline void packet_event(struct packet *p, enum event_id id)
{
	for (unsigned i = 0; i < p->event_count; i++)
		if (p->events[i] == id)
			return;
	if (p->event_count < PACKET_EVENTS_MAX)
		p->events[p->event_count++] = (uint8_t)id;
}
