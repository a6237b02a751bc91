"""The same event, more than once: its effect happens once."""

from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from ringback.contract.topology import WORK_QUEUE
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
