# SPDX-License-Identifier: Apache-2.0
"""The pipeline in memory, one core, stage by stage: bench_flow with numbers of flows, their popularity,
IPv6, new flows, and a trace."""
import json
import subprocess

from common import describe, table, tool

MANY = [1000, 100000, 1000000, 4000000, 10000000]


def rows_of(options, trace):
    few = ["-r", "3" if options.quick else "7"]
    for n in MANY:
        yield few + ["-n", str(n), "-m"]
    for n in (1000, 1000000):
        yield few + ["-n", str(n)]
    for n in (1000000, 10000000):
        yield few + ["-n", str(n), "-m", "-z", "1.1"]
    for n in (1000, 1000000):
        yield few + ["-n", str(n), "-m", "-6"]
    for n in (1000, 1000000):
        yield few + ["-n", str(n), "-m", "-t"]
    yield few + ["-n", "1000000", "-m", "-y"]
    for share in ("0.01", "0.05", "0.1", "0.2"):
        yield ["-r", "1" if options.quick else "3", "-n", "1000000", "-N", share]
    yield few + ["-f", trace["path"]]


def run(options, traces):
    trace = traces.get("mix", 40000)
    results, cells = [], []
    for words in rows_of(options, trace):
        done = subprocess.run([tool("bench_flow"), "-j", *words], stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            results.append({"options": words, "failed": done.returncode})
            continue
        r = json.loads(done.stdout)
        r["name"] = r["name"].replace(trace["path"], "trace mix")
        r["options"] = [w if w != trace["path"] else "mix" for w in words]
        results.append(r)
        ns = [r["ns"][s][0] for s in ("touch", "decode", "key", "flow", "all")]
        cells.append([r["name"]] + ["%.1f" % n for n in ns] + [
            "%.2f" % (1e3 / ns[-1]), "%.1f" % (r["bytes"] * 8 / r["packets"] / ns[-1]),
            "%.2f" % (r["new_per_s"] / 1e6), "%.2f" % (r["expired_per_s"] / 1e6),
            "%.2f" % (r["active"] / 1e6), "%.1f" % r["query_ms"]])
    table("Packets in memory to flows, one core, ns of CPU a packet (each column adds a stage)",
          ["", "touch", "decode", "key", "flows", "expiry", "Mpps", "Gbps", "new M/s", "ended M/s", "active M", "top 20 ms"],
          cells)
    return {"trace": describe(trace), "rows": results}
