"""Many batches at once, over the same webhooks and the same events."""

import asyncio
import random

import asyncpg
import pytest

from tests.integration.migrations.conftest import Connect
from tests.integration.migrations.log_calls import End, Webhook, accept, begin, bury, finish

CONNECTIONS = 8
ROUNDS = 25
ERROR = ("TimeoutError", "It took too long.")


async def act(
    connection: asyncpg.Connection, chance: random.Random, webhooks: list[Webhook]
) -> None:
    """What a gateway or a processor may do with some webhooks, in any order of them."""
    some = chance.sample(webhooks, chance.randint(1, len(webhooks)))
    match chance.randrange(5):
        case 0:
            await accept(connection, *sorted(some, key=lambda webhook: webhook.id))
        case 1:
            await begin(connection, *some, attempt=chance.randint(1, 2))
        case 2:
            await bury(connection, *some)
        case _:
            await finish(
                connection,
                *(
                    End(
                        webhook,
                        chance.choice(["completed", "failed", "permanent"]),
                        chance.randint(1, 3),
                        ERROR,
                    )
                    for webhook in some
                ),
            )


@pytest.fixture
async def connections(connect: Connect) -> list[asyncpg.Connection]:
    """Connections that give a deadlock time to form, and detect it at once."""
    opened = [await connect() for _ in range(CONNECTIONS)]
    for connection in opened:
        await connection.execute("SET deadlock_timeout = '100ms'")
    return opened


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_batches_never_wait_in_a_circle(
    connections: list[asyncpg.Connection], seed: int
) -> None:
    """Overlapping batches of every kind wait for each other, and all of them end."""
    chance = random.Random(seed)

    for _ in range(ROUNDS):
        keys = [None, "a", "b", "c", "d"]
        webhooks = [
            Webhook(dedup_key=key and f"{key}{chance.random()}")
            for key in chance.choices(keys, k=6)
        ]
        webhooks += [Webhook(dedup_key=webhook.dedup_key) for webhook in webhooks]
        await accept(connections[0], *chance.sample(webhooks, 4))

        await asyncio.gather(*(act(connection, chance, webhooks) for connection in connections))

    await check_consistency(connections[0])


async def check_consistency(connection: asyncpg.Connection) -> None:
    """The log, the attempts and the claims agree."""
    assert (
        await connection.fetch(
            "SELECT id FROM webhook_delivery_log AS log WHERE NOT EXISTS"
            " (SELECT FROM webhook_delivery_attempts WHERE delivery_id = log.id)"
            " AND status IN ('completed', 'duplicate', 'failed')"
        )
        == []
    )
    assert (
        await connection.fetch(
            "SELECT delivery_id FROM webhook_delivery_attempts WHERE NOT EXISTS"
            " (SELECT FROM webhook_delivery_log WHERE id = delivery_id)"
        )
        == []
    )
    # The first of a duplicate has the claim.
    assert (
        await connection.fetch(
            "SELECT log.id FROM webhook_delivery_log AS log"
            " LEFT JOIN webhook_inbox AS inbox USING (org_id, dedup_key)"
            " WHERE (status = 'duplicate') <> (duplicate_of IS NOT NULL)"
            " OR (status = 'duplicate' AND duplicate_of IS DISTINCT FROM inbox.delivery_id)"
            " OR (status = 'completed' AND dedup_key IS NOT NULL AND inbox.delivery_id <> log.id)"
        )
        == []
    )
    # No event was completed twice.
    assert (
        await connection.fetch(
            "SELECT log.org_id, dedup_key FROM webhook_delivery_attempts"
            " JOIN webhook_delivery_log AS log ON log.id = delivery_id"
            " WHERE outcome = 'completed' AND dedup_key IS NOT NULL"
            " GROUP BY log.org_id, dedup_key HAVING count(DISTINCT delivery_id) > 1"
        )
        == []
    )
