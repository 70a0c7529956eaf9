#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of fuzz_defrag: make_seeds.py FOLDER"""
import os
import random
import struct
import sys

IPV6, MORE, ID, CAPTURE, TUNNEL, CUT, PATCH = 1, 2, 4, 16, 32, 64, 128
EXPIRE, END = 14, 15
FIRST, LAST, BSD, LINUX, WINDOWS, DROP = range(6)


def config(policy=FIRST, trackers=8, fragments=32, blocks=255):
    return bytes([policy * 17, (trackers - 1) | (fragments - 1) << 3, blocks])


def step(offset=0, length=0, bits=0, kind=0, passes=0, variant=0, options=0, patch=0):
    return struct.pack(">BBHHBB", bits, kind | passes << 4, offset | variant, length, options, patch)


def cut(size, piece, bits=0, **other):
    return [step(at, min(piece, size - at), bits | (MORE if at + piece < size else 0), **other)
            for at in range(0, size, piece)]


def seeds():
    rnd = random.Random(7)
    for name, v in (("4", 0), ("6", IPV6)):
        yield "in_order" + name, config(), cut(4000, 1480, v)
        yield "backwards" + name, config(), cut(4000, 1480, v)[::-1]
        yield "options" + name, config(), cut(3000, 1000, v, options=9)
        yield "tunnel" + name, config(), cut(3000, 1000, v | TUNNEL)
        yield "largest" + name, config(), cut(65535 if v else 65515, 32768, v)
        yield "too_large" + name, config(), cut(65535, 32768, v, options=3)
        yield "repeats" + name, config(), [s for s in cut(400, 80, v) for _ in "ab"] * 2
        yield "late" + name, config(), cut(200, 104, v)[:1] + [step(kind=EXPIRE, passes=9)] + cut(200, 104, v)[1:]
        yield "too_late" + name, config(), cut(200, 104, v)[:1] + cut(200, 104, v, passes=9)[1:]
        yield "cut" + name, config(), cut(200, 104, v | CUT, patch=10)
        yield "patched" + name, config(), cut(200, 104, v | PATCH, patch=6)
        yield "beyond_end" + name, config(), [step(65520, 8, v | MORE), step(8, 8, v), step(0, 8, v | MORE, options=10)]
        for policy in range(6):
            steps = [step(8 * rnd.randrange(30), 8 * rnd.randrange(1, 12), v | MORE, variant=rnd.randrange(4))
                     for _ in range(30)]
            yield "overlaps%s_%d" % (name, policy), config(policy), [step(240, 40, v), *steps]
    flood = [step(0, 1000, ID * (i & 3) | MORE | (CAPTURE if i & 4 else 0)) for i in range(40)]
    yield "flood", config(trackers=3, fragments=5, blocks=7), flood
    yield "two_captures", config(), [s for pair in zip(cut(400, 80), cut(400, 80, CAPTURE)) for s in pair] + [
        step(kind=END), step(0, 8, CAPTURE | MORE), step(kind=END, bits=CAPTURE)]


def main():
    for name, head, steps in seeds():
        with open(os.path.join(sys.argv[1], name), "wb") as f:
            f.write(head + b"".join(steps))


if __name__ == "__main__":
    main()
