// SPDX-License-Identifier: Apache-2.0
// Names of numbers, in EVE's words where EVE has them.
#include "export.h"

#include <stdio.h>

const char *flow_end_name(enum flow_end end)
{
	switch (end) {
	case FLOW_END_NONE:
		return "none";
	case FLOW_END_FIN:
		return "fin";
	case FLOW_END_RST:
		return "rst";
	case FLOW_END_REUSE:
		return "reuse";
	case FLOW_END_IDLE:
		return "idle";
	case FLOW_END_ACTIVE:
		return "active";
	case FLOW_END_EOF:
		return "eof";
	case FLOW_END_FORCED:
		return "forced";
	case FLOW_END_EVICTED:
		return "evicted";
	}
	return "unknown";
}

const char *flow_tcp_state_name(enum flow_tcp_state state)
{
	switch (state) {
	case FLOW_TCP_NONE:
		return "none";
	case FLOW_TCP_SYN_SENT:
		return "syn_sent";
	case FLOW_TCP_SYN_RECV:
		return "syn_recv";
	case FLOW_TCP_ESTABLISHED:
		return "established";
	case FLOW_TCP_FIN_WAIT1:
		return "fin_wait1";
	case FLOW_TCP_FIN_WAIT2:
		return "fin_wait2";
	case FLOW_TCP_TIME_WAIT:
		return "time_wait";
	case FLOW_TCP_LAST_ACK:
		return "last_ack";
	case FLOW_TCP_CLOSE_WAIT:
		return "close_wait";
	case FLOW_TCP_CLOSING:
		return "closing";
	case FLOW_TCP_CLOSED:
		return "closed";
	}
	return "unknown";
}

const char *ip_proto_name(uint8_t proto, char buffer[4])
{
	static const char *const names[256] = {
		[1] = "ICMP",
		[2] = "IGMP",
		[4] = "IPIP",
		[6] = "TCP",
		[17] = "UDP",
		[41] = "IPv6",
		[47] = "GRE",
		[50] = "ESP",
		[51] = "AH",
		[58] = "IPv6-ICMP",
		[88] = "EIGRP",
		[89] = "OSPF",
		[103] = "PIM",
		[112] = "VRRP",
		[115] = "L2TP",
		[132] = "SCTP",
		[136] = "UDPLite",
	};

	if (names[proto] != NULL)
		return names[proto];
	snprintf(buffer, 4, "%u", proto);
	return buffer;
}

const char *tunnel_type_name(enum tunnel_type type)
{
	switch (type) {
	case TUNNEL_NONE:
	case TUNNEL_TYPES:
		return "none";
	case TUNNEL_IPIP:
		return "ipip";
	case TUNNEL_GRE:
		return "gre";
	case TUNNEL_NVGRE:
		return "nvgre";
	case TUNNEL_ERSPAN:
		return "erspan";
	case TUNNEL_VXLAN:
		return "vxlan";
	case TUNNEL_VXLAN_GPE:
		return "vxlan-gpe";
	case TUNNEL_GENEVE:
		return "geneve";
	case TUNNEL_GTPU:
		return "gtp";
	case TUNNEL_MPLS:
		return "mpls";
	case TUNNEL_TEREDO:
		return "teredo";
	}
	return "unknown";
}
