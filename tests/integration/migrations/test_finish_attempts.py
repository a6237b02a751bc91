"""Tests for finish_webhook_attempts: an attempt, its claim and its status are one."""

import asyncio
import json

import asyncpg
import pytest

from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import (
    LIFE,
    ORG,
    End,
    Webhook,
    accept,
    attempts_of,
    begin,
    finish,
    owner_of,
    row_of,
)
from tests.support.eventually import eventually

ERROR = ("TimeoutError", "It took too long.")


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_completed_attempt_completes_its_webhook(
    connection: asyncpg.Connection, *, accepted: bool
) -> None:
    """The gateway's row may exist or not; afterwards the row has the result."""
    webhook = Webhook(dedup_key="k", altered=True, retry_of=Webhook().id)
    if accepted:
        await accept(connection, webhook)
    end = End(webhook, attempt=2)

    answer = await finish(connection, end)

    row = await row_of(connection, webhook)
    assert answer == {webhook.id: ("completed", True, None)}
    assert (row["status"], row["attempts"], row["max_attempts"]) == ("completed", 2, 4)
    assert (row["completed_at"], row["last_attempt_at"]) == (end.ended_at, end.ended_at)
    assert (row["error_class"], row["duplicate_of"]) == (None, None)
    assert (row["org_id"], row["job_id"], row["gateway_instance_id"]) == (
        ORG,
        str(webhook.id),
        LIFE,
    )
    assert (row["altered"], row["call_id"], row["retry_of"]) == (True, "c-1", webhook.retry_of)
    assert json.loads(row["event_data"]) == {"type": "hang"}
    assert await attempts_of(connection, webhook) == [(2, "completed", None, None)]
    assert await owner_of(connection, "k") == webhook.id


@pytest.mark.parametrize("outcome", ["failed", "permanent"])
async def test_a_failed_attempt_leaves_its_error(
    connection: asyncpg.Connection, outcome: str
) -> None:
    """The row is `failed` either way; the attempt has the difference."""
    webhook = Webhook()

    answer = await finish(connection, End(webhook, outcome, error=ERROR))

    row = await row_of(connection, webhook)
    assert answer == {webhook.id: (outcome, True, None)}
    assert (row["status"], row["error_class"], row["error_message"]) == ("failed", *ERROR)
    assert row["completed_at"] is None
    assert await attempts_of(connection, webhook) == [(1, outcome, *ERROR)]


async def test_a_success_after_failures_clears_the_error(connection: asyncpg.Connection) -> None:
    """The row has the present state, the attempts have the history."""
    webhook = Webhook()

    await finish(connection, End(webhook, "failed", 1, ERROR))
    await finish(connection, End(webhook, "completed", 2))

    row = await row_of(connection, webhook)
    assert (row["status"], row["attempts"], row["error_class"]) == ("completed", 2, None)
    assert await attempts_of(connection, webhook) == [
        (1, "failed", *ERROR),
        (2, "completed", None, None),
    ]


@pytest.mark.parametrize("recorded", ["completed", "failed", "permanent", "duplicate"])
async def test_a_redelivery_repeats_what_is_recorded(
    connection: asyncpg.Connection, recorded: str
) -> None:
    """Whatever the new result is, the first answer is kept and no row is touched."""
    webhook = Webhook()
    await finish(connection, End(webhook, recorded, error=ERROR))
    before = await row_of(connection, webhook), await attempts_of(connection, webhook)

    answers = [
        await finish(connection, End(webhook, again))
        for again in ("completed", "failed", "permanent")
    ]

    assert answers == [{webhook.id: (recorded, False, None)}] * 3
    assert (await row_of(connection, webhook), await attempts_of(connection, webhook)) == before


async def test_fresh_and_repeated_are_told_apart_in_one_call(
    connection: asyncpg.Connection,
) -> None:
    """A batch may contain new and known attempts."""
    seen, new = Webhook(), Webhook()
    await finish(connection, End(seen, "failed", error=ERROR))

    answers = await finish(connection, End(new), End(seen))

    assert answers == {seen.id: ("failed", False, None), new.id: ("completed", True, None)}


@pytest.mark.parametrize("outcome", ["completed", "failed", "permanent"])
async def test_an_event_that_came_before_is_a_duplicate(
    connection: asyncpg.Connection, outcome: str
) -> None:
    """Whatever its handler did, the later webhook names its original, and has no error."""
    first, second = Webhook(dedup_key="k"), Webhook(dedup_key="k")
    await finish(connection, End(first))

    answer = await finish(connection, End(second, outcome, error=ERROR))

    row = await row_of(connection, second)
    assert answer == {second.id: ("duplicate", True, first.id)}
    assert (row["status"], row["duplicate_of"]) == ("duplicate", first.id)
    assert (row["error_class"], row["completed_at"]) == (None, None)
    assert await attempts_of(connection, second) == [(1, "duplicate", None, None)]
    assert await owner_of(connection, "k") == first.id


async def test_of_two_in_one_call_the_earlier_owns(connection: asyncpg.Connection) -> None:
    """Ids sort by time, whatever their order in the call is."""
    first, second = Webhook(dedup_key="k"), Webhook(dedup_key="k")

    answer = await finish(connection, End(second), End(first))

    assert answer == {
        first.id: ("completed", True, None),
        second.id: ("duplicate", True, first.id),
    }


async def test_a_claim_of_its_own_is_no_duplicate(connection: asyncpg.Connection) -> None:
    """The next attempt of a webhook finds the claim of the one before it."""
    webhook = Webhook(dedup_key="k")
    await finish(connection, End(webhook, "failed", 1, ERROR))

    answer = await finish(connection, End(webhook, "completed", 2))

    assert answer == {webhook.id: ("completed", True, None)}


async def test_orgs_do_not_share_events(connection: asyncpg.Connection) -> None:
    """The same key of another org is another event."""
    ours, theirs = Webhook(dedup_key="k"), Webhook(dedup_key="k", org_id=LIFE)

    answer = await finish(connection, End(ours), End(theirs))

    assert {outcome for outcome, _, _ in answer.values()} == {"completed"}


async def test_without_a_key_nothing_is_a_duplicate(connection: asyncpg.Connection) -> None:
    """Copies of such events cannot be recognised."""
    answer = await finish(connection, End(Webhook()), End(Webhook()))

    assert {outcome for outcome, _, _ in answer.values()} == {"completed"}
    assert await connection.fetchval("SELECT count(*) FROM webhook_inbox") == 0


@pytest.mark.parametrize("status", ["completed", "duplicate", "dead_letter"])
async def test_what_is_finished_is_not_overwritten(
    connection: asyncpg.Connection, status: str
) -> None:
    """A late attempt is recorded, and the row stays."""
    webhook = Webhook()
    await accept(connection, webhook, status=status)
    before = await row_of(connection, webhook)

    await finish(connection, End(webhook, "failed", 2, ERROR))

    assert await row_of(connection, webhook) == before
    assert await attempts_of(connection, webhook) == [(2, "failed", *ERROR)]


async def test_a_row_that_is_being_written_is_waited_for(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """The gateway's INSERT that is not committed yet ends as completed, not as pending."""
    webhook = Webhook()
    gateway, watcher = await connect(), await connect()
    inserting = gateway.transaction()
    await inserting.start()
    await accept(gateway, webhook, data="{}")

    finishing = asyncio.create_task(finish(connection, End(webhook)))
    await eventually(lambda: _waits_for_a_lock(watcher))
    await inserting.commit()

    row_status = (await finishing, (await row_of(watcher, webhook))["status"])
    assert row_status == ({webhook.id: ("completed", True, None)}, "completed")
    assert json.loads((await row_of(watcher, webhook))["event_data"]) == {"type": "hang"}


async def test_a_row_whose_writer_fails_is_written(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """When the gateway's transaction is rolled back, the row is made."""
    webhook = Webhook()
    gateway, watcher = await connect(), await connect()
    inserting = gateway.transaction()
    await inserting.start()
    await accept(gateway, webhook)

    finishing = asyncio.create_task(finish(connection, End(webhook)))
    await eventually(lambda: _waits_for_a_lock(watcher))
    await inserting.rollback()

    assert await finishing == {webhook.id: ("completed", True, None)}
    assert (await row_of(watcher, webhook))["status"] == "completed"


async def test_a_late_pending_row_changes_nothing(connection: asyncpg.Connection) -> None:
    """The gateway may write after everything is finished."""
    webhook = Webhook()
    await finish(connection, End(webhook))
    before = await row_of(connection, webhook)

    await accept(connection, webhook)

    assert await row_of(connection, webhook) == before


async def test_a_payload_that_was_left_out_is_put_in(connection: asyncpg.Connection) -> None:
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


async def test_the_same_event_at_once_is_one_completion(connect: Connect) -> None:
    """The first claim wins; the webhook that ran beside it is a duplicate."""
    webhooks = [Webhook(dedup_key="k") for _ in range(6)]
    connections = [await connect() for _ in webhooks]

    answers = await asyncio.gather(
        *(finish(c, End(w)) for c, w in zip(connections, webhooks, strict=True))
    )

    outcomes = [outcome for answer in answers for outcome, _, _ in answer.values()]
    owner = await owner_of(connections[0], "k")
    assert sorted(outcomes) == ["completed"] + ["duplicate"] * 5
    assert {dup for answer in answers for _, _, dup in answer.values()} == {None, owner}


async def test_a_rolled_back_attempt_never_was(connection: asyncpg.Connection) -> None:
    """Rolling back the caller's transaction removes all of it: row, attempt and claim."""
    webhook = Webhook(dedup_key="k")
    transaction = connection.transaction()
    await transaction.start()
    await finish(connection, End(webhook))
    await transaction.rollback()

    assert await attempts_of(connection, webhook) == []
    assert await owner_of(connection, "k") is None
    assert await finish(connection, End(webhook)) == {webhook.id: ("completed", True, None)}


async def test_the_row_of_a_begun_attempt_is_finished(connection: asyncpg.Connection) -> None:
    """`processing` leads to every end."""
    webhook = Webhook(dedup_key="k")
    await begin(connection, webhook)

    await finish(connection, End(webhook))

    assert (await row_of(connection, webhook))["status"] == "completed"


async def _waits_for_a_lock(connection: asyncpg.Connection) -> bool:
    waiting: int = await connection.fetchval(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return waiting > 0
