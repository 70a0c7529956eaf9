# SPDX-License-Identifier: Apache-2.0
"""One worker against several, on files: the reader passes on what others own (a file is one queue), so
that this shows what steering costs as well as what several workers give. The same flows must come out,
byte for byte in sorted JSON."""
import hashlib
import json
import os

from common import PKTAID, describe, median, run_cpu, table


def command(folder, trace, workers, events=None):
    words = [PKTAID, "--config", "/dev/null", "--no-huge", "--memory", "64", "--socket", os.path.join(folder, "s"),
             "--workers", str(workers), "--exit-when-done", "--capture", "pcap:" + trace]
    return words + (["--events", events] if events else [])


def flows_digest(path):
    """Of all flow events, sorted, without what names the worker."""
    lines = []
    with open(path) as f:
        for line in f:
            event = json.loads(line)
            if event["event_type"] == "flow":
                event.pop("worker", None)
                lines.append(json.dumps(event, sort_keys=True))
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest(), len(lines)


def steered_share(path):
    with open(path) as f:
        stats = [json.loads(line) for line in f if '"event_type":"stats"' in line]
    if not stats:
        return None
    found = [0, 0]

    def walk(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                if key == "steered" and isinstance(inner, int):
                    found[0] = max(found[0], inner)
                elif key == "received" and isinstance(inner, int):
                    found[1] = max(found[1], inner)
                else:
                    walk(inner)
    walk(stats[-1])
    return found[0] / found[1] if found[1] else None


def run(options, traces):
    rounds = 3 if options.quick else 5
    result, rows = [], []
    for name, flows, loop in (("mix", 40000, 5), ("small", 1000000, 1)):
        trace = traces.get(name, flows)
        packets = trace["packets"] * loop  # the start, a fifth of a second, should not matter
        base = None
        for workers in (1, 2, 3):
            runs = [r for r in (run_cpu(command(traces.folder, "%s,loop=%d" % (trace["path"], loop), workers)) for _ in range(rounds + 1)) if r][1:]
            cpu, wall = median(r[0] for r in runs), median(r[1] for r in runs)
            base = base or (cpu, wall)
            row = {"trace": describe(trace), "loop": loop, "workers": workers, "cpu_seconds": cpu, "wall_seconds": wall,
                   "mpps_per_core": packets / cpu / 1e6, "mpps_wall": packets / wall / 1e6,
                   "more_cpu_ns_per_packet": (cpu - base[0]) / packets * 1e9}
            result.append(row)
            rows.append([name, workers, cpu, wall, row["mpps_per_core"], row["mpps_wall"],
                         "%.0f" % row["more_cpu_ns_per_packet"]])
    table("Workers on a file (%d cores)" % os.cpu_count(),
          ["trace", "workers", "CPU s", "wall s", "Mpps/core-s", "Mpps (wall)", "more CPU, ns/packet"], rows)
    trace = traces.get("mix", 4000)
    out = os.path.join(traces.folder, "eve.json")
    digests, shares = {}, {}
    for workers in (1, 2, 3):
        run_cpu(command(traces.folder, trace["path"], workers, out))
        digests[workers], shares[workers] = flows_digest(out), steered_share(out)
        os.unlink(out)
    same = len(set(digests.values())) == 1
    print("  flows of mix with 1, 2, 3 workers: %d, %s; packets passed on: %s" % (
        digests[1][1], "the same, byte for byte" if same else "NOT THE SAME",
        ", ".join("%.0f %%" % (100 * s) for s in shares.values() if s is not None)))
    return {"runs": result, "same_flows": same, "steered_share": shares}
