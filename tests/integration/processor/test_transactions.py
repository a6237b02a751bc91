"""A handler that writes in the finishing transaction: its effect and the status commit together."""

from pathlib import Path

import pytest

from chaos.fault_proxy import FaultProxy
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, scripted
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


async def test_a_handler_that_is_cut_rolls_back_and_disturbs_no_other(
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


@pytest.mark.parametrize("is_mute", [True, False])
async def test_a_lost_connection_costs_no_attempt(
    stage: Stage, start: Starter, way: FaultProxy, *, is_mute: bool
) -> None:
    """The server ends the session, or does not answer: the handler runs again as before."""
    place = Place(stage.place.amqp_url, way.through(stage.place.database_url))
    process = start(place, attempt_timeout_s="2")
    job_id = await stage.send(scripted("transaction", sql="SELECT pg_sleep(0.5)", sleep_s=0.5))
    [run, *_] = await stage.until_run(job_id)
    if is_mute:
        way.strand()
        await eventually(lambda: bool(process.lines("message.requeued")))

    # A mute session would be noticed without help, but later.
    await stage.database.execute("SELECT pg_terminate_backend($1)", run["backend"])

    row = await stage.until(job_id, "completed")
    assert row["attempts"] == await stage.effects(job_id) == 1
    assert [a["outcome"] for a in await stage.attempts(job_id)] == ["completed"]
