#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds pktaid with link-time optimisation and a profile: an instrumented build reads traces of the
# benchmarks' generator and the bundled captures, alone and with two workers, with and without events,
# and answers questions meanwhile; then it is built anew with what that showed. Prints what to install.
#   MARCH=x86-64-v3 release.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/../.." || exit 1
build=${1:-build-release}
march=${MARCH:-baseline}
jobs=${JOBS:-$(nproc)}
read -ra as <<<"${AS_USER:-}"
work=$(mktemp -d)
daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null; rm -rf "$work"' EXIT
chmod 755 "$work"

[ ! -e "$build/build.ninja" ] || rm -rf "$build"
# Profiles of other threads' counters are approximate, and code that was not run is not slowed down.
options=(--buildtype=release -Doptimization=3 -Db_lto=true -Dtests=false -Dwerror=false
	"-Dmarch=$march")
"${as[@]}" meson setup "$build" "${options[@]}" -Db_pgo=generate \
	-Dc_args='-fprofile-partial-training -fprofile-update=prefer-atomic' >/dev/null
"${as[@]}" ninja -C "$build" -j "$jobs"
cc -O2 -o "$work/mktrace" tests/bench/mktrace.c

run() { # run ARGUMENT...
	"$build/pktaid" --config /dev/null --no-huge --memory 64 --socket "$work/s" --log-level error \
		--exit-when-done "$@" 2>/dev/null || true
}

for trace in "mix 8000" "small 100000" "http 1000" "tls 1000" "flood 100000"; do
	read -r name flows <<<"$trace"
	"$work/mktrace" "$name" "$work/$name.pcap" "$flows" 2>/dev/null
	run --capture "pcap:$work/$name.pcap"
	run --capture "pcap:$work/$name.pcap" --events /dev/null
done
run --workers 2 --capture "pcap:$work/mix.pcap" --events /dev/null
for capture in tests/data/*.pcap*; do
	run --capture "pcap:$capture" --events /dev/null
done
"$work/mktrace" steady "$work/steady.pcap" 50000 2>/dev/null
"$build/pktaid" --config /dev/null --no-huge --memory 64 --socket "$work/s" --log-level error \
	--capture "pcap:$work/steady.pcap,loop=1000" 2>/dev/null &
daemon=$!
for _ in $(seq 100); do
	[ ! -S "$work/s" ] || break
	sleep 0.1
done
for _ in $(seq 5); do
	"$build/ctl/pktctl" --socket "$work/s" flows --top 20 >/dev/null
	"$build/ctl/pktctl" --socket "$work/s" stats >/dev/null
done
kill -TERM "$daemon"
wait "$daemon" || true
daemon=
[ -z "${as[*]}" ] || chown -R "$(stat -c %u:%g .)" "$build"

"${as[@]}" meson configure "$build" -Db_pgo=use \
	-Dc_args='-fprofile-partial-training -Wno-missing-profile -Wno-coverage-mismatch'
"${as[@]}" ninja -C "$build" -j "$jobs"
echo "Built for $march: $build/pktaid, $build/ctl/pktctl; meson install -C $build --no-rebuild installs them."
