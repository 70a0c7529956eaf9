#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What a first user types, on the bundled capture: a daemon on a socket of its own, a capture, and
# what pktctl says of it. BUILD: the build folder.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
pktaid=$build/pktaid pktctl=$build/pktctl
[ -x "$pktctl" ] || pktctl=$build/ctl/pktctl
sample=tests/data/sample.pcap
dir=$(mktemp -d)
PKTAID_SOCKET=$dir/pktaid.sock
export PKTAID_SOCKET
pid=

finish() {
	code=$?
	[ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait "$pid" || code=$?; }
	[ "$code" = 0 ] || [ ! -s "$dir/log" ] || { echo "The daemon said:" >&2; cat "$dir/log" >&2; }
	rm -rf "$dir"
	exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

pktctl() {
	"$pktctl" "$@"
}

show() {
	if [ -t 1 ]; then
		printf '\n\033[1m$ pktctl %s\033[0m\n' "$*"
	else
		printf '\n$ pktctl %s\n' "$*"
	fi
	pktctl "$@"
}

"$pktaid" --config /dev/null --no-huge --log-level warning >"$dir/log" 2>&1 &
pid=$!
tries=0
until pktctl status >/dev/null 2>&1; do
	tries=$((tries + 1))
	if ! kill -0 "$pid" 2>/dev/null || [ "$tries" -gt 300 ]; then
		echo "The daemon does not answer." >&2
		exit 1
	fi
	sleep 0.1
done

show capture start "pcap:$sample" --wait
show status
show flows --top 10
show protocols
show reassembly
show drops
printf '\nThat was %s. Next: %s --help, %s --help, README.md.\n' "$sample" "$pktaid" "$pktctl"
