"""The meaning of the numbers in the answer."""

import asyncio

import pytest

from ringback.metrics.v1.metrics_service_pb2 import WatchQueueHealthRequest
from services.metrics.auth.principal import Principal, Role
from services.metrics.queries.queue_health import QueueHealth, health_of
from services.metrics.queries.queue_snapshot import LastDay, QueueSnapshot
from services.metrics.transport.call import Call
from tests.unit.metrics.queries.queue_states import processing, queues, state


def call_for(seconds: float) -> Call:
    deadline = asyncio.get_running_loop().time() + seconds
    return Call(Principal(Role.SERVICE, None, "test"), deadline, asyncio.Event())


@pytest.fixture
def snapshot() -> QueueSnapshot:
    snapshot = QueueSnapshot(count_max_age_s=18)
    snapshot.queues_read(queues())
    snapshot.log_read(processing(), LastDay(0, 0))
    snapshot.dead_letters_counted(0)
    return snapshot


def test_the_numbers_of_the_published_example() -> None:
    """Totals count waiting, active and delayed; the rate counts finished ones."""
    depths = queues(work=4, quarantine=1, retry_queues=(2, 0, 1), dlq=1)

    health = health_of(state(depths, in_flight=2, completed=1247, failed=3, unresolved=2))

    metrics, stats = health.metrics, health.stats
    assert (metrics.waiting, metrics.active, metrics.delayed, metrics.paused) == (5, 2, 3, 0)
    assert (metrics.completed, metrics.failed) == (1247, 3)
    assert (stats.total_jobs, stats.queue_depth, stats.failure_rate) == (10, 5, "0.24%")
    assert health.healthy
    assert (health.dead_letters, health.consumers) == (3, 1)
    assert health.timestamp.ToJsonString() == "2026-01-27T06:30:00Z"
    assert {queue.queue: queue.messages for queue in health.queues}["webhooks.retry.3.2s"] == 1


def test_a_pause_that_never_was_has_no_time() -> None:
    """Absent, not empty."""
    never_paused = health_of(state()).processing

    assert not never_paused.HasField("changed_at")
    assert not never_paused.HasField("changed_by")


async def test_a_watch_continues_until_the_process_stops(snapshot: QueueSnapshot) -> None:
    """It then ends early, without waiting for its interval."""
    call = call_for(60)
    answers = []

    async for answer in QueueHealth(snapshot).watch_queue_health(
        WatchQueueHealthRequest(interval_s=1), call
    ):
        answers.append(answer)
        if len(answers) == 2:
            call.stopping.set()

    assert len(answers) == 2
    assert answers[0].health.healthy


async def test_a_watch_ends_at_its_deadline(snapshot: QueueSnapshot) -> None:
    """Nobody waits for its next answer."""
    answers = [
        answer
        async for answer in QueueHealth(snapshot).watch_queue_health(
            WatchQueueHealthRequest(), call_for(0.05)
        )
    ]

    assert len(answers) == 1
