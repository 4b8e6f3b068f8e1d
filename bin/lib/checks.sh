# shellcheck shell=bash
# What bin/test and bin/sqlx share: private servers that are made anew for each run and go with it.

# begin_checks: takes the place of its own in .dev/ and makes sure that all ends with the script.
begin_checks() {
    local dev=$ROOT/.dev
    PLACE=$dev/test
    cd "$ROOT" || exit
    own_directory "$dev"
    own_directory "$PLACE"
    own_directory "$PLACE/run"
    if ! take_lock "$PLACE/run"; then
        say "Another run of the checks is at work in this checkout; waiting for it …"
        until take_lock "$PLACE/run"; do sleep 1; done
    fi
    # None of the caller's: the checks must not depend on them, let alone write there.
    unset DATABASE_URL REDIS_URL
    guard "$PLACE/run"
    mkdir -p "$PLACE/log"
    rm -f "$PLACE"/log/*.log
}

# start_test_postgres: sets and exports TEST_DATABASE_URL: the maintenance database, as a role that may
# make databases and roles but is no superuser.
start_test_postgres() {
    local port password log=$PLACE/log/postgres.log
    home_for_postgres "$PLACE"
    as_postgres_user rm -rf "$PG_HOME/data"
    printf '%s\n' "$PG_HOME" "$PLACE/postgres-home" >"$RUN/discard"

    port=$(free_port 15000 3000)
    password=$(secret)
    make_postgres "$log" <<SQL
create role tester login createdb createrole password '$password';
SQL
    # Each test has a database of its own, and a pool of connections to it. A worker that a test stops while it connects
    # would hold up every DROP DATABASE until its connection is given up.
    start_postgres "$port" "$log" -c max_connections=400 -c authentication_timeout=5s
    await_postgres "$port" "$log"
    export TEST_DATABASE_URL=postgres://tester:$password@127.0.0.1:$port/postgres
}

# start_test_redis: sets and exports TEST_REDIS_URL.
start_test_redis() {
    local port password log=$PLACE/log/redis.log
    port=$(free_port 18000 3000)
    password=$(secret)
    start_redis "$port" "$password" "$PLACE/redis" "$log"
    await_redis "$port" "$password" "$log"
    export TEST_REDIS_URL=redis://default:$password@127.0.0.1:$port/0
}

# number OPTION TEXT: prints it, if it is one.
number() {
    case $2 in
    '' | *[!0-9]*) wrong_usage "$1 takes a number, not \"$2\"" ;;
    *) printf '%s\n' "$2" ;;
    esac
}

# servers_for_tests: tells the tests where the programs are of which they start some of their own.
servers_for_tests() {
    export POSTROOM_PG_BIN=$PG_BIN POSTROOM_REDIS_SERVER=$REDIS_SERVER
    [ -z "$PG_USER" ] || export POSTROOM_PG_USER=$PG_USER
}

# run_one NAME TEST CLOSING…: runs one of the integration tests and prints its lines that begin with "NAME| ",
# without that. It has proved nothing without a line that fits one of the patterns CLOSING.
run_one() {
    local name=$1 test=$2 status=0
    shift 2
    step "$name" cargo test --quiet --locked --workspace --features failpoints --test it -- \
        --exact "$test" --nocapture 2>"$PLACE/log/$name.log" | marked "$name| " "$@" || status=1
    if [ "$status" -ne 0 ] && [ -s "$PLACE/log/$name.log" ]; then
        # The promised last line stays the last.
        grep -v '^$' "$PLACE/log/$name.log" | grep -A 3 'panicked' | head -n 12 >&2 || true
    fi
    return "$status"
}

# marked MARK CLOSING… <OUTPUT: the lines with that mark, without it, and without those of the test runner.
marked() {
    local mark=$1 line pattern closed=1
    shift
    while IFS= read -r line; do
        case $line in
        "$mark"*) line=${line#"$mark"} ;;
        *) continue ;;
        esac
        printf '%s\n' "$line"
        for pattern in "$@"; do
            # a pattern it is to be
            # shellcheck disable=SC2254
            case $line in $pattern) closed=0 ;; esac
        done
    done
    [ "$closed" -eq 0 ] || warn "it ended without a result"
    return "$closed"
}

# describe_queries FOLDER COMMAND…: runs a cargo command that checks every query against a database with
# all migrations in it, and has the descriptions of the queries written to FOLDER.
describe_queries() {
    local folder=$1
    shift
    migrated_database
    rm -rf "$folder"
    mkdir -p "$folder"
    # The descriptions are written while the crate is compiled, and only then.
    touch src/lib.rs
    DATABASE_URL=$SCRATCH_DATABASE_URL SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$folder step queries "$@"
}

# migrated_database: sets SCRATCH_DATABASE_URL.
migrated_database() {
    local file
    SCRATCH_DATABASE_URL=${TEST_DATABASE_URL%/postgres}/scratch
    "$PG_BIN/psql" -qX "$TEST_DATABASE_URL" -c 'create database scratch' </dev/null
    for file in migrations/*.sql; do
        [ -e "$file" ] || continue
        "$PG_BIN/psql" -qX -v ON_ERROR_STOP=1 "$(transaction_for "$file")" -f "$file" "$SCRATCH_DATABASE_URL" \
            </dev/null >>"$PLACE/log/migrations.log" 2>&1 ||
            fail_with_log "$PLACE/log/migrations.log" "$file cannot be applied"
    done
}

# transaction_for FILE: the option of psql that runs a migration the way `postroom migrate` does.
transaction_for() {
    case $(head -n 1 "$1") in
    '-- no-transaction'*) echo --no-psqlrc ;;
    *) echo --single-transaction ;;
    esac
}
