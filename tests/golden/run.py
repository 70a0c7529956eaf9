#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden results: what pktaid says of the captures in tests/data, kept beside this file and reviewed
as diffs.

    run.py [NAME...]             compares, with 1, 2 and 3 workers; says field by field what differs
    run.py --update [NAME...]    writes what pktaid says now
NAME is a file of tests/data; without one, all. What changes from run to run (hashes over names,
rates, uptime, which worker had a flow) is left out; numbers with a fraction are kept to six digits.
"""
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
import daemon  # noqa: E402

# Of no interest, or another value in each run.
VOLATILE = {"flow_id", "worker", "uptime", "source", "queues", "packets_per_second", "bits_per_second"}
STATS = ("captures", "protocols", "malformed", "reassembly")
CONFIG = {
    # parts and ends at times that the frames were made for, whatever the defaults become
    "tcp-ends.pcap": "flow:\n  timeouts:\n    tcp_new: 30\n    tcp_established: 300\n    tcp_closed: 10\n"
                     "    udp: 60\n    icmp: 30\n    other: 60\n    active: 1800\n",
}


def stable(value):
    if isinstance(value, dict):
        return {k: stable(v) for k, v in value.items() if k not in VOLATILE}
    if isinstance(value, list):
        return [stable(v) for v in value]
    if isinstance(value, float):
        return float("%.6g" % value)
    return value


def stable_stats(event):
    p = event["pktai"]
    out = {k: stable(p[k]) for k in STATS}
    # a protocol that no frame has is no news; nor is the order of the table
    out["protocols"] = sorted((q for q in out["protocols"] if q["packets"]), key=lambda q: q["name"])
    out["malformed"] = {k: v for k, v in out["malformed"].items() if v}
    # the most at a time is a sum over workers, each of which had its own time
    out["reassembly"] = {s: {k: v for k, v in out["reassembly"][s].items() if v and not k.endswith("_peak")}
                         for s in out["reassembly"]}
    return {"event_type": "stats", "pktai": out}


def order(record):
    return (record["event_type"], record.get("flow", {}).get("start", record.get("timestamp", "")),
            json.dumps(record, sort_keys=True))


def results(name, workers):
    """-> the stable records of a run, sorted"""
    run = daemon.Batch(os.path.join(daemon.DATA, name), workers=workers, config=CONFIG.get(name))
    daemon.equal(run.code, 0, name + ": exit code (stderr: %s)" % run.stderr[-500:])
    flows = run.of_type("flow")
    seen = {(e["flow_id"], e["pktai"]["part_no"]) for e in flows}
    daemon.equal(len(seen), len(flows), name + ": flows with an id and part number of their own")
    for e in run.events:
        for text in (e["timestamp"], e.get("flow", {}).get("start", ""), e.get("flow", {}).get("end", "")):
            daemon.check(not text or len(text) == 34 and text.endswith("+0000"), "%s: time is %r", name, text)
        if e["event_type"] == "flow":
            daemon.check(e["flow"]["start"] <= e["flow"]["end"], "%s: a flow ends before it starts: %r", name, e)
    run.stats()
    records = [stable(e) for e in run.events if e["event_type"] != "stats"] + [stable_stats(run.events[-1])]
    return sorted(records, key=order)


def title(record):
    words = [record["event_type"]]
    if "src_ip" in record:
        words.append("%s %s:%s -> %s:%s" % (record.get("proto", ""), record["src_ip"], record.get("src_port", ""),
                                           record["dest_ip"], record.get("dest_port", "")))
    words.append(record.get("flow", {}).get("start", record.get("timestamp", "")))
    return " ".join(w for w in words if w)


def fields(value, path=""):
    if isinstance(value, dict):
        for k in value:
            yield from fields(value[k], path + "." + k if path else k)
    elif isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
        for i, v in enumerate(value):
            # rows of tables go by their name, so that one more row is one difference
            yield from fields(v, "%s[%s]" % (path, v.get("name", i) if isinstance(v, dict) else i))
    else:
        yield path, value


def differences(want, got):
    """Field by field, records paired by what they are about."""
    def table(records):
        out = {}
        for r in records:
            t, n = title(r), 2
            while t in out:
                t, n = "%s (%d)" % (title(r), n), n + 1
            out[t] = dict(fields(r))
        return out
    w, g = table(want), table(got)
    for t in sorted(set(w) | set(g)):
        if t not in g:
            yield "- " + t
        elif t not in w:
            yield "+ " + t
        else:
            for path in sorted(set(w[t]) | set(g[t])):
                if w[t].get(path) != g[t].get(path):
                    yield "  %s: %s: golden %s, now %s" % (t, path, json.dumps(w[t].get(path)), json.dumps(g[t].get(path)))


def golden_path(name):
    return os.path.join(HERE, name + ".json")


def text_of(records):
    return json.dumps(records, indent=1, sort_keys=True) + "\n"


def compare(name):
    """-> number of differences"""
    if not os.path.exists(golden_path(name)):
        print("%s: no golden result; write it with: run.py --update %s" % (name, name))
        return 1
    with open(golden_path(name)) as f:
        want = json.load(f)
    bad = 0
    for workers in (1, 2, 3):
        lines = list(differences(want, results(name, workers)))
        for line in lines[:60]:
            print("%s, %d workers: %s" % (name, workers, line))
        if len(lines) > 60:
            print("%s, %d workers: and %d more" % (name, workers, len(lines) - 60))
        bad += len(lines)
    return bad


def malformed_as_expected():
    """Each hand-made frame of malformed.pcap gets the names that it was made for, and no others."""
    bad = 0
    for verify in (False, True):
        want = {}
        with open(os.path.join(daemon.DATA, "malformed.expected")) as f:
            for line in f:
                if not line.startswith("#"):
                    number, *names = line.split()
                    want[int(number)] = sorted(n.lstrip("!") for n in names if verify or not n.startswith("!"))
        run = daemon.Batch(os.path.join(daemon.DATA, "malformed.pcap"),
                           config="decode:\n  checksum: %s\n" % ("verify" if verify else "ignore"))
        daemon.equal(run.code, 0, "malformed.pcap: exit code, " + run.stderr[-500:])
        got = {n: [] for n in want}
        for e in run.of_type("anomaly"):
            got.setdefault(e["pcap_cnt"], []).append(e["anomaly"]["event"])
        for n in sorted(got):
            if sorted(got[n]) != want.get(n, []):
                bad += 1
                print("malformed.pcap%s: frame %d: got %s, want %s" % (
                    ", checksums verified" if verify else "", n, " ".join(sorted(got[n])) or "nothing",
                    " ".join(want.get(n, [])) or "nothing"))
        counts = {}
        for names in want.values():
            for n in names:
                counts[n] = counts.get(n, 0) + 1
        shown = {k: v for k, v in run.stats()["pktai"]["malformed"].items() if v}
        if shown != counts:
            bad += 1
            print("malformed.pcap: stats count %r, the frames hold %r" % (shown, counts))
    return bad


def main():
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    if not os.path.exists(daemon.PKTAID):
        print("skipped: no pktaid at %s (set PKTAID)" % daemon.PKTAID)
        return daemon.SKIP
    all_names = sorted(n for n in os.listdir(daemon.DATA) if n.endswith((".pcap", ".pcapng")))
    if "--update" in sys.argv:
        for name in names or all_names:
            text = text_of(results(name, 1))
            with open(golden_path(name), "w") as f:
                f.write(text)
        return 0
    bad = sum(compare(n) for n in names or all_names)
    if not names or "malformed.pcap" in names:
        bad += malformed_as_expected()
    print("%d captures, %d differences" % (len(names or all_names), bad))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
