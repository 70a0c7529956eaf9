# SPDX-License-Identifier: Apache-2.0
"""What the golden, oracle and smoke tests share: a daemon on a socket of its own, a JSON-RPC client,
batch runs, network namespaces and traffic. Everything waits for an event up to a deadline; nothing
sleeps and hopes. A test file ends with main(globals()), which runs its test_* functions."""
import ctypes
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.realpath(os.path.join(HERE, "..", ".."))
DATA = os.path.join(ROOT, "tests", "data")
BUILD = os.environ.get("PKTAID_BUILD", os.path.join(ROOT, "build"))
PKTAID = os.environ.get("PKTAID", os.path.join(BUILD, "pktaid"))
PKTCTL = os.environ.get("PKTCTL", os.path.join(BUILD, "ctl", "pktctl"))
# A sanitizer build is slower and holds more memory: deadlines stretch, bounds on memory do not apply.
SANITIZED = os.environ.get("PKTAID_SANITIZED", "") == "1"
SLOW = 4 if SANITIZED else 1
SKIP = 77


class Skip(Exception):
    pass


class Failed(AssertionError):
    pass


class RpcError(Exception):
    def __init__(self, error):
        super().__init__("%s (%s)" % (error.get("message"), error.get("code")))
        self.code, self.message, self.data = error.get("code"), error.get("message", ""), error.get("data")


def check(claim, text, *values):
    if not claim:
        raise Failed(text % values if values else text)


def equal(got, want, what):
    check(got == want, "%s: got %r, want %r", what, got, want)


def wait_until(claim, what, seconds=20, step=0.02):
    """Calls claim() until it is true; returns its value. The wait is bounded."""
    end = time.monotonic() + seconds * SLOW
    while True:
        value = claim()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed("waited %d s in vain: %s" % (seconds * SLOW, what))
        time.sleep(step)


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")
    if not os.path.exists("/proc/self/ns/net") or shutil.which("ip") is None:
        raise Skip("needs network namespaces and iproute2")


def temporary():
    return tempfile.mkdtemp(prefix="pktaid-test-")


class Client:
    """A connection to the daemon. Notifications that come meanwhile are kept in .events."""

    def __init__(self, path, timeout=30):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout * SLOW)
        self.socket.connect(path)
        self.buffer, self.events, self.number = b"", [], 0

    def send_line(self, line):
        self.socket.sendall(line if line.endswith(b"\n") else line + b"\n")

    def line(self):
        """The next line, or None when the daemon has closed the connection."""
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        return json.loads(line)

    def reply(self):
        while True:
            message = self.line()
            if isinstance(message, dict) and "method" in message:
                self.events.append(message["params"])
                continue
            return message

    def call(self, method, **params):
        self.number += 1
        request = {"jsonrpc": "2.0", "id": self.number, "method": method}
        if params:
            request["params"] = params
        self.send_line(json.dumps(request).encode())
        reply = self.reply()
        if reply is None:
            raise ConnectionError("the daemon closed the connection")
        equal(reply.get("id"), self.number, method + ": id of the reply")
        if "error" in reply:
            raise RpcError(reply["error"])
        return reply["result"]

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def findings(text):
    """What a sanitizer wrote to stderr, or nothing."""
    return "\n".join(line for line in text.splitlines() if "runtime error:" in line or "Sanitizer" in line)


def run_as(uid):
    """A function for subprocess's preexec_fn: become this user, without supplementary groups."""
    def change():
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
    return change


class Daemon:
    """pktaid on a socket in a folder of its own. Usable in `with`; leaves nothing behind."""

    def __init__(self, *args, config=None, workers=1, memory=512, namespace=None, user=None, no_huge=True,
                 folder=None, env=None, ready=True):
        self.own_folder = folder is None
        self.folder = folder or temporary()
        self.socket = os.path.join(self.folder, "pktaid.sock")
        self.log_path = os.path.join(self.folder, "log.%d" % time.monotonic_ns())
        words = [PKTAID, "--socket", self.socket, "--workers", str(workers), "--memory", str(memory)]
        if no_huge:
            words.append("--no-huge")
        if config is not None:
            path = os.path.join(self.folder, "pktaid.yaml")
            with open(path, "w") as f:
                f.write(config)
            words += ["--config", path]
        if namespace:
            words = ["ip", "netns", "exec", namespace] + words
        if user is not None:
            os.chmod(self.folder, 0o777)
        self.log_file = open(self.log_path, "wb")
        self.process = subprocess.Popen(words + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=self.log_file, env=dict(os.environ, **(env or {})),
                                        preexec_fn=None if user is None else run_as(user))
        self.clients = []
        if ready:
            try:
                self.wait_ready()
            except BaseException:
                self.end()
                raise

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def wait_ready(self, seconds=30):
        def answers():
            if self.process.poll() is not None:
                raise Failed("pktaid ended with %s:\n%s" % (self.process.returncode, self.log()))
            try:
                with Client(self.socket) as c:
                    return c.call("system.info")
            except (FileNotFoundError, ConnectionRefusedError):
                return None
        return wait_until(answers, "pktaid answers", seconds)

    def client(self, **more):
        self.clients.append(Client(self.socket, **more))
        return self.clients[-1]

    def call(self, method, **params):
        """A call on a connection of its own: what a script does."""
        with Client(self.socket) as c:
            return c.call(method, **params)

    def capture(self, name):
        for c in self.call("capture.list")["captures"]:
            if c["name"] == name:
                return c
        return None

    def wait_capture(self, name, *states, seconds=60):
        return wait_until(lambda: (lambda c: c if c and c["state"] in states else None)(self.capture(name)),
                          "capture %s is %s" % (name, " or ".join(states)), seconds)

    def drops(self, name):
        found = [c for c in self.call("drops.get")["captures"] if c["name"] == name]
        equal(len(found), 1, "captures of this name in drops.get")
        return found[0]

    def proc(self, name):
        with open("/proc/%d/%s" % (self.process.pid, name)) as f:
            return f.read()

    def rss_kib(self):
        return next(int(line.split()[1]) for line in self.proc("status").splitlines() if line.startswith("VmRSS:"))

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.process.pid))

    def wait_exit(self, seconds=20):
        try:
            return self.process.wait(seconds * SLOW)
        except subprocess.TimeoutExpired:
            raise Failed("pktaid does not end; log:\n" + self.log()) from None

    def stop(self):
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit()

    def end(self):
        for c in self.clients:
            c.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log_file.close()
        if self.own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        """An orderly end belongs to every test: exit 0, and no sanitizer's finding in the log."""
        try:
            if kind is None and self.process.poll() is None:
                equal(self.stop(), 0, "exit code after SIGTERM, log: " + self.log()[-4000:])
            found = findings(self.log())
            check(kind is not None or not found, "a sanitizer found: %s", found)
            if kind is not None and kind is not Skip:
                sys.stderr.write("--- log of pktaid\n%s---\n" % self.log()[-4000:])
        finally:
            self.end()


def identity(capture):
    """received = processed + filtered + dropped, offered = device losses + received; else Failed."""
    dropped = sum(capture["dropped"].values())
    check(capture["received"] == capture["processed"] + capture["filtered"] + dropped,
          "received is not processed + filtered + dropped: %r", capture)
    check(capture["offered"] == capture["received"] + sum(capture["device"].values()),
          "offered is not received + device losses: %r", capture)


class Batch:
    """One batch run: .code, .events (list of dicts), .stderr."""

    def __init__(self, *captures, args=(), workers=1, events="FILE", memory=512, user=None, config=None, timeout=180):
        folder = temporary()
        try:
            out = os.path.join(folder, "eve.json")
            words = [PKTAID, "--no-huge", "--memory", str(memory), "--socket", os.path.join(folder, "s"),
                     "--workers", str(workers)]
            if config is not None:
                with open(folder + "/pktaid.yaml", "w") as f:
                    f.write(config)
                words += ["--config", folder + "/pktaid.yaml"]
            for c in captures:
                words += ["--capture", c if ":" in c.split("/")[0] else "pcap:" + c]
            words += ["--events", out if events == "FILE" else events, "--exit-when-done", *args]
            if user is not None:
                os.chmod(folder, 0o777)
            p = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               timeout=timeout * SLOW, preexec_fn=None if user is None else run_as(user))
            self.code, self.stdout = p.returncode, p.stdout
            self.stderr = p.stderr.decode("utf-8", "replace")
            check(not findings(self.stderr), "a sanitizer found: %s", self.stderr[-4000:])
            text = p.stdout if events == "-" else open(out, "rb").read() if os.path.exists(out) else b""
            self.lines = text.splitlines()
            self.events = [json.loads(line) for line in self.lines]
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def of_type(self, kind):
        return [e for e in self.events if e["event_type"] == kind]

    def stats(self):
        """The stats event that is the last line."""
        check(self.events and self.events[-1]["event_type"] == "stats", "the last line is no stats event: %s", self.stderr)
        return self.events[-1]


# --- namespaces and traffic ------------------------------------------------------------------------

LIBC = ctypes.CDLL(None, use_errno=True)


def in_namespace(name, action):
    """Runs action() with this thread in the named network namespace."""
    here, there = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open("/run/netns/" + name, os.O_RDONLY)
    try:
        if LIBC.setns(there, 0x40000000):
            raise OSError(ctypes.get_errno(), "setns " + name)
        try:
            return action()
        finally:
            LIBC.setns(here, 0x40000000)
    finally:
        os.close(here)
        os.close(there)


class Namespace:
    """A network namespace with a silent veth pair, near and far: nothing flows but what a test sends."""

    def __init__(self):
        need_root()
        self.name = "pktaid-%d-%d" % (os.getpid(), time.monotonic_ns() % 100000)
        self.ip("netns", "add", self.name, inside=False)
        try:
            self.ip("link", "set", "lo", "up")
            self.pair("near", "far")
        except BaseException:
            self.end()
            raise

    def ip(self, *words, inside=True):
        p = subprocess.run(["ip", *(["-n", self.name] if inside else []), *words], stderr=subprocess.PIPE)
        check(p.returncode == 0, "ip %s: %s", " ".join(words), p.stderr.decode())

    def pair(self, near, far):
        self.ip("link", "add", near, "type", "veth", "peer", "name", far)
        for device in (near, far):
            subprocess.run(["ip", "netns", "exec", self.name, "sysctl", "-qw",
                            "net.ipv6.conf.%s.disable_ipv6=1" % device], check=True)
            self.ip("link", "set", device, "up")
        wait_until(lambda: self.is_up(near), "carrier")

    def is_up(self, device):
        out = subprocess.run(["ip", "-n", self.name, "-o", "link", "show", device], stdout=subprocess.PIPE).stdout
        return b"LOWER_UP" in out

    def sender(self, device):
        """A raw socket on a device; what it sends arrives at the other end of the pair."""
        def make():
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            s.bind((device, 0))
            return s
        return in_namespace(self.name, make)

    def end(self):
        subprocess.run(["ip", "netns", "del", self.name], stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


def udp_frame(flow, size=60, dport=4000):
    """An Ethernet frame of UDP over IPv4; flow (24 bits) chooses source address and port."""
    udp = struct.pack("!HHHH", 1024 + flow % 50000, dport, size - 34, 0) + bytes(max(0, size - 42))
    ip = struct.pack("!BBHHHBBH", 0x45, 0, size - 14, 1, 0x4000, 64, 17, 0) + \
        bytes([10, flow >> 16 & 255, flow >> 8 & 255, flow & 255]) + bytes([192, 0, 2, 1])
    s = sum(struct.unpack("!10H", ip))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    ip = ip[:10] + struct.pack("!H", s ^ 0xFFFF) + ip[12:]
    return bytes.fromhex("02000000000b02000000000a0800") + ip + udp


def write_pcap(path, frames, start_ns=1767600000 * 10**9, step_ns=1000):
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        t = start_ns
        for frame in frames:
            f.write(struct.pack("<IIII", t // 10**9, t % 10**9, len(frame), len(frame)) + frame)
            t += step_ns


# --- running ---------------------------------------------------------------------------------------

def main(names):
    """Runs the test_* functions of a file (or those named on the command line) and exits."""
    if not os.path.exists(PKTAID):
        print("skipped: no pktaid at %s (set PKTAID)" % PKTAID)
        sys.exit(SKIP)
    tests = [n for n in names if n.startswith("test_")]
    if sys.argv[1:]:
        tests = sys.argv[1:]
    failed, skipped = [], []
    for name in tests:
        start = time.monotonic()
        try:
            names[name]()
            print("ok       %-44s %5.1f s" % (name, time.monotonic() - start), flush=True)
        except Skip as x:
            skipped.append(name)
            print("skipped  %-44s %s" % (name, x), flush=True)
        except Exception as x:
            failed.append(name)
            if not isinstance(x, Failed):
                traceback.print_exc()
            print("FAILED   %-44s %s" % (name, x), flush=True)
    sys.exit(1 if failed else SKIP if skipped and len(skipped) == len(tests) else 0)
