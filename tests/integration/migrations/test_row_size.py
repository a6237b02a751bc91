"""The disk space of a webhook without its payload."""

import asyncpg

from tests.integration.migrations.log_calls import End, Webhook, accept, begin, finish

WEBHOOKS = 2_000
AT_ONCE = 100
ROW_BYTES = 1_200
ALL_BYTES = 1_800

LOG = ["webhook_delivery_log"]
ALL = [*LOG, "webhook_delivery_attempts", "webhook_inbox"]
SIZE = """
    SELECT sum(pg_total_relation_size(tree.relid))::bigint
    FROM unnest($1::text[]) AS root, pg_partition_tree(root::regclass) AS tree
"""


async def test_a_webhook_takes_about_a_kilobyte_beside_its_payload(
    connection: asyncpg.Connection,
) -> None:
    """Its row with all indexes; its attempt and its claim add half as much again."""
    payload = '{"type":"hang"}'
    row_before = await connection.fetchval(SIZE, LOG)
    all_before = await connection.fetchval(SIZE, ALL)

    for start in range(0, WEBHOOKS, AT_ONCE):
        webhooks = [
            Webhook(
                dedup_key=f"status-update|0190f5c4-0000-7000-8000-{start + n:012}|in-progress",
                call_id=f"0190f5c4-0000-7000-8000-{start + n:012}",
                event_data=payload,
            )
            for n in range(AT_ONCE)
        ]
        await accept(connection, *webhooks)
        await begin(connection, *webhooks)
        await finish(connection, *(End(webhook) for webhook in webhooks))
    row_bytes = (await connection.fetchval(SIZE, LOG) - row_before) / WEBHOOKS - len(payload)
    all_bytes = (await connection.fetchval(SIZE, ALL) - all_before) / WEBHOOKS - len(payload)

    assert 500 < row_bytes < ROW_BYTES
    assert row_bytes < all_bytes < ALL_BYTES
