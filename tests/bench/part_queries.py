# SPDX-License-Identifier: Apache-2.0
"""Questions under load: a worker that reads a file of flows that never end, over and over and as fast as
it can, while clients ask. What asking costs the worker, and how long answers take."""
import subprocess
import threading
import time

from common import PKTCTL, Rate, daemon, describe, median, percentile, table

FLOWS = 1000000


def ask(d, method, params, seconds, every, times):
    """One client: asks every so often (0: again at once) until the time is over."""
    with daemon.Client(d.socket) as c:
        end = time.monotonic() + seconds
        due = time.monotonic()
        while time.monotonic() < end:
            begin = time.monotonic()
            c.call(method, **params)
            times.append(time.monotonic() - begin)
            due = max(due + every, time.monotonic())
            if every:
                time.sleep(max(0, due - time.monotonic()))


def many(d, method, params, seconds, every, clients):
    times = [[] for _ in range(clients)]
    threads = [threading.Thread(target=ask, args=(d, method, params, seconds, every, t)) for t in times]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return [x for t in times for x in t]


def processes(d, seconds, every):
    """pktctl as a user runs it, process and all."""
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        subprocess.run([PKTCTL, "--socket", d.socket, "flows", "--top", "20"], stdout=subprocess.DEVNULL, check=True)
        times.append(time.monotonic() - begin)
        time.sleep(max(0, begin + every - time.monotonic()))
    return times


def answer_times(name, times, rate, result):
    row = {"what": name, "answers": len(times), "p50_ms": percentile(times, 0.5) * 1e3,
           "p99_ms": percentile(times, 0.99) * 1e3, "max_ms": max(times) * 1e3, **rate}
    result["answers"].append(row)
    return [name, len(times), "%.2f" % row["p50_ms"], "%.2f" % row["p99_ms"], "%.2f" % row["max_ms"],
            rate["mpps_per_core"], rate["dropped"] + rate["lost"]]


def slow_down(d, rate, seconds, rounds, rows, result):
    """Ten questions a second and none, in turn, so that what else happens on the machine hits both."""
    quiet, asked, times = [], [], []
    for _ in range(rounds):
        rate.again()
        time.sleep(seconds)
        quiet.append(rate.since()["mpps_per_core"])
        rate.again()
        times += many(d, "flows.top", {"n": 20}, seconds, 0.1, 1)
        last = rate.since()
        asked.append(last["mpps_per_core"])
    last["mpps_per_core"] = median(asked)
    rows.append(answer_times("flows.top 20, ten a second", times, last, result))
    result["quiet_mpps_per_core"], result["asked_mpps_per_core"] = median(quiet), median(asked)
    result["slower_percent"] = 100 * (1 - median(asked) / median(quiet))


def run(options, traces):
    trace = traces.get("steady", FLOWS)
    seconds, rounds = (1.5, 3) if options.quick else (3, 5)
    config = "flow:\n    capacity: 2000000\n    timeouts:\n        active: 0\n"
    source = "pcap:%s,loop=100000" % trace["path"]
    result = {"trace": describe(trace), "answers": []}
    rows = []
    with daemon.Daemon("--capture", source, config=config, memory=64) as d:
        name = d.call("capture.list")["captures"][0]["name"]
        # by then each flow has had more packets than its sequence of sizes and times holds
        daemon.wait_until(lambda: d.drops(name)["processed"] > 8 * trace["packets"], "established flows", 120)
        rate = Rate(d, name)
        slow_down(d, rate, seconds, rounds, rows, result)
        for text, method, params, every, clients in (
                ("flows.top 20, at once again", "flows.top", {"n": 20}, 0, 1),
                ("flows.top 20, 8 clients", "flows.top", {"n": 20}, 0, 8),
                ("flows.top 20 by throughput", "flows.top", {"n": 20, "by": "throughput"}, 0.1, 1),
                ("flows.top 20, filter", "flows.top", {"n": 20, "filter": "net 10.1.0.0/16"}, 0.1, 1),
                ("flows.list, page of 1000", "flows.list", {"limit": 1000}, 0.1, 1),
                ("stats.get", "stats.get", {}, 0.01, 1),
                ("system.info (round trip)", "system.info", {}, 0.001, 1)):
            rate.again()
            times = many(d, method, params, seconds, every, clients)
            rows.append(answer_times(text, times, rate.since(), result))
        rate.again()
        times = processes(d, 2 * seconds, 0.1)
        rows.append(answer_times("pktctl flows --top 20 (process)", times, rate.since(), result))
        result["active"] = d.call("system.info")["flows"]["active"]
        d.process.kill()  # its end would write a record of each flow
        d.process.wait()
    table("Questions with %d active flows, one worker at full load" % result["active"],
          ["question", "answers", "p50 ms", "p99 ms", "max ms", "worker Mpps", "lost"], rows)
    print("  worker without questions %.2f Mpps per core-second, with ten flows.top a second %.2f: %.1f %% slower" % (
        result["quiet_mpps_per_core"], result["asked_mpps_per_core"], result["slower_percent"]))
    return result
