// SPDX-License-Identifier: Apache-2.0
// What the writers of EVE records share: the head of a record, and what is known of captures and
// application protocols, ready as JSON. Inside export/ only.
#pragma once

#include "put.h"

enum {
	EVE_HEAD_SIZE = 1024,   // the most that the functions below put
	EVE_CAPTURE_SIZE = 480, // the most that eve_put_capture puts
	EVE_STREAM_SIZE = 2048, // the most that eve_put_stream puts
};

// {"timestamp":…,"flow_id":…,"in_iface":…,"event_type":"TYPE": a comma first where one is due;
// flow_id 0 is left out.
char *eve_put_head(const struct json *, char *p, uint64_t ts_ns, uint64_t flow_id, uint16_t capture,
	const char *type);

// ,"vlan":[…] where count is not 0.
char *eve_put_vlan(char *p, const uint16_t *vlan, unsigned count);

// ,"src_ip":…,"src_port":…,"dest_ip":…,"dest_port":…,"ip_v":…,"proto":…; ports where the protocol has some.
char *eve_put_tuple(char *p, const struct flow_tuple *);

// Addresses, ports and protocol without the comma before: src_ip src_port dest_ip dest_port.
char *eve_put_ends(char *p, uint8_t version, uint8_t proto, const uint8_t src[16],
	uint16_t src_port, const uint8_t dst[16], uint16_t dst_port);
char *eve_put_proto(char *p, uint8_t proto); // ,"proto":…

// "capture":…,"ts_source":…
char *eve_put_capture(char *p, uint16_t capture);

// ,"stream":{…}: both directions, to-server first.
char *eve_put_stream(char *p, const struct flow_stream s[2]);

const char *eve_app_protocol(uint16_t app_proto); // NULL: no name

void eve_losses_reset(uint16_t capture); // the index has a new capture
