"""Random handler steps: each webhook ends once, with the effects that its outcome promises."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ringback.contract.topology import (
    DEAD_LETTER_QUEUE,
    QUARANTINE_QUEUE,
    REQUEUED_QUEUE,
    WORK_QUEUE,
)
from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import Stage, scripted
from tests.integration.processor.test_misuse import KEPT

pytestmark = pytest.mark.slow

STATEMENTS = ("effect", "effect", "SELECT 1", "SELECT 1 / 0", "?SELECT 1 / 0", "LISTEN shop")
COMMANDS = (
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "?COMMIT AND CHAIN",
    "SAVEPOINT a",
    "?ROLLBACK TO a",
    "?RELEASE a",
    "reset",
)
SESSION = (
    "?SET search_path = pg_catalog",
    "?SET ROLE pg_monitor",
    "?SET LOCAL statement_timeout = '1min'",
    "?DISCARD ALL",
    "DEALLOCATE ALL",
    "SET synchronous_commit = off",
    "?SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "?CREATE TEMP TABLE webhook_inbox (id int)",
    "?PREPARE a AS SELECT 1",
    "SELECT pg_advisory_lock_shared(9)",
)
ENDS = (
    "raise RuntimeError",
    "raise PermanentFailure",
    "raise exit",
    "raise CancelledError",
    "cancel itself",
    "?close",
    "leave a task",
    "leave a late task",
)
STEPS = st.lists(st.sampled_from(STATEMENTS + COMMANDS + SESSION + ENDS), max_size=7)


def sequences() -> list[list[str]]:
    """Sequences of steps, as many as the profile has examples."""
    found: list[list[str]] = []

    @settings(
        database=None,
        deadline=None,
        phases=[Phase.generate],
        max_examples=min(1_000, 2 * settings().max_examples),
        suppress_health_check=list(HealthCheck),
    )
    @given(STEPS)
    def collect(steps: list[str]) -> None:
        found.append(steps)

    collect()
    return found


def effects_of(steps: list[str]) -> int:
    """The remaining effects, the first and those of the steps, if the handler succeeded."""
    count, is_aborted, saved = 1, False, list[int]()
    for step in steps:
        if step == "effect":
            count += 1
        elif step == "?SELECT 1 / 0" or (step == "?RELEASE a" and not saved and not is_aborted):
            is_aborted = True
        elif step == "SAVEPOINT a":
            saved.append(count)
        elif step == "?ROLLBACK TO a":
            is_aborted = not saved
            count = saved[-1] if saved else count
        elif step == "?RELEASE a" and not is_aborted:
            saved.pop()
    return count


async def test_each_webhook_ends_once_and_its_effects_match(stage: Stage, start: Starter) -> None:
    """Completed with all effects, or dead without any, unless the error reports kept ones."""
    process = start(stage.place, attempt_timeout_s="20")
    asked = sequences()
    sent = [(steps, await stage.send(scripted("transaction", steps=steps))) for steps in asked]
    others = [await stage.send(scripted("transaction")) for _ in range(10)]

    await stage.until_finished(len(sent) + len(others))

    for steps, job_id in sent:
        row = await stage.row(job_id)
        assert row is not None
        attempts = await stage.attempts(job_id)
        outcomes = [attempt["outcome"] for attempt in attempts]
        effects = await stage.effects(job_id)
        # A task that a handler left may disturb one attempt and not the next.
        message = " ".join(attempt["error_message"] or "" for attempt in attempts)
        assert [attempt["attempt"] for attempt in attempts] == list(range(1, len(attempts) + 1))
        if row["status"] == "completed":
            assert not {"COMMIT", "ROLLBACK", "reset", "?close"} & set(steps), steps
            # It depends on the connection whether our next statement was among those deallocated,
            # and on the moment whether the task still uses the connection.
            may_fail = bool({"DEALLOCATE ALL", "leave a task", "leave a late task"} & set(steps))
            assert outcomes[-1] == "completed", steps
            assert len(outcomes) == 1 or may_fail, steps
            assert effects == effects_of(steps), steps
        else:
            assert row["status"] == "dead_letter", steps
            assert outcomes in (["failed"] * 3, ["permanent"]), steps
            assert effects == 0 or KEPT in message, (steps, message)
            # A late task rolls back what is not finished by then.
            ends = {"COMMIT", "ROLLBACK", "reset", "?COMMIT AND CHAIN", "leave a late task"}
            assert KEPT not in message or ends & set(steps), (steps, message)
    for job_id in others:
        assert (await stage.until(job_id, "completed"))["attempts"] == 1
    assert process.exit_code is None
    assert not process.outages()
    await stage.until_empty(WORK_QUEUE, QUARANTINE_QUEUE, REQUEUED_QUEUE, DEAD_LETTER_QUEUE)
