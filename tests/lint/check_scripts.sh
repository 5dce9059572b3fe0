#!/usr/bin/env bash
# Our bash scripts pass shellcheck.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v shellcheck >/dev/null || { echo "shellcheck is not installed" && exit 77; }
git grep --untracked -I -l -E '^#!.*[/ ](ba)?sh$' -- . ':!*.md' ':!*.py' |
    while read -r file; do
        ! head -n 1 "$file" | grep -q '^#!' || printf '%s\n' "$file"
    done | xargs -r shellcheck --external-sources --format=gcc
