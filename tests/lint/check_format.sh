#!/usr/bin/env bash
# C is as clang-format-14 writes it:  clang-format-14 -i FILE
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v clang-format-14 >/dev/null || { echo "clang-format-14 is not installed" && exit 77; }
complaints=$(git ls-files --cached --others --exclude-standard -- '*.c' '*.h' |
    while read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done |
    { xargs -r clang-format-14 --dry-run -Werror 2>&1 || true; } |
    sed -n 's/: error:.*/: not as clang-format-14 writes it/p' | sort -t: -u -k1,1)
[ -z "$complaints" ] || { printf '%s\n' "$complaints" && exit 1; }
