"""A handler that writes in the finishing transaction: its effect and the status commit together."""

from pathlib import Path

import pytest

from chaos.fault_proxy import FaultProxy
from ringback.local.database import PrivateDatabase
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, scripted
from tests.support.eventually import eventually


async def test_the_effect_commits_with_the_status(shared: Stage, tmp_path: Path) -> None:
    """PreviousAttempt the handler has returned, its effect is invisible; then both are visible."""
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
        ({"fail_times": 1}, "RuntimeError"),
        ({"swallow": True}, "InFailedSQLTransactionError"),
        ({"sql": "SELECT 1 / 0"}, "DivisionByZeroError"),
        ({"sql": "INSERT INTO deferred VALUES (1), (1)"}, "UniqueViolationError"),
    ],
)
async def test_a_failure_rolls_back_and_counts(
    shared: Stage, script: dict[str, object], error_class: str
) -> None:
    """This includes an error that the handler hid, and one that only the commit finds."""
    job_id = await shared.send(scripted("transaction", **script))

    end = "completed" if "fail_times" in script else "dead_letter"
    await shared.until(job_id, end)

    attempts = await shared.attempts(job_id)
    assert attempts[0]["error_class"] == error_class
    assert len(attempts) == (2 if end == "completed" else 3)
    assert await shared.effects(job_id) == (1 if end == "completed" else 0)


async def test_a_handler_that_is_cut_rolls_back_and_disturbs_nobody(
    stage: Stage, start: Starter
) -> None:
    """It may be anywhere when its time is over, and may keep using its connection."""
    process = start(stage.place, attempt_timeout_s="0.5")
    scripts: list[dict[str, object]] = [
        {"sql": "SELECT pg_sleep(30)"},
        {"sleep_s": 30},
        {"stubborn": True},
        {"hold_connection": True},
    ]

    cut = [await stage.send(scripted("transaction", **script)) for script in scripts]
    others = [await stage.send(scripted("transaction")) for _ in range(8)]

    for job_id in others:
        await stage.until(job_id, "completed")
        assert await stage.effects(job_id) == 1
    for job_id in cut:
        await stage.until_run(job_id, times=2)
        [attempt, *_] = await stage.attempts(job_id)
        assert (attempt["outcome"], attempt["error_class"]) == ("failed", "timeout")
        assert await stage.effects(job_id) == 0
    assert not process.lines("database.unavailable")


async def test_a_connection_that_is_killed_costs_no_attempt(stage: Stage, start: Starter) -> None:
    """The transaction was lost through no fault of the handler, so it runs again as before."""
    start(stage.place)
    job_id = await stage.send(scripted("transaction", sleep_s=1))
    [run] = await stage.until_run(job_id)

    await stage.database.execute("SELECT pg_terminate_backend($1)", run["backend"])

    row = await stage.until(job_id, "completed")
    assert row["attempts"] == 1
    assert [a["outcome"] for a in await stage.attempts(job_id)] == ["completed"]
    assert await stage.effects(job_id) == 1
    assert len(await stage.runs(job_id)) == 2


async def test_a_connection_that_goes_mute_costs_no_attempt(
    stage: Stage, start: Starter, database: PrivateDatabase
) -> None:
    """The handler waits for the server until it is cut, which is not the handler's fault."""
    async with FaultProxy(database.port) as way:
        place = Place(stage.place.amqp_url, way.through(stage.place.database_url))
        process = start(place, attempt_timeout_s="2")
        sql = "SELECT pg_sleep(0.5)"
        job_id = await stage.send(scripted("transaction", sql=sql))
        [run, *_] = await stage.until_run(job_id)
        way.strand()
        await eventually(lambda: bool(process.lines("message.requeued")), deadline_s=30)
        # The server would notice without help, but later.
        await stage.database.execute("SELECT pg_terminate_backend($1)", run["backend"])

        row = await stage.until(job_id, "completed", deadline_s=30)

    assert row["attempts"] == await stage.effects(job_id) == 1
    assert [a["outcome"] for a in await stage.attempts(job_id)] == ["completed"]


async def test_what_a_handler_leaves_in_its_session_reaches_nobody(
    stage: Stage, start: Starter
) -> None:
    """Settings and locks of a handler end with its transaction's connection."""
    start(stage.place, database_pool_max="1", database_pool_min="1")
    leaves = await stage.send(
        scripted("transaction", sql="SET statement_timeout = 1; SELECT pg_advisory_lock(7)")
    )

    await stage.until(leaves, "completed")

    after = await stage.send(scripted("transaction", sql="SELECT pg_sleep(0.05)"))
    await stage.until(after, "completed")
    assert await stage.database.fetchval("SELECT pg_try_advisory_lock(7)")
