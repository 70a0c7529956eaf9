#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The daemon's life: stale sockets, two daemons, signals, reload, missing rights, missing hugepages."""
import json
import os
import signal
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from daemon import *  # noqa: E402,F403

SAMPLE = os.path.join(DATA, "sample.pcap")
NOBODY = 65534


def need_user():
    if os.geteuid() != 0:
        raise Skip("needs root to become another user")


def test_killed_and_started_anew():
    folder = temporary()
    try:
        with Daemon(folder=folder) as d:
            d.process.send_signal(signal.SIGKILL)
            d.process.wait()
            check(stat.S_ISSOCK(os.stat(d.socket).st_mode), "no stale socket: the test does not test")
        with Daemon(folder=folder) as d:
            check(d.call("system.info")["pid"] == d.process.pid, "another daemon answers")
            equal(d.stop(), 0, "exit code")
            check(not os.path.exists(d.socket), "the socket is left after an orderly end")
    finally:
        shutil.rmtree(folder)


def test_two_daemons_on_one_socket():
    folder = temporary()
    try:
        with Daemon(folder=folder) as first:
            with Daemon(folder=folder, ready=False) as second:
                equal(second.wait_exit(), 1, "exit code of the second")
                check(first.socket in second.log(), "the message does not name the socket: %s", second.log())
            equal(first.call("system.info")["pid"], first.process.pid, "who answers")
    finally:
        shutil.rmtree(folder)


def test_socket_is_a_file_of_someone_else():
    folder = temporary()
    try:
        path = os.path.join(folder, "pktaid.sock")
        with open(path, "w") as f:
            f.write("not a socket")
        with Daemon(folder=folder, ready=False) as d:
            equal(d.wait_exit(), 1, "exit code")
            check(path in d.log(), "message: %s", d.log())
        with open(path) as f:
            equal(f.read(), "not a socket", "the file")
    finally:
        shutil.rmtree(folder)


def test_terminate_exports_all_flows():
    folder = temporary()
    try:
        out = os.path.join(folder, "eve.json")
        # at the speed of the recording, so that the signal comes in the middle
        with Daemon("--events", out, "--capture", "pcap:%s,speed=1x" % SAMPLE, folder=folder) as d:
            wait_until(lambda: d.call("drops.get")["captures"][0]["processed"] > 100, "a hundred packets")
            equal(d.stop(), 0, "exit code")
        with open(out) as f:
            events = [json.loads(line) for line in f]
        equal(events[-1]["event_type"], "stats", "the last event")
        capture = events[-1]["pktai"]["captures"][0]
        identity(capture)
        check(100 < capture["processed"] < 400, "processed %d: not in the middle", capture["processed"])
        flows = [e for e in events if e["event_type"] == "flow"]
        check("forced" in {e["pktai"]["end_reason"] for e in flows}, "no flow ended by force")
        stack = {p["name"]: p["packets"] for p in events[-1]["pktai"]["protocols"]}
        outer = sum(e["flow"]["pkts_toserver"] + e["flow"]["pkts_toclient"] for e in flows if not e.get("tunnel"))
        with_ip = capture["processed"] - stack.get("arp", 0)
        check(outer >= with_ip - stack.get("vxlan", 0), "%d packets in flows, %d with IP", outer, with_ip)
    finally:
        shutil.rmtree(folder)


def test_hangup_reloads():
    before = "log: notice\ncaptures:\n  - name: one\n    source: pcap:%s\n" % SAMPLE
    with Daemon(config=before) as d:
        d.wait_capture("one", "finished")
        path = os.path.join(d.folder, "pktaid.yaml")
        with open(path, "a") as f:
            f.write("  - name: two\n    source: pcap:%s\n" % SAMPLE)
        d.process.send_signal(signal.SIGHUP)
        d.wait_capture("two", "finished")
        with open(path, "w") as f:
            f.write("log: notice\nfrobnicate: 1\n")
        d.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "frobnicate" in d.log(), "a message about the bad key")
        check(d.capture("one") and d.capture("two"), "a bad configuration changed something")
        try:
            d.call("system.reload")
            raise Failed("a bad configuration was taken")
        except RpcError as x:
            check("frobnicate" in x.message + str(x.data), "message: %s", x.message)
        with open(path, "w") as f:
            f.write("log: notice\n")
        d.call("system.reload")


def test_bad_configuration():
    for text, key in (("frobnicate: 1\n", "frobnicate"), ("workers: many\n", "workers"), ("workers: 0\n", "workers"),
                      ("flow:\n  capacity: -3\n", "capacity"), ("captures:\n  - name: x\n", "source")):
        with Daemon(config=text, ready=False) as d:
            equal(d.wait_exit(), 1, "exit code for %r" % text)
            check(key in d.log() and "pktaid.yaml" in d.log(), "message for %r: %s", text, d.log())


def test_usage():
    for words in (["--frobnicate"], ["--workers", "none"], ["--capture", "frob:nicate"], ["stray"]):
        with Daemon(*words, ready=False) as d:
            equal(d.wait_exit(), 1, "exit code of %s" % words)
            check(d.log().strip(), "no message for %s", words)
    for word in ("--version", "--help"):
        p = subprocess.run([PKTAID, word], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        equal(p.returncode, 0, word)
        check(b"pktaid" in p.stdout, "%s prints %r", word, p.stdout)


def test_missing_hugepages():
    """Where no hugepage can be had the daemon says so and carries on with ordinary memory."""
    need_user()
    tried = subprocess.run(["unshare", "-m", "true"], stderr=subprocess.PIPE, text=True)
    if tried.returncode != 0:
        raise Skip("needs a mount namespace, not to be had in a chroot (%s)" % tried.stderr.strip())
    # a mount namespace in which sysfs shows no free hugepage stands in for a machine without
    folder = temporary()
    try:
        none = os.path.join(folder, "none")
        with open(none, "w") as f:
            f.write("0\n")
        script = "for f in /sys/kernel/mm/hugepages/hugepages-*/free_hugepages " \
                 "/sys/kernel/mm/hugepages/hugepages-*/nr_hugepages " \
                 "/sys/devices/system/node/node*/hugepages/hugepages-*/*_hugepages; do " \
                 "[ -e $f ] && mount --bind %s $f; done; exec \"$@\"" % none
        p = subprocess.run(["unshare", "-m", "sh", "-c", script, "sh", PKTAID, "--memory", "256", "--socket", folder + "/s",
                            "--capture", "pcap:" + SAMPLE, "--exit-when-done"], stderr=subprocess.PIPE, timeout=60 * SLOW)
        text = p.stderr.decode()
        equal(p.returncode, 0, "exit code, stderr: " + text)
        check("hugepage" in text.lower(), "not a word of hugepages: %s", text)
    finally:
        shutil.rmtree(folder)


def test_unprivileged():
    """Anyone may analyse a file; a live capture is refused with the reason."""
    need_user()
    # the build may lie where nobody may look
    folder = temporary()
    os.chmod(folder, 0o755)
    try:
        global PKTAID
        program, sample = os.path.join(folder, "pktaid"), os.path.join(folder, "sample.pcap")
        shutil.copy(PKTAID, program)
        shutil.copy(SAMPLE, sample)
        os.chmod(sample, 0o644)
        import daemon
        kept, daemon.PKTAID = daemon.PKTAID, program
        try:
            run = Batch(sample, user=NOBODY)
            equal(run.code, 0, "exit code, stderr: " + run.stderr)
            check(len(run.of_type("flow")) > 20, "%d flows", len(run.of_type("flow")))
            with Daemon(user=NOBODY, ready=False) as d:
                # its socket lets its own user and root in
                d.wait_ready()
                for source in ("afpacket:lo",):
                    try:
                        d.call("capture.start", source=source)
                        raise Failed(source + " was started by nobody")
                    except RpcError as x:
                        words = x.message.lower()
                        check("permission" in words or "privilege" in words or "cap_net_raw" in words, "message: %s", x.message)
                d.call("capture.start", source="pcap:" + sample, name="file")
                d.wait_capture("file", "finished")
                equal(d.stop(), 0, "exit code")
        finally:
            daemon.PKTAID = kept
    finally:
        shutil.rmtree(folder)


def test_stranger_is_refused():
    """Who is neither root, the daemon's user nor in a group hears why, and no more."""
    need_user()
    with Daemon() as d:
        os.chmod(d.folder, 0o755)
        os.chmod(d.socket, 0o666)
        code = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1]); " \
               "s.sendall(b'{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"system.info\"}\\n'); f=s.makefile(); " \
               "print(f.readline()); print(repr(f.readline()))"
        p = subprocess.run(["/usr/bin/python3", "-c", code, d.socket], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           preexec_fn=run_as(NOBODY), timeout=30)
        lines = p.stdout.decode().splitlines()
        error = json.loads(lines[0])["error"]
        check("pktai" in error["message"] or "group" in error["message"], "message: %s", error)
        check("version" not in p.stdout.decode(), "a stranger was answered: %s", p.stdout)
        d.call("system.info")


if __name__ == "__main__":
    main(globals())
