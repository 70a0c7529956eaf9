#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# All checks, in the order in which they are quick to fail; a failed step does not keep the next from
# running. Ends with the line "N passed, N failed, N skipped", of steps and tests together, which is
# also left in build/check.summary. check.sh [sanitize]: only that part.
# AS_USER: how to run what builds (empty: as it is); BUILD, CLANG, JOBS as in GNUmakefile.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build} jobs=${JOBS:-2} make=${MAKE:-make}
steps=$(mktemp)
trap 'rm -f "$steps"' EXIT
read -r -a as_user <<<"${AS_USER:-}"
logs=()

step() { # step NAME COMMAND...
	local name=$1 began=$SECONDS
	shift
	echo "== $name"
	if "$@"; then
		echo "OK $name" >>"$steps"
	else
		echo "FAIL $name" >>"$steps"
		echo "== $name: FAILED"
		return 1
	fi
	echo "== $name: ok, $((SECONDS - began)) s"
}

build_in() { # build_in FOLDER CC MESON-OPTIONS...
	local dir=$1 cc=$2 log again=()
	shift 2
	[ ! -f "$dir/build.ninja" ] || again=(--reconfigure)
	log=$(mktemp)
	"${as_user[@]}" env CC="$cc" meson setup "${again[@]}" "$dir" "$@" >"$log" 2>&1 ||
		{ cat "$log"; rm -f "$log"; return 1; }
	rm -f "$log"
	"${as_user[@]}" ninja -C "$dir" -j "$jobs" --quiet
}

run_tests() { # run_tests FOLDER MESON-OPTIONS...
	local dir=$1
	shift
	logs+=("$dir")
	rm -f "$dir/meson-logs/testlog.json"
	# ctest-summary counts what failed
	meson test -C "$dir" --no-rebuild --num-processes "$jobs" --print-errorlogs "$@" || true
}

sanitized_tests() {
	step "build: ASan, UBSan" build_in build-asan "gcc" -Dtests=true -Db_lundef=false \
		-Db_sanitize=address,undefined || return
	# the service test is about systemd, and installs the build that users get
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ASAN_OPTIONS=detect_leaks=1:abort_on_error=1 \
		PKTAID_SANITIZED=1 run_tests build-asan --no-suite service --timeout-multiplier 4
}

if [ "${1:-all}" = all ]; then
	step "lint" "$make" --no-print-directory lint
	step "build: gcc" build_in "$build" "gcc" -Dtests=true && run_tests "$build"
	step "build: clang" build_in build-clang "${CLANG:-clang-14}" -Dtests=true
fi
sanitized_tests

mkdir -p "$build"
tests/tools/ctest-summary --steps "$steps" "${logs[@]}" >"$build/check.report"
code=$?
tail -n 1 "$build/check.report" >"$build/check.summary"
cat "$build/check.report"
exit "$code"
