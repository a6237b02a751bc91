"""The same event, more than once: its effect happens once, and what only a copy has is kept."""

from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from ringback.contract.topology import WORK_QUEUE
from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import ORG, Stage, scripted
from tests.support.eventually import eventually


async def statuses(stage: Stage, jobs: list[UUID]) -> list[str]:
    """Wait until all are completed or duplicates, and return what they are."""

    async def ended() -> list[str] | None:
        rows: list[asyncpg.Record | None] = [await stage.row(job) for job in jobs]
        found = [row["status"] for row in rows if row]
        is_over = len(found) == len(jobs) and set(found) <= {"completed", "duplicate"}
        return sorted(found) if is_over else None

    return await eventually(ended)


@pytest.mark.parametrize("kind", ["plain", "transaction"])
async def test_copies_at_one_moment_have_one_effect(
    shared: Stage, tmp_path: Path, kind: str
) -> None:
    """A plain handler runs once, because its claim is committed before; the others wait for it."""
    gate = tmp_path / "gate"
    event = scripted(kind, gate=str(gate))
    jobs: list[UUID] = [await shared.send(event, dedup_key=f"{kind}-at-once") for _ in range(4)]
    await shared.until_empty(WORK_QUEUE)

    gate.touch()

    assert await statuses(shared, jobs) == ["completed"] + ["duplicate"] * 3
    if kind == "plain":
        assert sum([len(await shared.runs(job)) for job in jobs]) == 1
    else:
        assert sum([await shared.effects(job) for job in jobs]) == 1


async def test_a_copy_takes_over_when_the_first_transaction_fails(
    shared: Stage, tmp_path: Path
) -> None:
    """A rolled-back claim has no owner; exactly one of the copies has the effect."""
    gate = tmp_path / "gate"
    key = "transaction-fails-beside"
    failing = await shared.send(
        scripted("transaction", gate=str(gate), fail_times=1), dedup_key=key
    )
    await shared.until_run(failing)
    other = await shared.send(scripted("transaction"), dedup_key=key)
    await shared.until_empty(WORK_QUEUE)

    gate.touch()

    assert await statuses(shared, [failing, other]) == ["completed", "duplicate"]
    assert await shared.effects(failing) + await shared.effects(other) == 1


@pytest.mark.parametrize("kind", ["plain", "transaction", "data"])
async def test_copies_and_repeated_messages_count_once_in_the_call(
    shared: Stage, kind: str
) -> None:
    """A message that the broker has twice is one webhook, attempted once."""
    event = scripted(kind, sleep_s=0.1)
    event["message"]["call"] = {"id": f"call-of-{kind}"}
    job_id = new_job_id()

    for _ in range(3):
        await shared.send(event, job_id=job_id, dedup_key=f"count-{kind}")
    copies: list[UUID] = [await shared.send(event, dedup_key=f"count-{kind}") for _ in range(5)]

    assert await statuses(shared, [job_id, *copies]) == ["completed"] + ["duplicate"] * 5
    last = await shared.send(scripted("plain"))
    await shared.until(last, "completed")
    await shared.until_empty(WORK_QUEUE)
    events = await shared.database.fetchval(
        "SELECT events FROM voice_calls WHERE org_id = $1 AND call_id = $2",
        ORG,
        f"call-of-{kind}",
    )
    assert len(await shared.attempts(job_id)) == 1
    assert events == 1


FIRST_LINK, SECOND_LINK = "https://example.com/a?sig=1", "https://example.com/a?sig=2"


def report(call_id: str, **more: Any) -> dict[str, Any]:
    artifact = {"transcript": "AI: Hello.\n", "presignedMonoUrl": FIRST_LINK}
    message = {
        "type": "end-of-call-report",
        "timestamp": 1_767_225_600_000,
        "endedReason": "customer-ended-call",
        "artifact": artifact,
        "call": {"id": call_id},
    }
    return {"message": message | more}


async def call_of(stage: Stage, call_id: str) -> asyncpg.Record:
    [row] = await stage.database.fetch(
        "SELECT * FROM voice_calls WHERE org_id = $1 AND call_id = $2", ORG, call_id
    )
    return row


async def sent_twice(
    stage: Stage, first: dict[str, Any], second: dict[str, Any]
) -> tuple[asyncpg.Record, asyncpg.Record, asyncpg.Record]:
    """The call after the first, the log's row of the second, and the call after it."""
    call_id = first["message"]["call"]["id"]
    key = f"{first['message']['type']}|{call_id}"
    await stage.until(await stage.send(first, dedup_key=key), "completed")
    before = await call_of(stage, call_id)
    copy = await stage.until(await stage.send(second, dedup_key=key), "duplicate")
    return before, copy, await call_of(stage, call_id)


async def test_a_fuller_report_is_merged_once(shared: Stage) -> None:
    """It stays a duplicate, runs no handler, counts as no event; its additions are in the call."""
    more = {"analysis": {"summary": "Booked."}, "cost": 0.25, "timestamp": 1_767_225_660_000}

    before, copy, after = await sent_twice(
        shared, report("call-fuller"), report("call-fuller", **more)
    )

    assert (before["summary"], before["cost"]) == (None, None)
    assert (after["summary"], after["cost"], after["events"]) == ("Booked.", 0.25, 1)
    assert after["transcript"] == "AI: Hello.\n"
    assert after["last_event_at"] > before["last_event_at"]
    assert (copy["duplicate_differs"], copy["completed_at"]) == (True, None)
    [attempt] = await shared.attempts(copy["id"])
    assert attempt["outcome"] == "duplicate"


@pytest.mark.parametrize("timestamp", [1_767_225_600_000, None])
async def test_an_equal_copy_changes_nothing(shared: Stage, timestamp: int | None) -> None:
    """Links that the platform makes for each delivery are no difference."""
    call_id = f"call-equal-{timestamp}"
    first = report(call_id, timestamp=timestamp)
    links = {"presignedMonoUrl": SECOND_LINK, "presignedUrlsExpiresAt": "2026-01-01T00:30:00Z"}
    second = report(call_id, timestamp=timestamp, artifact={"transcript": "AI: Hello.\n"} | links)

    before, copy, after = await sent_twice(shared, first, second)

    assert copy["duplicate_differs"] is False
    assert after == before


async def test_other_duplicates_are_not_compared(shared: Stage) -> None:
    """Only the end of a call is sent again with more in it."""
    hang = {"message": {"type": "hang", "timestamp": 1, "call": {"id": "call-hang"}}}
    other = {"message": hang["message"] | {"cost": 1}}

    before, copy, after = await sent_twice(shared, hang, other)

    assert copy["duplicate_differs"] is None
    assert after == before


@pytest.mark.slow
async def test_two_reports_at_one_moment_are_both_in_the_call(shared: Stage) -> None:
    """Either may be the first, and both may be delivered once more."""
    bodies = [
        report("call-at-once", cost=0.5),
        report("call-at-once", analysis={"summary": "Booked."}),
    ]
    jobs: list[UUID] = [
        await shared.send(body, dedup_key="report|call-at-once") for body in bodies for _ in (1, 2)
    ]

    async def ended() -> bool:
        found = [row["status"] for job in jobs if (row := await shared.row(job))]
        assert sorted(found) == ["completed", *["duplicate"] * 3]
        return True

    await eventually(ended, deadline_s=30)
    row = await call_of(shared, "call-at-once")
    assert (row["summary"], row["cost"], row["events"]) == ("Booked.", 0.5, 1)


async def test_a_fuller_copy_is_marked_without_the_built_in_handler(
    stage: Stage, start: Starter
) -> None:
    """The log marks it also if no calls are kept."""
    start(stage.place, voice_calls="false")
    key = "report|call-1"
    await stage.until(await stage.send(report("call-1"), dedup_key=key), "completed")

    copy = await stage.until(await stage.send(report("call-1", cost=1), dedup_key=key), "duplicate")

    assert copy["duplicate_differs"] is True
    assert await stage.database.fetchval("SELECT count(*) FROM voice_calls") == 0
