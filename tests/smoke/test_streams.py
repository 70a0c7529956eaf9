#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""TCP streams as files and as bytes to follow, through whole programs: what was sent is what is saved,
whatever the network did to it, from files with one, two and three workers, and live, where fragments
arrive on other queues than their flow; the policies of networks; a folder that is missing, a disk that
is full; a flow that is followed while it lives."""
import os
import random
import resource
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from daemon import *  # noqa: E402,F403

FIN, SYN, RST, ACK = 1, 2, 4, 16


def checksum(data):
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return s ^ 0xFFFF


def frames_of(src, sport, dst, dport, seq, ack, flags, data=b"", ident=0, cut=None):
    """Ethernet frames of a TCP segment over IPv4: one, or with cut several, fragments of so many bytes."""
    tcp = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 65535, 0, 0) + data
    out = []
    for at in range(0, len(tcp), cut or len(tcp)):
        part = tcp[at:at + (cut or len(tcp))]
        more = 0x2000 if at + len(part) < len(tcp) else 0
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(part), ident & 0xFFFF, more | at >> 3, 64, 6, 0) + \
            socket.inet_aton(src) + socket.inet_aton(dst)
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        out.append(bytes.fromhex("02000000000b02000000000a0800") + ip + part)
    return out


class Connection:
    """Two ends that talk; step() gives the frames of what comes next."""

    def __init__(self, rnd, number, size, cut=None):
        self.rnd, self.cut = rnd, cut
        self.ends = [("10.1.%d.%d" % (number >> 8, number & 255), 20000 + number), ("192.0.2.1", 80)]
        self.data = [rnd.randbytes(size // 10), rnd.randbytes(size)]
        self.seq = [rnd.randrange(1 << 32), (1 << 32) - rnd.randrange(size + 1)]  # one of them wraps
        self.sent, self.ident = [0, 0], number * 1000
        self.steps = self.script()

    def frames(self, d, flags, at=0, data=b""):
        (src, sport), (dst, dport) = self.ends[d], self.ends[1 - d]
        self.ident += 1
        return frames_of(src, sport, dst, dport, self.seq[d] + at, self.seq[1 - d] + 1 + self.sent[1 - d], flags, data,
                         self.ident, self.cut)

    def script(self):
        yield self.frames(0, SYN)
        yield self.frames(1, SYN | ACK)
        yield self.frames(0, ACK)
        for d in (0, 1):
            parts, at = [], 0
            while at < len(self.data[d]):
                n = self.rnd.randint(1, 1400)
                parts.append((at, self.data[d][at:at + n]))
                at += n
            for i in range(len(parts) - 1):  # overtaken, and repeated
                if self.rnd.random() < 0.1:
                    parts[i], parts[i + 1] = parts[i + 1], parts[i]
            for at, part in parts:
                yield self.frames(d, ACK, 1 + at, part)
                if self.rnd.random() < 0.05:
                    yield self.frames(d, ACK, 1 + at, part)
            self.sent[d] = len(self.data[d])
            yield []  # the other side has read it all
        for d in (0, 1):
            yield self.frames(d, FIN | ACK, 1 + self.sent[d])
            self.sent[d] += 1
            yield self.frames(1 - d, ACK, 1 + self.sent[1 - d])


def interleaved(connections, until_read=False):
    """until_read: only until each connection's receiver has read what was sent."""
    left, rnd, out = list(connections), random.Random(3), []
    while left:
        c = rnd.choice(left)
        frames = next(c.steps, None)
        if frames is None or (until_read and not frames):
            left.remove(c)
        else:
            out += frames
    return out


def saved(folder):
    """-> {(src, sport, dst, dport): bytes}"""
    out = {}
    for name in os.listdir(folder):
        flow_id, src, sport, dst, dport = name.split("_")
        check(flow_id.isdigit(), "a flow's id: %s", name)
        with open(os.path.join(folder, name), "rb") as f:
            out[src, int(sport), dst, int(dport)] = f.read()
    return out


def expected(connections):
    return {(*c.ends[d], *c.ends[1 - d]): c.data[d] for c in connections for d in (0, 1) if c.data[d]}


def compare(folder, connections):
    have, want = saved(folder), expected(connections)
    equal(sorted(have), sorted(want), "directions saved")
    for k, data in want.items():
        check(have[k] == data, "%r: %d bytes saved, %d sent, and not the same", k, len(have[k]), len(data))


def batch(*words, **more):
    p = subprocess.run([PKTAID, "--no-huge", "--memory", "256", *words, "--exit-when-done"], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120 * SLOW, **more)
    check(not findings(p.stderr), "a sanitizer found: %s", p.stderr[-4000:])
    return p


def in_folder(action):
    """Runs action(folder) with a socket of its own in the folder's environment."""
    folder = temporary()
    before = os.environ.get("PKTAID_SOCKET")
    os.environ["PKTAID_SOCKET"] = os.path.join(folder, "pktaid.sock")
    try:
        action(folder)
    finally:
        if before is None:
            del os.environ["PKTAID_SOCKET"]
        else:
            os.environ["PKTAID_SOCKET"] = before
        shutil.rmtree(folder, ignore_errors=True)


def test_batch_saves_what_was_sent():
    """More streams at a time than files are open; every third in fragments; twice into the same folder."""
    def action(folder):
        rnd = random.Random(1)
        connections = [Connection(rnd, i, 6000, cut=296 if i % 3 == 0 else None) for i in range(600)]
        write_pcap(os.path.join(folder, "t.pcap"), interleaved(connections))
        out = os.path.join(folder, "out")
        os.mkdir(out)
        for workers in (1, 1, 2, 3):
            p = batch("--capture", "pcap:" + os.path.join(folder, "t.pcap"), "--follow-to", out, "--workers", str(workers))
            equal(p.returncode, 0, p.stderr)
            compare(out, connections)
            check("bytes of TCP streams in 1200 files" in p.stderr, "%s", p.stderr)
    in_folder(action)


def test_bad_folders():
    def action(folder):
        source = "pcap:" + os.path.join(DATA, "sample.pcap")
        for path, problem in ((os.path.join(folder, "none"), "No such file or directory"),
                              (os.path.join(DATA, "sample.pcap"), "Not a directory")):
            p = batch("--capture", source, "--follow-to", path)
            equal(p.returncode, 1, "exit code")
            equal(p.stderr.splitlines()[0], "pktaid: --follow-to: %s: %s; accepted: a folder that exists and can be "
                  "written to" % (path, problem), "message")
        with Daemon() as d:
            try:
                d.call("capture.start", source=source, follow_to=os.path.join(folder, "none"))
                raise Failed("a missing folder was accepted")
            except RpcError as e:
                check("No such file or directory" in e.message and "none" in e.message, "%s", e.message)
            equal(d.call("capture.list")["captures"], [], "captures")
            equal(d.call("capture.start", source=source, name="n")["name"], "n", "name")
            check("streams_saved" not in d.wait_capture("n", "finished"), "streams are saved, unasked")
    in_folder(action)


def test_a_full_disk():
    """No file may grow beyond 64 KiB, as on a disk that is full: told, counted, and the exit code says it."""
    def action(folder):
        connections = [Connection(random.Random(4), i, 200000) for i in range(2)]
        write_pcap(os.path.join(folder, "t.pcap"), interleaved(connections))
        out = os.path.join(folder, "out")
        os.mkdir(out)
        p = batch("--capture", "pcap:" + os.path.join(folder, "t.pcap"), "--follow-to", out,
                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536)))
        equal(p.returncode, 2, "exit code; " + p.stderr)
        check("cannot save streams to %s" % out in p.stderr and "File too large" in p.stderr, "%s", p.stderr)
        last = p.stderr.splitlines()[-1]
        words = last.split()
        done, lost = int(words[words.index("bytes") - 1]), int(words[words.index("files;") + 1])
        equal(done + lost, sum(len(c.data[d]) for c in connections for d in (0, 1)), "bytes in: " + last)
        have, want = saved(out), expected(connections)
        for k, data in have.items():
            check(want[k].startswith(data), "%r is no beginning of what was sent", k)
    in_folder(action)


def test_policies_of_networks():
    """Both kinds of overlap, by the receiver's network."""
    def action(folder):
        frames, ends = [], {}
        for i, dst in enumerate(("10.9.0.1", "192.0.2.1")):
            src, sport = "172.16.0.1", 3000 + i
            frames += frames_of(src, sport, dst, 80, 99, 0, SYN)
            for text in (b"EE", b"NN"):  # held, then contradicted
                frames += frames_of(src, sport, dst, 80, 101, 0, ACK, text)
            frames += frames_of(src, sport, dst, 80, 100, 0, ACK, b"-")
            # A datagram whose middle comes twice, with other bytes: it holds the first 12 of 28.
            whole = frames_of(src, sport, dst, 80, 103, 0, ACK, b"e" * 28, 7 + i, cut=16)
            other = frames_of(src, sport, dst, 80, 103, 0, ACK, b"n" * 28, 7 + i, cut=16)
            frames += [whole[1], other[1], whole[2], whole[0]]
            ends[dst] = (src, sport, dst, 80)
        write_pcap(os.path.join(folder, "t.pcap"), frames)
        with open(os.path.join(folder, "c.yaml"), "w") as f:
            f.write("defrag: {policy: {ipv4: first, networks: [{network: 10.0.0.0/8, policy: last}]}}\n"
                    "stream: {policy: first, networks: [{network: 10.0.0.0/8, policy: last}]}\n")
        os.mkdir(os.path.join(folder, "out"))
        p = batch("--config", os.path.join(folder, "c.yaml"), "--capture", "pcap:" + os.path.join(folder, "t.pcap"),
                  "--follow-to", os.path.join(folder, "out"))
        equal(p.returncode, 0, p.stderr)
        have = saved(os.path.join(folder, "out"))
        equal(have[ends["10.9.0.1"]], b"-NN" + b"n" * 12 + b"e" * 16, "receiver with policy last")
        equal(have[ends["192.0.2.1"]], b"-EE" + b"e" * 28, "receiver with policy first")
    in_folder(action)


def peak_kib(folder, name, frames, config):
    """Runs a batch over the frames; returns the most memory it had, and the stats event."""
    write_pcap(os.path.join(folder, name + ".pcap"), frames)
    os.makedirs(os.path.join(folder, name), exist_ok=True)
    with open(os.path.join(folder, "c.yaml"), "w") as f:
        f.write(config)
    events = os.path.join(folder, name + ".json")
    p = subprocess.Popen([PKTAID, "--no-huge", "--memory", "128", "--config", os.path.join(folder, "c.yaml"), "--events", events,
                          "--capture", "pcap:" + os.path.join(folder, name + ".pcap"), "--follow-to",
                          os.path.join(folder, name), "--exit-when-done"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    equal(p.returncode, 0, "exit code")
    with open(events, "rb") as f:
        return usage.ru_maxrss, json.loads(f.read().splitlines()[-1])


def test_floods_beside_streams():
    """100,000 half-open connections, 100,000 fragments of datagrams that never become whole and 30 MB out of
    order: streams between them are saved whole, what was kept out is counted, memory has its bounds."""
    config = ("flow: {capacity: 150000, recent_bytes: 1MiB}\nstream: {bytes: 4MiB}\n"
              "defrag: {trackers: 2000, fragments: 4000, bytes: 4MiB}\n")

    def action(folder):
        rnd = random.Random(5)
        payload = rnd.randbytes(1000)

        def streams():
            return [Connection(random.Random(6), i, 20000, cut=296 if i % 2 else None) for i in range(20)]
        quiet = interleaved(streams())
        syn = frames_of("10.77.0.0", 1, "192.0.2.9", 80, 0, 0, SYN)[0]
        part = frames_of("10.78.0.0", 1, "192.0.2.9", 80, 0, 0, ACK, payload, 1, cut=600)[0]
        far = frames_of("10.79.0.1", 1, "192.0.2.9", 80, 1, 0, ACK, payload)[0]
        loud = frames_of("10.79.0.1", 1, "192.0.2.9", 80, 0, 0, SYN)
        for i in range(100000):
            address = struct.pack("!I", i)[1:]
            loud.append(syn[:27] + address + syn[30:])
            loud.append(part[:18] + struct.pack("!H", i & 0xFFFF) + part[20:27] + address + part[30:])
            if i % 3 == 0:
                loud.append(far[:38] + struct.pack("!I", 1001 + i // 3 * 2000) + far[42:])
            if i % (100000 // len(quiet)) == 0 and i * len(quiet) // 100000 < len(quiet):
                loud.append(None)
        it = iter(quiet)
        loud = [next(it, syn) if f is None else f for f in loud] + list(it)
        before, _ = peak_kib(folder, "quiet", quiet, config)
        after, stats = peak_kib(folder, "loud", loud, config)
        have, want = saved(os.path.join(folder, "loud")), expected(streams())
        for k, data in want.items():
            check(have.get(k) == data, "%r: %d bytes saved, %d sent", k, len(have.get(k, b"")), len(data))
        tcp, ip = stats["pktai"]["reassembly"]["tcp"], stats["pktai"]["reassembly"]["ipv4"]
        check(tcp["memory_peak"] <= 4 << 20 and tcp["limit_bytes"] > 0 and tcp["gaps_budget"] == tcp["limit_bytes"], "%r", tcp)
        check(tcp["syn"] > 100000 and tcp["limit_streams"] == 0, "%r", tcp)
        check(ip["evicted"] + ip["timeout"] >= 100000 - 4000, "%r", ip)
        print("        %d MiB without, %d MiB with" % (before >> 10, after >> 10))
        if not SANITIZED:
            # 100,000 flows and streams of less than 1 KiB each, 4 + 4 MiB for bytes, 2,000 trackers
            check(after - before < 120 << 10, "memory grew from %d KiB to %d KiB", before, after)
    in_folder(action)


def pktctl(d, *words, **more):
    return subprocess.run([PKTCTL, "--socket", d.socket, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60 * SLOW, **more)


def flow_id(d, **more):
    flows = d.call("flows.list", limit=1000, **more)["flows"]
    return flows[0]["flow_id"] if flows else None


def test_pktctl_saves_and_follows():
    """capture start --follow-to with a relative folder, flow ID --follow of what is over."""
    def action(folder):
        c = Connection(random.Random(9), 1, 300000)
        write_pcap(os.path.join(folder, "t.pcap"), interleaved([c]))
        os.mkdir(os.path.join(folder, "out"))
        with Daemon(config="stream: {keep: 1MiB}\n") as d:
            p = pktctl(d, "capture", "start", "pcap:t.pcap", "--follow-to", "out", "--name", "t", "--wait", cwd=folder)
            equal((p.returncode, p.stderr), (0, b""), "pktctl capture start")
            check(b"of TCP streams in 2 files" in p.stdout, "%r", p.stdout)
            compare(os.path.join(folder, "out"), [c])
            for way, data in (("toserver", c.data[0]), ("toclient", c.data[1])):
                p = pktctl(d, "flow", str(flow_id(d)), "--follow", "--direction", way)
                equal((p.returncode, p.stderr), (0, b""), "pktctl flow --follow")
                check(p.stdout == data, "%s: %d bytes followed, %d sent", way, len(p.stdout), len(data))
            p = pktctl(d, "flow", str(flow_id(d)), "--follow")
            check(p.stdout == c.data[0] + c.data[1], "both directions: %d bytes", len(p.stdout))
            pages = pktctl(d, "--json", "flow", str(flow_id(d)), "--follow").stdout.splitlines()
            check(len(pages) > 2 and json.loads(pages[-1])["ended"] and not json.loads(pages[0])["ended"], "pages")
            d.call("capture.stop", name="t")
            p = pktctl(d, "flow", "1", "--follow")
            equal(p.returncode, 1, "a flow that is not there")
        with Daemon() as d:
            p = pktctl(d, "flow", "1", "--follow")
            equal(p.returncode, 1, "without stream.keep")
            check(b"stream.keep" in p.stderr, "%r", p.stderr)
    in_folder(action)


def test_kept_bytes_make_room():
    """A store smaller than the stream: the newest bytes stay, the rest is counted, and the client says so."""
    def action(folder):
        c = Connection(random.Random(10), 1, 300000)
        write_pcap(os.path.join(folder, "t.pcap"), interleaved([c]))
        with Daemon(config="stream: {keep: 64KiB}\n") as d:
            d.call("capture.start", source="pcap:" + os.path.join(folder, "t.pcap"), name="t")
            d.wait_capture("t", "finished")
            p = pktctl(d, "flow", str(flow_id(d)), "--follow", "--direction", "toclient")
            equal(p.returncode, 0, "pktctl flow --follow")
            check(0 < len(p.stdout) <= 65536 and c.data[1].endswith(p.stdout), "%d bytes", len(p.stdout))
            check(b"%d bytes are missing before the first" % (len(c.data[1]) - len(p.stdout)) in p.stderr, "%r", p.stderr)
            counters = {x["name"]: x["value"] for x in d.call("stats.get", section="export")["sections"][0]["counters"]}
            equal(counters["stream_bytes_kept"] + counters["stream_bytes_forgotten"], len(c.data[0]) + len(c.data[1]),
                  "bytes kept and forgotten")
    in_folder(action)


def test_live():
    """Connections in fragments on several queues of a live capture, one of them followed while it lives."""
    need_root()

    def action(folder):
        with Namespace() as n, Daemon(namespace=n.name, workers=3, config="stream: {keep: 16MiB}\n") as d:
            d.call("capture.start", source="afpacket:near,queues=3", name="live", follow_to=folder)
            d.wait_capture("live", "running")
            s = n.sender("far")
            connections = [Connection(random.Random(20), i, 20000, cut=296 if i % 2 else None) for i in range(30)]
            slow = Connection(random.Random(21), 999, 3000)
            for _ in range(4):
                for frame in next(slow.steps):
                    s.send(frame)
            slow_id = wait_until(lambda: flow_id(d, filter="host 10.1.3.231"), "the slow connection is seen")
            wait_until(lambda: follow_starts(d, slow_id), "its first bytes are kept")
            tail = subprocess.Popen([PKTCTL, "--socket", d.socket, "flow", str(slow_id), "--follow"],
                                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            losses = lambda: (d.drops("live"), d.capture("live")["streams_saved"])  # noqa: E731
            everybody, sent = connections + [slow], 0
            for way in (0, 1, None):
                for i, frame in enumerate(interleaved(everybody, way is not None)):
                    s.send(frame)
                    if i % 50 == 0:
                        time.sleep(0.001)  # leaves the two cores to the daemon
                # Who acknowledges has read: no answer is as quick as two queues are apart.
                sent += sum(len(c.data[way]) for c in everybody) if way is not None else 0
                wait_until(lambda: losses()[1]["bytes"] == sent or is_lossy(*losses()), "%d bytes are saved" % sent)
            s.close()
            drops, saved_streams = losses()
            d.call("flows.flush")
            followed, _ = tail.communicate(timeout=30 * SLOW)
            if is_lossy(drops, saved_streams):
                raise Skip("a busy machine: packets were lost")
            compare(os.path.join(folder), connections + [slow])
            equal(tail.returncode, 0, "pktctl flow --follow")
            check(followed == slow.data[0] + slow.data[1], "%d bytes followed, %d sent", len(followed),
                  len(slow.data[0]) + len(slow.data[1]))
            stats = d.call("reassembly.stats", capture="live")["ipv4"]
            check(stats["reassembled"] > 300, "fragments were put together: %r", stats)
    folder = temporary()
    try:
        action(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_lossy(drops, saved_streams):
    return drops["device"]["kernel"] or sum(drops["dropped"].values()) or saved_streams["bytes_lost"]


def follow_starts(d, flow):
    try:
        return d.call("flows.stream", flow_id=flow)["pieces"]
    except RpcError:
        return None


main(globals())
