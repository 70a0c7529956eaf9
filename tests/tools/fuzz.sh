#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs each fuzz target of a build for FUZZ_TIME seconds, on its seeds and what earlier runs found
# (BUILD/corpus/NAME). Findings stay in BUILD. fuzz.sh BUILD
set -eu
cd "$(dirname "$0")/../.."
build=$1 failed=
seconds=${FUZZ_TIME:-60}

for target in "$build"/tests/fuzz/*/fuzz_*; do
	if ! [ -f "$target" ] || ! [ -x "$target" ]; then
		continue
	fi
	name=$(basename "$target") area=$(basename "$(dirname "$target")")
	corpus=$build/corpus/$name
	seeds=tests/fuzz/$area/${name#fuzz_}.seeds
	mkdir -p "$corpus"
	[ -d "$seeds" ] || seeds=
	echo "$name: $seconds s"
	# shellcheck disable=SC2086 # seeds: one word or none
	if "$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=4096 -max_len=65536 \
		-print_final_stats=1 -artifact_prefix="$build/" "$corpus" $seeds \
		>"$build/$name.log" 2>&1; then
		grep -E '^stat::(number_of_executed|average_exec)' "$build/$name.log"
	else
		tail -n 40 "$build/$name.log"
		failed="$failed $name"
	fi
done
[ -z "$failed" ] || { echo "Findings:$failed"; exit 1; }
