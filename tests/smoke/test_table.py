#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A flow table that is too small: flows are ended early and exported, everything is counted, and
memory stays where it was."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from daemon import *  # noqa: E402,F403

CONFIG = "flow:\n  capacity: 1000\n  recent_bytes: 1MiB\n"
FLOWS = 30000


def counter(d, name):
    def walk(value):
        if isinstance(value, dict):
            if str(value.get("name", "")).split(".")[-1] == name and "value" in value:
                return value["value"]
            value = value.values()
        elif not isinstance(value, list):
            return None
        return next((x for x in map(walk, value) if x is not None), None)
    return walk(d.call("stats.get"))


def trace():
    """Each flow twice: once when it begins and once when it has long been evicted."""
    folder = temporary()
    path = os.path.join(folder, "many.pcap")
    write_pcap(path, (udp_frame(i % FLOWS) for i in range(2 * FLOWS)))
    return folder, path


def test_batch():
    folder, path = trace()
    try:
        for workers in (1, 2):
            run = Batch(path, config=CONFIG, workers=workers)
            equal(run.code, 0, "exit code, stderr: " + run.stderr)
            flows = run.of_type("flow")
            capture = run.stats()["pktai"]["captures"][0]
            identity(capture)
            equal(capture["processed"], 2 * FLOWS, "processed")
            reasons = {}
            for e in flows:
                reasons[e["pktai"]["end_reason"]] = reasons.get(e["pktai"]["end_reason"], 0) + 1
            check(reasons.get("evicted", 0) > FLOWS, "ends: %r", reasons)
            check(reasons.get("eof", 0) <= 1100, "more flows at the end than the table holds: %r", reasons)
            packets = sum(e["flow"]["pkts_toserver"] + e["flow"]["pkts_toclient"] for e in flows)
            check(packets <= 2 * FLOWS and packets >= 2 * FLOWS * 0.99, "%d packets in flows", packets)
            equal(len({(e["flow_id"], e["pktai"]["part_no"]) for e in flows}), len(flows), "ids")
    finally:
        shutil.rmtree(folder)


def test_memory_is_stable():
    folder, path = trace()
    try:
        with Daemon(config=CONFIG) as d:
            after = []
            for i in range(6):
                d.call("capture.start", source="pcap:" + path, name="r%d" % i)
                d.wait_capture("r%d" % i, "finished")
                after.append(d.rss_kib())
                seen = d.drops("r%d" % i)
                identity(seen)
                equal(seen["processed"], 2 * FLOWS, "processed")
            evicted, memcap = counter(d, "flows_ended_evicted"), counter(d, "flow_memcap")
            check(evicted > 6 * FLOWS, "evicted: %r", evicted)
            check(memcap is not None, "no counter flow_memcap")
            equal(counter(d, "flows_active"), 0, "active flows")
            created, ended = counter(d, "flows_created"), counter(d, "flows_ended")
            equal(ended, created, "flows ended and begun")
            if not SANITIZED:
                check(after[-1] - after[1] < 2048, "RSS in KiB after each round: %r", after)
            shown = d.call("flows.list", limit=1000, state="ended")["flows"]
            check(shown and all(f["pktai"]["end_reason"] in ("evicted", "eof") for f in shown), "recent flows")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(globals())
