#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the hand-built captures of tests/data, byte by byte and the same each time.

sample.pcapng and linktypes.pcapng (several link types in one file), one small file for each link
type, tcp-ends.pcap (every way a flow can end), tcp-streams.pcap (what can happen to bytes), backwards.pcap (time that goes back), snapped.pcap
(frames cut by snaplen), and malformed.pcap with malformed.expected: a frame for each malformation
that decoding names, and which names it must get. Only addresses for documentation and private ones.

    make_data.py [FOLDER]     writes (default tests/data)
    make_data.py --check      says which files of tests/data differ from what it would write
"""
import os
import socket
import struct
import sys

T0 = 1767600000 * 10**9  # 2026-01-05T08:00:00Z
S, MS = 10**9, 10**6
MAC_A, MAC_B = bytes.fromhex("02000000000a"), bytes.fromhex("02000000000b")
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
ETHERNET, RAW, LOOP, NULL, SLL, SLL2, IPV4, IPV6, USER0 = 1, 101, 108, 0, 113, 276, 228, 229, 147


def checksum(data):
    data += b"\0" * (len(data) & 1)
    s = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while s >> 16:
        s = (s & 0xFFFF) + (s >> 16)
    return s ^ 0xFFFF


# --- headers -------------------------------------------------------------------------------------

def eth(ethertype, payload, src=MAC_A, dst=MAC_B):
    return dst + src + struct.pack("!H", ethertype) + payload


def ipv4(src, dst, proto, payload, options=b"", total=None, first=None, ident=1, frag=0, ttl=64, bad_sum=False):
    ihl = 5 + len(options) // 4
    length = ihl * 4 + len(payload) if total is None else total
    head = struct.pack("!BBHHHBBH", 0x40 | ihl if first is None else first, 0, length, ident, frag, ttl, proto, 0)
    head += socket.inet_aton(src) + socket.inet_aton(dst) + options
    c = checksum(head) ^ (0x5555 if bad_sum else 0)
    return head[:10] + struct.pack("!H", c) + head[12:] + payload


def ipv6(src, dst, following, payload, length=None, version=6, hops=64):
    return struct.pack("!IHBB", version << 28, len(payload) if length is None else length, following, hops) + \
        socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + payload


def pseudo(src, dst, proto, payload):
    if ":" in src:
        return socket.inet_pton(socket.AF_INET6, src) + socket.inet_pton(socket.AF_INET6, dst) + \
            struct.pack("!IHBB", len(payload), 0, 0, proto)
    return socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!BBH", 0, proto, len(payload))


def udp(src, dst, sport, dport, payload, length=None, bad_sum=False):
    d = struct.pack("!HHHH", sport, dport, 8 + len(payload) if length is None else length, 0) + payload
    c = (checksum(pseudo(src, dst, 17, d) + d) or 0xFFFF) ^ (0x5555 if bad_sum else 0)
    return d[:6] + struct.pack("!H", c) + d[8:]


def tcp(src, dst, sport, dport, seq, ack, flags, payload=b"", options=b"", offset=None, window=64240, bad_sum=False):
    words = 5 + len(options) // 4 if offset is None else offset
    d = struct.pack("!HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, words << 4, flags, window, 0, 0)
    d += options + payload
    c = checksum(pseudo(src, dst, 6, d) + d) ^ (0x5555 if bad_sum else 0)
    return d[:16] + struct.pack("!H", c) + d[18:]


def icmp(kind, code, rest, bad_sum=False):
    d = struct.pack("!BBH", kind, code, 0) + rest
    return d[:2] + struct.pack("!H", checksum(d) ^ (0x5555 if bad_sum else 0)) + d[4:]


def udp4(src, dst, sport, dport, payload, **more):
    return ipv4(src, dst, 17, udp(src, dst, sport, dport, payload), **more)


def tcp4(src, dst, sport, dport, seq, ack, flags, payload=b"", **more):
    return ipv4(src, dst, 6, tcp(src, dst, sport, dport, seq, ack, flags, payload, **more))


def udp6(src, dst, sport, dport, payload):
    return ipv6(src, dst, 17, udp(src, dst, sport, dport, payload))


# --- files ---------------------------------------------------------------------------------------

def pcap(frames, link=ETHERNET, snaplen=262144):
    """frames: (time in ns since T0, bytes)"""
    out = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snaplen, link)
    for ts, frame in frames:
        s, ns = divmod(T0 + ts, S)
        out += struct.pack("<IIII", s, ns, min(snaplen, len(frame)), len(frame)) + frame[:snaplen]
    return out


class Pcapng:
    def __init__(self, order="<"):
        self.out, self.order, self.resolution = b"", order, []
        self.section(order)

    def block(self, kind, body):
        body += b"\0" * (-len(body) % 4)
        self.out += struct.pack(self.order + "II", kind, 12 + len(body)) + body + \
            struct.pack(self.order + "I", 12 + len(body))

    def options(self, *pairs):
        out = b""
        for code, value in pairs:
            out += struct.pack(self.order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)
        return out + struct.pack(self.order + "HH", 0, 0)

    def section(self, order):
        self.order, self.resolution = order, []
        self.block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))

    def interface(self, link, name, resolution=9, snaplen=0):
        self.block(1, struct.pack(self.order + "HHI", link, 0, snaplen) +
                   self.options((2, name.encode()), (9, bytes([resolution]))))
        self.resolution.append(10**resolution)

    def packet(self, interface, ts, data, original=None):
        ticks = (T0 + ts) * self.resolution[interface] // S
        self.block(6, struct.pack(self.order + "IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, len(data),
                                  original or len(data)) + data + b"\0" * (-len(data) % 4) +
                   self.options((1, b"a comment")))


def conversation(client, server, cport, sport, start, request, reply, isn=1000, end=FIN):
    """A whole TCP connection as (time, IPv4 packet), 10 ms apart."""
    out, t = [], start
    c, s = isn, isn * 7

    def add(to_server, flags, payload=b""):
        nonlocal t, c, s
        if to_server:
            p = tcp4(client, server, cport, sport, c, s if flags & ACK else 0, flags, payload)
            c += len(payload) + (1 if flags & (SYN | FIN) else 0)
        else:
            p = tcp4(server, client, sport, cport, s, c, flags, payload)
            s += len(payload) + (1 if flags & (SYN | FIN) else 0)
        out.append((t, p))
        t += 10 * MS

    add(True, SYN)
    add(False, SYN | ACK)
    add(True, ACK)
    add(True, PSH | ACK, request)
    add(False, PSH | ACK, reply)
    if end == FIN:
        add(True, FIN | ACK)
        add(False, FIN | ACK)
        add(True, ACK)
    elif end == RST:
        add(False, RST | ACK)
    return out


def on_ethernet(packets):
    return [(t, eth(0x0800 if p[0] >> 4 == 4 else 0x86DD, p)) for t, p in packets]


A, B = "192.0.2.10", "198.51.100.20"
A6, B6 = "2001:db8::10", "2001:db8:1::20"


def sample_pcapng():
    """Two interfaces of different link type and resolution; a cut packet; a second section, big-endian."""
    f = Pcapng()
    f.interface(ETHERNET, "eth0")
    f.interface(RAW, "tun0", resolution=6)
    there = conversation(A, B, 50000, 80, 0, b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n", b"x" * 600)
    for n, (t, p) in enumerate(there):
        f.packet(0, t, eth(0x0800, p))
        if n < 4:
            f.packet(1, t + 5 * MS, udp6(A6, B6, 5000, 6000, b"v6" * (n + 1)))
    f.packet(0, 200 * MS, eth(0x0800, udp4(A, B, 7000, 8000, b"z" * 900))[:96], original=942)
    f.section(">")
    f.interface(RAW, "tun1")
    f.packet(0, 300 * MS, udp4(B, A, 8000, 7000, b"back"))
    return f.out


def link_frames():
    """The same exchange under each link type: link -> [(time, frame)]."""
    v4 = [udp4(A, B, 4000, 53, b"question"), udp4(B, A, 53, 4000, b"an answer")]
    v6 = [udp6(A6, B6, 4001, 53, b"question"), udp6(B6, A6, 53, 4001, b"an answer")]
    ethertype = {4: 0x0800, 6: 0x86DD}
    family = {4: 2, 6: 30}  # AF_INET; AF_INET6 as Darwin has it
    wrap = {
        ETHERNET: lambda p, v: eth(ethertype[v], p),
        RAW: lambda p, v: p,
        NULL: lambda p, v: struct.pack("<I", family[v]) + p,
        LOOP: lambda p, v: struct.pack("!I", family[v]) + p,
        SLL: lambda p, v: struct.pack("!HHH6s2xH", 0, 1, 6, MAC_A, ethertype[v]) + p,
        SLL2: lambda p, v: struct.pack("!HHIHBB6s2x", ethertype[v], 0, 2, 1, 0, 6, MAC_A) + p,
    }
    out = {link: [(n * MS, w(p, p[0] >> 4)) for n, p in enumerate(v4 + v6)] for link, w in wrap.items()}
    out[IPV4] = [(n * MS, p) for n, p in enumerate(v4)]
    out[IPV6] = [(n * MS, p) for n, p in enumerate(v6)]
    out[USER0] = [(0, b"no one knows what this is")]
    return out


def linktypes_pcapng():
    f = Pcapng()
    frames = link_frames()
    for link in frames:
        f.interface(link, "link%d" % link)
    for i, link in enumerate(frames):
        for t, p in frames[link]:
            f.packet(i, i * S + t, p)
    return f.out


def tcp_ends():
    """Every way that a flow can end, ordered by time. Client and ports name the case."""
    server = "198.51.100.1"
    req, rep = b"q" * 100, b"r" * 1000
    f = conversation("192.0.2.1", server, 1001, 80, 0, req, rep)                      # fin
    f += conversation("192.0.2.2", server, 1002, 80, S, req, rep, end=RST)            # rst
    f += conversation("192.0.2.3", server, 1003, 80, 2 * S, req, rep, end=0)          # reuse:
    f += conversation("192.0.2.3", server, 1003, 80, 3 * S, req, rep, isn=900000)     # another ISN, no close before
    f += conversation("192.0.2.4", server, 1004, 80, 4 * S, req, rep)                 # closed, then the ports again
    f += conversation("192.0.2.4", server, 1004, 80, 5 * S, req, rep, isn=500000)
    syn = tcp4("192.0.2.5", server, 1005, 80, 77, 0, SYN)
    f += [(6 * S, syn), (7 * S, syn), (9 * S, syn)]                                   # SYN thrice, no answer, same ISN
    f += [(10 * S, tcp4(server, "192.0.2.6", 80, 1006, 1, 1, ACK, b"m" * 50)),        # midstream, server first:
          (10 * S + MS, tcp4("192.0.2.6", server, 1006, 80, 1, 51, ACK))]             # direction by port
    f += [(11 * S, tcp4(server, "192.0.2.7", 80, 1007, 1, 2, SYN | ACK)),             # SYN/ACK first
          (11 * S + MS, tcp4("192.0.2.7", server, 1007, 80, 2, 2, ACK))]
    f += [(12 * S, udp4("192.0.2.8", server, 1008, 9999, b"u"))]                      # idle: UDP twice, an hour apart
    f += [(13 * S + n * 20 * S, udp4("192.0.2.9", server, 1009, 9998, b"l" * 100)) for n in range(270)]  # active parts
    f += [(3612 * S, udp4("192.0.2.8", server, 1008, 9999, b"u"))]
    f += [(5500 * S, udp4("192.0.2.10", server, 1010, 9999, b"last"))]                # eof
    return pcap(on_ethernet(sorted(f, key=lambda x: x[0])))


class Stream:
    """A TCP connection of which each segment is sent by hand: offsets are of bytes in its direction."""

    def __init__(self, frames, client, server, port, start, isn=1000, handshake=True):
        self.frames, self.ends, self.ports, self.t = frames, (client, server), (port, 80), start
        self.isn = (isn, isn * 7 & 0xFFFFFFFF)
        if handshake:
            self.send(0, -1, flags=SYN)
            self.send(1, -1, flags=SYN | ACK, ack=0)
            self.send(0, 0, ack=0)

    def send(self, d, offset, payload=b"", ack=0, flags=ACK, later=10 * MS, **more):
        src, dst = self.ends[d], self.ends[1 - d]
        segment = tcp(src, dst, self.ports[d], self.ports[1 - d], (self.isn[d] + 1 + offset) & 0xFFFFFFFF,
                      (self.isn[1 - d] + 1 + ack) & 0xFFFFFFFF if flags & ACK else 0, flags, payload, **more)
        self.frames.append((self.t, ipv6(src, dst, 6, segment) if ":" in src else ipv4(src, dst, 6, segment)))
        self.t += later


def tcp_streams():
    """What can happen to the bytes of a TCP stream; the client's port names the case, 2 s each."""
    f, server, bytes_ = [], "198.51.100.1", bytes(range(256)) * 8
    part = lambda i, n=100: bytes_[100 * i:100 * i + n]
    for port, order in ((2001, (0, 1, 2, 3)), (2002, (1, 0, 3, 2)), (2003, (3, 2, 1, 0))):
        s = Stream(f, "192.0.2.1", server, port, (port - 2001) * 2 * S)        # in order, and not
        for i in order:
            s.send(0, 100 * i, part(i))
        s.send(1, 0, b"r" * 50, ack=400)
        s.send(0, 400, ack=50, flags=FIN | ACK)
        s.send(1, 50, ack=401, flags=FIN | ACK)
        s.send(0, 401, ack=51)
    s = Stream(f, "192.0.2.1", server, 2004, 6 * S)                            # a hole that the server acknowledges
    s.send(0, 0, part(0))
    s.send(0, 200, part(2))
    s.send(1, 0, ack=300)
    s.send(0, 300, part(3))
    s = Stream(f, "192.0.2.1", server, 2005, 8 * S)                            # and one that nobody does
    s.send(0, 200, part(2))
    s = Stream(f, "192.0.2.1", server, 2006, 10 * S)                           # sent again: waited for, and for nothing
    s.send(0, 0, part(0), later=20 * MS)
    s.send(0, 0, part(0))
    s.send(1, 0, ack=100)
    s.send(0, 0, part(0))
    s.send(0, 50, part(0, 100)[50:] + part(1), ack=0)
    s = Stream(f, "192.0.2.1", server, 2007, 12 * S)                           # two segments that contradict each other,
    for content in (b"A", b"B", b"B", b"A"):                                   # both ahead; the fourth repeats the first
        s.send(0, 100, content * 100)
    s.send(1, 100, b"C" * 50)
    s.send(1, 100, b"D" * 50)
    s.send(0, 0, part(0))
    s.send(1, 0, part(0), ack=200)
    s = Stream(f, "192.0.2.1", server, 2008, 14 * S, isn=0xFFFFFF9C)           # sequence numbers begin anew
    for i in (0, 2, 1, 3):
        s.send(0, 100 * i, part(i))
    s = Stream(f, "192.0.2.1", server, 2009, 16 * S)                           # window closed, probed, opened; keep-alive
    s.send(0, 0, part(0))
    s.send(1, 0, ack=100, window=0)
    s.send(0, 99, part(0)[99:])
    s.send(1, 0, ack=100, window=0)
    s.send(1, 0, ack=100)
    s.send(0, 99, later=100 * MS)
    s.send(1, 0, ack=100)
    s = Stream(f, "2001:db8::1", "2001:db8:1::1", 2010, 18 * S)                # IPv6
    for i in (0, 2, 1):
        s.send(0, 100 * i, part(i))
    s.send(1, 0, b"six", ack=300)
    s = Stream(f, "192.0.2.1", server, 2011, 20 * S, handshake=False)          # begun before, one direction only
    for i in (4, 3, 6, 5):
        s.send(0, 100 * i, part(i))
    s = Stream(f, "192.0.2.1", server, 2012, 22 * S)                           # RST, and what had been on its way
    s.send(0, 0, part(0))
    s.send(1, 0, ack=100, flags=RST | ACK)
    s.send(0, 100, part(1))
    s = Stream(f, "192.0.2.1", server, 2013, 24 * S)                           # another connection on the same ports
    s.send(0, 200, part(2))
    s = Stream(f, "192.0.2.1", server, 2013, 24 * S + 500 * MS, isn=77777777)
    s.send(0, 0, part(0))
    s = Stream(f, "192.0.2.1", server, 2014, 26 * S)                           # in fragments of IP
    s.send(0, 0, part(0))
    t, whole = f.pop()
    f += [(t, ipv4("192.0.2.1", server, 6, whole[20:100], ident=9, frag=0x2000)),
          (t + MS, ipv4("192.0.2.1", server, 6, whole[100:], ident=9, frag=10))]
    s.send(0, 100, part(1))
    return pcap(on_ethernet(f))


def backwards():
    """Time that goes back a little within a flow, and then by an hour."""
    def p(t, n):
        return t, eth(0x0800, udp4(A, B, 3000, 3001, b"%04d" % n))
    times = [4000 * S, 4000 * S + 500 * MS, 4000 * S + 200 * MS, 4000 * S + 100 * MS, 4001 * S,
             400 * S, 400 * S + 100 * MS, 401 * S]
    return pcap([p(t, n) for n, t in enumerate(times)])


def snapped():
    frames = on_ethernet(conversation(A, B, 50000, 80, 0, b"q" * 1200, b"r" * 1400))
    frames += [(S, eth(0x86DD, udp6(A6, B6, 5000, 6000, b"s" * 1200)))]
    return pcap(frames, snaplen=60)


# --- malformed -----------------------------------------------------------------------------------

def malformed_frames():
    """[(events that the frame must get, frame)]; a name with ! only where checksums are verified."""
    n = 0

    def pair():
        nonlocal n
        n += 1
        return "192.0.2.%d" % (n % 250 + 1), "198.51.100.1"

    def v4(proto, payload, **more):
        src, dst = pair()
        return eth(0x0800, ipv4(src, dst, proto, payload, **more))

    def plain4(**more):
        src, dst = pair()
        return eth(0x0800, ipv4(src, dst, 17, udp(src, dst, 1000, 2000, b"data"), **more))

    def tcp_of(flags, payload=b"", **more):
        src, dst = pair()
        return eth(0x0800, ipv4(src, dst, 6, tcp(src, dst, 1000, 80, 1, 0, flags, payload, **more)))

    def udp_to(port, payload, **more):
        src, dst = pair()
        return eth(0x0800, ipv4(src, dst, 17, udp(src, dst, 40000, port, payload, **more)))

    def v6(following, payload, **more):
        pair()
        return eth(0x86DD, ipv6("2001:db8::%x" % n, "2001:db8:1::1", following, payload, **more))

    def udp_behind(headers, first):
        """IPv6 with extension headers and a UDP datagram behind them."""
        pair()
        src, dst = "2001:db8::%x" % n, "2001:db8:1::1"
        return eth(0x86DD, ipv6(src, dst, first, headers + udp(src, dst, 1000, 2000, b"data")))

    def arp(hw=1, proto=0x0800, hlen=6, plen=4, op=1):
        return eth(0x0806, struct.pack("!HHBBH", hw, proto, hlen, plen, op) + MAC_A + socket.inet_aton(A) +
                   bytes(6) + socket.inet_aton(B))

    pad = b"\x01\x04\0\0\0\0"  # PadN: six bytes of options
    inner = eth(0x0800, udp4("10.0.0.1", "10.0.0.2", 1, 2, b"inner"))
    inner_ip = udp4("10.0.0.1", "10.0.0.2", 1, 2, b"inner")
    deep = inner_ip
    for i in range(10):
        deep = ipv4("10.0.%d.1" % i, "10.0.%d.2" % i, 4, deep)
    src, dst = pair()

    return [
        # link
        ("eth_short", MAC_B + MAC_A[:4]),
        ("unknown_ethertype", eth(0x88B5, b"experiment")),
        ("llc_short", eth(0x0002, b"\x42\x42")),
        ("vlan_short", eth(0x8100, b"\0\x01")),
        ("vlan_too_deep", eth(0x8100, b"".join(struct.pack("!HH", i, 0x8100) for i in range(1, 6)) +
                              struct.pack("!HH", 6, 0x0800) + plain4()[14:])),
        ("mpls_short", eth(0x8847, b"\0\x01")),
        ("mpls_too_deep", eth(0x8847, struct.pack("!I", 16 << 12 | 64) * 20 + struct.pack("!I", 16 << 12 | 0x100 | 64) +
                              plain4()[14:])),
        ("pppoe_short", eth(0x8864, b"\x11\0\0\x01")),
        ("pppoe_bad_version", eth(0x8864, b"\x21\0\0\x01" + struct.pack("!HH", 2 + len(inner_ip), 0x21) + inner_ip)),
        ("arp_short", eth(0x0806, b"\0\x01\x08\0\x06\x04")),
        ("arp_bad_len", arp(hlen=7)),
        ("arp_bad_hw", arp(hw=99)),
        ("arp_bad_op", arp(op=77)),
        # IPv4
        ("ipv4_short", eth(0x0800, plain4()[14:24])),
        ("ipv4_bad_version", plain4(first=0x55)),
        ("ipv4_hlen_small", plain4(first=0x44)),
        ("ipv4_len_lt_hlen", plain4(total=10)),
        ("ipv4_truncated", eth(0x0800, ipv4(src, dst, 17, udp(src, dst, 1, 2, b"data", length=80), total=100))),
        ("!ipv4_bad_checksum", plain4(bad_sum=True)),
        ("ipv4_opt_bad_len", plain4(options=b"\x07\x01\x04\0")),
        ("ipv4_opt_dup", plain4(options=b"\x07\x03\x04\x07\x03\x04\0\0")),
        ("ipv4_opt_unknown", plain4(options=b"\x60\x04\0\0")),
        # IPv6
        ("ipv6_short", eth(0x86DD, udp_behind(b"", 17)[14:34])),
        ("ipv6_bad_version", v6(59, b"", version=7)),
        ("ipv6_truncated", v6(59, b"", length=100)),
        ("ipv6_ext_truncated", v6(60, b"\x3b\x0a" + pad)),
        ("ipv6_ext_duplicate", udp_behind(b"\x2b\0\xfd\0\0\0\0\0" + b"\x11\0\xfd\0\0\0\0\0", 43)),
        ("ipv6_ext_loop ipv6_ext_duplicate", udp_behind(b"\x3c\0" .join([b""] + [pad] * 39) + b"\x11\0" + pad, 60)),
        ("ipv6_ext_order", udp_behind(b"\0\0" + pad + b"\x11\0" + pad, 60)),
        ("ipv6_rh0", udp_behind(b"\x11\x02\0\0\0\0\0\0" + bytes(16), 43)),
        ("ipv6_jumbo", v6(0, b"\x3b\0\xc2\x04\0\0\0\x08", length=0)),
        # above IP
        ("tcp_short", v4(6, b"\0" * 10)),
        ("tcp_bad_hlen", tcp_of(ACK, offset=4)),
        ("tcp_opt_bad", tcp_of(SYN, options=b"\x02\x01\0\0")),
        ("tcp_null", tcp_of(0)),
        ("tcp_xmas", tcp_of(FIN | PSH | URG)),
        ("tcp_syn_fin", tcp_of(SYN | FIN)),
        ("!tcp_bad_checksum", tcp_of(ACK, b"data", bad_sum=True)),
        ("udp_short", v4(17, b"\0\x01\0\x02")),
        ("udp_len_mismatch", udp_to(2000, b"data", length=200)),
        ("!udp_bad_checksum", udp_to(2000, b"data", bad_sum=True)),
        ("sctp_short", v4(132, b"\0\x01\0\x02\0\0")),
        ("icmp_short", v4(1, b"\x08\0")),
        ("icmp_unknown_type", v4(1, icmp(99, 0, bytes(4)))),
        ("icmp_bad_inner", v4(1, icmp(3, 1, bytes(4) + b"\xff" * 28))),
        ("!icmp_bad_checksum", v4(1, icmp(8, 0, bytes(4), bad_sum=True))),
        ("igmp_short", v4(2, b"\x16\0\0\0")),
        # tunnels
        ("gre_version", v4(47, struct.pack("!HH", 0x0003, 0x0800) + inner_ip)),
        ("gre_flags", v4(47, struct.pack("!HHII", 0xA001, 0x880B, 0, 0))),
        ("gre_truncated", v4(47, struct.pack("!HH", 0x2000, 0x0800))),
        ("erspan_short", v4(47, struct.pack("!HHI", 0x1000, 0x88BE, 1) + b"\x10\0\0")),
        ("erspan_version", v4(47, struct.pack("!HHI", 0x1000, 0x88BE, 1) + b"\x50\0\0\0\0\0\0\0" + inner)),
        ("vxlan_short", udp_to(4789, b"\x08\0\0\0")),
        ("vxlan_bad_flags", udp_to(4789, b"\0\0\0\0\0\0\x05\0" + inner)),
        ("geneve_short", udp_to(6081, b"\0\0\x65\x58")),
        ("geneve_version", udp_to(6081, b"\x40\0\x65\x58\0\0\x05\0" + inner)),
        ("geneve_opts", udp_to(6081, b"\x3f\0\x65\x58\0\0\x05\0" + inner)),
        ("gtpu_short", udp_to(2152, b"\x30\xff\0\x04")),
        ("gtpu_version", udp_to(2152, b"\x50\xff" + struct.pack("!HI", len(inner_ip), 5) + inner_ip)),
        ("teredo_short", udp_to(3544, b"\0\x01\x04\x04\0\0")),
        ("too_many_layers", v4(4, deep)),
    ]


def malformed():
    frames = malformed_frames()
    lines = ["# made by tests/tools/make_data.py: frame number, events (! only with decode.checksum: verify)\n"]
    lines += ["%d %s\n" % (i + 1, names) for i, (names, _) in enumerate(frames)]
    return pcap([(i * MS, f) for i, (_, f) in enumerate(frames)]), "".join(lines).encode()


def files():
    frames = link_frames()
    bad, expected = malformed()
    out = {"sample.pcapng": sample_pcapng(), "linktypes.pcapng": linktypes_pcapng(), "tcp-ends.pcap": tcp_ends(),
           "tcp-streams.pcap": tcp_streams(),
           "backwards.pcap": backwards(), "snapped.pcap": snapped(), "malformed.pcap": bad,
           "malformed.expected": expected}
    for link, name in ((RAW, "raw"), (NULL, "null"), (LOOP, "loop"), (SLL, "sll"), (SLL2, "sll2")):
        out["link-%s.pcap" % name] = pcap(frames[link], link)
    return out


def main():
    data = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data")
    if sys.argv[1:] == ["--check"]:
        stale = [n for n, b in files().items() if open(os.path.join(data, n), "rb").read() != b]
        for name in stale:
            print("tests/data/%s is not what make_data.py makes" % name)
        return bool(stale)
    folder = sys.argv[1] if sys.argv[1:] else data
    for name, content in files().items():
        with open(os.path.join(folder, name), "wb") as f:
            f.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
