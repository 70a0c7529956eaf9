#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole-process file analysis beside Debian's peers: CPU time (user and system) of the process, several
rounds in turn after a warm-up, medians, as million packets per core-second and as a ratio to softflowd.

bench_files.py --pktaid PATH --mktrace PATH --pcap-loop PATH [--rounds N] [--scale N] [--json FILE] [TRACE...]

Peers that are not installed are left out and named. Says which machine, commit and trace it was.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TRACES = {"mix": 40000, "http": 20000, "tls": 20000, "small": 1000000}


def peers(args, trace, folder):
    pktaid = [args.pktaid, "--config", "/dev/null", "--no-huge", "--memory", "64", "--socket",
              os.path.join(folder, "s"), "--exit-when-done", "--capture", "pcap:" + trace]
    sink = os.path.join(folder, "nf")
    os.makedirs(sink, exist_ok=True)
    return [
        ("libpcap loop", [args.pcap_loop, trace]),
        ("pktaid, flows only", pktaid),
        ("pktaid, events to /dev/null", pktaid + ["--events", "/dev/null"]),
        ("softflowd", ["softflowd", "-r", trace, "-c", "none", "-d"]),
        ("nfpcapd", ["nfpcapd", "-r", trace, "-l" if old_nfdump() else "-w", sink]),
        ("ndpiReader", ["ndpiReader", "-i", trace, "-q"]),
        ("tshark conversations", ["tshark", "-r", trace, "-q", "-z", "conv,tcp"]),
    ]


def old_nfdump():
    done = subprocess.run(["nfpcapd", "-h"], capture_output=True, text=True) if shutil.which("nfpcapd") else None
    return done is not None and "-w <dir>" not in done.stdout + done.stderr and "-w flowdir" not in done.stdout + done.stderr


def cpu_seconds(command, limit=600):
    with open(os.devnull, "w") as null:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=null, stderr=null)
        deadline = time.monotonic() + limit
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                child.kill()
                os.wait4(child.pid, 0)
                return None, 0
            time.sleep(0.01)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0,):
        return None, 0
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True,
                            cwd=os.path.dirname(os.path.abspath(__file__))).stdout.strip()
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "commit": commit}


def measure(args, name, folder):
    trace = os.path.join(folder, name + ".pcap")
    made = subprocess.run([args.mktrace, name, trace, str(TRACES[name] // args.scale)], stderr=subprocess.PIPE,
                          text=True, check=True).stderr.strip()
    packets = int(made.split(": ")[1].split()[0])
    rows = {}
    missing = []
    for peer, command in peers(args, trace, folder):
        if shutil.which(command[0]):
            rows[peer] = {"command": command, "seconds": [], "memory": 0}
        else:
            missing.append(peer)
    for peer in list(rows):  # warm-up, and who cannot
        if cpu_seconds(rows[peer]["command"])[0] is None:
            missing.append(peer + " (failed)")
            del rows[peer]
    for _ in range(args.rounds):
        for row in rows.values():
            seconds, memory = cpu_seconds(row["command"])
            if seconds is not None:
                row["seconds"].append(seconds)
                row["memory"] = max(row["memory"], memory)
    os.unlink(trace)
    base = statistics.median(rows["softflowd"]["seconds"]) if "softflowd" in rows else None
    print("\n%s: %d packets" % (name, packets) + (", left out: " + ", ".join(missing) if missing else ""))
    print("  %-30s %10s %12s %14s %10s" % ("", "CPU s", "Mpps/core", "softflowd = 1", "memory MB"))
    result = []
    for peer, row in rows.items():
        median = statistics.median(row["seconds"])
        ratio = base / median if base else None
        print("  %-30s %10.2f %12.2f %14s %10.0f" % (peer, median, packets / median / 1e6,
              "%.2f" % ratio if ratio else "-", row["memory"] / 1024))
        result.append({"peer": peer, "cpu_seconds": row["seconds"], "median": median,
                       "mpps_per_core": packets / median / 1e6, "times_softflowd": ratio,
                       "memory_kb": row["memory"]})
    return {"trace": name, "packets": packets, "rows": result, "left_out": missing}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pktaid", required=True)
    parser.add_argument("--mktrace", required=True)
    parser.add_argument("--pcap-loop", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=int, default=1, help="divide the traces' sizes by this")
    parser.add_argument("--json")
    parser.add_argument("traces", nargs="*", default=list(TRACES))
    args = parser.parse_args()
    about = machine()
    print("%(cpu)s, %(cores)d cores, Linux %(kernel)s, commit %(commit)s" % about)
    with tempfile.TemporaryDirectory() as folder:
        results = [measure(args, name, folder) for name in args.traces]
    if args.json:
        with open(args.json, "w") as out:
            json.dump({"machine": about, "results": results}, out, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
