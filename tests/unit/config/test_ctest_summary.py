#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ctest-summary counts right, and calls a run without results a failure. test_ctest_summary.py PROGRAM"""
import json
import os
import subprocess
import sys
import tempfile


def summary(*words):
    done = subprocess.run([sys.executable, sys.argv[1], *words], stdout=subprocess.PIPE, text=True)
    return done.returncode, done.stdout.splitlines()


def build(where, name, *results):
    logs = os.path.join(where, name, "meson-logs")
    os.makedirs(logs)
    with open(os.path.join(logs, "testlog.json"), "w") as f:
        for i, result in enumerate(results):
            f.write(json.dumps({"name": "t%d" % i, "result": result,
                                "stdout": "hello\nskipped: no disk\n"}) + "\n")
    return os.path.join(where, name)


PARTS = """ok       test_one                                        0.1 s
skipped  test_two                                     no disk
test_three (__main__.Tables.test_three) ... skipped 'no tape'
test_four (__main__.Tables.test_four)
What it is about. ... skipped 'no drum'
[ RUN      ] too_long_is_said_once_and_skipped
[  SKIPPED ] five
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] five
OK (skipped=2)
"""


def parts(where):
    """A test that passed and a test that failed, both of which left parts out."""
    folder = build(where, "parts")
    with open(os.path.join(folder, "meson-logs", "testlog.json"), "w") as f:
        f.write(json.dumps({"name": "some", "result": "OK", "stdout": PARTS}) + "\n")
        f.write(json.dumps({"name": "more", "result": "FAIL", "stderr": PARTS}) + "\n")
    return folder


def main():
    with tempfile.TemporaryDirectory() as d:
        good = build(d, "good", "OK", "OK", "SKIP", "EXPECTEDFAIL")
        bad = build(d, "bad", "OK", "FAIL", "TIMEOUT", "ERROR", "UNEXPECTEDPASS", "INTERRUPT")
        empty = build(d, "empty")
        steps = os.path.join(d, "steps")
        with open(steps, "w") as f:
            f.write("OK lint\nFAIL build: clang\n")

        code, lines = summary(good)
        assert (code, lines[-1]) == (0, "3 passed, 0 failed, 1 skipped"), lines
        assert lines[0] == "skipped: %s: t2 (skipped: no disk)" % good, lines
        code, lines = summary(good, bad)
        assert (code, lines[-1]) == (1, "4 passed, 5 failed, 1 skipped"), lines
        code, lines = summary("--steps", steps, good)
        assert (code, lines[-1]) == (1, "4 passed, 1 failed, 1 skipped"), lines
        assert "FAILED: build: clang (FAIL)" in lines, lines
        for nothing in (empty, os.path.join(d, "nowhere")):
            code, lines = summary(good, nothing)
            assert (code, lines[-1]) == (1, "3 passed, 1 failed, 1 skipped"), lines
        some = parts(d)
        code, lines = summary(some)
        assert (code, lines[-1]) == (1, "1 passed, 1 failed, 8 skipped"), lines
        assert lines[:4] == ["skipped: %s: some: %s" % (some, x) for x in (
            "test_two (no disk)", "test_three (no tape)", "test_four (no drum)", "five (no reason given)")], lines
        code, lines = summary()
        assert (code, lines[-1]) == (1, "0 passed, 0 failed, 0 skipped"), lines


main()
