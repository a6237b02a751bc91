"""Tests for the functions that begin attempts, finish them and record dead letters."""

import asyncio
import json
from dataclasses import replace
from itertools import product
from typing import Any
from uuid import UUID

import asyncpg

from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import (
    INSTANCE,
    ORG,
    End,
    Webhook,
    accept,
    attempts_of,
    begin,
    bury,
    finish,
    owner_of,
    row_of,
)
from tests.support.eventually import eventually

ERROR = ("TimeoutError", "It took too long.")


# Beginning, before a handler acts outside the database


async def test_a_webhook_that_begins_is_processing(connection: asyncpg.Connection) -> None:
    """With or without the gateway's row; the event is claimed. A second begin is the same."""
    accepted, unknown = Webhook(dedup_key="a"), Webhook(dedup_key="u")
    await accept(connection, accepted)
    for webhook in (accepted, unknown):
        answers = [await begin(connection, webhook) for _ in range(2)]

        row = await row_of(connection, webhook)
        assert answers == [{webhook.id: (None, None)}] * 2
        assert row["status"] == "processing"
        assert row["last_attempt_at"] is not None
        assert await owner_of(connection, str(webhook.dedup_key)) == webhook.id


#: An outcome, what the next attempt is told, and the status then.
NEXT: list[tuple[str, str | None, str]] = [
    ("failed", None, "processing"),
    ("permanent", None, "processing"),
    ("completed", "completed", "completed"),
    ("duplicate", "duplicate", "duplicate"),
]


async def test_a_finished_attempt_does_not_begin_again(connection: asyncpg.Connection) -> None:
    """The caller repeats its outcome. The next attempt begins after a failure only."""
    for outcome, next_attempt, status in NEXT:
        webhook = Webhook()
        await finish(connection, End(webhook, outcome, error=ERROR))
        before = (await row_of(connection, webhook))["status"]

        assert await begin(connection, webhook) == {webhook.id: (outcome, None)}
        assert (await row_of(connection, webhook))["status"] == before
        second = await begin(connection, webhook, attempt=2)
        assert second == {webhook.id: (next_attempt, None)}, outcome
        assert (await row_of(connection, webhook))["status"] == status, outcome


async def test_each_webhook_of_a_batch_begins_by_itself(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """A duplicate learns its original before its handler acts, and others see what began."""
    ended, twin, fresh = Webhook(dedup_key="a"), Webhook(dedup_key="a"), Webhook(dedup_key="b")
    await finish(connection, End(ended))

    answer = await begin(connection, fresh, twin, ended)

    assert answer == {
        ended.id: ("completed", None),
        twin.id: (None, ended.id),
        fresh.id: (None, None),
    }
    assert (await row_of(await connect(), fresh))["status"] == "processing"


# Finishing


async def test_a_completed_attempt_completes_its_webhook(connection: asyncpg.Connection) -> None:
    """With or without the gateway's row, the row then has the result."""
    accepted, unknown = [
        Webhook(dedup_key=key, altered=True, retry_of=Webhook().id) for key in ("a", "u")
    ]
    await accept(connection, accepted)
    for webhook in (accepted, unknown):
        end = End(webhook, attempt=2)

        answer = await finish(connection, end)

        row = await row_of(connection, webhook)
        expected = {
            "org_id": ORG,
            "job_id": str(webhook.id),
            "gateway_instance_id": INSTANCE,
            "call_id": "c-1",
            "retry_of": webhook.retry_of,
            "altered": True,
            "status": "completed",
            "attempts": 2,
            "max_attempts": 4,
            "completed_at": end.ended_at,
            "last_attempt_at": end.ended_at,
            "error_class": None,
            "duplicate_of": None,
        }
        assert answer == {webhook.id: ("completed", True, None)}
        assert {name: row[name] for name in expected} == expected
        assert json.loads(row["event_data"]) == {"type": "hang"}
        assert await attempts_of(connection, webhook) == [(2, "completed", None, None)]
        assert await owner_of(connection, str(webhook.dedup_key)) == webhook.id


async def test_a_failed_attempt_records_its_error_until_one_succeeds(
    connection: asyncpg.Connection,
) -> None:
    """The row has the present state, the attempts have the history. Its own claim is no copy."""
    for outcome in ("failed", "permanent"):
        webhook = Webhook(dedup_key=outcome)

        first = await finish(connection, End(webhook, outcome, 1, ERROR))
        failed = await row_of(connection, webhook)
        second = await finish(connection, End(webhook, "completed", 2))
        completed = await row_of(connection, webhook)

        assert first == {webhook.id: (outcome, True, None)}
        assert failed["status"] == "failed"
        assert (failed["error_class"], failed["error_message"]) == ERROR
        assert failed["completed_at"] is None
        assert second == {webhook.id: ("completed", True, None)}
        assert (completed["status"], completed["error_class"]) == ("completed", None)
        assert await attempts_of(connection, webhook) == [
            (1, outcome, *ERROR),
            (2, "completed", None, None),
        ]


async def test_a_redelivery_repeats_the_recorded_outcome(connection: asyncpg.Connection) -> None:
    """Whatever the new result is, no row changes; a new webhook of the same batch is recorded."""
    for recorded in ("completed", "failed", "permanent", "duplicate"):
        webhook, new = Webhook(), Webhook()
        await finish(connection, End(webhook, recorded, error=ERROR))
        before = await row_of(connection, webhook), await attempts_of(connection, webhook)

        for again in ("completed", "failed", "permanent"):
            answer = await finish(connection, End(webhook, again))
            assert answer == {webhook.id: (recorded, False, None)}
        batch = await finish(connection, End(new), End(webhook))

        assert batch == {webhook.id: (recorded, False, None), new.id: ("completed", True, None)}
        assert (await row_of(connection, webhook), await attempts_of(connection, webhook)) == before


async def test_an_event_that_was_claimed_before_is_a_duplicate(
    connection: asyncpg.Connection,
) -> None:
    """Whatever its handler did, the later webhook names its original, and has no error."""
    for outcome in ("completed", "failed", "permanent"):
        first, second = Webhook(dedup_key=outcome), Webhook(dedup_key=outcome)
        await finish(connection, End(first))

        answer = await finish(connection, End(second, outcome, error=ERROR))

        row = await row_of(connection, second)
        assert answer == {second.id: ("duplicate", True, first.id)}, outcome
        assert (row["status"], row["duplicate_of"]) == ("duplicate", first.id)
        assert (row["error_class"], row["completed_at"]) == (None, None)
        assert await attempts_of(connection, second) == [(1, "duplicate", None, None)]
        assert await owner_of(connection, outcome) == first.id


async def test_the_earlier_webhook_of_a_batch_owns_the_event(
    connection: asyncpg.Connection,
) -> None:
    """Ids sort by time, whatever their order in the call is."""
    first, second = Webhook(dedup_key="k"), Webhook(dedup_key="k")

    answer = await finish(connection, End(second), End(first))

    assert answer == {first.id: ("completed", True, None), second.id: ("duplicate", True, first.id)}


async def test_other_events_are_no_duplicates(connection: asyncpg.Connection) -> None:
    """A key counts within its org; copies without a key cannot be recognised."""
    two_orgs = Webhook(dedup_key="k"), Webhook(dedup_key="k", org_id=UUID(int=9))

    answer = await finish(connection, *map(End, (*two_orgs, Webhook(), Webhook())))

    assert [outcome for outcome, _, _ in answer.values()] == ["completed"] * 4


async def test_a_late_attempt_does_not_change_a_finished_webhook(
    connection: asyncpg.Connection,
) -> None:
    """The attempt is recorded, and the row stays."""
    for status in ("completed", "duplicate", "dead_letter"):
        webhook = Webhook()
        await accept(connection, webhook, status=status)
        before = await row_of(connection, webhook)

        await begin(connection, webhook)
        await finish(connection, End(webhook, "failed", 2, ERROR))

        assert await row_of(connection, webhook) == before
        assert await attempts_of(connection, webhook) == [(2, "failed", *ERROR)]


#: A call of a processor, and the status that it leaves.
CALLS: list[tuple[Any, str]] = [
    (begin, "processing"),
    (lambda connection, webhook: finish(connection, End(webhook)), "completed"),
    (bury, "dead_letter"),
]


async def test_an_open_insert_of_the_same_row_is_waited_for(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """The webhook does not stay pending, and what the gateway wrote stays, also if it is last."""
    gateway, watcher = await connect(), await connect()
    for (call, status), end in product(CALLS, ("COMMIT", "ROLLBACK")):
        webhook = Webhook()
        of_gateway = replace(webhook, endpoint_id="of-the-gateway")
        await gateway.execute("BEGIN")
        await accept(gateway, of_gateway, data="{}")

        calling = asyncio.create_task(call(connection, webhook))
        await eventually(lambda: _waits_for_a_lock(watcher))
        await gateway.execute(end)
        await calling

        row = await row_of(watcher, webhook)
        await accept(gateway, of_gateway)
        assert row["status"] == status
        assert row["endpoint_id"] == ("of-the-gateway" if end == "COMMIT" else "default")
        assert status == "processing" or json.loads(row["event_data"]) == {"type": "hang"}
        assert await row_of(watcher, webhook) == row


async def test_a_missing_payload_is_filled_in(connection: asyncpg.Connection) -> None:
    """A busy gateway writes an empty object; an existing payload is not written again."""
    hurried = Webhook(event_data='{"type":"hang","long":"%s"}' % ("x" * 5_000), altered=True)
    tiny = Webhook(event_data='{"a":1}')
    await accept(connection, hurried, data="{}")
    await accept(connection, tiny)

    await finish(connection, End(hurried), End(tiny))

    row = await row_of(connection, hurried)
    assert json.loads(row["event_data"]) == json.loads(hurried.event_data)
    assert row["altered"]
    assert json.loads((await row_of(connection, tiny))["event_data"]) == {"a": 1}


async def test_one_of_many_simultaneous_copies_is_completed(connect: Connect) -> None:
    """The first claim wins; the webhooks that ran beside it are duplicates."""
    webhooks = [Webhook(dedup_key="k") for _ in range(6)]
    connections = [await connect() for _ in webhooks]

    answers = await asyncio.gather(
        *(finish(c, End(w)) for c, w in zip(connections, webhooks, strict=True))
    )

    outcomes = [outcome for answer in answers for outcome, _, _ in answer.values()]
    owner = await owner_of(connections[0], "k")
    assert sorted(outcomes) == ["completed"] + ["duplicate"] * 5
    assert {dup for answer in answers for _, _, dup in answer.values()} == {None, owner}


# Dead letters


async def test_a_dead_letter_has_the_last_error(connection: asyncpg.Connection) -> None:
    """The broker moves a message without a reason; then the last attempt has it, if there is one.

    Every message of the dead-letter queue is recorded, also without the gateway's row.
    """
    crash, nothing = ("process_crash", "It died."), (None, None)
    failed, crashed, accepted, unknown = [
        Webhook(event_data='{"type":"hang","n":1}') for _ in range(4)
    ]
    await finish(connection, *(End(one, "failed", 4, ERROR) for one in (failed, crashed)))
    await accept(connection, accepted, data="{}")
    none = ("unknown", "No attempt recorded an error.")

    for webhook, attempt, error, expected in (
        (failed, 4, nothing, ERROR),
        (crashed, 4, crash, crash),
        (accepted, 1, nothing, none),
        (unknown, 1, nothing, none),
    ):
        answer = await bury(connection, webhook, attempt=attempt, error=error)

        row = await row_of(connection, webhook)
        assert answer == {webhook.id: (attempt, *expected)}
        assert (row["status"], row["attempts"]) == ("dead_letter", attempt)
        assert (row["error_class"], row["error_message"]) == expected
        assert (row["resolution"], row["completed_at"]) == (None, None)
        assert json.loads(row["event_data"]) == {"type": "hang", "n": 1}


async def test_only_a_new_dead_letter_is_returned(connection: asyncpg.Connection) -> None:
    """A redelivery raises no second alarm, and a copied message does not undo a success."""
    for status in ("completed", "duplicate", "dead_letter"):
        finished, other = Webhook(), Webhook()
        await accept(connection, finished, status=status)
        before = await row_of(connection, finished)

        answer = await bury(connection, finished, other, error=("late", "Too late."))

        assert set(answer) == {other.id}
        assert await row_of(connection, finished) == before


async def test_two_recorders_return_each_dead_letter_once(connect: Connect) -> None:
    """Two processors may receive copies of the same messages."""
    webhooks = [Webhook() for _ in range(20)]
    one, two = await connect(), await connect()

    answers = await asyncio.gather(bury(one, *webhooks), bury(two, *reversed(webhooks)))

    assert sorted([*answers[0], *answers[1]]) == sorted(webhook.id for webhook in webhooks)


async def _waits_for_a_lock(connection: asyncpg.Connection) -> bool:
    waiting: int = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return waiting > 0
