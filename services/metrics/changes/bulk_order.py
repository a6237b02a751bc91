"""The request of a bulk retry."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from ringback.metrics.v1.admin_service_pb2 import DeadLetterFilter, RetryDeliveriesRequest
from services.metrics.changes.change_asked import ChangeAsked

DEFAULT_LIMIT, MOST_AT_ONCE = 1_000, 100_000
DEFAULT_RATE, HIGHEST_RATE = 10.0, 100.0
DEFAULT_STOP_AFTER = 3


@dataclass(frozen=True, slots=True)
class Matching:
    """Dead letters that match every value that is not None. `before` is exclusive."""

    event_type: str | None = None
    error_class: str | None = None
    call_id: str | None = None
    start: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class BulkOrder:
    """`org_id` is None for everything that the caller may change."""

    matching: Matching
    org_id: UUID | None
    is_dry_run: bool
    limit: int
    rate_per_second: float
    stop_after_failures: int
    reason: str


def order_of(request: RetryDeliveriesRequest) -> BulkOrder:
    """Raises ApiError INVALID_ARGUMENT."""
    asked = ChangeAsked(request)
    for name in ("limit", "rate_per_second", "stop_after_failures"):
        if getattr(request, name) < 0:
            asked.refuse(name, "is less than 0.")
    reason = asked.reason(required=True)
    asked.accept()
    chosen = ChangeAsked(request.filter, "filter.")
    org_id = chosen.uuid("org_id")
    chosen.accept()
    return BulkOrder(
        matching=_matching(request.filter),
        org_id=org_id,
        is_dry_run=request.dry_run,
        limit=min(request.limit or DEFAULT_LIMIT, MOST_AT_ONCE),
        rate_per_second=min(request.rate_per_second or DEFAULT_RATE, HIGHEST_RATE),
        stop_after_failures=request.stop_after_failures or DEFAULT_STOP_AFTER,
        reason=reason,
    )


def _matching(chosen: DeadLetterFilter) -> Matching:
    return Matching(
        event_type=chosen.event_type or None,
        error_class=chosen.error_class or None,
        call_id=chosen.call_id or None,
        start=_time(chosen.start_time) if chosen.HasField("start_time") else None,
        before=_time(chosen.end_time) if chosen.HasField("end_time") else None,
    )


def _time(moment: Timestamp) -> datetime:
    return moment.ToDatetime(tzinfo=UTC)
