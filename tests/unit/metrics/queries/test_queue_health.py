"""The meaning of the numbers in the answer."""

import asyncio

import pytest

from ringback.contract.status import WaitReason
from ringback.metrics.v1 import delivery_pb2 as pb
from ringback.metrics.v1.metrics_service_pb2 import WatchQueueHealthRequest
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.queries.queue_health import QueueHealth, checks_of, health_of
from ringback.services.metrics.queries.queue_snapshot import QueueSnapshot, QueueState, WaitCount
from ringback.services.metrics.transport.call import Call
from tests.unit.metrics.queries.queue_states import last_day, processing, queues, state

_CONSUMERS = "The work and due queues have at least"


def call_for(seconds: float) -> Call:
    deadline = asyncio.get_running_loop().time() + seconds
    return Call(Principal(Role.SERVICE, None, "test"), deadline, asyncio.Event())


@pytest.fixture
def snapshot() -> QueueSnapshot:
    snapshot = QueueSnapshot(count_max_age_s=18)
    snapshot.queues_read(queues())
    snapshot.log_read(processing(), last_day(0, 0))
    snapshot.dead_letters_counted(0)
    snapshot.waits_counted({})
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


def test_waits_are_delayed_webhooks() -> None:
    """Counted once, with those in the retry queues. A destination may delay what waits for it."""
    waits = {
        WaitReason.RETRY: WaitCount(3, overdue_s=7.5),
        WaitReason.DESTINATION: WaitCount(4, overdue_s=600),
    }

    health = health_of(state(queues(work=1, retry_queues=(2,)), waits=waits))

    assert (health.metrics.delayed, health.stats.total_jobs) == (9, 10)
    assert (health.waits.total, health.waits.oldest_overdue_s) == (7, 7.5)
    assert [(one.reason, one.count, one.oldest_overdue_s) for one in health.waits.by_reason] == [
        (pb.WAIT_REASON_DESTINATION, 4, 600),
        (pb.WAIT_REASON_RETRY, 3, 7.5),
    ]


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
    watched = QueueHealth(snapshot).watch_queue_health(WatchQueueHealthRequest(), call_for(0.05))

    assert len([answer async for answer in watched]) == 1


FAILURES = (
    "of the webhooks of the last 24 hours have failed or are dead letters: less than 5% is healthy."
)


@pytest.mark.parametrize(
    ("name", "given", "ok", "value", "message"),
    [
        ("waiting", state(), True, 0, "0 webhooks are waiting: fewer than 100 are healthy."),
        ("waiting", state(queues(work=1)), True, 1,
         "1 webhook is waiting: fewer than 100 are healthy."),
        ("waiting", state(queues(work=90, quarantine=9)), True, 99,
         "99 webhooks are waiting: fewer than 100 are healthy."),
        ("waiting", state(queues(work=90, quarantine=10)), False, 100,
         "100 webhooks are waiting: fewer than 100 are healthy."),
        ("waiting", state(queues(retry_queues=(100, 100))), True, 0,
         "0 webhooks are waiting: fewer than 100 are healthy."),
        ("failure_rate", state(), True, 0,
         f"0.00% {FAILURES}"),
        ("failure_rate", state(completed=1247, failed=3), True, 0.0024,
         f"0.24% {FAILURES}"),
        ("failure_rate", state(completed=95, failed=5), False, 0.05,
         f"5.00% {FAILURES}"),
        ("failure_rate", state(completed=9501, failed=499), True, 0.0499,
         f"4.99% {FAILURES}"),
        ("dead_letters", state(unresolved=1), True, 1,
         "1 dead letter is unresolved: at most 10 are healthy."),
        ("dead_letters", state(queues(dlq=4), unresolved=6), True, 10,
         "10 dead letters are unresolved: at most 10 are healthy."),
        ("dead_letters", state(queues(dlq=5), unresolved=6), False, 11,
         "11 dead letters are unresolved: at most 10 are healthy."),
        ("consumers", state(queues(consumers=1)), True, 1, f"{_CONSUMERS} 1 consumer each."),
        ("consumers", state(queues(consumers=3)), True, 3, f"{_CONSUMERS} 3 consumers each."),
        ("consumers", state(queues(consumers=0)), False, 0, "No processor consumes webhooks."),
        ("consumers", state(queues(consumers=0), paused=True), False, 0,
         "No processor consumes webhooks: processing is paused."),
    ],
)  # fmt: skip
def test_a_check(name: str, given: QueueState, value: float, message: str, *, ok: bool) -> None:
    """Each threshold, on both sides of it."""
    [check] = [check for check in checks_of(given) if check.name == name]

    assert check.value == pytest.approx(value)
    assert (check.ok, check.message) == (ok, message)


def test_checks_are_in_the_order_of_the_contract() -> None:
    """Including those that pass, so that a caller sees what is checked."""
    limits = {"waiting": 100, "failure_rate": 0.05, "dead_letters": 10, "consumers": 1}

    assert [(check.name, check.limit) for check in checks_of(state())] == list(limits.items())
