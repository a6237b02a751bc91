"""Which versions of RabbitMQ are refused."""

import pytest

from ringback.runtime.amqp.connection import refuse_broken_broker
from ringback.runtime.process.lifecycle import CannotStartError


@pytest.mark.parametrize("version", ["3.13.0", "3.13.1", "3.13.2"])
def test_a_broker_that_drops_in_our_cycle_is_refused(version: str) -> None:
    with pytest.raises(CannotStartError, match=rf"{version}.*3\.13\.3"):
        refuse_broken_broker(version)


@pytest.mark.parametrize("version", ["3.10.8", "3.12.14", "3.13.3", "4.0.1", "4.3.5", ""])
def test_any_other_broker_is_taken(version: str) -> None:
    """Versions before and after the broken ones are accepted, including future ones."""
    refuse_broken_broker(version)
