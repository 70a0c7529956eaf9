#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds TCP reassembly against reference captures whose streams other tools have put together: each
direction's bytes and their hash where the capture holds all of them; where it does not, the distinct
bytes and the holes between them. What the applications themselves wrote decides where it is known.

    test_oracle.py STREAMS_OF [--captures FOLDER] [-v]
Skips (77) where there are no captures. Captures whose frames were cut by a snap length are left out,
as are malformed ones: the tools differ on what a stream of such segments is.
"""
import argparse
import collections
import glob
import hashlib
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
EMPTY = hashlib.sha256(b"").hexdigest()
BATCH = 40
# Streams where the truth says something else than we mean, and why we keep to what we say.
EXEMPT = {
    # its IP fragments contradict each other; who wins is a policy (PITFALLS.md, 18)
    ("frag/zeek-fragmented-4.pcap", 1),
    # in an sFlow report, which quotes sampled headers: no packet of this connection is there
    ("tcp-reassembly/pcpp-tcp-reassembly.pcap", 1),
    # the payload of a RST, which is no part of the stream (RFC 9293, 3.5.3: diagnostic text)
    ("tcp-reassembly/suri-tcp-rst-unacked-stream-03-gap.pcap", 0),
    # a segment that the capture had missed comes again 230 ms after its acknowledgement, when the gap has
    # been declared
    ("tcp-reassembly/suri-TLPW1-tcp-110.37.219.134-10.12.14.101-tcp-990-49254.pcap", 0),
    # frames shorter than their IP headers say, by no snap length, which no receiver takes; and segments
    # that contradict each other
    ("tcp-reassembly/zeek-reassembly.pcap", 0),
}


def references(folder):
    out = []
    for truth in sorted(glob.glob(os.path.join(folder, "truth", "*", "*.json"))):
        rel = os.path.relpath(truth, os.path.join(folder, "truth"))[:-len(".json")]
        path = os.path.join(folder, rel)
        if rel.endswith(".app") or not os.path.exists(path):
            continue
        with open(truth) as f:
            data = json.load(f)
        with open(path, "rb") as f:
            if hashlib.sha256(f.read()).hexdigest() != data["sha256"]:
                sys.exit(rel + ": the capture is not the one that the truth was made from")
        app = {}
        if os.path.exists(truth[:-len(".json")] + ".app.json"):
            with open(truth[:-len(".json")] + ".app.json") as f:
                app = json.load(f)
        out.append((rel, path, data, app))
    return out


def rows_of(data):
    follow = data.get("follow") or {}
    names = follow.get("columns", "").split(",")
    return [dict(zip(names, row)) for row in follow.get("list", [])]


def streams_of(program, paths):
    out = collections.defaultdict(lambda: collections.defaultdict(collections.deque))
    for i in range(0, len(paths), BATCH):
        text = subprocess.run([program] + paths[i:i + BATCH], stdout=subprocess.PIPE, text=True, check=False).stdout
        for line in text.splitlines():
            s = json.loads(line)
            out[s["file"]][(*s["a"], *s["b"])].append(s)
    return out


def written(app):
    """What applications wrote: (ip, port, ip, port) of a direction -> [(bytes, sha256)]."""
    out = collections.defaultdict(list)
    for c in app.get("connections", []):
        if "c2s_sha256" in c:
            client, server = (c["client"], c["cport"]), (c["server"], c["sport"])
            out[client + server].append((c["c2s"], c["c2s_sha256"]))
            out[server + client].append((c["s2c"], c["s2c_sha256"]))
    return out


class Tally:
    def __init__(self):
        self.compared = collections.Counter()
        self.failed = []

    def direction(self, where, got, row, way, app):
        truth = {k: row[k + "_" + way] for k in ("delivered", "missing", "sha256_16", "unique", "holes")}
        a, b = (row["a_ip"], row["a_port"]), (row["b_ip"], row["b_port"])
        logged = app.get(a + b if way == "ab" else b + a, [])
        # "holes" lie between bytes that were seen; one between SYN and the first byte is such a hole too.
        if truth["holes"] or truth["missing"] or got["leading"]:
            self.compared["directions with holes"] += 1
            want = (truth["unique"], truth["holes"])
            have = (got["bytes"], got["holes"])
        elif len(logged) == 1 and logged[0][0] == truth["unique"]:
            self.compared["directions by the application's log"] += 1
            want = logged[0]
            have = (got["bytes"], got["sha256"] or EMPTY)
        else:
            self.compared["directions without holes"] += 1
            want = (truth["delivered"], truth["sha256_16"])
            have = (got["bytes"], got["sha256"][:16])
        if want != have:
            self.failed.append("%s %s: want %s, have %s (truth %s, ours %s)" % (where, way, want, have, truth, got))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--captures", default=os.environ.get("PKTAI_CAPTURES")
                        or os.path.join(HERE, "..", "..", "..", "..", "shared", "captures"))
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    if not os.path.isdir(os.path.join(args.captures, "truth")):
        print("skipped: no reference captures at " + args.captures)
        return 77
    refs = [r for r in references(args.captures) if rows_of(r[2])]
    whole = [r for r in refs if not r[2]["frames"]["truncated"] and not r[0].startswith("malformed/")]
    left_out = len(refs) - len(whole)
    refs = whole
    streams = streams_of(args.program, [r[1] for r in refs])
    tally, count, exempt = Tally(), 0, 0
    for rel, path, data, app in refs:
        logged = written(app)
        for row in rows_of(data):
            where = "%s stream %s %s:%s-%s:%s" % (rel, row["stream"], row["a_ip"], row["a_port"], row["b_ip"],
                                                  row["b_port"])
            if (rel, row["stream"]) in EXEMPT:
                exempt += 1
                continue
            found = streams[path].get((row["a_ip"], row["a_port"], row["b_ip"], row["b_port"]))
            if not found:
                tally.failed.append(where + ": not found")
                continue
            s = found.popleft()
            count += 1
            for way in ("ab", "ba"):
                tally.direction(where, s[way], row, way, logged)
    for line in tally.failed[:None if args.v else 20]:
        print(line)
    print("%d streams compared, of %d captures: %s; %d differ, %d exempt; %d captures with cut or malformed frames left out"
          % (count, len(refs), ", ".join("%d %s" % (n, k) for k, n in sorted(tally.compared.items())),
             len(tally.failed), exempt, left_out))
    return 1 if tally.failed or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
