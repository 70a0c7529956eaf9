#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The units as systemd reads them: nothing to complain about, hardened as far as they claim, with each
# of the drop-ins too. Needs no running systemd. test_systemd_units.sh BUILD/systemd SOURCE/systemd
set -eu
build=$1 source=$2

command -v systemd-analyze >/dev/null || { echo "skipped: no systemd-analyze"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# The program need not be installed for this.
sed 's|^ExecStart=.*|ExecStart=/bin/true|' "$build/pktaid.service" >"$dir/pktaid.service"
cp "$source/pktaid.socket" "$dir"

# systemd-analyze returns 0 for keys that it does not know: what it prints counts.
verify() {
	systemd-analyze --man=no verify "$dir/pktaid.service" "$dir/pktaid.socket" >"$dir/out" 2>&1 ||
		{ cat "$dir/out"; echo "FAILED: systemd-analyze verify ($1)"; exit 1; }
	[ ! -s "$dir/out" ] || { cat "$dir/out"; echo "FAILED: complaints ($1)"; exit 1; }
}

# Exposure times ten: the service as it is, then with what a drop-in opens.
secure() {
	systemd-analyze security --no-pager --offline=yes --threshold="$2" "$dir/pktaid.service" \
		>"$dir/out" 2>&1 || { cat "$dir/out"; echo "FAILED: exposure above $2 ($1)"; exit 1; }
	tail -n 1 "$dir/out"
}

verify "as installed"
secure "as installed" 20
mkdir "$dir/pktaid.service.d"
for dropin in nic afxdp; do
	rm -f "$dir"/pktaid.service.d/*
	cp "$source/examples/$dropin.conf" "$dir/pktaid.service.d"
	verify "$dropin.conf"
	secure "$dropin.conf" 30
done

root=$dir/root
mkdir -p "$root/etc" "$root/usr/lib/sysusers.d"
cp "$source/sysusers.conf" "$root/usr/lib/sysusers.d/pktaid.conf"
if [ "$(id -u)" = 0 ]; then
	systemd-sysusers --root="$root" >"$dir/out" 2>&1 || { cat "$dir/out"; exit 1; }
	grep -q '^pktaid:' "$root/etc/passwd" && grep -q '^pktai:' "$root/etc/group" &&
		grep -q '^pktai-admin:' "$root/etc/group" || { echo "FAILED: users"; exit 1; }
	mkdir -p "$root/usr/lib/tmpfiles.d"
	cp "$source/tmpfiles.conf" "$root/usr/lib/tmpfiles.d/pktaid.conf"
	systemd-tmpfiles --create --root="$root" pktaid.conf >"$dir/out" 2>&1 ||
		{ cat "$dir/out"; exit 1; }
	[ "$(stat -c %a "$root/var/lib/pktaid")" = 750 ] || { echo "FAILED: directories"; exit 1; }
fi
echo "ok"
