# shellcheck shell=bash
# What every script here begins with: words, the checkout's own directory, ports, cargo.

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
die() {
    warn "${0##*/}: $*"
    exit 1
}

# wrong_usage MESSAGE: exit status 2, as the program itself does it.
wrong_usage() {
    warn "${0##*/}: $*"
    warn "Try: bin/${0##*/} --help"
    exit 2
}

# heed_interrupts ARGUMENT…: call it first. A shell that starts a script in the background has it ignore Ctrl-C, and no
# trap can undo that; so the script starts itself again with the signals as they should be.
heed_interrupts() {
    command -v perl >/dev/null || die "perl is missing; every Debian, Ubuntu and macOS has it (package perl-base)."
    # Where there is no standard input, the first file to be opened would become it.
    { : <&0; } 2>/dev/null || exec </dev/null
    case $(trap) in
    *SIGINT*) exec perl -e '$SIG{INT} = $SIG{QUIT} = "DEFAULT"; exec @ARGV' bash "$0" "$@" ;;
    esac
}

# own_directory PATH: makes it, for us. Others may pass through it (Postgres runs as another user when
# we are root) but not look into it.
own_directory() {
    if [ -e "$1" ] && [ ! -O "$1" ]; then
        die "$1 belongs to another user (who ran this before). Run as that user, or remove it: sudo rm -rf '$1'"
    fi
    mkdir -p "$1" || die "cannot make $1: does the checkout belong to another user?"
    chmod 711 "$1"
}

# secret: 32 hexadecimal digits from the system's random source.
secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# listens PORT: whether anything does, on loopback.
listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || (exec 3<>"/dev/tcp/::1/$1") 2>/dev/null
}

# free_port FIRST COUNT: a port of that range that nothing listens on. Taken at random, so that two
# checkouts that start in the same second hardly ever choose the same one; the ranges used here lie
# below those from which systems take the ports of outgoing connections.
free_port() {
    local port tries=0
    while [ "$tries" -lt 200 ]; do
        port=$(($1 + (RANDOM * 32768 + RANDOM) % $2))
        if ! listens "$port"; then
            printf '%s\n' "$port"
            return 0
        fi
        tries=$((tries + 1))
    done
    die "found no free port between $1 and $(($1 + $2))"
}

# answers PORT PATH: whether GET PATH on loopback is answered with 200. (curl need not be there.)
answers() {
    (
        exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 1
        printf 'GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n' "$2" >&3
        IFS= read -r -t 5 line <&3
        cat <&3 >/dev/null
        case $line in
        'HTTP/1.'?' 200'*) exit 0 ;;
        *) exit 1 ;;
        esac
    ) 2>/dev/null
}

# json_text KEY <JSON: the text value of that key, of the last one if there are several. (jq need not be
# there.)
json_text() {
    tr -d '\n' | sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p"
}

# await SECONDS NAME LOG PROBE…: until the probe succeeds. NAME is a started process: with its end, or
# when time is up, the end of its log is shown and the script ends.
await() {
    local deadline=$((SECONDS + $1)) name=$2 log=$3
    shift 3
    until "$@"; do
        kill -0 "$(cat "$RUN/$name.pid")" 2>/dev/null || fail_with_log "$log" "$name ended while starting"
        [ "$SECONDS" -lt "$deadline" ] || fail_with_log "$log" "$name did not get ready in time"
        sleep 0.1
    done
}

# fail_with_log LOG MESSAGE
fail_with_log() {
    warn "--- last lines of ${1#"$ROOT"/}"
    tail -n 25 "$1" >&2 2>/dev/null || true
    warn '---'
    die "$2"
}

# use_cargo: puts cargo into reach, wherever rustup left it.
use_cargo() {
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    command -v cargo >/dev/null ||
        die "cargo is missing. Install a Rust toolchain (rustup, or your system's packages) and run this again."
    if [ -e "$ROOT/target" ] && [ ! -w "$ROOT/target" ]; then
        die "target/ belongs to another user. Run as that user, remove it, or set CARGO_TARGET_DIR to a directory of your own."
    fi
    # shellcheck disable=SC2034 # for the script that calls
    BUILT=${CARGO_TARGET_DIR:-$ROOT/target}/debug
    # Queries are checked against .sqlx/, whatever database the caller's environment may name.
    export SQLX_OFFLINE=true
}
