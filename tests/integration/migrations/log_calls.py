"""The functions of the delivery log, called directly: one webhook, one argument each."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from ringback.contract.identity import new_job_id

TODAY = datetime.now(UTC).date()
ORG = UUID(int=1)
INSTANCE = UUID(int=2)


@dataclass(frozen=True, slots=True)
class Webhook:
    """A message's data, as the functions take it."""

    id: UUID = field(default_factory=new_job_id)
    dedup_key: str | None = None
    org_id: UUID = ORG
    endpoint_id: str = "default"
    event_type: str = "hang"
    event_data: str = '{"type":"hang"}'
    altered: bool = False
    max_attempts: int = 4
    call_id: str | None = "c-1"
    retry_of: UUID | None = None
    retry_schedule: str | None = None

    def columns(self) -> tuple[Any, ...]:
        return (
            self.org_id,
            self.endpoint_id,
            self.event_type,
            self.event_data,
            self.altered,
            self.max_attempts,
            self.call_id,
            self.dedup_key,
            INSTANCE,
            self.retry_of,
        )


@dataclass(frozen=True, slots=True)
class End:
    """The result of a webhook's attempt."""

    webhook: Webhook
    outcome: str = "completed"
    attempt: int = 1
    error: tuple[str, str] | tuple[None, None] = (None, None)
    ended_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    wait: Mapping[str, Any] | None = None
    forwards: tuple[str, ...] = ()


def wait_arguments(ends: Sequence[End]) -> tuple[str | None, list[bytes] | None]:
    """The waits after these attempts; `wait` has what differs from a retry in a minute."""
    if not ends:
        return None, None
    waits = [
        {
            "delivery_id": str(end.webhook.id),
            "attempt": end.attempt + 1,
            "org_id": str(end.webhook.org_id),
            "event_type": end.webhook.event_type,
            "reason": "retry",
            "delay_ms": 60_000,
            "headers": {"org_id": str(end.webhook.org_id)},
        }
        | dict(end.wait or {})
        for end in ends
    ]
    return json.dumps(waits), [end.webhook.event_data.encode() for end in ends]


def _forward_arguments(ends: Sequence[End]) -> tuple[str | None, list[bytes] | None]:
    forwards = [
        {
            "delivery_id": str(end.webhook.id),
            "forward": name,
            "max_attempts": 4,
            "headers": {"org_id": str(end.webhook.org_id), "forward": name},
        }
        for end in ends
        for name in end.forwards
    ]
    bodies = [end.webhook.event_data.encode() for end in ends for _ in end.forwards]
    return (json.dumps(forwards), bodies) if forwards else (None, None)


async def hold(connection: asyncpg.Connection, *ends: End) -> dict[UUID, str | None]:
    """Let webhooks wait for the attempt of their `End`; the recorded outcome by webhook."""
    arrays = _arrays([(end.webhook.id, end.attempt, *end.webhook.columns()) for end in ends])
    waits = [replace(end, wait={"attempt": end.attempt, **(end.wait or {})}) for end in ends]
    arguments = [*arrays, *wait_arguments(waits)]
    rows = await connection.fetch(_call("hold_webhooks", len(arguments)), *arguments)
    return {row["delivery_id"]: row["recorded_outcome"] for row in rows}


async def wait_of(connection: asyncpg.Connection, webhook: Webhook) -> asyncpg.Record | None:
    return await connection.fetchrow(
        "SELECT *, extract(epoch FROM due_at - created_at)::float AS delay_s FROM webhook_waits"
        " WHERE delivery_id = $1",
        webhook.id,
    )


def _arrays(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _call(function: str, count: int) -> str:
    places = ", ".join(f"${n}" for n in range(1, count + 1))
    return f"SELECT * FROM {function}({places})"  # ruff: ignore[hardcoded-sql-expression]  # a constant name


async def begin(
    connection: asyncpg.Connection, *webhooks: Webhook, attempt: int = 1
) -> dict[UUID, tuple[str | None, UUID | None]]:
    """By webhook: the recorded outcome, and the webhook that it is a duplicate of."""
    arrays = _arrays([(w.id, attempt, *w.columns()) for w in webhooks])
    rows = await connection.fetch(_call("begin_webhook_attempts", len(arrays)), *arrays)
    return {row["delivery_id"]: (row["recorded_outcome"], row["duplicate_of"]) for row in rows}


async def finish(
    connection: asyncpg.Connection, *ends: End
) -> dict[UUID, tuple[str, bool, UUID | None]]:
    """By webhook: the recorded outcome, whether it is new, and the webhook that it duplicates."""
    arrays = _arrays(
        [
            (
                end.webhook.id,
                end.attempt,
                end.outcome,
                end.ended_at - timedelta(milliseconds=250),
                end.ended_at,
                *end.error,
                "t" * 32,
                "s" * 16,
                *end.webhook.columns(),
            )
            for end in ends
        ]
    )
    waits = [end for end in ends if end.wait is not None]
    arguments = [*arrays[:9], [], None, *arrays[9:], *wait_arguments(waits)]
    arguments += [[None] * len(ends), *_forward_arguments(ends), None, None]
    rows = await connection.fetch(_call("finish_webhook_attempts", len(arguments)), *arguments)
    return {
        row["delivery_id"]: (row["final_outcome"], row["is_fresh"], row["duplicate_of"])
        for row in rows
    }


async def bury(
    connection: asyncpg.Connection,
    *webhooks: Webhook,
    attempt: int = 4,
    error: tuple[str | None, str | None] = (None, None),
) -> dict[UUID, tuple[int, str, str]]:
    """By webhook that became a dead letter: attempts, error class and error message."""
    arrays = _arrays([(w.id, attempt, *error, *w.columns(), w.retry_schedule) for w in webhooks])
    rows = await connection.fetch(_call("record_webhook_dead_letters", len(arrays)), *arrays)
    return {
        row["delivery_id"]: (row["attempts"], row["error_class"], row["error_message"])
        for row in rows
    }


async def accept(
    connection: asyncpg.Connection,
    *webhooks: Webhook,
    status: str = "pending",
    data: str | None = None,
) -> None:
    """Write the rows as a gateway does; a busy one writes `data` instead of the payload."""
    await connection.executemany(
        "INSERT INTO webhook_delivery_log (id, org_id, endpoint_id, event_type, event_data,"
        " altered, max_attempts, call_id, dedup_key, gateway_instance_id, retry_of, status, "
        "created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, webhook_created_at($1))"
        " ON CONFLICT DO NOTHING",
        [
            (w.id, *w.columns()[:3], data or w.event_data, *w.columns()[4:], status)
            for w in webhooks
        ],
    )


async def row_of(connection: asyncpg.Connection, webhook: Webhook) -> asyncpg.Record:
    row = await connection.fetchrow("SELECT * FROM webhook_delivery_log WHERE id = $1", webhook.id)
    assert row is not None
    return row


async def attempts_of(connection: asyncpg.Connection, webhook: Webhook) -> list[tuple[Any, ...]]:
    """Number, outcome, error class and error message of each attempt, in order."""
    rows = await connection.fetch(
        "SELECT attempt, outcome, error_class, error_message FROM webhook_delivery_attempts"
        " WHERE delivery_id = $1 ORDER BY attempt",
        webhook.id,
    )
    return [tuple(row) for row in rows]


async def owner_of(
    connection: asyncpg.Connection, dedup_key: str, org_id: UUID = ORG
) -> UUID | None:
    """The webhook that has the claim of an event."""
    owner: UUID | None = await connection.fetchval(
        "SELECT delivery_id FROM webhook_inbox WHERE org_id = $1 AND dedup_key = $2",
        org_id,
        dedup_key,
    )
    return owner


async def old_webhooks(
    connection: asyncpg.Connection, count: int, *, age_days: int = 40
) -> list[Webhook]:
    """Webhooks of a past day, for which partitions are created."""
    day = TODAY - timedelta(days=age_days)
    await connection.fetchval("SELECT ensure_webhook_partitions($1, $1)", day)
    first = await connection.fetchval(
        "SELECT webhook_id_at($1::date::timestamp AT TIME ZONE 'UTC' + interval '1 hour')", day
    )
    return [Webhook(id=UUID(int=first.int + n), dedup_key=f"{age_days}/{n}") for n in range(count)]


async def left(connection: asyncpg.Connection, age_days: int = 40) -> tuple[int, int] | None:
    """Rows and attempts of a day, or None if it was dropped."""
    suffix = f"{TODAY - timedelta(days=age_days):%Y%m%d}"
    names = [f"webhook_delivery_log_{suffix}", f"webhook_delivery_attempts_{suffix}"]
    exists = [
        await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name) for name in names
    ]
    if not any(exists):
        return None
    log, attempts = [
        await connection.fetchval(f"SELECT count(*) FROM {name}")  # ruff: ignore[hardcoded-sql-expression]  # a constant name
        for name in names
    ]
    return log, attempts


async def clean(
    connection: asyncpg.Connection, retention_days: int = 30, batch: int = 5_000
) -> None:
    await connection.execute(f"CALL cleanup_old_webhook_logs({retention_days}, {batch})")
