#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns the contract (methods/*.json, types.json, errors.json, commands.json) into what is built of it.

gen.py --out DIR [--version V] [--only FILE]... [METHOD.json...]

C tables and structs for the daemon and the client, the dispatch table, the OpenRPC document, the man
page, the bash completion, a Markdown reference. Where the contract contradicts itself it stops and
says which file and key. Its output depends on its input alone, so that a build can be compared.
"""
import argparse
import json
import os
import re
import sys

import man

HERE = os.path.dirname(os.path.abspath(__file__))
UINT_MAX = 2 ** 53 - 1
SCALARS = ('bool', 'uint', 'int', 'number', 'string')
NAME = re.compile(r'^[a-z][a-z0-9_]*$')
FORMATS = {'name': r'^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$'}
FORMAT_TEXT = {'name': 'letters, digits and . _ - : / @ +, a letter or digit first'}
COMPLETE = ('file', 'capture', 'source', 'method', 'section')
OUTPUTS = ('proto_methods.h', 'proto_tables.c', 'proto_dispatch.c', 'proto_commands.h', 'proto_commands.c',
           'openrpc.json', 'pktctl.1', 'pktctl.bash', 'methods.md')


class ContractError(Exception):
    pass


def need(ok, where, text):
    if not ok:
        raise ContractError('%s: %s' % (where, text))


def keys(obj, where, required, optional=()):
    need(isinstance(obj, dict), where, 'is not an object')
    for k in required:
        need(k in obj, where, 'lacks ' + k)
    for k in obj:
        need(k in required or k in optional, where, 'unknown key ' + k)


def no_twins(pairs):
    d = {}
    for k, v in pairs:
        if k in d:
            raise ContractError('key %s occurs twice' % k)
        d[k] = v
    return d


def load(path):
    with open(path, encoding='utf-8') as f:
        try:
            return json.load(f, object_pairs_hook=no_twins)
        except (ValueError, ContractError) as x:
            raise ContractError('%s: %s' % (os.path.basename(path), x))


def for_cli(p):
    """A parameter as an option: with the command's own words, and then without the method's default."""
    if 'help' not in p['cli']:
        return p
    return {k: p['cli']['help'] if k == 'description' else v for k, v in p.items() if k != 'default'}


# --- The contract, read and checked ---

class Contract:
    def __init__(self, methods, version):
        self.version = version
        self.errors = load(os.path.join(HERE, 'errors.json'))
        self.types = load(os.path.join(HERE, 'types.json'))
        self.commands = load(os.path.join(HERE, 'commands.json'))
        self.methods = []
        listed = {os.path.basename(m) for m in methods}
        there = {m for m in os.listdir(os.path.join(HERE, 'methods')) if m.endswith('.json')}
        need(not there - listed, 'methods/', 'not listed in meson.build: ' + ', '.join(sorted(there - listed)))
        for m in sorted(methods):
            self.methods.append(load(m))
            need(self.methods[-1].get('name', '') + '.json' == os.path.basename(m), m, 'holds another method')
        self.check_errors()
        for name, values in self.commands.get('enums', {}).items():
            need(name not in self.types, 'commands.json: ' + name, 'is in types.json too')
        self.check_types()
        for m in self.methods:
            self.check_method(m)
        self.check_commands()

    def check_errors(self):
        for e in self.errors:
            keys(e, 'errors.json', ('name', 'code', 'text'))
            need(NAME.match(e['name']), 'errors.json', 'bad name ' + e['name'])
            need(e['code'] < -31999, 'errors.json', 'code out of range: ' + e['name'])
        for k in ('name', 'code'):
            need(len({e[k] for e in self.errors}) == len(self.errors), 'errors.json', 'a %s occurs twice' % k)

    def ref(self, text, where):
        """'Name[]' -> (kind, type name or None, is array)"""
        array = text.endswith('[]')
        name = text[:-2] if array else text
        if name in SCALARS or name == 'any':
            return name, None, array
        need(name in self.types or name in self.commands['enums'], where, 'unknown type ' + name)
        return ('enum' if self.enum(name) else 'object'), name, array

    def enum(self, name):
        if name in self.commands['enums']:
            return self.commands['enums'][name]
        return self.types.get(name, {}).get('enum')

    def check_types(self):
        for name, t in self.types.items():
            where = 'types.json: ' + name
            need(re.match(r'^[A-Z][A-Za-z]*$', name), where, 'a type is named LikeThis')
            if 'enum' in t:
                keys(t, where, ('description', 'enum'))
                need(len(set(t['enum'])) == len(t['enum']) > 0, where, 'values are missing or occur twice')
                continue
            keys(t, where, ('description',), ('fields', 'others'))
            need('fields' in t or 'others' in t, where, 'has neither fields nor others')
            seen = set()
            for f in t.get('fields', []):
                keys(f, where, ('name', 'type', 'description'), ('optional', 'nullable', 'unit'))
                need(NAME.match(f['name']), where, 'bad field name ' + f['name'])
                need(f['name'] not in seen, where, f['name'] + ' occurs twice')
                seen.add(f['name'])
                self.ref(f['type'], where + '.' + f['name'])
            if 'others' in t:
                self.ref(t['others'], where)

    def check_param(self, p, where, local=False):
        where = '%s: %s' % (where, p.get('name'))
        keys(p, where, ('name', 'type', 'description'),
             ('required', 'default', 'minimum', 'maximum', 'min_length', 'max_length', 'format', 'cli') + (() if local else ('access',)))
        need(NAME.match(p['name']), where, 'bad name')
        kind, _, array = self.ref(p['type'], where)
        need(kind in SCALARS + ('enum',) and not array, where, 'a parameter is a scalar or an enumeration')
        need(not (p.get('required') and 'default' in p), where, 'is required and has a default')
        need(kind != 'string' or p.get('max_length', 0) > 0, where, 'text needs max_length')
        need(p.get('access', 'change') == 'change' and ('access' not in p or kind == 'bool'), where, 'access is change, of a bool')
        need(p.get('format', 'name') in FORMATS, where, 'unknown format')
        lo, hi = self.bounds(p, kind)
        need(lo <= hi, where, 'minimum above maximum')
        if 'default' in p:
            d = p['default']
            need({'bool': isinstance(d, bool), 'string': isinstance(d, str), 'enum': kind == 'enum' and d in (self.enum(p['type']) or [])}
                 .get(kind, isinstance(d, (int, float)) and lo <= d <= hi), where, 'default is not of its type')
        cli = p.get('cli')
        if cli:
            keys(cli, where, (), ('flag', 'short', 'positional', 'metavar', 'complete', 'help'))
            need(('flag' in cli) != bool(cli.get('positional')), where, 'is either a flag or positional')
            need(cli.get('complete', 'file') in COMPLETE, where, 'unknown completion')
            need(kind in ('bool', 'enum') or 'metavar' in cli, where, 'lacks a metavar')

    def bounds(self, p, kind):
        if kind == 'uint':
            return p.get('minimum', 0), p.get('maximum', UINT_MAX)
        if kind in ('int', 'number'):
            return p.get('minimum', -UINT_MAX), p.get('maximum', UINT_MAX)
        return 0, 0

    def check_method(self, m):
        where = m['name']
        keys(m, where, ('name', 'summary', 'description', 'access', 'params', 'result', 'errors'), ('cli',))
        need(re.match(r'^[a-z]+\.[a-z_]+$', m['name']), where, 'a method is named family.verb')
        need(m['access'] in ('read', 'change'), where, 'access is read or change')
        need(len({p['name'] for p in m['params']}) == len(m['params']) <= 32, where, 'a parameter occurs twice')
        for p in m['params']:
            self.check_param(p, where)
        kind, name, array = self.ref(m['result'], where)
        need(kind == 'object' and not array, where, 'a result is an object')
        known = {e['name'] for e in self.errors if e['code'] >= -32099}
        for e in m['errors']:
            need(e in known, where, 'unknown error ' + e)
        if 'cli' in m:
            keys(m['cli'], where, ('command', 'summary'), ('description', 'options', 'examples'))

    def check_commands(self):
        c = self.commands
        keys(c, 'commands.json', ('program', 'summary', 'description', 'options', 'enums', 'order', 'commands', 'exit', 'environment'))
        for o in c['options']:
            self.check_param(o, 'commands.json', True)
        found = {}
        for m in self.methods:
            if 'cli' in m:
                cmd = dict(m['cli'])
                cmd['method'] = m
                cmd.setdefault('description', m['description'])
                cmd['args'] = [for_cli(p) for p in m['params'] if 'cli' in p] + [dict(o, local=True) for o in cmd.get('options', [])]
                need(cmd['command'] not in found, m['name'], 'command occurs twice')
                found[cmd['command']] = cmd
        for cmd in c['commands']:
            keys(cmd, 'commands.json', ('command', 'summary'), ('description', 'options', 'examples'))
            need(cmd['command'] not in found, 'commands.json', 'command occurs twice: ' + cmd['command'])
            found[cmd['command']] = dict(cmd, method=None, args=[dict(o, local=True) for o in cmd.get('options', [])])
        need(sorted(found) == sorted(c['order']), 'commands.json: order', 'differs from the commands: ' +
             ' '.join(sorted(set(found) ^ set(c['order']))))
        self.cmds = [found[n] for n in c['order']]
        shared = [o['cli']['flag'] for o in c['options']]
        for cmd in self.cmds:
            for o in cmd.get('options', []):
                self.check_param(o, cmd['command'], True)
            flags = shared + [a['cli']['flag'] for a in cmd['args'] if 'flag' in a['cli']]
            need(len(set(flags)) == len(flags), cmd['command'], 'a flag occurs twice')
            optional = False
            for a in cmd['args']:
                if a['cli'].get('positional'):
                    need(not (optional and a.get('required')), cmd['command'], 'a required argument follows an optional one')
                    optional = optional or not a.get('required')

    def accepts(self, p):
        """What a parameter takes, in words."""
        kind, name, _ = self.ref(p['type'], p['name'])
        if kind == 'bool':
            return 'true or false'
        if kind == 'enum':
            return 'one of ' + ', '.join(self.enum(name))
        if kind == 'string':
            lo, hi = p.get('min_length', 0), p['max_length']
            text = 'text of %d to %d bytes' % (lo, hi) if lo else 'text of at most %d bytes' % hi
            return text + (': ' + FORMAT_TEXT[p['format']] if 'format' in p else '')
        lo, hi = self.bounds(p, kind)
        what = {'uint': 'a whole number', 'int': 'a whole number', 'number': 'a number'}[kind]
        return '%s from %s to %s' % (what, lo, '2^53 - 1' if hi == UINT_MAX else hi)


# --- C ---

def c_str(s):
    if s is None:
        return 'NULL'
    out = []
    for ch in s.encode('utf-8'):
        if ch in (0x22, 0x5c):
            out.append('\\' + chr(ch))
        elif ch == 0x0a:
            out.append('\\n')
        elif 32 <= ch < 127:
            out.append(chr(ch))
        else:
            out.append('\\%03o' % ch)
    return '"' + ''.join(out) + '"'


def c_text(name, text):
    """A long text as a char array: one string literal a line."""
    lines = text.split('\n')
    body = ''.join('\t%s\n' % c_str(x + ('\n' if i + 1 < len(lines) else '')) for i, x in enumerate(lines) if x or i + 1 < len(lines))
    return 'const char %s[] =\n%s;\nconst size_t %s_size = sizeof(%s) - 1;\n' % (name, body.rstrip('\n') or '\t""', name, name)


def ident(s):
    return re.sub(r'[^a-z0-9]+', '_', s.lower())


def snake(s):
    return re.sub(r'(?<=[a-z])([A-Z])', r'_\1', s).lower()


def head(what):
    return '// SPDX-License-Identifier: Apache-2.0\n// %s Made by proto/gen.py: edit the contract in proto/, not this.\n' % what


C_TYPE = {'bool': 'bool ', 'uint': 'uint64_t ', 'int': 'int64_t ', 'number': 'double ', 'string': 'const char *'}


def gen_methods_h(c):
    o = [head('The methods: parameters as structs, enumerations, error codes, handlers.'),
         '#pragma once\n\n#include <stdbool.h>\n#include <stddef.h>\n#include <stdint.h>\n']
    o.append('enum proto_method {')
    o += ['\tPROTO_%s,' % ident(m['name']).upper() for m in c.methods] + ['\tPROTO_METHOD_COUNT\n};\n']
    o.append('enum rpc_code {')
    o += ['\tRPC_%s = %d, // %s' % (e['name'].upper(), e['code'], e['text']) for e in c.errors] + ['};\n']
    for name, t in c.types.items():
        if 'enum' in t:
            up = snake(name).upper()
            o.append('// %s' % t['description'])
            o.append('enum rpc_%s {' % snake(name))
            o += ['\tRPC_%s_%s,' % (up, ident(v).upper()) for v in t['enum']]
            o.append('\tRPC_%s_COUNT\n};' % up)
            o.append('extern const char *const rpc_%s_names[RPC_%s_COUNT + 1]; // ends with NULL\n' % (snake(name), up))
    o.append('// Parameters. Strings point into the request and live as long as it; NULL where not given.\n')
    for m in c.methods:
        o.append('// %s' % m['summary'])
        o.append('struct rpc_%s_params {' % ident(m['name']))
        for p in m['params']:
            kind, t, _ = c.ref(p['type'], '')
            ctype = 'enum rpc_%s ' % snake(t) if kind == 'enum' else C_TYPE[kind]
            o.append('\t%s%s; // %s' % (ctype, p['name'], p['description']))
            if has_flag(c, p):
                o.append('\tbool has_%s; // given' % p['name'])
        if not m['params']:
            o.append('\tchar unused;')
        o.append('};\n')
    o.append('union rpc_params {')
    o += ['\tstruct rpc_%s_params %s;' % (ident(m['name']), ident(m['name'])) for m in c.methods] + ['};\n']
    o.append('// Handlers, one a method, written in the daemon. A method without one fails to link.\n'
             '// The parameters are valid until the handler returns.\n'
             '// Returns 0: it has answered, or will; else an error (enum rpc_code), to be answered by the caller.\n'
             'struct rpc_call;')
    o += ['int rpc_%s(struct rpc_call *, const struct rpc_%s_params *);' % (ident(m['name']), ident(m['name'])) for m in c.methods]
    o.append('\n// By enum proto_method; in proto_dispatch.c, which the daemon compiles.\n'
             'typedef int (*proto_handler)(struct rpc_call *, const union rpc_params *);\n'
             'extern const proto_handler proto_dispatch[PROTO_METHOD_COUNT];\n')
    o.append('// The OpenRPC document, NUL-terminated.\nextern const char proto_openrpc[];\nextern const size_t proto_openrpc_size;')
    return '\n'.join(o) + '\n'


def has_flag(c, p):
    return not p.get('required') and 'default' not in p and c.ref(p['type'], '')[0] != 'string'


def gen_dispatch(c):
    o = [head('The dispatch table: each method to its handler.'), '#include "proto_methods.h"\n']
    for m in c.methods:
        i = ident(m['name'])
        o.append('static int call_%s(struct rpc_call *call, const union rpc_params *params)\n{\n\treturn rpc_%s(call, &params->%s);\n}\n' % (i, i, i))
    o.append('const proto_handler proto_dispatch[PROTO_METHOD_COUNT] = {')
    o += ['\t[PROTO_%s] = call_%s,' % (ident(m['name']).upper(), ident(m['name'])) for m in c.methods] + ['};']
    return '\n'.join(o) + '\n'


def c_ref(c, text, index, nullable=False):
    kind, t, array = c.ref(text, '')
    parts = ['.kind = PROTO_' + kind.upper()]
    if t is not None:
        parts.append('.type = %d' % index[t])
    if array:
        parts.append('.array = true')
    if nullable:
        parts.append('.nullable = true')
    return '{%s}' % ', '.join(parts)


def c_double(x):
    return repr(float(x))


def c_param(c, p, struct=None, names='rpc_%s_names'):
    kind, t, _ = c.ref(p['type'], '')
    lo, hi = c.bounds(p, kind)
    o = ['.name = %s' % c_str(p['name']), '.kind = PROTO_' + kind.upper()]
    if p.get('required'):
        o.append('.required = true')
    if p.get('access') == 'change':
        o.append('.changes = true')
    if kind in ('uint', 'int', 'number'):
        o += ['.minimum = %s' % c_double(lo), '.maximum = %s' % c_double(hi)]
    if kind == 'string':
        o += ['.min_length = %d' % p.get('min_length', 0), '.max_length = %d' % p['max_length']]
        if 'format' in p:
            o.append('.format = PROTO_FORMAT_' + p['format'].upper())
    if kind == 'enum':
        o.append('.names = ' + (('ctl_%s_names' if t in c.commands['enums'] else 'rpc_%s_names') % snake(t)))
    if 'default' in p:
        d = p['default']
        o.append('.has_default = true')
        if kind == 'string':
            o.append('.default_text = ' + c_str(d))
        else:
            o.append('.default_number = ' + c_double(c.enum(t).index(d) if kind == 'enum' else d))
    if struct:
        o.append('.offset = offsetof(struct %s, %s)' % (struct, p['name']))
        if has_flag(c, p):
            o.append('.has_offset = offsetof(struct %s, has_%s)' % (struct, p['name']))
            o.append('.has_flag = true')
    o += ['.accepts = ' + c_str(c.accepts(p)), '.help = ' + c_str(p['description'])]
    return '{%s}' % ', '.join(o)


def gen_tables(c, openrpc):
    names = list(c.types)
    index = {n: i for i, n in enumerate(names)}
    o = [head('The tables that codec.c works by, and the OpenRPC document.'),
         '#include "codec.h"\n\n#include <stddef.h>\n']
    for n, t in c.types.items():
        if 'enum' in t:
            s = snake(n)
            o.append('const char *const rpc_%s_names[RPC_%s_COUNT + 1] = {%s, NULL};' % (s, s.upper(), ', '.join(map(c_str, t['enum']))))
    o.append('')
    for n, t in c.types.items():
        if t.get('fields'):
            o.append('static const struct proto_field fields_%s[] = {' % snake(n))
            for f in t['fields']:
                o.append('\t{.name = %s, .ref = %s%s, .unit = %s, .help = %s},' % (
                    c_str(f['name']), c_ref(c, f['type'], index, f.get('nullable')), ', .optional = true' if f.get('optional') else '',
                    c_str(f.get('unit')), c_str(f['description'])))
            o.append('};\n')
    o.append('const struct proto_type proto_types[] = {')
    for n, t in c.types.items():
        s = snake(n)
        parts = ['.name = ' + c_str(n), '.help = ' + c_str(t['description'])]
        if 'enum' in t:
            parts += ['.names = rpc_%s_names' % s]
        if t.get('fields'):
            parts += ['.fields = fields_%s' % s, '.field_count = %d' % len(t['fields'])]
        if 'others' in t:
            parts += ['.has_others = true', '.others = ' + c_ref(c, t['others'], index)]
        o.append('\t{%s},' % ', '.join(parts))
    o.append('};\nconst unsigned proto_type_count = %d;\n' % len(names))
    for m in c.methods:
        if m['params']:
            o.append('static const struct proto_param params_%s[] = {' % ident(m['name']))
            o += ['\t%s,' % c_param(c, p, 'rpc_%s_params' % ident(m['name'])) for p in m['params']] + ['};\n']
    o.append('const struct proto_method_info proto_methods[PROTO_METHOD_COUNT] = {')
    for m in c.methods:
        i = ident(m['name'])
        parts = ['.name = ' + c_str(m['name']), '.summary = ' + c_str(m['summary']), '.access = PROTO_ACCESS_' + m['access'].upper(),
                 '.params_size = sizeof(struct rpc_%s_params)' % i, '.result = %d' % index[m['result']]]
        if m['params']:
            parts += ['.params = params_' + i, '.param_count = %d' % len(m['params'])]
        o.append('\t[PROTO_%s] = {%s},' % (i.upper(), ', '.join(parts)))
    o.append('};\n')
    o.append('const struct proto_error_info proto_errors[] = {')
    o += ['\t{%d, %s, %s},' % (e['code'], c_str(e['name']), c_str(e['text'])) for e in c.errors]
    o.append('};\nconst unsigned proto_error_count = %d;\n' % len(c.errors))
    o.append(c_text('proto_openrpc', openrpc))
    return '\n'.join(o)


# --- The client's commands ---

def gen_commands_h(c):
    o = [head('The commands of pktctl: arguments, help, and who runs them.'),
         '#pragma once\n\n#include <stdbool.h>\n#include <stddef.h>\n\n#include "codec.h"\n',
         'struct ctl_option {\n\tstruct proto_param param; // type, limits, help\n'
         '\tconst char *flag;        // "--top"; NULL: positional\n\tconst char *short_flag; // "-h", or NULL\n'
         '\tconst char *metavar;     // NULL: a switch, or the names of its enumeration\n'
         '\tbool local;              // for the client alone; else a parameter of the method\n};\n',
         'struct ctl_example {\n\tconst char *line, *help;\n};\n',
         'struct ctl;\nstruct ctl_args;\n',
         'struct ctl_command {\n\tconst char *words;   // "capture start"\n\tconst char *summary, *description; // description may be NULL\n'
         '\tint method;          // enum proto_method; -1: none\n\tconst struct ctl_option *options;\n\tunsigned option_count;\n'
         '\tconst struct ctl_example *examples;\n\tunsigned example_count;\n'
         '\tint (*run)(struct ctl *, const struct ctl_args *); // returns an exit code\n};\n',
         'extern const struct ctl_command ctl_commands[];\nextern const unsigned ctl_command_count;',
         'extern const struct ctl_option ctl_global_options[];\nextern const unsigned ctl_global_option_count;',
         'extern const char *const ctl_program_summary, *const ctl_program_description;',
         'extern const struct ctl_example ctl_exit_codes[], ctl_environment[]; // end with line NULL',
         'extern const char ctl_bash_completion[];\nextern const size_t ctl_bash_completion_size;\n',
         '// One a command, written in ctl/. A command without one fails to link.']
    o += ['int ctl_%s(struct ctl *, const struct ctl_args *);' % ident(x['command']) for x in c.cmds]
    for n, v in c.commands['enums'].items():
        o.append('\nenum ctl_%s {' % snake(n))
        o += ['\tCTL_%s_%s,' % (snake(n).upper(), ident(x).upper()) for x in v] + ['};']
    return '\n'.join(o) + '\n'


def c_option(c, a):
    cli = a['cli']
    return '\t{.param = %s, .flag = %s, .short_flag = %s, .metavar = %s, .local = %s},' % (
        c_param(c, a), c_str(cli.get('flag')), c_str(cli.get('short')), c_str(cli.get('metavar')), 'true' if a.get('local') else 'false')


def gen_commands(c, completion):
    o = [head('The tables of proto_commands.h.'), '#include "proto_commands.h"\n']
    for n, v in c.commands['enums'].items():
        o.append('static const char *const ctl_%s_names[] = {%s, NULL};' % (snake(n), ', '.join(map(c_str, v))))
    for x in c.cmds:
        i = ident(x['command'])
        if x['args']:
            o.append('\nstatic const struct ctl_option options_%s[] = {' % i)
            o += [c_option(c, a) for a in x['args']] + ['};']
        if x.get('examples'):
            o.append('\nstatic const struct ctl_example examples_%s[] = {' % i)
            o += ['\t{%s, %s},' % (c_str(l), c_str(t)) for l, t in x['examples']] + ['};']
    o.append('\nconst struct ctl_command ctl_commands[] = {')
    for x in c.cmds:
        i = ident(x['command'])
        o.append('\t{.words = %s, .summary = %s, .description = %s, .method = %s, .run = ctl_%s%s%s},' % (
            c_str(x['command']), c_str(x['summary']), c_str(x.get('description')),
            'PROTO_' + ident(x['method']['name']).upper() if x['method'] else '-1', i,
            ', .options = options_%s, .option_count = %d' % (i, len(x['args'])) if x['args'] else '',
            ', .examples = examples_%s, .example_count = %d' % (i, len(x['examples'])) if x.get('examples') else ''))
    o.append('};\nconst unsigned ctl_command_count = %d;' % len(c.cmds))
    o.append('\nconst struct ctl_option ctl_global_options[] = {')
    o += [c_option(c, dict(a, local=True)) for a in c.commands['options']]
    o.append('};\nconst unsigned ctl_global_option_count = %d;' % len(c.commands['options']))
    o.append('\nconst char *const ctl_program_summary = %s;' % c_str(c.commands['summary']))
    o.append('const char *const ctl_program_description = %s;' % c_str(c.commands['description']))
    for name, rows in (('ctl_exit_codes', c.commands['exit']), ('ctl_environment', c.commands['environment'])):
        o.append('const struct ctl_example %s[] = {%s, {NULL, NULL}};' % (name, ', '.join('{%s, %s}' % (c_str(str(a)), c_str(b)) for a, b in rows)))
    o.append('')
    o.append(c_text('ctl_bash_completion', completion))
    return '\n'.join(o)


def usage_of(c, x):
    out = []
    for a in [a for a in x['args'] if a['cli'].get('positional')] + [a for a in x['args'] if 'flag' in a['cli']]:
        value = value_of(c, a)
        text = value if a['cli'].get('positional') else a['cli']['flag'] + (' ' + value if value else '')
        out.append(text if a.get('required') else '[%s]' % text)
    return ' '.join([x['command']] + out)


def value_of(c, a):
    """What stands for an option's value in usage texts; '' for a switch."""
    if a['type'] == 'bool':
        return ''
    if a['cli'].get('metavar'):
        return a['cli']['metavar']
    return '|'.join(c.enum(a['type']))


def option_help(c, a):
    text = a['description']
    if 'default' in a and a['type'] != 'bool':
        text += ' (default %s)' % a['default']
    return text


def gen_man(c):
    cmds = c.commands

    def rows(args):
        return [{'flags': ', '.join(filter(None, [a['cli'].get('short'), a['cli'].get('flag')])), 'value': value_of(c, a), 'text': option_help(c, a)} for a in args]
    sections = [{'title': 'DESCRIPTION', 'text': [cmds['description']]},
                {'title': 'OPTIONS', 'text': ['These go before or after the command.'], 'options': rows(cmds['options'])}]
    parts = []
    for x in c.cmds:
        text = [x['description']] if x.get('description') else [x['summary'][0].upper() + x['summary'][1:] + '.']
        parts.append({'title': usage_of(c, x), 'text': text, 'options': rows(x['args'])})
    sections.append({'title': 'COMMANDS', 'parts': parts})
    sections.append({'title': 'EXIT STATUS', 'options': [{'flags': str(a), 'value': '', 'text': b} for a, b in cmds['exit']]})
    sections.append({'title': 'ENVIRONMENT', 'options': [{'flags': a, 'value': '', 'text': b} for a, b in cmds['environment']]})
    sections.append({'title': 'EXAMPLES', 'options': [{'flags': l, 'value': '', 'text': t} for x in c.cmds for l, t in x.get('examples', [])]})
    return man.page({'name': 'pktctl', 'section': 1, 'version': c.version, 'summary': cmds['summary'],
                     'synopsis': ['pktctl [options] command [arguments]', 'pktctl --help | --version', 'pktctl command --help'],
                     'sections': sections, 'see_also': ['pktaid(8)']})


def gen_bash(c):
    def words_for(a):
        if a['type'] == 'bool':
            return None
        values = c.enum(a['type'])
        return ' '.join(values) if values else ''
    o = ['# SPDX-License-Identifier: Apache-2.0', '# bash completion for pktctl; made by proto/gen.py', '',
         '_pktctl_values()', '{', '    case $1 in']
    dynamic = {'file': "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$cur\"))",
               'capture': "COMPREPLY=($(compgen -W \"$(pktctl --timeout 1 --color never capture list 2>/dev/null | awk 'NR > 1 { print $1 }')\" -- \"$cur\"))",
               'source': "case $cur in\n            pcap:*) COMPREPLY=($(compgen -f -- \"${cur#pcap:}\")); [[ $COMP_WORDBREAKS == *:* ]] || COMPREPLY=(\"${COMPREPLY[@]/#/pcap:}\"); compopt -o filenames 2>/dev/null ;;\n            *) COMPREPLY=($(compgen -W 'pcap: afpacket: afxdp: pci: vdev:' -- \"$cur\")); compopt -o nospace 2>/dev/null ;;\n            esac",
               'method': 'COMPREPLY=($(compgen -W "%s" -- "$cur"))' % ' '.join(m['name'] for m in c.methods),
               'section': "COMPREPLY=($(compgen -W \"$(pktctl --timeout 1 --json stats 2>/dev/null | grep -o '\"name\":\"[a-z_]*\",\"counters\"' | cut -d'\"' -f4)\" -- \"$cur\"))"}
    for k, v in dynamic.items():
        o.append('        %s) %s ;;' % (k, v))
    o += ['    esac', '}', '', '_pktctl()', '{',
          '    local cur=${COMP_WORDS[COMP_CWORD]} prev= line=$COMP_LINE word command= i n=0 flags= values= kind=',
          '    COMPREPLY=()',
          '    # bash splits words at colons: take pcap:FILE as one',
          '    if declare -F _get_comp_words_by_ref >/dev/null; then',
          '        local words cword', '        _get_comp_words_by_ref -n : cur prev words cword',
          '    else', '        local words=("${COMP_WORDS[@]}") cword=$COMP_CWORD', '        prev=${words[cword-1]}', '    fi',
          '    for ((i = 1; i < cword; i++)); do', '        word=${words[i]}', '        case $word in']
    takes = [a['cli']['flag'] for a in c.commands['options'] if a['type'] != 'bool']
    for x in c.cmds:
        takes += [a['cli']['flag'] for a in x['args'] if 'flag' in a['cli'] and a['type'] != 'bool']
    o += ['        %s) ((i++)); continue ;;' % '|'.join(dict.fromkeys(takes)), '        -*) continue ;;', '        esac']
    groups = sorted({x['command'].split()[0] for x in c.cmds if ' ' in x['command']})
    o += ['        if [[ -z $command ]]; then command=$word', '        elif [[ " %s " == *" $command "* ]]; then command="$command $word"' % ' '.join(groups),
          '        else ((n++)); fi', '    done', '    case $command/$prev in']
    for x in c.cmds:
        for a in x['args']:
            if 'flag' in a['cli'] and words_for(a) is not None:
                o.append("        '%s/%s') values='%s' kind=%s ;;" % (x['command'], a['cli']['flag'], words_for(a), a['cli'].get('complete', 'none')))
    for a in c.commands['options']:
        if words_for(a) is not None:
            o.append("        */%s) values='%s' kind=%s ;;" % (a['cli']['flag'], words_for(a), a['cli'].get('complete', 'none')))
    o += ['    esac', '    if [[ -n $kind ]]; then',
          '        if [[ -n $values ]]; then COMPREPLY=($(compgen -W "$values" -- "$cur")); else _pktctl_values "$kind"; fi',
          '    elif [[ $cur == -* ]]; then', '        case $command in']
    for x in c.cmds:
        f = [a['cli']['flag'] for a in x['args'] if 'flag' in a['cli']]
        if f:
            o.append("        '%s') flags='%s' ;;" % (x['command'], ' '.join(f)))
    o += ['        esac', '        COMPREPLY=($(compgen -W "$flags %s" -- "$cur"))' % ' '.join(a['cli']['flag'] for a in c.commands['options']),
          '    else', '        case $command/$n in',
          "        /*) COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;" % ' '.join(dict.fromkeys(x['command'].split()[0] for x in c.cmds))]
    for g in groups:
        o.append("        %s/*) COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;" % (g, ' '.join(x['command'].split()[1] for x in c.cmds if x['command'].startswith(g + ' '))))
    for x in c.cmds:
        for n, a in enumerate(a for a in x['args'] if a['cli'].get('positional')):
            if c.enum(a['type']):
                o.append("        '%s'/%d) COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;" % (x['command'], n, ' '.join(c.enum(a['type']))))
            elif 'complete' in a['cli']:
                o.append("        '%s'/%d) _pktctl_values %s ;;" % (x['command'], n, a['cli']['complete']))
    o += ['        esac', '    fi',
          '    declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$cur"', '    return 0', '}',
          'complete -F _pktctl pktctl', '']
    return '\n'.join(o)


# --- OpenRPC and Markdown ---

def schema_ref(c, text, nullable=False):
    kind, t, array = c.ref(text, '')
    s = {'bool': {'type': 'boolean'}, 'uint': {'type': 'integer', 'minimum': 0, 'maximum': UINT_MAX},
         'int': {'type': 'integer', 'minimum': -UINT_MAX, 'maximum': UINT_MAX}, 'number': {'type': 'number'},
         'string': {'type': 'string'}, 'any': {}}.get(kind)
    if s is None:
        s = {'$ref': '#/components/schemas/' + t}
    if array:
        s = {'type': 'array', 'items': s}
    return {'anyOf': [s, {'type': 'null'}]} if nullable else s


def param_schema(c, p):
    s = dict(schema_ref(c, p['type']))
    kind = c.ref(p['type'], '')[0]
    if kind in ('uint', 'int', 'number'):
        s['minimum'], s['maximum'] = c.bounds(p, kind)
    if kind == 'string':
        s['minLength'], s['maxLength'] = p.get('min_length', 0), p['max_length']
        if 'format' in p:
            s['pattern'] = FORMATS[p['format']]
    if 'default' in p:
        s = {'allOf': [s], 'default': p['default']} if '$ref' in s else dict(s, default=p['default'])
    return s


def gen_openrpc(c):
    schemas = {}
    for n, t in c.types.items():
        if 'enum' in t:
            schemas[n] = {'description': t['description'], 'type': 'string', 'enum': t['enum']}
            continue
        props = {}
        for f in t.get('fields', []):
            s = schema_ref(c, f['type'], f.get('nullable'))
            s = {'allOf': [s]} if '$ref' in s else dict(s)
            s['description'] = f['description'] + (' (%s)' % f['unit'] if 'unit' in f else '')
            props[f['name']] = s
        schemas[n] = {'description': t['description'], 'type': 'object', 'properties': props,
                      'required': [f['name'] for f in t.get('fields', []) if not f.get('optional')],
                      'additionalProperties': schema_ref(c, t['others']) if 'others' in t else True}
    methods = []
    for m in c.methods:
        methods.append({'name': m['name'], 'summary': m['summary'], 'description': m['description'], 'paramStructure': 'by-name',
                        'params': [dict({'name': p['name'], 'description': p['description'], 'required': bool(p.get('required')),
                                         'schema': param_schema(c, p)}, **({'x-access': 'change'} if 'access' in p else {})) for p in m['params']],
                        'result': {'name': ident(m['name']) + '_result', 'schema': schema_ref(c, m['result'])},
                        'errors': [{'$ref': '#/components/errors/' + e} for e in m['errors']], 'x-access': m['access']})
    doc = {'openrpc': '1.2.6',
           'info': {'title': 'pktaid', 'version': c.version, 'license': {'name': 'Apache-2.0'},
                    'description': 'JSON-RPC 2.0 over a UNIX socket, one JSON text a line, parameters by name. Results may hold more members than are named here.'},
           'methods': methods,
           'components': {'schemas': schemas,
                          'errors': {e['name']: {'code': e['code'], 'message': e['text']} for e in c.errors}}}
    return json.dumps(doc, ensure_ascii=False, separators=(',', ':'))


def gen_markdown(c):
    o = ['# The methods of pktaid', '',
         'JSON-RPC 2.0 on a UNIX socket, one JSON text a line. Made from the contract in proto/; `rpc.discover` serves the same as an OpenRPC document.', '']
    for m in c.methods:
        o += ['## ' + m['name'], '', m['description'], '', 'Needs the right to %s. Returns `%s`.%s' % (
            m['access'], m['result'], ' Command: `pktctl %s`.' % m['cli']['command'] if 'cli' in m else ''), '']
        if m['params']:
            o += ['| parameter | accepts | default | what |', '| --- | --- | --- | --- |']
            for p in m['params']:
                d = 'required' if p.get('required') else '`%s`' % json.dumps(p['default']) if 'default' in p else ''
                o.append('| `%s` | %s | %s | %s |' % (p['name'], c.accepts(p).replace('|', '\\|'), d, p['description'].replace('|', '\\|')))
            o.append('')
        if m['errors']:
            o += ['Errors: ' + ', '.join('`%s`' % e for e in m['errors']) + '.', '']
    o += ['# Types', '']
    for n, t in c.types.items():
        o += ['## ' + n, '', t['description'], '']
        if 'enum' in t:
            o += ['One of ' + ', '.join('`%s`' % v for v in t['enum']) + '.', '']
            continue
        if t.get('fields'):
            o += ['| field | type | unit | what |', '| --- | --- | --- | --- |']
            for f in t['fields']:
                o.append('| `%s`%s | %s%s | %s | %s |' % (f['name'], ' (optional)' if f.get('optional') else '', f['type'], ' or null' if f.get('nullable') else '',
                                                          f.get('unit', ''), f['description'].replace('|', '\\|')))
            o.append('')
        if 'others' in t:
            o += ['Others by name: %s.' % t['others'], '']
    o += ['# Errors', '', '| code | name | what |', '| --- | --- | --- |'] + ['| %d | %s | %s |' % (e['code'], e['name'], e['text']) for e in c.errors] + ['']
    return '\n'.join(o)


def generate(methods, version):
    c = Contract(methods, version)
    openrpc = gen_openrpc(c)
    bash = gen_bash(c)
    return {'proto_methods.h': gen_methods_h(c), 'proto_tables.c': gen_tables(c, openrpc), 'proto_dispatch.c': gen_dispatch(c),
            'proto_commands.h': gen_commands_h(c), 'proto_commands.c': gen_commands(c, bash), 'openrpc.json': openrpc + '\n',
            'pktctl.1': gen_man(c), 'pktctl.bash': bash, 'methods.md': gen_markdown(c)}


def main():
    ap = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    ap.add_argument('--out', required=True, help='folder to write to')
    ap.add_argument('--version', default='0', help='version of the project')
    ap.add_argument('methods', nargs='+', help='methods/*.json')
    a = ap.parse_args()
    try:
        files = generate(a.methods, a.version)
    except ContractError as x:
        print('gen.py: %s' % x, file=sys.stderr)
        return 1
    assert set(files) == set(OUTPUTS)
    for name, text in files.items():
        with open(os.path.join(a.out, name), 'w', encoding='utf-8') as f:
            f.write(text)
    return 0


if __name__ == '__main__':
    sys.exit(main())
