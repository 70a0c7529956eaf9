# SPDX-License-Identifier: Apache-2.0
"""Control over its socket: every method, every limit, every kind of bad input."""
import json
import os
import random
import socket
import sys
import time
import unittest

from harness import Client, Daemon, wait_for

PARSE, INVALID, NO_METHOD, PARAMS = -32700, -32600, -32601, -32602
FAILED, BUSY, NOT_FOUND, EXISTS, DENIED, LIMIT, TOO_LARGE, TIMEOUT, SHUTTING_DOWN = -32000, -32001, -32002, -32003, -32004, -32005, -32006, -32007, -32009
FILE = 'pcap:' + os.path.abspath(__file__)


class Base(unittest.TestCase):
    args = ()

    def setUp(self):
        self.d = Daemon(*self.args)
        self.c = self.d.client()

    def tearDown(self):
        self.c.close()
        self.d.stop()

    def recent(self, n):
        wait_for('%d ended flows' % n, lambda: self.c.call('system.info')['flows']['recent'] == n)


class Methods(Base):
    def test_discover(self):
        doc = self.c.call('rpc.discover')
        names = {m['name'] for m in doc['methods']}
        self.assertEqual(doc['openrpc'], '1.2.6')
        self.assertIn('flows.top', names)
        # each method it lists is there: none is answered by "no such method"
        for name in names - {'system.shutdown'}:
            with self.d.client() as c:
                reply = c.raw(json.dumps(c.request(name, {})) + '\n')
            self.assertNotEqual(reply.get('error', {}).get('code'), NO_METHOD, name)

    def test_system(self):
        self.c.call('capture.start', source='afpacket:a')
        i = self.c.call('system.info')
        self.assertEqual(i['pid'], self.d.p.pid)
        self.assertEqual(i['socket'], self.d.path)
        self.assertEqual(i['workers'][1]['index'], 1)
        self.assertEqual(i['flows'], {'active': 200, 'capacity': 2 * 65536, 'recent': 0})
        self.assertEqual(i['clients'], {'connected': 1, 'maximum': 1024})
        self.assertGreater(i['memory']['rss_bytes'], 1 << 20)
        self.assertEqual(i['captures'][0]['source'], 'afpacket:a')
        self.assertEqual(i['limits']['request_bytes'], 65536)
        first = self.c.call('system.info')['workers'][0]['heartbeat']
        self.assertGreater(self.c.call('system.info')['workers'][0]['heartbeat'], first)
        self.assertEqual(self.c.call('system.log_level', level='debug'), {'level': 'debug', 'previous': 'info'})
        self.assertEqual(self.c.call('system.log_level', level='info'), {'level': 'info', 'previous': 'debug'})
        e = self.c.error('system.log_level', level='loud')
        self.assertEqual(e.code, PARAMS)
        self.assertIn('level', str(e))
        self.assertIn('notice', str(e))

    def test_reload(self):
        self.assertEqual(self.c.call('system.reload'), {'restart_needed': ['workers', 'flow.capacity']})
        self.d.tell('reload-fails')
        e = self.c.error('system.reload')
        self.assertEqual(e.code, FAILED)
        self.assertIn('accepts 1 to 64', str(e))

    def test_shutdown(self):
        self.assertEqual(self.c.call('system.shutdown'), {'stopping': True})
        self.assertIsNone(self.c.line())
        self.assertEqual(self.d.p.wait(10), 0)
        self.assertFalse(os.path.exists(self.d.path))

    def test_shutdown_in_a_batch_refuses_what_follows(self):
        self.c.send(json.dumps([self.c.request('system.shutdown'), self.c.request('capture.start', {'source': 'afpacket:a'}), self.c.request('capture.list')]) + '\n')
        r = self.c.line()
        self.assertEqual(r[0]['result'], {'stopping': True})
        self.assertEqual(r[1]['error']['code'], SHUTTING_DOWN)
        self.assertEqual(r[2]['result'], {'captures': []})

    def test_captures(self):
        self.assertEqual(self.c.call('capture.start', source='afpacket:a', name='one', filter='tcp'), {'name': 'one'})
        self.assertEqual(self.c.call('capture.start', source=FILE)['name'], 'cap1')
        one, file = self.c.call('capture.list')['captures']
        self.assertEqual((one['name'], one['state'], one['filter'], one['live'], one['progress'], one['ended']), ('one', 'running', 'tcp', True, None, None))
        self.assertEqual((file['state'], file['filter'], file['live'], file['progress'], file['reason']), ('finished', None, False, 1, 'end of file'))
        self.assertEqual(self.c.call('capture.list', name='cap1')['captures'][0]['name'], 'cap1')
        self.assertEqual(self.c.error('capture.list', name='none').code, NOT_FOUND)
        e = self.c.error('capture.start', source='afpacket:b', name='one')
        self.assertEqual(e.code, EXISTS)
        self.assertIn('one', str(e))
        e = self.c.error('capture.start', source='pcap:/does/not/exist')
        self.assertEqual(e.code, FAILED)
        self.assertIn('/does/not/exist', str(e))
        e = self.c.error('capture.start', source='nonsense')
        self.assertEqual((e.code, e.error['data']['parameter']), (PARAMS, 'source'))
        self.assertIn('accepts', str(e))
        for i in range(62):
            self.c.call('capture.start', source='afpacket:x')
        self.assertEqual(self.c.error('capture.start', source='afpacket:y').code, LIMIT)
        self.recent(200)
        self.assertEqual(self.c.call('capture.stop', name='one'), {'name': 'one', 'ended': 200})
        self.assertEqual(self.c.call('capture.list', name='one')['captures'][0]['state'], 'stopped')
        self.recent(400)
        self.assertEqual(self.c.call('capture.stop', name='one'), {'name': 'one', 'ended': 0})
        self.assertEqual(self.c.error('capture.stop', name='one').code, NOT_FOUND)
        self.recent(200)

    def test_flush(self):
        self.c.call('capture.start', source='afpacket:a', name='a')
        self.c.call('capture.start', source='afpacket:b', name='b')
        self.assertEqual(self.c.call('flows.flush', capture='a'), {'ended': 200})
        self.assertEqual(self.c.call('flows.flush'), {'ended': 200})
        self.assertEqual(self.c.error('flows.flush', capture='c').code, NOT_FOUND)
        self.recent(400)
        self.assertEqual({f['pktai']['end_reason'] for f in self.c.call('flows.list', limit=1000)['flows']}, {'forced'})

    def test_stats(self):
        self.c.call('capture.start', source='afpacket:a', name='a')
        self.c.call('capture.start', source=FILE, name='f')
        sections = {s['name']: s['counters'] for s in self.c.call('stats.get')['sections']}
        self.assertEqual((list(sections)[:4], list(sections)[-2:]), (['capture', 'worker', 'flow', 'export'], ['malformed', 'rpc']))
        for s in sections.values():
            for c in s:
                self.assertGreater(len(c['help']), 10, c)
                self.assertIn(c['kind'], ('sum', 'gauge'))
        e = self.c.error('stats.get', section='nothing')
        self.assertEqual(e.code, NOT_FOUND)
        file = {c['name']: c['value'] for c in self.c.call('stats.get', section='capture', capture='f')['sections'][0]['counters']}
        self.assertEqual(file['received'], 20000)
        self.assertEqual(self.c.error('stats.get', section='rpc', capture='f').code, NOT_FOUND)
        self.assertEqual(self.c.error('stats.get', capture='none').code, NOT_FOUND)
        # a reset is taken as zero from the next answer on, and touches nothing else
        self.assertEqual(self.c.call('stats.get', section='capture', capture='f', reset=True)['sections'][0]['counters'][0]['value'], 20000)
        self.assertEqual(self.c.call('stats.get', section='capture', capture='f')['sections'][0]['counters'][0]['value'], 0)
        self.assertGreaterEqual(self.c.counters('capture')['received'], 40000)
        self.assertEqual(self.c.call('drops.get', capture='f')['captures'][0]['received'], 20000)
        flow = {c['name']: c for c in self.c.call('stats.get', section='flow', reset=True)['sections'][0]['counters']}
        self.assertEqual(flow['flows_active']['kind'], 'gauge')
        self.assertEqual(self.c.counters('flow')['flows_active'], flow['flows_active']['value'])
        before = self.c.counters()['requests']
        self.c.call('stats.get', section='rpc', reset=True)
        self.assertLess(self.c.counters()['requests'], before)
        # an index that is used anew has no baseline
        self.c.call('capture.stop', name='f')
        self.c.call('capture.start', source=FILE, name='g')
        self.assertEqual(self.c.call('stats.get', section='capture', capture='g')['sections'][0]['counters'][0]['value'], 20000)

    def test_protocols_and_drops(self):
        self.assertEqual(self.c.call('protocols.get'), {'protocols': []})
        self.c.call('capture.start', source='afpacket:a', name='a')
        self.c.call('capture.start', source=FILE, name='f')
        p = self.c.call('protocols.get', capture='f')['protocols']
        self.assertEqual(p, [{'name': 'ethernet', 'layer': 'link', 'packets': 20000, 'bytes': 2000000, 'packets_per_second': 0, 'bits_per_second': 0},
                             {'name': 'ipv4', 'layer': 'network', 'packets': 10000, 'bytes': 1000000, 'packets_per_second': 0, 'bits_per_second': 0}])
        r = wait_for('a rate', lambda: next((x for x in self.c.call('protocols.get', capture='a')['protocols'] if x['packets_per_second'] > 0), None))
        self.assertAlmostEqual(r['packets_per_second'], 40000, delta=20000)
        self.assertAlmostEqual(r['bits_per_second'], r['packets_per_second'] * 800, delta=1)
        self.assertGreater(self.c.call('protocols.get')['protocols'][0]['packets_per_second'], 0)
        self.assertEqual(self.c.error('protocols.get', capture='x').code, NOT_FOUND)
        d = self.c.call('drops.get')
        self.assertEqual([x['name'] for x in d['captures']], ['a', 'f'])
        for c in d['captures']:
            self.assertEqual(c['received'], c['processed'] + c['filtered'] + sum(c['dropped'].values()))
            self.assertEqual(c['offered'], c['received'] + sum(c['device'].values()))
            self.assertEqual(set(c['dropped']), {'ring_full', 'steer_ring_full', 'no_mbuf', 'shutdown'})
            self.assertEqual([q['queue'] for q in c['queues']], [0, 1])
            for q in c['queues']:
                self.assertEqual(q['received'], q['processed'] + q['filtered'] + sum(q['dropped'].values()))
        self.assertEqual(self.c.call('drops.get', capture='f')['malformed'], {'tcp_short': 200})
        self.assertEqual(self.c.error('drops.get', capture='x').code, NOT_FOUND)

    def test_reassembly(self):
        zero = self.c.call('reassembly.stats')
        self.assertEqual(list(zero), ['tcp', 'ipv4', 'ipv6'])
        self.assertEqual(list(zero['tcp'])[:4], ['segments_received', 'bytes_delivered', 'duplicate_segments', 'out_of_order_segments'])
        self.assertEqual(list(zero['ipv4']), list(zero['ipv6']))
        self.assertEqual(set(sum((list(x.values()) for x in zero.values()), [])), {0})
        self.c.call('capture.start', source=FILE, name='f')
        self.c.call('capture.start', source=FILE, name='g')
        both, one = self.c.call('reassembly.stats'), self.c.call('reassembly.stats', capture='g')
        self.assertEqual((one['tcp']['segments_received'], both['tcp']['segments_received']), (9000, 18000))
        self.assertEqual((one['ipv6']['fragments'], both['ipv6']['fragments']), (300, 600))
        self.c.call('capture.stop', name='f') # ended: taken off the list, and still in the totals
        self.assertEqual(self.c.call('reassembly.stats'), both)
        self.assertEqual(self.c.error('reassembly.stats', capture='x').code, NOT_FOUND)


class Flows(Base):
    args = ('--workers', '3', '--flows', '50')

    def setUp(self):
        super().setUp()
        self.c.call('capture.start', source='afpacket:a', name='live')
        self.c.call('capture.start', source=FILE, name='file')
        self.recent(150)

    def size(self, f):
        return f['flow']['bytes_toserver'] + f['flow']['bytes_toclient']

    def pages(self, **kw):
        flows, cursor, n = [], None, 0
        while True:
            r = self.c.call('flows.list', **kw, **({'cursor': cursor} if cursor else {}))
            self.assertLessEqual(len(r['flows']), kw['limit'])
            flows += r['flows']
            cursor = r['cursor']
            n += 1
            if cursor is None:
                return flows, n

    def test_top(self):
        r = self.c.call('flows.top', n=1000)
        self.assertEqual((len(r['flows']), r['matched']), (300, 300))
        sizes = [self.size(f) for f in r['flows']]
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        best = self.c.call('flows.top')['flows']
        self.assertEqual([f['flow_id'] for f in best], [f['flow_id'] for f in r['flows'][:10]])
        self.assertEqual(len(best), 10)
        r = self.c.call('flows.top', by='start', ascending=True, n=5)
        self.assertEqual([f['flow_id'] for f in r['flows']], [1, 2, 3, 4, 5])
        for state, capture, active in (('active', 'live', True), ('ended', 'file', False)):
            r = self.c.call('flows.top', state=state, n=1000)
            self.assertEqual((len(r['flows']), r['matched']), (150, 150))
            self.assertEqual({f['pktai']['capture'] for f in r['flows']}, {capture})
            self.assertEqual({'end_reason' in f['pktai'] for f in r['flows']}, {not active})
        self.assertEqual(self.c.call('flows.top', capture='file', state='active')['flows'], [])
        self.assertEqual({f['proto'] for f in self.c.call('flows.top', filter='tcp', n=1000)['flows']}, {'TCP'})
        self.assertEqual(self.c.call('flows.top', app='unknown')['matched'], 300)
        for metric in ('packets', 'throughput', 'duration', 'last-seen', 'score'):
            self.assertEqual(len(self.c.call('flows.top', by=metric, n=7)['flows']), 7)

    def test_bad_questions(self):
        for params, name in (({'n': 0}, 'n'), ({'n': 1001}, 'n'), ({'by': 'beauty'}, 'by'), ({'state': 'asleep'}, 'state'), ({'filter': 'tcpp'}, 'filter'),
                             ({'app': 'nosuch'}, 'app'), ({'colour': 1}, 'colour'), ({'n': 'ten'}, 'n')):
            e = self.c.error('flows.top', **params)
            self.assertEqual((e.code, e.error['data']['parameter']), (PARAMS, name), params)
            self.assertTrue(name in str(e), str(e))
        self.assertEqual(self.c.error('flows.top', capture='none').code, NOT_FOUND)
        self.assertEqual(self.c.error('flows.list', by='bytes', cursor='x').code, PARAMS)
        self.assertGreaterEqual(self.c.counters()['bad_params'], 9)

    def test_list_pages(self):
        for limit in (1, 7, 49, 50, 51, 150, 299, 300, 1000):
            flows, n = self.pages(limit=limit)
            self.assertEqual(len({f['flow_id'] for f in flows}), 300)
            self.assertEqual(len(flows), 300)
            self.assertLessEqual(n, 300 // limit + 2)
        flows, _ = self.pages(limit=40, state='active')
        self.assertEqual(len(flows), 150)
        flows, _ = self.pages(limit=40, state='ended')
        self.assertEqual(len(flows), 150)
        flows, _ = self.pages(limit=40, filter='udp', capture='live')
        self.assertEqual(({f['proto'] for f in flows}, len(flows)), ({'UDP'}, 75))
        r = self.c.call('flows.list', by='bytes', limit=20)
        self.assertEqual((len(r['flows']), r['cursor']), (20, None))
        self.assertEqual([f['flow_id'] for f in r['flows']], [f['flow_id'] for f in self.c.call('flows.top', n=20)['flows']])

    def test_cursors(self):
        cursor = self.c.call('flows.list', limit=10)['cursor']
        self.assertEqual(len(self.c.call('flows.list', limit=10, cursor=cursor)['flows']), 10)
        for bad in (cursor[:-1], cursor + '0', 'x' * len(cursor), '00' + cursor[2:] if cursor[:2] != '00' else 'ff' + cursor[2:], cursor[:5] + '9' + cursor[6:], 'z', '0' * 26):
            e = self.c.error('flows.list', limit=10, cursor=bad)
            self.assertEqual((e.code, e.error['data']['parameter']), (PARAMS, 'cursor'), bad)
        for other in ({'state': 'active'}, {'capture': 'live'}, {'filter': 'tcp'}, {'app': 'unknown'}):
            self.assertEqual(self.c.error('flows.list', cursor=cursor, **other).code, PARAMS)
        # of another run of the daemon
        with Daemon(*self.args) as d, d.client() as c:
            c.call('capture.start', source='afpacket:a')
            self.assertEqual(c.error('flows.list', cursor=cursor).code, PARAMS)

    def test_get(self):
        active = self.c.call('flows.top', n=1, state='active')['flows'][0]
        self.assertEqual(self.c.call('flows.get', flow_id=active['flow_id'])['flow'], active)
        ended = self.c.call('flows.top', n=1, state='ended')['flows'][0]
        self.assertEqual(self.c.call('flows.get', flow_id=ended['flow_id'])['flow'], ended)
        e = self.c.error('flows.get', flow_id=2 ** 53 - 1)
        self.assertEqual(e.code, NOT_FOUND)
        self.assertIn(str(2 ** 53 - 1), str(e))
        self.assertEqual(self.c.error('flows.get').code, PARAMS)
        self.assertEqual(self.c.error('flows.get', flow_id=2 ** 53).code, PARAMS)
        self.assertEqual(self.c.error('flows.get', flow_id=-1).code, PARAMS)

    def test_flows_that_end_meanwhile_are_shown_once(self):
        self.c.call('capture.stop', name='file')
        self.c.call('capture.stop', name='live')
        self.c.call('capture.stop', name='live')
        for method, n in (('flows.top', 'n'), ('flows.list', 'limit')):
            name = self.c.call('capture.start', source='afpacket:a')['name']
            self.recent(0)
            self.d.tell('race')
            r = self.c.call(method, **{n: 1000})
            self.assertEqual(len({f['flow_id'] for f in r['flows']}), 150)
            self.assertEqual(len(r['flows']), 150)
            if method == 'flows.top':
                self.assertEqual(r['matched'], 150)
            self.assertEqual({f['pktai'].get('end_reason') for f in r['flows']} - {'idle'}, set())
            self.c.call('capture.stop', name=name)
            self.c.call('capture.stop', name=name)

    def test_workers_that_take_no_question(self):
        self.d.tell('busy')
        self.assertEqual(self.c.error('flows.top').code, BUSY)
        self.assertEqual(self.c.call('flows.top', state='ended')['matched'], 150)
        self.d.tell('idle')
        self.assertEqual(self.c.call('flows.top')['matched'], 300)
        self.assertEqual(self.c.counters()['busy_queries'], 1)


class Protocol(Base):
    def test_bad_lines(self):
        for text, code in (('nonsense', PARSE), ('{"jsonrpc":"2.0","id":1,', PARSE), ('"text"', INVALID), ('1', INVALID), ('[]', INVALID), ('{}', INVALID),
                           ('{"jsonrpc":"1.0","id":1,"method":"capture.list"}', INVALID), ('{"jsonrpc":"2.0","id":1,"method":5}', INVALID),
                           ('{"jsonrpc":"2.0","id":{},"method":"capture.list"}', INVALID), ('{"jsonrpc":"2.0","id":1,"method":"capture.list","params":3}', INVALID),
                           ('[' * 40000, PARSE), ('{"jsonrpc":"2.0","id":1,"method":"none.such"}', NO_METHOD),
                           ('{"jsonrpc":"2.0","id":1,"method":"capture.lis"}', NO_METHOD),
                           ('{"jsonrpc":"2.0","id":1,"method":"capture.list","params":[1]}', PARAMS)):
            r = self.c.raw(text + '\n')
            self.assertEqual(r['error']['code'], code, (text[:100], r))
            self.assertEqual(r['jsonrpc'], '2.0')
            self.assertIn('id', r)
            self.assertTrue(r['error']['message'])
        for data in (b'{"jsonrpc":"2.0","id":"\xff\xfe","method":"capture.list"}\n', b'\x00\x01\x02\n', b'{"jsonrpc":"2.0","id":"a\x00b","method":"x.y"}\n'):
            self.assertEqual(self.c.raw(data)['error']['code'], PARSE)
        self.assertEqual(self.c.call('capture.list'), {'captures': []})
        n = self.c.counters()
        self.assertEqual((n['not_json'], n['unknown_method']), (6, 2))
        self.assertGreater(n['not_request'], 5)

    def test_ids_come_back(self):
        for i in (0, 1, -5, 1.5, 2 ** 53 - 1, '', 'text', 'ü "\\', None):
            r = self.c.raw(json.dumps({'jsonrpc': '2.0', 'id': i, 'method': 'capture.list'}) + '\n')
            self.assertEqual((r['id'], r['result']), (i, {'captures': []}))

    def test_notifications_get_no_reply(self):
        for method in ('capture.list', 'none.such', 'flows.get', 'flows.top'):
            self.c.send(json.dumps({'jsonrpc': '2.0', 'method': method}) + '\n')
        self.assertEqual(self.c.call('capture.list'), {'captures': []})
        self.c.send('{"jsonrpc":"2.0","method":"capture.start","params":{"source":"afpacket:a"}}\n')
        self.assertEqual(len(self.c.call('capture.list')['captures']), 1)
        self.assertEqual(self.c.counters()['notifications'], 5)

    def test_batch(self):
        c = self.c
        c.call('capture.start', source='afpacket:a')
        batch = [c.request('flows.top', {'n': 3}, id='a'), c.request('capture.list', id='b'), {'jsonrpc': '2.0', 'method': 'capture.list'}, 7,
                 c.request('none.such', id='c'), c.request('flows.get', {'flow_id': 1}, id='d')]
        c.send(json.dumps(batch) + '\n')
        r = {x['id']: x for x in c.line()}
        self.assertEqual(len(r), 5)
        self.assertEqual(len(r['a']['result']['flows']), 3)
        self.assertEqual(len(r['b']['result']['captures']), 1)
        self.assertEqual(r[None]['error']['code'], INVALID)
        self.assertEqual(r['c']['error']['code'], NO_METHOD)
        self.assertEqual(r['d']['result']['flow']['flow_id'], 1)
        c.send('[{"jsonrpc":"2.0","method":"capture.list"},{"jsonrpc":"2.0","method":"flows.top"}]\n')  # no reply at all
        c.send(json.dumps([c.request('capture.list') for _ in range(100)]) + '\n')
        self.assertEqual(len(c.line()), 100)
        c.send(json.dumps([c.request('capture.list') for _ in range(101)]) + '\n')
        self.assertEqual(c.line()['error']['code'], INVALID)
        n = c.counters()
        self.assertEqual((n['batches'], n['batch_too_long']), (3, 1))

    def test_large_requests(self):
        fits = json.dumps(self.c.request('capture.list')).encode()
        fits += b' ' * (65536 - len(fits)) + b'\n'
        self.assertEqual(self.c.raw(fits)['result'], {'captures': []})
        self.assertEqual(self.c.raw(fits[:-1] + b' \n')['error']['code'], TOO_LARGE)
        self.c.send(b'{"jsonrpc":"2.0","id":1,"method":"' + b'x' * 10_000_000 + b'"}\n')
        r = self.c.line()
        self.assertEqual((r['id'], r['error']['code']), (None, TOO_LARGE))
        self.assertEqual(self.c.call('capture.list'), {'captures': []})
        self.assertEqual(self.c.counters()['oversized'], 2)

    def test_pipelined(self):
        self.c.call('capture.start', source='afpacket:a')
        self.c.send(''.join(json.dumps(self.c.request('capture.list' if i % 10 else 'flows.top', id=i)) + '\n' for i in range(2000)))
        replies = [self.c.line() for _ in range(2000)]
        self.assertEqual({r['id'] for r in replies}, set(range(2000)))
        self.assertEqual({r.get('error', {}).get('code') for r in replies} - {None, BUSY}, set())

    def test_split_at_each_byte(self):
        text = json.dumps(self.c.request('capture.list', id='ü')) + '\r\n'
        data = text.encode()
        for i in range(1, len(data)):
            self.c.send(data[:i])
            self.c.send(data[i:])
            self.assertEqual(self.c.line()['result'], {'captures': []})
        for b in data:
            self.c.send(bytes([b]))
        self.assertEqual(self.c.line()['result'], {'captures': []})

    def test_blank_lines_and_half_close(self):
        self.c.send('\n  \n\r\n')
        self.assertEqual(self.c.call('capture.list'), {'captures': []})
        self.c.call('capture.start', source='afpacket:a')
        self.d.tell('hold')
        # the last line lacks its end; the client sends no more, but gets all its replies
        self.c.send('{"jsonrpc":"2.0","method":"capture.list"}\n' + json.dumps(self.c.request('flows.top', id=1)) + '\n' + json.dumps(self.c.request('capture.list', id=2)))
        self.c.s.shutdown(socket.SHUT_WR)
        self.assertEqual(self.c.line()['id'], 2)
        self.d.tell('release')
        self.assertEqual(self.c.line()['id'], 1)
        self.assertIsNone(self.c.line())
        with self.d.client() as c:
            c.send(json.dumps([c.request('flows.top'), c.request('capture.list'), c.request('flows.top')]))
            c.s.shutdown(socket.SHUT_WR)
            self.assertEqual(len(c.line()), 3)
            self.assertIsNone(c.line())

    def test_mutated_requests(self):
        rng = random.Random(20261123)
        self.c.call('capture.start', source='afpacket:a', name='a')
        methods = [m['name'] for m in self.c.call('rpc.discover')['methods'] if m['name'] != 'system.shutdown']
        values = [None, True, -1, 0, 1e300, 2 ** 53, '', 'a', 'x' * 5000, [], {}, [[[]]], 'bytes', '\u0000', '\ud800', 'tcp', 'port 53']
        keys = ['name', 'source', 'filter', 'n', 'by', 'state', 'capture', 'limit', 'cursor', 'flow_id', 'section', 'reset', 'level', 'app', 'ascending']
        for _ in range(int(os.environ.get('CONTROL_MUTATIONS', '400'))):
            with self.d.client() as c:
                lines = []
                for i in range(rng.randrange(1, 6)):
                    one = [c.request(rng.choice(methods), {k: rng.choice(values) for k in rng.sample(keys, rng.randrange(4))}, id=rng.choice(values))
                           for _ in range(rng.choice((1, 1, 3)))]
                    data = bytearray(json.dumps(one if len(one) > 1 else one[0]).encode())
                    for _ in range(rng.choice((0, 0, 1, 5))):
                        data[rng.randrange(len(data))] = rng.randrange(256)
                    lines.append(bytes(data) + b'\n')
                data = b''.join(lines)
                while data:
                    n = rng.randrange(1, len(data) + 1)
                    c.send(data[:n])
                    data = data[n:]
                if rng.random() < 0.5:  # else it goes without reading
                    c.s.shutdown(socket.SHUT_WR)
                    while c.line() is not None:
                        pass
        for x in self.c.call('capture.list')['captures']:
            self.assertIn(x['state'], ('running', 'stopped', 'finished'))
        self.c.call('system.log_level', level='info')
        wait_for('the others to be gone', lambda: self.c.counters()['clients'] == 1)
        self.assertEqual(self.c.counters()['under_way'], 1)

    def test_clients_that_vanish(self):
        self.c.call('capture.start', source='afpacket:a')
        self.d.tell('hold')
        for data in ('', '{"jsonrpc":', json.dumps(self.c.request('flows.top')) + '\n', json.dumps([self.c.request('flows.top'), self.c.request('flows.list')]) + '\n',
                     json.dumps(self.c.request('flows.flush')) + '\n'):
            with self.d.client() as c:
                c.send(data)
        self.d.tell('release')
        wait_for('the others to be gone', lambda: self.c.counters()['clients'] == 1)
        wait_for('nothing under way', lambda: self.c.counters()['under_way'] == 1)
        wait_for('no query running', lambda: self.c.counters()['queries_running'] == 0)


class Limits(unittest.TestCase):
    def test_idle_clients(self):
        with Daemon() as d:
            idle = [d.client() for _ in range(1000)]
            with d.client() as c:
                self.assertEqual(c.call('system.info')['clients'], {'connected': 1001, 'maximum': 1024})
                for i in idle[::97]:
                    self.assertEqual(i.call('capture.list'), {'captures': []})
                more = [d.client() for _ in range(23)]
                for m in more:
                    m.call('capture.list')
                with d.client() as refused:
                    r = refused.raw(json.dumps(refused.request('capture.list')) + '\n')
                    self.assertEqual((r['id'], r['error']['code']), (None, LIMIT))
                    self.assertIsNone(refused.line())
                self.assertEqual(c.counters()['refused_clients'], 1)
                for i in idle + more:
                    i.close()
                wait_for('room', lambda: c.call('system.info')['clients']['connected'] == 1)

    def test_limit_of_clients(self):
        with Daemon('--max-clients', '3') as d:
            c = [d.client() for _ in range(3)]
            for x in c:
                x.call('capture.list')
            refused = [d.client() for _ in range(100)]
            for x in refused:
                self.assertEqual(x.line()['error']['code'], LIMIT)
            self.assertEqual(c[0].counters()['refused_clients'], 100)
            for x in refused + c[1:]:
                x.close()
            wait_for('room', lambda: c[0].counters()['clients'] == 1)
            with d.client() as x:
                x.call('capture.list')
            c[0].close()

    def test_no_file_descriptor_left(self):
        with Daemon('--files', '40', '--max-clients', '1000') as d:
            clients, errors = [], []
            for _ in range(60):
                c = d.client()
                try:
                    reply = c.raw(json.dumps(c.request('capture.list')) + '\n')
                except (BrokenPipeError, ConnectionResetError):
                    reply = c.line()
                if 'error' in reply:
                    errors.append(reply['error'])
                    c.close()
                else:
                    clients.append(c)
            self.assertGreater(len(clients), 10)
            self.assertEqual({e['code'] for e in errors}, {LIMIT})
            self.assertGreater(clients[0].counters()['refused_clients'] + clients[0].counters()['refused_files'], 0)
            for c in clients[1:]:
                c.close()
            wait_for('room', lambda: clients[0].counters()['clients'] == 1)
            with d.client() as c:
                c.call('capture.list')
            clients[0].close()

    def test_deadline(self):
        with Daemon('--request-ms', '200') as d, d.client() as c:
            c.call('capture.start', source='afpacket:a', name='a')
            d.tell('hold')
            for method, params in (('flows.top', {}), ('flows.list', {}), ('flows.get', {'flow_id': 1}), ('flows.flush', {}), ('capture.stop', {'name': 'a'})):
                start = time.monotonic()
                e = c.error(method, **params)
                self.assertEqual(e.code, TIMEOUT)
                self.assertIn(method, str(e))
                self.assertGreater(time.monotonic() - start, 0.19)
            # one after another, each by its own time
            ids = [c.post('flows.top') for _ in range(20)]
            self.assertEqual([c.line()['id'] for _ in ids], ids)
            d.tell('release')
            wait_for('the workers', lambda: c.counters()['queries_running'] == 0)
            self.assertEqual(c.counters()['timeouts'], 25)
            self.assertEqual(c.call('flows.top')['matched'], 200)

    def test_requests_under_way(self):
        with Daemon() as d, d.client() as c, d.client() as other:
            c.call('capture.start', source='afpacket:a')
            d.tell('hold')
            c.send(''.join(json.dumps(c.request('flows.top', id=i)) + '\n' for i in range(140)))
            busy = [c.line() for _ in range(12)]
            self.assertEqual({r['error']['code'] for r in busy}, {BUSY})
            self.assertEqual([r['id'] for r in busy], list(range(128, 140)))
            # this client's queries do not keep another's from running
            n = other.counters()
            self.assertEqual((n['under_way'], n['queries_running'], n['queries_waiting'], n['busy_client']), (129, 1, 127, 12))
            d.tell('release')
            self.assertEqual([c.line()['id'] for _ in range(128)], list(range(128)))

    def test_queries_waiting(self):
        with Daemon() as d:
            c = [d.client() for _ in range(4)]
            c[0].call('capture.start', source='afpacket:a')
            d.tell('hold')
            for x in c[:3]:
                x.send(''.join(json.dumps(x.request('flows.top', id=i)) + '\n' for i in range(100)))
            # 3 run, 256 wait, the others are refused
            wait_for('the queue to be full', lambda: c[3].counters()['busy_queries'] == 300 - 259)
            d.tell('release')
            replies = [x.line() for x in c[:3] for _ in range(100)]
            self.assertEqual(sum('result' in r for r in replies), 259)
            for x in c:
                x.close()

    def test_all_requests_under_way(self):
        with Daemon() as d:
            c = [d.client() for _ in range(12)]
            c[0].call('capture.start', source='afpacket:a')
            d.tell('hold')
            for x in c[:11]:
                if x is c[10]:
                    wait_for('the first thousand', lambda: c[11].counters()['under_way'] == 1001)
                x.send(''.join(json.dumps(x.request('flows.flush', id=i)) + '\n' for i in range(100)))
            refused = [c[10].line() for _ in range(1100 - 1024)]
            self.assertEqual({r['error']['code'] for r in refused}, {BUSY})
            self.assertEqual(c[11].error('capture.list').code, BUSY)
            d.tell('release')
            replies = [x.line() for x in c[:10] for _ in range(100)] + [c[10].line() for _ in range(24)]
            self.assertEqual(sum('result' in r for r in replies), 1024)
            self.assertEqual(c[11].counters()['busy_total'], 1100 - 1024 + 1)
            for x in c:
                x.close()

    def test_slow_reader(self):
        with Daemon('--flows', '600', '--reader-ms', '3000') as d, d.client() as c:
            c.call('capture.start', source='afpacket:a')
            with d.client() as slow:
                slow.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.send(''.join(json.dumps(slow.request('flows.top', {'n': 1000}, id=i)) + '\n' for i in range(100)))
                wait_for('it to be disconnected', lambda: c.counters()['slow_readers'] == 1)
                n = c.counters()
                self.assertEqual((n['clients'], n['queries_waiting']), (1, 0))
                self.assertLess(c.call('system.info')['memory']['rss_bytes'], 400 << 20)
            self.assertEqual(len(c.call('flows.top', n=1000)['flows']), 1000)

    def test_reader_that_takes_its_time(self):
        with Daemon('--flows', '600') as d, d.client() as c, d.client() as other:
            c.call('capture.start', source='afpacket:a')
            c.send(''.join(json.dumps(c.request('flows.top', {'n': 1000}, id=i)) + '\n' for i in range(30)))
            c.send(''.join(json.dumps(c.request('rpc.discover', id=100 + i)) + '\n' for i in range(100)))
            wait_for('it to be paused', lambda: other.counters()['output_paused'] > 0)
            self.assertEqual({c.line()['id'] for _ in range(130)}, set(range(30)) | set(range(100, 200)))
            self.assertEqual(other.counters()['slow_readers'], 0)
            # a batch whose replies would be more than a client may leave unread
            c.send(json.dumps([c.request('flows.top', {'n': 1000}, id=i) for i in range(20)]) + '\n')
            r = c.line()
            self.assertEqual(len(r), 20)
            self.assertEqual({x['error']['code'] for x in r if 'error' in x}, {TOO_LARGE})
            self.assertGreater(sum('result' in x for x in r), 1)
            self.assertGreater(other.counters()['reply_too_large'], 0)


class Events(unittest.TestCase):
    def test_stats_event(self):
        with Daemon('--stats-ms', '50', '--events', os.devnull) as d, d.client() as c:
            c.call('capture.start', source='afpacket:a')
            wait_for('stats events', lambda: c.counters()['stats_events'] >= 2)
        path = '/tmp/control-events-%d' % os.getpid()
        try:
            with Daemon('--stats-ms', '50', '--events', path) as d, d.client() as c:
                c.call('capture.start', source='afpacket:a', name='a')
                n = c.counters()['stats_events']
                wait_for('stats events', lambda: c.counters()['stats_events'] >= n + 2)
                drops = c.call('drops.get')
            with open(path) as f:
                events = [json.loads(x) for x in f]
        finally:
            if os.path.exists(path):
                os.unlink(path)
        e = [x for x in events if x['event_type'] == 'stats'][-1]
        self.assertEqual(set(e), {'timestamp', 'event_type', 'stats', 'pktai'})
        self.assertEqual(set(e['pktai']['captures'][0]), set(drops['captures'][0]))
        self.assertEqual(e['pktai']['captures'][0]['name'], 'a')
        self.assertEqual(set(e['pktai']['protocols'][0]), {'name', 'layer', 'packets', 'bytes', 'packets_per_second', 'bits_per_second'})
        self.assertEqual(set(e['pktai']['reassembly']), {'tcp', 'ipv4', 'ipv6'})
        self.assertGreater(e['pktai']['malformed']['tcp_short'], 0)
        self.assertEqual(e['stats']['decoder']['pkts'], e['pktai']['captures'][0]['processed'])
        self.assertEqual(e['stats']['decoder']['ipv4'], e['pktai']['protocols'][1]['packets'])
        folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..', '..', 'shared', 'schema')
        schema = os.path.join(os.environ.get('PKTAI_SCHEMA') or folder, 'eve.schema.json')
        if not os.path.exists(schema):
            self.skipTest('no EVE schema at ' + schema)
        try:
            import jsonschema
        except ImportError:
            self.skipTest('python3-jsonschema is not installed')
        del e['pktai']
        with open(schema) as f:
            jsonschema.Draft7Validator(json.load(f)).validate(e)


if __name__ == '__main__':
    unittest.main(verbosity=2 if '-v' in sys.argv else 1)
