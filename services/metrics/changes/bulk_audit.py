"""The audit lines of a bulk retry as a whole. Each retry has its own line."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.api.errors import ApiError
from services.metrics.changes.actor import actor_of
from services.metrics.changes.bulk_order import BulkOrder

_ENDING_S = 5.0

log = structlog.get_logger()


class BulkAudit:
    """`details` have the id of the run, so that its lines and its retries are found together."""

    def __init__(self, access: Access, order: BulkOrder, call: Call, run: str) -> None:
        self._access = access
        self._order = order
        self._call = call
        self._run = run

    async def began(self, matched: int) -> None:
        """Raises ApiError; then the run must not begin."""
        order = self._order
        chosen = {
            "event_type": order.matching.event_type,
            "error_class": order.matching.error_class,
            "call_id": order.matching.call_id,
            "start_time": order.matching.start,
            "end_time": order.matching.before,
        }
        details = {
            "filter": {name: value for name, value in chosen.items() if value is not None},
            "matched": matched,
            "limit": order.limit,
            "rate_per_second": order.rate_per_second,
            "stop_after_failures": order.stop_after_failures,
        }
        await self._write("bulk_retry", self._call, details)

    async def ended(self, how: Mapping[str, Any]) -> None:
        """Runs even if the caller has left. Raises nothing: completed retries stay completed."""
        soon = asyncio.get_running_loop().time() + _ENDING_S
        try:
            await self._write("bulk_retry_ended", replace(self._call, deadline=soon), how)
        except ApiError as exc:
            log.warning(
                LogEvent.BULK_RETRY_RESULT_NOT_WRITTEN, run=self._run, reason=exc.reason, **how
            )

    async def _write(self, action: str, call: Call, details: Mapping[str, Any]) -> None:
        principal = call.principal
        async with self._access.changing(call) as connection:
            await connection.execute(
                load("services.metrics", "retry_run_audit.sql"),
                actor_of(principal),
                principal.role.value,
                principal.org_id or self._order.org_id,
                action,
                self._order.reason,
                orjson.dumps({"run": self._run, **details}).decode(),
            )
