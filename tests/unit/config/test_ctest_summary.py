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
        code, lines = summary()
        assert (code, lines[-1]) == (1, "0 passed, 0 failed, 0 skipped"), lines


main()
