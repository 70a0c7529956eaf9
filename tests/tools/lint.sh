#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Format, scripts and habits, over the files that git knows. Says everything that is wrong, then fails.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
bad=0

files() { # files PATTERN...
	git -c safe.directory='*' ls-files -z -- "$@"
}

complain() {
	echo "lint: $*"
	bad=1
}

[ -n "$(files | tr '\0' '\n' | head -n 1)" ] || { echo "lint: not a git work tree"; exit 1; }

files '*.c' '*.h' | xargs -0 "${CLANG_FORMAT:-clang-format-14}" --dry-run -Werror 2>&1 |
	sed -n 's/^\([^:]*\):.*error: code should be clang-formatted.*/\1/p' | sort | uniq -c |
	while read -r count name; do
		echo "$name: $count lines are not formatted (make format)"
	done | { ! grep .; } || complain "format"

# Suppressed: what version 2.10 gets wrong (it does not see through queue macros and loop bounds), and
# what the compilers say better.
files 'daemon/*.c' 'proto/*.c' 'ctl/*.c' | xargs -0 cppcheck --quiet --error-exitcode=1 --std=c11 \
	-j "${JOBS:-2}" --inline-suppr --enable=warning,portability --suppress=missingInclude \
	--suppress=unknownMacro --suppress=preprocessorErrorDirective --suppress=uninitvar \
	--suppress=arrayIndexThenCheck --suppress=pointerOutOfBoundsCond --suppress=zerodivcond \
	--template='{file}:{line}: {message} [{id}]' 2>&1 || complain "cppcheck"

{ files '*.sh'; printf '.ci/run\0'; } | xargs -0 shellcheck --severity=warning || complain "shellcheck"

{ files '*.py'; printf 'tests/tools/ctest-summary\0'; } | xargs -0 python3 -c '
import ast, sys
for name in sys.argv[1:]:
    ast.parse(open(name, encoding="utf-8").read(), name)' || complain "python"

# each source begins with its licence (behind the interpreter's line)
while IFS= read -r -d '' name; do
	head -n 2 "$name" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
		complain "$name: no SPDX line"
done < <(files '*.c' '*.h' '*.py' '*.sh')

# nothing half done, no conflict left over
files '*.c' '*.h' '*.def' '*.py' '*.sh' '*.build' '*.md' '*.json' '*.yaml' GNUmakefile .ci/run |
	xargs -0 grep -nwE 'TO''DO|FIX''ME|X''XX' && complain "half done"
files | xargs -0 grep -nIE '^(<{7}|>{7}) ' && complain "conflict markers"
files '*.c' '*.h' '*.def' '*.py' '*.sh' '*.build' '*.yaml' GNUmakefile |
	xargs -0 grep -nE '[[:space:]]+$' && complain "white space at the end of lines"

# what is large belongs elsewhere
while IFS= read -r -d '' name; do
	[ "$(stat -c %s "$name")" -le 2097152 ] || complain "$name: larger than 2 MiB"
done < <(files)
exit "$bad"
