# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: the programs, the machine, traces that are made once, tables, CPU time of a
process and its threads, and a daemon that is under load."""
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(os.environ.get("PKTAID_BUILD", os.path.join(ROOT, "build-bench")))
PKTAID = os.environ.setdefault("PKTAID", os.path.join(BUILD, "pktaid"))
PKTCTL = os.environ.setdefault("PKTCTL", os.path.join(BUILD, "ctl", "pktctl"))
os.environ["PKTAID_BUILD"] = BUILD
sys.path.insert(0, os.path.join(ROOT, "tests", "tools"))

import daemon  # noqa: E402  (tests/tools: Daemon, Client, Namespace)

TICKS = os.sysconf("SC_CLK_TCK")


class Left(Exception):
    """A part, or a line of it, that cannot be measured here; the text says why."""


def tool(name):
    return os.path.join(BUILD, "tests", "bench", name)


def first_line(path, start):
    with open(path) as f:
        for line in f:
            if line.startswith(start):
                return line.split(":", 1)[1].strip()
    return ""


def output(*words):
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def build_options():
    """How the programs were built, as meson knows it."""
    import json
    said = output("meson", "introspect", "--buildoptions", BUILD)
    wanted = ("buildtype", "optimization", "b_lto", "b_pgo", "march", "c_args")
    return {o["name"]: o["value"] for o in json.loads(said or "[]") if o["name"] in wanted}


def machine():
    commit = output("git", "-c", "safe.directory=*", "rev-parse", "--short=12", "HEAD")
    if output("git", "-c", "safe.directory=*", "status", "--porcelain", "-uno"):
        commit += ", with changes"
    return {
        "cpu": first_line("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": os.cpu_count(),
        "caches": {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in output("lscpu").splitlines())
                   if k.strip() in ("L1d cache", "L2 cache", "L3 cache")},
        "virtual": first_line("/proc/cpuinfo", "flags").find(" hypervisor") >= 0,
        "memory_mib": int(first_line("/proc/meminfo", "MemTotal").split()[0]) // 1024,
        "kernel": platform.release(),
        "compiler": (output("cc", "--version").splitlines() or [""])[0],
        "dpdk": output("pkg-config", "--modversion", "libdpdk"),
        "build": build_options(),
        "commit": commit or "unknown",
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def say_machine(m):
    print("%s, %d cores%s, %d MiB, Linux %s" % (m["cpu"], m["cores"], " (virtual)" if m["virtual"] else "",
                                              m["memory_mib"], m["kernel"]))
    print("%s, DPDK %s, %s" % (m["compiler"], m["dpdk"], ", ".join("%s=%s" % o for o in sorted(m["build"].items()))))
    print("commit %s, %s" % (m["commit"], m["date"]))


# --- Traces ---

class Traces:
    """Files of mktrace, made when they are first asked for, in a folder that goes away at the end."""

    def __init__(self, scale):
        self.scale = scale
        self.folder = tempfile.mkdtemp(prefix="pktaid-bench-", dir=os.environ.get("BENCH_DIR"))
        os.chmod(self.folder, 0o755)
        self.made = {}

    def get(self, name, flows, scaled=True):
        """Path and what it is. Traces are kept, and with them in the page cache, until drop()."""
        flows = max(1000, flows // self.scale) if scaled else flows
        key = "%s-%d" % (name, flows)
        if key not in self.made:
            path = os.path.join(self.folder, key + ".pcap")
            said = subprocess.run([tool("mktrace"), name, path, str(flows)], stderr=subprocess.PIPE, text=True,
                                  check=True).stderr
            packets, size = (int(n) for n in re.search(r": (\d+) packets, (\d+) bytes", said).groups())
            self.made[key] = {"path": path, "trace": name, "flows": flows, "packets": packets, "bytes": size, "seed": 1}
        return self.made[key]

    def drop(self, trace):
        for key, value in list(self.made.items()):
            if value is trace:
                os.unlink(value["path"])
                del self.made[key]

    def end(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def describe(trace):
    """A trace without the place where it lies."""
    return {k: v for k, v in trace.items() if k != "path"}


# --- Figures ---

def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def median(values):
    return statistics.median(values)


def table(title, head, rows):
    """Prints rows of cells; the first column is left-aligned."""
    cells = [[c if isinstance(c, str) else "-" if c is None else "%.2f" % c if isinstance(c, float) else str(c) for c in row]
             for row in [head] + rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    print("\n" + title)
    for row in cells:
        print("  " + "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))).rstrip())
    sys.stdout.flush()


# --- Processes ---

def run_cpu(command, limit=600, env=None):
    """Runs a program to its end: CPU seconds (user and system), wall seconds, peak memory in KiB; or None
    where it fails or takes longer than limit."""
    begin = time.monotonic()
    with open(os.devnull, "w") as null:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=null, stderr=null, env=env)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - begin > limit:
                child.kill()
                os.wait4(child.pid, 0)
                child.returncode = -9
                return None
            time.sleep(0.005)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        return None
    return usage.ru_utime + usage.ru_stime, time.monotonic() - begin, usage.ru_maxrss


def threads_cpu(pid):
    """CPU seconds of a process's threads, by name (those of the same name together)."""
    seconds = {}
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/stat" % (pid, task)) as f:
                text = f.read()
        except OSError:
            continue
        name = text[text.index("(") + 1:text.rindex(")")]
        fields = text[text.rindex(")") + 2:].split()
        seconds[name] = seconds.get(name, 0) + (int(fields[11]) + int(fields[12])) / TICKS
    return seconds


def worker_cpu(pid):
    return sum(v for k, v in threads_cpu(pid).items() if k.startswith("rte-worker") or k.startswith("lcore-worker"))


class Rate:
    """Packets processed by a daemon between two moments: a second of wall clock and of the workers' CPU."""

    def __init__(self, d, name):
        self.daemon, self.name, self.client = d, name, d.client()
        self.again()

    def read(self):
        found = [c for c in self.client.call("drops.get")["captures"] if c["name"] == self.name][0]
        return found, time.monotonic(), worker_cpu(self.daemon.process.pid)

    def again(self):
        self.before = self.read()

    def since(self):
        now = self.read()
        packets = now[0]["processed"] - self.before[0]["processed"]
        return {"packets": packets, "mpps": packets / (now[1] - self.before[1]) / 1e6,
                "mpps_per_core": packets / max(now[2] - self.before[2], 1e-9) / 1e6,
                "dropped": sum(now[0]["dropped"].values()) - sum(self.before[0]["dropped"].values()),
                "lost": sum(now[0]["device"].values()) - sum(self.before[0]["device"].values())}
