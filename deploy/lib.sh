# What our bash scripts share: talk, log, fail. Source it; it runs nothing by itself.
# shellcheck shell=bash

# shellcheck disable=SC2034  # for those who source this
SPINDLE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SPINDLE_CACHE=${SPINDLE_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/spindle}

# The program's name goes before each line, so that mixed output stays readable.
say() { printf '%s: %s\n' "${0##*/}" "$*"; }
warn() { printf '%s: warning: %s\n' "${0##*/}" "$*" >&2; }
die() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# log_run LOG COMMAND…: the command's output goes to the end of LOG; returns its exit code.
log_run() {
    local log=$1
    shift
    printf '\n$ %s\n' "$*" >>"$log"
    "$@" >>"$log" 2>&1 </dev/null
}

# must_run WHAT LOG COMMAND…: as log_run, but a failure shows the end of LOG and ends the script.
must_run() {
    local what=$1 log=$2
    shift 2
    log_run "$log" "$@" && return 0
    tail -n 15 "$log" >&2
    die "$what failed; the whole output is in $log"
}

# as_root COMMAND…: with sudo where we are not root.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        die "needs root for: $* (run as root, or install sudo)"
    fi
}

# lock_take FILE WHAT: one at a time; freed when the script ends. Says so when it has to wait.
lock_take() {
    mkdir -p "$(dirname "$1")"
    exec {SPINDLE_LOCK}>"$1"
    flock --nonblock "$SPINDLE_LOCK" && return 0
    say "waiting for another $2 to finish"
    flock "$SPINDLE_LOCK"
}

# build_preset PRESET [TARGET…]: configures when that is due, builds; silent when nothing is to do.
# The whole output is in build/PRESET.log; an error shows its lines.
build_preset() {
    local preset=$1 log=$SPINDLE_ROOT/build/$1.log start=$SECONDS
    local cache=$SPINDLE_ROOT/build/$1/CMakeCache.txt
    shift
    : >"$log"
    if [ ! -f "${cache%/*}/build.ninja" ] || [ "$SPINDLE_ROOT/CMakePresets.json" -nt "$cache" ]; then
        say "configuring $preset"
        (cd "$SPINDLE_ROOT" && must_run "configuring $preset" "$log" cmake --preset "$preset") || exit 1
        touch "$cache" # an unchanged cache keeps its time, and would be configured for ever
    fi
    if ! (cd "$SPINDLE_ROOT" && log_run "$log" cmake --build --preset "$preset" \
        --parallel "${JOBS:-$(nproc)}" ${1:+--target "$@"}); then
        grep -E -A 8 'error|FAILED|undefined|cannot' "$log" | head -n 40 >&2
        die "building $preset failed; the whole output is in $log"
    fi
    [ $((SECONDS - start)) -lt 2 ] || say "built $preset in $((SECONDS - start)) s"
}
