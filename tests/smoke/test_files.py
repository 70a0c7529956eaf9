#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Files, good and bad, in batch and in a running daemon: exit codes, what is said, what is written."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from daemon import *  # noqa: E402,F403

SAMPLE = os.path.join(DATA, "sample.pcap")


class File:
    """A file with this content for the time of a test."""

    def __init__(self, content, name="file.pcap"):
        self.folder = temporary()
        self.path = os.path.join(self.folder, name)
        with open(self.path, "wb") as f:
            f.write(content)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.folder)


def sample():
    with open(SAMPLE, "rb") as f:
        return f.read()


def records(data, count):
    """The place in a pcap file behind so many records."""
    at = 24
    for _ in range(count):
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
    return at


def refused(path, *words):
    """Both ways of use name the file and the reason, and the daemon goes on."""
    run = Batch(path)
    equal(run.code, 2, "exit code")
    check(os.path.basename(path) in run.stderr, "stderr does not name the file: %s", run.stderr)
    check(any(w in run.stderr.lower() for w in words), "stderr does not say why: %s", run.stderr)
    run.stats()
    with Daemon() as d:
        try:
            name = d.call("capture.start", source="pcap:" + path)["name"]
            failed = d.wait_capture(name, "failed")
            text = failed["reason"]
        except RpcError as x:
            text = x.message
        check(any(w in text.lower() for w in words), "the reason does not say why: %s", text)
        d.call("capture.start", source="pcap:" + SAMPLE, name="next")
        d.wait_capture("next", "finished")


def test_missing_file():
    refused("/nonexistent/trace.pcap", "no such file")


def test_directory():
    folder = temporary()
    try:
        refused(folder, "directory")
    finally:
        shutil.rmtree(folder)


def test_not_a_capture():
    with File(b"#!/bin/sh\necho this is not a capture\n" * 20) as path:
        refused(path, "not a capture", "unknown file format", "format")


def test_empty_file():
    with File(b"") as path:
        refused(path, "empty", "truncated", "not a capture")


def test_unreadable_file():
    if os.geteuid() != 0:
        raise Skip("needs root to become another user")
    with File(sample()) as path:
        os.chmod(os.path.dirname(path), 0o755)
        os.chmod(path, 0)
        program = os.path.join(os.path.dirname(path), "pktaid")
        shutil.copy(PKTAID, program)
        p = subprocess.run([program, "--no-huge", "--memory", "256", "--socket", "/tmp/pktaid-unreadable.sock",
                            "--capture", "pcap:" + path, "--exit-when-done"], stderr=subprocess.PIPE,
                           preexec_fn=run_as(65534), timeout=60 * SLOW)
        equal(p.returncode, 2, "exit code, stderr: %s" % p.stderr)
        check(b"ermission denied" in p.stderr, "stderr: %s", p.stderr)


def test_truncated_file():
    """What was read is written, exit 2, and stderr says how far it got."""
    data = sample()
    for cut, whole in ((records(data, 200) + 7, 200), (records(data, 200) + 30, 200), (len(data) - 1, None)):
        with File(data[:cut]) as path:
            run = Batch(path, workers=2)
            equal(run.code, 2, "exit code")
            stats = run.stats()["pktai"]["captures"][0]
            identity(stats)
            if whole is not None:
                equal(stats["processed"], whole, "frames read")
                check(str(whole) in run.stderr, "stderr does not say how far it got: %s", run.stderr)
            check("cut off" in run.stderr, "stderr: %s", run.stderr)
            check(len(run.of_type("flow")) > 10, "%d flows written", len(run.of_type("flow")))
            with Daemon() as d:
                d.call("capture.start", source="pcap:" + path, name="cut")
                state = d.wait_capture("cut", "failed")
                check("cut off" in state["reason"], "reason: %s", state["reason"])
                check(d.call("flows.list", capture="cut", limit=1000)["flows"], "no flows of what was read")


def test_corrupt_record_header():
    """A record that claims to be larger than any packet ends the file, and no garbage follows."""
    data = sample()
    at = records(data, 100)
    bad = data[:at] + struct.pack("<IIII", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFF0, 0xFFFFFFF0) + data[at + 16:]
    with File(bad) as path:
        run = Batch(path)
        equal(run.code, 2, "exit code")
        equal(run.stats()["pktai"]["captures"][0]["processed"], 100, "frames read")


def test_file_without_packets():
    with File(sample()[:24]) as path:
        run = Batch(path)
        equal(run.code, 0, "exit code, stderr: " + run.stderr)
        equal([e["event_type"] for e in run.events], ["stats"], "events")


def test_awkward_names():
    for name in ("with space.pcap", "comma,queues=2.pcap", "quote\"s'.pcap", "ünïcode.pcap"):
        with File(sample(), name) as path:
            # a comma at the end says that no options follow
            run = Batch("pcap:" + path + ("," if "," in name else ""))
            equal(run.code, 0, "exit code for %s, stderr: %s" % (name, run.stderr))
            equal(run.stats()["pktai"]["captures"][0]["processed"], frames_of(sample()), name)


def frames_of(data):
    n, at = 0, 24
    while at < len(data):
        at += 16 + struct.unpack_from("<I", data, at + 8)[0]
        n += 1
    return n


def test_batch_exit_codes():
    equal(Batch(SAMPLE).code, 0, "a good file")
    equal(Batch(SAMPLE, "/nonexistent/x.pcap").code, 2, "one good, one missing")
    equal(Batch(SAMPLE, args=["--frobnicate"]).code, 1, "a bad option")
    equal(Batch(SAMPLE, args=["--workers", "0"]).code, 1, "a bad number")
    equal(Batch(SAMPLE, config="frobnicate: 1\n").code, 1, "a bad configuration")
    equal(Batch(SAMPLE, events="/nonexistent/eve.json").code, 1, "events that cannot be written")


def test_full_disk():
    run = Batch(os.path.join(DATA, "tcp-ends.pcap"), events="/dev/full")
    check(run.code != 0, "exit code 0 though nothing was written")
    check("space" in run.stderr.lower(), "stderr: %s", run.stderr)


def test_events_to_stdout():
    run = Batch(SAMPLE, events="-")
    equal(run.code, 0, "exit code")
    to_file = Batch(SAMPLE)
    flows = lambda r: sorted(json.dumps(e, sort_keys=True) for e in r.of_type("flow"))  # noqa: E731
    equal(flows(run), flows(to_file), "flows on stdout and in a file")
    check("sample.pcap" in run.stderr, "no summary on stderr: %s", run.stderr)


def test_several_files_in_one_run():
    run = Batch(SAMPLE, os.path.join(DATA, "sample.pcapng"), os.path.join(DATA, "malformed.pcap"), workers=2)
    equal(run.code, 0, "exit code, stderr: " + run.stderr)
    captures = run.stats()["pktai"]["captures"]
    equal(len(captures), 3, "captures in the stats event")
    for c in captures:
        identity(c)
    equal([c["processed"] for c in captures][0], frames_of(sample()), "frames of the first")
    equal(len({e["pktai"]["capture"] for e in run.of_type("flow")}), 3, "captures that flows name")


def test_every_flow_is_written_once():
    """Packets of flow events add up to the frames, for every number of workers."""
    for workers in (1, 2, 3):
        run = Batch(os.path.join(DATA, "tcp-ends.pcap"), workers=workers)
        total = sum(e["flow"]["pkts_toserver"] + e["flow"]["pkts_toclient"] for e in run.of_type("flow"))
        equal(total, run.stats()["pktai"]["captures"][0]["processed"], "packets with %d workers" % workers)


def test_loop_and_filter():
    n = frames_of(sample())
    run = Batch("pcap:%s,loop=3" % SAMPLE)
    equal(run.stats()["pktai"]["captures"][0]["processed"], 3 * n, "frames of three rounds")
    with Daemon(workers=2) as d:
        d.call("capture.start", source="pcap:" + SAMPLE, name="dns", filter="udp port 53")
        d.wait_capture("dns", "finished")
        seen = d.drops("dns")
        identity(seen)
        equal(seen["received"], n, "received")
        equal(seen["processed"], 16, "datagrams of DNS")
        ports = {(f.get("src_port"), f.get("dest_port")) for f in d.call("flows.list", limit=1000)["flows"]}
        check(all(53 in p for p in ports), "ports: %r", ports)


def test_stream_configuration():
    """What stream.* and decode.checksum say reaches the stage."""
    def tcp(name, config=None):
        run = Batch(os.path.join(DATA, name), config=config)
        equal(run.code, 0, "exit code with %r, stderr: %s" % (config, run.stderr))
        return run.events[-1]["pktai"]["reassembly"]["tcp"]

    plain, verified = tcp("malformed.pcap"), tcp("malformed.pcap", "decode: {checksum: verify}\n")
    equal((plain["bad_checksum"], verified["bad_checksum"]), (0, 1), "segments refused for their checksum")
    equal(plain["segments_received"], verified["segments_received"], "segments received")
    # of segments that contradict each other, drop takes nothing
    first, drop = tcp("tcp-streams.pcap"), tcp("tcp-streams.pcap", "stream: {policy: drop}\n")
    equal((first["overlap_differing"], drop["overlap_differing"]), (3, 3), "contradictions")
    check(drop["overlap"] == first["overlap"] + 3, "policy drop: overlap %d, first: %d", drop["overlap"], first["overlap"])
    equal(Batch(SAMPLE, config="stream: {bytes: 300KiB}\n").code, 1, "too few bytes for streams")


def test_flows_only():
    """Without reassembly (stream.bytes 0): the same flows, nothing of streams, and none can be saved."""
    config = "stream:\n    bytes: 0\n"
    whole, flows = Batch(DATA + "/sample.pcap"), Batch(DATA + "/sample.pcap", config=config)
    equal(flows.code, 0, "exit code")

    def core(batch):
        return sorted((e["flow_id"], e["flow"]["pkts_toserver"], e["flow"]["bytes_toclient"], e["flow"]["state"])
                      for e in batch.of_type("flow"))
    equal(core(flows), core(whole), "flows")
    with Daemon(config=config) as d:
        try:
            d.call("capture.start", source="pcap:" + DATA + "/sample.pcap", follow_to=d.folder)
        except RpcError as x:
            check("stream.bytes" in x.message, "says why: %s", x.message)
        else:
            raise Failed("streams are saved without reassembly")


if __name__ == "__main__":
    main(globals())
