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
def observer(registry: CollectorRegistry, clock: Clock) -> StateGauges:
    return StateGauges(registry, max_age_s=10, broker_is_connected=lambda: True, clock=clock)


def test_a_gauge_is_absent_before_its_first_reading(
    observer: StateGauges, registry: CollectorRegistry
) -> None:
    """A gauge that was never read is absent, not 0."""
    assert observer is not None

    assert registry.get_sample_value(DEAD) is None


def test_dead_letters_are_those_of_the_log_and_of_the_queue(
    observer: StateGauges, registry: CollectorRegistry
) -> None:
    """The size is the sum of both, once both are known."""
    observer.dead_letters_counted(3)
    before = registry.get_sample_value(DEAD)
    observer.queues_read({"webhooks.dlq": QueueDepth(2, 1)})

    assert before is None
    assert registry.get_sample_value(DEAD) == 5


def test_a_stale_reading_is_dropped(
    observer: StateGauges, registry: CollectorRegistry, clock: Clock
) -> None:
    """A reading above its maximum age is absent; newer readings stay."""
    observer.queues_read({"webhooks.dlq": QueueDepth(2, 1), "webhooks.work": QueueDepth(7, 1)})
    observer.dead_letters_counted(3)
    clock.now_s += 8
    observer.queues_read({"webhooks.work": QueueDepth(9, 1)})
    clock.now_s += 3

    assert registry.get_sample_value(QUEUE, {"queue": "webhooks.work"}) == 9
    assert registry.get_sample_value(QUEUE, {"queue": "webhooks.dlq"}) is None
    assert registry.get_sample_value(DEAD) is None


def figures(**told: float) -> LogStats:
    return LogStats(**(dict.fromkeys(LogStats.__dataclass_fields__, 0) | told))  # type: ignore[arg-type]  # all are numbers


def test_unfinished_webhooks_are_pending_or_in_flight(
    observer: StateGauges, registry: CollectorRegistry
) -> None:
    """Processors report their webhooks in flight; the six statuses together are all webhooks."""
    observer.stats_read(figures(completed=10, failed=1, dead_letter=2, unfinished=7, duplicate=3))
    before = registry.get_sample_value("webhook_deliveries", {"status": "pending"})
    observer.in_flight_read(5)

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


def test_no_status_falls_below_zero(observer: StateGauges, registry: CollectorRegistry) -> None:
    """The two are read at different moments, so more may be in flight than is unfinished."""
    observer.stats_read(figures(unfinished=3))
    observer.in_flight_read(5)

    assert registry.get_sample_value("webhook_deliveries", {"status": "pending"}) == 0
    assert registry.get_sample_value("webhook_deliveries", {"status": "processing"}) == 3


def test_the_figures_of_the_log_are_gauges(
    observer: StateGauges, registry: CollectorRegistry, clock: Clock
) -> None:
    """Each under its name, until they are too old."""
    observer.stats_read(
        figures(
            accepted=9,
            deficit=1,
            oldest_pending_s=60.5,
            oldest_failed_s=2,
            days_ahead=7,
            extra_days=2,
        )
    )
    names = {
        ("webhook_ledger_accepted", None): 9,
        ("webhook_ledger_deficit", None): 1,
        ("webhook_partitions_ahead", None): 7,
        ("webhook_extra_partitions", None): 2,
        ("webhook_oldest_age_seconds", "pending"): 60.5,
        ("webhook_oldest_age_seconds", "failed"): 2,
    }

    def told() -> dict[tuple[str, str | None], float | None]:
        return {
            (name, status): registry.get_sample_value(name, {"status": status} if status else {})
            for name, status in names
        }

    fresh = told()
    clock.now_s += 11

    assert fresh == names
    assert set(told().values()) == {None}
