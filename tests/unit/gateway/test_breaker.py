import pytest

from services.gateway.breaker import Breaker
from services.gateway.publish_outcome import PublishOutcome

TIMEOUT, CONFIRMED = PublishOutcome.TIMEOUT, PublishOutcome.CONFIRMED


@pytest.mark.parametrize(
    ("heard", "is_open"),
    [
        ([], False),
        ([TIMEOUT], True),
        ([TIMEOUT, TIMEOUT], True),
        ([TIMEOUT, CONFIRMED], False),
        ([CONFIRMED, TIMEOUT], True),
        ([TIMEOUT, PublishOutcome.LINK_DOWN, PublishOutcome.BLOCKED], True),
        # These fail at once: nobody waits, so there is nothing to spare anyone.
        ([PublishOutcome.LINK_DOWN], False),
        ([PublishOutcome.BLOCKED], False),
        ([PublishOutcome.LINK_LOST], False),
        ([PublishOutcome.REFUSED], False),
    ],
)
def test_opens_on_a_timeout_until_a_confirm(*, heard: list[PublishOutcome], is_open: bool) -> None:
    """Only waiting in vain opens it, and only a confirm closes it."""
    breaker = Breaker()

    for outcome in heard:
        breaker.heard(outcome)

    assert breaker.is_open(spooled=1) is is_open


def test_is_closed_while_nothing_is_spooled() -> None:
    """Without a spooled webhook nobody else would find out that the broker is back."""
    breaker = Breaker()

    breaker.heard(TIMEOUT)

    assert not breaker.is_open(spooled=0)
