#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What gen.py makes: fresh, consistent, and refused where the contract contradicts itself."""
import copy
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.environ['PROTO_SOURCE']
BUILD = os.environ['PROTO_BUILD']
sys.path.insert(0, SOURCE)
import gen  # noqa: E402
import man  # noqa: E402

METHODS = [os.path.join(SOURCE, 'methods', m) for m in os.listdir(os.path.join(SOURCE, 'methods'))]


def read(name):
    with open(os.path.join(BUILD, name), encoding='utf-8') as f:
        return f.read()


class Generated(unittest.TestCase):
    def test_fresh_and_repeatable(self):
        files = gen.generate(METHODS, os.environ['PROTO_VERSION'])
        self.assertEqual(sorted(files), sorted(gen.OUTPUTS))
        for name, text in files.items():
            self.assertEqual(read(name), text, name + ' is not what the contract says')

    def test_a_method_without_handler_does_not_link(self):
        with tempfile.TemporaryDirectory() as d:
            main = os.path.join(d, 'main.c')
            names = [m['name'].replace('.', '_') for m in map(gen.load, METHODS)]

            def link(handlers):
                with open(main, 'w') as f:
                    f.write('#include "proto_methods.h"\n')
                    for n in handlers:
                        f.write('int rpc_%s(struct rpc_call *c, const struct rpc_%s_params *p) { (void)c; (void)p; return 0; }\n' % (n, n))
                    f.write('int main(void) { return proto_dispatch[0] == 0; }\n')
                return subprocess.run([os.environ['CC'], '-I', BUILD, main, os.path.join(BUILD, 'proto_dispatch.c'), '-o', os.path.join(d, 'a')],
                                      capture_output=True, text=True)
            r = link(names)
            self.assertEqual(r.returncode, 0, r.stderr)
            r = link([n for n in names if n != 'flows_top'])
            self.assertNotEqual(r.returncode, 0)
            self.assertIn('rpc_flows_top', r.stderr)


class OpenRpc(unittest.TestCase):
    def setUp(self):
        self.doc = json.loads(read('openrpc.json'))

    def resolve(self, ref):
        node = self.doc
        self.assertTrue(ref.startswith('#/'), ref)
        for part in ref[2:].split('/'):
            self.assertIn(part, node, ref)
            node = node[part]
        return node

    def walk(self, node):
        if isinstance(node, dict):
            if '$ref' in node:
                self.assertEqual(list(node), ['$ref'], 'siblings of $ref are ignored')
                yield node['$ref']
            for v in node.values():
                yield from self.walk(v)
        elif isinstance(node, list):
            for v in node:
                yield from self.walk(v)

    def test_structure(self):
        self.assertRegex(self.doc['openrpc'], r'^1\.\d+\.\d+$')
        self.assertEqual(self.doc['info']['version'], os.environ['PROTO_VERSION'])
        names = [m['name'] for m in self.doc['methods']]
        self.assertEqual(sorted(n + '.json' for n in names), sorted(os.listdir(os.path.join(SOURCE, 'methods'))))
        for m in self.doc['methods']:
            self.assertEqual(m['paramStructure'], 'by-name')
            self.assertTrue(m['summary'] and m['description'])
            self.assertIn('schema', m['result'])
            for p in m['params']:
                self.assertTrue(p['name'] and p['description'] and p['schema'], m['name'])
                self.assertIsInstance(p['required'], bool)
        for e in self.doc['components']['errors'].values():
            self.assertIsInstance(e['code'], int)
            self.assertTrue(e['message'])

    def test_references(self):
        used = set(self.walk(self.doc))
        for ref in used:
            self.resolve(ref)
        for name in self.doc['components']['schemas']:
            self.assertIn('#/components/schemas/' + name, used, name + ' is used by nothing')

    def test_schemas_are_valid(self):
        try:
            import jsonschema
        except ImportError:
            self.skipTest('python3-jsonschema is not installed')
        for s in self.doc['components']['schemas'].values():
            jsonschema.Draft7Validator.check_schema(s)
        top = next(m for m in self.doc['methods'] if m['name'] == 'flows.top')
        by = next(p for p in top['params'] if p['name'] == 'by')
        v = jsonschema.Draft7Validator(dict(by['schema'], components=self.doc['components']))
        self.assertTrue(v.is_valid('bytes'))
        self.assertFalse(v.is_valid('byte'))


class Refused(unittest.TestCase):
    """The generator stops at contradictions, and says where."""

    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        for f in ('gen.py', 'man.py', 'types.json', 'errors.json', 'commands.json'):
            shutil.copy(os.path.join(SOURCE, f), self.dir)
        shutil.copytree(os.path.join(SOURCE, 'methods'), os.path.join(self.dir, 'methods'))

    def run_gen(self, leave_out=None):
        methods = [os.path.join(self.dir, 'methods', m) for m in sorted(os.listdir(os.path.join(self.dir, 'methods'))) if m != leave_out]
        return subprocess.run([sys.executable, '-B', os.path.join(self.dir, 'gen.py'), '--out', self.dir] + methods, capture_output=True, text=True)

    def change(self, path, edit):
        path = os.path.join(self.dir, path)
        with open(path) as f:
            data = json.load(f)
        edit(data)
        with open(path, 'w') as f:
            json.dump(data, f)

    def refuse(self, text, **k):
        r = self.run_gen(**k)
        self.assertEqual(r.returncode, 1, r.stderr)
        self.assertIn(text, r.stderr)
        self.assertEqual(len(r.stderr.splitlines()), 1, r.stderr)

    def test_good(self):
        self.assertEqual(self.run_gen().returncode, 0)

    def test_not_listed(self):
        self.refuse('not listed in meson.build: flows.get.json', leave_out='flows.get.json')

    def test_contradictions(self):
        top = 'methods/flows.top.json'
        n = lambda d: d['params'][0]
        cases = [
            (top, lambda d: d.update(result='Nothing'), 'unknown type Nothing'),
            (top, lambda d: d.update(colour=1), 'unknown key colour'),
            (top, lambda d: d.update(access='write'), 'access is read or change'),
            (top, lambda d: d['errors'].append('none'), 'unknown error none'),
            (top, lambda d: n(d).update(default=0), 'flows.top: n: default is not of its type'),
            (top, lambda d: n(d).update(required=True), 'is required and has a default'),
            (top, lambda d: n(d).update(minimum=2000), 'minimum above maximum'),
            (top, lambda d: n(d).update(type='uint[]'), 'a scalar or an enumeration'),
            (top, lambda d: d['params'].append(copy.deepcopy(n(d))), 'a parameter occurs twice'),
            (top, lambda d: d['params'][1].update(default='byte'), 'default is not of its type'),
            (top, lambda d: d['params'][5].pop('max_length'), 'text needs max_length'),
            (top, lambda d: n(d)['cli'].update(flag='--by'), 'a flag occurs twice'),
            (top, lambda d: n(d)['cli'].update(flag='--json'), 'a flag occurs twice'),
            (top, lambda d: n(d)['cli'].update(positional=True), 'is either a flag or positional'),
            (top, lambda d: d['cli'].update(command='flux'), 'differs from the commands'),
            (top, lambda d: d.update(name='flows.tops'), 'holds another method'),
            ('types.json', lambda d: d['Capture']['fields'][0].update(type='text'), 'unknown type text'),
            ('types.json', lambda d: d['Capture']['fields'].append(dict(d['Capture']['fields'][0])), 'name occurs twice'),
            ('types.json', lambda d: d['LogLevel']['enum'].append('info'), 'occur twice'),
            ('errors.json', lambda d: d.append(dict(d[0], name='other')), 'a code occurs twice'),
            ('commands.json', lambda d: d['order'].remove('status'), 'differs from the commands: status'),
        ]
        for path, edit, text in cases:
            with self.subTest(text):
                whole = os.path.join(self.dir, path)
                with open(whole) as f:
                    before = f.read()
                self.change(path, edit)
                self.refuse(text)
                with open(whole, 'w') as f:
                    f.write(before)

    def test_not_json(self):
        with open(os.path.join(self.dir, 'types.json'), 'a') as f:
            f.write('x')
        self.refuse('types.json: ')
        with open(os.path.join(self.dir, 'types.json'), 'w') as f:
            f.write('{"A": 1, "A": 2}')
        self.refuse('types.json: key A occurs twice')


class Pages(unittest.TestCase):
    def test_man_page_has_no_warnings(self):
        page = os.path.join(BUILD, 'pktctl.1')
        if shutil.which('mandoc'):
            r = subprocess.run(['mandoc', '-T', 'lint', '-W', 'warning', page], capture_output=True, text=True)
            self.assertEqual(r.stdout, '')
        if not shutil.which('groff'):
            self.skipTest('groff is not installed')
        r = subprocess.run(['groff', '-man', '-Tutf8', '-ww', '-P-cbou', page], capture_output=True, text=True)
        self.assertEqual((r.returncode, r.stderr), (0, ''))
        for word in ('NAME', 'SYNOPSIS', 'EXIT STATUS', 'PKTAID_SOCKET', 'capture start', 'pktaid(8)'):
            self.assertIn(word, r.stdout)

    def test_man_escapes(self):
        text = man.page({'name': 'x', 'section': 8, 'summary': "a - b", 'synopsis': ["x --y '\\'"],
                         'sections': [{'title': 'A "B"', 'text': ['.TH at the start', "'quoted", '`bold` and \\ ^ ~']}]})
        self.assertIn('\\&.TH at', text)
        self.assertIn("\\&'quoted", text)
        self.assertIn('\\fBbold\\fR and \\e \\(ha \\(ti', text)
        self.assertIn('x \\-\\-y', text)
        self.assertIn('.SH "A \\(dqB\\(dq"', text)

    def test_markdown_names_everything(self):
        text = read('methods.md')
        for m in METHODS:
            self.assertIn('## ' + os.path.basename(m)[:-5], text)


class Completion(unittest.TestCase):
    """The script, asked by bash itself."""

    def complete(self, line):
        words = line.split(' ')
        script = 'set -u; source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_WORDBREAKS=" "; _pktctl; printf "%s\\n" "${COMPREPLY[@]}"'
        with tempfile.TemporaryDirectory() as d:
            fake = os.path.join(d, 'pktctl')
            with open(fake, 'w') as f:
                f.write('#!/bin/sh\ncase "$*" in\n*"capture list") printf "NAME SOURCE\\neth0 x\\ntrace y\\n" ;;\n'
                        '*stats) printf \'{"sections":[{"name":"flow","counters":[{"name":"x","value":1}]},{"name":"capture","counters":[]}]}\' ;;\nesac\n')
            os.chmod(fake, 0o755)
            for name in ('a.pcap', 'b.pcap'):
                open(os.path.join(d, name), 'w').close()
            r = subprocess.run(['bash', '--norc', '-c', script, 'bash', os.path.join(BUILD, 'pktctl.bash')] + words,
                               capture_output=True, text=True, cwd=d, env={'PATH': d + ':' + os.environ['PATH']})
        self.assertEqual(r.stderr, '', line)
        return sorted(r.stdout.split())

    def test_commands(self):
        commands = gen.load(os.path.join(SOURCE, 'commands.json'))
        self.assertEqual(self.complete('pktctl '), sorted({c.split()[0] for c in commands['order']}))
        self.assertEqual(self.complete('pktctl fl'), ['flow', 'flows'])
        self.assertEqual(self.complete('pktctl capture '), ['list', 'start', 'stop'])
        self.assertEqual(self.complete('pktctl --json --timeout 3 capture st'), ['start', 'stop'])

    def test_flags_and_values(self):
        self.assertEqual(self.complete('pktctl flows --by t'), ['throughput'])
        self.assertEqual(self.complete('pktctl flows --state '), ['active', 'all', 'ended'])
        self.assertEqual(self.complete('pktctl flows --s'), ['--socket', '--state'])
        self.assertEqual(self.complete('pktctl --color a'), ['always', 'auto'])
        self.assertEqual(self.complete('pktctl log-level w'), ['warning'])
        self.assertEqual(self.complete('pktctl completion '), ['bash'])
        self.assertEqual(self.complete('pktctl flows --top '), [])
        self.assertIn('flows.top', self.complete('pktctl call flows.'))

    def test_what_the_daemon_knows(self):
        self.assertEqual(self.complete('pktctl capture stop '), ['eth0', 'trace'])
        self.assertEqual(self.complete('pktctl flows --capture t'), ['trace'])
        self.assertEqual(self.complete('pktctl stats '), ['capture', 'flow'])

    def test_sources(self):
        self.assertEqual(self.complete('pktctl capture start a'), ['afpacket:', 'afxdp:'])
        self.assertEqual(self.complete('pktctl capture start pcap:a'), ['pcap:a.pcap'])
        self.assertEqual(self.complete('pktctl capture start pcap:a.pcap --w'), ['--wait'])


if __name__ == '__main__':
    unittest.main()
