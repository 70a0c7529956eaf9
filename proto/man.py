#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a man page (roff) from data, so that pages and --help come from the same tables.

man.py SPEC.json OUT [--version V]

SPEC: {"name", "section", "summary", "synopsis": [line...], "sections": [SECTION...], "see_also": ["x(8)"...]}
SECTION: {"title", "text": [paragraph...], "options": [{"flags", "value", "text"}...], "parts": [SECTION...],
"code": [line...]}; all but the title may be left out. In texts `this` is set in bold.
"""
import json
import re
import sys


def escape(s):
    s = s.replace('\\', '\\e').replace('-', '\\-').replace('^', '\\(ha').replace('~', '\\(ti').replace('…', '...').replace('’', "'")
    s = re.sub(r'`([^`]*)`', r'\\fB\1\\fR', s)
    return '\\&' + s if s[:1] in ".'" else s


def quote(s):
    return '"%s"' % escape(s).replace('"', '\\(dq')


def section(s, macro):
    o = ['.%s %s' % (macro, quote(s['title']))]
    for i, p in enumerate(s.get('text', [])):
        o += (['.PP'] if i else []) + [escape(p)]
    for row in s.get('options', []):
        flags = ', '.join('\\fB%s\\fR' % escape(f) for f in row['flags'].split(', ')) if row['flags'] else ''
        value = '\\fI%s\\fR' % escape(row['value']) if row.get('value') else ''
        o += ['.TP', ' '.join(filter(None, [flags, value])), escape(row['text'])]
    if s.get('code'):
        o += ['.PP', '.nf', '.RS'] + [escape(x) for x in s['code']] + ['.RE', '.fi']
    for p in s.get('parts', []):
        o += section(p, 'SS')
    return o


def page(spec):
    name = spec['name']
    o = ['.\\" SPDX-License-Identifier: Apache-2.0', '.\\" made from tables; edit those',
         '.TH %s %d "" %s' % (name.upper(), spec['section'], quote('%s %s' % (name, spec.get('version', '')))),
         '.SH NAME', '%s \\- %s' % (name, escape(spec['summary'])), '.SH SYNOPSIS', '.nf']
    o += ['\\fB%s\\fR' % escape(x) for x in spec.get('synopsis', [])] + ['.fi']
    for s in spec.get('sections', []):
        o += section(s, 'SH')
    if spec.get('see_also'):
        o += ['.SH "SEE ALSO"', ', '.join(re.sub(r'^(.*)\((\d)\)$', r'\\fB\1\\fR(\2)', escape(x)) for x in spec['see_also'])]
    return '\n'.join(o) + '\n'


def main():
    args = [a for a in sys.argv[1:] if not a.startswith('--')]
    if len(args) < 2:
        print('usage: man.py SPEC.json OUT [--version V]', file=sys.stderr)
        return 1
    with open(args[0], encoding='utf-8') as f:
        spec = json.load(f)
    if '--version' in sys.argv[:-1]:
        spec['version'] = sys.argv[sys.argv.index('--version') + 1]
    with open(args[1], 'w', encoding='utf-8') as f:
        f.write(page(spec))
    return 0


if __name__ == '__main__':
    sys.exit(main())
