"""Counts webhooks by event type in a time range: GetDeliveryStats."""

import re
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
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
from ringback.services.metrics.auth.access import Access, restrict_to_org
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.request_reader import RequestReader

MIN_RANGE = timedelta(minutes=15)
MAX_RANGE = timedelta(days=30)
MAX_MINUTE_RANGE = timedelta(hours=47)
"""Counts by minute are kept for 48 hours. A longer window starts at a full hour."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RANGE = re.compile(r"([0-9]{1,5})([mhd])")
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}


class InvalidRangeError(ValueError):
    """The text is not a range. The message is the end of a sentence about the field."""


@dataclass(frozen=True, slots=True)
class Window:
    """From `start`, a whole minute or hour, up to `end`, the time of the request."""

    start: datetime
    end: datetime

    @classmethod
    def back(cls, text: str, now: datetime) -> Self:
        """The window of a range such as `15m`, `24h` or `30d` that ends at `now`.

        Its start is rounded down to a full minute, for a range over 47 hours to a full hour (UTC).
        `now` has a time zone. Raises InvalidRangeError.
        """
        span = _span(text)
        grain = timedelta(minutes=1) if span <= MAX_MINUTE_RANGE else timedelta(hours=1)
        return cls(_floor(now - span, grain), now)


def _span(text: str) -> timedelta:
    match = _RANGE.fullmatch(text)
    if match is None:
        raise InvalidRangeError(
            "must be a whole number of minutes, hours or days, such as 15m, 24h or 30d."
        )
    span = int(match[1]) * _UNITS[match[2]]
    if not MIN_RANGE <= span <= MAX_RANGE:
        raise InvalidRangeError("must be from 15m to 30d.")
    return span


def _floor(moment: datetime, grain: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % grain


ALL_ORGS = UUID(int=2**128 - 1)
"""The database keeps the totals of all organisations under this id."""

DEFAULT_RANGE = "24h"
MAX_TYPES = 100
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of webhooks. `attempts` counts the attempts of all `finished` webhooks."""

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

    async def get_delivery_stats(
        self, request: GetDeliveryStatsRequest, call: Call
    ) -> GetDeliveryStatsResponse:
        """Exact at the moment of its statements. Raises ApiError."""
        reader = RequestReader(request)
        org_id = reader.uuid("org_id")
        window = _window_of(request, reader)
        reader.check()

        scoped = restrict_to_org(call, org_id)
        rows, waiting = await self._rows(scoped, window) if scoped else ([], 0)
        by_type = {row["event_type"]: Counts(*tuple(row)[1:]) for row in rows}
        response = response_of(request.range or DEFAULT_RANGE, window, by_type)
        response.summary.waiting = waiting
        return response

    async def _rows(self, scoped: Call, window: Window) -> tuple[list[Record], int]:
        """The counts by event type, and how many of the webhooks wait in the database."""
        async with self._access.reading(scoped) as connection:
            rows: list[Record] = await connection.fetch(
                load("ringback.services.metrics.queries", "delivery_stats.sql"),
                scoped.principal.org_id or ALL_ORGS,
                window.start,
            )
            [waiting] = await connection.fetch(
                load("ringback.services.metrics.queries", "waits_in_range.sql"), window.start
            )
        return rows, waiting["count"]


def response_of(
    time_range: str, window: Window, by_type: dict[str, Counts]
) -> GetDeliveryStatsResponse:
    """The answer for a range, from the database's counts by event type."""
    response = GetDeliveryStatsResponse(
        time_range=time_range,
        summary=summary_of(_sum(by_type.values())),
        by_event_type={name: _type_stats(counts) for name, counts in _largest(by_type).items()},
    )
    response.start_time.FromDatetime(window.start)
    response.end_time.FromDatetime(window.end)
    return response


def summary_of(counts: Counts) -> DeliverySummary:
    """The totals. Before any webhook has finished, the success ratio is 0."""
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
    """Keep the types with the most webhooks. The sum of the rest is added to the type `other`."""
    ranked = sorted(by_type.items(), key=lambda item: (-item[1].total, item[0]))
    kept, rest = dict(ranked[:MAX_TYPES]), dict(ranked[MAX_TYPES:])
    if rest:
        kept[OTHER] = _sum([kept.get(OTHER, Counts()), *rest.values()])
    return kept


def _sum(many: Iterable[Counts]) -> Counts:
    return sum(many, start=Counts())


def _window_of(request: GetDeliveryStatsRequest, reader: RequestReader) -> Window:
    now = datetime.now(UTC)
    try:
        return Window.back(request.range or DEFAULT_RANGE, now)
    except InvalidRangeError as exc:
        reader.add_violation("range", str(exc))
        return Window(now, now)
