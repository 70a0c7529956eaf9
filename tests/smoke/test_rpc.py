#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The socket under clients that are wrong, greedy, slow or many: an error or a counter each, and the
daemon goes on serving the others."""
import json
import os
import resource
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from daemon import *  # noqa: E402,F403

SAMPLE = os.path.join(DATA, "sample.pcap")


def answer(d, line):
    """One line on a connection of its own; returns the reply (None: closed without a word)."""
    with Client(d.socket) as c:
        c.send_line(line)
        return c.line()


def alive(d):
    equal(d.call("system.info")["pid"], d.process.pid, "who answers")


def test_bad_json():
    with Daemon() as d:
        for line, code in ((b"{", -32700), (b"\xff\xfe", -32700), (b'{"jsonrpc":"2.0","id":1,"method":', -32700),
                           (b"[]", -32600), (b"1", -32600), (b"null", -32600), (b'{"id":1,"method":"system.info"}', -32600),
                           (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
                           (b'{"jsonrpc":"2.0","id":1,"method":"no.such"}', -32601),
                           (b'{"jsonrpc":"2.0","id":1,"method":"capture.start"}', -32602),
                           (b'{"jsonrpc":"2.0","id":1,"method":"flows.top","params":{"n":"many"}}', -32602),
                           (b'{"jsonrpc":"2.0","id":1,"method":"flows.top","params":{"n":-1}}', -32602),
                           (b'{"jsonrpc":"2.0","id":1,"method":"flows.top","params":{"frob":1}}', -32602),
                           (b"[" * 5000, -32700)):
            reply = answer(d, line)
            check(reply and "error" in reply, "%r: reply %r", line[:60], reply)
            equal(reply["error"]["code"], code, repr(line[:60]))
        with Client(d.socket) as c:  # the connection survives an error
            c.send_line(b"{")
            equal(c.line()["error"]["code"], -32700, "code")
            check(c.call("system.info")["version"], "no answer after an error")
        alive(d)


def test_invalid_parameters_are_named():
    with Daemon() as d:
        for method, params, word in (("flows.top", {"by": "colour"}, "by"), ("flows.list", {"limit": 0}, "limit"),
                                     ("capture.start", {"source": 5}, "source"), ("flows.get", {"flow_id": "x"}, "flow_id")):
            try:
                d.call(method, **params)
                raise Failed("%s took %r" % (method, params))
            except RpcError as x:
                equal(x.code, -32602, method)
                check(word in x.message, "%s: %s", method, x.message)
        try:
            d.call("capture.start", source="frob:nicate")
            raise Failed("an unknown source was taken")
        except RpcError as x:
            check("afpacket" in x.message + str(x.data), "the message does not say what is accepted: %s", x.message)


def test_batches_and_notifications():
    with Daemon() as d, Client(d.socket) as c:
        c.send_line(b'[{"jsonrpc":"2.0","id":1,"method":"system.info"},{"jsonrpc":"2.0","method":"system.info"},5,'
                    b'{"jsonrpc":"2.0","id":"two","method":"capture.list"}]')
        replies = c.line()
        equal({r.get("id") for r in replies}, {1, "two", None}, "ids")
        equal([r["error"]["code"] for r in replies if "error" in r], [-32600], "errors")
        c.send_line(b'{"jsonrpc":"2.0","method":"system.info"}')
        c.send_line(b'{"jsonrpc":"2.0","method":"no.such"}')
        equal(c.call("system.info")["pid"], d.process.pid, "notifications were answered")


def test_request_of_ten_megabytes():
    with Daemon() as d:
        before = d.rss_kib()
        with Client(d.socket) as c:
            refused = False
            try:
                c.socket.sendall(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * (10 << 20) + b'"}\n')
            except (BrokenPipeError, ConnectionResetError):
                refused = True  # the daemon need not read it all
            try:
                reply = c.line()
            except (BrokenPipeError, ConnectionResetError):
                reply = None
            check(refused or reply is not None and "error" in reply, "reply %r", reply)
            if reply is not None:
                check("65536" in reply["error"]["message"] or "64" in reply["error"]["message"],
                      "the error does not name the limit: %r", reply)
        if not SANITIZED:
            check(d.rss_kib() - before < 4096, "RSS grew from %d to %d KiB", before, d.rss_kib())
        alive(d)


def test_requests_byte_by_byte():
    with Daemon() as d, Client(d.socket) as c:
        for byte in b'{"jsonrpc":"2.0","id":7,"method":"system.info"}\n':
            c.socket.sendall(bytes([byte]))
        equal(c.line()["id"], 7, "id")


def test_a_thousand_idle_clients():
    """More than are let in: the rest hear why; those inside are served; descriptors come back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with Daemon() as d:
        before = d.descriptors()
        with Client(d.socket) as early:
            crowd, refused = [], 0
            for _ in range(1000):
                s = socket.socket(socket.AF_UNIX)
                s.settimeout(10 * SLOW)
                s.connect(d.socket)
                crowd.append(s)
            for s in crowd:
                s.setblocking(False)
            check(early.call("system.info")["pid"] == d.process.pid, "a client from before is not served")

            def hears(s):
                try:
                    data = s.recv(4096)
                except (BlockingIOError, ConnectionResetError):
                    return None
                return data
            said = [hears(s) for s in crowd]
            refused = sum(x is not None for x in said)
            texts = [json.loads(x)["error"]["message"] for x in said if x]
            check(refused == 0 or texts, "clients were turned away without a word")
            check(refused > 0 or d.descriptors() >= before + 1000, "clients are neither in nor out")
            check(d.descriptors() <= before + 1001, "descriptors: %d", d.descriptors())
            early.call("capture.start", source="pcap:" + SAMPLE, name="x")
            wait_until(lambda: early.call("capture.list")["captures"][0]["state"] == "finished", "the file is read")
            for s in crowd:
                s.close()
        wait_until(lambda: d.descriptors() <= before, "descriptors come back", 10)
        alive(d)


def test_slow_reader_of_replies():
    """A client that asks and never reads is cut off; the daemon's memory stays as it is."""
    with Daemon() as d:
        d.call("capture.start", source="pcap:" + SAMPLE, name="x")
        d.wait_capture("x", "finished")
        before = d.rss_kib()
        lazy = socket.socket(socket.AF_UNIX)
        lazy.connect(d.socket)
        lazy.setblocking(False)
        request = b'{"jsonrpc":"2.0","id":1,"method":"flows.list","params":{"limit":1000}}\n'
        end = time.monotonic() + 20 * SLOW
        asked = 0
        while asked < 3000 and time.monotonic() < end:
            try:
                lazy.send(request)
                asked += 1
            except BlockingIOError:
                alive(d)  # others are served meanwhile
                if asked > 200:
                    break
                time.sleep(0.01)
            except (BrokenPipeError, ConnectionResetError):
                break
        alive(d)
        if not SANITIZED:
            check(d.rss_kib() - before < 65536, "RSS grew from %d to %d KiB", before, d.rss_kib())
        lazy.close()
        alive(d)


def test_pages_and_top_agree():
    with Daemon(workers=3) as d:
        d.call("capture.start", source="pcap:" + SAMPLE, name="x")
        d.wait_capture("x", "finished")
        whole = d.call("flows.list", limit=1000)
        equal(whole["cursor"], None, "cursor of the whole")
        pages, cursor = [], None
        while True:
            more = {"cursor": cursor} if cursor else {}
            page = d.call("flows.list", limit=7, **more)
            check(len(page["flows"]) <= 7, "%d flows in a page of 7", len(page["flows"]))
            pages += page["flows"]
            cursor = page["cursor"]
            if cursor is None:
                break
        key = lambda f: (f["flow_id"], f["pktai"]["part_no"])  # noqa: E731
        equal(sorted(map(key, pages)), sorted(map(key, whole["flows"])), "flows over the pages")
        size = lambda f: f["flow"]["bytes_toserver"] + f["flow"]["bytes_toclient"]  # noqa: E731
        top = d.call("flows.top", n=5, by="bytes")["flows"]
        equal(list(map(size, top)), sorted(map(size, whole["flows"]), reverse=True)[:5], "the five largest")
        for f in top:
            equal(d.call("flows.get", flow_id=f["flow_id"])["flow"]["flow_id"], f["flow_id"], "flows.get")
        some = d.call("flows.list", limit=1000, filter="udp and port 53")["flows"]
        want = [f for f in whole["flows"] if f["proto"] == "UDP" and 53 in (f.get("src_port"), f.get("dest_port"))]
        equal(len(some), len(want), "flows that a filter leaves")
        try:
            d.call("flows.list", filter="tcp[13] = 2")
            raise Failed("a filter was taken that a record cannot answer")
        except RpcError as x:
            check(x.message, "no message")


def test_discover():
    with Daemon() as d:
        document = d.call("rpc.discover")
        names = {m["name"] for m in document["methods"]}
        for name in ("system.info", "system.reload", "system.shutdown", "system.log_level", "capture.start", "capture.stop",
                     "capture.list", "flows.top", "flows.list", "flows.get", "flows.flush", "stats.get", "protocols.get",
                     "drops.get", "reassembly.stats"):
            check(name in names, "rpc.discover does not list %s", name)
        check("openrpc" in document, "no OpenRPC document")


def test_every_counter_has_its_help():
    with Daemon() as d:
        found = []

        def walk(value):
            if isinstance(value, dict):
                if "name" in value and "value" in value:
                    found.append(value)
                for v in value.values():
                    walk(v)
            elif isinstance(value, list):
                for v in value:
                    walk(v)
        walk(d.call("stats.get"))
        check(len(found) > 20, "%d counters", len(found))
        for c in found:
            check(c.get("help"), "no help text: %r", c)


def test_shutdown_and_log_level():
    with Daemon() as d:
        d.call("system.log_level", level="debug")
        try:
            d.call("system.log_level", level="loud")
            raise Failed("a level that is none was taken")
        except RpcError as x:
            check("debug" in x.message + str(x.data), "message: %s", x.message)
        d.call("system.shutdown")
        equal(d.wait_exit(), 0, "exit code")


if __name__ == "__main__":
    main(globals())
