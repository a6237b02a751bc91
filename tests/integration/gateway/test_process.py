"""The gateway as a process: how it starts, fails to start, and stops."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial

import aiohttp
import asyncpg

from ringback.local.ports import free_ports
from tests.support.eventually import eventually
from tests.support.gateway_client import NOBODY, PATH, SECRET
from tests.support.keep_alive import Connection, keep_alive, last_header

HANG = b'{"type": "hang"}'

_MAX_LOG_BYTES = 64 * 1024 * 1024


def gateway_environment(
    amqp_url: str, database_url: str, port: int, health_port: int
) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "RINGBACK_AMQP_URL": amqp_url,
        "RINGBACK_DATABASE_URL": database_url,
        "RINGBACK_VAPI_SECRET": SECRET,
        "RINGBACK_GATEWAY_HOST": "127.0.0.1",
        "RINGBACK_GATEWAY_PORT": str(port),
        "RINGBACK_OBSERVABILITY_HOST": "127.0.0.1",
        "RINGBACK_GATEWAY_OBSERVABILITY_PORT": str(health_port),
    }


@asynccontextmanager
async def gateway_process(
    environment: Mapping[str, str], *before: str
) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *[*before, sys.executable, "-m", "services.gateway"],
        env=dict(environment),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # The gateway writes its log synchronously: a full pipe would block all its requests.
        limit=_MAX_LOG_BYTES,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _output_of(environment: Mapping[str, str]) -> tuple[int | None, str]:
    """The exit status and the error output of the process."""
    async with gateway_process(environment) as process:
        async with asyncio.timeout(60):
            _, errors = await process.communicate()
        return process.returncode, errors.decode()


async def test_listens_on_both_families(ready_amqp_url: str, database_url: str) -> None:
    """IPv4 and IPv6, on both ports, by default."""
    ports = free_ports(2)
    environment = gateway_environment(ready_amqp_url, database_url, *ports)
    for name in ("RINGBACK_GATEWAY_HOST", "RINGBACK_OBSERVABILITY_HOST"):
        del environment[name]
    async with gateway_process(environment):
        await eventually(lambda: _is_open(ports[0]))
        for host in ("127.0.0.1", "::1"):
            for port in ports:
                _, writer = await asyncio.open_connection(host, port)
                writer.close()


async def test_reports_a_missing_topology(amqp_url: str) -> None:
    """In one sentence that names the fix."""
    environment = gateway_environment(amqp_url, f"postgresql://{NOBODY}/x", *free_ports(2))

    status, output = await _output_of(environment)

    assert status == 1
    assert "`ringback topology apply`" in output
    assert len(output.strip().splitlines()) == 1


async def test_finishes_requests_in_flight_at_sigterm(
    ready_amqp_url: str, database_url: str
) -> None:
    """They get their responses, rows are written, and the exit status is 0."""
    port, health_port = free_ports(2)
    url = f"http://127.0.0.1:{port}{PATH}"
    headers = {"X-Vapi-Secret": SECRET, "Content-Type": "application/json"}
    body_begun, body_may_end = asyncio.Event(), asyncio.Event()

    async def slow_body() -> AsyncIterator[bytes]:
        yield HANG[:5]
        body_begun.set()
        await body_may_end.wait()
        yield HANG[5:]

    environment = gateway_environment(ready_amqp_url, database_url, port, health_port)
    async with gateway_process(environment) as process, aiohttp.ClientSession() as session:
        await eventually(lambda: _is_open(port))
        slow = asyncio.create_task(session.post(url, data=slow_body(), headers=headers))
        await body_begun.wait()
        async with session.post(url, data=HANG, headers=headers) as quick:
            assert quick.status == 200

        process.send_signal(signal.SIGTERM)
        await eventually(lambda: _is_closed(port))
        body_may_end.set()

        async with await slow as answer:
            assert answer.status == 200
        async with asyncio.timeout(60):
            log, errors = await process.communicate()
    assert process.returncode == 0
    assert errors == b""
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events.count("webhook.accepted") == 2
    assert SECRET.encode() not in log
    database = await asyncpg.connect(database_url)
    try:
        assert await database.fetchval("SELECT count(*) FROM webhook_delivery_log") == 2
        assert await database.fetchval("SELECT max(accepted) FROM webhook_gateway_ledger") == 2
    finally:
        await database.close()


async def test_every_webhook_sent_during_a_stop_is_answered(
    ready_amqp_url: str, database_url: str
) -> None:
    """Each open connection gets one more response, with `Connection: close`, busy or idle."""
    port, health_port = free_ports(2)
    environment = gateway_environment(ready_amqp_url, database_url, port, health_port)
    environment["RINGBACK_GATEWAY_DRAIN_TIMEOUT_S"] = "60"
    answered: list[str | None] = []
    for at_least in (0, 100, 1000):
        async with gateway_process(environment) as process:
            answered.clear()
            await eventually(lambda: _is_open(port))
            async with keep_alive(port, 8) as busy, keep_alive(port, 8) as idle:
                sending = [asyncio.create_task(_send_until_closed(one, answered)) for one in busy]
                await eventually(partial(_has, answered, at_least))
                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(60):
                    await asyncio.gather(*sending)
                    for connection in idle:
                        assert await last_header(connection) == "close"
                    log, _ = await process.communicate()
        assert process.returncode == 0
        assert b"gateway.stopping" in log


def _has(answered: Sequence[object], at_least: int) -> bool:
    return len(answered) >= at_least


async def _send_until_closed(connection: Connection, answered: list[str | None]) -> None:
    while (header := await last_header(connection)) != "close":
        answered.append(header)


async def test_more_connections_than_open_files(ready_amqp_url: str, database_url: str) -> None:
    """Idle connections leave files for the broker, the database, health and good senders."""
    port, health_port = free_ports(2)
    url = f"http://127.0.0.1:{port}{PATH}"
    headers = {"X-Vapi-Secret": SECRET, "Content-Type": "application/json", "Connection": "close"}
    few_files = ("prlimit", "--nofile=200:200")
    environment = gateway_environment(ready_amqp_url, database_url, port, health_port)
    async with gateway_process(environment, *few_files), aiohttp.ClientSession() as session:
        await eventually(lambda: _is_open(port))
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        for _ in range(3):
            async with session.post(url, data=HANG, headers=headers) as answer:
                assert answer.status == 200
        async with session.get(f"http://127.0.0.1:{health_port}/readyz") as ready:
            assert ready.status == 200
        for _, writer in idle:
            writer.close()


async def _is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def _is_closed(port: int) -> bool:
    return not await _is_open(port)
