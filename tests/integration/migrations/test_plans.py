"""Tests for the cost of statements: one day is read, updates are HOT, RLS costs one lookup."""

import json
import re
from datetime import UTC, datetime

import asyncpg
import pytest

from tests.integration.migrations.log_calls import ORG, End, Webhook, accept, begin, bury, finish
from tests.support.database_roles import OPERATOR, PROCESSOR, SERVICE, TENANT
from tests.support.eventually import eventually
from tests.support.executed_plans import ExecutedPlans

TODAY = f"{datetime.now(UTC):%Y%m%d}"
_DAY = re.compile(r"webhook_delivery_(?:log|attempts)_(\d{8})")

LOG = ["webhook_delivery_log"]
ALL = [*LOG, "webhook_delivery_attempts", "webhook_inbox"]
SIZE = """
    SELECT sum(pg_total_relation_size(tree.relid))::bigint
    FROM unnest($1::text[]) AS root, pg_partition_tree(root::regclass) AS tree
"""

NEWEST = "SELECT * FROM webhook_delivery_log ORDER BY id DESC LIMIT 20"
DEAD = "SELECT * FROM webhook_delivery_log WHERE is_unresolved ORDER BY id DESC LIMIT 20"
FINISHING = (
    "UPDATE webhook_delivery_log SET status = 'completed'"
    " WHERE id = ANY ('{0198a000-0000-7000-8000-000000000001}')"
)


async def test_a_plan_made_with_empty_tables_reads_few_rows_of_one_day(
    connection: asyncpg.Connection,
) -> None:
    """A plan is made once per session, before the server has counted the tables."""
    await connection.execute("ALTER TABLE webhook_inbox SET (autovacuum_enabled = false)")
    first, *later = [Webhook(dedup_key=f"{n}") for n in range(1501)]
    for batch in ([first], *(later[start : start + 100] for start in range(0, 1500, 100))):
        await accept(connection, *batch)
        await begin(connection, *batch)
        await finish(connection, *(End(webhook) for webhook in batch))
    plans = ExecutedPlans()
    await plans.watch(connection)

    last = Webhook(dedup_key="the last")
    await accept(connection, last)
    await begin(connection, last)
    await finish(connection, End(last))
    await bury(connection, Webhook(dedup_key="dead"))

    await eventually(lambda: plans.count > 10)
    days = {day[1] for scan in plans.scans if (day := _DAY.fullmatch(scan.table))}
    assert days == {TODAY}
    assert [scan for scan in plans.scans if scan.rows_read > 5] == []


async def test_no_index_has_a_column_that_a_successful_attempt_changes(
    connection: asyncpg.Connection,
) -> None:
    """Neither in its key nor in its condition: so the updates of an attempt stay HOT.

    `altered` changes only with a payload that could not be stored as it was.
    """
    rows = await connection.fetch(
        "SELECT DISTINCT attname FROM pg_index JOIN pg_depend ON objid = indexrelid"
        " AND classid = 'pg_class'::regclass AND refobjid = indrelid AND refobjsubid > 0"
        " JOIN pg_attribute ON attrelid = indrelid AND attnum = refobjsubid"
        " WHERE indrelid = 'webhook_delivery_log'::regclass"
    )

    indexed = {row["attname"] for row in rows}
    assert indexed == {
        *("id", "org_id", "call_id", "error_class", "is_unresolved"),
        *("event_type", "created_at", "altered"),
    }


async def test_an_attempt_does_not_copy_the_payload(connection: asyncpg.Connection) -> None:
    """An update keeps the stored value, so it costs the same for any payload."""
    table = f"webhook_delivery_log_{TODAY}"
    payload = json.dumps({"type": "hang", "text": "x" * 17_000})
    webhooks = [Webhook(dedup_key=f"{n}", event_data=payload) for n in range(20)]
    await accept(connection, *webhooks)
    stored = await _payload_bytes(connection, table)

    for webhook in webhooks:
        await begin(connection, webhook)
        await finish(connection, End(webhook))

    assert await _payload_bytes(connection, table) == stored > 0


async def _payload_bytes(connection: asyncpg.Connection, table: str) -> int:
    size: int = await connection.fetchval(
        "SELECT pg_relation_size(reltoastrelid) FROM pg_class WHERE relname = $1", table
    )
    return size


async def test_a_webhook_takes_about_a_kilobyte_beside_its_payload(
    connection: asyncpg.Connection,
) -> None:
    """Its row with all indexes; its attempt and its claim add half as much again."""
    payload = '{"type":"hang"}'
    row_before = await connection.fetchval(SIZE, LOG)
    all_before = await connection.fetchval(SIZE, ALL)

    for start in range(0, 2_000, 100):
        webhooks = [
            Webhook(
                dedup_key=f"status-update|0190f5c4-0000-7000-8000-{start + n:012}|in-progress",
                call_id=f"0190f5c4-0000-7000-8000-{start + n:012}",
                event_data=payload,
            )
            for n in range(100)
        ]
        await accept(connection, *webhooks)
        await begin(connection, *webhooks)
        await finish(connection, *(End(webhook) for webhook in webhooks))
    row_bytes = (await connection.fetchval(SIZE, LOG) - row_before) / 2_000 - len(payload)
    all_bytes = (await connection.fetchval(SIZE, ALL) - all_before) / 2_000 - len(payload)

    assert 500 < row_bytes < 1_200
    assert row_bytes < all_bytes < 1_800


async def plan(connection: asyncpg.Connection, role: str, statement: str) -> str:
    """The plan, as a role. No sequential scan: empty tables are read whole otherwise."""
    async with connection.transaction():
        await connection.execute(
            f"SET LOCAL enable_seqscan = off; SET LOCAL ringback.org_id = '{ORG}';"
            f"SET LOCAL ROLE {role}"
        )
        rows = await connection.fetch(f"EXPLAIN (VERBOSE, COSTS OFF) {statement}")
    return "\n".join(row[0] for row in rows)


@pytest.mark.parametrize("statement", [NEWEST, DEAD])
async def test_the_org_is_evaluated_once_per_statement(
    connection: asyncpg.Connection, statement: str
) -> None:
    """Not once per row."""
    explained = await plan(connection, TENANT, statement)

    assert explained.count("current_setting") == 1


async def test_roles_that_see_all_rows_have_the_plans_of_a_superuser(
    connection: asyncpg.Connection,
) -> None:
    """No policy applies to a superuser."""
    await connection.execute(f"GRANT UPDATE ON webhook_delivery_log TO {SERVICE}, {OPERATOR}")
    for statement in (NEWEST, DEAD, FINISHING):
        unbound = await plan(connection, "postgres", statement)
        for role in (PROCESSOR, SERVICE, OPERATOR):
            assert await plan(connection, role, statement) == unbound, role
