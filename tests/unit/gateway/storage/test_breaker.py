import pytest

from ringback.services.gateway.storage.breaker import PROBE_AFTER_S, Breaker
from ringback.services.gateway.storage.result import PublishOutcome
from tests.unit.clock import Clock

TIMEOUT, CONFIRMED = PublishOutcome.TIMEOUT, PublishOutcome.CONFIRMED


@pytest.mark.parametrize(
    ("outcomes", "is_open"),
    [
        ([], False),
        ([TIMEOUT], True),
        ([TIMEOUT, TIMEOUT], True),
        ([TIMEOUT, CONFIRMED], False),
        ([CONFIRMED, TIMEOUT], True),
        ([TIMEOUT, PublishOutcome.NOT_CONNECTED, PublishOutcome.BLOCKED], True),
        # These fail at once, without a timeout to avoid.
        ([PublishOutcome.NOT_CONNECTED], False),
        ([PublishOutcome.BLOCKED], False),
        ([PublishOutcome.CONNECTION_LOST], False),
        ([PublishOutcome.REFUSED], False),
    ],
)
def test_opens_on_a_timeout_until_a_confirm(
    *, outcomes: list[PublishOutcome], is_open: bool
) -> None:
    """Only a timeout opens it, and only a confirm closes it."""
    breaker = Breaker()

    for outcome in outcomes:
        breaker.record(outcome)

    assert breaker.is_open(spooled=1) is is_open


def test_one_new_webhook_is_tried_without_recent_outcomes() -> None:
    """Otherwise a spool that cannot be drained would keep it open forever."""
    clock = Clock()
    breaker = Breaker(clock)
    breaker.record(TIMEOUT)
    at_once = breaker.allows_publish(spooled=1)

    clock.now_s += PROBE_AFTER_S
    admitted = [breaker.allows_publish(spooled=1) for _ in range(3)]
    breaker.record(CONFIRMED)

    assert not at_once
    assert admitted == [True, False, False]
    assert breaker.allows_publish(spooled=1)


def test_no_new_webhook_is_tried_while_the_spool_is_drained() -> None:
    """A publish from the spool that times out is as good as a probe."""
    clock = Clock()
    breaker = Breaker(clock)
    for _ in range(10):
        breaker.record(TIMEOUT)
        clock.now_s += PROBE_AFTER_S / 2

        assert not breaker.allows_publish(spooled=1)


def test_it_is_closed_while_the_spool_is_empty() -> None:
    """Without spooled webhooks, only new ones can show that the broker has recovered."""
    breaker = Breaker()

    breaker.record(TIMEOUT)

    assert not breaker.is_open(spooled=0)
