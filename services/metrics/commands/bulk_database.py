"""What a bulk retry reads and writes in the database."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import structlog

from ringback.contract.identity import new_job_id
from ringback.contract.status import Status
from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from services.metrics.auth.access import Access, restrict_to_org
from services.metrics.commands.bulk_rules import RetriedWebhook, RetryRequest
from services.metrics.queries.delivery_stats import ALL_ORGS
from services.metrics.transport.call import Call
from services.metrics.transport.errors import ApiError, unavailable

_PACKAGE = "services.metrics.commands"
_FIRST = UUID(int=0)
_STEP_S = 5.0
_END_S = 5.0
_PAGE = 100

log = structlog.get_logger()


class RetryQuery:
    """Reads the matching dead letters that the caller may see.

    A run ignores dead letters that appear after it began, including those of its own retries.
    """

    def __init__(self, access: Access, request: RetryRequest, call: Call) -> None:
        self._access = access
        self._request = request
        self._call = call
        self._until = new_job_id()
        self._after = _FIRST

    async def count(self) -> int:
        """How many match. Raises ApiError."""
        rows = await self._read("retry_matched.sql", *self._filter())
        return int(rows[0][0]) if rows else 0

    async def next_page(self) -> list[UUID]:
        """The next ones that match, oldest first; empty at the end. Raises ApiError."""
        rows = await self._read("retry_candidates.sql", *self._filter(), _PAGE, in_order=True)
        ids = [row["id"] for row in rows]
        if ids:
            self._after = ids[-1]
        return ids

    async def states(self, ids: Sequence[UUID]) -> list[RetriedWebhook]:
        """The current states of these webhooks. Raises ApiError."""
        rows = await self._read("retry_outcomes.sql", ids) if ids else []
        return [RetriedWebhook(row["id"], Status(row["status"]), row["attempts"]) for row in rows]

    async def live_traffic(self) -> tuple[float, bool]:
        """Arrivals per second of all organisations, and whether processing is paused.

        Raises ApiError UNAVAILABLE.
        """
        try:
            async with self._access.as_service(_STEP_S, self._call.span) as connection:
                [row] = await connection.fetch(load(_PACKAGE, "retry_conditions.sql"), ALL_ORGS)
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            raise unavailable("DATABASE_UNAVAILABLE", "The database cannot be reached.") from exc
        return row["live_per_second"], row["is_paused"]

    def _filter(self) -> tuple[UUID | str | datetime | None, ...]:
        return (self._after, self._until, *astuple(self._request.matching))

    async def _read(self, statement: str, *arguments: Any, in_order: bool = False) -> list[Any]:
        scoped = restrict_to_org(one_step(self._call), self._request.org_id)
        if scoped is None:
            return []
        async with self._access.reading(scoped) as connection:
            if in_order:
                await connection.execute(load("services.metrics.queries", "in_order.sql"))
            rows: list[Any] = await connection.fetch(load(_PACKAGE, statement), *arguments)
            return rows


def one_step(call: Call) -> Call:
    """The same call with the deadline of one step: a run takes hours, a statement must not."""
    soon = asyncio.get_running_loop().time() + _STEP_S
    return replace(call, deadline=min(call.deadline, soon))


class RetryAudit:
    """Writes the audit rows for the start and the end of a bulk retry.

    Each retry also has its own row; all of them contain the id of the run.
    """

    def __init__(self, access: Access, request: RetryRequest, call: Call, run_id: str) -> None:
        self._access = access
        self._request = request
        self._call = call
        self._run_id = run_id

    async def begin(self, matched: int) -> None:
        """Raises ApiError; then the run must not begin."""
        request = self._request
        given = {
            "event_type": request.matching.event_type,
            "error_class": request.matching.error_class,
            "call_id": request.matching.call_id,
            "start_time": request.matching.start,
            "end_time": request.matching.before,
        }
        details = {
            "filter": {name: value for name, value in given.items() if value is not None},
            "matched": matched,
            "limit": request.limit,
            "rate_per_second": request.rate_per_second,
            "stop_after_failures": request.stop_after_failures,
        }
        await self._write("bulk_retry", self._call, details)

    async def end(self, result: Mapping[str, Any]) -> None:
        """Runs even if the caller has left. Raises nothing: completed retries stay completed."""
        soon = asyncio.get_running_loop().time() + _END_S
        try:
            await self._write("bulk_retry_ended", replace(self._call, deadline=soon), result)
        except ApiError as exc:
            log.warning(
                LogEvent.BULK_RETRY_RESULT_NOT_WRITTEN,
                run=self._run_id,
                reason=exc.reason,
                **result,
            )

    async def _write(self, action: str, call: Call, details: Mapping[str, Any]) -> None:
        principal = call.principal
        async with self._access.changing(call) as connection:
            await connection.execute(
                load(_PACKAGE, "retry_run_audit.sql"),
                principal.actor,
                principal.role.value,
                principal.org_id or self._request.org_id,
                action,
                self._request.reason,
                orjson.dumps({"run": self._run_id, **details}).decode(),
            )
