"""Tests for ringback.runtime.observability over HTTP, and for the health check of containers."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

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

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[3]


async def ready() -> bool:
    await asyncio.sleep(0)
    return True


async def not_ready() -> bool:
    await asyncio.sleep(0)
    return False


async def failing() -> bool:
    await asyncio.sleep(0)
    raise ConnectionError("postgresql://user:geheim@host refused")


async def hanging() -> bool:
    await asyncio.Event().wait()
    return True


def server(readiness: Mapping[str, Ping], port: int, **options: Any) -> ObservabilityServer:
    registry = options.pop("registry", CollectorRegistry())
    return ObservabilityServer(
        host=HOST, port=port, registry=registry, readiness=readiness, **options
    )


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


async def get(port: int, path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as client, client.get(f"http://{HOST}:{port}{path}") as got:
        return got.status, await (got.json() if "json" in got.content_type else got.text())


async def test_metrics_are_those_of_the_registry(port: int) -> None:
    registry = CollectorRegistry()
    Counter("webhook", "Accepted.", registry=registry).inc(3)

    async with server({}, port, registry=registry):
        status, text = await get(port, "/metrics")

    assert status == 200
    assert "webhook_total 3.0" in text
    assert "process_" not in text


@pytest.mark.parametrize(
    ("pings", "status", "checks"),
    [
        ({}, 200, {}),
        ({"broker": ready}, 200, {"broker": True}),
        ({"broker": ready, "database": not_ready}, 503, {"broker": True, "database": False}),
        ({"broker": ready, "database": failing}, 503, {"broker": True, "database": False}),
    ],
)
async def test_a_process_is_ready_if_all_pings_succeed(
    port: int, pings: dict[str, Ping], status: int, checks: dict[str, bool]
) -> None:
    """The response names what is not ready, but not why: errors may contain hosts and secrets."""
    async with server(pings, port) as running:
        running.started()
        got_status, got = await get(port, "/readyz")

    assert got_status == status
    assert got == {
        "ready": status == 200,
        "checks": checks | {"started": True, "not_draining": True},
    }


async def test_a_hanging_ping_means_not_ready(port: int) -> None:
    async with server({"database": hanging, "broker": ready}, port, ping_timeout_s=0.1):
        status, got = await get(port, "/readyz")
        alive, _ = await get(port, "/livez")

    assert (status, got["checks"]["database"], got["checks"]["broker"]) == (503, False, True)
    assert alive == 200


async def test_a_starting_or_draining_process_is_alive_but_not_ready(port: int) -> None:
    """It gets no new work, and nobody restarts it."""
    async with server({"broker": ready}, port) as running:
        starting = await get(port, "/readyz")
        running.started()
        started = await get(port, "/readyz")
        running.drain()
        draining = await get(port, "/readyz")
        alive, _ = await get(port, "/livez")

    assert (starting[0], started[0], draining[0], alive) == (503, 200, 503, 200)
    assert starting[1]["checks"] == {"broker": True, "started": False, "not_draining": True}
    assert draining[1]["checks"] == {"broker": True, "started": True, "not_draining": False}


async def test_a_connected_client_does_not_delay_the_end(port: int) -> None:
    """The port is free again at once."""
    async with aiohttp.ClientSession() as client, asyncio.timeout(60):
        async with server({}, port), client.get(f"http://{HOST}:{port}/livez") as got:
            assert got.status == 200
        async with server({}, port):
            pass


async def health_check(port: int, *arguments: str) -> tuple[int, str]:
    """Exit status and output of the program."""
    module = "ringback.runtime.observability.health_check"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", module, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=ROOT,
        env={"RINGBACK_PROCESSOR_OBSERVABILITY_PORT": str(port)},
    )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()


async def test_a_service_without_its_broker_is_healthy_but_not_ready(port: int) -> None:
    """A restart would not repair the broker."""
    async with server({"broker": not_ready}, port) as running:
        running.started()
        healthy, _ = await health_check(port, "processor")
        status, printed = await health_check(port, "processor", "--ready")

    assert (healthy, status) == (EXIT_HEALTHY, EXIT_UNHEALTHY)
    assert '"broker": false' in printed


async def test_a_missing_service_is_unhealthy(port: int) -> None:
    assert await health_check(port, "processor") == (
        EXIT_UNHEALTHY,
        f"127.0.0.1:{port} does not answer (ConnectionRefusedError)\n",
    )


@pytest.mark.parametrize("arguments", [(), ("postgres",), ("processor", "--live")])
async def test_wrong_arguments_of_the_health_check_are_an_error(arguments: tuple[str, ...]) -> None:
    """A misspelt check must not look like an unhealthy service."""
    status, printed = await health_check(1, *arguments)

    assert status == EXIT_BAD_INPUT
    assert printed.startswith("Usage: ")


@pytest.mark.parametrize(
    ("listens_on", "host"),
    [
        ("", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),  # ruff: ignore[hardcoded-bind-all-interfaces]
        ("::", "127.0.0.1"),
        ("*", "127.0.0.1"),
        ("[::1]", "::1"),
        ("10.0.0.7, ::1", "10.0.0.7"),
        ("10.0.0.7", "10.0.0.7"),
        ("gateway", "gateway"),
    ],
)
def test_the_health_check_asks_where_the_service_listens(listens_on: str, host: str) -> None:
    environ = {
        "RINGBACK_OBSERVABILITY_HOST": listens_on,
        "RINGBACK_GATEWAY_OBSERVABILITY_PORT": "7",
    }

    assert question(["gateway"], environ) == Question(host, 7, "/livez")


@pytest.mark.parametrize("service", SERVICES)
def test_the_ports_of_the_health_check_are_those_of_the_settings(service: str) -> None:
    """They are written twice because the check must start quickly."""
    field = SERVICES[service].model_fields[f"{service}_observability_port"]

    assert DEFAULT_PORTS[service] == field.default
    assert set(DEFAULT_PORTS) == set(SERVICES)
