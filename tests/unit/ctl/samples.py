# SPDX-License-Identifier: Apache-2.0
"""Answers as a daemon gives them."""

CAPTURES = [
    {'name': 'eth0', 'source': 'afpacket:eth0,queues=2', 'filter': 'tcp or udp', 'state': 'running', 'reason': '', 'live': True, 'queues': 2,
     'started': '2026-11-23T06:00:00.000000000+0000', 'ended': None, 'packets': 123456, 'bytes': 98765432, 'dropped': 17, 'filtered': 1000,
     'packets_per_second': 1234.5, 'bits_per_second': 9876543.2, 'progress': None},
    {'name': 'trace', 'source': 'pcap:/var/tmp/trace.pcap', 'filter': None, 'state': 'finished', 'reason': 'end of file', 'live': False, 'queues': 1,
     'started': '2026-11-23T06:00:00.000000000+0000', 'ended': '2026-11-23T06:00:00.500000000+0000', 'packets': 1900000, 'bytes': 1187500000,
     'dropped': 0, 'filtered': 0, 'packets_per_second': 0, 'bits_per_second': 0, 'progress': 1, 'bytes_read': 1217900024, 'bytes_total': 1217900024},
    {'name': 'bad', 'source': 'pcap:/var/tmp/bad.pcap', 'filter': None, 'state': 'failed', 'reason': 'record 12: longer than the file', 'live': False,
     'queues': 1, 'started': '2026-11-23T06:00:00.000000000+0000', 'ended': '2026-11-23T06:00:00.100000000+0000', 'packets': 11, 'bytes': 900,
     'dropped': 0, 'filtered': 0, 'packets_per_second': 0, 'bits_per_second': 0, 'progress': 0.297},
]

FLOWS = [
    {'timestamp': '2026-11-23T06:02:19.123456789+0000', 'flow_id': 9007199254740991, 'event_type': 'flow', 'src_ip': '192.168.0.104', 'src_port': 40498,
     'dest_ip': '13.89.179.8', 'dest_port': 443, 'proto': 'TCP', 'app_proto': 'tls', 'community_id': '1:wCb3OG7yAFWelaUydu0D+125CLM=', 'vlan': [10, 20],
     'flow': {'pkts_toserver': 10, 'pkts_toclient': 12, 'bytes_toserver': 1500, 'bytes_toclient': 12000, 'start': '2026-11-23T06:02:18.889012345+0000',
              'end': '2026-11-23T06:02:19.123456789+0000', 'age': 0, 'state': 'closed', 'reason': 'timeout'},
     'tcp': {'tcp_flags': '1b', 'tcp_flags_ts': '1b', 'tcp_flags_tc': '1b', 'syn': True, 'fin': True, 'psh': True, 'ack': True, 'state': 'closed'},
     'tunnel': {'src_ip': '10.1.1.1', 'dest_ip': '10.1.1.2', 'proto': 'VXLAN', 'depth': 1},
     'pktai': {'schema': 1, 'capture': 'trace', 'ts_source': 'file', 'part_no': 1, 'duration_ns': 234444444, 'throughput_bps': 460663.5,
               'avg_packet_bytes': 613.6363636, 'end_reason': 'fin', 'latency': {'syn_ns': 23400000, 'synack_ns': 120000, 'first_response_ns': 31000000,
                                                                                 'response': {'min_ns': 1000000, 'mean_ns': 2500000, 'max_ns': 31000000, 'samples': 4}},
               'stream': {
                   'segments_toserver': 10, 'segments_toclient': 12, 'bytes_delivered_toserver': 900, 'bytes_delivered_toclient': 11000,
                   'duplicate_toserver': 0, 'duplicate_toclient': 1, 'out_of_order_toserver': 0, 'out_of_order_toclient': 2,
                   'overlap_toserver': 0, 'overlap_toclient': 0, 'gap_bytes_toserver': 0, 'gap_bytes_toclient': 1460,
                   'retransmitted_toserver': 0, 'retransmitted_toclient': 1, 'zero_window_toserver': 0, 'zero_window_toclient': 0,
                   'gaps_toserver': 0, 'gaps_toclient': 1, 'fresh_toserver': 3,
                   'rtt_toserver': {'min_ns': 21000000, 'mean_ns': 22500000, 'max_ns': 24000000, 'samples': 4}},
               'toserver': {'iat': {'mean_ns': 26049382.6, 'skew': 1.25}, 'ttl': {'min': 63}}, 'quality': {'midstream': False, 'truncated': True}, 'splt': {'sizes': [0, 0, 517, -1400], 'dt_us': [0, 23400, 120]}}},
    {'timestamp': '2026-11-23T06:02:20.000000000+0000', 'flow_id': 42, 'event_type': 'flow', 'in_iface': 'eth0',
     'src_ip': '2001:0db8:1111:2222:3333:4444:5555:6666', 'src_port': 65535, 'dest_ip': '2001:0db8:aaaa:bbbb:cccc:dddd:eeee:ffff', 'dest_port': 53535,
     'proto': 'UDP', 'flow': {'pkts_toserver': 3000000, 'pkts_toclient': 0, 'bytes_toserver': 4200000000, 'bytes_toclient': 0,
                              'start': '2026-11-23T06:00:20.000000000+0000', 'age': 120, 'state': 'new'},
     'pktai': {'capture': 'eth0', 'duration_ns': 120000000000, 'throughput_bps': 280000000, 'avg_packet_bytes': 1400, 'part_no': 2}},
    {'timestamp': '2026-11-23T06:02:20.000000000+0000', 'flow_id': 7, 'event_type': 'flow', 'src_ip': '10.0.0.1', 'dest_ip': '10.0.0.2', 'proto': 'ICMP',
     'app_proto': 'failed', 'icmp_type': 8, 'icmp_code': 0,
     'flow': {'pkts_toserver': 1, 'pkts_toclient': 0, 'bytes_toserver': 98, 'bytes_toclient': 0, 'start': '2026-11-23T06:02:20.000000000+0000', 'state': 'new'},
     'pktai': {'capture': 'trace', 'duration_ns': 0, 'throughput_bps': 0, 'avg_packet_bytes': 98, 'end_reason': 'eof'}},
]

INFO = {
    'version': '0.1.0', 'dpdk': 'DPDK 22.11.11', 'pid': 1234, 'started': '2026-11-23T04:00:00.000000000+0000', 'uptime_s': 7384.2, 'socket': '/run/pktaid/pktaid.sock',
    'config': '/etc/pktaid/pktaid.yaml', 'log_level': 'notice',
    'workers': [{'index': 0, 'cpu': 2, 'load': 0.42, 'heartbeat': 99, 'flows_active': 1200, 'flow_capacity': 500000, 'flow_table_bytes': 96000000},
                {'index': 1, 'cpu': -1, 'load': 0.99, 'heartbeat': 98, 'flows_active': 34, 'flow_capacity': 500000, 'flow_table_bytes': 96000000}],
    'captures': CAPTURES, 'flows': {'active': 1234, 'capacity': 1000000, 'recent': 5678},
    'memory': {'rss_bytes': 345678901, 'flow_tables_bytes': 192000000, 'streams_bytes': 555000000, 'recent_bytes': 3456789}, 'clients': {'connected': 2, 'maximum': 256, 'refused': 0},
    'limits': {'request_bytes': 65536},
}

DROPS = {
    'captures': [
        {'name': 'eth0', 'offered': 123473, 'received': 123461, 'processed': 122456, 'filtered': 1000, 'dropped': {'ring_full': 5, 'no_mbuf': 0},
         'device': {'missed': 0, 'errors': 0, 'no_mbuf': 0, 'kernel': 12},
         'queues': [{'queue': 0, 'worker': 0, 'received': 60000, 'processed': 59500, 'filtered': 500, 'dropped': {'ring_full': 0, 'no_mbuf': 0}},
                    {'queue': 1, 'worker': 1, 'received': 63461, 'processed': 62956, 'filtered': 500, 'dropped': {'ring_full': 5, 'no_mbuf': 0}}]},
        {'name': 'trace', 'offered': 1900000, 'received': 1900000, 'processed': 1899998, 'filtered': 0, 'dropped': {'ring_full': 0},
         'device': {'missed': 0, 'errors': 0, 'no_mbuf': 0, 'kernel': 0}}],
    'malformed': {'ipv4_short': 3, 'tcp_bad_hlen': 0, 'udp_short': 12, 'eth_short': 3},
}

PROTOCOLS = {'protocols': [
    {'name': 'ethernet', 'layer': 'link', 'packets': 1900000, 'bytes': 1187500000, 'packets_per_second': 0, 'bits_per_second': 0},
    {'name': 'ipv4', 'layer': 'network', 'packets': 1800000, 'bytes': 1180000000, 'packets_per_second': 1234567.8, 'bits_per_second': 6543210987},
    {'name': 'tcp', 'layer': 'transport', 'packets': 1, 'bytes': 60, 'packets_per_second': 0.5, 'bits_per_second': 240}]}

TCP = {
    'segments_received': 1800000, 'bytes_delivered': 1100000000, 'duplicate_segments': 1234, 'out_of_order_segments': 5678, 'streams': 69000,
    'active': 12, 'connections': 60000, 'simultaneous_open': 1, 'syn': 61000, 'synack': 60500, 'fin': 118000, 'rst': 2100, 'midstream': 7,
    'one_sided': 900, 'reused_tuple': 3, 'in_order': 1500000, 'buffered': 4, 'buffered_peak': 310, 'retransmitted': 1400,
    'spurious_retransmission': 77, 'keep_alive': 33, 'zero_window': 12, 'zero_window_probe': 5, 'urgent': 0, 'overlap': 66, 'overlap_differing': 2,
    'before_base': 9, 'out_of_window': 1, 'gaps': 21, 'gap_bytes': 30660, 'gaps_acked': 15, 'gaps_budget': 0, 'gaps_end': 5, 'gaps_truncated': 1,
    'ack_unseen': 44, 'bytes_not_wanted': 999, 'limit_streams': 0, 'limit_bytes': 0, 'limit_segments': 0, 'limit_depth': 0, 'limit_hold': 0,
    'bad_checksum': 0, 'bad_length': 3, 'bad_ack': 0, 'bad_timestamp': 0, 'syn_inside': 0, 'rst_out_of_window': 0, 'data_after_rst': 8,
    'data_after_fin': 0, 'rtt_handshake_samples': 120000, 'rtt_handshake_sum': 2760000000000, 'rtt_samples': 0, 'rtt_sum': 0, 'memory': 6400,
    'memory_peak': 496000, 'dreams': 17}

IP = {'fragments': 3000, 'reassembled': 990, 'timeout': 10, 'overlap': 0, 'overlap_differing': 1, 'duplicate': 2, 'bad_length': 0, 'too_large': 0,
      'too_small': 0, 'too_many': 0, 'unreadable': 0, 'memcap': 0, 'evicted': 0}

REASSEMBLY = {'tcp': TCP, 'ipv4': IP, 'ipv6': dict(IP, fragments=12, timeout=0)}

STATS = {'sections': [
    {'name': 'capture', 'counters': [{'name': 'received', 'value': 123456789, 'unit': 'packets', 'kind': 'sum', 'help': 'packets that the source handed over'}]},
    {'name': 'flow', 'counters': [{'name': 'flows_active', 'value': 12, 'unit': 'flows', 'kind': 'gauge', 'help': 'flows in the table'}]}]}


def answers():
    return {
        'system.info': INFO, 'capture.list': {'captures': CAPTURES}, 'flows.top': {'flows': FLOWS, 'matched': len(FLOWS)}, 'flows.get': {'flow': FLOWS[0]},
        'protocols.get': PROTOCOLS, 'drops.get': DROPS, 'reassembly.stats': REASSEMBLY, 'stats.get': STATS, 'system.reload': {'restart_needed': ['flow.capacity', 'workers']},
        'system.log_level': {'level': 'debug', 'previous': 'notice'}, 'capture.stop': {'name': 'eth0', 'ended': 12}, 'capture.start': {'name': 'eth0'},
    }
