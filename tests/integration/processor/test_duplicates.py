"""The same event, more than once: its effect happens once."""

from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from ringback.contract.topology import WORK_QUEUE
from tests.integration.processor.stage import ORG, Stage, scripted
from tests.support.eventually import eventually


@pytest.mark.parametrize("kind", ["plain", "transaction", "data"])
async def test_a_second_copy_completes_as_a_duplicate(shared: Stage, kind: str) -> None:
    """Its row names the original, it runs nothing, and is no failure."""
    key = f"second-copy-{kind}"
    first = await shared.send(scripted(kind), dedup_key=key)
    await shared.until(first, "completed")

    second = await shared.send(scripted(kind), dedup_key=key)

    row = await shared.until(second, "duplicate")
    [attempt] = await shared.attempts(second)
    assert row["duplicate_of"] == first
    assert (row["completed_at"], row["error_class"]) == (None, None)
    assert attempt["outcome"] == "duplicate"
    assert not await shared.effects(second)
    if kind == "plain":
        assert not await shared.runs(second)


async def test_the_same_key_of_another_org_is_another_event(shared: Stage) -> None:
    """One tenant's events never hide those of another."""
    first = await shared.send(scripted("plain"), dedup_key="of-two-orgs")
    second = await shared.send(scripted("plain"), dedup_key="of-two-orgs", org_id=uuid4())

    await shared.until(first, "completed")
    await shared.until(second, "completed")


async def test_two_copies_at_one_moment_run_a_plain_handler_once(
    shared: Stage, tmp_path: Path
) -> None:
    """The claim is committed before the handler runs, so the other copy sees it."""
    gate = tmp_path / "gate"
    event = scripted("plain", gate=str(gate))
    jobs = [await shared.send(event, dedup_key="plain-at-once") for _ in range(4)]
    await shared.until_empty(WORK_QUEUE)

    gate.touch()

    rows = [await _ended(shared, job) for job in jobs]
    assert sorted(row["status"] for row in rows) == ["completed"] + ["duplicate"] * 3
    assert sum([len(await shared.runs(job)) for job in jobs]) == 1


async def test_two_copies_at_one_moment_commit_one_effect_of_a_transaction(
    shared: Stage, tmp_path: Path
) -> None:
    """The second copy waits for the first, and then writes nothing."""
    gate = tmp_path / "gate"
    event = scripted("transaction", gate=str(gate))
    jobs = [await shared.send(event, dedup_key="transaction-at-once") for _ in range(4)]
    await shared.until_empty(WORK_QUEUE)

    gate.touch()

    rows = [await _ended(shared, job) for job in jobs]
    assert sorted(row["status"] for row in rows) == ["completed"] + ["duplicate"] * 3
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

    rows = [await _ended(shared, job) for job in (failing, other)]
    assert sorted(row["status"] for row in rows) == ["completed", "duplicate"]
    assert await shared.effects(failing) + await shared.effects(other) == 1


async def test_many_copies_at_one_moment_count_once_in_the_call(shared: Stage) -> None:
    """The built-in handler's effect is data of the finishing transaction."""
    event = {"message": {"type": "hang", "call": {"id": "call-of-copies"}}}
    jobs = [await shared.send(event, dedup_key="data-at-once") for _ in range(10)]

    rows = [await _ended(shared, job) for job in jobs]

    counted = await shared.database.fetchval(
        "SELECT events FROM voice_calls WHERE org_id = $1 AND call_id = 'call-of-copies'", ORG
    )
    assert sorted(row["status"] for row in rows) == ["completed"] + ["duplicate"] * 9
    assert counted == 1


@pytest.mark.parametrize("kind", ["plain", "transaction", "data"])
async def test_the_same_message_twice_at_one_moment_runs_once(shared: Stage, kind: str) -> None:
    """A message that the broker has twice is one webhook, attempted once."""
    event = scripted(kind, sleep_s=0.1)
    event["message"]["call"] = {"id": f"message-twice-{kind}"}
    job_id = new_job_id()

    for _ in range(3):
        await shared.send(event, job_id=job_id)

    await shared.until(job_id, "completed")
    last = await shared.send(scripted("plain"))
    await shared.until(last, "completed")
    await shared.until_empty(WORK_QUEUE)
    events = await shared.database.fetchval(
        "SELECT events FROM voice_calls WHERE call_id = $1", f"message-twice-{kind}"
    )
    assert len(await shared.attempts(job_id)) == 1
    assert len(await shared.runs(job_id)) == (0 if kind == "data" else 1)
    assert events == 1


async def _ended(stage: Stage, job_id: UUID) -> asyncpg.Record:
    """Wait until a webhook is completed or a duplicate."""

    async def there() -> asyncpg.Record | None:
        row = await stage.row(job_id)
        return row if row and row["status"] in {"completed", "duplicate"} else None

    return await eventually(there)
