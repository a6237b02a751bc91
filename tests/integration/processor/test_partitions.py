"""The days for which the log has partitions: made ahead, dropped behind, with gaps."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg

from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import Stage, id_on, scripted
from tests.support.eventually import eventually

NOBODY = UUID(int=0)


async def days_of(database: asyncpg.Connection) -> set[date]:
    return {row["day"] for row in await database.fetch("SELECT * FROM webhook_partition_days()")}


async def test_a_missing_day_between_others_stops_nobody(stage: Stage, start: Starter) -> None:
    """A webhook of a dropped day is a dead letter, though an older day is still there."""
    today = datetime.now(UTC).date()
    older, dropped = today - timedelta(days=50), today - timedelta(days=40)
    await stage.database.execute("SELECT ensure_webhook_partitions($1, $1)", older)
    process = start(stage.place, database_hold_s="60")
    await process.ready()

    await stage.send(scripted("plain"), job_id=id_on(dropped))
    of_older_day = await stage.send(scripted("plain"), job_id=id_on(older))
    after = await stage.send(scripted("plain"))

    await stage.until(after, "completed")
    await stage.until(of_older_day, "completed")
    stranger = await eventually(
        lambda: stage.database.fetchrow(
            "SELECT * FROM webhook_delivery_log WHERE org_id = $1", NOBODY
        )
    )
    assert (stranger["status"], stranger["error_class"]) == ("dead_letter", "undeliverable")
    assert not process.lines("database.away")


async def test_housekeeping_makes_days_ahead_and_drops_finished_ones(
    stage: Stage, start: Starter
) -> None:
    """Tomorrow is there before it comes; a finished day of long ago goes, one with work stays."""
    today = datetime.now(UTC).date()
    finished, unfinished = today - timedelta(days=60), today - timedelta(days=50)
    tomorrow = today + timedelta(days=1)
    for day in (finished, unfinished):
        await stage.database.execute("SELECT ensure_webhook_partitions($1, $1)", day)
        await _insert(stage, id_on(day), "completed" if day == finished else "dead_letter")
    await stage.database.execute(
        f"DROP TABLE webhook_delivery_log_{tomorrow:%Y%m%d}, "
        f"webhook_delivery_attempts_{tomorrow:%Y%m%d}"
    )

    start(stage.place, housekeeping="true", retention_days="30")

    async def kept() -> bool:
        days = await days_of(stage.database)
        return tomorrow in days and finished not in days

    await eventually(kept, deadline_s=15)
    assert unfinished in await days_of(stage.database)
    of_tomorrow = await stage.send(scripted("plain"), job_id=id_on(tomorrow))
    await stage.until(of_tomorrow, "completed")


async def _insert(stage: Stage, job_id: UUID, status: str) -> None:
    await stage.database.execute(
        "INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data, "
        "status, max_attempts, created_at) VALUES ($1, $2, 'default', 'hang', '{}', $3, 4, now())",
        job_id,
        uuid4(),
        status,
    )
