#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""pktctl as a user meets it: exit codes, errors on one line, tables, JSON."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from daemon import *  # noqa: E402,F403

SAMPLE = os.path.join(DATA, "sample.pcap")


class Said:
    def __init__(self, d, *words, env=None):
        path = d.socket if isinstance(d, Daemon) else d
        p = subprocess.run([PKTCTL, *(["--socket", path] if path else []), *words], stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 * SLOW,
                           env=dict(os.environ, LC_ALL="C.UTF-8", **(env or {})))
        self.code, self.out, self.err = p.returncode, p.stdout.decode(), p.stderr.decode()


def test_exit_codes():
    with Daemon() as d:
        equal(Said(d, "status").code, 0, "status")
        for words, code in ((["capture", "start", "pcap:/nonexistent.pcap"], 1), (["flow", "12345"], 1),
                            (["capture", "stop", "nothing"], 1), (["call", "no.such"], 1), (["flows", "--filter", "frob"], 1),
                            (["frobnicate"], 2), ([], 2), (["flows", "--by", "colour"], 2), (["flows", "--limit", "x"], 2),
                            (["call", "flows.top", "{bad"], 2)):
            said = Said(d, *words)
            equal(said.code, code, " ".join(words) + ": exit code, stderr: " + said.err)
            check(said.err.strip(), "no message for %s", words)
            if code == 1:
                equal(len(said.err.strip().splitlines()), 1, "lines on stderr of " + " ".join(words))
            equal(said.out, "", "stdout of " + " ".join(words))
        socket_path = d.socket
    said = Said(socket_path, "status")
    equal(said.code, 3, "no daemon")
    check(socket_path in said.err and len(said.err.strip().splitlines()) == 1, "stderr: %s", said.err)
    equal(Said(None, "status", env={"PKTAID_SOCKET": "/nonexistent/s"}).code, 3, "PKTAID_SOCKET")


def test_help():
    for words in (["--help"], ["--version"], ["flows", "--help"], ["completion", "bash"]):
        said = Said(None, *words)
        equal(said.code, 0, " ".join(words))
        check(said.out, "%s prints nothing", words)
    with open("/dev/null") as null:
        p = subprocess.run(["bash", "-n"], input=Said(None, "completion", "bash").out.encode(), stdout=null)
    equal(p.returncode, 0, "bash on the completion script")


def test_a_session():
    with Daemon(workers=2) as d:
        said = Said(d, "capture", "start", "pcap:" + SAMPLE, "--name", "sample", "--wait")
        equal(said.code, 0, "capture start --wait, stderr: " + said.err)
        equal(d.capture("sample")["state"], "finished", "state")
        for words, texts in ((["status"], ["sample"]), (["capture", "list"], ["sample", "finished"]),
                             (["flows"], ["192.0.2.1", "2001:db8:1::1", "TCP"]),
                             (["flows", "--top", "3"], []), (["protocols"], ["ethernet", "vxlan", "gre", "ipv6"]),
                             (["drops"], ["sample"]), (["stats"], ["flows_created"]),
                             (["reassembly"], ["Segments received", "Out-of-order segments", "IPv6"]),
                             (["reassembly", "--capture", "sample"], ["TCP gaps"])):
            said = Said(d, *words)
            equal(said.code, 0, " ".join(words) + ": stderr: " + said.err)
            for t in texts:
                check(t in said.out, "%s does not show %s:\n%s", " ".join(words), t, said.out)
            check("\x1b" not in said.out, "%s: colours though not on a terminal", words)
            check("\x1b" in Said(d, "--color", "always", *words).out or words != ["status"], "no colours when asked for")
        document = json.loads(Said(d, "--json", "flows", "--top", "2", "--by", "bytes").out)
        equal(len(document["flows"]), 2, "flows in JSON")
        flow = document["flows"][0]
        said = Said(d, "flow", str(flow["flow_id"]))
        equal(said.code, 0, "flow ID")
        check(flow["community_id"] in said.out, "no community id:\n%s", said.out)
        check(re.search(r"Flow: \S+ -> \S+", said.out), "no line Flow: a -> b:\n%s", said.out)
        raw = json.loads(Said(d, "call", "capture.list").out)
        equal(raw["captures"][0]["name"], "sample", "call capture.list")
        equal(Said(d, "capture", "stop", "sample").code, 0, "capture stop")
        equal(Said(d, "log-level", "debug").code, 0, "log-level")
        equal(Said(d, "shutdown").code, 0, "shutdown")
        equal(d.wait_exit(), 0, "exit code of the daemon")


def test_numbers_agree_with_json():
    """What the tables show is what the daemon said."""
    with Daemon() as d:
        equal(Said(d, "capture", "start", "pcap:" + SAMPLE, "--name", "sample", "--wait").code, 0, "start")
        rows = {p["name"]: p["packets"] for p in d.call("protocols.get")["protocols"] if p["packets"]}
        shown = Said(d, "protocols").out
        for name, packets in rows.items():
            check(re.search(r"(^|\s)%s\s.*\b%d\b" % (re.escape(name), packets), shown, re.M),
                  "protocols does not show %s with %d:\n%s", name, packets, shown)
        c = d.drops("sample")
        shown = Said(d, "drops").out
        for key in ("offered", "received", "processed"):
            check(str(c[key]) in shown, "drops does not show %s %d:\n%s", key, c[key], shown)
        total = d.call("reassembly.stats")
        equal(d.call("reassembly.stats", capture="sample"), total, "the only capture's figures and the totals")
        check(total["tcp"]["out_of_order_segments"] > 0 and total["ipv6"]["reassembled"] > 0, "nothing was put together: %r", total)
        head = Said(d, "reassembly").out.splitlines()[:4]
        for line, label, key in zip(head, ("Segments received", "Bytes delivered", "Duplicate segments", "Out-of-order segments"),
                                    ("segments_received", "bytes_delivered", "duplicate_segments", "out_of_order_segments")):
            check(re.match(r"%s: +%d( |$)" % (label, total["tcp"][key]), line), "%s is %d, shown as %r", key, total["tcp"][key], line)
        equal(json.loads(Said(d, "--json", "reassembly").out), total, "reassembly --json")
        equal(Said(d, "reassembly", "--capture", "other").code, 1, "reassembly of a capture that is not there")
        flows = [f for f in d.call("flows.list", state="all", limit=1000)["flows"] if "stream" in f["pktai"]]
        check(flows and all(f["proto"] == "TCP" for f in flows), "streams are not of TCP flows: %r", flows[:1])
        for side in ("toserver", "toclient"):
            check(all(f["pktai"]["stream"]["segments_" + side] == f["flow"]["pkts_" + side] for f in flows), "segments %s", side)
        for key in ("segments", "bytes_delivered", "duplicate", "out_of_order"):
            equal(sum(f["pktai"]["stream"][key + "_toserver"] + f["pktai"]["stream"][key + "_toclient"] for f in flows),
                  total["tcp"].get(key, total["tcp"].get(key + "_segments", total["tcp"].get(key + "_received"))), key + ", flows and totals")


if __name__ == "__main__":
    if not os.path.exists(PKTCTL):
        print("skipped: no pktctl at %s (set PKTCTL)" % PKTCTL)
        sys.exit(SKIP)
    main(globals())
