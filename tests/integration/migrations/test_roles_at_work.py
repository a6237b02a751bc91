"""The services' own statements, run as the services' roles: all rights they need, no more."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from ringback.runtime.postgres.queries import load
from tests.integration.migrations.log_calls import (
    INSTANCE,
    ORG,
    End,
    Webhook,
    accept,
    begin,
    bury,
    clean,
    finish,
    left,
    old_webhooks,
    row_of,
)
from tests.support.database_roles import GATEWAY, METRICS, PROCESSOR, url_as

As = Callable[[str], Awaitable[asyncpg.Connection]]
REFUSED = asyncpg.InsufficientPrivilegeError


@pytest.fixture
async def connect_as(database_url: str) -> AsyncIterator[As]:
    """Opens sessions of a role, and closes them after the test."""
    async with AsyncExitStack() as stack:

        async def opening(role: str) -> asyncpg.Connection:
            connection = await asyncpg.connect(url_as(database_url, role), command_timeout=30)
            stack.push_async_callback(connection.close)
            return connection

        yield opening


async def write_pending(connection: asyncpg.Connection, *job_ids: UUID) -> None:
    """Write as the gateway does, with its own statement."""
    count = len(job_ids)
    await connection.execute(
        load("services.gateway.log", "insert_pending_rows.sql"),
        list(job_ids),
        [ORG] * count,
        ["default"] * count,
        ["hang"] * count,
        [datetime.now(UTC)] * count,
        ["c-1"] * count,
        [None] * count,
        4,
        INSTANCE,
    )


async def test_the_gateway_writes_rows_and_its_ledger(
    connect_as: As, connection: asyncpg.Connection
) -> None:
    """A batch that was written already is no error, and the statistics count each webhook once."""
    gateway = await connect_as(GATEWAY)
    first, second = new_job_id(), new_job_id()

    await write_pending(gateway, first)
    await write_pending(gateway, first, second)
    await gateway.execute(load("services.gateway.log", "insert_ledger.sql"), INSTANCE, 2)

    rows = await connection.fetch("SELECT id, status FROM webhook_delivery_log ORDER BY id")
    assert [tuple(row) for row in rows] == [(first, "pending"), (second, "pending")]
    assert await connection.fetchval("SELECT sum(pending) FROM webhook_stats_deltas") == 2
    assert await connection.fetchval("SELECT accepted FROM webhook_gateway_ledger") == 2


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT FROM webhook_delivery_log",
        "SELECT accepted FROM webhook_gateway_ledger",
        "UPDATE webhook_delivery_log SET status = 'completed'",
        "DELETE FROM webhook_delivery_log",
        "TRUNCATE webhook_delivery_log",
        "INSERT INTO webhook_gateway_ledger SELECT gen_random_uuid(), now(), 1 RETURNING accepted",
        "INSERT INTO webhook_audit (actor, role, action) VALUES ('a', 'service', 'pause')",
        "SELECT FROM webhook_inbox",
        "SELECT FROM voice_calls",
        "SELECT FROM schema_migrations",
        "SELECT ensure_webhook_partitions()",
        "SELECT drop_finished_webhook_partitions('2020-01-01')",
        "CALL cleanup_old_webhook_logs()",
        "CREATE TABLE webhook_mine ()",
        "SELECT webhook_created_at(uuidv7())",
        "SELECT lock_webhook_decision(uuidv7())",
        "SELECT discard_webhook(uuidv7(), 'a', 'service', 'Mine.')",
        "INSERT INTO webhook_gateway_ledger VALUES (uuidv7(), now(), 1)",
    ],
)
async def test_the_gateway_does_nothing_else(connect_as: As, statement: str) -> None:
    """An intruder can add webhooks, but learns nothing about existing ones."""
    gateway = await connect_as(GATEWAY)

    with pytest.raises(REFUSED):
        await gateway.execute(statement)


@pytest.mark.parametrize(
    "status", ["completed", "processing", "failed", "dead_letter", "duplicate"]
)
async def test_the_gateway_inserts_only_pending_rows(
    connect_as: As, connection: asyncpg.Connection, status: str
) -> None:
    """It cannot set a state that belongs to a processor or a person."""
    gateway = await connect_as(GATEWAY)
    insert = (
        "INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data,"
        " status, max_attempts, created_at) SELECT uuidv7(), uuidv7(), 'default', 'hang', '{}',"
        " $1, 4, now() ON CONFLICT DO NOTHING"
    )
    await gateway.execute(insert, "pending")

    with pytest.raises(REFUSED):
        await gateway.execute(insert, status)

    assert await connection.fetchval("SELECT count(*) FROM webhook_delivery_log") == 1


#: The statements of the services for PostgreSQL; those of the spool are for SQLite.
STATEMENTS = {
    service: [
        path.read_text(encoding="utf-8")
        for path in Path(str(files(f"services.{service}"))).rglob("*.sql")
        if "spool" not in path.parts
    ]
    for service in ("gateway", "processor")
}


@pytest.mark.parametrize(("role", "service"), [(GATEWAY, "gateway"), (PROCESSOR, "processor")])
async def test_a_service_may_run_each_of_its_statements(
    connect_as: As, role: str, service: str
) -> None:
    """This includes statements written in the future."""
    connection = await connect_as(role)
    assert STATEMENTS[service]
    for statement in STATEMENTS[service]:
        # A script of several statements sets and resets what needs no right.
        if "\nCALL " not in statement and statement.count(";") < 2:
            # EXPLAIN needs the same rights as running the statement.
            await connection.execute(f"EXPLAIN (GENERIC_PLAN) {statement}")


async def test_the_processor_can_end_webhooks_in_every_status(connect_as: As) -> None:
    """Begun, failed, completed, marked as a duplicate, dead-lettered; with its row or without."""
    processor = await connect_as(PROCESSOR)
    done, twin, dead = Webhook(dedup_key="a"), Webhook(dedup_key="a"), Webhook()
    await accept(processor, done)

    await begin(processor, done)
    await finish(processor, End(done, "failed", 1, ("E", "e")), End(dead, "failed", 4, ("E", "e")))
    await finish(processor, End(done, attempt=2))
    await finish(processor, End(twin))
    await bury(processor, dead)

    statuses = [(await row_of(processor, webhook))["status"] for webhook in (done, twin, dead)]
    assert statuses == ["completed", "duplicate", "dead_letter"]


async def test_the_processor_creates_days_and_cleans_up(connect_as: As) -> None:
    """Days, claims and the ledger: only by the functions, which keep unfinished work."""
    processor = await connect_as(PROCESSOR)
    [gone] = await old_webhooks(processor, 1, age_days=41)
    waiting, done = await old_webhooks(processor, 2)
    await accept(processor, waiting)
    await finish(processor, End(gone), End(done))
    await processor.execute(
        "INSERT INTO webhook_inbox VALUES ($1, 'old', $2, now() - interval '8 days')", ORG, gone.id
    )

    await clean(processor)

    assert await processor.fetchval("SELECT count(*) FROM webhook_delivery_log") == 1
    claims = await processor.fetch("SELECT dedup_key FROM webhook_inbox")
    assert "old" not in {row["dedup_key"] for row in claims}
    with pytest.raises(REFUSED):
        await left(processor)


@pytest.mark.parametrize(
    ("statement", "refusal"),
    [
        ("DELETE FROM webhook_delivery_log", "permission denied"),
        ("DELETE FROM webhook_delivery_attempts", "permission denied"),
        ("DROP TABLE webhook_inbox", "must be owner"),
        ("SELECT FROM webhook_audit", "permission denied"),
        ("UPDATE webhook_processing SET paused = true", "permission denied"),
        ("SELECT FROM webhook_stats", "permission denied"),
        ("SELECT fold_webhook_stats(1)", "permission denied"),
        ("SELECT enable_webhook_row_security('voice_calls')", "permission denied"),
    ],
)
async def test_the_processor_does_nothing_else(
    connect_as: As, statement: str, refusal: str
) -> None:
    """It deletes nothing itself, and does not touch what people decide."""
    processor = await connect_as(PROCESSOR)

    with pytest.raises(REFUSED, match=refusal):
        await processor.execute(statement)


@pytest.mark.parametrize(
    "function", ["drop_finished_webhook_partitions($1)", "delete_finished_webhooks($1, 10)"]
)
async def test_the_steps_of_the_cleanup_reject_today(connect_as: As, function: str) -> None:
    """The steps of the cleanup can be called alone, and refuse a day that is not past."""
    processor = await connect_as(PROCESSOR)

    with pytest.raises(asyncpg.RaiseError, match="is not past"):
        await processor.fetchval(f"SELECT {function}", datetime.now(UTC).date())


async def test_the_metrics_service_folds_and_counts_without_seeing_a_webhook(
    connect_as: As, connection: asyncpg.Connection
) -> None:
    """Its own role folds, prunes and counts; it reads the rows as its caller."""
    metrics = await connect_as(METRICS)
    dead = Webhook()
    await finish(connection, End(dead, "permanent", 1, ("E", "e")))
    await bury(connection, dead, attempt=1)

    assert await metrics.fetchval("SELECT count_unresolved_dead_letters()") == 1
    assert await metrics.fetchval("SELECT fold_webhook_stats(1000)") > 0
    await metrics.execute("SELECT prune_webhook_stats(), prune_webhook_retries(10)")
    for table in ("webhook_delivery_log", "webhook_delivery_attempts", "webhook_stats"):
        with pytest.raises(REFUSED):
            await metrics.execute(f"SELECT FROM {table}")
