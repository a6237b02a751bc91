"""Ports of the local stack."""

import socket
import subprocess  # ruff: ignore[suspicious-subprocess-import]
import sys
from pathlib import Path

import pytest

from ringback.local.child import LocalStackError
from ringback.local.ports import (
    LOOPBACK,
    LocalPorts,
    PortReservations,
    free_ports,
    port_in_use,
    require_free,
)


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(LocalStackError) as raised:
            require_free({"gateway": port})

    assert str(port) in str(raised.value)
    assert "RINGBACK_GATEWAY_PORT" in str(raised.value)


def test_free_ports_differ_and_are_free() -> None:
    ports = free_ports(10) + free_ports(10)

    assert len(set(ports)) == 20
    assert not any(port_in_use(port) for port in ports)


RESERVE = """
import sys
from pathlib import Path
from ringback.local.ports import PortReservations
reservations = PortReservations(Path(sys.argv[1]))
print(*(reservations.reserve(port) for port in (20_000, 20_001)), flush=True)
sys.stdin.read()
"""


def test_a_reserved_port_is_free_again_when_its_process_has_ended(tmp_path: Path) -> None:
    """Also when it is killed. Until then no other process gets it."""
    file = tmp_path / "ports"
    command = [sys.executable, "-c", RESERVE, str(file)]
    ours = PortReservations(file)
    assert ours.reserve(20_001)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True False\n"
        assert not ours.reserve(20_000)
        other.kill()

    assert ours.reserve(20_000)
    assert not ours.reserve(20_000)


def test_ports_come_from_the_environment() -> None:
    """A set variable moves its port, an empty one does not."""
    environ = {"RINGBACK_LOCAL_AMQP_PORT": "1234", "RINGBACK_GATEWAY_PORT": ""}

    ports = LocalPorts.from_env(environ)

    assert (ports.broker.amqp, ports.services.gateway) == (1234, 8080)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "8080.5", "²"])
def test_a_bad_port_is_refused(text: str) -> None:
    with pytest.raises(LocalStackError, match="RINGBACK_GATEWAY_PORT must be a port"):
        LocalPorts.from_env({"RINGBACK_GATEWAY_PORT": text})
