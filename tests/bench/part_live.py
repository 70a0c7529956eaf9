# SPDX-License-Identifier: Apache-2.0
"""Live sources. AF_PACKET over a veth pair: the highest rate at which nothing is lost, found by halving
steps; the sender is the kernel's limit on a small machine, so what it managed is said as well. DPDK's
virtual devices have no sender: they give as much as is asked of them, and what a worker takes is the
figure. How many buffers go round is said, because it decides between cache and memory."""
import os
import subprocess
import time

from common import Left, Rate, daemon, table, tool

FLOWS = 10000


def free_hugepages():
    with open("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") as f:
        return int(f.read())


def one_rate(d, ns, rate, seconds):
    """Sends at a rate; returns what was sent a second, lost, and the worker's CPU share of it."""
    before = d.drops("near")
    meter = Rate(d, "near")
    said = subprocess.run(["ip", "netns", "exec", ns.name, tool("blast"), "far", str(rate), str(seconds), str(FLOWS)],
                          stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    sent, took = int(said[0]), float(said[1])
    daemon.wait_until(lambda: d.drops("near")["offered"] - before["offered"] >= sent, "all packets are accounted for", 10)
    figures = meter.since()
    after = d.drops("near")
    lost = sum(after["device"].values()) + sum(after["dropped"].values()) - \
        sum(before["device"].values()) - sum(before["dropped"].values())
    return {"asked_mpps": rate / 1e6, "sent_mpps": sent / took / 1e6, "sent": sent, "lost": lost,
            "worker_mpps_per_core": figures["mpps_per_core"]}


def veth(options):
    seconds = 1 if options.quick else 3
    steps = 5 if options.quick else 8
    tries = []
    with daemon.Namespace() as ns:
        with daemon.Daemon("--capture", "afpacket:near", namespace=ns.name, memory=64) as d:
            d.wait_capture("near", "running")
            top = one_rate(d, ns, 100e6, seconds)  # as fast as it can
            tries.append(top)
            low, high = 0.0, top["sent_mpps"]
            best = top if top["lost"] == 0 else None
            for _ in range(steps if best is None else 0):
                middle = (low + high) / 2
                now = one_rate(d, ns, middle * 1e6, seconds)
                tries.append(now)
                if now["lost"] == 0:
                    best, low = now, middle
                else:
                    high = middle
    rows = [["%.3f" % t["sent_mpps"], t["sent"], t["lost"], "%.2f" % t["worker_mpps_per_core"]] for t in tries]
    table("AF_PACKET over veth, %d flows, 60-byte frames" % FLOWS,
          ["sent Mpps", "packets", "lost", "worker Mpps per core-second"], rows)
    print("  highest rate without loss: %s" % ("%.3f Mpps" % best["sent_mpps"] if best else "none found"))
    return {"tries": tries, "without_loss_mpps": best["sent_mpps"] if best else None}


def vdev(name, source, buffers, options, memory):
    huge = free_hugepages() * 2 >= memory
    seconds = 2 if options.quick else 5
    with daemon.Daemon("--capture", source, memory=memory, no_huge=not huge) as d:
        capture = d.call("capture.list")["captures"][0]["name"]
        d.wait_capture(capture, "running")
        time.sleep(0.5)
        rate = Rate(d, capture)
        time.sleep(seconds)
        figures = rate.since()
        flows = d.call("system.info")["flows"]["active"]
    return {"source": name, "buffers": buffers, "hugepages": huge, "flows": flows, **figures}


def vdevs(options, traces):
    trace = traces.get("mix", 40000)
    small = os.path.join(traces.folder, "vdev.pcap")
    with open(trace["path"], "rb") as f, open(small, "wb") as out:
        out.write(f.read(24))
        for _ in range(4096):
            head = f.read(16)
            out.write(head + f.read(int.from_bytes(head[8:12], "little")))
    result, rows = [], []
    for name, source, buffers in (
            ("net_null, 60 bytes, no content", "vdev:net_null0,size=60", "pool"),
            ("net_null, 60 bytes copied", "vdev:net_null1,size=60,copy=1", "pool"),
            ("net_pcap, 4096 packets of mix", "vdev:net_pcap0,rx_pcap=%s,infinite_rx=1" % small, 4096)):
        try:
            r = vdev(name, source, buffers, options, 96)
        except daemon.Failed as why:
            result.append({"source": name, "left_out": str(why)})
            rows.append([name, "-", "-", "-", "-", "-"])
            continue
        result.append(r)
        rows.append([name, str(buffers), "yes" if r["hugepages"] else "no", r["flows"], "%.2f" % r["mpps_per_core"],
                     r["lost"] + r["dropped"]])
    table("DPDK's virtual devices, one worker", ["device", "buffers", "hugepages", "flows", "Mpps per core-second", "lost"], rows)
    return result


def run(options, traces):
    result = {"vdev": vdevs(options, traces)}
    try:
        result["veth"] = veth(options)
    except daemon.Skip as why:
        raise Left(str(why)) from why
    return result
