"""The database is read-only for a while: no webhook loses an attempt, and /readyz reports it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from ringback.contract.topology import WORK_QUEUE
from ringback.local.database import PrivateDatabase
from ringback.local.ports import free_ports
from ringback.runtime.postgres.migrate import migrate
from tests.integration.processor.conftest import Starter
from tests.integration.processor.exposed import exposed
from tests.integration.processor.place import Place
from tests.integration.processor.stage import opened, scripted
from tests.support.eventually import eventually


async def _all_sessions(admin: asyncpg.Connection, *, read_only: bool) -> None:
    """As an administrator or a disk watchdog does it: open sessions follow at once."""
    value = "on" if read_only else "off"
    await admin.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
    await admin.execute("SELECT pg_reload_conf()")


async def _new_sessions(admin: asyncpg.Connection, *, read_only: bool) -> None:
    """As after a failover: open sessions end, and those opened meanwhile stay read-only."""
    value = "on" if read_only else "off"
    await admin.execute(f"ALTER DATABASE ringback SET default_transaction_read_only = {value}")
    if read_only:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = 'ringback' AND pid <> pg_backend_pid()"
        )


@pytest.fixture
async def admin(own_database: PrivateDatabase) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        own_database.url("postgres"), server_settings={"default_transaction_read_only": "off"}
    )
    yield connection
    await connection.close()


@pytest.mark.parametrize("switch", [_all_sessions, _new_sessions])
async def test_nothing_is_consumed_and_no_attempt_is_used(
    amqp_url: str,
    own_database: PrivateDatabase,
    admin: asyncpg.Connection,
    start: Starter,
    switch: Callable[..., Awaitable[None]],
    tmp_path: Path,
) -> None:
    """Webhooks whose handlers run when it begins also complete at their first attempt."""
    await migrate(own_database.url())
    place = Place(amqp_url, own_database.url())
    await place.prepare()
    [port] = free_ports(1)
    process = start(place, database_wait_s="0.5", processor_observability_port=str(port))
    gate = tmp_path / "gate"
    async with opened(place) as stage:
        jobs = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(5)]
        await eventually(lambda: len(list(tmp_path.glob("gate.*"))) == len(jobs), deadline_s=60)
    await switch(admin, read_only=True)
    gate.touch()
    async with opened(place) as stage, exposed(port) as probe:
        jobs += [await stage.send(scripted(kind)) for kind in ("plain", "transaction", "data") * 3]
        await eventually(lambda: probe.is_unready_for("database_writable"), deadline_s=60)
        await stage.until_waiting(WORK_QUEUE, len(jobs))

    await switch(admin, read_only=False)

    async with opened(place) as stage, exposed(port) as probe:
        for job_id in jobs:
            row = await stage.until(job_id, "completed", deadline_s=60)
            assert row["attempts"] == len(await stage.attempts(job_id)) == 1
        await eventually(probe.is_ready, deadline_s=60)
    assert process.exit_code is None
