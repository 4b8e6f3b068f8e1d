# shellcheck shell=bash
# Keeps things running: what dies is started again.

# What runs, in parallel lists (bash 3.2 knows no others): its name, its process id, when it was
# started, when it is to be started again (0: it runs) and how often in a row it died early.
NAMES=() PIDS=() SINCE=() DUE=() EARLY=()

# run NAME: starts it for the first time, with `launch_NAME` (for `worker-2`: `launch_worker`).
run() {
    launch_"${1%%-*}" "$1"
    NAMES+=("$1") PIDS+=("$STARTED") SINCE+=("$SECONDS") DUE+=(0) EARLY+=(0)
}

# keep_running [PID]: starts again whatever dies; until PID has ended, or for good. Call it with standard
# error closed to bash's own notices about processes that were killed: it says so itself.
keep_running() {
    local i
    while [ -z "${1:-}" ] || kill -0 "$1" 2>/dev/null; do
        i=0
        while [ "$i" -lt "${#NAMES[@]}" ]; do
            kill -0 "${PIDS[$i]}" 2>/dev/null || revive "$i"
            i=$((i + 1))
        done
        # A signal ends a sleep in the background at once, and one in the foreground not.
        sleep 0.2 &
        wait $! || true
    done
}

# revive INDEX: starts a dead process again at once; one that keeps dying within a second of its start,
# after a pause that grows by a second each time, up to ten.
revive() {
    local i=$1 name=${NAMES[$1]} pause again=
    if [ "${DUE[$i]}" -eq 0 ]; then
        [ $((SECONDS - SINCE[i])) -le 1 ] || EARLY[i]=0
        pause=$((EARLY[i] < 10 ? EARLY[i] : 10))
        EARLY[i]=$((EARLY[i] + 1)) DUE[i]=$((SECONDS + pause))
        [ "$pause" -eq 0 ] || again=" in $pause s"
        ending "${PIDS[$i]}"
        say "$name (pid ${PIDS[$i]}) $ENDING; starting it again${again}. Log: .dev/log/$name.log"
    fi
    [ "$SECONDS" -ge "${DUE[$i]}" ] || return 0
    launch_"${name%%-*}" "$name"
    PIDS[i]=$STARTED SINCE[i]=$SECONDS DUE[i]=0
}

# ending PID: sets ENDING, how it ended in words.
ending() {
    local status=0
    wait "$1" 2>/dev/null || status=$?
    if [ "$status" -gt 128 ]; then
        ENDING="was ended by signal $((status - 128))"
    else
        ENDING="ended with status $status"
    fi
}
