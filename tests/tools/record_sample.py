#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records tests/data/sample.pcap from real programs; needs root, nginx, dnsmasq, dig, curl, busybox, openssl.

Two network namespaces, a client and a server, are joined by links whose wire is this program: it
holds the two ends of each link (TAP or TUN devices) and passes frames across, so that it sees every
frame once, in order, with a timestamp in nanoseconds, and so that it can do what a kernel without
netem, 802.1Q and GRE cannot: lose and reorder frames by rule (by number, not by chance), tag them,
and wrap them into tunnels. VXLAN is the kernel's own. What the frames hold comes from the programs
and from the kernel's stack alone. Addresses are those for documentation (RFC 5737, RFC 3849) and
private ones (RFC 1918); timestamps are moved to a fixed day, distances stay as they were.

    record_sample.py [--output FILE]
"""
import argparse
import ctypes
import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

START_NS = 1767600000 * 10**9  # 2026-01-05T08:00:00Z: the file's day
TUNSETIFF, IFF_TUN, IFF_TAP, IFF_NO_PI = 0x400454CA, 1, 2, 0x1000
CLONE_NEWNET = 0x40000000
CLIENT, SERVER = "pktaid-rec-c", "pktaid-rec-s"
GATEWAY_MAC = (bytes.fromhex("0200000000fe"), bytes.fromhex("0200000000ff"))
LIBC = ctypes.CDLL(None, use_errno=True)


def in_namespace(name, action):
    """Runs action() with this thread in the named network namespace."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/" + name, os.O_RDONLY)
    try:
        if LIBC.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns " + name)
        try:
            return action()
        finally:
            LIBC.setns(here, CLONE_NEWNET)
    finally:
        os.close(here)
        os.close(there)


def open_device(name, kind):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), kind | IFF_NO_PI))
    return fd


def checksum(data):
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return s ^ 0xFFFF


class Link:
    """Two devices and what stands on the wire between them."""

    def __init__(self, name, kind=IFF_TAP):
        self.name = name  # of the device, the same on both sides
        self.fds = [in_namespace(ns, lambda: open_device(name, kind)) for ns in (CLIENT, SERVER)]

    def on_wire(self, frame, side):
        return frame


class TaggedLink(Link):
    """A trunk: frames carry 802.1Q or 802.1ad tags on the wire, not in the hosts."""

    def __init__(self, name, tags):
        super().__init__(name)
        self.tags = b"".join(struct.pack("!HH", tpid, vid) for tpid, vid in tags)

    def on_wire(self, frame, side):
        return frame[:12] + self.tags + frame[12:]


class TunnelLink(Link):
    """A routed tunnel between two gateways: IP packets of a TUN device behind an outer IPv4."""

    def __init__(self, name, proto, header):
        super().__init__(name, IFF_TUN)
        self.proto, self.header, self.ident = proto, header, 0
        self.ends = [socket.inet_aton(a) for a in ("198.51.100.1", "198.51.100.2")]

    def on_wire(self, packet, side):
        payload = self.header(packet) + packet
        self.ident += 1
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), self.ident, 0x4000, 64,
                         self.proto, 0) + self.ends[side] + self.ends[1 - side]
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
        return GATEWAY_MAC[1 - side] + GATEWAY_MAC[side] + b"\x08\x00" + ip + payload


def gre_header(packet):
    # with key (RFC 2890) 4711
    return struct.pack("!HHI", 0x2000, 0x0800 if packet[0] >> 4 == 4 else 0x86DD, 4711)


class Impairment:
    """Loss and reordering of what the server sends from one TCP port, by number of data frame."""

    PORT = 8080

    def __init__(self):
        self.count = 0
        self.held = None

    def frames(self, frame):
        """-> list of (frame, recorded, delivered) that now go over the wire."""
        if not self.is_data(frame):
            return [(frame, True, True)]
        self.count += 1
        if self.count % 29 == 0:
            return [(frame, False, False)]  # lost before the recorder: a hole, filled late
        if self.count % 23 == 0:
            return [(frame, True, False)]  # lost behind it: seen twice
        if self.count % 13 == 0:
            self.held = frame
            return []
        if self.held is not None:
            held, self.held = self.held, None
            return [(frame, True, True), (held, True, True)]
        return [(frame, True, True)]

    def is_data(self, frame):
        if frame[12:14] != b"\x08\x00" or frame[23] != 6:
            return False
        ihl = (frame[14] & 15) * 4
        total, = struct.unpack_from("!H", frame, 16)
        sport, = struct.unpack_from("!H", frame, 14 + ihl)
        return sport == self.PORT and total > ihl + (frame[14 + ihl + 12] >> 4) * 4


class Wire(threading.Thread):
    """Passes frames between the ends of all links and keeps what it has seen."""

    def __init__(self, links):
        super().__init__(daemon=True)
        self.links, self.seen, self.recording = links, [], False
        self.impairment = Impairment()
        self.stop_read, self.stop_write = os.pipe()

    def run(self):
        ends = {fd: (link, side) for link in self.links for side, fd in enumerate(link.fds)}
        poll = select.poll()
        for fd in [*ends, self.stop_read]:
            poll.register(fd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self.stop_read in ready:
                return
            for fd in ready:
                self.forward(fd, *ends[fd])

    def forward(self, fd, link, side):
        frame = os.read(fd, 65536)
        impaired = link.name == "lan0" and side == 1
        for f, recorded, delivered in self.impairment.frames(frame) if impaired else [(frame, True, True)]:
            if recorded and self.recording:
                self.seen.append((time.time_ns(), link.on_wire(f, side)))
            if delivered:
                os.write(link.fds[1 - side], f)

    def stop(self):
        os.write(self.stop_write, b"x")
        self.join()


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def run(namespace, *words, data=None, ok=True, timeout=60):
    p = subprocess.run(["ip", "netns", "exec", namespace, *words], input=data, timeout=timeout,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if ok and p.returncode:
        raise SystemExit("%s: %s" % (" ".join(words), p.stdout.decode("utf-8", "replace")))
    return p.stdout


def start(namespace, *words):
    return subprocess.Popen(["ip", "netns", "exec", namespace, *words], stdin=subprocess.DEVNULL,
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_port(namespace, port, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (":%d " % port).encode() in run(namespace, "ss", "-Hltun"):
            return
        time.sleep(0.05)
    raise SystemExit("nothing listens on port %d" % port)


def set_up():
    for name in (CLIENT, SERVER):
        ip("netns", "add", name)
        run(name, "sysctl", "-qw", "net.ipv6.conf.default.router_solicitations=0",
            "net.ipv6.conf.default.accept_dad=0", "net.ipv4.tcp_timestamps=1")
        ip("-n", name, "link", "set", "lo", "up")
    links = [Link("lan0"), TaggedLink("vlan30", [(0x8100, 30)]),
             TaggedLink("qinq", [(0x88A8, 100), (0x8100, 200)]),
             TunnelLink("gre1", 47, gre_header), TunnelLink("sit1", 41, lambda packet: b"")]
    for side, name in ((1, CLIENT), (2, SERVER)):
        for number, link in enumerate(links):
            if not isinstance(link, TunnelLink):
                ip("-n", name, "link", "set", link.name, "address", "02:00:00:00:%02x:%02x" % (number, side))
            if link.name not in ("lan0", "sit1"):
                run(name, "sysctl", "-qw", "net.ipv6.conf.%s.disable_ipv6=1" % link.name)
    return links


def addresses():
    for link in ("lan0", "vlan30", "qinq", "gre1", "sit1"):
        for name in (CLIENT, SERVER):
            ip("-n", name, "link", "set", link, "up")
    for side, name in ((10, CLIENT), (1, SERVER)):
        ip("-n", name, "addr", "add", "2001:db8:1::%d/64" % side, "dev", "lan0", "nodad")
        ip("-n", name, "addr", "add", "10.30.0.%d/24" % side, "dev", "vlan30")
        ip("-n", name, "addr", "add", "10.31.0.%d/24" % side, "dev", "qinq")
        ip("-n", name, "addr", "add", "10.47.0.%d/24" % side, "dev", "gre1")
        ip("-n", name, "addr", "add", "2001:db8:41::%d/64" % side, "dev", "sit1", "nodad")
    ip("-n", SERVER, "addr", "add", "192.0.2.1/24", "dev", "lan0")
    ip("-n", SERVER, "addr", "add", "192.0.2.2/24", "dev", "lan0")
    ip("-n", SERVER, "addr", "add", "2001:db8:1::2/64", "dev", "lan0", "nodad")


NGINX = """
daemon off; master_process off; pid %(d)s/nginx.pid; error_log %(d)s/error.log; user root;
events { worker_connections 64; }
http {
    access_log off; default_type text/plain; server_tokens off; keepalive_timeout 5;
    client_body_temp_path %(d)s; proxy_temp_path %(d)s; fastcgi_temp_path %(d)s;
    uwsgi_temp_path %(d)s; scgi_temp_path %(d)s;
    server {
        listen 80; listen [::]:80; listen 8080;
        root %(d)s/www;
        location = /form { return 204; }
        location = /old { return 301 /index.html; }
        location = /download.txt { limit_rate_after 16k; limit_rate 48k; }
    }
    server {
        listen 443 ssl; listen [::]:443 ssl;
        root %(d)s/www; ssl_certificate %(d)s/cert.pem; ssl_certificate_key %(d)s/key.pem;
        ssl_protocols TLSv1.2 TLSv1.3;
    }
}
"""


def servers(d):
    os.mkdir(d + "/www")
    with open(d + "/www/index.html", "w") as f:
        f.write("<html><head><title>pktaid sample</title></head><body>" + "<p>Hello.</p>" * 60 + "</body></html>\n")
    with open(d + "/www/download.txt", "w") as f:
        f.write("".join("line %05d of the sample download\n" % i for i in range(2600)))
    with open(d + "/nginx.conf", "w") as f:
        f.write(NGINX % {"d": d})
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-days", "3650", "-subj", "/CN=www.example.com", "-keyout", d + "/key.pem", "-out", d + "/cert.pem"],
                   check=True, stderr=subprocess.DEVNULL)
    nginx = start(SERVER, "nginx", "-p", d, "-c", d + "/nginx.conf")
    dnsmasq = start(
        SERVER, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--pid-file=",
        "--no-resolv", "--no-hosts", "--local=/example.com/", "--no-ping", "--dhcp-authoritative",
        "--host-record=www.example.com,192.0.2.1,2001:db8:1::1", "--cname=web.example.com,www.example.com",
        "--mx-host=example.com,mail.example.com,10", "--host-record=mail.example.com,192.0.2.25",
        "--txt-record=example.com,v=spf1 -all", "--txt-record=long.example.com," + "x" * 250 + "," + "y" * 250,
        "--dhcp-range=192.0.2.100,192.0.2.150,1h", "--dhcp-host=02:00:00:00:00:01,192.0.2.100",
        "--dhcp-option=option:dns-server,192.0.2.1", "--domain=example.com", "--dhcp-leasefile=" + d + "/leases")
    for port in (80, 443, 8080, 53, 67):
        wait_for_port(SERVER, port)
    return [nginx, dnsmasq]


def tcp_pair(here, there, close_by_reset=False, talk=()):
    """One TCP connection from client to server, lines there and back; returns the two sockets."""
    family = socket.AF_INET6 if ":" in there[0] else socket.AF_INET

    def listen():
        s = socket.create_server(there, family=family, reuse_port=True)
        s.settimeout(10)
        return s

    def connect():
        s = socket.socket(family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(here)
        s.settimeout(10)
        s.connect(there)
        return s

    with in_namespace(SERVER, listen) as listener:
        client = in_namespace(CLIENT, connect)
        server, _ = listener.accept()
        server.settimeout(10)
    for line in talk:
        client.sendall(line)
        server.recv(4096)
        server.sendall(b"ok " + line)
        client.recv(4096)
    if close_by_reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        server.close()
    return client, server


def udp_exchange(family, address, size):
    """A datagram of size bytes to the server and half of that back: in fragments where too long."""
    there = in_namespace(SERVER, lambda: socket.socket(family, socket.SOCK_DGRAM))
    here = in_namespace(CLIENT, lambda: socket.socket(family, socket.SOCK_DGRAM))
    with there, here:
        there.bind((address, 5001))
        there.settimeout(10)
        here.settimeout(10)
        here.sendto(b"\x55" * size, (address, 5001))
        data, peer = there.recvfrom(65536)
        there.sendto(data[:len(data) // 2], peer)
        here.recv(65536)


def traffic(d, early):
    client, server = early
    script = d + "/lease.sh"
    with open(script, "w") as f:
        f.write("#!/bin/sh\n[ \"$1\" = bound ] && ip addr replace $ip/$mask dev $interface\nexit 0\n")
    os.chmod(script, 0o755)
    # a lease, then ARP, ICMP and ICMPv6
    run(CLIENT, "busybox", "udhcpc", "-i", "lan0", "-n", "-q", "-f", "-s", script, "-x", "hostname:client")
    run(CLIENT, "busybox", "ping", "-c", "3", "-i", "0.1", "192.0.2.1")
    run(CLIENT, "busybox", "ping6", "-c", "3", "-i", "0.1", "2001:db8:1::1")
    run(CLIENT, "busybox", "ping", "-c", "1", "-s", "3000", "192.0.2.1")
    # a connection that is older than the recording
    client.sendall(b"still there?\n")
    server.recv(100)
    server.sendall(b"yes\n")
    client.recv(100)
    # DNS by UDP and TCP, names that exist and one that does not; a port without server
    for words in (["www.example.com", "A"], ["www.example.com", "AAAA"], ["web.example.com", "A"],
                  ["example.com", "MX"], ["example.com", "TXT"], ["nowhere.example.com", "A"],
                  ["+tcp", "long.example.com", "TXT"], ["+tcp", "www.example.com", "A"],
                  ["-x", "192.0.2.1"]):
        run(CLIENT, "dig", "@192.0.2.1", "+tries=1", "+time=5", *words)
    run(CLIENT, "dig", "@2001:db8:1::1", "+tries=1", "+time=5", "www.example.com", "AAAA")
    run(CLIENT, "dig", "@192.0.2.1", "-p", "5300", "+tries=1", "+time=1", "www.example.com", ok=False)
    # HTTP: several requests on one connection, an upload, errors, IPv6
    name = ["--resolve", "www.example.com:80:192.0.2.1", "--resolve", "www.example.com:443:192.0.2.1"]
    curl = ["curl", "-sS", "-o", "/dev/null", "-A", "curl"]
    same = ["-o", "/dev/null", "-o", "/dev/null"]
    run(CLIENT, *curl, *same, *name, "http://www.example.com/", "http://www.example.com/old",
        "http://www.example.com/missing")
    run(CLIENT, *curl, *name, "--data", "name=value&" * 30, "http://www.example.com/form")
    run(CLIENT, *curl, "-I", *name, "http://www.example.com/")
    run(CLIENT, *curl, "http://[2001:db8:1::1]/")
    # TLS 1.2 and 1.3
    run(CLIENT, *curl, "-k", "--tls-max", "1.2", *name, "https://www.example.com/")
    run(CLIENT, *curl, "-k", "--tlsv1.3", *name, "https://www.example.com/")
    run(CLIENT, *curl, "-k", "--tlsv1.3", "https://[2001:db8:1::1]/")
    # refused; reset; the same ports again
    run(CLIENT, *curl, "http://192.0.2.1:81/", ok=False)
    for talk in ([b"one\n"], [b"two\n", b"three\n"]):
        tcp_pair(("192.0.2.100", 40000), ("192.0.2.1", 9000), close_by_reset=True, talk=talk)
    # fragments
    udp_exchange(socket.AF_INET, "192.0.2.2", 4000)
    udp_exchange(socket.AF_INET6, "2001:db8:1::2", 4000)
    # VLAN, QinQ, GRE, IPv6 in IPv4
    for address in ("10.30.0.1", "10.31.0.1", "10.47.0.1", "[2001:db8:41::1]"):
        run(CLIENT, *curl, "http://%s/" % address)
    run(CLIENT, "busybox", "ping", "-c", "2", "-i", "0.1", "10.30.0.1")
    run(CLIENT, "busybox", "ping", "-c", "2", "-i", "0.1", "10.47.0.1")
    # VXLAN
    for mine, peer, namespace in (("192.0.2.100", "192.0.2.1", CLIENT), ("192.0.2.1", "192.0.2.100", SERVER)):
        ip("-n", namespace, "link", "add", "vx42", "type", "vxlan", "id", "42", "dstport", "4789",
           "local", mine, "remote", peer, "dev", "lan0")
        run(namespace, "sysctl", "-qw", "net.ipv6.conf.vx42.disable_ipv6=1")
        side = 1 if namespace == SERVER else 10
        ip("-n", namespace, "link", "set", "vx42", "address", "02:00:00:00:42:%02x" % side, "up")
        ip("-n", namespace, "addr", "add", "10.42.0.%d/24" % side, "dev", "vx42")
    run(CLIENT, *curl, "http://10.42.0.1/")
    run(CLIENT, "busybox", "ping", "-c", "2", "-i", "0.1", "10.42.0.1")
    # multicast: membership reports
    group = in_namespace(CLIENT, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    group.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                     socket.inet_aton("239.1.2.3") + socket.inet_aton("192.0.2.100"))
    # the long one, with loss and reordering
    run(CLIENT, *curl, "http://192.0.2.1:8080/download.txt")
    group.close()
    time.sleep(0.3)  # the leave report, and what the stack still has to say


def write_pcap(path, seen):
    shift = START_NS - seen[0][0]
    with open(path, "wb") as f:
        f.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
        for ts, frame in seen:
            s, ns = divmod(ts + shift, 10**9)
            f.write(struct.pack("<IIII", s, ns, len(frame), len(frame)) + frame)


def tear_down(processes, d):
    for p in processes:
        p.terminate()
        p.wait()
    for name in (CLIENT, SERVER):
        subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
    shutil.rmtree(d, ignore_errors=True)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    ap = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    ap.add_argument("--output", default=os.path.join(here, "..", "data", "sample.pcap"))
    a = ap.parse_args()
    for tool in ("nginx", "dnsmasq", "dig", "curl", "busybox", "openssl", "ss"):
        if shutil.which(tool) is None:
            raise SystemExit("record_sample.py needs " + tool)
    d = tempfile.mkdtemp(prefix="pktaid-rec-")
    processes, wire = [], None
    try:
        wire = Wire(set_up())
        addresses()
        wire.start()
        processes = servers(d)
        early = tcp_pair(("2001:db8:1::10", 40001), ("2001:db8:1::1", 9001), talk=[b"before the recording\n"])
        ip("-n", CLIENT, "neigh", "flush", "all")
        wire.recording = True
        traffic(d, early)
        wire.recording = False
        wire.stop()
        write_pcap(a.output, wire.seen)
        print("%s: %d frames, %d bytes" % (a.output, len(wire.seen), os.path.getsize(a.output)))
    finally:
        tear_down(processes, d)


if __name__ == "__main__":
    sys.exit(main())
