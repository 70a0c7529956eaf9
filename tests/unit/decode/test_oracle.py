#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decodes the reference captures and compares with what tshark said of them.

test_oracle.py DECODE_FILE SOURCE_ROOT CAPTURES

Protocol counters (packets and bytes) and the flows of the outermost and innermost IP headers must be
equal on every capture without fragments, cut frames or deliberate malformation. PKTAI_CAPTURES or
CAPTURES names the folder of captures, ../shared/captures beside the source root is the default;
exit 77 where there is none.
"""
import collections
import glob
import hashlib
import json
import os
import subprocess
import sys

NAMES = {'eth': 'ethernet', 'vlan': 'vlan', 'arp': 'arp', 'ip': 'ipv4', 'ipv6': 'ipv6',
         'icmp': 'icmp', 'icmpv6': 'icmpv6', 'tcp': 'tcp', 'udp': 'udp', 'igmp': 'igmp',
         'gre': 'gre', 'vxlan': 'vxlan', 'geneve': 'geneve', 'teredo': 'teredo', 'erspan': 'erspan',
         'mpls': 'mpls', 'llc': 'llc', 'pppoes': 'pppoes', 'pppoed': 'pppoed', 'ppp': 'ppp',
         'ipv6.hopopts': 'ipv6.hopopts', 'sctp': 'sctp'}

# Where the truth rests on something other than the definitions: the reason beside each.
EXEMPT_FLOWS = {
    'l2l3/pcpp-ipv4-options.pcap': "tshark takes a source route's last address for the destination",
    'tcp-reassembly/pcpp-tcp-reassembly.pcap': 'frame 66 is sFlow: tshark goes on into the sample',
}
BY_DEFINITION = {  # instead of the truth's figure
    'tcp-reassembly/pcpp-tcp-reassembly.pcap': {'tcp': [65, 43724]},  # without the same sample
}


def flows_digest(frames, which):
    """The truth's digest: flows in both directions, a = the sender of the first frame."""
    flows = {}
    for frame in frames:
        if len(frame) == 1:
            continue
        size, (proto, src, sport, dst, dport) = frame[0], frame[which]
        key = (proto,) + tuple(sorted(((src, sport), (dst, dport))))
        row = flows.setdefault(key, [proto, src, sport, dst, dport, 0, 0, 0, 0])
        way = 5 if (src, sport) == (row[1], row[2]) else 7
        row[way] += 1
        row[way + 1] += size
    lines = sorted('%d %s %d %s %d %d %d %d %d' % tuple(r) for r in flows.values())
    return len(flows), hashlib.sha256('\n'.join(lines).encode()).hexdigest()


def differences(capture, truth, got):
    out = []
    if len(got['frames']) != truth['frames']['count']:
        out.append('%d frames, truth %d' % (len(got['frames']), truth['frames']['count']))
    for theirs, ours in NAMES.items():
        want = BY_DEFINITION.get(capture, {}).get(theirs, truth['protocols'].get(theirs, [0, 0]))
        have = got['protocols'].get(ours, [0, 0])
        if ours == 'vxlan':  # tshark has one name for both
            have = [a + b for a, b in zip(have, got['protocols'].get('vxlan-gpe', [0, 0]))]
        if want != have:
            out.append('%s: %s, truth %s' % (ours, have, want))
    if capture in EXEMPT_FLOWS:
        return out
    inner = truth['flows_inner'] if isinstance(truth['flows_inner'], dict) else truth['flows_outer']
    for name, which, want in (('outer', 1, truth['flows_outer']), ('inner', 2, inner)):
        count, digest = flows_digest(got['frames'], which)
        if digest != want['sha256']:
            out.append('%s flows differ: %d, truth %d' % (name, count, want['count']))
    return out


def main():
    program, root, option = sys.argv[1:4]
    base = os.environ.get('PKTAI_CAPTURES') or option or os.path.join(root, '../shared/captures')
    truths = sorted(glob.glob(os.path.join(base, 'truth', '*', '*.json')))
    if not truths:
        print('no reference captures in %s: nothing compared' % base)
        return 77
    tally = collections.Counter()
    failed = False
    for path in truths:
        capture = os.path.relpath(path, os.path.join(base, 'truth'))[:-5]
        source = os.path.join(base, capture)
        if path.endswith('.app.json') or not os.path.exists(source):
            continue
        with open(path) as f:
            truth = json.load(f)
        with open(source, 'rb') as f:
            if hashlib.sha256(f.read()).hexdigest() != truth['sha256']:
                tally['not the capture of the truth'] += 1
                continue
        run = subprocess.run([program, source], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if run.returncode == 77:
            tally['refused by libpcap'] += 1
            continue
        if run.returncode != 0:
            print('%s: exit %d: %s' % (capture, run.returncode, run.stderr.decode()))
            failed = True
            continue
        got = json.loads(run.stdout)
        if truth['fragments'] or truth['frames']['truncated'] or capture.startswith('malformed/'):
            # what tshark makes of these is its own choice; each frame must be decoded all the same
            tally['decoded only'] += 1
            if len(got['frames']) != truth['frames']['count']:
                print('%s: %d frames, truth %d' % (
                    capture, len(got['frames']), truth['frames']['count']))
                failed = True
            continue
        found = differences(capture, truth, got)
        tally['differ' if found else 'equal'] += 1
        for line in found:
            print('%s: %s' % (capture, line))
    print(', '.join('%s %d' % x for x in sorted(tally.items())))
    return 1 if failed or tally['differ'] or not tally['equal'] else 0


sys.exit(main())
