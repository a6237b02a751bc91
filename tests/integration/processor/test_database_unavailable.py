"""The database stops answering, or is read-only, and returns: this costs no webhook an attempt."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import QUARANTINE_QUEUE, WORK_QUEUE
from ringback.local.database import PrivateDatabase
from ringback.local.ports import free_ports
from ringback.runtime.postgres.migrate import migrate
from tests.integration.processor.conftest import Starter
from tests.integration.processor.exposed import exposed
from tests.integration.processor.place import Place
from tests.integration.processor.stage import HANG, ORG, Stage, opened, scripted
from tests.support.eventually import eventually


async def test_a_restart_of_the_database_is_waited_for(
    amqp_url: str, own_database: PrivateDatabase, start: Starter, tmp_path: Path
) -> None:
    """Webhooks in flight wait meanwhile: each runs once and completes at its first attempt."""
    await migrate(own_database.url())
    place = Place(amqp_url, own_database.url())
    await place.prepare()
    start(place, database_wait_s="600")
    gate = tmp_path / "gate"
    async with opened(place) as stage:
        jobs = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(5)]
        # Before that the handlers themselves use the database, and fail without it.
        await eventually(lambda: len(list(tmp_path.glob("gate.*"))) == len(jobs))
        waiting = [await stage.send(HANG) for _ in range(10)]

    await own_database.stop()
    gate.touch()
    await own_database.start()

    async with opened(place) as stage:
        for job_id in jobs + waiting:
            row = await stage.until(job_id, "completed")
            assert row["attempts"] == 1
            assert len(await stage.runs(job_id)) == (job_id in jobs)


@pytest.mark.parametrize("wait_s", ["0.3", "60"], ids=["requeued", "held"])
async def test_a_stop_while_the_database_is_unavailable_loses_nothing(
    stage: Stage, start: Starter, way: FaultProxy, tmp_path: Path, wait_s: str
) -> None:
    """The next process finds all webhooks, also those begun, and waits for the database."""
    place = Place(stage.place.amqp_url, way.through(stage.place.database_url))
    process = start(place, database_wait_s=wait_s, drain_timeout_s="1")
    await stage.until(await stage.send(scripted("plain")), "completed")
    gate = tmp_path / "gate"
    begun = await stage.send(scripted("plain", gate=str(gate)))
    await stage.until_run(begun)
    way.refuse()
    kinds = ["plain", "transaction", "data"] * 3
    jobs = [begun, *[await stage.send(scripted(kind)) for kind in kinds]]
    dead = await stage.send(HANG, key="elsewhere")
    await eventually(lambda: bool(process.lines("database.unavailable")))
    gate.touch()

    process.terminate()
    assert await process.ended() == 0
    await stage.until_waiting(WORK_QUEUE, len(jobs))
    following = start(place)
    await following.ready()
    await eventually(lambda: bool(following.lines("database.unavailable")))
    assert await stage.depth(WORK_QUEUE) == len(jobs)
    way.accept()

    for job_id in jobs:
        row = await stage.until(job_id, "completed")
        assert row["attempts"] == len(await stage.attempts(job_id)) == 1
    await stage.until(dead, "dead_letter")


async def test_many_outages_quarantine_nothing(
    stage: Stage, start: Starter, way: FaultProxy
) -> None:
    """Webhooks are requeued after the wait, and consumed again when the database answers."""
    process = start(
        Place(stage.place.amqp_url, way.through(stage.place.database_url)), database_wait_s="0.5"
    )
    await stage.until(await stage.send(scripted("plain")), "completed")
    # The row is committed before the processor knows it.
    await eventually(lambda: bool(process.lines("attempt.finished")))
    way.refuse()
    jobs = [await stage.send(HANG) for _ in range(5)]

    # While another session writes these attempts, the database answers but records none.
    holder = await asyncpg.connect(stage.place.database_url)
    writing = holder.transaction()
    await writing.start()
    await holder.execute(
        "INSERT INTO webhook_delivery_attempts "
        "(delivery_id, attempt, org_id, outcome, started_at, ended_at) "
        "SELECT unnest($1::uuid[]), 1, $2, 'failed', now(), now()",
        jobs,
        ORG,
    )
    for outages in range(1, 6):
        await stage.until_waiting(WORK_QUEUE, 5)
        way.accept()
        await eventually(
            lambda n=outages: len(process.lines("database.recovered")) >= n  # type: ignore[misc]
        )
        # If cut before they are consumed, the connection would be back before anything noticed.
        await stage.until_waiting(WORK_QUEUE, 0)
        way.refuse()
    await writing.rollback()
    await holder.close()
    way.accept()

    for job_id in jobs:
        assert (await stage.until(job_id, "completed"))["attempts"] == 1
    assert not process.lines("message.quarantined")
    assert await stage.depth(QUARANTINE_QUEUE) == 0


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


def _all_wait_at(gate: Path) -> bool:
    return len(list(gate.parent.glob(f"{gate.name}.*"))) == 5


async def test_nothing_is_consumed_and_no_attempt_is_used(
    amqp_url: str,
    own_database: PrivateDatabase,
    admin: asyncpg.Connection,
    start: Starter,
    tmp_path: Path,
) -> None:
    """Webhooks whose handlers run when it begins also complete at their first attempt."""
    await migrate(own_database.url())
    place = Place(amqp_url, own_database.url())
    await place.prepare()
    [port] = free_ports(1)
    process = start(place, database_wait_s="0.5", processor_observability_port=str(port))
    async with exposed(port) as probe:
        for switch in (_all_sessions, _new_sessions):
            gate = tmp_path / switch.__name__
            async with opened(place) as stage:
                jobs = [await stage.send(scripted("plain", gate=str(gate))) for _ in range(5)]
                await eventually(partial(_all_wait_at, gate), deadline_s=60)
            await switch(admin, read_only=True)
            gate.touch()
            async with opened(place) as stage:
                kinds = ("plain", "transaction", "data") * 3
                jobs += [await stage.send(scripted(kind)) for kind in kinds]
                await eventually(lambda: probe.is_unready_for("database_writable"), deadline_s=60)
                await stage.until_waiting(WORK_QUEUE, len(jobs))

            await switch(admin, read_only=False)

            async with opened(place) as stage:
                for job_id in jobs:
                    row = await stage.until(job_id, "completed", deadline_s=60)
                    assert row["attempts"] == len(await stage.attempts(job_id)) == 1
                await eventually(probe.is_ready, deadline_s=60)
    assert process.exit_code is None
