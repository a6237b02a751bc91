"""A webhook's way, seen from outside."""

import json
import uuid

from ringback import samples
from tests.acceptance.whole import Whole
from tests.support.eventually import eventually


async def test_a_whole_call_is_finished_and_its_copies_are_duplicates(whole: Whole) -> None:
    """Every sample ends completed, the call has its row, and a body sent again is a duplicate."""
    bodies = [samples.sample(name) for name in samples.call_names()]

    first = [await whole.accepted(body) for body in bodies]
    statuses = await whole.settled(first)
    again = [await whole.accepted(body) for body in bodies]
    copies = await whole.settled(again)

    assert statuses == ["completed"] * len(bodies)
    assert copies == ["duplicate"] * len(bodies)
    [call] = await whole.database.fetch("SELECT * FROM voice_calls")
    assert (call["status"], call["ended_reason"]) == ("ended", "customer-ended-call")
    assert call["events"] == len(bodies)
    assert await whole.metric("gateway", "webhook_total") == 2 * len(bodies)
    assert await whole.metric("processor", "webhook_completed_total") == len(bodies)
    assert await whole.metric("processor", "webhook_duplicates_total") == len(bodies)


async def test_two_equal_events_without_a_time_are_two_events(whole: Whole) -> None:
    """Nothing shows that the second is a copy, so it is processed as well."""
    message = {"type": "function-call", "functionCall": {"name": "book", "parameters": {}}}
    body = json.dumps({"message": message | {"call": {"id": "call-of-two"}}}).encode()

    jobs = [await whole.accepted(body) for _ in range(2)]

    assert await whole.settled(jobs) == ["completed", "completed"]
    assert await whole.database.fetchval("SELECT count(*) FROM webhook_inbox") == 0


async def test_a_tool_call_id_is_used_again(whole: Whole) -> None:
    """Many models begin to count at `call_0` in every turn: the booking is run. A copy is not."""
    bodies = [
        json.dumps(
            {
                "message": {
                    "type": "tool-calls",
                    "timestamp": 1_767_225_600_000 + after_ms,
                    "call": {"id": "call-of-a-booking"},
                    "toolCallList": [
                        {"id": "call_0", "type": "function", "function": {"name": name}}
                    ],
                }
            }
        ).encode()
        for name, after_ms in (("check_availability", 0), ("book_appointment", 9_000))
    ]

    jobs = [await whole.accepted(body) for body in bodies]
    statuses = await whole.settled(jobs)
    copies = await whole.settled([await whole.accepted(body) for body in bodies])

    assert statuses == ["completed", "completed"]
    assert copies == ["duplicate", "duplicate"]


async def test_a_webhook_that_fails_twice_is_completed(whole: Whole) -> None:
    """The log has two failed attempts and a successful one, in order."""
    job_id = await whole.accepted(_demo(fail_until_attempt=3))

    [status] = await whole.settled([job_id])

    assert status == "completed"
    attempts = await whole.database.fetch(
        "SELECT attempt, outcome, duration_ms FROM webhook_delivery_attempts"
        " WHERE delivery_id = $1 ORDER BY attempt",
        uuid.UUID(job_id),
    )
    assert [row["outcome"] for row in attempts] == ["failed", "failed", "completed"]
    assert all(row["duration_ms"] >= 0 for row in attempts)


async def test_a_webhook_that_fails_for_good_is_kept(whole: Whole) -> None:
    """After the last retry it is a dead letter with four attempts, its event and its last error."""
    body = _demo(fail_until_attempt=99)
    job_id = await whole.accepted(body)

    [status] = await whole.settled([job_id])

    assert status == "dead_letter"
    [row] = await whole.database.fetch(
        "SELECT attempts, event_data::text AS data, error_class, error_message,"
        " (SELECT count(*) FROM webhook_delivery_attempts WHERE delivery_id = id) AS rows"
        " FROM webhook_delivery_log WHERE id = $1",
        uuid.UUID(job_id),
    )
    assert (row["attempts"], row["rows"]) == (4, 4)
    assert json.loads(row["data"]) == json.loads(body)
    assert row["error_class"]
    assert row["error_message"]

    async def one_dead_letter() -> bool:
        return await whole.metric("metrics", "webhook_dead_letter_queue_size") == 1

    await eventually(one_dead_letter, deadline_s=10)


def _demo(*, fail_until_attempt: int) -> bytes:
    return json.dumps(
        {"message": {"type": "ringback.demo", "failUntilAttempt": fail_until_attempt}}
    ).encode()
