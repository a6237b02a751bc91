"""Tests for ringback.contract.topology: the broker's side of docs, as a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.retry_schedule import Attempt, RetrySchedule, attempt_of
from ringback.contract.topology import (
    FAILED,
    Binding,
    foreign_retry_queues,
    is_retry_queue,
    retry_queue_bindings,
    schedule_change,
    topology,
)

QUORUM: dict[str, object] = {"x-queue-type": "quorum"}
NEVER_LOSING = QUORUM | {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
CONSUMED = NEVER_LOSING | {"x-dead-letter-exchange": "webhooks.failed", "x-delivery-limit": 100}


def waiting(routing_key: str) -> dict[str, object]:
    """A queue whose messages are due for an attempt when their time has passed."""
    return NEVER_LOSING | {
        "x-dead-letter-exchange": "webhooks",
        "x-dead-letter-routing-key": routing_key,
    }


def test_everything_is_as_designed() -> None:
    """One argument more or less is another queue for the broker, and might lose messages.

    The delay of five minutes is a wait in PostgreSQL.
    """
    wanted = topology(RetrySchedule.parse("2s,5m,30s"))

    assert {one.name: (one.kind, dict(one.arguments)) for one in wanted.exchanges} == {
        "webhooks": ("topic", {"alternate-exchange": "webhooks.dead"}),
        "webhooks.failed": ("direct", {"alternate-exchange": "webhooks.dead"}),
        "webhooks.dead": ("fanout", {}),
    }
    assert {one.name: dict(one.arguments) for one in wanted.queues} == {
        "webhooks.work": CONSUMED,
        "webhooks.bulk": CONSUMED | {"x-dead-letter-routing-key": "attempt.1"},
        "webhooks.due": CONSUMED,
        "webhooks.retry.1.2s": waiting("attempt.2") | {"x-message-ttl": 2_000},
        "webhooks.retry.3.30s": waiting("attempt.4") | {"x-message-ttl": 30_000},
        "webhooks.requeued": waiting("attempt.requeued"),
        "webhooks.quarantine": NEVER_LOSING
        | {
            "x-dead-letter-exchange": "webhooks.dead",
            "x-delivery-limit": 3,
            "x-single-active-consumer": True,
        },
        "webhooks.dlq": QUORUM,
    }
    assert set(wanted.bindings) == {
        Binding("webhooks", "webhooks.work", "attempt.1"),
        Binding("webhooks", "webhooks.bulk", "attempt.1.bulk"),
        *(Binding("webhooks", "webhooks.due", f"attempt.{n}") for n in range(2, 22)),
        Binding("webhooks", "webhooks.due", "attempt.requeued"),
        Binding("webhooks.failed", "webhooks.retry.1.2s", "attempt.1"),
        Binding("webhooks.failed", "webhooks.retry.3.30s", "attempt.3"),
        Binding("webhooks.dead", "webhooks.dlq", ""),
    }


def test_every_attempt_of_the_longest_schedule_is_bound_once() -> None:
    """A retry without a binding would be a dead letter, and one with two would be copied."""
    longest = topology(RetrySchedule.parse(",".join(["1s"] * 20)))
    retry_queues = [queue for queue in longest.queues if is_retry_queue(queue.name)]
    bound = [one.routing_key for one in longest.bindings if one.exchange == "webhooks"]

    assert len(retry_queues) == 20
    for queue in retry_queues:
        assert bound.count(str(queue.arguments["x-dead-letter-routing-key"])) == 1


SCHEDULES = st.lists(st.sampled_from(["1s", "2s", "30s", "1m"]), min_size=1, max_size=6).map(
    lambda delays: RetrySchedule.parse(",".join(delays))
)
AUDIT = Binding(FAILED, "somebodys.audit", "attempt.1")


def attempt_in(binding: Binding) -> Attempt:
    attempt = attempt_of(binding.routing_key)
    assert attempt is not None
    return attempt


def queues(bindings: tuple[Binding, ...]) -> list[str]:
    return [binding.queue for binding in bindings]


@pytest.mark.parametrize(
    ("old", "to", "unbound", "bound"),
    [
        ("2s,4s", "2s,4s", [], []),
        ("2s,4s", "5s,9s", ["1.2s", "2.4s"], ["1.5s", "2.9s"]),
        # Processors that still have the old schedule reject into the queue of what is a wait now.
        ("2s,4s,8s", "1m,4s", ["3.8s"], []),
        ("2s", "1m", [], []),
        ("1m,2s", "2s,2s", [], ["1.2s"]),
        ("2s,4s,8s", "2s", ["2.4s", "3.8s"], []),
        ("2s", "2s,4s", [], ["2.4s"]),
        ("2s,4s,8s", "2s,5s,8s", ["2.4s"], ["2.5s"]),
    ],
)
def test_only_what_differs_is_touched(
    old: str, to: str, unbound: list[str], bound: list[str]
) -> None:
    """A retry queue of both schedules stays bound throughout."""
    move = schedule_change(retry_queue_bindings(RetrySchedule.parse(old)), RetrySchedule.parse(to))

    assert queues(move.unbind) == [f"webhooks.retry.{name}" for name in unbound]
    assert queues(move.bind) == [f"webhooks.retry.{name}" for name in bound]


@given(SCHEDULES, SCHEDULES, st.data())
def test_no_attempt_has_two_retry_queues_at_any_moment(
    old: RetrySchedule, to: RetrySchedule, data: st.DataObject
) -> None:
    """Interrupted after any number of bindings, a new plan finishes; nothing is copied."""
    bound = set(retry_queue_bindings(old))
    for is_cut_short in (True, False):
        move = schedule_change(bound, to)
        steps = [(bound.discard, one) for one in move.unbind] + [
            (bound.add, one) for one in move.bind
        ]
        count = data.draw(st.integers(0, len(steps))) if is_cut_short else len(steps)
        for change, binding in steps[:count]:
            change(binding)
            keys = [one.routing_key for one in bound]
            assert len(keys) == len(set(keys))

    waits = {one for one in bound if not to.retry_queue_after(attempt_in(one))}
    assert bound - waits == set(retry_queue_bindings(to))
    assert waits <= set(retry_queue_bindings(old))
    assert schedule_change(bound, to).is_done


def test_queues_of_others_are_left_alone() -> None:
    """Other consumers of failed attempts are not affected."""
    move = schedule_change(
        [AUDIT, *retry_queue_bindings(RetrySchedule.parse("2s"))], RetrySchedule.parse("4s")
    )

    assert queues(move.unbind) == ["webhooks.retry.1.2s"]
    assert not foreign_retry_queues([AUDIT], RetrySchedule.parse("4s"))
    assert not is_retry_queue(AUDIT.queue)


def test_a_retry_queue_under_a_wrong_key_is_unbound() -> None:
    """Right name, wrong attempt: it would get messages of another attempt."""
    wrong = Binding(FAILED, "webhooks.retry.1.2s", "attempt.2")

    move = schedule_change([wrong], RetrySchedule.parse("2s"))

    assert move.unbind == (wrong,)
    assert move.bind == retry_queue_bindings(RetrySchedule.parse("2s"))
