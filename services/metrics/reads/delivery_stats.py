"""Results of the webhooks that were created in a range of time."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Self
from uuid import UUID

from asyncpg import Record

from ringback.metrics.v1.metrics_service_pb2 import (
    DeliverySummary,
    EventTypeStats,
    GetDeliveryStatsRequest,
    GetDeliveryStatsResponse,
)
from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.reads.asked import Asked
from services.metrics.reads.scope import seen_by
from services.metrics.reads.window import BadRange, Window

ALL_ORGS = UUID(int=2**128 - 1)
"""The database keeps the totals of all organisations under this id."""

DEFAULT_RANGE = "24h"
MOST_TYPES = 100
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Counts:
    """Webhooks by kind. `attempts` are those of the completed, the failed and the dead letters."""

    completed: int = 0
    failed: int = 0
    dead_letter: int = 0
    pending: int = 0
    duplicates: int = 0
    attempts: int = 0

    def __add__(self, other: Self) -> Self:
        return type(self)(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    @property
    def finished(self) -> int:
        """Those that have ended or whose last attempt failed."""
        return self.completed + self.failed + self.dead_letter

    @property
    def total(self) -> int:
        """Duplicates are not counted."""
        return self.finished + self.pending


class DeliveryStats:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def get(self, request: GetDeliveryStatsRequest, call: Call) -> GetDeliveryStatsResponse:
        """Exact at the moment of its only statement. Raises ApiError."""
        asked = Asked(request)
        org_id = asked.uuid("org_id")
        window = _window_of(request, asked)
        asked.accept()

        seen = seen_by(call, org_id)
        rows = await self._rows(seen, window) if seen else []
        by_type = {row["event_type"]: Counts(*tuple(row)[1:]) for row in rows}
        return response_of(request.range or DEFAULT_RANGE, window, by_type)

    async def _rows(self, seen: Call, window: Window) -> list[Record]:
        async with self._access.reading(seen) as connection:
            rows: list[Record] = await connection.fetch(
                load("services.metrics", "delivery_stats.sql"),
                seen.principal.org_id or ALL_ORGS,
                window.start,
            )
        return rows


def response_of(asked: str, window: Window, by_type: dict[str, Counts]) -> GetDeliveryStatsResponse:
    """The answer for a range, from the database's counts by event type."""
    response = GetDeliveryStatsResponse(
        time_range=asked,
        summary=summary_of(_sum(by_type.values())),
        by_event_type={name: _type_stats(counts) for name, counts in _largest(by_type).items()},
    )
    response.start_time.FromDatetime(window.start)
    response.end_time.FromDatetime(window.end)
    return response


def summary_of(counts: Counts) -> DeliverySummary:
    """While nothing has finished there is no rate: it is 0, and `total` shows why."""
    success = counts.completed / counts.finished if counts.finished else 0.0
    average = counts.attempts / counts.finished if counts.finished else 0.0
    return DeliverySummary(
        total=counts.total,
        completed=counts.completed,
        failed=counts.failed,
        dead_letter=counts.dead_letter,
        pending=counts.pending,
        success_rate=f"{success:.2%}",
        avg_attempts=f"{average:.2f}",
        duplicates=counts.duplicates,
        success_ratio=success,
        average_attempts=average,
    )


def _type_stats(counts: Counts) -> EventTypeStats:
    return EventTypeStats(
        total=counts.total,
        completed=counts.completed,
        failed=counts.failed + counts.dead_letter,
        dead_letter=counts.dead_letter,
        pending=counts.pending,
        duplicates=counts.duplicates,
    )


def _largest(by_type: dict[str, Counts]) -> dict[str, Counts]:
    """The types with the most webhooks; the rest together, with a type of that name, as `other`."""
    ranked = sorted(by_type.items(), key=lambda item: (-item[1].total, item[0]))
    kept, rest = dict(ranked[:MOST_TYPES]), dict(ranked[MOST_TYPES:])
    if rest:
        kept[OTHER] = _sum([kept.get(OTHER, Counts()), *rest.values()])
    return kept


def _sum(many: Iterable[Counts]) -> Counts:
    return sum(many, start=Counts())


def _window_of(request: GetDeliveryStatsRequest, asked: Asked) -> Window:
    now = datetime.now(UTC)
    try:
        return Window.back(request.range or DEFAULT_RANGE, now)
    except BadRange as exc:
        asked.refuse("range", str(exc))
        return Window(now, now)
