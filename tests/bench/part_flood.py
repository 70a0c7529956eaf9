# SPDX-License-Identifier: Apache-2.0
"""A SYN flood, each SYN of a flow of its own, against a table that is full after the first second: it is
read over and over from a file, then nothing but counters may have grown. BENCH_FLOOD says how many packets
(100,000,000 is what the goals name; the default is less)."""
import os
import time

from common import Rate, daemon, describe, table

DEFAULT = 20000000


def run(options, traces):
    packets = int(os.environ.get("BENCH_FLOOD", "0")) or DEFAULT // traces.scale // (2 if options.quick else 1)
    trace = traces.get("flood", 2000000)
    config = "flow:\n    capacity: 500000\n    recent_bytes: 16MiB\n"
    rows, samples = [], []
    with daemon.Daemon("--capture", "pcap:%s,loop=100000" % trace["path"], config=config, memory=64) as d:
        name = d.call("capture.list")["captures"][0]["name"]
        rate = Rate(d, name)
        begin = time.monotonic()
        # the first tenth fills what has a bound
        for share in (0.1, 0.25, 0.5, 0.75, 1.0):
            daemon.wait_until(lambda: d.drops(name)["processed"] >= share * packets, "the flood", 3600, 0.2)
            info = d.call("system.info")
            samples.append({"packets": d.drops(name)["processed"], "rss_kib": d.rss_kib(), "descriptors": d.descriptors(),
                            "active": info["flows"]["active"], "seconds": time.monotonic() - begin})
            rows.append(["%.1f M packets" % (samples[-1]["packets"] / 1e6), samples[-1]["active"],
                         "%.1f" % (samples[-1]["rss_kib"] / 1024), samples[-1]["descriptors"]])
        figures = rate.since()
        daemon.identity(d.drops(name))
        d.process.kill()
        d.process.wait()
    grown = samples[-1]["rss_kib"] - samples[0]["rss_kib"]
    table("SYN flood into a table of 500,000 flows", ["after", "flows active", "resident MiB", "descriptors"], rows)
    print("  %.2f Mpps per core-second; grown since the table was full: %d KiB; every packet accounted for" % (
        figures["mpps_per_core"], grown))
    return {"trace": describe(trace), "samples": samples, "grown_kib": grown, **figures}
