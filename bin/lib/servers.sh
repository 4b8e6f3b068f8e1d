# shellcheck shell=bash
# A Postgres and a Redis of this checkout's own: own data, own ports on loopback, own passwords. The
# system's servers are never touched.

# home_for_postgres DIRECTORY: sets PG_USER (empty: ourselves) and PG_HOME, a directory of that user.
# Postgres refuses to run as root; and the user it then runs as may have no way into a checkout that
# lies below a closed directory, such as root's home.
home_for_postgres() {
    local memory=$1/postgres-home
    PG_USER=
    PG_HOME=
    if [ -s "$memory" ]; then
        { IFS= read -r PG_HOME && IFS= read -r PG_USER; } <"$memory" || true
        [ -d "$PG_HOME" ] && return 0
    fi

    if [ "$(id -u)" -ne 0 ]; then
        PG_HOME=$1/postgres
        mkdir -p "$PG_HOME"
    else
        PG_USER=$(postgres_user) || die "Postgres does not run as root, and this machine has neither a user 'postgres' nor 'nobody' to run it as. Run this as an ordinary user."
        PG_HOME=$1/postgres
        mkdir -p "$PG_HOME"
        chown "$PG_USER" "$PG_HOME"
        if ! as_postgres_user test -w "$PG_HOME"; then
            rmdir "$PG_HOME"
            PG_HOME=$(mktemp -d /var/tmp/postroom-XXXXXXXX)
            chown "$PG_USER" "$PG_HOME"
            say "Postgres' data go to $PG_HOME: its user ($PG_USER) may not enter $1."
        fi
    fi
    chmod 700 "$PG_HOME"
    printf '%s\n%s\n' "$PG_HOME" "$PG_USER" >"$memory"
}

postgres_user() {
    local name
    for name in postgres nobody; do
        if id "$name" >/dev/null 2>&1; then
            echo "$name"
            return 0
        fi
    done
    return 1
}

as_postgres_user() {
    if [ -n "$PG_USER" ]; then
        "$LIB/as-user" "$PG_USER" "$@"
    else
        "$@"
    fi
}

# make_postgres LOG <SQL: makes the data, unless they are there, and runs the SQL in them, one statement
# a line. Succeeds (0) if it made them, 1 if they were there.
#
# It happens beside the real place and is then moved there, so an interruption leaves nothing half made.
# The superuser gets no password and there is no socket: nobody can log in as it, only `make_postgres` is.
make_postgres() {
    local log=$1 data=$PG_HOME/data new=$PG_HOME/new
    if [ -s "$data/PG_VERSION" ]; then
        return 1
    fi
    say "Making a private Postgres ($("$PG_BIN/postgres" --version | sed 's/.*PostgreSQL) //'))"
    as_postgres_user rm -rf "$new" "$data" </dev/null
    if ! as_postgres_user env LC_ALL=C TZ=UTC "$PG_BIN/initdb" --pgdata "$new" --username postgres \
        --encoding UTF8 --locale C --auth-local trust --auth-host scram-sha-256 </dev/null >>"$log" 2>&1; then
        fail_with_log "$log" "initdb failed"
    fi
    if ! as_postgres_user env LC_ALL=C "$PG_BIN/postgres" --single -D "$new" -c exit_on_error=true \
        -c log_checkpoints=off postgres >/dev/null 2>>"$log"; then
        fail_with_log "$log" "Postgres could not be set up"
    fi
    as_postgres_user mv "$new" "$data" </dev/null || die "cannot move $new to its place"
}

# fitting_postgres: data made by one major version need that version again.
fitting_postgres() {
    local version
    [ -s "$PG_HOME/data/PG_VERSION" ] || return 0
    version=$(cat "$PG_HOME/data/PG_VERSION")
    WANTED_POSTGRES=$version find_postgres ||
        die "the data in $PG_HOME were made by Postgres $version, which is not on this machine any more. Install it, or begin anew: rm -rf .dev"
}

# start_postgres PORT LOG [OPTION…]: fsync stays on, as everywhere where posts matter.
start_postgres() {
    local port=$1 log=$2 user=()
    shift 2
    [ -z "$PG_USER" ] || user=("$LIB/as-user" "$PG_USER")
    # LC_ALL: on macOS Postgres refuses to start without a locale it knows.
    LC_ALL=C start postgres "$PG_HOME/data" ${user[@]+"${user[@]}"} "$PG_BIN/postgres" -D "$PG_HOME/data" \
        -c listen_addresses=127.0.0.1 -c "port=$port" -c unix_socket_directories= \
        -c timezone=UTC -c log_timezone=UTC "$@" >>"$log" 2>&1
}

await_postgres() { # PORT LOG
    await 60 postgres "$2" "$PG_BIN/pg_isready" -q -h 127.0.0.1 -p "$1"
}

# start_redis PORT PASSWORD DIRECTORY LOG: hints only go there, so nothing is written to disk; and
# nothing may be thrown out, which the worker insists on.
start_redis() {
    local settings=$3/redis.conf
    mkdir -p "$3"
    (
        umask 077
        cat >"$settings" <<SETTINGS
bind 127.0.0.1
port $1
requirepass $2
dir "$3"
save ""
appendonly no
maxmemory-policy noeviction
proc-title-template "{title} {listen-addr} $settings"
SETTINGS
    )
    start redis "$settings" "$REDIS_SERVER" "$settings" >>"$4" 2>&1
}

redis_cli() { # PORT PASSWORD COMMAND…
    local port=$1 password=$2
    shift 2
    REDISCLI_AUTH=$password "$(dirname "$REDIS_SERVER")/redis-cli" -h 127.0.0.1 -p "$port" "$@"
}

redis_is_up() { [ "$(redis_cli "$1" "$2" ping 2>/dev/null)" = PONG ]; }

await_redis() { # PORT PASSWORD LOG
    await 20 redis "$3" redis_is_up "$1" "$2"
}
