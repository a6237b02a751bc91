"""Tests for begin_webhook_attempts: before a handler acts outside the database."""

import asyncpg
import pytest

from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import (
    End,
    Webhook,
    accept,
    begin,
    bury,
    finish,
    owner_of,
    row_of,
)

ERROR = ("TimeoutError", "It took too long.")


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_webhook_that_begins_is_processing(
    connection: asyncpg.Connection, *, accepted: bool
) -> None:
    """The gateway's row may exist or not; the event is claimed."""
    webhook = Webhook(dedup_key="k")
    if accepted:
        await accept(connection, webhook)

    answer = await begin(connection, webhook)

    row = await row_of(connection, webhook)
    assert answer == {webhook.id: (None, None)}
    assert row["status"] == "processing"
    assert row["last_attempt_at"] is not None
    assert await owner_of(connection, "k") == webhook.id


async def test_beginning_twice_is_beginning(connection: asyncpg.Connection) -> None:
    """A process that died while it ran leaves `processing` and its own claim."""
    webhook = Webhook(dedup_key="k")

    answers = [await begin(connection, webhook) for _ in range(2)]

    assert answers == [{webhook.id: (None, None)}] * 2


@pytest.mark.parametrize("outcome", ["completed", "failed", "permanent", "duplicate"])
async def test_an_attempt_that_ended_is_not_begun(
    connection: asyncpg.Connection, outcome: str
) -> None:
    """The caller must repeat its outcome; the row keeps its status."""
    webhook = Webhook()
    await finish(connection, End(webhook, outcome, error=ERROR))
    before = (await row_of(connection, webhook))["status"]

    answer = await begin(connection, webhook)

    assert answer == {webhook.id: (outcome, None)}
    assert (await row_of(connection, webhook))["status"] == before


async def test_the_next_attempt_of_a_failed_one_begins(connection: asyncpg.Connection) -> None:
    """Only the same attempt is a redelivery."""
    webhook = Webhook()
    await finish(connection, End(webhook, "failed", 1, ERROR))

    answer = await begin(connection, webhook, attempt=2)

    assert answer == {webhook.id: (None, None)}
    assert (await row_of(connection, webhook))["status"] == "processing"


async def test_a_finished_webhook_is_never_run_again(connection: asyncpg.Connection) -> None:
    """This applies to another attempt, too: the broker may have copied the message."""
    webhook = Webhook()
    await finish(connection, End(webhook, "completed", 2))

    answer = await begin(connection, webhook, attempt=1)

    assert answer == {webhook.id: ("completed", None)}


async def test_a_claimed_event_is_not_run(connection: asyncpg.Connection) -> None:
    """The caller learns whose duplicate it is before the handler acts."""
    first, second = Webhook(dedup_key="k"), Webhook(dedup_key="k")

    answers = [await begin(connection, first), await begin(connection, second)]

    assert answers == [{first.id: (None, None)}, {second.id: (None, first.id)}]


async def test_a_dead_letter_is_not_called_processing(connection: asyncpg.Connection) -> None:
    """Late messages change nothing: a person is already looking at it."""
    webhook = Webhook()
    await bury(connection, webhook)

    await begin(connection, webhook)

    assert (await row_of(connection, webhook))["status"] == "dead_letter"


async def test_a_batch_is_answered_one_by_one(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    """Each webhook of a call has its own answer, and others see at once what began."""
    ended, twin, fresh = Webhook(dedup_key="a"), Webhook(dedup_key="a"), Webhook(dedup_key="b")
    await finish(connection, End(ended))

    answer = await begin(connection, fresh, twin, ended)

    assert answer == {
        ended.id: ("completed", None),
        twin.id: (None, ended.id),
        fresh.id: (None, None),
    }
    assert (await row_of(await connect(), fresh))["status"] == "processing"
