"""The rules of a retry run: what it retries, its limits, its speed, and when it ends. No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from ringback.contract.status import Status
from ringback.metrics.v1 import admin_service_pb2 as pb
from ringback.services.metrics.transport.request_reader import RequestReader

DEFAULT_LIMIT, MAX_AT_ONCE = 1_000, 100_000
DEFAULT_RATE, MAX_RATE = 10.0, 100.0
DEFAULT_STOP_AFTER = 3


class RunKind(StrEnum):
    """What a run retries."""

    DEAD_LETTERS = "dead_letters"
    COMPLETED = "completed"


class RunState(StrEnum):
    """A run in `STOPPING` ends in moments; one in the last three has ended."""

    RUNNING = "running"
    HELD = "held"
    PAUSED = "paused"
    STOPPING = "stopping"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Match:
    """Webhooks that match every value that is not None. `before` is exclusive."""

    event_type: str | None = None
    error_class: str | None = None
    call_id: str | None = None
    start: datetime | None = None
    before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPlan:
    """What a run is to do. Without `org_id` it covers all that its caller may change.

    `include_replays`: also completed webhooks that are replays themselves.
    """

    kind: RunKind
    matching: Match
    include_replays: bool
    org_id: UUID | None
    limit: int
    rate_per_second: float
    stop_after_failures: int
    reason: str


def plan_of(request: pb.RetryDeliveriesRequest | pb.CreateRetryRunRequest) -> RetryPlan:
    """Raises ApiError INVALID_ARGUMENT."""
    reader = RequestReader(request)
    for name in ("limit", "rate_per_second", "stop_after_failures"):
        if getattr(request, name) < 0:
            reader.add_violation(name, "must be at least 0.")
    kind, include_replays, is_reason_required = RunKind.DEAD_LETTERS, False, True
    if isinstance(request, pb.CreateRetryRunRequest):
        is_reason_required = not request.dry_run
        include_replays = request.include_replays
        reader.uuid("request_id")
        if request.kind == pb.RETRY_RUN_KIND_COMPLETED:
            kind = RunKind.COMPLETED
            _check_replay(request, reader)
        elif include_replays:
            reader.add_violation("include_replays", "is only for completed webhooks.")
    reason = reader.reason(required=is_reason_required)
    filter_reader = RequestReader(request.filter, "filter.")
    org_id = filter_reader.uuid("org_id")
    start, before = filter_reader.time_range()
    reader.check()
    filter_reader.check()
    return RetryPlan(
        kind=kind,
        matching=Match(
            event_type=filter_reader.text("event_type"),
            error_class=filter_reader.text("error_class"),
            call_id=filter_reader.text("call_id"),
            start=start,
            before=before,
        ),
        include_replays=include_replays,
        org_id=org_id,
        limit=min(request.limit or DEFAULT_LIMIT, MAX_AT_ONCE),
        rate_per_second=min(request.rate_per_second or DEFAULT_RATE, MAX_RATE),
        stop_after_failures=request.stop_after_failures or DEFAULT_STOP_AFTER,
        reason=reason,
    )


def _check_replay(request: pb.CreateRetryRunRequest, reader: RequestReader) -> None:
    if not request.filter.event_type:
        reader.add_violation("filter.event_type", "is required to replay completed webhooks.")
    if not request.filter.HasField("start_time"):
        reader.add_violation("filter.start_time", "is required to replay completed webhooks.")
    if not request.dry_run and not request.override_dedup:
        reader.add_violation(
            "override_dedup",
            "must be true to replay completed webhooks: handlers get events again that they have "
            "processed.",
        )


@dataclass(frozen=True, slots=True)
class Load:
    """The load on the system. `waiting`: messages in the work queue; None if unknown."""

    waiting: int | None
    live_per_second: float
    is_paused: bool
    broker_is_connected: bool = True


@dataclass(frozen=True, slots=True)
class Throttle:
    """How fast a bulk retry may run. Live traffic has priority.

    `max_unfinished`: retries without a result; the limit makes a run notice failures early.
    `max_waiting`: messages in the work queue. `min_rate`: retries per second that are always
    allowed, even if few webhooks arrive. `share_of_live`: retries for each webhook that arrives.
    `check_every_s`: how often the load is read.
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
        if not load.broker_is_connected:
            return "Waiting: the broker cannot be reached."
        if load.waiting is None:
            return "Waiting: the broker does not report how many webhooks are queued."
        if load.waiting >= self.max_waiting:
            return f"Waiting: {load.waiting} webhooks are queued for a processor."
        if unfinished >= self.max_unfinished:
            return f"Waiting: {unfinished} retries are not finished yet."
        return None


def next_turn(last_turn: float, now: float, rate_per_second: float) -> float:
    """When the next retry may start. After a delay, the following ones are not faster."""
    return max(last_turn + 1 / rate_per_second, now)


_ENDED = frozenset({Status.COMPLETED, Status.DUPLICATE, Status.DEAD_LETTER})
_FAILING = frozenset({Status.FAILED, Status.DEAD_LETTER})


@dataclass(frozen=True, slots=True)
class RetriedWebhook:
    """The status of a retried webhook, and how many of its attempts have ended."""

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
        """Counts webhooks, not attempts."""
        return len(self._failed)

    @property
    def unfinished(self) -> frozenset[UUID]:
        """Those that had not ended at the last `update`."""
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

    @property
    def summary(self) -> str:
        return (
            f"{self.retried} retried: {self.completed} completed, "
            f"{self.failed_again} failed again, {len(self._unfinished)} not finished yet."
        )


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends. A message of None keeps the message of the person who stops it."""

    state: RunState
    message: str | None


def ending_of(
    state: RunState,
    progress: RetryProgress,
    *,
    stop_after: int,
    is_abandoned: bool,
    has_retried_all: bool,
    is_settled: bool,
) -> Ending | None:
    """Whether the run ends now; None to continue, or to stay paused.

    `is_abandoned`: its caller has disconnected. `is_settled`: it waits no longer for results.
    """
    if state is RunState.STOPPING:
        return Ending(RunState.STOPPED, None)
    if is_abandoned:
        return Ending(RunState.STOPPED, "Stopped: the caller disconnected.")
    if state is RunState.PAUSED:
        return None
    if has_retried_all:
        return Ending(RunState.FINISHED, progress.summary) if is_settled else None
    if progress.failed_again >= stop_after:
        return Ending(
            RunState.STOPPED,
            f"Stopped: {progress.failed_again} of the retried webhooks failed again.",
        )
    return None
