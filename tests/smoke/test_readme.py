#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""README.md does not lie: its shell and Python snippets that speak JSON-RPC run as they stand, the
options and commands that it names exist, and so do the files.

    test_readme.py --update     runs the session's commands and writes what they print now
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
from daemon import *  # noqa: E402,F403

SAMPLE = os.path.join(DATA, "sample.pcap")


def readme():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as f:
        return f.read()


def snippets(language):
    """Fenced blocks that follow a line <!-- run -->."""
    return re.findall(r"<!-- run -->\n```%s\n(.*?)```" % language, readme(), re.S)


def run_snippet(words, text, d):
    folder = temporary()
    try:
        shutil.copy(SAMPLE, folder)
        for name, program in (("pktctl", PKTCTL), ("pktaid", PKTAID)):
            os.symlink(program, os.path.join(folder, name))
        p = subprocess.run(words, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder,
                           timeout=60 * SLOW, env=dict(os.environ, PKTAID_SOCKET=d.socket,
                                                       PATH=folder + ":" + os.environ["PATH"]))
        equal(p.returncode, 0, "exit code of\n%s\nstderr: %s" % (text, p.stderr.decode()))
        return p.stdout.decode()
    finally:
        shutil.rmtree(folder)


def with_sample():
    d = Daemon()
    d.call("capture.start", source="pcap:" + SAMPLE, name="sample")
    d.wait_capture("sample", "finished")
    return d


def test_shell_snippets():
    if not os.path.exists(PKTCTL):
        raise Skip("no pktctl at " + PKTCTL)
    texts = snippets("sh")
    check(texts, "README.md has no shell snippet to run")
    for text in texts:
        for tool in ("socat", "jq"):
            if re.search(r"\b%s\b" % tool, text) and shutil.which(tool) is None:
                raise Skip("needs " + tool)
        with with_sample() as d:
            check(run_snippet(["sh", "-e"], text, d).strip(), "a snippet prints nothing:\n%s", text)


def test_python_snippets():
    texts = snippets("python")
    check(texts, "README.md has no Python snippet to run")
    for text in texts:
        with with_sample() as d:
            out = run_snippet([sys.executable, "-"], text, d)
            check("192.0.2.1" in out, "the snippet prints:\n%s", out)


def test_options_and_commands_exist():
    if not os.path.exists(PKTCTL):
        raise Skip("no pktctl at " + PKTCTL)
    usage = subprocess.run([PKTAID, "--help"], stdout=subprocess.PIPE).stdout.decode()
    for block in re.findall(r"```[a-z]*\n(.*?)```", readme(), re.S):
        for line in block.splitlines():
            words = re.sub(r"^(\$ |# )?(sudo )?", "", line).split()
            if words[:1] == ["pktaid"]:
                for w in words[1:words.index("--") if "--" in words else None]:
                    if w.startswith("--"):
                        check(w.split("=")[0] in usage, "pktaid has no %s: %s", w, line)
            elif words[:1] == ["pktctl"] and len(words) > 1 and not words[1].startswith("-"):
                command = words[1:3] if words[1] == "capture" else words[1:2]
                p = subprocess.run([PKTCTL, *command, "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                equal(p.returncode, 0, "pktctl %s --help" % " ".join(command))
                for w in words[1:]:
                    if w.startswith("--"):
                        check(w.split("=")[0] in p.stdout.decode(), "pktctl %s has no %s", " ".join(command), w)


def test_session_is_what_pktctl_shows():
    """The tables of the session in README.md, line by line but for what a clock decides."""
    if not os.path.exists(PKTCTL):
        raise Skip("no pktctl at " + PKTCTL)
    session = re.search(r"<!-- session -->\n```\n(.*?)```", readme(), re.S)
    check(session, "README.md has no session")
    compared = 0
    with Daemon(workers=2) as d:
        d.call("capture.start", source="pcap:" + SAMPLE)
        d.wait_capture("sample.pcap", "finished")
        for part in re.split(r"^\$ ", session.group(1), flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            # the columns of protocols and of status that are rates depend on when one asks
            columns = 5 if command == "pktctl protocols" else None
            if not command.startswith(("pktctl flow", "pktctl protocols", "pktctl reassembly", "pktctl drops")):
                continue
            p = subprocess.run([PKTCTL, "--socket", d.socket, *command.split()[1:]], stdout=subprocess.PIPE,
                               env=dict(os.environ, LC_ALL="C.UTF-8", COLUMNS="110"))
            now = [line.split()[:columns] for line in p.stdout.decode().splitlines() if line.strip()]
            for line in shown.splitlines():
                if line.strip() and line.strip() != "…":
                    check(line.split()[:columns] in now, "%s no longer shows:\n%s\nbut:\n%s", command, line,
                          p.stdout.decode())
                    compared += 1
    check(compared > 20, "%d lines compared", compared)


def update():
    """Runs the session anew. A part that ends with … keeps its length."""
    text = readme()
    head, session, tail = re.split(r"(?<=<!-- session -->\n```\n)(.*?)(?=```)", text, maxsplit=1, flags=re.S)
    parts = []
    with Daemon(workers=2) as d:
        for part in re.split(r"^\$ ", session, flags=re.M)[1:]:
            command, _, shown = part.partition("\n")
            if command.startswith("pktctl "):
                words = command.split()
                if words[1] == "flow":  # its id may be another now
                    words[2] = str(d.call("flows.top", n=1)["flows"][0]["flow_id"])
                if words[1] == "protocols":  # rates go back to 0 when nothing comes
                    wait_until(lambda: not any(p["packets_per_second"] for p in d.call("protocols.get")["protocols"]),
                               "rates are 0")
                p = subprocess.run([PKTCTL, "--socket", d.socket, *words[1:]], stdout=subprocess.PIPE, cwd=ROOT,
                                   env=dict(os.environ, LC_ALL="C.UTF-8", COLUMNS="110"))
                lines = [line.rstrip() for line in p.stdout.decode().splitlines()]
                if any(ROOT in line for line in lines):  # someone's path, and a column as wide as that
                    width = "Source".ljust(6 + max(0, len("/home/you/pktaid") - len(ROOT)))
                    lines = [line.replace(ROOT, "/home/you/pktaid").replace("Source", width) for line in lines]
                if "…" in shown:
                    lines = lines[:shown.splitlines().index("  …")] + ["  …"]
                command, shown = " ".join(words), "\n".join(lines)
            parts.append("$ " + (command + "\n" + shown).rstrip() + "\n")
    with open(os.path.join(ROOT, "README.md"), "w", encoding="utf-8") as f:
        f.write(head + "\n".join(parts) + tail)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", readme()):
        if not target.startswith(("http:", "https:")):
            check(os.path.exists(os.path.join(ROOT, target)), "README.md links to %s", target)


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        sys.exit(update())
    main(globals())
