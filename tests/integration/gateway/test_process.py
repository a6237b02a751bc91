"""The gateway as a process: how it starts, fails to start, and stops, and its clock."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from chaos.wrong_clock import is_available, off_by
from ringback.contract.identity import JobId, created_at
from ringback.local.ports import free_ports
from tests.support.eventually import eventually
from tests.support.gateway_client import NOBODY, PATH, PATIENT, SECRET
from tests.support.service_process import ROOT, ServiceProcess, start_program

HANG = b'{"type": "hang"}'


def gateway_environment(
    amqp_url: str, database_url: str, port: int, health_port: int
) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "RINGBACK_AMQP_URL": amqp_url,
        "RINGBACK_DATABASE_URL": database_url,
        "RINGBACK_VAPI_SECRET": SECRET,
        "RINGBACK_ORG_RATE_PER_S": "0",
        **PATIENT,
        "RINGBACK_GATEWAY_HOST": "127.0.0.1",
        "RINGBACK_GATEWAY_PORT": str(port),
        "RINGBACK_OBSERVABILITY_HOST": "127.0.0.1",
        "RINGBACK_GATEWAY_OBSERVABILITY_PORT": str(health_port),
    }


@dataclass(frozen=True)
class GatewayProcess:
    service: ServiceProcess
    out: Path
    errors: Path

    @property
    def is_running(self) -> bool:
        return self.service.poll() is None

    async def ended(self) -> tuple[int, str, str]:
        """Wait until it has ended; its status, its log and what it has printed as an error."""
        await eventually(lambda: not self.is_running)
        return self.service.wait(), self.out.read_text("utf-8"), self.errors.read_text("utf-8")


@asynccontextmanager
async def gateway_process(
    environment: Mapping[str, str], *before: str
) -> AsyncGenerator[GatewayProcess, None]:
    with NamedTemporaryFile() as out, NamedTemporaryFile() as errors:
        command = ["ringback.services.gateway"]
        service = start_program(command, environment, ROOT, out.file, errors.file, before)
        try:
            yield GatewayProcess(service, Path(out.name), Path(errors.name))
        finally:
            service.kill()
            service.wait()


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

    async with gateway_process(environment) as process:
        status, _, output = await process.ended()

    assert status == 1
    assert "`ringback topology apply`" in output
    assert len(output.strip().splitlines()) == 1


async def test_finishes_requests_in_flight_at_sigterm(
    ready_amqp_url: str, database_url: str
) -> None:
    """They get their responses, rows are written, and the exit status is 0."""
    port, health_port = free_ports(2)
    url = f"http://127.0.0.1:{port}{PATH}"
    headers = {"X-Vapi-Secret": SECRET, "Content-Type": "application/json", "Connection": "close"}
    body_begun, body_may_end = asyncio.Event(), asyncio.Event()

    async def slow_body() -> AsyncIterator[bytes]:
        yield HANG[:5]
        body_begun.set()
        await body_may_end.wait()
        yield HANG[5:]

    environment = gateway_environment(ready_amqp_url, database_url, port, health_port)
    environment["RINGBACK_GATEWAY_DRAIN_TIMEOUT_S"] = "60"
    async with gateway_process(environment) as process, aiohttp.ClientSession() as session:
        await eventually(lambda: _is_ready(session, health_port))
        slow = asyncio.create_task(session.post(url, data=slow_body(), headers=headers))
        await body_begun.wait()
        async with session.post(url, data=HANG, headers=headers) as quick:
            assert quick.status == 200

        process.service.terminate()
        await eventually(lambda: _is_closed(port))
        body_may_end.set()

        async with await slow as answer:
            assert answer.status == 200
        status, log, errors = await process.ended()
    assert (status, errors) == (0, "")
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events.count("webhook.accepted") == 2
    assert SECRET not in log
    database = await asyncpg.connect(database_url)
    try:
        assert await database.fetchval("SELECT count(*) FROM webhook_delivery_log") == 2
        assert await database.fetchval("SELECT max(accepted) FROM webhook_gateway_ledger") == 2
    finally:
        await database.close()


@pytest.mark.slow
async def test_more_connections_than_open_files(ready_amqp_url: str, database_url: str) -> None:
    """Idle connections leave files for the broker, the database, health and good senders."""
    port, health_port = free_ports(2)
    url = f"http://127.0.0.1:{port}{PATH}"
    headers = {"X-Vapi-Secret": SECRET, "Content-Type": "application/json", "Connection": "close"}
    few_files = ("prlimit", "--nofile=200:200")
    environment = gateway_environment(ready_amqp_url, database_url, port, health_port)
    async with gateway_process(environment, *few_files), aiohttp.ClientSession() as session:
        await eventually(lambda: _is_ready(session, health_port))
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        for _ in range(3):
            async with session.post(url, data=HANG, headers=headers) as answer:
                assert answer.status == 200
        await eventually(lambda: _is_ready(session, health_port))
        for _, writer in idle:
            writer.close()


async def _is_ready(session: aiohttp.ClientSession, health_port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{health_port}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


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


async def _send(session: aiohttp.ClientSession, port: int) -> JobId | None:
    try:
        async with session.post(
            f"http://127.0.0.1:{port}{PATH}",
            json={"type": "hang"},
            headers={"X-Vapi-Secret": SECRET},
        ) as answer:
            assert answer.status == 200
            return JobId(UUID((await answer.json())["jobId"]))
    except aiohttp.ClientConnectorError:
        return None


async def _offset(session: aiohttp.ClientSession, port: int) -> float:
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    [line] = [line for line in lines if line.startswith("webhook_clock_offset_seconds ")]
    return float(line.split()[1])


@pytest.mark.skipif(not is_available(), reason="sh ringback/local/install.sh faketime")
async def test_webhooks_of_a_wrong_clock_have_the_right_time(
    ready_amqp_url: str, database_url: str
) -> None:
    """Ids use the database's time once it is known, and a gauge shows the offset."""
    port, health_port = free_ports(2)
    environment = gateway_environment(ready_amqp_url, database_url, port, health_port)

    async with (
        gateway_process(environment | off_by("+9d")),
        aiohttp.ClientSession() as session,
    ):
        await eventually(lambda: _send(session, port))

        async def knows_its_offset() -> bool:
            return await _offset(session, health_port) == pytest.approx(9 * 86_400, abs=60)

        await eventually(knows_its_offset)
        job_id = await eventually(lambda: _send(session, port))
        database = await asyncpg.connect(database_url)
        try:
            row = await eventually(
                lambda: database.fetchrow(
                    "SELECT * FROM webhook_delivery_log WHERE id = $1", job_id
                )
            )
        finally:
            await database.close()

    assert abs(created_at(job_id) - datetime.now(UTC)) < timedelta(minutes=5)
    assert row["created_at"] == created_at(job_id)
