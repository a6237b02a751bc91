from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from ringback.contract.status import Status, WaitReason
from ringback.services.metrics.instruments import StateGauges
from ringback.services.metrics.polling.log_stats import LogStats
from ringback.services.metrics.polling.queue_depths import QueueDepth
from ringback.services.metrics.queries.queue_snapshot import WaitCount
from tests.unit.clock import Clock

Value = Callable[..., float | None]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def gauges(registry: CollectorRegistry, clock: Clock) -> StateGauges:
    return StateGauges(registry, max_age_s=10, broker_is_connected=lambda: True, clock=clock)


@pytest.fixture
def value(registry: CollectorRegistry) -> Value:
    return lambda name, **labels: registry.get_sample_value(f"webhook_{name}", labels)


def figures(**changes: float) -> LogStats:
    return LogStats(**(dict.fromkeys(LogStats.__dataclass_fields__, 0) | changes))  # type: ignore[arg-type]  # all are numbers


def test_dead_letters_are_those_of_the_log_and_of_the_queue(
    gauges: StateGauges, value: Value
) -> None:
    """The size is the sum of both, and absent until both are known."""
    gauges.dead_letters_counted(3)
    before = value("dead_letter_queue_size")
    gauges.queues_read({"webhooks.dlq": QueueDepth(2, 1)})

    assert (before, value("dead_letter_queue_size")) == (None, 5)


def test_each_reason_to_wait_has_a_value(gauges: StateGauges, value: Value, clock: Clock) -> None:
    """Also 0, so that a reason that nothing waits for any more does not stay as it was."""
    names = ("waiting", "wait_overdue_seconds")
    before = [value(name, reason="retry") for name in names]
    gauges.waits_counted({WaitReason.RETRY: WaitCount(3, 7.5), WaitReason.ORDER: WaitCount(1, 0)})
    gauges.waits_counted({WaitReason.RETRY: WaitCount(2, 0.5)})

    assert before == [None, None]
    assert [value(name, reason="retry") for name in names] == [2, 0.5]
    assert [value(name, reason="order") for name in names] == [0, 0]
    clock.now_s += 11
    assert [value(name, reason="retry") for name in names] == [None, None]


def test_a_stale_reading_is_dropped(gauges: StateGauges, value: Value, clock: Clock) -> None:
    """A reading above its maximum age is absent; newer readings stay."""
    gauges.queues_read({"webhooks.dlq": QueueDepth(2, 1), "webhooks.work": QueueDepth(7, 1)})
    gauges.dead_letters_counted(3)
    gauges.stats_read(figures(accepted=9))
    before = value("ledger_accepted")
    clock.now_s += 8
    gauges.queues_read({"webhooks.work": QueueDepth(9, 1)})
    clock.now_s += 3

    assert value("queue_messages", queue="webhooks.work") == 9
    assert value("queue_messages", queue="webhooks.dlq") is None
    assert value("dead_letter_queue_size") is None
    assert (before, value("ledger_accepted")) == (9, None)


def test_unfinished_webhooks_are_pending_or_in_flight(gauges: StateGauges, value: Value) -> None:
    """Processors report their webhooks in flight; the six statuses together are all webhooks.

    No status falls below zero, although the two are read at different moments.
    """
    gauges.stats_read(figures(completed=10, failed=1, dead_letter=2, unfinished=7, duplicate=3))
    before = value("deliveries", status="pending")
    gauges.in_flight_read(5)
    counts = [value("deliveries", status=status) for status in Status]
    gauges.in_flight_read(9)

    ended = {"completed": 10, "failed": 1, "dead_letter": 2, "duplicate": 3}
    assert before is None
    assert dict(zip(Status, counts, strict=True)) == ended | {"pending": 2, "processing": 5}
    assert value("deliveries", status="pending") == 0
    assert value("deliveries", status="processing") == 7
