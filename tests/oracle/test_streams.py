#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the TCP streams that pktaid saves (capture.start with follow_to) against reference captures whose
streams other tools have put together: for each direction the bytes and their hash where the capture
holds all of them; where it does not, the distinct bytes and how many are missing between them. What
the applications themselves wrote decides where it is known. One daemon for each number of workers
reads all captures; the files that it saves must be the same for one, two and three.

    test_streams.py [--captures FOLDER] [--workers N]... [-v]
Skips (77) where there are no captures. Which captures and streams are left out, and why, says the test of
the stage alone (tests/unit/reassembly/test_oracle.py).
"""
import argparse
import collections
import hashlib
import importlib.util
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
import daemon  # noqa: E402

spec = importlib.util.spec_from_file_location(
    "stage", os.path.join(HERE, "..", "unit", "reassembly", "test_oracle.py"))
stage = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stage)

# The whole capture is one window, whatever the tunnel.
CONFIG = """
flow:
    key: {vlan: false, tunnel: false}
    timeouts: {tcp_new: 30d, tcp_established: 30d, tcp_closed: 30d, active: 0}
stream: {bytes: 256MiB}
"""
# Where a flow is something else than the truth's stream.
SPLIT = "tcp-reassembly/suri-split-handshake-5whs.pcap"
EXEMPT = stage.EXEMPT | {
    # one connection: the server acknowledges the SYN before it sends its own, where tshark begins another
    # stream
    (SPLIT, 0), (SPLIT, 1),
}


class Half:
    """What one side of a flow sent."""

    def __init__(self, path):
        self.data = b""
        if os.path.exists(path):
            with open(path, "rb") as f:
                self.data = f.read()
        self.bytes, self.sha256 = len(self.data), hashlib.sha256(self.data).hexdigest()
        self.gap_bytes = 0

    def __repr__(self):
        return "%d bytes, %d missing, sha256 %s" % (self.bytes, self.gap_bytes, self.sha256[:16])


class Flow:
    def __init__(self, event, folder):
        src, dst = (event["src_ip"], event["src_port"]), (event["dest_ip"], event["dest_port"])
        stream = event["pktai"].get("stream", {})
        self.id, self.start, self.a, self.b = event["flow_id"], event["flow"]["start"], src, dst
        self.saved = []
        self.half = {}
        for x, y, way in ((src, dst, "toserver"), (dst, src, "toclient")):
            name = "%d_%s_%d_%s_%d" % (self.id, *x, *y)
            self.half[x + y] = half = Half(os.path.join(folder, name))
            half.gap_bytes = stream.get("gap_bytes_" + way, 0)
            if half.bytes:
                self.saved.append((name, half.sha256))
            daemon.equal(half.bytes, stream.get("bytes_delivered_" + way, 0),
                         "%s: bytes saved, and delivered by the flow's record" % name)


def read_all(refs, workers):
    """-> {rel: [Flow]}, in the order in which they began"""
    flows = {}
    top = daemon.temporary()
    events = os.path.join(top, "eve.json")
    try:
        with daemon.Daemon("--events", events, workers=workers, config=CONFIG) as d:
            c = d.client()
            for i, (rel, path, _, _) in enumerate(refs):
                name = "r%d" % i
                os.mkdir(os.path.join(top, name))
                c.call("capture.start", source="pcap:" + path, name=name, follow_to=os.path.join(top, name))
                daemon.wait_until(lambda: ended(c, name), rel + " is read", 60, step=0.003)
                saved = c.call("capture.list", name=name)["captures"][0]["streams_saved"]
                daemon.equal((saved["bytes_lost"], saved["error"]), (0, None), rel + ": streams saved")
                daemon.equal(saved["files"], len(os.listdir(os.path.join(top, name))), rel + ": files")
                c.call("capture.stop", name=name)
            daemon.equal(d.stop(), 0, "exit code of the daemon")
        by_name = collections.defaultdict(list)
        with open(events) as f:
            for line in f:
                e = json.loads(line)
                if e["event_type"] == "flow" and e["proto"] == "TCP":
                    by_name[e["pktai"]["capture"]].append(e)
        for i, (rel, _, _, _) in enumerate(refs):
            folder = os.path.join(top, "r%d" % i)
            flows[rel] = sorted((Flow(e, folder) for e in by_name["r%d" % i]), key=lambda f: (f.start, f.id))
            daemon.equal(sorted(n for f in flows[rel] for n, _ in f.saved), sorted(os.listdir(folder)),
                         rel + ": files saved, and flows whose records tell of bytes")
    finally:
        daemon.shutil.rmtree(top, ignore_errors=True)
    return flows


def ended(client, name):
    c = client.call("capture.list", name=name)["captures"][0]
    daemon.check(c["state"] != "failed", "%s: %s", name, c["reason"])
    return c if c["state"] == "finished" else None


class Tally(collections.Counter):
    def direction(self, where, got, truth, logged):
        """Returns what is wrong, or None. truth: delivered, missing, sha256_16, unique, holes of the row."""
        if truth["holes"] or truth["missing"] or got.gap_bytes:
            self["directions with holes"] += 1
            # Ours count those before the first and behind the last byte as well.
            if got.bytes == truth["unique"] and got.gap_bytes >= truth["holes"]:
                self["of them with the same holes"] += got.gap_bytes == truth["holes"]
                return None
            return "%s: want %s in %s, have %s" % (where, truth["unique"], truth["holes"], got)
        if len(logged) == 1 and logged[0][0] == truth["unique"]:
            self["directions by the application's log"] += 1
            want = logged[0]
        else:
            self["directions without holes"] += 1
            want = (truth["delivered"], truth["sha256_16"])
        have = (got.bytes, got.sha256[:len(want[1])])
        return None if have == tuple(want) else "%s: want %s, have %s" % (where, want, got)


def compare(refs, flows, verbose):
    tally, failed, count = Tally(), [], 0
    for rel, _, data, app in refs:
        written, found = stage.written(app), collections.defaultdict(collections.deque)
        for f in flows[rel]:
            found[frozenset((f.a, f.b))].append(f)
        for row in stage.rows_of(data):
            a, b = (row["a_ip"], row["a_port"]), (row["b_ip"], row["b_port"])
            where = "%s stream %s %s:%s-%s:%s" % (rel, row["stream"], *a, *b)
            if (rel, row["stream"]) in EXEMPT:
                tally["exempt"] += 1
                continue
            if not found[frozenset((a, b))]:
                failed.append(where + ": not found")
                continue
            flow = found[frozenset((a, b))].popleft()
            count += 1
            for way, x in (("ab", a + b), ("ba", b + a)):
                truth = {k: row[k + "_" + way] for k in ("delivered", "missing", "sha256_16", "unique", "holes")}
                failed += filter(None, [tally.direction(where + " " + way, flow.half[x], truth, written.get(x, []))])
    for line in failed[:None if verbose else 20]:
        print(line)
    return count, tally, len(failed)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", default=os.environ.get("PKTAI_CAPTURES")
                        or os.path.join(daemon.ROOT, "..", "shared", "captures"))
    parser.add_argument("--workers", type=int, action="append")
    parser.add_argument("-v", action="store_true")
    args = parser.parse_args()
    if not os.path.isdir(os.path.join(args.captures, "truth")):
        print("skipped: no reference captures at " + args.captures)
        return daemon.SKIP
    refs = [r for r in stage.references(args.captures) if stage.rows_of(r[2])]
    refs = [r for r in refs if not r[2]["frames"]["truncated"] and not r[0].startswith("malformed/")]
    failures, first = 0, None
    for n in args.workers or [1, 2, 3]:
        flows = read_all(refs, n)
        count, tally, failed = compare(refs, flows, args.v)
        print("%d workers: %d streams compared, of %d captures: %s; %d differ" % (
            n, count, len(refs), ", ".join("%d %s" % (v, k) for k, v in sorted(tally.items())), failed))
        failures += failed + (count == 0)
        saved = {rel: sorted(s for f in fs for s in f.saved) for rel, fs in flows.items()}
        first = first or saved
        for rel in refs:
            if saved[rel[0]] != first[rel[0]]:
                print("%s: files differ from those of the first run" % rel[0])
                failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
