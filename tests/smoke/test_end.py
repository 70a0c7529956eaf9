#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The end: asked for once or twice, in the middle of files, with readers that do not read, and what the
exit code and the last line of the events say."""
import json
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from daemon import *  # noqa: E402,F403

SAMPLE = os.path.join(DATA, "sample.pcap")
LONG = "pcap:%s,loop=1000000" % SAMPLE


def reading(d, names):
    for name in names:
        wait_until(lambda: d.drops(name)["processed"] > 5000, "packets of " + name)


def test_terminated_once():
    """Several files under way on several workers: all flows come out, the last line is the stats event."""
    folder = temporary()
    try:
        out = os.path.join(folder, "eve.json")
        with Daemon("--events", out, workers=3, folder=folder) as d:
            for name in "abc":
                d.call("capture.start", source=LONG, name=name)
            reading(d, "abc")
            equal(d.stop(), 0, "exit code")
        with open(out) as f:
            events = [json.loads(line) for line in f]
        equal(events[-1]["event_type"], "stats", "the last event")
        equal(len([e for e in events if e["event_type"] == "stats"]), 1, "stats events")
        for capture in events[-1]["pktai"]["captures"]:
            identity(capture)
        equal({e["pktai"]["capture"] for e in events if e["event_type"] == "flow"}, set("abc"), "captures with flows")
    finally:
        shutil.rmtree(folder)


def test_terminated_twice():
    """The second time nothing is waited for; what is written is whole lines, the stats event last."""
    for _ in range(5):
        folder = temporary()
        try:
            out = os.path.join(folder, "eve.json")
            with Daemon("--events", out, workers=3, folder=folder) as d:
                for name in "ab":
                    d.call("capture.start", source=LONG, name=name)
                reading(d, "ab")
                d.process.send_signal(signal.SIGTERM)
                d.process.send_signal(signal.SIGTERM)
                code = d.wait_exit()
                # two signals may be seen as one
                check(code == 2 or (code == 0 and "at once" not in d.log()), "exit code %s: %s", code, d.log())
            with open(out) as f:
                events = [json.loads(line) for line in f]
            equal(events[-1]["event_type"], "stats", "the last event")
            for capture in events[-1]["pktai"]["captures"]:
                identity(capture)
        finally:
            shutil.rmtree(folder)


def test_terminated_twice_and_nobody_reads():
    """A pipe for the events that nobody empties holds a file up for ever, but not the end."""
    folder = temporary()
    try:
        fifo = os.path.join(folder, "fifo")
        os.mkfifo(fifo)
        reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        with Daemon("--events", fifo, workers=2, folder=folder) as d:
            d.call("capture.start", source=LONG, name="file")
            reading(d, ["file"])
            # the reader stands still as soon as records fill the pipe and the rings behind it
            for _ in range(2000):
                if d.call("flows.flush", capture="file")["ended"] == 0 and d.drops("file")["received"] == 0:
                    break
                if pipe_is_full(reader):
                    break
            check(pipe_is_full(reader), "the pipe is not full: the test does not test")
            d.process.send_signal(signal.SIGTERM)
            wait_until(lambda: "stopping" in d.log(), "the first signal's effect")
            d.process.send_signal(signal.SIGTERM)
            equal(d.wait_exit(), 2, "exit code")
            check("events cannot be written" in d.log(), "log: %s", d.log())
        os.close(reader)
    finally:
        shutil.rmtree(folder)


def pipe_is_full(fd):
    import fcntl
    import struct
    import termios
    size = fcntl.fcntl(fd, 1032)  # F_GETPIPE_SZ
    (used,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))
    return used >= size - 4096


def test_failed_captures_do_not_fail_a_daemon():
    """A daemon goes on without a capture that cannot be had; asked to end, it has done its work."""
    config = "captures:\n  - name: missing\n    source: pcap:/nonexistent/x.pcap\n  - name: one\n    source: pcap:%s\n" % SAMPLE
    with Daemon(config=config) as d:
        d.wait_capture("one", "finished")
        check("/nonexistent/x.pcap" in d.log(), "no word of the missing file: %s", d.log())
        equal(d.stop(), 0, "exit code")


def test_stop_twice():
    """Two clients stop the same capture: both hear when it has ended."""
    with Daemon(workers=3) as d:
        d.call("capture.start", source=LONG, name="x")
        reading(d, "x")
        one, two = d.client(), d.client()
        for c in (one, two):
            c.send_line(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "capture.stop", "params": {"name": "x"}}).encode())
        for c in (one, two):
            answer = c.line()
            check("result" in answer and answer["result"]["name"] == "x", "answer: %r", answer)


def test_no_start_after_shutdown():
    """Requests behind a shutdown in the same breath start nothing that would keep the daemon up."""
    with Daemon(workers=2) as d:
        d.call("capture.start", source=LONG, name="x")
        reading(d, "x")
        c = d.client()
        lines = [{"jsonrpc": "2.0", "id": 1, "method": "system.shutdown"},
                 {"jsonrpc": "2.0", "id": 2, "method": "capture.start", "params": {"source": LONG, "name": "y"}}]
        c.send_line("\n".join(json.dumps(x) for x in lines).encode())
        equal(d.wait_exit(), 0, "exit code")


def test_batch_of_several():
    """Files read in parallel: one row of the summary each, exit code 2 when one is missing or cut off."""
    run = Batch(SAMPLE, SAMPLE, SAMPLE, workers=3)
    equal(run.code, 0, "exit code, stderr: " + run.stderr)
    equal(run.events[-1]["event_type"], "stats", "the last event")
    captures = run.events[-1]["pktai"]["captures"]
    equal(len(captures), 3, "captures")
    for capture in captures:
        identity(capture)
        equal(capture["processed"], captures[0]["processed"], "processed")


def test_cpus():
    """A CPU that is named again and again is one CPU."""
    cpu = min(os.sched_getaffinity(0))
    run = Batch(SAMPLE, args=["--cpus", ",".join([str(cpu)] * 60)], workers=2)
    equal(run.code, 0, "exit code, stderr: " + run.stderr)
    for bad in ("0-", "0,,1", "+0", " 0", "-1", "0x0"):
        equal(Batch(SAMPLE, args=["--cpus=" + bad]).code, 1, "exit code of --cpus " + bad)


if __name__ == "__main__":
    main(globals())
