# The demo's stage: a folder, the programs that run in it, and how things are shown. Sourced.
# shellcheck shell=bash

STAGE=          # the folder; everything is in it
STAGE_KEEP=0
STAGE_BEGIN=0
STAGE_GOOD=0 STAGE_BAD=0
STAGE_FIGURES= # what the summary says beside the checks
KEPT=$SPINDLE_ROOT/build/demo.kept # where --keep notes the folder for --stop

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    BOLD=$'\e[1m' GREEN=$'\e[32m' RED=$'\e[31m' CYAN=$'\e[36m' PLAIN=$'\e[0m'
else
    BOLD='' GREEN='' RED='' CYAN='' PLAIN=''
fi

# ---- showing

title() { printf '\n%s%s%s\n' "$BOLD" "$*" "$PLAIN"; }
note() { printf '  %s\n' "$*"; }
command_line() { printf '  %s$ %s%s\n' "$CYAN" "$*" "$PLAIN"; }
indent() { fold -s -w 110 | sed 's/^/    /'; }
good() {
    STAGE_GOOD=$((STAGE_GOOD + 1))
    printf '  %sok%s      %s\n' "$GREEN" "$PLAIN" "$*"
}
bad() {
    STAGE_BAD=$((STAGE_BAD + 1))
    printf '  %sFAILED%s  %s\n' "$RED" "$PLAIN" "$*"
}
# verdict TEXT CONDITION…: good when the condition (a [ expression) holds.
verdict() {
    local text=$1
    shift
    if [ "$@" ]; then good "$text"; else bad "$text"; fi
}

# must_progress WHAT LOG COMMAND…: as must_run of lib.sh, with the build's last line on a terminal.
must_progress() {
    local what=$1 log=$2 line
    shift 2
    if [ ! -t 1 ]; then
        say "$what"
        must_run "$what" "$log" "$@"
        return
    fi
    : >"$log"
    "$@" 2>&1 </dev/null | while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        printf '\r\e[K%s: %s' "${0##*/}" "${line:0:90}"
    done || {
        printf '\n'
        tail -n 15 "$log" >&2
        die "$what failed; the whole output is in $log"
    }
    printf '\r\e[K'
}

# ---- the folder

stage_open() {
    STAGE_KEEP=$1 STAGE_BEGIN=$SECONDS
    [ ! -e "$KEPT" ] || stage_stop_kept
    STAGE=$(mktemp -d /tmp/spindle-demo.XXXXXX)
    chmod 755 "$STAGE"
    mkdir -p "$STAGE"/{bin,log}
    : >"$STAGE/pids"
    trap stage_close EXIT
    trap 'exit 130' INT TERM
    # Copies, because other users may not be able to reach the build folder.
    install -m 755 "${PROGRAMS[@]/#/$SPINDLE_ROOT/build/bin/}" "$STAGE/bin/"
    PATH=$STAGE/bin:$PATH:/usr/sbin:/sbin
}

# Ends the programs of a stage that are still its own: a process id may be another's by now.
stage_end() {
    local folder=$1 pid pids=()
    while read -r pid; do
        if [ -e "/proc/$pid/cmdline" ] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$folder"; then
            pids+=("$pid")
        fi
    done <"$folder/pids"
    [ ${#pids[@]} -gt 0 ] || return 0
    kill "${pids[@]}" 2>/dev/null || true
    local tries=100
    while kill -0 "${pids[@]}" 2>/dev/null && [ $tries -gt 0 ]; do
        sleep 0.05
        tries=$((tries - 1))
    done
    kill -9 "${pids[@]}" 2>/dev/null || true
}

stage_close() {
    local code=$?
    trap - EXIT
    if [ "$code" -ne 0 ] || [ "$STAGE_BAD" -gt 0 ]; then
        printf '\nThe logs are in %s\n' "$STAGE/log"
        [ "$STAGE_KEEP" = 1 ] || stage_end "$STAGE"
    elif [ "$STAGE_KEEP" = 0 ]; then
        stage_end "$STAGE"
        rm -rf "$STAGE"
    fi
    exit "$code"
}

stage_stop_kept() {
    local folder
    [ -e "$KEPT" ] || die "nothing was kept"
    read -r folder <"$KEPT"
    case $folder in
    /tmp/spindle-demo.??????) ;;
    *) die "$KEPT does not name a folder of the demo" ;;
    esac
    if [ -d "$folder" ]; then
        [ "$(id -u)" -eq 0 ] || exec sudo -- "$SPINDLE_ROOT/deploy/demo" --stop
        stage_end "$folder"
        rm -rf "$folder"
    fi
    rm -f "$KEPT"
    say "stopped the demo that was kept in $folder"
}

stage_summary() {
    local seconds=$((SECONDS - STAGE_BEGIN)) total=$((STAGE_GOOD + STAGE_BAD))
    if [ "$STAGE_KEEP" = 1 ]; then
        printf '%s\n' "$STAGE" >"$KEPT"
        scene_keep
    fi
    if [ "$STAGE_BAD" -eq 0 ]; then
        title "${GREEN}Demo: all $total checks passed${STAGE_FIGURES:+; $STAGE_FIGURES}; $seconds s.${PLAIN}"
    else
        title "${RED}Demo: $STAGE_BAD of $total checks FAILED, after $seconds s.${PLAIN}"
        exit 1
    fi
}

# ---- programs

# as_user UID COMMAND…
as_user() {
    setpriv --reuid="$1" --regid="$1" --clear-groups --no-new-privs -- "${@:2}"
}

# stage_start NAME UID COMMAND…: in the background, output in log/NAME.log. No function between us
# and the program: the process id must be the program's own.
stage_start() {
    setpriv --reuid="$2" --regid="$2" --clear-groups --no-new-privs -- "${@:3}" \
        >"$STAGE/log/$1.log" 2>&1 </dev/null &
    printf '%s\n' "$!" >>"$STAGE/pids"
    disown
}

# stage_wait WHAT COMMAND…: until it succeeds; gives up, and ends the demo, after 20 s.
stage_wait() {
    local what=$1 tries=400
    shift
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        if [ $tries -eq 0 ]; then
            bad "waited 20 s for $what"
            tail -n 5 "$STAGE"/log/*.log | indent
            exit 1
        fi
        sleep 0.05
    done
}

log_has() { grep -q -- "$2" "$STAGE/log/$1.log"; }

# listening NAME KIND: prints the address that the program NAME said it listens on.
listening() {
    sed -n "s/.* listening .*kind=$2 .*address=\([^ ]*\).*/\1/p" "$STAGE/log/$1.log" | head -n 1
}
has_address() { [ -n "$(listening "$1" "$2")" ]; }

# metric NAME SAMPLE: the sum of a program's samples that begin so.
metric() {
    curl -s --max-time 5 "http://$(listening "$1" metrics)/metrics" |
        awk -v want="$2" 'index($1, want) == 1 { sum += $NF } END { printf "%d\n", sum }'
}
is_ready() { [ "$(curl -s -o /dev/null -w '%{http_code}' --max-time 2 "http://$(listening "$1" metrics)/ready")" = 200 ]; }
