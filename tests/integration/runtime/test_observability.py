"""Tests for ringback.runtime.observability, asked over HTTP as Prometheus and Kubernetes do."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from ringback.local.ports import free_ports
from ringback.runtime.observability import server as observability
from ringback.runtime.observability.server import ObservabilityServer, Ping
from ringback.runtime.process.lifecycle import CannotStartError

HOST = "127.0.0.1"


async def well() -> bool:
    await asyncio.sleep(0)
    return True


async def ill() -> bool:
    await asyncio.sleep(0)
    return False


async def raising() -> bool:
    await asyncio.sleep(0)
    raise ConnectionError("postgresql://user:geheim@host refused")


async def hanging() -> bool:
    await asyncio.Event().wait()
    return True


def exposed(readiness: Mapping[str, Ping], port: int) -> ObservabilityServer:
    return ObservabilityServer(
        host=HOST, port=port, registry=CollectorRegistry(), readiness=readiness
    )


@pytest.fixture
def port() -> int:
    return free_ports(1)[0]


async def asked(port: int, path: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as client, client.get(f"http://{HOST}:{port}{path}") as got:
        return got.status, await (got.json() if "json" in got.content_type else got.text())


async def test_metrics_are_those_of_the_registry(port: int) -> None:
    """Prometheus gets what was counted, and nothing of other registries."""
    registry = CollectorRegistry()
    Counter("webhook", "Accepted.", registry=registry).inc(3)

    async with ObservabilityServer(host=HOST, port=port, registry=registry, readiness={}):
        status, text = await asked(port, "/metrics")

    assert status == 200
    assert "webhook_total 3.0" in text
    assert "process_" not in text


@pytest.mark.parametrize(
    ("pings", "status", "checks"),
    [
        ({}, 200, {}),
        ({"broker": well}, 200, {"broker": True}),
        ({"broker": well, "database": ill}, 503, {"broker": True, "database": False}),
        ({"broker": well, "database": raising}, 503, {"broker": True, "database": False}),
    ],
)
async def test_ready_is_what_all_pings_say(
    port: int, pings: dict[str, Ping], status: int, checks: dict[str, bool]
) -> None:
    """The answer names what is not ready and never says why: errors hold hosts and secrets."""
    async with exposed(pings, port) as exposing:
        exposing.started()
        got_status, got = await asked(port, "/readyz")

    assert got_status == status
    assert got == {
        "ready": status == 200,
        "checks": checks | {"started": True, "not_draining": True},
    }


async def test_a_hanging_ping_is_a_no(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets an answer in time, and life does not depend on it."""
    monkeypatch.setattr(observability, "_PING_TIMEOUT_S", 0.1)

    async with exposed({"database": hanging, "broker": well}, port), asyncio.timeout(2):
        status, got = await asked(port, "/readyz")
        alive, _ = await asked(port, "/livez")

    assert (status, got["checks"]["database"], got["checks"]["broker"]) == (503, False, True)
    assert alive == 200


async def test_who_starts_is_alive_but_not_ready(port: int) -> None:
    """Its health is served before its work is, which would be refused until then."""
    async with exposed({"broker": well}, port) as exposing:
        before, got = await asked(port, "/readyz")
        alive, _ = await asked(port, "/livez")
        exposing.started()
        after, _ = await asked(port, "/readyz")

    assert (before, after, alive) == (503, 200, 200)
    assert got["checks"] == {"broker": True, "started": False, "not_draining": True}


async def test_who_drains_is_alive_but_not_ready(port: int) -> None:
    """Work goes elsewhere, and nobody restarts the process while it finishes what it has."""
    async with exposed({"broker": well}, port) as exposing:
        exposing.started()
        before, _ = await asked(port, "/readyz")
        exposing.drain()
        after, got = await asked(port, "/readyz")
        alive, _ = await asked(port, "/livez")

    assert (before, after, alive) == (200, 503, 200)
    assert got["checks"] == {"broker": True, "started": True, "not_draining": False}


async def test_a_port_in_use_is_a_sentence() -> None:
    """Who starts two services on one port reads which port it is."""
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(
            CannotStartError, match=rf"Port {port} on 127\.0\.0\.1 .* cannot be used"
        ):
            async with exposed({}, port):
                pass


async def test_it_ends_in_time_with_clients_connected(port: int) -> None:
    """A scraper that keeps its connection does not hold up a shutdown, and the port is free."""
    async with aiohttp.ClientSession() as client, asyncio.timeout(60):
        async with exposed({}, port), client.get(f"http://{HOST}:{port}/livez") as got:
            assert got.status == 200

        async with exposed({}, port):
            pass
