"""Webhooks whose handler succeeds, fails, or does not end."""

import re
from itertools import pairwise

import pytest

from ringback.contract.topology import DEAD_LETTER_QUEUE
from tests.integration.processor.stage import Stage, scripted


async def test_a_success_is_completed_at_once(shared: Stage) -> None:
    """One attempt with its times. While the handler runs, the status is `processing`."""
    job_id = await shared.send(scripted("plain", sleep_s=0.05), dedup_key="seen-processing")

    row = await shared.until(job_id, "completed")
    [attempt] = await shared.attempts(job_id)
    [run] = await shared.runs(job_id)

    assert run["seen_status"] == "processing"
    assert (row["attempts"], row["max_attempts"]) == (1, 3)
    assert row["completed_at"] == row["last_attempt_at"] == attempt["ended_at"]
    assert row["error_class"] is None
    assert row["event_type"] == "test.plain"
    assert not row["altered"]
    assert (attempt["attempt"], attempt["outcome"]) == (1, "completed")
    assert attempt["duration_ms"] >= 50
    assert re.fullmatch(r"[0-9a-f]{32}", attempt["trace_id"])


@pytest.mark.parametrize("kind", ["plain", "transaction"])
async def test_a_failed_attempt_is_retried_after_its_delay(shared: Stage, kind: str) -> None:
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
    assert waits[0] >= 0.2
    assert waits[1] >= 0.4


@pytest.mark.parametrize(
    ("script", "attempts", "error_class", "error_message"),
    [
        ({"fail_times": 99}, 3, "RuntimeError", "attempt 3 failed"),
        ({"permanent": "no such account"}, 1, "PermanentFailure", "no such account"),
    ],
)
@pytest.mark.parametrize("kind", ["plain", "transaction"])
async def test_the_last_failure_makes_a_dead_letter(
    shared: Stage,
    kind: str,
    script: dict[str, object],
    attempts: int,
    error_class: str,
    error_message: str,
) -> None:
    """It has the last error; a permanent failure is not retried. Its queue is empty again."""
    job_id = await shared.send(scripted(kind, **script))

    row = await shared.until(job_id, "dead_letter")
    await shared.until_empty(DEAD_LETTER_QUEUE)

    outcome = "permanent" if attempts == 1 else "failed"
    assert [a["outcome"] for a in await shared.attempts(job_id)] == [outcome] * attempts
    assert (row["attempts"], row["completed_at"]) == (attempts, None)
    assert (row["error_class"], row["error_message"]) == (error_class, error_message)
