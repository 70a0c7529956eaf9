#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pktctl against a daemon that answers as it is told: tables, exit codes, errors, waiting, watching.

Golden tables are in golden/; UPDATE_GOLDEN=1 writes them anew.
"""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from fake_daemon import CLOSE, SILENCE, FakeDaemon, Raw, RpcError  # noqa: E402
import samples  # noqa: E402

PKTCTL = os.environ['PKTCTL']
ENV = {k: v for k, v in os.environ.items() if k not in ('PKTAID_SOCKET', 'NO_COLOR')}
ENV.update(LC_ALL='C.UTF-8', TERM='xterm')


def pktctl(daemon, *args, stdin=None, env=None):
    socket = ['--socket', daemon.path] if daemon else []
    r = subprocess.run([PKTCTL] + socket + list(args), capture_output=True, text=True, input=stdin, env=env or ENV, timeout=60)
    return r.returncode, r.stdout, r.stderr


class Case(unittest.TestCase):
    maxDiff = None

    def golden(self, name, text):
        path = os.path.join(HERE, 'golden', name + '.txt')
        if os.environ.get('UPDATE_GOLDEN'):
            with open(path, 'w', encoding='utf-8') as f:
                f.write(text)
        with open(path, encoding='utf-8') as f:
            self.assertEqual(text, f.read())

    def one_line(self, err):
        self.assertRegex(err, r'\Apktctl: [^\n]+\n\Z')


class Tables(Case):
    def setUp(self):
        self.daemon = FakeDaemon(samples.answers()).__enter__()
        self.addCleanup(self.daemon.__exit__)

    def check(self, name, *args):
        rc, out, err = pktctl(self.daemon, *args)
        self.assertEqual((rc, err), (0, ''))
        self.golden(name, out)

    def test_status(self):
        self.check('status', 'status')

    def test_capture_list(self):
        self.check('capture-list', 'capture', 'list')

    def test_flows(self):
        self.check('flows', 'flows')
        self.assertEqual(self.daemon.params('flows.top'), [{'n': 100}])

    def test_flow(self):
        self.check('flow', 'flow', '9007199254740991')
        self.assertEqual(self.daemon.params('flows.get'), [{'flow_id': 9007199254740991}])

    def test_protocols(self):
        self.check('protocols', 'protocols')

    def test_drops(self):
        self.check('drops', 'drops')

    def test_reassembly(self):
        self.check('reassembly', 'reassembly')
        self.check('reassembly', 'reassembly', '--capture', 'eth0')
        self.assertEqual(self.daemon.params('reassembly.stats'), [{}, {'capture': 'eth0'}])
        head = pktctl(self.daemon, 'reassembly')[1].splitlines()[:4]
        self.assertEqual([x.split(':')[0] for x in head], ['Segments received', 'Bytes delivered', 'Duplicate segments', 'Out-of-order segments'])
        marked = pktctl(self.daemon, '--color', 'always', 'reassembly')[1]
        self.assertEqual([x.split(':')[0].strip() for x in marked.splitlines() if '\x1b' in x and ':' in x],
                         ['Overlapping, other bytes', 'Gaps', 'IP length beyond the frame', 'Beyond the window', 'Data after RST'])

    def test_stats(self):
        self.check('stats', 'stats')
        self.check('stats', 'stats', 'flow', '--capture', 'eth0')
        self.assertEqual(self.daemon.params('stats.get'), [{}, {'section': 'flow', 'capture': 'eth0'}])

    def test_help(self):
        rc, out, err = pktctl(None, '--help')
        self.assertEqual((rc, err), (0, ''))
        self.golden('help', out)
        rc, out, err = pktctl(None, 'capture', 'start', '--help')
        self.assertEqual((rc, err), (0, ''))
        self.golden('help-capture-start', out)

    def test_every_line_of_help_fits(self):
        for c in ('flows', 'capture start', 'stats', 'call', 'drops', 'reassembly', 'flow', 'completion', 'log-level'):
            rc, out, _ = pktctl(None, *c.split(), '--help')
            self.assertEqual(rc, 0)
            self.assertLessEqual(max(map(len, out.splitlines())), 80, c)

    def test_sample_answers_are_what_the_contract_says(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest('python3-jsonschema is not installed')
        with open(os.path.join(os.environ['PROTO_BUILD'], 'openrpc.json'), encoding='utf-8') as f:
            doc = json.load(f)
        for m in doc['methods']:
            if m['name'] in self.daemon.answers:
                jsonschema.Draft7Validator({'allOf': [m['result']['schema']], 'components': doc['components']}).validate(self.daemon.answers[m['name']])

    def test_nothing_there(self):
        self.daemon.answers.update({'flows.top': {'flows': []}, 'capture.list': {'captures': []}, 'protocols.get': {'protocols': []},
                                    'drops.get': {'captures': [], 'malformed': {}}})
        for args, text in ((['flows'], 'No flows.\n'), (['protocols'], 'No packets yet.\n'), (['drops'], 'No captures.\n\nNo malformed packets.\n'),
                           (['capture', 'list'], 'No captures; pktctl capture start --help shows how to begin.\n')):
            self.assertEqual(pktctl(self.daemon, *args), (0, text, ''))

    def test_json_is_the_result_as_it_is(self):
        text = b'{"flows": [ ], "x":1.50,"a":"]},\\"result\\":", "big":9007199254740991 ,"m":{"result":[1]}}'
        for line in (b'{"jsonrpc":"2.0","result":' + text + b',"id":ID}\n', b'{"id":ID, "result" :  ' + text + b' , "jsonrpc":"2.0" }\r\n',
                     b'{"jsonrpc":"2.0","method":"event","params":{"result":1}}\n\n{"jsonrpc":"2.0","id":ID,"result":' + text + b'}\n'):
            self.daemon.answers['flows.top'] = Raw(line)
            rc, out, err = pktctl(self.daemon, '--json', 'flows')
            self.assertEqual((rc, out.rstrip(), err), (0, text.decode(), ''))

    def test_json_of_each_command(self):
        for args, method in ((['status'], 'system.info'), (['capture', 'list'], 'capture.list'), (['flow', '1'], 'flows.get'), (['drops'], 'drops.get'),
                             (['protocols'], 'protocols.get'), (['stats'], 'stats.get'), (['reassembly'], 'reassembly.stats'), (['reload'], 'system.reload'),
                             (['log-level', 'debug'], 'system.log_level'), (['capture', 'stop', 'x'], 'capture.stop'),
                             (['capture', 'start', 'afpacket:x'], 'capture.start'), (['call', 'system.info'], 'system.info')):
            rc, out, err = pktctl(self.daemon, *args, '--json')
            self.assertEqual((rc, err), (0, ''), args)
            self.assertEqual(json.loads(out), self.daemon.answers[method], args)

    def test_colours(self):
        rc, plain, _ = pktctl(self.daemon, 'drops')
        self.assertNotIn('\x1b', plain)
        rc, out, _ = pktctl(self.daemon, '--color', 'always', 'drops')
        self.assertIn('\x1b[31m', out)
        strip = re.sub(r'\x1b\[[0-9;]*m', '', out)
        self.assertEqual([x.rstrip() for x in strip.splitlines()], plain.splitlines())
        rc, out, _ = pktctl(self.daemon, '--color=never', 'drops')
        self.assertEqual(out, plain)

    def test_control_characters_do_not_reach_the_terminal(self):
        evil = 'a\x1b[2Jb\nc\x9b2J'
        capture = dict(samples.CAPTURES[0], name=evil, reason=evil)
        record = json.loads(json.dumps(samples.FLOWS[0]))
        record['pktai']['tls'] = {'sni': evil, 'x\x1b': 1}
        self.daemon.answers.update({'capture.list': {'captures': [capture]}, 'flows.get': {'flow': record}, 'flows.top': RpcError(-32000, evil),
                                    'capture.start': {'name': evil}})
        for args in (['capture', 'list'], ['flow', '1'], ['flows'], ['capture', 'start', 'afpacket:x']):
            rc, out, err = pktctl(self.daemon, *args)
            self.assertNotRegex(out + err, '[\x1b\x9b]', args)
        self.one_line(pktctl(self.daemon, 'flows')[2])

    def test_answers_of_another_shape_do_no_harm(self):
        for shape in ({}, {'flows': 1, 'captures': {}, 'sections': [1], 'protocols': [None], 'malformed': 3, 'flow': []},
                      {'flows': [1, {}], 'captures': [{}, 2], 'sections': [{'counters': 1}], 'protocols': [{}], 'malformed': {'a': 'b'},
                       'flow': {'flow': 1, 'pktai': {'stream': {'segments_toserver': 'x', 'rtt_toclient': 3}}}, 'tcp': [1, {}], 'ipv4': {'x': {}}, 'ipv6': 2}):
            for args, method in ((['status'], 'system.info'), (['capture', 'list'], 'capture.list'), (['flow', '1'], 'flows.get'), (['drops'], 'drops.get'),
                                 (['protocols'], 'protocols.get'), (['stats'], 'stats.get'), (['flows'], 'flows.top'), (['reassembly'], 'reassembly.stats')):
                self.daemon.answers[method] = shape
                self.assertIn(pktctl(self.daemon, *args)[0], (0, 1), (args, shape))

    def test_operations(self):
        self.assertEqual(pktctl(self.daemon, 'reload'), (0, 'Configuration reloaded.\nTakes effect at the next start: flow.capacity, workers\n', ''))
        self.assertEqual(pktctl(self.daemon, 'log-level', 'debug'), (0, 'Log level debug (was notice).\n', ''))
        self.assertEqual(pktctl(self.daemon, 'capture', 'stop', 'eth0'), (0, 'Stopped eth0; 12 active flows ended.\n', ''))
        self.assertEqual(self.daemon.params('capture.stop'), [{'name': 'eth0'}])

    def test_completion(self):
        rc, out, err = pktctl(None, 'completion', 'bash')
        self.assertEqual((rc, err), (0, ''))
        with open(os.path.join(os.environ['PROTO_BUILD'], 'pktctl.bash'), encoding='utf-8') as f:
            self.assertEqual(out, f.read())

    def test_version(self):
        rc, out, err = pktctl(None, '--version')
        self.assertRegex(out, r'\Apktctl \d+\.\d+\.\d+\n\Z')
        self.assertEqual((rc, err), (0, ''))


class Flows(Case):
    def test_parameters(self):
        with FakeDaemon({'flows.top': {'flows': []}}) as d:
            pktctl(d, 'flows', '--top', '5', '--by=throughput', '--ascending', '--filter', 'host 10.0.0.1', '--app', 'dns', '--state', 'ended', '--capture', 'a')
            pktctl(d, 'flows', '--limit', '1000')
            pktctl(d, 'flows', '--top', '7', '--limit', '5')
            pktctl(d, 'flows', '--top', '7', '--limit', '9')
            self.assertEqual(d.params('flows.top'), [
                {'n': 5, 'by': 'throughput', 'ascending': True, 'filter': 'host 10.0.0.1', 'app': 'dns', 'state': 'ended', 'capture': 'a'},
                {'n': 1000}, {'n': 5}, {'n': 7}])

    def pages(self, n):
        """n flows in pages of 1000, bytes in an order that is not sorted."""
        rows = []
        for i in range(n):
            r = json.loads(json.dumps(samples.FLOWS[0]))
            r['flow_id'] = i
            r['flow'].update(bytes_toserver=(i * 7919) % 100003, bytes_toclient=0, pkts_toserver=i, pkts_toclient=0)
            r['timestamp'] = '2026-11-23T06:%02d:%02d.000000000+0000' % (i // 60 % 60, i % 60)
            rows.append(r)

        def answer(params):
            at = int(params.get('cursor', '0'))
            end = at + params['limit']
            return {'flows': rows[at:end], 'cursor': str(end) if end < n else None}
        return rows, answer

    def test_many_are_read_by_pages(self):
        rows, answer = self.pages(4500)
        want = sorted(rows, key=lambda r: (-r['flow']['bytes_toserver'], r['flow_id']))
        with FakeDaemon({'flows.list': answer}) as d:
            rc, out, err = pktctl(d, 'flows', '--limit', '1200', '--state', 'all', '--json')
            self.assertEqual((rc, err), (0, ''))
            got = json.loads(out)
            self.assertEqual([r['flow_id'] for r in got['flows']], [r['flow_id'] for r in want[:1200]])
            self.assertIsNone(got['cursor'])
            self.assertEqual(d.params('flows.list')[:2], [{'state': 'all', 'limit': 1000}, {'state': 'all', 'limit': 1000, 'cursor': '1000'}])
            rc, out, err = pktctl(d, 'flows', '--limit', '4400', '--by', 'last-seen', '--ascending')
            self.assertEqual(out.splitlines()[-1], '4400 of 4500 flows; --limit shows more')
            stamps = sorted(range(4500), key=lambda i: (rows[i]['timestamp'], i))
            self.assertEqual([int(x.split()[-1]) for x in out.splitlines()[1:-1]], stamps[:4400])

    def test_more_than_shown_is_said(self):
        with FakeDaemon({'flows.top': {'flows': samples.FLOWS, 'matched': 1234}}) as d:
            n = len(samples.FLOWS)
            for args, option in (([], '--limit'), (['--limit', str(n)], '--limit'), (['--top', str(n)], '--top'),
                                 (['--top', str(n), '--limit', '50'], '--top'), (['--top', '50', '--limit', str(n)], '--limit')):
                out = pktctl(d, 'flows', *args)[1]
                self.assertEqual(out.splitlines()[-1], '%d of 1234 flows; %s shows more' % (n, option), args)


class Errors(Case):
    def test_usage(self):
        with FakeDaemon({}) as d:
            for args, text in (
                    ([], 'which command?'), (['flos'], 'no command "flos"; did you mean flows?'), (['nonsense'], '--help lists them'),
                    (['capture'], 'accepts start, stop, list'), (['capture', 'strat'], 'accepts start, stop, list'),
                    (['flows', '--by', 'byte'], 'did you mean bytes?'), (['flows', '--topp', '3'], 'did you mean --top?'),
                    (['flows', '--top', '0'], 'accepts a whole number from 1 to 1000'), (['flows', '--top'], '--top wants a value'),
                    (['flows', '--watch=1'], 'takes no value'), (['flow'], 'ID is missing'), (['flow', '1.5'], 'accepts a whole number'),
                    (['flow', '9007199254740992'], '2^53 - 1'), (['status', 'x'], 'unexpected argument "x"'),
                    (['--timeout', '-1', 'status'], '--timeout'), (['--color', 'blue', 'status'], 'one of auto, always, never'),
                    (['capture', 'start', 'pcap:x', '--name', 'a b'], 'letters, digits'), (['log-level', 'loud'], 'one of error, warning'),
                    (['completion', 'fish'], 'accepts one of bash'), (['call'], 'METHOD is missing'), (['call', 'x', '[1]'], 'accepts an object'),
                    (['call', 'x', '{'], 'not JSON'), (['call', 'x', '{"a":"\\u0000"}'], 'NUL'), (['call', 'x', '{}', 'y'], 'unexpected'),
                    (['--', '--json'], 'no command "--json"'), (['--json=1', 'status'], 'takes no value')):
                rc, out, err = pktctl(d, *args)
                self.assertEqual((rc, out), (2, ''), args)
                self.one_line(err)
                self.assertIn(text, err)
            self.assertEqual(d.requests, [])

    def test_options_stand_anywhere(self):
        with FakeDaemon(samples.answers()) as d:
            for args in (['--json', 'flow', '5'], ['flow', '--json', '5'], ['flow', '5', '--json'], ['flow', '--json', '--', '5']):
                rc, out, _ = pktctl(d, *args)
                self.assertEqual(rc, 0)
                self.assertEqual(json.loads(out), d.answers['flows.get'])

    def test_no_daemon(self):
        with tempfile.TemporaryDirectory() as d:
            rc, out, err = pktctl(None, '--socket', os.path.join(d, 'none'), 'status')
            self.assertEqual((rc, out), (3, ''))
            self.one_line(err)
            self.assertIn('no daemon at %s/none: start it' % d, err)
            with FakeDaemon({}) as stale:
                pass
            path = os.path.join(d, 's')
            import socket
            s = socket.socket(socket.AF_UNIX)
            s.bind(path)
            s.close()
            rc, out, err = pktctl(None, '--socket', path, 'status')
            self.assertEqual(rc, 3)
            self.assertIn('died', err)
            self.assertFalse(os.path.exists(stale.path))
            rc, out, err = pktctl(None, '--socket', '/' + 'x' * 200, 'status')
            self.assertEqual(rc, 2)

    def test_where_the_socket_is(self):
        with FakeDaemon(samples.answers()) as d:
            env = dict(ENV, PKTAID_SOCKET=d.path)
            self.assertEqual(pktctl(None, 'log-level', 'info', env=env)[0], 0)
            env = dict(ENV, PKTAID_SOCKET='/none/of/this')
            rc, _, err = pktctl(None, 'status', env=env)
            self.assertEqual(rc, 3)
            self.assertIn('/none/of/this', err)
            self.assertEqual(pktctl(d, 'log-level', 'info', env=env)[0], 0)
            self.assertEqual(pktctl(None, 'status', env=dict(ENV, PKTAID_SOCKET='/' + 'x' * 300))[0], 3)

    def test_the_daemon_says_no(self):
        with FakeDaemon({'flows.get': RpcError(-32002, 'no flow 5; it may have left the recent store')}) as d:
            for more in ([], ['--json']):
                rc, out, err = pktctl(d, 'flow', '5', *more)
                self.assertEqual((rc, out, err), (1, '', 'pktctl: no flow 5; it may have left the recent store\n'))
            rc, out, err = pktctl(d, 'call', 'no.such')
            self.assertEqual((rc, err), (1, 'pktctl: no method "no.such"\n'))

    def test_refused_at_connect(self):
        with FakeDaemon({}) as d:
            d.greeting = b'{"jsonrpc":"2.0","error":{"code":-32004,"message":"user x may not: be in group pktai"},"id":null}\n'
            rc, out, err = pktctl(d, 'status')
            self.assertEqual((rc, err), (1, 'pktctl: user x may not: be in group pktai\n'))

    def test_timeout(self):
        with FakeDaemon({'system.info': SILENCE}) as d:
            start = time.monotonic()
            rc, out, err = pktctl(d, 'status', '--timeout', '0.3')
            self.assertEqual((rc, out), (3, ''))
            self.assertIn('within 0.3 s', err)
            self.assertLess(time.monotonic() - start, 10)

    def test_broken_answers(self):
        for answer, code, text in ((CLOSE, 3, 'closed the connection'), (Raw(b'hello\n'), 1, 'not JSON'), (Raw(b'{"id":ID}\n'), 1, 'neither'),
                                   (Raw(b'{"id":ID,"error":3}\n'), 1, 'an error without a message'), (Raw(b'{"id":ID,"result":{"a":"\xff"}}\n'), 1, 'not JSON'),
                                   (Raw(b'\x00\n'), 1, 'not JSON'), (Raw(b'{"jsonrpc":"2.0","id":ID,"res'), 3, 'no answer')):
            with FakeDaemon({'system.info': answer}) as d:
                rc, out, err = pktctl(d, 'status', '--timeout', '1')
                self.assertEqual(rc, code, err)
                self.one_line(err)
                self.assertIn(text, err)

    def test_large_answer(self):
        rows = [samples.FLOWS[0]] * 2000
        with FakeDaemon({'flows.top': {'flows': rows}}) as d:
            rc, out, err = pktctl(d, 'flows', '--json')
            self.assertEqual((rc, err), (0, ''))
            self.assertEqual(json.loads(out), {'flows': rows})

    def test_call(self):
        with FakeDaemon({'a.b': lambda p: {'got': p}}) as d:
            self.assertEqual(json.loads(pktctl(d, 'call', 'a.b', '{"x": 9007199254740991, "y": [null, "ä"]}')[1]), {'got': {'x': 9007199254740991, 'y': [None, 'ä']}})
            self.assertEqual(json.loads(pktctl(d, 'call', 'a.b', '-', stdin='{"x": 2}\n')[1]), {'got': {'x': 2}})
            self.assertEqual(json.loads(pktctl(d, 'call', 'a.b')[1]), {'got': {}})
            self.assertEqual(pktctl(d, 'call', 'a.b', '-', stdin='{"x": "' + 'y' * 70000 + '"}')[0], 2)

    def test_stdout_that_cannot_be_written(self):
        with FakeDaemon(samples.answers()) as d, open('/dev/full', 'w') as full:
            r = subprocess.run([PKTCTL, '--socket', d.path, 'flows'], stdout=full, stderr=subprocess.PIPE, text=True, env=ENV)
            self.assertEqual(r.returncode, 1)
            self.assertIn('cannot write', r.stderr)


class Captures(Case):
    def capture(self, **k):
        return {'captures': [dict(samples.CAPTURES[1], **k)]}

    def test_start(self):
        with FakeDaemon({'capture.start': {'name': 'eth0'}}) as d:
            self.assertEqual(pktctl(d, 'capture', 'start', 'afpacket:eth0', '--filter', 'tcp', '--name', 'eth0'), (0, 'Started eth0.\n', ''))
            self.assertEqual(d.params('capture.start'), [{'source': 'afpacket:eth0', 'filter': 'tcp', 'name': 'eth0'}])

    def test_a_relative_path_is_that_of_the_caller(self):
        with FakeDaemon({'capture.start': {'name': 'a'}}) as d:
            for source in ('pcap:a b.pcap,loop=2', 'pcap:/x.pcap', 'pcap:'):
                subprocess.run([PKTCTL, '--socket', d.path, 'capture', 'start', source], cwd=d.dir.name, env=ENV, check=True, stdout=subprocess.DEVNULL)
            self.assertEqual([p['source'] for p in d.params('capture.start')],
                             ['pcap:%s/a b.pcap,loop=2' % os.path.realpath(d.dir.name), 'pcap:/x.pcap', 'pcap:'])

    def test_wait_until_finished(self):
        with FakeDaemon({'capture.start': {'name': 'trace'}, 'capture.list': [
                self.capture(state='running', progress=0.25, ended=None), self.capture(state='running', progress=0.5, ended=None), self.capture(state='finished')]}) as d:
            rc, out, err = pktctl(d, 'capture', 'start', 'pcap:/t.pcap', '--wait')
            self.assertEqual((rc, out, err), (0, 'trace: finished, 1900000 packets, 1.19 GB in 500 ms (3.80 Mpps)\n', ''))
            self.assertEqual(d.params('capture.list'), [{'name': 'trace'}] * 3)

    def test_wait_and_json(self):
        end = self.capture(state='finished')
        with FakeDaemon({'capture.start': {'name': 'trace'}, 'capture.list': [self.capture(state='running', progress=0.25), end]}) as d:
            rc, out, err = pktctl(d, '--json', 'capture', 'start', 'pcap:/t.pcap', '--wait')
            self.assertEqual((rc, json.loads(out), err), (0, end, ''))

    def test_wait_fails_with_the_capture(self):
        with FakeDaemon({'capture.start': {'name': 'trace'}, 'capture.list': self.capture(state='failed', reason='truncated record', packets=7)}) as d:
            rc, out, err = pktctl(d, 'capture', 'start', 'pcap:/t.pcap', '--wait')
            self.assertEqual((rc, out, err), (1, '', 'pktctl: capture trace failed: truncated record after 7 packets\n'))

    def test_wait_for_one_that_is_stopped(self):
        for last in (RpcError(-32002, 'no capture trace'), self.capture(state='stopped', reason='by request'), {'captures': []}):
            with FakeDaemon({'capture.start': {'name': 'trace'}, 'capture.list': [self.capture(state='running', progress=0.25), last]}) as d:
                rc, out, err = pktctl(d, 'capture', 'start', 'pcap:/t.pcap', '--wait')
                self.assertEqual((rc, out), (1, ''))
                self.assertIn('stopped', err)

    def test_ctrl_c_leaves_it_running(self):
        with FakeDaemon({'capture.start': {'name': 'trace'}, 'capture.list': self.capture(state='running', progress=0.25, ended=None)}) as d:
            p = subprocess.Popen([PKTCTL, '--socket', d.path, 'capture', 'start', 'pcap:/t.pcap', '--wait'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV)
            d.wait_requests('capture.list', 2)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=20)
            self.assertEqual((p.returncode, out, err), (130, '', 'pktctl: interrupted; capture trace goes on (pktctl capture stop trace ends it)\n'))
            self.assertEqual(d.params('capture.stop'), [])


class Rates(Case):
    def test_rates(self):
        def stats(n, g, m):
            return {'sections': [{'name': 'flow', 'counters': [
                {'name': 'created', 'value': n, 'unit': 'flows', 'kind': 'sum', 'help': 'flows begun'},
                {'name': 'active', 'value': g, 'unit': 'flows', 'kind': 'gauge', 'help': 'flows now'},
                {'name': 'anew', 'value': m, 'unit': 'flows', 'kind': 'sum', 'help': 'counted anew'}]}]}
        with FakeDaemon({'stats.get': [stats(1000, 5, 100), stats(2001000, 9, 3)]}) as d:
            rc, out, err = pktctl(d, 'stats', '--rates')
            self.assertEqual((rc, err), (0, ''))
            rows = [x.split() for x in out.splitlines()]
            self.assertEqual(rows[0], ['Counter', 'Value', 'Per', 'second', 'Unit', 'Help'])
            rate = float(rows[1][2])  # two million in the second that was measured
            self.assertTrue(500000 < rate <= 2000000, rate)
            self.assertEqual(rows[2][:3], ['flow.active', '9', '-'])
            self.assertEqual(rows[3][:3], ['flow.anew', '3', '-'])


class Terminal(Case):
    """In a terminal of its own."""

    def start(self, daemon, *args, rows=24, cols=200, env=ENV):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack('HHHH', rows, cols, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.addCleanup(os.close, self.master)
        self.addCleanup(os.close, slave)
        self.process = subprocess.Popen([PKTCTL, '--socket', daemon.path] + list(args), stdin=slave, stdout=slave, stderr=slave, env=env,
                                        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.text = b''

    def read_until(self, done, timeout=20):
        end = time.monotonic() + timeout
        while not done():
            left = end - time.monotonic()
            self.assertGreater(left, 0, self.text)
            if select.select([self.master], [], [], min(left, 0.2))[0]:
                self.text += os.read(self.master, 65536)

    def finish(self):
        self.read_until(lambda: self.process.poll() is not None)
        while select.select([self.master], [], [], 0)[0]:
            self.text += os.read(self.master, 65536)
        return self.process.returncode, self.text.decode()

    def watch(self, key, *args, **k):
        with FakeDaemon(samples.answers()) as d:
            self.start(d, *args, **k)
            self.read_until(lambda: self.text.count(b'\x1b[H') >= 2)
            self.assertEqual(termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO), 0)
            if callable(key):
                key(d)
            else:
                os.write(self.master, key)
            rc, text = self.finish()
            self.assertEqual(termios.tcgetattr(self.slave), self.before)
            self.assertEqual(text.count('\x1b[?1049h'), 1)
            self.assertEqual(text.count('\x1b[?1049l'), 1)
            self.assertTrue(text.rindex('\x1b[?25h') < text.rindex('\x1b[?1049l'))
            return rc, text, text[text.rindex('\x1b[?1049l') + 8:]

    def test_watch_ends_with_q(self):
        rc, text, last = self.watch(b'q', 'flows', '--watch', env=dict(ENV, NO_COLOR='1'))
        self.assertEqual(rc, 0)
        with FakeDaemon(samples.answers()) as d:
            self.assertEqual(last.replace('\r\n', '\n'), pktctl(d, 'flows')[1])

    def test_watch_ends_with_ctrl_c(self):
        for command in ('protocols', 'drops', 'reassembly'):
            self.assertEqual(self.watch(b'\x03', command, '--watch')[0], 0)

    def test_watch_ends_with_sigterm(self):
        self.assertEqual(self.watch(lambda d: self.process.terminate(), 'flows', '--watch')[0], 0)

    def test_watch_says_that_the_daemon_has_gone(self):
        def gone(d):
            d.answers['flows.top'] = CLOSE
        rc, text, last = self.watch(gone, 'flows', '--watch')
        self.assertEqual(rc, 3)
        self.assertIn('pktctl: %s' % '/', last)
        self.assertIn('closed the connection', last)

    def test_watch_fits_the_window(self):
        rc, text, last = self.watch(b'q', 'flows', '--watch', rows=4, cols=70)
        for frame in text.split('\x1b[H')[1:-1]:
            lines = re.sub(r'\x1b\[[0-9;?]*[A-Za-z]', '', frame).split('\r\n')
            self.assertLessEqual(sum(max(1, -(-len(x) // 70)) for x in lines), 4, frame)
            self.assertIn('(more', lines[-1])

    def test_watch_without_terminal(self):
        with FakeDaemon(samples.answers()) as d:
            p = subprocess.Popen([PKTCTL, '--socket', d.path, 'protocols', '--watch'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV, stdin=subprocess.DEVNULL)
            d.wait_requests('protocols.get', 2)
            p.send_signal(signal.SIGINT)
            out, err = p.communicate(timeout=20)
            self.assertEqual((p.returncode, err), (0, ''))
            self.assertNotIn('\x1b', out)
            once = pktctl(d, 'protocols')[1]
            self.assertTrue(out.startswith(once + '\n'))

    def test_progress(self):
        steps = [{'captures': [dict(samples.CAPTURES[1], state='running', progress=p, packets=n, ended=None)]} for p, n in ((0.1, 100000), (0.4, 500000), (0.8, 1500000))]
        with FakeDaemon({'capture.start': {'name': 'trace'}, 'capture.list': steps + [{'captures': [samples.CAPTURES[1]]}]}) as d:
            self.start(d, 'capture', 'start', 'pcap:/t.pcap', '--wait')
            rc, text = self.finish()
            self.assertEqual(rc, 0)
            self.assertRegex(text, r'\r\x1b\[Ktrace: 10 %, \d+\.\d\d Mpps, ETA \d+:\d\d')
            self.assertRegex(text, r'\r\x1b\[Ktrace: 80 %, \d+\.\d\d Mpps, ETA \d+:\d\d\r\x1b\[Ktrace: finished, 1900000 packets')

    def test_colours_only_on_a_terminal(self):
        with FakeDaemon(samples.answers()) as d:
            self.start(d, 'drops')
            self.assertIn('\x1b[31m', self.finish()[1])
            self.start(d, 'drops', env=dict(ENV, NO_COLOR='1'))
            self.assertNotIn('\x1b', self.finish()[1])
            self.start(d, 'drops', env=dict(ENV, TERM='dumb'))
            self.assertNotIn('\x1b', self.finish()[1])
            self.start(d, 'drops', '--color', 'always', env=dict(ENV, NO_COLOR='1'))
            self.assertIn('\x1b[31m', self.finish()[1])

    def test_shutdown_waits_until_it_has_gone(self):
        with FakeDaemon({'system.shutdown': Raw(b'{"jsonrpc":"2.0","id":ID,"result":{"stopping":true}}\n')}) as d:
            self.assertEqual(pktctl(d, 'shutdown', '--timeout', '0.3'), (0, 'pktaid is stopping; it still ends and exports flows.\n', ''))
            d.close_after = {'system.shutdown'}
            self.assertEqual(pktctl(d, 'shutdown'), (0, 'pktaid has stopped.\n', ''))


if __name__ == '__main__':
    unittest.main()
