#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds pktaid against reference captures whose truth other tools have written down (TRUTH.md and
PITFALLS.md beside them say what each figure means). One daemon for each number of workers reads all
captures, asked for over its socket, while its events go to a file.

Compared, for each capture: frames and the identity; packets and bytes of each protocol; flows of the
outermost IP header and figures of the innermost one; and flow by flow that one, two and three
workers say the same; and, where python3-jsonschema and EVE's schema are at hand, that events fit it
without their "pktai" object. Captures that the truth calls truncated or malformed count in the first two
only; those with IP fragments also in the flows of the outermost header, unless tshark found the
fragments to overlap or to be wrong, where each decoder has a policy of its own.

    test_oracle.py [--captures FOLDER] [--workers N]... [--topic TOPIC] [-v]
Skips (77) where there are no captures.
"""
import argparse
import collections
import glob
import hashlib
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
import daemon  # noqa: E402

# Where the truth says something else than we mean, and why we keep to what we say.
EXEMPT = {
    # tshark takes the last address of a source route for the destination (PITFALLS.md, 30)
    "l2l3/pcpp-ipv4-options.pcap": ("flows", "protocols", "inner"),
    # frame 66 is an sFlow report: tshark goes into the sampled headers that it quotes
    "tcp-reassembly/pcpp-tcp-reassembly.pcap": ("protocols", "inner"),
    # GRE in GRE: the pair of hosts is innermost in some frames and an outer header in others, and our
    # one flow holds both
    "tunnels/pcpp-GrePackets.pcap": ("inner",),
}
NAMES = {"arp": "arp", "ip": "ipv4", "ipv6": "ipv6", "icmp": "icmp", "icmpv6": "icmpv6", "tcp": "tcp", "udp": "udp"}
NUMBERS = {"ICMP": 1, "IGMP": 2, "IPV4": 4, "IPIP": 4, "TCP": 6, "EGP": 8, "IGP": 9, "UDP": 17, "DCCP": 33, "IPV6": 41,
           "RSVP": 46, "GRE": 47, "ESP": 50, "AH": 51, "ICMPV6": 58, "IPV6-ICMP": 58, "EIGRP": 88, "OSPF": 89,
           "OSPFIGP": 89, "PIM": 103, "IPCOMP": 108, "VRRP": 112, "L2TP": 115, "SCTP": 132, "UDPLITE": 136}
WITH_PORTS = (6, 17, 132)
IPV6_FRAGMENT = 44
EVENTS_CHECKED = 200  # of each capture, against the schema


class Reference:
    """A capture and what is true of it."""

    def __init__(self, path, truth_path, rel):
        self.path, self.rel = path, rel
        with open(truth_path) as f:
            self.truth = json.load(f)
        with open(path, "rb") as f:
            if hashlib.sha256(f.read()).hexdigest() != self.truth["sha256"]:
                raise daemon.Failed(rel + ": the capture is not the one that the truth was made from")

    def well_formed(self):
        return not self.truth["frames"]["truncated"] and not self.rel.startswith("malformed/")

    def has_fragments(self):
        return bool(self.truth["fragments"])

    def has_doubtful_fragments(self):
        return any(word in key for key in self.truth["fragments"] for word in ("overlap", "error", "toolong"))


def references(folder, topic):
    out = []
    for truth in sorted(glob.glob(os.path.join(folder, "truth", "*", "*.json"))):
        rel = os.path.relpath(truth, os.path.join(folder, "truth"))[:-len(".json")]
        path = os.path.join(folder, rel)
        if os.path.exists(path) and (not topic or rel.startswith(topic + "/")):
            out.append(Reference(path, truth, rel))
    return out


class Answer:
    """What a daemon said of one capture."""

    def __init__(self, drops, protocols, reassembly):
        self.drops, self.protocols, self.reassembly = drops, protocols, reassembly
        self.flows, self.events = [], []


def ask(refs, workers):
    """-> {rel: Answer}: one daemon, the captures one after the other over its socket"""
    answers = {}
    folder = daemon.temporary()
    events = os.path.join(folder, "eve.json")
    try:
        with daemon.Daemon("--events", events, workers=workers) as d:
            c = d.client()
            for i, ref in enumerate(refs):
                name = "r%d" % i
                c.call("capture.start", source="pcap:" + ref.path, name=name)
                state = daemon.wait_until(lambda: ended(c, name), ref.rel + " is read", 60, step=0.003)
                if state["state"] != "finished":
                    print("%s: %s: %s" % (ref.rel, state["state"], state["reason"]))
                drops, = c.call("drops.get", capture=name)["captures"]
                protocols = c.call("protocols.get", capture=name)["protocols"]
                answers[ref.rel] = Answer(drops, {p["name"]: (p["packets"], p["bytes"]) for p in protocols},
                                          without_peaks(c.call("reassembly.stats", capture=name)))
                c.call("capture.stop", name=name)
            daemon.equal(d.stop(), 0, "exit code of the daemon")
        with open(events) as f:
            for line in f:
                e = json.loads(line)
                if "capture" not in e["pktai"]:
                    continue  # a stats event
                answer = answers[refs[int(e["pktai"]["capture"][1:])].rel]
                if e["event_type"] == "flow":
                    answer.flows.append(e)
                if len(answer.events) < EVENTS_CHECKED:
                    answer.events.append(e)
    finally:
        daemon.shutil.rmtree(folder, ignore_errors=True)
    return answers


def without_peaks(stats):
    """The most at a time is a sum over workers, each of which had its own time."""
    return {s: {k: v for k, v in stats[s].items() if not k.endswith("_peak")} for s in stats}


def ended(client, name):
    state, = [s for s in client.call("capture.list")["captures"] if s["name"] == name]
    return state if state["state"] in ("finished", "failed", "stopped") else None


def put(table, proto, a, b, ab, ba):
    """Adds a flow's figures under a key that is the same for both directions."""
    if a > b:
        a, b, ab, ba = b, a, ba, ab
    if a == b:  # a host that talks to itself on one port: directions cannot be told apart
        ab, ba = (ab[0] + ba[0], ab[1] + ba[1]), (0, 0)
    row = table.setdefault((proto, a, b), [0, 0, 0, 0])
    for i, n in enumerate((*ab, *ba)):
        row[i] += n


def our_flows(events, inner):
    table = {}
    for e in events:
        if e.get("tunnel") and not inner:
            continue
        f = e["flow"]
        name = str(e["proto"]).upper()
        proto = NUMBERS[name] if name in NUMBERS else int(name)
        ports = (e.get("src_port", 0), e.get("dest_port", 0)) if proto in WITH_PORTS else (0, 0)
        put(table, proto, (e["src_ip"], ports[0]), (e["dest_ip"], ports[1]), (f["pkts_toserver"], f["bytes_toserver"]),
            (f["pkts_toclient"], f["bytes_toclient"]))
    return table


def true_flows(truth):
    table = {}
    for proto, a, ap, b, bp, pab, bab, pba, bba, *_ in truth["list"]:
        put(table, proto, (a, ap), (b, bp), (pab, bab), (pba, bba))
    return table


def first_difference(got, want, only_wanted=False):
    """-> text, or None. only_wanted: what the truth does not list may be there."""
    keys = set(want) if only_wanted else set(want) | set(got)
    bad = sorted((k for k in keys if got.get(k) != want.get(k)), key=str)
    return "%d of %d flows differ, first %s: pktaid %s, truth %s" % (
        len(bad), len(keys), bad[0], got.get(bad[0]), want.get(bad[0])) if bad else None


def without_ports(table):
    """Flows without ports are one, whatever their protocol: of an IPv6 datagram that never completes the
    truth says 44, the fragment header, where pktaid says what the header names."""
    out = {}
    for (proto, a, b), row in table.items():
        put(out, proto if a[1] or b[1] else 0, a, b, row[:2], row[2:])
    return out


def frames(ref, answer):
    n = ref.truth["frames"]["count"]
    return None if answer.drops["received"] == n else "received %d, truth %d" % (answer.drops["received"], n)


def identity(ref, answer):
    daemon.identity(answer.drops)
    lost = sum(answer.drops["dropped"].values())
    n = ref.truth["frames"]["count"]
    return None if answer.drops["processed"] == n and not lost else \
        "processed %d of %d, dropped %d of a file" % (answer.drops["processed"], n, lost)


def protocols(ref, answer):
    if not ref.well_formed() or ref.has_fragments():
        return ""
    for theirs, ours in NAMES.items():
        want = tuple(ref.truth["protocols"].get(theirs, (0, 0)))
        if answer.protocols.get(ours, (0, 0)) != want:
            return "%s: %s, truth %s" % (ours, answer.protocols.get(ours), want)
    return None


def flows(ref, answer):
    if not ref.well_formed() or ref.has_doubtful_fragments():
        return ""
    outer = ref.truth["flows_outer"]
    got = our_flows(answer.flows, inner=False)
    if any(row[0] == IPV6_FRAGMENT for row in outer["list"]):
        return first_difference(without_ports(got), without_ports(true_flows(outer)))
    if len(got) != outer["count"]:
        return "%d flows, truth %d; %s" % (len(got), outer["count"],
                                           first_difference(got, true_flows(outer), outer["count"] > len(outer["list"])))
    # the list holds the 400 largest; all others are in the count
    return first_difference(got, true_flows(outer), only_wanted=outer["count"] > len(outer["list"]))


def inner(ref, answer):
    truth = ref.truth["flows_inner"]
    if not ref.well_formed() or ref.has_fragments() or isinstance(truth, str):
        return ""
    # outer layers have flows of their own here, so more keys than the truth's
    return first_difference(our_flows(answer.flows, inner=True), true_flows(truth), only_wanted=True)


def schema_validator(folder):
    """EVE's JSON schema, or None where it or the library is not there."""
    path = os.path.join(os.environ.get("PKTAI_SCHEMA") or os.path.join(folder, "..", "schema"), "eve.schema.json")
    try:
        import jsonschema
    except ImportError:
        return None
    if not os.path.exists(path):
        return None
    with open(path) as f:
        return jsonschema.Draft7Validator(json.load(f))


def fits_schema(refs, answers, validator):
    """-> events that do not fit"""
    bad = seen = 0
    for ref in refs:
        for e in answers[ref.rel].events:
            seen += 1
            error = next(validator.iter_errors({k: v for k, v in e.items() if k != "pktai"}), None)
            if error is not None:
                bad += 1
                print("%s: %s event: %s at %s" % (ref.rel, e["event_type"], error.message[:160], "/".join(map(str, error.path))))
                break
    print("schema: %d events checked, %d captures with events that do not fit" % (seen, bad))
    return bad


CHECKS = {"frames": frames, "identity": identity, "protocols": protocols, "flows": flows, "inner": inner}


def by_identity(events):
    """Flow events without what may depend on which worker had them, by id and part."""
    out = {}
    for e in events:
        pktai = {k: v for k, v in e["pktai"].items() if k != "worker"}
        out.setdefault((e["flow_id"], pktai["part_no"]), []).append({**e, "pktai": pktai})
    return out


def unlike(a, b, path=""):
    """The first field in which two records differ, with both values."""
    if isinstance(a, dict) and isinstance(b, dict):
        for k in sorted(set(a) | set(b)):
            found = unlike(a.get(k), b.get(k), path + "." + k if path else k)
            if found:
                return found
        return None
    return None if a == b else "%s: %s, %s" % (path, json.dumps(a), json.dumps(b))


def same_for_all(refs, by_workers):
    """-> captures of which different numbers of workers say different things"""
    counts = sorted(by_workers)
    bad = 0
    for ref in refs:
        first = by_workers[counts[0]][ref.rel]
        want = by_identity(first.flows)
        for n in counts[1:]:
            other = by_workers[n][ref.rel]
            got = by_identity(other.flows)
            keys = [k for k in set(want) | set(got) if want.get(k) != got.get(k)]
            what = None
            if keys:
                one, two = want.get(keys[0]), got.get(keys[0])
                what = "%d of %d flow records, such as %s" % (
                    len(keys), len(want), unlike(one[0], two[0]) if one and two else "one that only one of them has")
            elif other.protocols != first.protocols:
                what = "counters of protocols"
            elif other.reassembly != first.reassembly:
                what = "reassembly: " + unlike(first.reassembly, other.reassembly)
            if what:
                bad += 1
                print("%s: %d and %d workers differ: %s" % (ref.rel, counts[0], n, what))
    return bad


def run_checks(refs, answers, workers, verbose):
    bad = 0
    tally = {name: collections.Counter() for name in CHECKS}
    for ref in refs:
        for name, compare in CHECKS.items():
            try:
                what = "" if name in EXEMPT.get(ref.rel, ()) else compare(ref, answers[ref.rel])
            except (daemon.Failed, KeyError, ValueError) as x:
                what = "%s: %s" % (type(x).__name__, x)
            tally[name]["not compared" if what == "" else "differ" if what else "equal"] += 1
            if what:
                bad += 1
                print("%s, %d workers: %s: %s" % (ref.rel, workers, name, what))
            elif verbose:
                print("%s, %d workers: %s: %s" % (ref.rel, workers, name, "equal" if what is None else "not compared"))
    for name, t in tally.items():
        print("%d workers: %-10s %3d equal, %d differ, %d not compared" % (
            workers, name, t["equal"], t["differ"], t["not compared"]))
    return bad


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--captures", default=os.environ.get("PKTAI_CAPTURES") or daemon.ROOT + "/../shared/captures")
    ap.add_argument("--workers", type=int, action="append")
    ap.add_argument("--topic")
    ap.add_argument("-v", action="store_true")
    a = ap.parse_args()
    if not os.path.exists(daemon.PKTAID):
        print("skipped: no pktaid at %s (set PKTAID)" % daemon.PKTAID)
        return daemon.SKIP
    refs = references(a.captures, a.topic) if os.path.isdir(a.captures) else []
    if not refs:
        print("skipped: no reference captures at %s (set PKTAI_CAPTURES)" % a.captures)
        return daemon.SKIP
    by_workers = {n: ask(refs, n) for n in a.workers or (1, 2, 3)}
    bad = sum(run_checks(refs, answers, n, a.v) for n, answers in by_workers.items())
    bad += same_for_all(refs, by_workers)
    validator = schema_validator(a.captures)
    if validator is None:
        print("skipped  test_schema   no python3-jsonschema, or no EVE schema (set PKTAI_SCHEMA)")
    else:
        bad += fits_schema(refs, by_workers[min(by_workers)], validator)
    print("%d captures, %d differences" % (len(refs), bad))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
