"""Tests for record_webhook_dead_letters: webhooks without a further attempt wait for a person."""

import asyncio
import json

import asyncpg
import pytest

from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import (
    End,
    Webhook,
    accept,
    bury,
    finish,
    row_of,
)

ERROR = ("TimeoutError", "It took too long.")


async def test_the_last_attempt_gives_the_reason(connection: asyncpg.Connection) -> None:
    """The broker moved it here without a reason."""
    webhook = Webhook()
    await finish(connection, End(webhook, "failed", 4, ERROR))

    answer = await bury(connection, webhook)

    row = await row_of(connection, webhook)
    assert answer == {webhook.id: (4, *ERROR)}
    assert (row["status"], row["attempts"]) == ("dead_letter", 4)
    assert (row["error_class"], row["error_message"]) == ERROR
    assert (row["resolution"], row["completed_at"]) == (None, None)


async def test_a_given_reason_is_the_newer_one(connection: asyncpg.Connection) -> None:
    """The reason of the sender is better than that of the attempts before."""
    webhook = Webhook()
    await finish(connection, End(webhook, "failed", 1, ERROR))

    answer = await bury(connection, webhook, error=("process_crash", "It died."))

    assert answer == {webhook.id: (4, "process_crash", "It died.")}


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_dead_letter_without_an_attempt_has_a_reason_too(
    connection: asyncpg.Connection, *, accepted: bool
) -> None:
    """This works without the gateway's row, too: every message of the queue is recorded."""
    webhook = Webhook(event_data='{"type":"hang","n":1}')
    if accepted:
        await accept(connection, webhook, data="{}")

    answer = await bury(connection, webhook, attempt=1)

    row = await row_of(connection, webhook)
    assert answer == {webhook.id: (1, "unknown", "No attempt left a reason.")}
    assert row["status"] == "dead_letter"
    assert json.loads(row["event_data"]) == {"type": "hang", "n": 1}


async def test_a_redelivery_is_no_second_dead_letter(connection: asyncpg.Connection) -> None:
    """One webhook raises one alarm, and the row stays unchanged."""
    webhook, other = Webhook(), Webhook()
    await bury(connection, webhook)
    before = await row_of(connection, webhook)

    answer = await bury(connection, webhook, other, error=("late", "Too late."))

    assert set(answer) == {other.id}
    assert await row_of(connection, webhook) == before


@pytest.mark.parametrize("outcome", ["completed", "duplicate"])
async def test_what_was_finished_after_all_is_none(
    connection: asyncpg.Connection, outcome: str
) -> None:
    """A copy that the broker made does not turn a success into a dead letter."""
    webhook = Webhook()
    await finish(connection, End(webhook, outcome))

    answer = await bury(connection, webhook)

    assert answer == {}
    assert (await row_of(connection, webhook))["status"] == outcome


async def test_recording_at_once_is_recording_once(connect: Connect) -> None:
    """Two processors with copies of the same letters report each letter once."""
    letters = [Webhook() for _ in range(20)]
    one, two = await connect(), await connect()

    answers = await asyncio.gather(bury(one, *letters), bury(two, *reversed(letters)))

    assert sorted([*answers[0], *answers[1]]) == sorted(letter.id for letter in letters)
