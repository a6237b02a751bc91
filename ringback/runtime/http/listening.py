"""Where a service listens: on all IPv4 and IPv6 addresses, or on those in a setting."""

import os
import resource
import socket
from collections.abc import Callable

from ringback.runtime.process.lifecycle import CannotStartError

ALL_ADDRESSES = "*"
IPV6_WILDCARD = "::"

_BACKLOG = 1024


def can_bind(host: str) -> bool:
    """Whether this machine can listen at an IPv6 address."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def addresses_in(hosts: str, can_bind: Callable[[str], bool] = can_bind) -> list[str]:
    """The addresses of a setting such as `127.0.0.1, ::1`.

    `::` means all addresses, of IPv4 too, and so does a list with it. IPv6 addresses are left out
    on a machine without IPv6, unless there are no others.
    """
    named = [host.strip().strip("[]") for host in hosts.split(",") if host.strip()]
    if ALL_ADDRESSES in named or IPV6_WILDCARD in named:
        return [ALL_ADDRESSES]
    usable = [host for host in named if ":" not in host or can_bind(host)]
    return usable or named


def listen(
    hosts: str, port: int, *, setting: str, can_bind: Callable[[str], bool] = can_bind
) -> list[socket.socket]:
    """Open sockets that listen at one port of all these addresses; 0 means any free port.

    Raises CannotStartError, which names the setting of the port.
    """
    sockets: list[socket.socket] = []
    try:
        for host in addresses_in(hosts, can_bind):
            same_port = sockets[0].getsockname()[1] if sockets else port
            sockets += _listening(host, same_port, is_dual=can_bind(IPV6_WILDCARD))
    except OSError as exc:
        for one in sockets:
            one.close()
        raise CannotStartError(
            f"Port {port} on {hosts} ({setting}) cannot be used: {_why(exc)}."
        ) from exc
    return sockets


def _listening(host: str, port: int, *, is_dual: bool) -> list[socket.socket]:
    if host == ALL_ADDRESSES:
        if is_dual:
            both = socket.create_server(
                ("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True
            )
            return [both]
        return [socket.create_server(("", port), backlog=_BACKLOG)]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [
        socket.create_server(address, family=family, backlog=_BACKLOG)
        for family, address in dict.fromkeys((one[0], one[4]) for one in found)
    ]


def _why(error: OSError) -> str:
    """The system's error text, without the repeated address in front."""
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)


_RESERVED = 128
"""Files other than client connections: broker, database, spool, probes, logs."""


def raise_open_file_limit(wanted: int) -> int:
    """Raise the soft limit of the process to its hard limit; return how many connections fit.

    At the limit the process could not accept connections or connect to the broker.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return wanted
    return max(1, min(wanted, hard - _RESERVED))
