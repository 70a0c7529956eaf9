// SPDX-License-Identifier: Apache-2.0
// Records of packets as EVE JSON: anomalies and ARP. The fields are those of the EVE JSON schema;
// what it does not know is in the object "pktai". proto/records/ describes each field.
// Thread: that of the struct json.
#include <netinet/in.h>
#include <string.h>

#include "eve.h"
#include "events.h"

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_UDPLITE || proto == IPPROTO_DCCP;
}

char *eve_put_vlan(char *p, const uint16_t *vlan, unsigned count)
{
	if (count == 0)
		return p;
	p = PUT(p, ",\"vlan\":");
	for (unsigned i = 0; i < count && i < PACKET_VLANS_MAX; i++) {
		*p++ = i == 0 ? '[' : ',';
		p = put_u32(p, vlan[i]);
	}
	*p++ = ']';
	return p;
}

char *eve_put_ends(char *p, uint8_t version, uint8_t proto, const uint8_t src[16],
	uint16_t src_port, const uint8_t dst[16], uint16_t dst_port)
{
	bool ports = has_ports(proto);

	p = PUT(p, "\"src_ip\":\"");
	p = put_ip(p, version, src);
	*p++ = '"';
	if (ports) {
		p = PUT(p, ",\"src_port\":");
		p = put_u32(p, src_port);
	}
	p = PUT(p, ",\"dest_ip\":\"");
	p = put_ip(p, version, dst);
	*p++ = '"';
	if (ports) {
		p = PUT(p, ",\"dest_port\":");
		p = put_u32(p, dst_port);
	}
	return p;
}

char *eve_put_proto(char *p, uint8_t proto)
{
	char number[4];

	p = PUT(p, ",\"proto\":\"");
	p = put_text(p, ip_proto_name(proto, number));
	*p++ = '"';
	return p;
}

char *eve_put_tuple(char *p, const struct flow_tuple *t)
{
	*p++ = ',';
	p = eve_put_ends(p, t->version, t->proto, t->src, t->src_port, t->dst, t->dst_port);
	p = PUT(p, ",\"ip_v\":");
	p = put_u32(p, t->version);
	return eve_put_proto(p, t->proto);
}

static void json_record_end(struct json *j, char *p)
{
	*p++ = '}';
	json_grown(j, p);
	j->comma = true;
}

void eve_anomaly(struct json *j, const struct anomaly_record *r)
{
	char *p = json_grow(j, EVE_HEAD_SIZE + EVE_CAPTURE_SIZE + 512);

	if (p == NULL)
		return;
	p = eve_put_head(j, p, r->ts_ns, r->flow_id, r->capture, "anomaly");
	p = eve_put_vlan(p, r->tuple.vlan, r->tuple.vlan_count);
	if (r->has_tuple && r->tuple.version != 0)
		p = eve_put_tuple(p, &r->tuple);
	p = PUT(p, ",\"pcap_cnt\":");
	p = put_u64(p, r->pcap_cnt);
	if (r->event < EVENT_COUNT) {
		p = PUT(p, ",\"anomaly\":{\"type\":\"");
		p = put_text(p, r->event < EVENT_tcp_overlap_differing ? "decode" : "stream");
		p = PUT(p, "\",\"event\":\"");
		p = put_text(p, event_table[r->event].name);
		p = PUT(p, "\",\"layer\":\"");
		p = put_text(p, event_table[r->event].layer);
		*p++ = '"';
	} else {
		p = PUT(p, ",\"anomaly\":{\"type\":\"unknown\",\"code\":");
		p = put_u32(p, r->event);
	}
	p = PUT(p, "},\"pktai\":{\"schema\":\"pktai-anomaly/1\",");
	p = eve_put_capture(p, r->capture);
	p = PUT(p, ",\"wirelen\":");
	p = put_u32(p, r->wirelen);
	p = PUT(p, ",\"repeated\":");
	p = put_u32(p, r->repeated);
	*p++ = '}';
	json_record_end(j, p);
}

static char *put_mac(char *p, const uint8_t mac[6])
{
	for (unsigned i = 0; i < 6; i++) {
		p = put_hex(p, mac[i]);
		*p++ = ':';
	}
	return p - 1;
}

// A name, or the number as text.
static char *put_name_or_number(char *p, const char *name, uint16_t number)
{
	return name != NULL ? put_text(p, name) : put_u32(p, number);
}

void eve_arp(struct json *j, const struct arp_record *r)
{
	static const char *const opcodes[] = {NULL, "request", "reply", "request_reverse",
		"reply_reverse", [8] = "request_inverse", [9] = "reply_inverse"};
	char *p = json_grow(j, EVE_HEAD_SIZE + EVE_CAPTURE_SIZE + 512);

	if (p == NULL)
		return;
	p = eve_put_head(j, p, r->ts_ns, 0, r->capture, "arp");
	p = eve_put_vlan(p, r->vlan, r->vlan_count);
	p = PUT(p, ",\"pcap_cnt\":");
	p = put_u64(p, r->pcap_cnt);
	p = PUT(p, ",\"arp\":{\"hw_type\":\"");
	p = put_name_or_number(p, r->hw_type == 1 ? "ethernet" : NULL, r->hw_type);
	p = PUT(p, "\",\"proto_type\":\"");
	p = put_name_or_number(p, r->proto_type == 0x0800 ? "ipv4" : NULL, r->proto_type);
	p = PUT(p, "\",\"opcode\":\"");
	p = put_name_or_number(p,
		r->opcode < sizeof(opcodes) / sizeof(opcodes[0]) ? opcodes[r->opcode] : NULL,
		r->opcode);
	p = PUT(p, "\",\"src_mac\":\"");
	p = put_mac(p, r->src_mac);
	p = PUT(p, "\",\"src_ip\":\"");
	p = put_ip(p, 4, r->src_ip);
	p = PUT(p, "\",\"dest_mac\":\"");
	p = put_mac(p, r->dest_mac);
	p = PUT(p, "\",\"dest_ip\":\"");
	p = put_ip(p, 4, r->dest_ip);
	p = PUT(p, "\"},\"pktai\":{\"schema\":\"pktai-arp/1\",");
	p = eve_put_capture(p, r->capture);
	*p++ = '}';
	json_record_end(j, p);
}
