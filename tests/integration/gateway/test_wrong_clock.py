"""A gateway whose machine has the wrong time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import aiohttp
import asyncpg
import pytest

from chaos.wrong_clock import is_available, off_by
from ringback.contract.identity import JobId, created_at
from ringback.local.ports import free_ports
from tests.integration.gateway.test_process import gateway_environment, gateway_process
from tests.support.eventually import eventually
from tests.support.gateway_client import NOBODY, PATH, SECRET

pytestmark = pytest.mark.skipif(not is_available(), reason="sh ringback/local/install.sh faketime")


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


@pytest.mark.parametrize(("offset", "days"), [("-3d", -3), ("+9d", 9)])
async def test_its_webhooks_have_the_right_time(
    ready_amqp_url: str, database_url: str, offset: str, days: int
) -> None:
    """From the first one on: ids use the database's time, and a gauge shows the offset."""
    port, health_port = free_ports(2)
    environment = gateway_environment(ready_amqp_url, database_url, port, health_port)

    async with (
        gateway_process(environment | off_by(offset)),
        aiohttp.ClientSession() as session,
    ):
        job_id = await eventually(lambda: _send(session, port), deadline_s=30)
        assert await _offset(session, health_port) == pytest.approx(days * 86_400, abs=60)
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


async def test_without_the_database_it_uses_its_own_clock(ready_amqp_url: str) -> None:
    """Webhooks are accepted; processors create the missing partition."""
    port, health_port = free_ports(2)
    away = f"postgresql://{NOBODY}/ringback"
    environment = gateway_environment(ready_amqp_url, away, port, health_port)

    async with (
        gateway_process(environment | off_by("+9d")),
        aiohttp.ClientSession() as session,
    ):
        job_id = await eventually(lambda: _send(session, port), deadline_s=30)

    assert created_at(job_id) - datetime.now(UTC) > timedelta(days=8)
