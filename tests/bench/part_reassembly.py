# SPDX-License-Identifier: Apache-2.0
"""What putting TCP streams in order adds to a segment: bench_reassembly, on a trace and by itself."""
import subprocess

from common import Left, tool


def run(options, traces):
    words = [tool("bench_reassembly"), "--mktrace", tool("mktrace")]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Left("bench_reassembly ended with %d" % done.returncode)
    print(done.stdout, end="")
    return {"report": done.stdout.splitlines()}
