#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run by meson install: puts the configuration file in place; where there is one already that differs,
# beside it as FILE.new. install.sh SOURCE TARGET
set -eu
target=${DESTDIR:-}$2

if [ -e "$target" ] && ! cmp -s "$1" "$target"; then
	[ -n "${MESON_INSTALL_QUIET:-}" ] || echo "Keeping $target, the new one is $target.new"
	target=$target.new
fi
mkdir -p "$(dirname "$target")"
install -m 644 "$1" "$target"
