#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Live captures on a veth pair in a namespace of their own: every packet accounted for under start
and stop, losses as the kernel counts them, interfaces that go down or away, filters, several at once.
Needs root."""
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from daemon import *  # noqa: E402,F403

CYCLES = int(os.environ.get("PKTAID_CYCLES", "50"))


class Traffic(threading.Thread):
    """Sends UDP frames without a pause until stopped."""

    def __init__(self, namespace, device="far", flows=200):
        super().__init__(daemon=True)
        self.socket = namespace.sender(device)
        self.frames = [udp_frame(i, 60 + i % 1000) for i in range(flows)]
        self.ending, self.sent = False, 0

    def run(self):
        while not self.ending:
            for f in self.frames:
                self.socket.send(f)
                self.sent += 1
            time.sleep(0.002)  # leaves the two cores to the daemon

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending = True
        self.join()
        self.socket.close()


def start(d, source="afpacket:near", name="live", **more):
    d.call("capture.start", source=source, name=name, **more)
    return d.wait_capture(name, "running")


def stop(d, name="live"):
    """Stops a running capture; returns its last figures and takes it off the list."""
    d.call("capture.stop", name=name)
    state = d.wait_capture(name, "stopped", seconds=10)
    figures = d.drops(name)
    d.call("capture.stop", name=name)
    check(d.capture(name) is None, "%s is still listed: %r", name, state)
    return figures


def send(namespace, count, device="far", flows=100, **more):
    s = namespace.sender(device)
    for i in range(count):
        s.send(udp_frame(i % flows, **more))
    s.close()


def wait_offered(d, count, name="live", seconds=20):
    return wait_until(lambda: (lambda x: x if x["offered"] >= count else None)(d.drops(name)),
                      "%d packets offered" % count, seconds)


def test_every_packet_is_counted():
    with Namespace() as n, Daemon(namespace=n.name, workers=2) as d:
        start(d)
        send(n, 5000)
        seen = wait_offered(d, 5000)
        identity(seen)
        equal(seen["offered"], 5000, "offered")
        equal(seen["processed"] + seen["device"]["kernel"], 5000, "processed and lost in the kernel")
        flows = d.call("flows.list", capture="live", limit=1000)["flows"]
        equal(len(flows), 100, "flows")
        equal(sum(f["flow"]["pkts_toserver"] + f["flow"]["pkts_toclient"] for f in flows), seen["processed"],
              "packets of all flows")
        equal(sum(f["flow"]["bytes_toserver"] + f["flow"]["bytes_toclient"] for f in flows), 60 * seen["processed"], "bytes of all flows")
        equal(stop(d)["offered"], 5000, "offered at the end")


def warm_up(d, namespace):
    """Touches what is allocated once and used anew for ever: the table, the rings, the recent store."""
    start(d)
    send(namespace, 60000, flows=60000)
    wait_until(lambda: d.drops("live")["offered"] >= 60000, "the first packets")
    stop(d)


def test_start_and_stop_under_traffic():
    """Starts and stops a capture again and again: exact each time, and nothing is left behind."""
    config = "flow:\n  capacity: 5000\n  recent_bytes: 1MiB\n"
    with Namespace() as n, Daemon(namespace=n.name, workers=2, config=config) as d:
        warm_up(d, n)
        before = None
        with Traffic(n):
            for cycle in range(CYCLES):
                start(d, source="afpacket:near,queues=%d" % (1 + cycle % 2))
                wait_until(lambda: d.drops("live")["processed"] > 500, "packets in cycle %d" % cycle)
                identity(d.drops("live"))
                last = stop(d)
                identity(last)
                check(last["received"] > 500, "received %d in cycle %d", last["received"], cycle)
                if cycle == 9:  # everything that is made once has been made
                    before = d.rss_kib(), d.descriptors()
        wait_until(lambda: d.descriptors() <= before[1], "%d descriptors again" % before[1])
        if not SANITIZED:
            # pages touched late: half a MiB is usual, on a busy machine twice that
            check(d.rss_kib() - before[0] < 2048, "RSS grew from %d KiB to %d KiB", before[0], d.rss_kib())
        equal(d.call("capture.list")["captures"], [], "captures left")
        equal(d.stop(), 0, "exit code")


def test_kernel_drops_are_the_drops_shown():
    """While the daemon stands still the socket's buffer overflows: each frame is received or lost."""
    total = 120000
    for queues in (1, 2):
        with Namespace() as n, Daemon(namespace=n.name, workers=2) as d:
            start(d, source="afpacket:near,queues=%d" % queues)
            send(n, 100)
            wait_offered(d, 100)
            d.process.send_signal(signal.SIGSTOP)
            try:
                send(n, total, size=1000)
            finally:
                d.process.send_signal(signal.SIGCONT)
            seen = wait_offered(d, total + 100)
            identity(seen)
            equal(seen["offered"], total + 100, "offered with %d queues" % queues)
            check(seen["device"]["kernel"] > 0, "no drops in the kernel: the test does not test")
            last = stop(d)
            identity(last)
            equal(last["offered"], total + 100, "offered at the end with %d queues" % queues)


def test_interface_down_and_up():
    with Namespace() as n, Daemon(namespace=n.name) as d:
        start(d)
        n.ip("link", "set", "near", "down")
        paused = d.wait_capture("live", "paused", seconds=10)
        check(paused["reason"], "no reason for the pause")
        n.ip("link", "set", "near", "up")
        wait_until(lambda: n.is_up("near"), "carrier")
        d.wait_capture("live", "running", seconds=10)
        before = d.drops("live")["offered"]
        send(n, 200)
        identity(wait_offered(d, before + 200))
        stop(d)


def test_interface_gone():
    with Namespace() as n, Daemon(namespace=n.name) as d:
        n.pair("other", "end")
        start(d, source="afpacket:other", name="going")
        start(d)
        send(n, 50, device="end")
        wait_offered(d, 50, "going")
        n.ip("link", "del", "other")
        failed = d.wait_capture("going", "failed", seconds=15)
        check(failed["reason"], "no reason for the failure")
        identity(d.drops("going"))
        ended = d.call("flows.list", capture="going", state="ended", limit=100)["flows"]
        equal(len(ended), 50, "flows ended with the interface")
        d.call("capture.stop", name="going")
        send(n, 50)  # the daemon goes on
        wait_offered(d, 50)
        stop(d)


def test_no_such_interface():
    with Namespace() as n, Daemon(namespace=n.name) as d:
        for source in ("afpacket:nowhere0", "afxdp:nowhere0"):
            try:
                d.call("capture.start", source=source)
                raise Failed(source + " was started")
            except RpcError as x:
                check("nowhere0" in x.message, "the message does not name the interface: %s", x.message)
        equal(d.call("capture.list")["captures"], [], "captures left")


def test_filter():
    with Namespace() as n, Daemon(namespace=n.name, workers=2) as d:
        try:
            d.call("capture.start", source="afpacket:near", filter="udp and frobnicate")
            raise Failed("a bad filter was taken")
        except RpcError as x:
            check("filter" in x.message.lower(), "the message does not name the filter: %s", x.message)
        equal(d.call("capture.list")["captures"], [], "captures left by a bad filter")
        start(d, filter="udp dst port 4001")
        send(n, 300)
        send(n, 200, dport=4001)
        seen = wait_until(lambda: (lambda x: x if x["processed"] >= 200 else None)(d.drops("live")), "200 processed")
        identity(seen)
        equal(seen["processed"], 200, "processed")
        # what the kernel filters is never offered; what we filter is counted
        check(seen["filtered"] in (0, 300), "filtered %d", seen["filtered"])
        stop(d)


def test_several_at_once():
    with Namespace() as n, Daemon(namespace=n.name, workers=2) as d:
        n.pair("second", "its-end")
        start(d, name="a")
        start(d, source="afpacket:second", name="b")
        d.call("capture.start", source="pcap:" + os.path.join(DATA, "sample.pcap"), name="c")
        send(n, 400)
        send(n, 300, device="its-end")
        wait_offered(d, 400, "a")
        wait_offered(d, 300, "b")
        d.wait_capture("c", "finished")
        try:
            d.call("capture.start", source="afpacket:near", name="a")
            raise Failed("a name was given twice")
        except RpcError as x:
            check("a" in x.message, "message: %s", x.message)
        for c in d.call("drops.get")["captures"]:
            identity(c)
        equal([d.drops(name)["processed"] for name in "ab"], [400, 300], "processed")
        equal({f["pktai"]["capture"] for f in d.call("flows.list", capture="a", limit=1000)["flows"]}, {"a"}, "captures")
        stop(d, "a")
        check(d.capture("b")["state"] == "running", "b ended with a")
        stop(d, "b")


def test_silent_link_expires_flows():
    """No packet comes any more: flows end all the same, by the clock."""
    config = "flow:\n  timeouts:\n    udp: 1\n"
    with Namespace() as n, Daemon(namespace=n.name, config=config) as d:
        start(d)
        send(n, 100)
        wait_offered(d, 100)
        ended = wait_until(lambda: (lambda f: f if len(f) == 100 else None)(
            d.call("flows.list", capture="live", state="ended", limit=1000)["flows"]), "100 flows ended", 15)
        equal({f["pktai"]["end_reason"] for f in ended}, {"idle"}, "end reasons")
        stop(d)


def test_idle_daemon_sleeps():
    with Namespace() as n, Daemon(namespace=n.name, workers=2) as d:
        start(d)
        ticks = lambda: sum(map(int, d.proc("stat").rsplit(")", 1)[1].split()[11:13]))  # noqa: E731
        time.sleep(0.5)  # to come to rest; then two seconds are the measurement
        before = ticks()
        time.sleep(2)
        share = (ticks() - before) / os.sysconf("SC_CLK_TCK") / 2
        check(share < 0.25 * SLOW, "an idle daemon uses %.0f%% of a core", share * 100)
        stop(d)


if __name__ == "__main__":
    main(globals())
