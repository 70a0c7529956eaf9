// SPDX-License-Identifier: Apache-2.0
// The name tables made from the .def lists.
#include <stdint.h>

#include "counters.h"
#include "events.h"
#include "protocols.h"

const struct protocol_info protocol_table[PROTOCOL_COUNT] = {
#define PROTOCOL(id, name, layer) {name, layer},
#include "protocols.def"
#undef PROTOCOL
};

const struct event_info event_table[EVENT_COUNT] = {
#define EVENT(id, layer, help) {#id, layer, help},
#include "events.def"
#undef EVENT
};

const struct counter_info counter_table[COUNTER_COUNT] = {
#define COUNTER(id, section, unit, kind, help) {#id, section, unit, help, COUNTER_KIND_##kind},
#include "counters.def"
#undef COUNTER
};
