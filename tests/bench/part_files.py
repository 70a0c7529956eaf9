# SPDX-License-Identifier: Apache-2.0
"""Whole-process file analysis beside Debian's peers: CPU time (user and system), several rounds in turn
after a warm-up, medians, as million packets per core-second and as a ratio to softflowd. Peers that are
not installed, or fail, are left out and named."""
import os
import shutil

from common import PKTAID, describe, median, output, run_cpu, table, tool

TRACES = {"mix": 40000, "small": 1000000, "http": 20000, "tls": 20000}
SLOW = ("ndpiReader", "tshark conversations", "nfpcapd", "softflowd, all flows")  # tens of seconds a run: once, where time is short


def commands(trace, flows, folder):
    sink = os.path.join(folder, "nf")
    os.makedirs(sink, exist_ok=True)
    flows_only = os.path.join(folder, "flows.yaml")
    with open(flows_only, "w") as f:
        f.write("stream:\n    bytes: 0\n")
    pktaid = [PKTAID, "--no-huge", "--memory", "64", "--socket", os.path.join(folder, "s"), "--exit-when-done",
              "--capture", "pcap:" + trace, "--config"]
    help_text = output("sh", "-c", "nfpcapd -h; true")
    directory = "-w" if "-w <dir>" in help_text or "-w flowdir" in help_text else "-l"
    return {
        "libpcap loop": [tool("pcap_loop"), trace],
        "pktaid, flows only": pktaid + [flows_only],
        "pktaid, flows, events to /dev/null": pktaid + [flows_only, "--events", "/dev/null"],
        "pktaid, streams too, events to /dev/null": pktaid + ["/dev/null", "--events", "/dev/null"],
        "softflowd": ["softflowd", "-r", trace, "-c", "none", "-d"],
        # it keeps 8192 flows unless it is told
        "softflowd, all flows": ["softflowd", "-r", trace, "-c", "none", "-d", "-m", str(flows * 2)],
        "nfpcapd": ["nfpcapd", "-r", trace, directory, sink],
        "ndpiReader": ["ndpiReader", "-i", trace, "-q"],
        "tshark conversations": ["tshark", "-r", trace, "-q", "-z", "conv,tcp"],
    }


def measure(options, trace, folder):
    rows, missing = {}, []
    for peer, command in commands(trace["path"], trace["flows"], folder).items():
        if shutil.which(command[0]) is None:
            missing.append(peer)
            continue
        first = run_cpu(command)  # warm-up, and who cannot
        if first is None:
            missing.append(peer + " (failed)")
        else:
            rows[peer] = {"command": command, "runs": [first] if options.quick and peer in SLOW else []}
    for _ in range(3 if options.quick else 5):
        for peer, row in rows.items():
            if options.quick and peer in SLOW:
                continue
            one = run_cpu(row["command"])
            if one is not None:
                row["runs"].append(one)
    shutil.rmtree(os.path.join(folder, "nf"), ignore_errors=True)
    return rows, missing


def run(options, traces):
    results = []
    for name, flows in TRACES.items():
        trace = traces.get(name, flows)
        rows, missing = measure(options, trace, traces.folder)
        base = median(r[0] for r in rows["softflowd"]["runs"]) if "softflowd" in rows else None
        cells, result = [], []
        for peer, row in rows.items():
            cpu = median(r[0] for r in row["runs"])
            result.append({"peer": peer, "cpu_seconds": [r[0] for r in row["runs"]], "median": cpu,
                           "wall_seconds": median(r[1] for r in row["runs"]),
                           "mpps_per_core": trace["packets"] / cpu / 1e6,
                           "times_softflowd": base / cpu if base else None,
                           "memory_kib": max(r[2] for r in row["runs"])})
            cells.append([peer, cpu, result[-1]["wall_seconds"], result[-1]["mpps_per_core"], result[-1]["times_softflowd"],
                          "%.0f" % (result[-1]["memory_kib"] / 1024)])
        table("%s: %d packets of %.0f bytes, %d flows%s" % (
            name, trace["packets"], trace["bytes"] / trace["packets"], trace["flows"],
            ", left out: " + ", ".join(missing) if missing else ""),
            ["program", "CPU s", "wall s", "Mpps/core-s", "softflowd = 1", "memory MiB"], cells)
        results.append({"trace": describe(trace), "rows": result, "left_out": missing})
        if name not in ("mix", "small"):
            traces.drop(trace)
    return results
