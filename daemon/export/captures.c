// SPDX-License-Identifier: Apache-2.0
// What records need to know of captures and application protocols. A capture's part of a record is
// made once, when control sets it, and copied into each record. The table needs no lock: control
// writes a row before the capture's first packet and after the last record of the row's previous
// capture has been written; the rings between the threads order the rest.
#include <assert.h>
#include <string.h>

#include "eve.h"

struct capture_row {
	struct export_capture is;
	uint16_t iface_size, capture_size;
	char iface[224];                // ,"in_iface":"eth0", or nothing
	char capture[EVE_CAPTURE_SIZE]; // "capture":"name","ts_source":"kernel"
};

static struct capture_row capture_rows[FLOW_CAPTURES_MAX];
static const char *const *app_names;
static unsigned app_count;

static_assert(
	sizeof(((struct capture_row *)0)->iface) >= 6 * 32 + 20, "iface holds the worst escapes");
static_assert(EVE_CAPTURE_SIZE >= 6 * (64 + 8) + 40, "capture holds the worst escapes");

static char *put_member(char *p, const char *key, const char *value, size_t size)
{
	p = put_text(p, key);
	return put_string(p, value, strnlen(value, size));
}

void export_capture_set(uint16_t capture, const struct export_capture *c)
{
	struct capture_row *row;
	char *p;

	if (capture >= FLOW_CAPTURES_MAX)
		return;
	row = &capture_rows[capture];
	row->is = *c;
	eve_losses_reset(capture);
	p = row->iface;
	if (c->interface[0] != '\0')
		p = put_member(p, ",\"in_iface\":", c->interface, sizeof(c->interface));
	row->iface_size = (uint16_t)(p - row->iface);
	p = put_member(row->capture, "\"capture\":", c->name, sizeof(c->name));
	p = put_member(p, ",\"ts_source\":", c->time_source, sizeof(c->time_source));
	row->capture_size = (uint16_t)(p - row->capture);
}

void export_capture_get(uint16_t capture, struct export_capture *ret)
{
	if (capture < FLOW_CAPTURES_MAX)
		*ret = capture_rows[capture].is;
	else
		memset(ret, 0, sizeof(*ret));
}

void export_app_protocols(const char *const *names, unsigned count)
{
	app_names = names;
	app_count = count;
}

const char *eve_app_protocol(uint16_t app_proto)
{
	return app_proto != 0 && app_proto < app_count ? app_names[app_proto] : NULL;
}

static char *put_iface(char *p, uint16_t capture)
{
	const struct capture_row *row = &capture_rows[capture % FLOW_CAPTURES_MAX];

	return put_bytes(p, row->iface, row->iface_size);
}

char *eve_put_capture(char *p, uint16_t capture)
{
	const struct capture_row *row = &capture_rows[capture % FLOW_CAPTURES_MAX];

	if (row->capture_size == 0) // never set
		return PUT(p, "\"capture\":\"\",\"ts_source\":\"\"");
	return put_bytes(p, row->capture, row->capture_size);
}

char *eve_put_head(const struct json *j, char *p, uint64_t ts_ns, uint64_t flow_id,
	uint16_t capture, const char *type)
{
	if (j->comma)
		*p++ = ',';
	p = PUT(p, "{\"timestamp\":\"");
	p = put_time(p, ts_ns);
	*p++ = '"';
	if (flow_id != 0) {
		p = PUT(p, ",\"flow_id\":");
		p = put_u64(p, flow_id);
	}
	p = put_iface(p, capture);
	p = PUT(p, ",\"event_type\":\"");
	p = put_text(p, type);
	*p++ = '"';
	return p;
}
