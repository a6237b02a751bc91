"""Services are reached by IPv4 and by IPv6, on every port."""

import socket
from collections.abc import Iterator

import pytest

from ringback.runtime.http.listening import listen
from ringback.runtime.process.lifecycle import CannotStartError


def closing(sockets: list[socket.socket]) -> Iterator[int]:
    yield sockets[0].getsockname()[1]
    for one in sockets:
        one.close()


def answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("hosts", "reached"),
    [
        ("*", (True, True)),
        ("127.0.0.1,::1", (True, True)),
        (" [::1] , 127.0.0.1 ", (True, True)),
        ("127.0.0.1", (True, False)),
        ("0.0.0.0", (True, False)),  # ruff: ignore[hardcoded-bind-all-interfaces]
        ("::1", (False, True)),
        ("::", (True, True)),
        ("0.0.0.0, [::]", (True, True)),
    ],
)
def test_it_listens_on_the_configured_addresses(hosts: str, reached: tuple[bool, bool]) -> None:
    """At the same port for all addresses."""
    for port in closing(listen(hosts, 0, setting="X")):
        assert (answers("127.0.0.1", port), answers("::1", port)) == reached


@pytest.mark.parametrize("hosts", ["*", "::", "127.0.0.1,::1"])
def test_a_machine_without_ipv6_listens_on_ipv4(hosts: str) -> None:
    for port in closing(listen(hosts, 0, setting="X", can_bind=lambda _: False)):
        assert (answers("127.0.0.1", port), answers("::1", port)) == (True, False)


@pytest.mark.parametrize("taken_at", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("hosts", ["*", "127.0.0.1,::1"])
def test_a_port_in_use_is_one_sentence(taken_at: str, hosts: str) -> None:
    """Also if it is used in only one address family; nothing stays open."""
    family = socket.AF_INET6 if ":" in taken_at else socket.AF_INET
    with socket.create_server((taken_at, 0), family=family) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotStartError, match=rf"Port {port} on .* \(X\) cannot be used: Add"):
            listen(hosts, port, setting="X")
    for _ in closing(listen(hosts, port, setting="X")):
        pass


def test_an_unknown_host_is_one_sentence() -> None:
    with pytest.raises(CannotStartError, match="cannot be used"):
        listen("nowhere.invalid", 0, setting="X")
