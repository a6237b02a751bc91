"""Tests for ringback.contract.topology: the broker's side of docs, as a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import Binding, topology

QUORUM = {"x-queue-type": "quorum"}
NEVER_LOSING = QUORUM | {
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}

SCHEDULES = st.lists(st.sampled_from(["1s", "2s", "1m"]), max_size=6).map(
    lambda delays: RetrySchedule.parse(",".join(delays))
)


@pytest.mark.parametrize(
    ("name", "kind", "arguments"),
    [
        ("webhooks", "topic", {"alternate-exchange": "webhooks.dead"}),
        ("webhooks.failed", "direct", {"alternate-exchange": "webhooks.dead"}),
        ("webhooks.dead", "fanout", {}),
    ],
)
def test_each_exchange_is_as_designed(name: str, kind: str, arguments: dict[str, str]) -> None:
    """Kind and arguments are part of the border: another process may have declared them."""
    [exchange] = [e for e in topology(RetrySchedule.parse("2s")).exchanges if e.name == name]

    assert (exchange.kind, dict(exchange.arguments)) == (kind, arguments)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        (
            "webhooks.work",
            NEVER_LOSING | {"x-dead-letter-exchange": "webhooks.failed", "x-delivery-limit": 100},
        ),
        (
            "webhooks.retry.1.2s",
            NEVER_LOSING
            | {
                "x-message-ttl": 2_000,
                "x-dead-letter-exchange": "webhooks",
                "x-dead-letter-routing-key": "attempt.2",
            },
        ),
        (
            "webhooks.retry.2.5m",
            NEVER_LOSING
            | {
                "x-message-ttl": 300_000,
                "x-dead-letter-exchange": "webhooks",
                "x-dead-letter-routing-key": "attempt.3",
            },
        ),
        (
            "webhooks.quarantine",
            NEVER_LOSING
            | {
                "x-dead-letter-exchange": "webhooks.dead",
                "x-delivery-limit": 3,
                "x-single-active-consumer": True,
            },
        ),
        (
            "webhooks.requeued",
            NEVER_LOSING
            | {
                "x-dead-letter-exchange": "webhooks",
                "x-dead-letter-routing-key": "attempt.requeued",
            },
        ),
        ("webhooks.dlq", QUORUM),
    ],
)
def test_each_queue_has_exactly_its_arguments(name: str, arguments: dict[str, object]) -> None:
    """One argument more or less is another queue for the broker, and might lose messages."""
    [queue] = [q for q in topology(RetrySchedule.parse("2s,5m")).queues if q.name == name]

    assert dict(queue.arguments) == arguments


def test_there_is_nothing_else() -> None:
    """Six queues for two delays, three exchanges, and the bindings between them."""
    wanted = topology(RetrySchedule.parse("2s,5m"))

    assert len(wanted.exchanges) == 3
    assert len(wanted.queues) == 6
    assert set(wanted.bindings) == {
        Binding("webhooks", "webhooks.work", "attempt.*"),
        Binding("webhooks.failed", "webhooks.retry.1.2s", "attempt.1"),
        Binding("webhooks.failed", "webhooks.retry.2.5m", "attempt.2"),
        Binding("webhooks.dead", "webhooks.dlq", ""),
    }


@given(SCHEDULES)
def test_each_attempt_has_one_retry_queue_and_leads_to_the_next(schedule: RetrySchedule) -> None:
    """Two retry queues bound to one attempt would copy every message."""
    wanted = topology(schedule)
    retry_queues = [b for b in wanted.bindings if b.exchange == "webhooks.failed"]
    queues = {queue.name: queue.arguments for queue in wanted.queues}

    keys = [binding.routing_key for binding in retry_queues]
    leads_to = [queues[binding.queue]["x-dead-letter-routing-key"] for binding in retry_queues]

    assert keys == [f"attempt.{n}" for n in range(1, schedule.max_attempts)]
    assert leads_to == [f"attempt.{n}" for n in range(2, schedule.max_attempts + 1)]


@given(SCHEDULES)
def test_what_is_named_is_declared_before(schedule: RetrySchedule) -> None:
    """Every exchange and queue that another object names is part of the topology."""
    wanted = topology(schedule)
    exchanges = [exchange.name for exchange in wanted.exchanges]
    queues = {queue.name for queue in wanted.queues}

    for place, exchange in enumerate(wanted.exchanges):
        assert exchange.arguments.get("alternate-exchange", "") in {"", *exchanges[:place]}
    for queue in wanted.queues:
        assert queue.arguments.get("x-dead-letter-exchange", exchanges[0]) in exchanges
    for binding in wanted.bindings:
        assert binding.exchange in exchanges
        assert binding.queue in queues


@given(SCHEDULES)
def test_no_queue_has_a_length_limit(schedule: RetrySchedule) -> None:
    """A retry queue that refuses would block all, and a work queue that refuses loses webhooks."""
    for queue in topology(schedule).queues:
        assert not {"x-max-length", "x-max-length-bytes"} & set(queue.arguments)
