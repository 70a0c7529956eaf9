# SPDX-License-Identifier: Apache-2.0
"""Memory of active flows: how much a daemon grows while its flows do, at one and at ten million of them,
with room for no more than these; and what TCP reassembly adds."""
from common import Left, daemon, describe, first_line, table


def measure(traces, flows, streams):
    trace = traces.get("steady", flows)
    config = ("" if streams else "stream:\n    bytes: 0\n") + "flow:\n    capacity: %d\n    timeouts:\n        active: 0\n    recent_bytes: 0\n" % trace["flows"]
    with daemon.Daemon(config=config, memory=64) as d:
        before = d.rss_kib()
        d.call("capture.start", source="pcap:%s,loop=100000" % trace["path"], name="load")
        # one pass has a packet of each flow
        daemon.wait_until(lambda: d.drops("load")["processed"] > trace["packets"], "a pass", 240, 0.2)
        info = d.call("system.info")
        row = {"trace": describe(trace), "active": info["flows"]["active"], "before_kib": before, "after_kib": d.rss_kib()}
        d.process.kill()  # its end would write a record of each flow
        d.process.wait()
    row["bytes_per_flow"] = (row["after_kib"] - row["before_kib"]) * 1024 / row["active"]
    traces.drop(trace)
    return row


def run(options, traces):
    available = int(first_line("/proc/meminfo", "MemAvailable").split()[0]) // 1024
    result, rows = [], []
    for flows, streams in ((1000000, True), (1000000, False), (10000000, False)):
        name = "%d" % (flows // traces.scale) + (", TCP streams too" if streams else ", flows only")
        need = flows // traces.scale * 512 // 2**20 + flows // traces.scale * 4 * 76 // 2**20 + 1024
        if need > available:
            rows.append([name, "-", "-", "needs %d MiB, %d are free" % (need, available)])
            result.append({"flows": flows, "streams": streams, "left_out": "needs %d MiB" % need})
            continue
        r = measure(traces, flows, streams)
        r["streams"] = streams
        result.append(r)
        rows.append([name, "%.0f" % (r["before_kib"] / 1024), "%.0f" % (r["after_kib"] / 1024),
                     "%.0f" % r["bytes_per_flow"]])
    if not result:
        raise Left("no memory")
    table("Memory of active flows", ["flows", "MiB before", "MiB with them", "bytes a flow"], rows)
    return result
