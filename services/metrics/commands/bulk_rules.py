"""The rules of a bulk retry: its limits, its speed, and when it stops. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp

from ringback.contract.status import Status
from ringback.metrics.v1.admin_service_pb2 import DeadLetterFilter, RetryDeliveriesRequest
from services.metrics.transport.request_reader import RequestReader

DEFAULT_LIMIT, MAX_AT_ONCE = 1_000, 100_000
DEFAULT_RATE, MAX_RATE = 10.0, 100.0
DEFAULT_STOP_AFTER = 3


@dataclass(frozen=True, slots=True)
class DeadLetterMatch:
    """Dead letters that match every value that is not None. `before` is exclusive."""

    event_type: str | None = None
    error_class: str | None = None
    call_id: str | None = None
    start: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True)
class RetryRequest:
    """`org_id` is None for everything that the caller may change."""

    matching: DeadLetterMatch
    org_id: UUID | None
    is_dry_run: bool
    limit: int
    rate_per_second: float
    stop_after_failures: int
    reason: str


def retry_request_of(request: RetryDeliveriesRequest) -> RetryRequest:
    """Raises ApiError INVALID_ARGUMENT."""
    reader = RequestReader(request)
    for name in ("limit", "rate_per_second", "stop_after_failures"):
        if getattr(request, name) < 0:
            reader.add_violation(name, "must be at least 0.")
    reason = reader.reason(required=True)
    reader.check()
    filter_reader = RequestReader(request.filter, "filter.")
    org_id = filter_reader.uuid("org_id")
    filter_reader.check()
    return RetryRequest(
        matching=_matching(request.filter),
        org_id=org_id,
        is_dry_run=request.dry_run,
        limit=min(request.limit or DEFAULT_LIMIT, MAX_AT_ONCE),
        rate_per_second=min(request.rate_per_second or DEFAULT_RATE, MAX_RATE),
        stop_after_failures=request.stop_after_failures or DEFAULT_STOP_AFTER,
        reason=reason,
    )


def _matching(given: DeadLetterFilter) -> DeadLetterMatch:
    return DeadLetterMatch(
        event_type=given.event_type or None,
        error_class=given.error_class or None,
        call_id=given.call_id or None,
        start=_time(given.start_time) if given.HasField("start_time") else None,
        before=_time(given.end_time) if given.HasField("end_time") else None,
    )


def _time(moment: Timestamp) -> datetime:
    return moment.ToDatetime(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Load:
    """`waiting`: messages in the work queue; None when the broker does not answer."""

    waiting: int | None
    live_per_second: float
    is_paused: bool


@dataclass(frozen=True, slots=True)
class Throttle:
    """How fast a bulk retry may run. Live traffic has priority.

    `unfinished`: retries whose result is unknown; a run sees failures before it is far ahead of
    them. `min_rate` per second is always harmless, even when no webhooks arrive. `check_every_s`
    is how often the load is read.
    """

    max_unfinished: int = 50
    max_waiting: int = 50
    min_rate: float = 5.0
    share_of_live: float = 0.5
    check_every_s: float = 0.5

    def allowed_rate(self, requested: float, load: Load) -> float:
        """Retries per second that are allowed now; 0 when `hold_reason` returns a reason."""
        if self.hold_reason(load, unfinished=0) is not None:
            return 0.0
        return min(requested, max(self.min_rate, load.live_per_second * self.share_of_live))

    def hold_reason(self, load: Load, *, unfinished: int) -> str | None:
        """Why no retry is allowed now, as a sentence; None when one is."""
        if load.is_paused:
            return "Waiting: processing is paused."
        if load.waiting is None:
            return "Waiting: the broker does not report how many webhooks are queued."
        if load.waiting >= self.max_waiting:
            return f"Waiting: {load.waiting} webhooks are queued for a processor."
        if unfinished >= self.max_unfinished:
            return f"Waiting: {unfinished} retries are not finished yet."
        return None


def next_turn(last_turn: float, now: float, rate_per_second: float) -> float:
    """When the next retry may start. Missed turns are not made up for."""
    return max(last_turn + 1 / rate_per_second, now)


def stop_reason(
    *, failed_again: int, stop_after: int, broker_is_connected: bool, is_stopping: bool
) -> str | None:
    """Why nothing more is retried, as the end of a sentence; None to continue."""
    if failed_again >= stop_after:
        return f"{failed_again} of the retried webhooks failed again."
    if not broker_is_connected:
        return "the broker cannot be reached."
    if is_stopping:
        return "the service is shutting down; run the same retry again for the rest."
    return None


_ENDED = frozenset({Status.COMPLETED, Status.DUPLICATE, Status.DEAD_LETTER})
_FAILING = frozenset({Status.FAILED, Status.DEAD_LETTER})


@dataclass(frozen=True, slots=True)
class RetriedWebhook:
    """A row of the log: its status, and how many attempts have ended."""

    id: UUID
    status: Status
    attempts: int

    @property
    def has_ended(self) -> bool:
        return self.status in _ENDED

    @property
    def has_failed(self) -> bool:
        """Whether any attempt failed, even if a later one succeeded."""
        succeeded = self.has_ended and self.status not in _FAILING
        return self.status in _FAILING or self.attempts > int(succeeded)


@dataclass(slots=True)
class RetryProgress:
    """Results of the webhooks that a bulk retry created."""

    retried: int = 0
    completed: int = 0
    skipped: int = 0
    _unfinished: set[UUID] = field(default_factory=set)
    _failed: set[UUID] = field(default_factory=set)

    @property
    def failed_again(self) -> int:
        """Webhooks, not attempts."""
        return len(self._failed)

    @property
    def unfinished(self) -> frozenset[UUID]:
        """Those that have not ended, by the last states recorded."""
        return frozenset(self._unfinished)

    def add(self, new_id: UUID) -> None:
        self.retried += 1
        self._unfinished.add(new_id)

    def update(self, webhooks: Iterable[RetriedWebhook]) -> None:
        """Record the current states of some of the unfinished webhooks."""
        for webhook in webhooks:
            if webhook.id not in self._unfinished:
                continue
            if webhook.has_failed:
                self._failed.add(webhook.id)
            if webhook.has_ended:
                self._unfinished.discard(webhook.id)
                self.completed += webhook.status is Status.COMPLETED
