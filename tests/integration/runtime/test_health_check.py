"""Tests for ringback.runtime.observability.health_check: a program with an exit status."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from ringback.local.ports import free_ports
from ringback.runtime.observability.health_check import (
    DEFAULT_PORTS,
    EXIT_BAD_INPUT,
    EXIT_HEALTHY,
    EXIT_UNHEALTHY,
    Question,
    question,
)
from ringback.runtime.observability.server import ObservabilityServer, Ping
from tests.architecture.config_example import SERVICES

ROOT = Path(__file__).parents[3]


async def well() -> bool:
    await asyncio.sleep(0)
    return True


async def ill() -> bool:
    await asyncio.sleep(0)
    return False


async def checked(port: int, *arguments: str) -> tuple[int, str]:
    """The exit status of the program, and all that it said."""
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-W",
            "error",
            "-m",
            "ringback.runtime.observability.health_check",
            *arguments,
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env={"RINGBACK_PROCESSOR_OBSERVABILITY_PORT": str(port)},
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


def exposed(port: int, readiness: Mapping[str, Ping]) -> ObservabilityServer:
    registry = CollectorRegistry()
    return ObservabilityServer(host="127.0.0.1", port=port, registry=registry, readiness=readiness)


async def test_a_service_without_its_broker_lives_and_is_not_ready() -> None:
    """To start it again would not bring the broker back, so its health is not its readiness."""
    (port,) = free_ports(1)
    async with exposed(port, {"broker": ill}) as observability:
        observability.started()

        assert (await checked(port, "processor"))[0] == EXIT_HEALTHY
        status, said = await checked(port, "processor", "--ready")

    assert status == EXIT_UNHEALTHY
    assert '"broker": false' in said


async def test_a_service_that_has_all_is_ready() -> None:
    """What waits for it may begin."""
    (port,) = free_ports(1)
    async with exposed(port, {"broker": well}) as observability:
        observability.started()

        assert (await checked(port, "processor", "--ready"))[0] == EXIT_HEALTHY


async def test_nobody_there_is_a_sentence() -> None:
    """Nothing listens: unhealthy, and no stack."""
    (port,) = free_ports(1)

    assert await checked(port, "processor") == (
        EXIT_UNHEALTHY,
        f"127.0.0.1:{port} does not answer (ConnectionRefusedError)\n",
    )


@pytest.mark.parametrize("arguments", [(), ("postgres",), ("processor", "--live")])
async def test_what_it_does_not_know_it_says(arguments: tuple[str, ...]) -> None:
    """A check that is misspelt must not look like a service that is ill."""
    status, said = await checked(1, *arguments)

    assert status == EXIT_BAD_INPUT
    assert said.startswith("Usage: ")


@pytest.mark.parametrize(
    ("listens_on", "asked"),
    [
        ("", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),  # ruff: ignore[hardcoded-bind-all-interfaces]
        ("::", "::1"),
        ("*", "127.0.0.1"),
        ("[::1]", "::1"),
        ("10.0.0.7, ::1", "10.0.0.7"),
        ("10.0.0.7", "10.0.0.7"),
        ("gateway", "gateway"),
    ],
)
def test_it_asks_where_the_service_listens(listens_on: str, asked: str) -> None:
    """An address for all interfaces is none that one can ask."""
    environ = {
        "RINGBACK_OBSERVABILITY_HOST": listens_on,
        "RINGBACK_GATEWAY_OBSERVABILITY_PORT": "7",
    }

    assert question(["gateway"], environ) == Question(asked, 7, "/livez")


@pytest.mark.parametrize("service", SERVICES)
def test_its_ports_are_those_of_the_settings(service: str) -> None:
    """They are written twice because the check must be quick."""
    field = SERVICES[service].model_fields[f"{service}_observability_port"]

    assert DEFAULT_PORTS[service] == field.default
    assert set(DEFAULT_PORTS) == set(SERVICES)
