"""Webhooks whose handler succeeds, fails, or does not end."""

import re
from itertools import pairwise

import pytest

from ringback.contract.topology import DEAD_LETTER_QUEUE
from tests.integration.processor.stage import Stage, scripted


async def test_a_first_success_is_completed_at_once(shared: Stage) -> None:
    """One attempt, its row with times and duration, and the webhook completed with the same end."""
    job_id = await shared.send(scripted("plain", sleep_s=0.05))

    row = await shared.until(job_id, "completed")
    [attempt] = await shared.attempts(job_id)

    assert (row["attempts"], row["max_attempts"]) == (1, 3)
    assert row["completed_at"] == row["last_attempt_at"] == attempt["ended_at"]
    assert row["error_class"] is None
    assert row["event_type"] == "test.plain"
    assert not row["altered"]
    assert (attempt["attempt"], attempt["outcome"]) == (1, "completed")
    assert 50 <= attempt["duration_ms"] < 1500
    assert re.fullmatch(r"[0-9a-f]{32}", attempt["trace_id"])


async def test_an_event_without_a_handler_of_ours_is_completed(shared: Stage) -> None:
    """The webhook is only stored."""
    job_id = await shared.send({"message": {"type": "nobody.wants-this"}})

    row = await shared.until(job_id, "completed")

    assert row["attempts"] == 1


async def test_a_plain_handler_runs_while_the_log_says_processing(shared: Stage) -> None:
    """Its claim and its status are committed before it runs."""
    job_id = await shared.send(scripted("plain"), dedup_key="seen-processing")

    await shared.until(job_id, "completed")
    [run] = await shared.runs(job_id)

    assert run["seen_status"] == "processing"


@pytest.mark.parametrize("kind", ["plain", "transaction"])
async def test_failures_climb_the_schedule_until_one_succeeds(shared: Stage, kind: str) -> None:
    """Attempts 1 and 2 fail, 3 succeeds; each waits in its retry queue, and each has its row."""
    job_id = await shared.send(scripted(kind, fail_times=2))

    row = await shared.until(job_id, "completed")
    attempts = await shared.attempts(job_id)
    runs = await shared.runs(job_id)

    assert (row["attempts"], row["error_class"], row["error_message"]) == (3, None, None)
    assert [(a["attempt"], a["outcome"]) for a in attempts] == [
        (1, "failed"),
        (2, "failed"),
        (3, "completed"),
    ]
    assert attempts[1]["error_message"] == "attempt 2 failed"
    assert attempts[1]["error_class"] == "RuntimeError"
    waits = [(later["at"] - earlier["at"]).total_seconds() for earlier, later in pairwise(runs)]
    assert 0.2 <= waits[0] < 1.2
    assert 0.4 <= waits[1] < 1.4


async def test_the_last_failure_makes_a_dead_letter(shared: Stage) -> None:
    """After the last retry it is a dead letter with the last error; its queue is empty again."""
    job_id = await shared.send(scripted("plain", fail_times=99))

    row = await shared.until(job_id, "dead_letter")
    attempts = await shared.attempts(job_id)
    await shared.until_empty(DEAD_LETTER_QUEUE)

    assert [a["outcome"] for a in attempts] == ["failed"] * 3
    assert row["attempts"] == row["max_attempts"] == 3
    assert (row["error_class"], row["error_message"]) == ("RuntimeError", "attempt 3 failed")
    assert row["completed_at"] is None


@pytest.mark.parametrize("kind", ["plain", "transaction"])
async def test_a_permanent_failure_is_a_dead_letter_at_once(shared: Stage, kind: str) -> None:
    """No further attempt is made, and the reason is the handler's."""
    job_id = await shared.send(scripted(kind, permanent="no such account"))

    row = await shared.until(job_id, "dead_letter")
    [attempt] = await shared.attempts(job_id)

    assert attempt["outcome"] == "permanent"
    assert (row["attempts"], row["error_class"]) == (1, "PermanentFailure")
    assert row["error_message"] == "no such account"


async def test_a_handler_that_does_not_end_in_time_has_failed(shared: Stage) -> None:
    """The attempt is cut at its timeout and counts."""
    job_id = await shared.send(scripted("plain", sleep_s=30))

    await shared.until(job_id, "failed")
    attempts = await shared.attempts(job_id)

    assert attempts[0]["error_class"] == "timeout"
    assert attempts[0]["error_message"] == "The handlers did not end within 1.5 s."


async def test_an_error_that_cannot_be_printed_is_a_failure_like_any_other(shared: Stage) -> None:
    """The attempt counts, and has the class of the error."""
    job_id = await shared.send(scripted("plain", unprintable=True))

    row = await shared.until(job_id, "dead_letter")

    assert row["attempts"] == 3
    assert row["error_class"] == "UnprintableError"
