#!/usr/bin/env bash
# clang-tidy over our sources, with .clang-tidy's checks. Takes minutes: tests/run --only tidy.
#   tests/lint/check_tidy.sh [FILE…]      with a file: all that it says, the path to the error too
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v clang-tidy-14 >/dev/null || { echo "clang-tidy-14 is not installed" && exit 77; }
[ -f build/dev/compile_commands.json ] || { echo "build/dev is not configured: cmake --preset dev" && exit 77; }
# why.c defines what analyzer.h explains.
tidy=(clang-tidy-14 --quiet -p build/dev --extra-arg=-include --extra-arg="$PWD/tests/lint/analyzer.h")
if [ $# -gt 0 ]; then
    exec "${tidy[@]}" "$@"
fi
complaints=$(git ls-files -- 'common/*.c' 'agent/*.c' 'sidecar/*.c' ':!common/base/why.c' |
    { xargs -P "${JOBS:-$(nproc)}" -n 1 "${tidy[@]}" 2>/dev/null || true; } |
    grep -E '^/.*: (error|warning): ' | sed "s|^$PWD/||" | sort -u) || true
[ -z "$complaints" ] || { printf '%s\n' "$complaints" && exit 1; }
