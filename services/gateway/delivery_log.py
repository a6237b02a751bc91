"""Writes pending rows, and the ledger of this life, to the delivery log."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ringback.contract.json_text import read_json
from ringback.contract.redaction.redaction import Redacted, Redaction
from ringback.runtime.postgres import DATABASE_AWAY
from ringback.runtime.queries import load
from services.gateway.pending_row import PendingRow

_PACKAGE = "services.gateway"

LIGHT = Redacted(value={}, text="{}", altered=False, hidden=())
"""The payload of a row that has none: no event is an empty object, so the processor knows it."""

CANNOT_WRITE: tuple[type[BaseException], ...] = (*DATABASE_AWAY, asyncpg.PostgresError)
"""What stands between us and the log: the server is away, or not migrated, or forbids it."""

_BAD_ROW = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""What PostgreSQL says of a row that it will never take. Reading JSON should have prevented it."""


@dataclass(frozen=True, slots=True)
class DeliveryLog:
    pool: asyncpg.Pool
    gateway_life: UUID
    max_attempts: int
    redaction: Redaction

    async def write(self, rows: Sequence[PendingRow], *, accepted: int | None) -> int:
        """Insert the rows, and the ledger's count if there is one, and return how many were lost.

        A row whose data PostgreSQL refuses is lost without the others. Raises one of
        CANNOT_WRITE when the same call may succeed later; to repeat it does no harm.
        """
        try:
            await self._write_at_once(rows, accepted)
        except _BAD_ROW:
            lost = await self._write_one_by_one(rows)
            await self._write_at_once([], accepted)
            return lost
        return 0

    async def _write_at_once(self, rows: Sequence[PendingRow], accepted: int | None) -> None:
        async with self.pool.acquire() as connection, connection.transaction():
            if rows:
                await self._insert(connection, rows)
            if accepted is not None:
                sql = load(_PACKAGE, "insert_ledger.sql")
                await connection.execute(sql, self.gateway_life, accepted)

    async def _write_one_by_one(self, rows: Sequence[PendingRow]) -> int:
        lost = 0
        async with self.pool.acquire() as connection:
            for row in rows:
                try:
                    await self._insert(connection, [row])
                except _BAD_ROW:
                    lost += 1
        return lost

    async def _insert(
        self, connection: asyncpg.pool.PoolConnectionProxy, rows: Sequence[PendingRow]
    ) -> None:
        # Sorted, because two writers that lock the same ids in different orders deadlock.
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
            self.gateway_life,
        )

    def _payload(self, row: PendingRow) -> Redacted:
        return LIGHT if row.body is None else self.redaction.of(read_json(row.body))
