"""The days for which the log has partitions: made ahead, dropped when expired, with gaps."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from ringback.contract.identity import JobId, created_at, new_job_id
from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import ORG, Stage, id_on, scripted
from tests.support.eventually import eventually

TODAY = datetime.now(UTC).date()
BEYOND_THE_CALENDAR = JobId(UUID("ffffffff-ffff-7fff-bfff-ffffffffffff"))
ANY_DAYS = {
    "years ahead": id_on(TODAY + timedelta(days=400)),
    "nine days ahead": id_on(TODAY + timedelta(days=9)),
    "three days behind": id_on(TODAY - timedelta(days=3)),
    "dropped long ago": id_on(TODAY - timedelta(days=90)),
    "1970": id_on(date(1970, 1, 1)),
    "9999": id_on(date(9999, 12, 31)),
    "10889": BEYOND_THE_CALENDAR,
}


async def days_of(database: asyncpg.Connection) -> set[date]:
    return {row["day"] for row in await database.fetch("SELECT * FROM webhook_partition_days()")}


@pytest.mark.parametrize("day", ANY_DAYS)
async def test_a_webhook_of_any_day_is_completed_under_its_id(shared: Stage, day: str) -> None:
    """A gateway's wrong clock, an old spool, an old backup: the missing day is made."""
    job_id = await shared.send(scripted("plain"), job_id=ANY_DAYS[day])

    row = await shared.until(job_id, "completed")

    assert (row["org_id"], row["endpoint_id"], row["attempts"]) == (ORG, "default", 1)
    assert row["created_at"] == created_at(job_id)
    assert len(await shared.runs(job_id)) == 1


async def test_a_dead_letter_of_any_day_keeps_its_id_and_can_be_retried(
    stage: Stage, start: Starter
) -> None:
    """Its tenant sees it under the id that the sender got, and may retry it."""
    await start(stage.place).ready()
    for job_id in ANY_DAYS.values():
        await stage.send(scripted("plain", permanent=True), job_id=job_id)

    for job_id in ANY_DAYS.values():
        row = await stage.until(job_id, "dead_letter")
        assert (row["org_id"], row["endpoint_id"]) == (ORG, "default")
        verdict = await stage.database.fetchval(
            "SELECT verdict FROM retry_webhook($1, $2, 4, 'a', 'operator', 'r', NULL, '{}')",
            job_id,
            new_job_id(),
        )
        assert verdict == "retried"
    assert not await stage.database.fetch(
        "SELECT FROM webhook_delivery_log WHERE org_id = $1", UUID(int=0)
    )


async def test_housekeeping_creates_days_ahead_and_drops_finished_ones(
    stage: Stage, start: Starter
) -> None:
    """Tomorrow is made ahead; an old finished day is dropped, one with open work stays."""
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
