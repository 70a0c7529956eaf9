#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing flows: a laptop must not burn a core for it. Processor time and wake-ups of a daemon without
captures, of one with a silent capture and of one whose interface is down; packets that come wake it."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from daemon import *  # noqa: E402,F403

WORKERS, SPAN = 2, 3


def cpu_seconds(d):
    fields = d.proc("stat").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rounds(d):
    return sum(w["heartbeat"] for w in d.call("system.info")["workers"])


def expect_rest(d, what, rounds_per_second):
    """Over a span that is measured, not guessed: the figures are a rate."""
    begin, cpu, beats = time.monotonic(), cpu_seconds(d), rounds(d)
    time.sleep(SPAN)
    span, cpu, beats = time.monotonic() - begin, cpu_seconds(d) - cpu, rounds(d) - beats
    print("%s: %.1f %% of a core, %.0f rounds a second" % (what, 100 * cpu / span, beats / span))
    check(beats / span < rounds_per_second, "%s: %.0f rounds of the workers a second", what, beats / span)
    if not os.environ.get("PKTAID_SANITIZED"):
        check(cpu / span < 0.10, "%s: %.1f %% of a core", what, 100 * cpu / span)


def test_without_captures():
    with Daemon(workers=WORKERS) as d:
        expect_rest(d, "no capture", 50 * WORKERS)


def test_silent_capture():
    with Namespace() as ns:
        with Daemon(workers=WORKERS, namespace=ns.name) as d:
            d.call("capture.start", source="afpacket:far", name="x")
            d.wait_capture("x", "running")
            expect_rest(d, "silent capture", 150 * WORKERS)
            with ns.sender("near") as s:
                for flow in range(50):
                    s.send(udp_frame(flow))
            wait_until(lambda: d.drops("x")["processed"] == 50, "the packets")
            expect_rest(d, "silent again", 150 * WORKERS)
            ns.ip("link", "set", "far", "down")
            d.wait_capture("x", "paused")
            expect_rest(d, "interface down", 2000 * WORKERS)
            ns.ip("link", "set", "far", "up")
            d.wait_capture("x", "running")
            with ns.sender("near") as s:
                wait_until(lambda: s.send(udp_frame(1)) and d.drops("x")["processed"] > 50, "packets after the pause")


if __name__ == "__main__":
    main(globals())
