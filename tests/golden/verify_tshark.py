#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds what pktaid says of tests/data/sample.pcap (and its siblings) against tshark, so that the
golden results are not just what we said ourselves: frames and bytes, protocols, the flows of every
IP layer with packets, bytes, first and last time, TCP flags each way, and how many TCP connections
there are. Skips where there is no tshark.

Fragments belong to the flow of the datagram that they complete, and protocols above a fragmented IP
header count on the frame that completes it: tshark tells which one that is.
"""
import collections
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
import daemon  # noqa: E402

FILES = ["sample.pcap", "link-raw.pcap", "link-null.pcap", "link-loop.pcap", "link-sll.pcap", "link-sll2.pcap",
         "snapped.pcap"]
FIELDS = ["frame.number", "frame.len", "frame.time_epoch", "frame.protocols", "ip.src", "ip.dst", "ip.proto",
          "ip.flags.mf", "ip.frag_offset", "ip.reassembled_in", "ipv6.src", "ipv6.dst", "ipv6.fraghdr.nxt",
          "ipv6.reassembled.in", "tcp.srcport", "tcp.dstport", "tcp.flags", "udp.srcport", "udp.dstport", "tcp.stream"]
PROTOCOLS = {"eth": "ethernet", "arp": "arp", "ip": "ipv4", "ipv6": "ipv6", "icmp": "icmp", "icmpv6": "icmpv6",
             "igmp": "igmp", "tcp": "tcp", "udp": "udp", "gre": "gre", "vxlan": "vxlan", "sll": "sll"}
NUMBERS = {"tcp": "TCP", "udp": "UDP", "icmp": "ICMP", "icmpv6": "IPv6-ICMP", "igmp": "IGMP", "gre": "GRE"}
BY_NUMBER = {"1": "ICMP", "2": "IGMP", "6": "TCP", "17": "UDP", "41": "IPv6", "47": "GRE", "58": "IPv6-ICMP"}


def frames(path):
    words = ["tshark", "-n", "-2", "-r", path, "-T", "fields", "-E", "separator=|", "-E", "occurrence=a",
             "-E", "aggregator=,"]
    for f in FIELDS:
        words += ["-e", f]
    out = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()
    for line in out.splitlines():
        yield dict(zip(FIELDS, (v.split(",") if v else [] for v in line.split("|"))))


def true(text):
    return text in ("1", "True", "true")


class Tshark:
    def __init__(self, path):
        self.count = self.bytes = 0
        self.protocols = collections.Counter()
        self.flows = {}  # (proto, ends) -> [first, last, {sender: [packets, bytes, TCP flags]}]
        self.streams = set()
        rows = list(frames(path))
        # where a datagram is complete, its ports are to be seen
        self.ports = {row["frame.number"][0]: (int(row["udp.srcport"][0]), int(row["udp.dstport"][0]))
                      for row in rows if row["udp.srcport"]}
        for row in rows:
            self.frame(row)

    def frame(self, row):
        length, when = int(row["frame.len"][0]), row["frame.time_epoch"][0]
        stack = row["frame.protocols"][0].split(":")
        for stop in ("icmp", "icmpv6"):
            if stop in stack:
                stack = stack[:stack.index(stop) + 1]
        self.count += 1
        self.bytes += length
        self.streams.update(row["tcp.stream"])
        for p in {PROTOCOLS[p] for p in stack if p in PROTOCOLS}:
            self.protocols[p] += 1
        layers = [i for i, p in enumerate(stack) if p in ("ip", "ipv6")]
        take = {f: iter(row[f]) for f in FIELDS}
        for n, i in enumerate(layers):
            above = stack[i + 1:layers[n + 1] if n + 1 < len(layers) else len(stack)]
            name = stack[i]
            src, dst = next(take[name + ".src"]), next(take[name + ".dst"])
            if name == "ip":
                fragment = true(next(take["ip.flags.mf"])) or next(take["ip.frag_offset"]) != "0"
                proto = BY_NUMBER.get(next(take["ip.proto"]))
            else:
                fragment = bool(row["ipv6.fraghdr.nxt"])
                proto = BY_NUMBER.get(row["ipv6.fraghdr.nxt"][0]) if fragment else \
                    next((NUMBERS[p] for p in above if p in NUMBERS), None)
            daemon.check(proto, "frame %s: protocol above IP not known to this test", row["frame.number"][0])
            a = b = flags = 0
            if fragment and proto == "UDP":
                whole = row["ip.reassembled_in"] or row["ipv6.reassembled.in"] or row["frame.number"]
                a, b = self.ports[whole[0]]
            elif proto in ("TCP", "UDP"):
                a, b = int(next(take[proto.lower() + ".srcport"])), int(next(take[proto.lower() + ".dstport"]))
                if proto == "TCP":
                    flags = int(next(take["tcp.flags"]), 16)
            self.add((proto, frozenset(((src, a), (dst, b)))), (src, a), length, flags, when)

    def add(self, key, sender, length, flags, when):
        first, last, ways = self.flows.setdefault(key, [when, when, {}])
        way = ways.setdefault(sender, [0, 0, 0])
        way[0] += 1
        way[1] += length
        way[2] |= flags
        self.flows[key][0], self.flows[key][1] = min(first, when), max(last, when)


def ours(run):
    """The same shape from flow events: parts and reused tuples joined."""
    flows = {}
    for e in run.of_type("flow"):
        ported = e["proto"] in ("TCP", "UDP")
        a = (e["src_ip"], e.get("src_port", 0) if ported else 0)
        b = (e["dest_ip"], e.get("dest_port", 0) if ported else 0)
        f, t = e["flow"], e.get("tcp", {})
        entry = flows.setdefault((e["proto"], frozenset((a, b))), [f["start"], f["end"], {}])
        entry[0], entry[1] = min(entry[0], f["start"]), max(entry[1], f["end"])
        for sender, way, flags in ((a, "toserver", "ts"), (b, "toclient", "tc")):
            if f["pkts_" + way]:
                w = entry[2].setdefault(sender, [0, 0, 0])
                w[0] += f["pkts_" + way]
                w[1] += f["bytes_" + way]
                w[2] |= int(t.get("tcp_flags_" + flags, "0"), 16)
    return flows


def epoch(text):
    """EVE's time as tshark's frame.time_epoch"""
    import calendar
    import time
    return "%d.%s" % (calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")), text[20:29])


def verify(name):
    path = os.path.join(daemon.DATA, name)
    t = Tshark(path)
    run = daemon.Batch(path)
    daemon.equal(run.code, 0, name + ": exit code")
    capture = run.stats()["pktai"]["captures"][0]
    bad = []

    def same(what, got, want):
        if got != want:
            bad.append("%s: %s: pktaid %r, tshark %r" % (name, what, got, want))
    same("frames", capture["processed"], t.count)
    shown = {p["name"]: p["packets"] for p in run.stats()["pktai"]["protocols"]}
    for p in sorted(set(PROTOCOLS.values())):
        if not (p == "sll" and "sll2" in name):  # tshark has one name for both
            same("frames of " + p, shown.get(p, 0), t.protocols.get(p, 0))
    flows = ours(run)
    for key in sorted(set(flows) | set(t.flows), key=str):
        what = "%s %s" % (key[0], " ".join("%s:%s" % e for e in sorted(key[1])))
        if key not in flows or key not in t.flows:
            bad.append("%s: %s: %s only" % (name, what, "tshark" if key in t.flows else "pktaid"))
            continue
        same(what, flows[key][2], t.flows[key][2])
        same(what + ": first", epoch(flows[key][0]), t.flows[key][0])
        same(what + ": last", epoch(flows[key][1]), t.flows[key][1])
    same("TCP connections", len({e["flow_id"] for e in run.of_type("flow") if e["proto"] == "TCP"}), len(t.streams))
    for line in bad:
        print(line)
    return len(bad), len(t.flows)


def main():
    if shutil.which("tshark") is None:
        print("skipped: no tshark")
        return daemon.SKIP
    if not os.path.exists(daemon.PKTAID):
        print("skipped: no pktaid at %s (set PKTAID)" % daemon.PKTAID)
        return daemon.SKIP
    bad = flows = 0
    for name in FILES:
        b, n = verify(name)
        bad, flows = bad + b, flows + n
    print("%d captures, %d flows held against tshark, %d differences" % (len(FILES), flows, bad))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
