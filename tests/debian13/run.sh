#!/bin/sh
# Runs a command on Debian 13, which has RabbitMQ 4.0 and PostgreSQL 17, in this checkout.
#
#   tests/debian13/run.sh COMMAND...    for example: make test
#
# The first run makes the system by debootstrap (about a minute, 1 GB) in $RINGBACK_DEBIAN_13,
# /var/tmp/ringback-debian-13 by default; remove that folder to make it again. The command runs in a
# chroot and a mount namespace of its own, with this checkout at its own path and another .venv.
# It needs root and the package debootstrap, because only root may chroot and mount.
set -eu

ROOT=${RINGBACK_DEBIAN_13:-/var/tmp/ringback-debian-13}
CHECKOUT=$(cd "$(dirname "$0")/../.." && pwd -P)
PACKAGES=ca-certificates,chromium,faketime,git,iproute2,make,postgresql-17,procps,prometheus,python3,python3-venv,rabbitmq-server

fail() {
    echo "$1" >&2
    exit 1
}

make_root() {
    [ -e "$ROOT/ready" ] && return
    log=$(mktemp)
    printf 'Making Debian 13 in %s ...' "$ROOT" >&2
    # Without a mirror named here, debootstrap uses the one that this machine is set up for.
    if ! debootstrap --variant=minbase --include="$PACKAGES" trixie "$ROOT" >"$log" 2>&1; then
        echo >&2
        tail -n 15 "$log" >&2
        fail "debootstrap failed; its whole output is in $log."
    fi
    rm -f "$log"
    touch "$ROOT/ready"
    echo " done" >&2
}

# Inside the namespace: all mounts end with it.
mount_checkout() {
    mkdir -p "$ROOT$CHECKOUT" "$ROOT/var/lib/ringback-venv$CHECKOUT" "$CHECKOUT/.venv"
    mount --rbind /proc "$ROOT/proc"
    mount --rbind /sys "$ROOT/sys"
    mount --rbind /dev "$ROOT/dev"
    mount --bind "$CHECKOUT" "$ROOT$CHECKOUT"
    mount --bind "$ROOT/var/lib/ringback-venv$CHECKOUT" "$ROOT$CHECKOUT/.venv"
    mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp"
}

# What reaches the package registries of this machine reaches them from the chroot as well.
copy_machine_settings() {
    for file in /etc/resolv.conf /etc/hosts /etc/pip.conf /etc/xdg/pip "$HOME/.config/pip" \
        "$HOME/.npmrc" /etc/ssl/certs/ca-certificates.crt; do
        [ -e "$file" ] || continue
        mkdir -p "$ROOT$(dirname "$file")"
        cp -rLT "$file" "$ROOT$file"
    done
}

[ $# -gt 0 ] || fail "Usage: tests/debian13/run.sh COMMAND..."
[ "$(id -u)" -eq 0 ] || fail "This needs root: it makes a chroot. Try it with sudo."
if [ "${IN_NAMESPACE-}" != yes ]; then
    command -v debootstrap >/dev/null 2>&1 || fail "This needs the package debootstrap."
    make_root
    exec env IN_NAMESPACE=yes unshare --mount --propagation private sh "$0" "$@"
fi
mount_checkout
copy_machine_settings
exec env -u IN_NAMESPACE -u VIRTUAL_ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    RINGBACK_POSTGRESQL_BIN=/usr/lib/postgresql/17/bin \
    chroot "$ROOT" /bin/sh -c 'cd "$1" && shift && exec "$@"' sh "$CHECKOUT" "$@"
