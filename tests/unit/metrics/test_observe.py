import pytest
from prometheus_client import CollectorRegistry

from services.metrics.observe import Observer

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
def observer(registry: CollectorRegistry, clock: Clock) -> Observer:
    return Observer(registry, max_age_s=10, broker_is_up=lambda: True, clock=clock)


def test_nothing_is_told_before_it_was_read(
    observer: Observer, registry: CollectorRegistry
) -> None:
    """A gauge that was never read is absent, not 0."""
    assert observer is not None

    assert registry.get_sample_value(DEAD) is None


def test_dead_letters_are_those_of_the_log_and_of_the_queue(
    observer: Observer, registry: CollectorRegistry
) -> None:
    """The size is the sum of both, once both are known."""
    observer.dead_letters_counted(3)
    before = registry.get_sample_value(DEAD)
    observer.queues_read({"webhooks.dlq": 2})

    assert before is None
    assert registry.get_sample_value(DEAD) == 5


def test_a_stale_reading_is_dropped(
    observer: Observer, registry: CollectorRegistry, clock: Clock
) -> None:
    """What is older than its longest age is absent; what was read since stays."""
    observer.queues_read({"webhooks.dlq": 2, "webhooks.work": 7})
    observer.dead_letters_counted(3)
    clock.now_s += 8
    observer.queues_read({"webhooks.work": 9})
    clock.now_s += 3

    assert registry.get_sample_value(QUEUE, {"queue": "webhooks.work"}) == 9
    assert registry.get_sample_value(QUEUE, {"queue": "webhooks.dlq"}) is None
    assert registry.get_sample_value(DEAD) is None
