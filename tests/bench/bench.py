#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the benchmarks, prints tables and writes one JSON file with machine, commit and traces.

bench.py [--json FILE] [--quick] [--scale N] [PART...]

Parts: flow reassembly files live queries memory workers flood. PKTAID_BUILD names the build (a release build).
Whatever cannot be measured here is named with the reason; nothing fails because of time.
"""
import argparse
import importlib
import json
import os
import sys
import time

import common

PARTS = ["flow", "reassembly", "files", "workers", "live", "queries", "memory", "flood"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", help="write all figures to this file")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and rows: what make bench does")
    parser.add_argument("--scale", type=int, default=1, help="divide the traces' sizes by this")
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="PART", help="of: " + " ".join(PARTS))
    options = parser.parse_args()
    unknown = [p for p in options.parts if p not in PARTS]
    if unknown:
        parser.error("no such part: %s (there are: %s)" % (" ".join(unknown), " ".join(PARTS)))
    about = common.machine()
    common.say_machine(about)
    report = {"machine": about, "parts": {}}
    traces = common.Traces(options.scale)
    try:
        for part in options.parts:
            begin = time.monotonic()
            try:
                report["parts"][part] = importlib.import_module("part_" + part).run(options, traces)
            except common.Left as why:
                report["parts"][part] = {"left_out": str(why)}
                print("\n%s: left out: %s" % (part, why))
            print("  (%s took %.0f s)" % (part, time.monotonic() - begin), flush=True)
    finally:
        traces.end()
    if options.json:
        with open(options.json, "w") as out:
            json.dump(report, out, indent=1)
        print("\nfigures in " + os.path.abspath(options.json))
    return 0


if __name__ == "__main__":
    sys.exit(main())
