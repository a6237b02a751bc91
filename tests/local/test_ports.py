"""Ports of the local stack."""

import socket

import pytest

from ringback.local.child import LocalStackError
from ringback.local.ports import LOOPBACK, LocalPorts, free_ports, port_in_use, require_free


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
    ports = free_ports(10)

    assert len(set(ports)) == 10
    assert not any(port_in_use(port) for port in ports)


def test_ports_come_from_the_environment() -> None:
    """A set variable moves its port, an empty one does not."""
    environ = {"RINGBACK_LOCAL_AMQP_PORT": "1234", "RINGBACK_GATEWAY_PORT": ""}

    ports = LocalPorts.from_env(environ)

    assert (ports.broker.amqp, ports.services.gateway) == (1234, 8080)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "http", "8080.5", "²"])
def test_a_bad_port_is_refused(text: str) -> None:
    with pytest.raises(LocalStackError, match="RINGBACK_GATEWAY_PORT must be a port"):
        LocalPorts.from_env({"RINGBACK_GATEWAY_PORT": text})
