"""A handler that writes in the finishing transaction: its effect and the status commit together."""

from pathlib import Path

import asyncpg
import pytest

from chaos.fault_proxy import FaultProxy
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, opened, scripted
from tests.support.eventually import eventually


async def test_the_effect_commits_with_the_status(shared: Stage, tmp_path: Path) -> None:
    """Before the handler has returned, its effect is invisible; then both are visible."""
    gate = tmp_path / "gate"
    job_id = await shared.send(scripted("transaction", gate=str(gate)))
    await shared.until_run(job_id)
    early = await shared.effects(job_id)

    gate.touch()

    row = await shared.until(job_id, "completed")
    [attempt] = await shared.attempts(job_id)
    assert early == 0
    assert await shared.effects(job_id) == 1
    assert row["completed_at"] == attempt["ended_at"] > attempt["started_at"]


@pytest.mark.parametrize(
    ("script", "error_class"),
    [
        ({"swallow": True}, "InFailedSQLTransactionError"),
        ({"sql": "SELECT 1 / 0"}, "DivisionByZeroError"),
        ({"sql": "INSERT INTO deferred VALUES (1), (1)"}, "UniqueViolationError"),
    ],
)
async def test_a_failure_rolls_back_and_counts(
    shared: Stage, script: dict[str, object], error_class: str
) -> None:
    """Also an error that the handler hid, and one that only the commit finds."""
    job_id = await shared.send(scripted("transaction", **script))

    await shared.until(job_id, "dead_letter")

    attempts = await shared.attempts(job_id)
    assert [attempt["error_class"] for attempt in attempts] == [error_class] * 3
    assert await shared.effects(job_id) == 0


async def test_a_handler_that_is_cut_rolls_back_and_disturbs_no_other(
    amqp_url: str, database_url: str, start: Starter
) -> None:
    """It may be anywhere when its time is over, and may keep using its connection."""
    # A busy machine cuts the others, too, but not in every one of these attempts.
    place = Place(amqp_url, database_url, "200ms,400ms,800ms,2s,4s,8s,8s,8s")
    await place.prepare()
    process = start(place, attempt_timeout_s="1")
    scripts: list[dict[str, object]] = [
        {"sql": "SELECT pg_sleep(30)"},
        {"sleep_s": 30},
        {"stubborn": True},
        {"hold_connection": True},
    ]

    async with opened(place) as stage:
        cut = [await stage.send(scripted("transaction", **script)) for script in scripts]
        others = [await stage.send(scripted("transaction")) for _ in range(8)]

        for job_id in others:
            await stage.until(job_id, "completed", deadline_s=300)
            assert await stage.effects(job_id) == 1
            errors = [attempt["error_class"] for attempt in await stage.attempts(job_id)]
            assert set(errors[:-1]) <= {"timeout"}
        for job_id in cut:
            await stage.until_run(job_id, times=2)
            [attempt, *_] = await stage.attempts(job_id)
            assert (attempt["outcome"], attempt["error_class"]) == ("failed", "timeout")
            assert await stage.effects(job_id) == 0
    assert not process.outages()


@pytest.mark.parametrize("is_mute", [pytest.param(True, marks=pytest.mark.slow), False])
async def test_a_lost_connection_costs_no_attempt(
    stage: Stage, start: Starter, way: FaultProxy, tmp_path: Path, *, is_mute: bool
) -> None:
    """The server ends the session, or does not answer: the handler runs again as before."""
    place = Place(stage.place.amqp_url, way.through(stage.place.database_url))
    process, gate = start(place, attempt_timeout_s="15" if is_mute else "60"), tmp_path / "gate"
    job_id = await stage.send(scripted("transaction", gate=str(gate)))
    [run, *_] = await stage.until_run(job_id)
    if is_mute:
        way.strand()
        gate.touch()
        await eventually(lambda: bool(process.lines("message.requeued")))

    # A mute session would be noticed without help, but later.
    await stage.database.execute("SELECT pg_terminate_backend($1)", run["backend"])
    gate.touch()

    row = await stage.until(job_id, "completed")
    assert row["attempts"] == await stage.effects(job_id) == 1
    assert [a["outcome"] for a in await stage.attempts(job_id)] == ["completed"]


async def test_a_deadlock_of_the_finishing_statement_costs_no_attempt(
    stage: Stage, start: Starter, tmp_path: Path
) -> None:
    """The server ends the handler's transaction of the two: the handler runs again as before."""
    start(stage.place)
    gate = tmp_path / "gate"
    job_id = await stage.send(
        scripted("transaction", gate=str(gate), first_steps=["SELECT pg_advisory_xact_lock(7)"])
    )
    await stage.until_run(job_id)
    await eventually(lambda: bool(list(tmp_path.glob("gate.*"))))
    other = await asyncpg.connect(stage.place.database_url)
    try:
        async with other.transaction():
            await other.execute("SET LOCAL deadlock_timeout = '10min'")
            await other.execute("LOCK TABLE webhook_delivery_attempts IN SHARE MODE")
            gate.touch()
            await other.execute("SELECT pg_advisory_xact_lock(7)")
    finally:
        await other.close()

    row = await stage.until(job_id, "completed", deadline_s=60)
    assert row["attempts"] == await stage.effects(job_id) == 1
    assert [a["outcome"] for a in await stage.attempts(job_id)] == ["completed"]
    assert len(await stage.runs(job_id)) == 2
