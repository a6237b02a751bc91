"""Checks the queues against the published thresholds: GetQueueHealth, WatchQueueHealth."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from ringback.contract import thresholds
from ringback.metrics.v1.delivery_pb2 import ProcessingState
from ringback.metrics.v1.metrics_service_pb2 import (
    GetQueueHealthRequest,
    GetQueueHealthResponse,
    HealthCheck,
    QueueDepth,
    QueueMetrics,
    QueueStats,
    WatchQueueHealthRequest,
    WatchQueueHealthResponse,
)
from services.metrics.queries.delivery_message import time_of
from services.metrics.queries.queue_snapshot import Processing, QueueSnapshot, QueueState
from services.metrics.transport.call import Call
from services.metrics.transport.request_reader import RequestReader

MIN_CONSUMERS = 1


@dataclass(frozen=True, slots=True)
class Check:
    """`value` was measured, `limit` is published; `message` compares them in a sentence."""

    name: str
    ok: bool
    value: float
    limit: float
    message: str


def checks_of(state: QueueState) -> tuple[Check, ...]:
    """All checks, in the order of the contract, passed or not."""
    return (_waiting(state), _failure_rate(state), _dead_letters(state), _consumers(state))


def _waiting(state: QueueState) -> Check:
    ok = state.waiting < thresholds.WAITING
    limit = f"fewer than {thresholds.WAITING} are healthy"
    message = f"{_webhooks(state.waiting)} waiting: {limit}."
    return Check("waiting", ok, state.waiting, thresholds.WAITING, message)


def _failure_rate(state: QueueState) -> Check:
    ratio = state.failure_ratio
    message = (
        f"{ratio:.2%} of the webhooks of the last 24 hours have failed: "
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


DEFAULT_INTERVAL_S = 2.0
MIN_INTERVAL_S = 1.0
MAX_INTERVAL_S = 60.0


class QueueHealth:
    """The health of the queues, from the last readings."""

    def __init__(self, snapshot: QueueSnapshot) -> None:
        self._snapshot = snapshot

    async def get_queue_health(
        self, _request: GetQueueHealthRequest, _call: Call
    ) -> GetQueueHealthResponse:
        """Raises ApiError UNAVAILABLE when the numbers are too old."""
        return health_of(self._snapshot.state())

    async def watch_queue_health(
        self, request: WatchQueueHealthRequest, call: Call
    ) -> AsyncGenerator[WatchQueueHealthResponse, None]:
        """Ends when the process stops or the deadline passes; raises as `get_queue_health` does."""
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
    """The answer to a state of the queues."""
    checks = checks_of(state)
    paused = state.processing.paused
    return GetQueueHealthResponse(
        healthy=all(check.ok for check in checks),
        metrics=QueueMetrics(
            waiting=state.waiting,
            active=state.active,
            completed=state.last_day.completed,
            failed=state.last_day.failed,
            delayed=state.delayed,
            paused=state.waiting if paused else 0,
        ),
        stats=QueueStats(
            total_jobs=state.waiting + state.active + state.delayed,
            failure_rate=f"{state.failure_ratio:.2%}",
            queue_depth=state.waiting,
            failure_ratio=state.failure_ratio,
        ),
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
        processing=_processing_of(state.processing),
        queues=[
            QueueDepth(queue=name, messages=depth.messages) for name, depth in state.queues.items()
        ],
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
