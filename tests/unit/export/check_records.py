#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds record lines against what is said of them.

check_records.py described RECORDS.jsonl DEFINITIONS-DIR: every field that a line has is described in
    DEFINITIONS-DIR/<event_type>.json with its type, and every field described occurs in some line.
check_records.py eve RECORDS.jsonl SCHEMA-DIR: every line without "pktai" validates against the EVE
    JSON schema in SCHEMA-DIR or $PKTAI_SCHEMA. Exit 77 (skipped) where it or python3-jsonschema is
    absent.
"""
import json
import os
import re
import sys

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\+0000$")


def is_integer(v):
    return isinstance(v, int) and not isinstance(v, bool) and abs(v) <= 2**53


TYPES = {
    "time": lambda v: isinstance(v, str) and TIME.match(v),
    "text": lambda v: isinstance(v, str),
    "integer": is_integer,
    "number": lambda v: is_integer(v) or isinstance(v, float),
    "boolean": lambda v: isinstance(v, bool),
    "array of integer": lambda v: isinstance(v, list) and len(v) > 0 and all(map(is_integer, v)),
}


def no_constant(name):
    raise ValueError(name + " is no JSON")


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(x, parse_constant=no_constant) for x in f]


def leaves(value, path=""):
    for k, v in value.items():
        name = path + "." + k if path else k
        if isinstance(v, dict):
            yield from leaves(v, name)
        else:
            yield name, v


def expand(name):
    m = re.match(r"(.*)\{(.*)\}(.*)", name)
    return [m[1] + x + m[3] for x in m[2].split(",")] if m else [name]


def definition(folder, event_type):
    with open(os.path.join(folder, event_type + ".json"), encoding="utf-8") as f:
        d = json.load(f)
    assert d["record"] == event_type
    fields = {}
    for x in d["fields"]:
        assert x["type"] in TYPES and x["description"], x
        assert set(x) <= {"name", "type", "unit", "always", "values", "description"}, x
        for name in expand(x["name"]):
            assert name not in fields, name + " is described twice"
            fields[name] = x
    return fields


def described(records, folder):
    problems, fields, seen = [], {}, set()
    for n, record in enumerate(lines(records), 1):
        kind = record["event_type"]
        if kind not in fields:
            fields[kind] = definition(folder, kind)
        names = dict(leaves(record))
        for name, value in names.items():
            x = fields[kind].get(name)
            if x is None:
                problems.append("line %d: %s is not described for %s" % (n, name, kind))
                continue
            seen.add((kind, name))
            if not TYPES[x["type"]](value):
                problems.append("line %d: %s: %r is no %s" % (n, name, value, x["type"]))
            if "values" in x and value not in x["values"]:
                problems.append("line %d: %s: %r is not among its values" % (n, name, value))
        for name, x in fields[kind].items():
            if x.get("always") and name not in names:
                problems.append("line %d: %s is missing" % (n, name))
    for kind, known in fields.items():
        problems += ["%s: %s is described but in no line" % (kind, x) for x in known if (kind, x) not in seen]
    return problems, len(seen)


def eve(records, folder):
    schema = os.path.join(os.environ.get("PKTAI_SCHEMA") or folder, "eve.schema.json")
    try:
        import jsonschema
    except ImportError:
        print("skipped: python3-jsonschema is not installed")
        sys.exit(77)
    if not os.path.exists(schema):
        print("skipped: no EVE schema at %s" % schema)
        sys.exit(77)
    with open(schema, encoding="utf-8") as f:
        validator = jsonschema.Draft7Validator(json.load(f))
    problems, n = [], 0
    for n, record in enumerate(lines(records), 1):
        record.pop("pktai")
        for e in validator.iter_errors(record):
            problems.append("line %d: %s: %s" % (n, "/".join(map(str, e.path)), e.message[:200]))
    return problems, n


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("described", "eve"):
        sys.exit(__doc__)
    problems, n = {"described": described, "eve": eve}[sys.argv[1]](sys.argv[2], sys.argv[3])
    print("\n".join(problems) if problems else "%d checked" % n)
    sys.exit(1 if problems or n == 0 else 0)


if __name__ == "__main__":
    main()
