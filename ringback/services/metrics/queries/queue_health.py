"""Checks the queues against the published thresholds: GetQueueHealth, WatchQueueHealth."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, dataclass

from ringback.contract import thresholds
from ringback.metrics.v1.delivery_pb2 import ProcessingState, WaitReason
from ringback.metrics.v1.metrics_service_pb2 import (
    GetQueueHealthRequest,
    GetQueueHealthResponse,
    HealthCheck,
    HealthSource,
    OldestWebhooks,
    QueueDepth,
    QueueMetrics,
    QueueStats,
    WaitCount,
    WaitStats,
    WatchQueueHealthRequest,
    WatchQueueHealthResponse,
    WebhookRates,
)
from ringback.services.metrics.queries.delivery_message import time_of
from ringback.services.metrics.queries.queue_snapshot import (
    REQUIRED_SOURCES,
    Processing,
    QueueSnapshot,
    QueueState,
    SourceName,
)
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.request_reader import RequestReader

MIN_CONSUMERS = 1


@dataclass(frozen=True, slots=True)
class Check:
    """A measured `value`, its `limit`, and a `message` that compares them in a sentence."""

    name: str
    ok: bool
    value: float
    limit: float
    message: str


def checks_of(state: QueueState) -> tuple[Check, ...]:
    """The checks with recent numbers, in the order of the contract, passed or not."""
    return tuple(check(state) for check, sources in _CHECKS if state.is_ok(*sources))


def _waiting(state: QueueState) -> Check:
    ok = state.waiting < thresholds.WAITING
    limit = f"fewer than {thresholds.WAITING} are healthy"
    message = f"{_webhooks(state.waiting)} waiting: {limit}."
    return Check("waiting", ok, state.waiting, thresholds.WAITING, message)


def _failure_rate(state: QueueState) -> Check:
    ratio = state.failure_ratio
    message = (
        f"{ratio:.2%} of the webhooks of the last 24 hours have failed or are dead letters: "
        f"less than {thresholds.FAILURE_RATIO:.0%} is healthy."
    )
    ok = ratio < thresholds.FAILURE_RATIO
    return Check("failure_rate", ok, ratio, thresholds.FAILURE_RATIO, message)


def _dead_letters(state: QueueState) -> Check:
    count, limit = state.dead_letters, thresholds.DEAD_LETTERS
    letters = "1 dead letter is" if count == 1 else f"{count} dead letters are"
    message = f"{letters} unresolved: at most {limit} are healthy."
    return Check("dead_letters", count <= limit, count, limit, message)


def _consumers(state: QueueState) -> Check:
    count = state.consumers
    if count >= MIN_CONSUMERS:
        plural = "s" if count > 1 else ""
        message = f"The work and due queues have at least {count} consumer{plural} each."
    elif state.processing.paused:
        message = "No processor consumes webhooks: processing is paused."
    else:
        message = "No processor consumes webhooks."
    return Check("consumers", count >= MIN_CONSUMERS, count, MIN_CONSUMERS, message)


def _webhooks(count: int) -> str:
    return "1 webhook is" if count == 1 else f"{count} webhooks are"


_CHECKS: tuple[tuple[Callable[[QueueState], Check], tuple[SourceName, ...]], ...] = (
    (_waiting, (SourceName.BROKER,)),
    (_failure_rate, (SourceName.DATABASE,)),
    (_dead_letters, REQUIRED_SOURCES),
    (_consumers, (SourceName.BROKER,)),
)

DEFAULT_INTERVAL_S = 2.0
MIN_INTERVAL_S = 1.0
MAX_INTERVAL_S = 60.0


class QueueHealth:
    """The health of the queues, from the last readings."""

    def __init__(self, snapshot: QueueSnapshot) -> None:
        self._snapshot = snapshot

    async def get_queue_health(
        self, request: GetQueueHealthRequest, _call: Call
    ) -> GetQueueHealthResponse:
        """Raises ApiError UNAVAILABLE if the last readings are too old, unless they may be."""
        return health_of(self._snapshot.state(allow_stale=request.allow_stale))

    async def watch_queue_health(
        self, request: WatchQueueHealthRequest, call: Call
    ) -> AsyncGenerator[WatchQueueHealthResponse, None]:
        """Ends when the process stops or the deadline passes. Raises like `get_queue_health`."""
        reader = RequestReader(request)
        interval_s = request.interval_s or DEFAULT_INTERVAL_S
        if not MIN_INTERVAL_S <= interval_s <= MAX_INTERVAL_S:
            reader.add_violation("interval_s", "must be from 1 to 60.")
        reader.check()

        while not call.stopping.is_set():
            yield WatchQueueHealthResponse(health=health_of(self._snapshot.state()))
            wait_s = min(interval_s, call.remaining_s())
            try:
                async with asyncio.timeout(wait_s):
                    await call.stopping.wait()
            except TimeoutError:
                if call.remaining_s() <= 0:
                    return


def health_of(state: QueueState) -> GetQueueHealthResponse:
    """The response for a state of the queues."""
    checks = checks_of(state)
    log_was_read = state.was_read(SourceName.DATABASE)
    is_complete = state.was_read(*REQUIRED_SOURCES)
    return GetQueueHealthResponse(
        healthy=state.is_ok(*REQUIRED_SOURCES) and all(check.ok for check in checks),
        metrics=_metrics_of(state) if is_complete else None,
        stats=_stats_of(state) if is_complete else None,
        timestamp=time_of(state.read_at),
        checks=[
            HealthCheck(
                name=check.name,
                ok=check.ok,
                value=check.value,
                limit=check.limit,
                message=check.message,
            )
            for check in checks
        ],
        dead_letters=state.dead_letters,
        consumers=state.consumers,
        processing=_processing_of(state.processing) if log_was_read else None,
        queues=[
            QueueDepth(queue=name, messages=depth.messages, unacknowledged=state.unacked.get(name))
            for name, depth in state.queues.items()
        ],
        waits=_waits_of(state) if log_was_read else None,
        rates=None if state.rates is None else WebhookRates(**asdict(state.rates)),
        oldest=None if state.oldest is None else OldestWebhooks(**asdict(state.oldest)),
        sources=[
            HealthSource(name=source.name, ok=source.ok, read_at=time_of(source.read_at))
            for source in state.sources.values()
        ],
    )


def _metrics_of(state: QueueState) -> QueueMetrics:
    return QueueMetrics(
        waiting=state.waiting,
        active=state.active,
        completed=state.last_day.completed,
        failed=state.last_day.failed,
        delayed=state.delayed,
        paused=state.waiting if state.processing.paused else 0,
    )


def _stats_of(state: QueueState) -> QueueStats:
    return QueueStats(
        total_jobs=state.waiting + state.active + state.delayed,
        failure_rate=f"{state.failure_ratio:.2%}",
        queue_depth=state.waiting,
        failure_ratio=state.failure_ratio,
    )


def _waits_of(state: QueueState) -> WaitStats:
    return WaitStats(
        total=sum(wait.count for wait in state.waits.values()),
        by_reason=[
            WaitCount(
                reason=WaitReason.Value(f"WAIT_REASON_{reason.upper()}"),
                count=wait.count,
                oldest_overdue_s=wait.overdue_s,
            )
            for reason, wait in sorted(state.waits.items())
        ],
        oldest_overdue_s=state.overdue_s,
    )


def _processing_of(processing: Processing) -> ProcessingState:
    return ProcessingState(
        paused=processing.paused,
        changed_at=time_of(processing.changed_at),
        changed_by=processing.changed_by,
        reason=processing.reason,
        processors=processing.processors,
        processors_paused=processing.processors_paused,
    )
