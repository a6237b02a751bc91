"""Forwards are added with the first attempt of a webhook, each once."""

import asyncio
import json
from uuid import UUID

import asyncpg

from ringback.contract.identity import created_at, job_id_of, new_job_id
from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import ORG, End, Webhook, accept, bury, finish, row_of

RETRY = "SELECT verdict FROM {}($1, $2, 4, 'ada', 'operator', 'because', NULL, '{{}}')"


async def forwards(connection: asyncpg.Connection) -> list[tuple[UUID, str]]:
    """Of which webhook each forward is, and its name."""
    rows = await connection.fetch(
        "SELECT forward_of, forward FROM webhook_delivery_log WHERE forward IS NOT NULL "
        "ORDER BY forward_of, forward"
    )
    return [(row["forward_of"], row["forward"]) for row in rows]


async def retried(connection: asyncpg.Connection, webhook: Webhook, function: str) -> Webhook:
    new = new_job_id()
    assert await connection.fetchval(RETRY.format(function), webhook.id, new) == "retried"
    return Webhook(id=new, retry_of=webhook.id)


async def test_each_forward_is_a_row_with_the_wait_that_publishes_it(
    connection: asyncpg.Connection,
) -> None:
    webhook = Webhook(dedup_key="k")

    await finish(connection, End(webhook, "failed", forwards=("crm", "archive")))

    received = await row_of(connection, webhook)
    rows = await connection.fetch(
        "SELECT log.*, wait.reason, wait.attempt, wait.headers, wait.body, "
        "wait.due_at <= clock_timestamp() AS is_due "
        "FROM webhook_delivery_log AS log JOIN webhook_waits AS wait ON wait.delivery_id = log.id "
        "ORDER BY forward"
    )
    assert [row["forward"] for row in rows] == ["archive", "crm"]
    for row in rows:
        assert (row["forward_of"], row["status"], row["attempts"]) == (webhook.id, "pending", 0)
        assert (row["reason"], row["attempt"], row["is_due"]) == ("forward", 1, True)
        assert row["body"] == webhook.event_data.encode()
        assert row["dedup_key"] is None
        headers = json.loads(row["headers"])
        assert (headers["forward"], headers["forward_of"]) == (row["forward"], str(webhook.id))
        same = ("org_id", "endpoint_id", "event_type", "call_id", "gateway_instance_id")
        assert [row[name] for name in same] == [received[name] for name in same]


async def test_an_id_is_a_job_id_of_the_same_moment(connection: asyncpg.Connection) -> None:
    """The same each time, and another one for another name."""
    received = new_job_id()
    rows = await connection.fetch(
        "SELECT webhook_forward_id($1, name) AS id, webhook_forward_id($1, name) AS again, "
        "webhook_forwards_from($1) AS first, webhook_forwards_to($1) AS last "
        "FROM unnest($2::text[]) AS name",
        received,
        [f"forward-{number}" for number in range(100)],
    )

    assert len({row["id"] for row in rows}) == 100
    for row in rows:
        known = job_id_of(str(row["id"]))
        assert known is not None
        assert created_at(known) == created_at(received)
        assert known.variant == received.variant
        assert row["first"] <= known <= row["last"]
        assert row["again"] == known


async def test_nothing_is_added_twice(connection: asyncpg.Connection) -> None:
    """Neither by a repeated attempt, nor by a duplicate."""
    first, copy = Webhook(dedup_key="k"), Webhook(dedup_key="k")
    for webhook in (first, first, copy, copy):
        await finish(connection, End(webhook, forwards=("crm",)))

    assert await forwards(connection) == [(first.id, "crm")]


async def test_attempts_that_end_at_once_add_their_forwards_once(
    connection: asyncpg.Connection, connect: Connect
) -> None:
    webhooks = [Webhook() for _ in range(20)]

    async def finish_all(order: list[Webhook]) -> None:
        await finish(await connect(), *(End(one, forwards=("a", "b")) for one in order))

    await asyncio.gather(*(finish_all(webhooks[n:] + webhooks[:n]) for n in range(0, 20, 5)))

    assert len(await forwards(connection)) == 40
    assert await connection.fetchval("SELECT count(*) FROM webhook_waits") == 40


async def test_a_retried_dead_letter_adds_none_again(connection: asyncpg.Connection) -> None:
    """Not even a forward that was declared in the meantime."""
    webhook = Webhook()
    await finish(connection, End(webhook, "permanent", forwards=("crm",)))
    for _ in range(2):
        await bury(connection, webhook, attempt=1)
        webhook = await retried(connection, webhook, "retry_webhook")
        await finish(connection, End(webhook, "permanent", forwards=("crm", "new")))

    assert [name for _, name in await forwards(connection)] == ["crm"]


async def test_what_had_no_attempt_is_forwarded_when_it_is_retried(
    connection: asyncpg.Connection,
) -> None:
    """A duplicate that is run, and a webhook that crashed its processor."""
    first, copy, crashed = Webhook(dedup_key="k"), Webhook(dedup_key="k"), Webhook()
    await finish(connection, End(first, forwards=("crm",)))
    await finish(connection, End(copy, forwards=("crm",)))
    await accept(connection, crashed)
    await bury(connection, crashed, attempt=1)

    for webhook, function in ((copy, "run_duplicate_webhook"), (crashed, "retry_webhook")):
        again = await retried(connection, webhook, function)
        await finish(connection, End(again, forwards=("crm",)))

    expected = sorted([(one.id, "crm") for one in (first, copy, crashed)])
    assert await forwards(connection) == expected


async def test_a_retry_of_a_webhook_that_is_gone_adds_nothing(
    connection: asyncpg.Connection,
) -> None:
    """Its day may have no partition, and its forwards may be gone with it."""
    again = Webhook(retry_of=UUID("01000000-0000-7000-8000-000000000001"))

    await finish(connection, End(again, forwards=("crm",)))

    assert await forwards(connection) == []
    assert (await row_of(connection, again))["status"] == "completed"


async def test_a_retried_forward_stays_one(connection: asyncpg.Connection) -> None:
    webhook = Webhook()
    await finish(connection, End(webhook, forwards=("crm",)))
    sent_id = await connection.fetchval("SELECT webhook_forward_id($1, 'crm')", webhook.id)
    sent = Webhook(id=sent_id)
    await finish(connection, End(sent, "permanent"))
    await bury(connection, sent, attempt=1)

    again = await row_of(connection, await retried(connection, sent, "retry_webhook"))

    assert (again["forward"], again["forward_of"]) == ("crm", webhook.id)
    assert await connection.fetchval("SELECT webhook_received_as($1)", again["id"]) == sent_id


STOP = "SELECT destination FROM record_webhook_forward_outcomes($1, $2, interval '5 days')"


async def reported(
    connection: asyncpg.Connection, *, succeeded: str = "", failed: str = "", times: int = 1
) -> list[str]:
    """What several reports have stopped."""
    found = []
    errors = [
        {"destination": one, "org_id": str(ORG), "endpoint_id": "acme", "forward": one}
        | {"error": "The receiver answered with status 500."}
        for one in failed.split()
    ]
    for _ in range(times):
        rows = await connection.fetch(STOP, succeeded.split(), json.dumps(errors))
        found += [row["destination"] for row in rows]
    return found


async def passed(connection: asyncpg.Connection, days: int) -> None:
    """As if some days had passed."""
    await connection.execute(
        "UPDATE webhook_failing_forwards SET failing_since = failing_since - $1 * interval '1 day'",
        days,
    )
    await connection.execute(
        "UPDATE webhook_destinations SET changed_at = changed_at - $1 * interval '1 day'", days
    )


async def test_a_forward_that_only_fails_for_days_is_stopped_once(
    connection: asyncpg.Connection,
) -> None:
    """And it stays stopped until a person starts it, who then has days again."""
    assert await reported(connection, failed="crm other", times=20) == []
    await passed(connection, 4)
    assert await reported(connection, failed="crm other", times=3) == []
    assert await reported(connection, succeeded="other", failed="other") == []
    await passed(connection, 2)

    assert await reported(connection, failed="crm other", times=12) == ["crm"]
    [row] = await connection.fetch("SELECT * FROM webhook_destinations")
    assert (row["name"], row["forced_state"], row["changed_by"]) == ("crm", "open", "ringback")
    assert await connection.fetchval("SELECT action FROM webhook_audit") == "set_destination"
    [notice] = await connection.fetch("SELECT * FROM webhook_forward_notices")
    assert (notice["endpoint_id"], notice["forward"], notice["org_id"]) == ("acme", "crm", ORG)
    assert notice["failing_since"] < notice["stopped_at"]

    await connection.execute(
        "SELECT set_webhook_destination('crm', NULL, 'ada', 'operator', 'It is back.')"
    )
    assert await reported(connection, failed="crm", times=12) == []
    await passed(connection, 6)
    assert await reported(connection, failed="crm") == ["crm"]


async def test_few_failures_in_many_days_stop_nothing(connection: asyncpg.Connection) -> None:
    await reported(connection, failed="crm", times=8)
    await passed(connection, 30)

    assert await reported(connection, failed="crm") == []
    assert await reported(connection, succeeded="crm", failed="crm") == []
