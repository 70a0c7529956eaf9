#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The service under a real systemd: installs into an overlay of / whose upper layer is in memory, boots
it in a container and drives it as an administrator would. Needs root and systemd-nspawn; nothing is
downloaded, and nothing of the machine is changed. test_systemd.py BUILD SOURCE"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

SKIP = 77
SOCKET = "/run/pktaid/pktaid.sock"
CONFIG = "/etc/pktaid/pktaid.yaml"
SENDER = """
import socket
for port in range(40000, 40010):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("10.0.0.1", port))
    for i in range(10):
        s.sendto(b"data", ("10.0.0.2", 9999))
"""


class Failed(Exception):
    pass


def skip(why):
    print("skipped: " + why)
    sys.exit(SKIP)


def check(claim, text):
    if not claim:
        raise Failed(text)


def wait_until(claim, what, seconds=30):
    """Calls claim() until it is true and returns its value; fails when the time is over."""
    end = time.monotonic() + seconds
    while True:
        value = claim()
        if value:
            return value
        check(time.monotonic() < end, "waited %d s in vain: %s" % (seconds, what))
        time.sleep(0.02)


def run(*words, **more):
    return subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=120, **more)


def must(*words):
    done = run(*words)
    check(done.returncode == 0, "%s: exit %d\n%s" % (" ".join(words), done.returncode, done.stdout))
    return done.stdout


class Machine:
    """The container: a file system to install into, then a running systemd."""

    def __init__(self):
        self.leader = None
        self.nspawn = None
        self.dir = tempfile.mkdtemp(prefix="pktaid-systemd-")
        self.root = os.path.join(self.dir, "root")

    def mount(self):
        must("mount", "-t", "tmpfs", "-o", "size=1g,mode=755", "tmpfs", self.dir)
        for name in ("upper", "work", "root"):
            os.mkdir(os.path.join(self.dir, name))
        done = run("mount", "-t", "overlay", "overlay", "-o", "lowerdir=/,upperdir=%s/upper,workdir="
                   "%s/work" % (self.dir, self.dir), self.root)
        if done.returncode != 0:
            skip("no overlay of / here: " + done.stdout.strip())

    def boot(self):
        environment = dict(os.environ, SYSTEMD_NSPAWN_API_VFS_WRITABLE="yes")
        self.log = open(os.path.join(self.dir, "console"), "w+b")
        # basic.target: what else the machine has enabled is not started
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "-D", self.root, "-b",
             "--private-network", "--link-journal=no", "--console=pipe", "--capability=all",
             "--bind-ro=/sys/module", "systemd.unit=basic.target"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, env=environment)
        self.leader = wait_until(self.find_leader, "systemd-nspawn starts systemd")
        wait_until(lambda: run(*self.inside("systemctl", "is-active", "basic.target")).returncode == 0,
                   "basic.target")

    def find_leader(self):
        check(self.nspawn.poll() is None, "systemd-nspawn ended:\n" + self.console())
        children = "/proc/%d/task/%d/children" % (self.nspawn.pid, self.nspawn.pid)
        for pid in open(children).read().split():
            try:
                if open("/proc/%s/comm" % pid).read().strip() == "systemd":
                    return pid
            except OSError:
                pass
        return None

    def inside(self, *words):
        return ("nsenter", "-t", self.leader, "-a", "--", "/usr/bin/env", "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8") + words

    def console(self):
        self.log.flush()
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-4000:]

    def end(self):
        if self.leader is not None and self.nspawn.poll() is None:
            run("kill", "-s", "RTMIN+4", self.leader)
            try:
                self.nspawn.wait(20)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
        for place in (self.root, self.dir):
            if os.path.ismount(place):
                run("umount", "-l", place)
        shutil.rmtree(self.dir, ignore_errors=True)


machine = Machine()


def shell(*words):
    return must(*machine.inside(*words))


def prop(name, unit="pktaid.service"):
    return shell("systemctl", "show", "--value", "-p", name, unit).strip()


def pktctl(*words):
    return shell("pktctl", *words)


def ask(*words):
    return json.loads(pktctl("--json", *words))


def edit(path, *pairs):
    full = machine.root + path
    text = open(full).read()
    for old, new in pairs:
        check(old in text, "%s has no %r" % (path, old))
        text = text.replace(old, new)
    with open(full, "w") as f:
        f.write(text)


def journal(unit="pktaid.service"):
    return shell("journalctl", "--no-pager", "-o", "cat", "-u", unit)


def install(build, source):
    must("meson", "install", "--no-rebuild", "-C", build, "--destdir", machine.root)
    for name in ("pktaid", "pktctl"):
        if shutil.which(name, path="%s/usr/bin:%s/usr/sbin" % (machine.root, machine.root)) is None:
            skip(name + " is not part of this build")
    with open(machine.root + "/usr/lib/sysusers.d/pktaid-test.conf", "w") as f:
        f.write("u asker -\nm asker pktai\nu stranger -\n")
    must("systemd-sysusers", "--root=" + machine.root)
    # a short watchdog, so that the test of it is short; the sample where the service can read it
    os.makedirs(machine.root + "/etc/systemd/system/pktaid.service.d", exist_ok=True)
    with open(machine.root + "/etc/systemd/system/pktaid.service.d/test.conf", "w") as f:
        f.write("[Service]\nWatchdogSec=3s\nTimeoutAbortSec=2s\n")
    os.makedirs(machine.root + "/srv/pktaid", exist_ok=True)
    shutil.copy(os.path.join(source, "tests/data/sample.pcap"), machine.root + "/srv/pktaid")


def test_starts():
    shell("systemctl", "start", "pktaid")
    check(prop("ActiveState") == "active", "start returned before READY")
    check(prop("StatusText") != "", "no STATUS= for systemctl status")
    check(shell("systemctl", "is-active", "pktaid.socket").strip() == "active", "the socket unit")
    pid = prop("MainPID")
    status = open("/proc/%s/status" % host_pid(pid)).read()
    user = shell("id", "-u", "pktaid").strip()
    check("\nUid:\t%s\t" % user in status, "the daemon does not run as pktaid")
    check("\nCapBnd:\t0000000000003000\n" in status, "more capabilities than it should have")
    check("\nNoNewPrivs:\t1\n" in status, "NoNewPrivileges")


def host_pid(pid):
    """A process of the container by its number out here."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            numbers = [line.split()[1:] for line in open("/proc/%s/status" % entry)
                       if line.startswith("NSpid:")][0]
            if len(numbers) > 1 and numbers[-1] == pid and \
                    os.readlink("/proc/%s/ns/pid" % entry) == \
                    os.readlink("/proc/%s/ns/pid" % machine.leader):
                return entry
        except (OSError, IndexError):
            pass
    raise Failed("no process %s" % pid)


def test_answers():
    check("up " in pktctl("status") and "Worker" in pktctl("status"), "pktctl status")
    pktctl("capture", "start", "pcap:/srv/pktaid/sample.pcap", "--name", "sample", "--wait")
    check(len(ask("flows", "--limit", "5")["flows"]) > 0, "no flows of the sample")


def test_authorises():
    shell("runuser", "-u", "asker", "--", "pktctl", "status")
    done = run(*machine.inside("runuser", "-u", "asker", "--", "pktctl", "log-level", "debug"))
    check(done.returncode == 1, "a member of pktai may change: exit %d" % done.returncode)
    done = run(*machine.inside("runuser", "-u", "stranger", "--", "pktctl", "status"))
    check(done.returncode not in (0, 2), "a stranger may ask")
    check("pktai" in done.stdout, "a stranger is not told why: " + done.stdout)


def test_captures_live():
    shell("ip", "link", "add", "here", "type", "veth", "peer", "name", "there")
    shell("ip", "link", "set", "here", "up")
    shell("ip", "link", "set", "there", "up")
    shell("ip", "address", "add", "10.0.0.1/24", "dev", "there")
    shell("ip", "neighbour", "add", "10.0.0.2", "lladdr", "02:00:00:00:00:02", "dev", "there")
    pktctl("capture", "start", "afpacket:here", "--name", "live", "--filter", "udp port 9999")
    wait_until(lambda: capture("live")["state"] == "running", "the live capture runs")
    shell("python3", "-c", SENDER)
    wait_until(lambda: drops("live")["processed"] == 100, "100 packets processed")
    flows = ask("flows", "--filter", "udp port 9999", "--limit", "20")["flows"]
    check(len(flows) == 10, "%d flows, not 10" % len(flows))
    pktctl("capture", "stop", "live")


def capture(name):
    return [c for c in ask("capture", "list")["captures"] if c["name"] == name][0]


def drops(name):
    return [c for c in ask("drops")["captures"] if c["name"] == name][0]


def test_reloads():
    pid = prop("MainPID")
    edit(CONFIG, ("\nlog: notice", "\nlog: info"), ("\nworkers: 1", "\nworkers: 2"))
    shell("systemctl", "reload", "pktaid")
    wait_until(lambda: "workers" in journal(), "the journal names the key that needs a restart")
    edit(CONFIG, ("\nlog: info", "\nlog: loud"))
    line = open(machine.root + CONFIG).read().split("\n").index("log: loud") + 1
    run(*machine.inside("systemctl", "reload", "pktaid"))
    wait_until(lambda: "%s:%d:6: log:" % (CONFIG, line) in journal(), "the mistake in the journal")
    edit(CONFIG, ("\nlog: loud", "\nlog: notice"))
    check(prop("MainPID") == pid, "a reload started the daemon anew")
    pktctl("status")


def restarted(count):
    return prop("NRestarts") == str(count) and prop("SubState") == "running"


def test_comes_back_after_sigkill():
    pid = prop("MainPID")
    shell("kill", "-KILL", pid)
    wait_until(lambda: restarted(1), "systemd restarts the daemon")
    check(prop("MainPID") != pid, "the same process")
    pktctl("status")


def test_watchdog():
    pid = prop("MainPID")
    shell("kill", "-STOP", pid)
    wait_until(lambda: restarted(2), "the watchdog restarts a daemon that stands still")
    check(prop("MainPID") != pid, "the same process")
    check("atchdog" in journal(), "the journal does not say why")


def test_stops_and_is_activated():
    shell("systemctl", "stop", "pktaid")
    check(prop("ActiveState") == "inactive", "not stopped")
    check(prop("Result") == "success", "stopped with result " + prop("Result"))
    check(os.path.exists("/proc/%s/root%s" % (machine.leader, SOCKET)), "the socket is gone")
    pktctl("status")
    check(prop("ActiveState") == "active", "the first question does not start the daemon")
    shell("systemctl", "stop", "pktaid.socket", "pktaid.service")
    done = run(*machine.inside("pktctl", "status"))
    check(done.returncode == 3, "no daemon: exit %d, not 3" % done.returncode)


def test_starts_at_boot():
    shell("systemctl", "enable", "pktaid")
    for unit in ("pktaid.service", "pktaid.socket"):
        check(shell("systemctl", "is-enabled", unit).strip() == "enabled", unit + " is not enabled")


def main(build, source):
    if os.geteuid() != 0:
        skip("needs root")
    for tool in ("systemd-nspawn", "nsenter", "systemd-sysusers"):
        if shutil.which(tool) is None:
            skip("no " + tool)
    machine.mount()
    install(build, source)
    machine.boot()
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            began = time.monotonic()
            test()
            print("%s: ok (%.1f s)" % (name, time.monotonic() - began), flush=True)


if __name__ == "__main__":
    try:
        main(os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]))
    except (Failed, subprocess.TimeoutExpired) as e:
        print("FAILED: %s" % e)
        if machine.leader is not None:
            print("--- the daemon's journal\n" + run(*machine.inside(
                "journalctl", "--no-pager", "-u", "pktaid", "-n", "40")).stdout)
        sys.exit(1)
    finally:
        machine.end()
