"""Each confirm belongs to the right webhook, whatever was published before."""

import asyncio
from dataclasses import replace

import pytest
from aio_pika.abc import AbstractChannel

from chaos.fault_proxy import FaultProxy
from ringback.contract.topology import BULK_QUEUE, WORK_QUEUE, accepting_topology
from ringback.runtime.amqp.publisher import Publisher
from ringback.services.gateway.storage.publisher import WebhookPublisher
from ringback.services.gateway.storage.result import PublishOutcome
from tests.integration.gateway.queue_reader import count_in
from tests.support.eventually import eventually
from tests.unit.gateway.envelopes import an_envelope


async def test_an_encoding_error_does_not_shift_confirms(
    ready_amqp_url: str, channel: AbstractChannel
) -> None:
    """A tag unknown to the broker would assign each confirm to the wrong webhook.

    A webhook of an org above its rate goes to the bulk queue.
    """
    unfit = replace(an_envelope(), event_type="x" * 300)
    async with Publisher(ready_amqp_url, "test", needed=accepting_topology()) as connection:
        publisher = WebhookPublisher(connection)
        await eventually(publisher.is_ready)
        with pytest.raises(ValueError, match="range"):
            await publisher.publish(unfit, b"{}", timeout_s=60.0)

        bulk = replace(an_envelope(), is_bulk=True)
        outcomes = [
            await publisher.publish(one, b"{}", timeout_s=60.0) for one in (an_envelope(), bulk)
        ]

        assert outcomes == [PublishOutcome.CONFIRMED] * 2
    assert await count_in(channel, WORK_QUEUE) == await count_in(channel, BULK_QUEUE) == 1


async def test_a_connection_that_takes_no_more_bytes_is_replaced(ready_amqp_url: str) -> None:
    """After a firewall forgot it, for example. Closing it cleanly would first send the rest."""
    more_than_buffers_hold = [b"x" * 8 * 1024 * 1024] * 5
    async with (
        FaultProxy.to(ready_amqp_url) as proxy,
        Publisher(proxy.through(ready_amqp_url), "test", needed=accepting_topology()) as connection,
    ):
        publisher = WebhookPublisher(connection)
        await eventually(lambda: publisher.is_connected)
        proxy.strand()

        publishes = [
            publisher.publish(an_envelope(), body, timeout_s=0.5) for body in more_than_buffers_hold
        ]
        assert set(await asyncio.gather(*publishes)) == {PublishOutcome.TIMEOUT}

        await eventually(lambda: publisher.is_connected)
        outcome = await publisher.publish(an_envelope(), more_than_buffers_hold[0], timeout_s=60.0)
        assert outcome is PublishOutcome.CONFIRMED
