# shellcheck shell=bash
# Programs from outside: which are missing, and how they come onto this machine.

POSTGRES_AT_LEAST=15
REDIS_AT_LEAST=7
NODE_AT_LEAST=18

# provide PROGRAM…: of postgres, redis, ffprobe, compiler, chromium, node. Installs what is missing.
provide() {
    local program missing=()
    for program; do
        "has_$program" || missing+=("$program")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0

    install_programs "${missing[@]}"
    hash -r
    for program in "${missing[@]}"; do
        "has_$program" || die "still missing after the installation: $(wanted "$program"). $(by_hand)"
    done
}

wanted() {
    case $1 in
    postgres) echo "Postgres $POSTGRES_AT_LEAST or newer (the ledger)" ;;
    redis) echo "Redis $REDIS_AT_LEAST or newer (the queues)" ;;
    ffprobe) echo "ffprobe, part of ffmpeg (looks into videos before they are published)" ;;
    compiler) echo "a C compiler (Rust links with it)" ;;
    chromium) echo "Chromium or Chrome (the tests of the pages; CHROMIUM may name the program)" ;;
    node) echo "Node.js $NODE_AT_LEAST or newer with npm (a queue to compare with runs on it)" ;;
    esac
}

# INSTEAD: what the calling script offers to those who cannot or will not install.
by_hand() { echo "Install it by hand and run this again${INSTEAD:-}."; }

has_postgres() { find_postgres; }
has_redis() { find_redis; }
has_ffprobe() { command -v ffprobe >/dev/null; }
has_compiler() { command -v cc >/dev/null; }
has_chromium() { find_chromium; }
has_node() { [ "$(node_version)" -ge "$NODE_AT_LEAST" ] && command -v npm >/dev/null; }

apt_package() {
    case $1 in
    postgres) echo postgresql ;;
    redis) echo redis-server ;;
    ffprobe) echo ffmpeg ;;
    compiler) echo build-essential ;;
    chromium) echo chromium ;;
    # Brings Node.js along.
    node) echo npm ;;
    esac
}

brew_package() {
    case $1 in
    postgres) echo postgresql@17 ;;
    redis) echo redis ;;
    ffprobe) echo ffmpeg ;;
    chromium) echo '--cask google-chrome' ;;
    node) echo node ;;
    # Comes with Apple's command line tools only.
    compiler) echo '' ;;
    esac
}

install_programs() {
    local program packages=() kind
    kind=$(package_manager)
    say "Missing on this machine:"
    for program; do say "  - $(wanted "$program")"; done
    case $kind in
    apt)
        for program; do packages+=("$(apt_package "$program")"); done
        apt_install "${packages[@]}"
        ;;
    brew)
        for program; do brew_install "$(brew_package "$program")"; done
        ;;
    *) die "this script installs on Debian, Ubuntu (apt-get) and macOS (Homebrew) only. $(by_hand)" ;;
    esac
}

package_manager() {
    if command -v apt-get >/dev/null; then
        echo apt
    elif command -v brew >/dev/null; then
        echo brew
    else
        echo none
    fi
}

brew_install() {
    [ "$(id -u)" -ne 0 ] || die "Homebrew does not work as root: run this as an ordinary user."
    [ -n "$1" ] || die "install Apple's command line tools first: xcode-select --install"
    say "Installing with Homebrew: $1"
    # shellcheck disable=SC2086 # an option and a name
    brew install $1 </dev/null || die "brew could not install $1."
}

apt_install() {
    local become=() quiet=$ROOT/.dev/apt log=$ROOT/.dev/apt.log program
    become_root || die "installing them needs root, and sudo is not to be had here. As root: apt-get install $*"
    say "Installing with apt-get, which may take some minutes: $*"
    say "(Only the programs are wanted: services that come with them are neither started nor enabled.)"

    # The packages' own scripts start a service by calling these. This finds them doing nothing, for
    # this one call of apt-get, on machines with systemd and without.
    mkdir -p "$quiet"
    for program in invoke-rc.d deb-systemd-invoke; do
        printf '#!/bin/sh\nexit 0\n' >"$quiet/$program"
        chmod 755 "$quiet/$program"
    done

    ${become[@]+"${become[@]}"} apt-get update -qq </dev/null >"$log" 2>&1 || warn "apt-get update failed; trying with the lists at hand"
    ${become[@]+"${become[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o "DPkg::Path=$quiet:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
        "$@" </dev/null >>"$log" 2>&1 || fail_with_log "$log" "apt-get could not install $*. $(by_hand)"
    rm -rf "$quiet"
    leave_disabled "$@"
}

# leave_disabled PACKAGE…: they were not there before, so nobody relies on their services at boot.
leave_disabled() {
    local package
    [ -d /run/systemd/system ] || return 0
    for package; do
        case $package in
        postgresql | redis-server) ${become[@]+"${become[@]}"} systemctl disable --quiet "$package" || true ;;
        esac
    done
}

# become_root: sets `become` to what has to stand before a command.
become_root() {
    if [ "$(id -u)" -eq 0 ]; then
        become=()
    elif ! command -v sudo >/dev/null; then
        return 1
    elif [ -t 0 ] && [ -t 2 ]; then
        become=(sudo)
    else
        # Nobody is there to type a password.
        sudo -n true 2>/dev/null || return 1
        become=(sudo -n)
    fi
}

# find_postgres: sets PG_BIN to the newest fitting server's directory; or to that of WANTED_POSTGRES
# (a major version), because data can only be used by the version that made it.
find_postgres() {
    local place version best=$((POSTGRES_AT_LEAST - 1))
    PG_BIN=
    for place in "$(dirname "$(command -v postgres || echo /none/postgres)")" "$(pg_config --bindir 2>/dev/null || true)" \
        /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
        version=$(postgres_version "$place")
        if [ "$version" -gt "$best" ] && [ "${WANTED_POSTGRES:-$version}" = "$version" ]; then
            best=$version
            PG_BIN=$place
        fi
    done
    [ -n "$PG_BIN" ]
}

# postgres_version DIRECTORY: the major version of the server there; 0 if there is no whole one.
postgres_version() {
    local program version
    for program in postgres initdb psql pg_isready; do
        [ -x "$1/$program" ] || { echo 0 && return; }
    done
    version=$("$1/postgres" --version | sed -n 's/[^0-9]*\([0-9]*\).*/\1/p')
    echo "${version:-0}"
}

# node_version: the major version of Node.js; 0 if there is none.
node_version() {
    local version
    version=$(node --version 2>/dev/null | sed -n 's/^v\([0-9]*\).*/\1/p')
    echo "${version:-0}"
}

# find_redis: sets REDIS_SERVER.
find_redis() {
    local place version
    REDIS_SERVER=
    for place in "$(command -v redis-server || true)" /usr/bin/redis-server \
        /opt/homebrew/opt/redis*/bin/redis-server /usr/local/opt/redis*/bin/redis-server; do
        [ -x "$place" ] || continue
        version=$("$place" --version | sed -n 's/.*v=\([0-9]*\).*/\1/p')
        [ "${version:-0}" -ge "$REDIS_AT_LEAST" ] || continue
        # shellcheck disable=SC2034 # for servers.sh
        REDIS_SERVER=$place
        return 0
    done
    return 1
}

# find_faketime: sets FAKETIME to the library that gives a process a wrong clock, where it is installed
# (libfaketime on Debian and Ubuntu). Nobody needs it but chaos, which does without.
find_faketime() {
    local place
    FAKETIME=
    for place in /usr/lib/*/faketime/libfaketimeMT.so.1 /usr/lib/faketime/libfaketimeMT.so.1 \
        /usr/lib64/faketime/libfaketimeMT.so.1; do
        [ -r "$place" ] || continue
        # shellcheck disable=SC2034 # for the scripts that call
        FAKETIME=$place
        return 0
    done
    return 1
}

# find_chromium: sets CHROMIUM, unless the caller has. Ubuntu's `chromium-browser` is left out: it is a
# doorway to a snap, which does not work in containers.
find_chromium() {
    local place
    [ -z "${CHROMIUM:-}" ] || return 0
    for place in "$(command -v chromium || true)" "$(command -v google-chrome-stable || true)" "$(command -v google-chrome || true)" \
        '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome' \
        '/Applications/Chromium.app/Contents/MacOS/Chromium'; do
        [ -x "$place" ] || continue
        CHROMIUM=$place
        return 0
    done
    return 1
}
