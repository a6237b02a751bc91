import asyncio
from collections.abc import AsyncGenerator

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
from services.metrics.api.call import Call
from services.metrics.reads.asked import Asked
from services.metrics.reads.delivery_message import time_of
from services.metrics.reads.health_checks import checks_of
from services.metrics.reads.queue_snapshot import QueueSnapshot
from services.metrics.reads.queue_state import Processing, QueueState

DEFAULT_INTERVAL_S = 2.0
SHORTEST_INTERVAL_S = 1.0
LONGEST_INTERVAL_S = 60.0


class QueueHealth:
    """The health of the queues, from the last readings."""

    def __init__(self, snapshot: QueueSnapshot) -> None:
        self._snapshot = snapshot

    async def answer(self, _request: GetQueueHealthRequest, _call: Call) -> GetQueueHealthResponse:
        """Raises ApiError UNAVAILABLE when the numbers are too old."""
        return health_of(self._snapshot.state())

    async def watch(
        self, request: WatchQueueHealthRequest, call: Call
    ) -> AsyncGenerator[WatchQueueHealthResponse, None]:
        """Ends when the process stops or the deadline passes; raises as `answer` does."""
        asked = Asked(request)
        interval_s = request.interval_s or DEFAULT_INTERVAL_S
        if not SHORTEST_INTERVAL_S <= interval_s <= LONGEST_INTERVAL_S:
            asked.refuse("interval_s", "is not from 1 to 60.")
        asked.accept()

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
