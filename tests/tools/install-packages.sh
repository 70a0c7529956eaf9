#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs those of the named Debian packages that are missing. install-packages.sh PACKAGE...
set -eu
missing=

for package; do
	[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
		missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "Missing packages:$missing" >&2
	echo "Run this with sudo, or: sudo apt-get install$missing" >&2
	exit 1
fi
echo "Installing (minutes, where there are many):$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086 # a list of words
if { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1 </dev/null
then
	exit 0
fi
cat "$log" >&2
exit 1
