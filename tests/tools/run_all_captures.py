#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs pktaid over every capture there is (tests/data and the reference captures) and says which
runs ended badly: a signal, a sanitizer's finding, an exit code other than 0 and 2, no last stats
event, or frames that are not accounted for. Meant for a sanitizer build.

    run_all_captures.py PKTAID [--captures FOLDER] [--workers N] [--jobs N]
"""
import argparse
import concurrent.futures
import glob
import os
import sys

os.environ.setdefault("PKTAID_SANITIZED", "1")
import daemon  # noqa: E402


def captures(folder):
    found = []
    for top in (daemon.DATA, folder):
        for kind in ("pcap", "pcapng", "cap"):
            found += glob.glob(os.path.join(top, "**", "*." + kind), recursive=True)
    return sorted(found)


def trouble(path, workers):
    """-> what was wrong with the run, or None"""
    try:
        run = daemon.Batch(path, workers=workers)
        if run.code not in (0, 2):
            return "exit %d\n%s" % (run.code, run.stderr[-4000:])
        for c in run.stats()["pktai"]["captures"]:
            daemon.identity(c)
            daemon.equal(sum(c["dropped"].values()), 0, "frames of a file dropped")
    except Exception as x:
        return "%s: %s" % (type(x).__name__, x)
    return None


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("pktaid")
    ap.add_argument("--captures", default=os.environ.get("PKTAI_CAPTURES", daemon.ROOT + "/../shared/captures"))
    ap.add_argument("--workers", type=int, default=2)
    ap.add_argument("--jobs", type=int, default=2)
    a = ap.parse_args()
    daemon.PKTAID = os.path.abspath(a.pktaid)
    files = captures(a.captures)
    bad = 0
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        for path, what in zip(files, pool.map(lambda p: trouble(p, a.workers), files)):
            if what is not None:
                bad += 1
                print("%s: %s" % (os.path.relpath(path, daemon.ROOT), what), flush=True)
    print("%d captures, %d with trouble" % (len(files), bad))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
