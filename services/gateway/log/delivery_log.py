"""Writes pending rows and this instance's ledger to the delivery log."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ringback.contract.json_text import read_json
from ringback.contract.redaction.redaction import Redacted, Redaction
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from services.gateway.webhook import AcceptedWebhook

_PACKAGE = "services.gateway.log"

EMPTY_PAYLOAD = Redacted(value={}, text="{}", altered=False, hidden=())
"""Marks a row without a payload for the processor: an event is never an empty object."""

WRITE_ERRORS: tuple[type[BaseException], ...] = (
    *DATABASE_UNAVAILABLE_ERRORS,
    asyncpg.PostgresError,
)
"""The database is unavailable, not migrated, or denies access."""

_INVALID_ROW_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""PostgreSQL will never accept the row. Parsing the JSON should have prevented this."""


@dataclass(frozen=True, slots=True)
class DeliveryLog:
    pool: asyncpg.Pool
    instance_id: UUID
    max_attempts: int
    redaction: Redaction

    async def write(self, rows: Sequence[AcceptedWebhook], *, accepted: int | None) -> int:
        """Insert the rows, and the ledger's count if given; return how many rows were lost.

        Only rows whose data PostgreSQL rejects are lost. Raises one of WRITE_ERRORS when the same
        call may succeed later; repeating it is safe.
        """
        try:
            await self._write_at_once(rows, accepted)
        except _INVALID_ROW_ERRORS:
            lost = await self._write_one_by_one(rows)
            await self._write_at_once([], accepted)
            return lost
        return 0

    async def _write_at_once(self, rows: Sequence[AcceptedWebhook], accepted: int | None) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            if rows:
                await self._insert(connection, rows)
            if accepted is not None:
                sql = load(_PACKAGE, "insert_ledger.sql")
                await connection.execute(sql, self.instance_id, accepted)

    async def _write_one_by_one(self, rows: Sequence[AcceptedWebhook]) -> int:
        lost = 0
        async with self.pool.acquire() as connection:
            for row in rows:
                try:
                    await self._insert(connection, [row])
                except _INVALID_ROW_ERRORS:
                    lost += 1
        return lost

    async def _insert(
        self, connection: asyncpg.pool.PoolConnectionProxy, rows: Sequence[AcceptedWebhook]
    ) -> None:
        # Sorted, because writers that lock the same ids in different orders deadlock.
        ordered = sorted(rows, key=lambda row: row.envelope.job_id)
        envelopes = [row.envelope for row in ordered]
        payloads = [self._payload(row) for row in ordered]
        await connection.execute(
            load(_PACKAGE, "insert_pending_rows.sql"),
            [envelope.job_id for envelope in envelopes],
            [envelope.org_id for envelope in envelopes],
            [envelope.endpoint_id for envelope in envelopes],
            [envelope.event_type for envelope in envelopes],
            [payload.text for payload in payloads],
            [payload.altered for payload in payloads],
            [envelope.received_at for envelope in envelopes],
            [row.call_id for row in ordered],
            [envelope.dedup_key for envelope in envelopes],
            self.max_attempts,
            self.instance_id,
        )

    def _payload(self, row: AcceptedWebhook) -> Redacted:
        return self.redaction.of(read_json(row.body)) if row.body else EMPTY_PAYLOAD
