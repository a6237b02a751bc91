"""Each confirm belongs to the right webhook, whatever was published before."""

from dataclasses import replace

import pytest
from aio_pika.abc import AbstractChannel

from ringback.contract.topology import WORK_QUEUE
from services.gateway.storage.publisher import Publisher
from services.gateway.storage.result import PublishOutcome
from tests.integration.gateway.queue_reader import count_in
from tests.support.eventually import eventually
from tests.unit.gateway.envelopes import an_envelope


async def test_an_encoding_error_does_not_shift_confirms(
    ready_amqp_url: str, channel: AbstractChannel
) -> None:
    """A tag unknown to the broker would assign each confirm to the wrong webhook."""
    unfit = replace(an_envelope(), event_type="x" * 300)
    async with Publisher(ready_amqp_url) as publisher:
        await eventually(lambda: publisher.is_connected)
        with pytest.raises(ValueError, match="range"):
            await publisher.publish(unfit, b"{}", timeout_s=2.0)

        outcome = await publisher.publish(an_envelope(), b"{}", timeout_s=2.0)

        assert outcome is PublishOutcome.CONFIRMED
    assert await count_in(channel, WORK_QUEUE) == 1
