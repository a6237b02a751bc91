import pytest
from prometheus_client import CollectorRegistry

from ringback.contract.status import Status
from services.metrics.instruments import StateGauges
from services.metrics.polling.log_stats import LogStats
from services.metrics.polling.queue_depths import QueueDepth

QUEUE = "webhook_queue_messages"
DEAD = "webhook_dead_letter_queue_size"


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def gauges(registry: CollectorRegistry, clock: Clock) -> StateGauges:
    return StateGauges(registry, max_age_s=10, broker_is_connected=lambda: True, clock=clock)


def test_dead_letters_are_those_of_the_log_and_of_the_queue(
    gauges: StateGauges, registry: CollectorRegistry
) -> None:
    """The size is the sum of both, and absent until both are known."""
    gauges.dead_letters_counted(3)
    before = registry.get_sample_value(DEAD)
    gauges.queues_read({"webhooks.dlq": QueueDepth(2, 1)})

    assert before is None
    assert registry.get_sample_value(DEAD) == 5


def test_a_stale_reading_is_dropped(
    gauges: StateGauges, registry: CollectorRegistry, clock: Clock
) -> None:
    """A reading above its maximum age is absent; newer readings stay."""
    gauges.queues_read({"webhooks.dlq": QueueDepth(2, 1), "webhooks.work": QueueDepth(7, 1)})
    gauges.dead_letters_counted(3)
    gauges.stats_read(figures(accepted=9))
    before = registry.get_sample_value("webhook_ledger_accepted")
    clock.now_s += 8
    gauges.queues_read({"webhooks.work": QueueDepth(9, 1)})
    clock.now_s += 3

    assert registry.get_sample_value(QUEUE, {"queue": "webhooks.work"}) == 9
    assert registry.get_sample_value(QUEUE, {"queue": "webhooks.dlq"}) is None
    assert registry.get_sample_value(DEAD) is None
    assert (before, registry.get_sample_value("webhook_ledger_accepted")) == (9, None)


def figures(**changes: float) -> LogStats:
    return LogStats(**(dict.fromkeys(LogStats.__dataclass_fields__, 0) | changes))  # type: ignore[arg-type]  # all are numbers


def test_unfinished_webhooks_are_pending_or_in_flight(
    gauges: StateGauges, registry: CollectorRegistry
) -> None:
    """Processors report their webhooks in flight; the six statuses together are all webhooks."""
    gauges.stats_read(figures(completed=10, failed=1, dead_letter=2, unfinished=7, duplicate=3))
    before = registry.get_sample_value("webhook_deliveries", {"status": "pending"})
    gauges.in_flight_read(5)

    assert before is None
    assert {
        status: registry.get_sample_value("webhook_deliveries", {"status": status})
        for status in Status
    } == {
        "pending": 2,
        "processing": 5,
        "completed": 10,
        "failed": 1,
        "dead_letter": 2,
        "duplicate": 3,
    }


def test_no_status_falls_below_zero(gauges: StateGauges, registry: CollectorRegistry) -> None:
    """The two are read at different moments, so more may be in flight than is unfinished."""
    gauges.stats_read(figures(unfinished=3))
    gauges.in_flight_read(5)

    assert registry.get_sample_value("webhook_deliveries", {"status": "pending"}) == 0
    assert registry.get_sample_value("webhook_deliveries", {"status": "processing"}) == 3
