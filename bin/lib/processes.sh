# shellcheck shell=bash
# Processes that never outlive the script that started them.
#
# Three pieces see to that however the script ends, `kill -9` included:
#  - `launch` gives each process a session of its own and writes its id down before it runs;
#  - `watchdog` reads a pipe, the lifeline, that only the script can write to: its end is the script's;
#  - the watchdog then stops what the process ids name. An orderly end goes the same way: there is
#    only one.
#
# File descriptors: 8 is the lock on the run directory, 9 the lifeline.

# living RUN NAME: prints the process id of NAME and succeeds if that process runs and is still the one
# that was started: an id may have passed on to a stranger since.
living() {
    local pid mark command
    { read -r pid <"$1/$2.pid" && read -r mark <"$1/$2.mark"; } 2>/dev/null || return 1
    kill -0 "$pid" 2>/dev/null || return 1
    command=$(command_line "$pid")
    case $command in
    *"$mark"*) printf '%s\n' "$pid" ;;
    *) return 1 ;;
    esac
}

# command_line PID: the words a process was started with; nothing for one that has ended.
command_line() {
    if [ -r "/proc/$1/cmdline" ]; then
        # It may be gone by now.
        { tr '\0' ' ' <"/proc/$1/cmdline"; } 2>/dev/null
    else
        ps -o args= -p "$1" 2>/dev/null
    fi
}

# take_lock RUN: succeeds if no other script works there. The kernel holds the lock until the script
# and its watchdog are gone, so there is no such thing as a stale one.
take_lock() {
    exec 8>>"$1/lock"
    perl -e 'use Fcntl ":flock";
        open(my $lock, ">>&=", 8) or die; exit(flock($lock, LOCK_EX | LOCK_NB) ? 0 : 1)'
}

# guard RUN: from here on, whatever `start` starts ends with this script. Needs the lock.
guard() {
    RUN=$1
    # Only after a power cut or the like: the watchdog itself was ended.
    "$LIB/watchdog" "$RUN" </dev/null 7>&- 8>&-
    rm -f "$RUN"/*.pid "$RUN"/*.mark "$RUN/lifeline"
    printf '%s\n' "$$" >"$RUN/script.pid"

    mkfifo "$RUN/lifeline"
    # Open for reading and writing does not wait for another end.
    exec 9<>"$RUN/lifeline"
    trap finish EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    # 7 is the lock once more: the watchdog keeps it until everything is down.
    printf '%s\n' "$LIB/watchdog" >"$RUN/watchdog.mark"
    "$LIB/launch" "$RUN/watchdog.pid" bash "$LIB/watchdog" "$RUN" <"$RUN/lifeline" 7>&8 &
    WATCHDOG=$!
}

# finish: lets go of the lifeline and waits until the watchdog has stopped everything.
finish() {
    local status=$?
    trap '' HUP INT TERM
    trap - EXIT
    exec 9>&-
    wait "$WATCHDOG" 2>/dev/null || true
    # Nothing is left to do here unless the watchdog itself was ended.
    "$LIB/watchdog" "$RUN" </dev/null || true
    exit "$status"
}

# start NAME MARK COMMAND…: starts COMMAND in the background and sets STARTED to its process id. MARK is
# a part of its command line by which it is known again. Output goes wherever the caller sends it.
start() {
    local name=$1
    printf '%s\n' "$2" >"$RUN/$name.mark"
    shift 2
    "$LIB/launch" "$RUN/$name.pid" "$@" </dev/null &
    STARTED=$!
    # `launch` writes the same, but perhaps not before the caller looks.
    printf '%s\n' "$STARTED" >"$RUN/$name.pid"
}

# step NAME COMMAND…: runs COMMAND to its end and returns its status. Unlike a plain call it can be
# interrupted at any moment, and leaves nothing behind when it is.
step() {
    local name=$1 status=0
    shift
    start "$name" "${1##*/}" "$@"
    wait "$STARTED" || status=$?
    rm -f "$RUN/$name.pid" "$RUN/$name.mark"
    return "$status"
}
