"""Publishes webhooks and waits for the broker's confirm, within a deadline of its own."""

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractConnection as Underlay
from aiormq.channel import Channel
from aiormq.exceptions import (
    AMQPError,
    ChannelInvalidStateError,
    ChannelNotFoundEntity,
    DeliveryError,
    PublishError,
)
from pamqp.commands import Basic

from ringback.contract import topology
from ringback.contract.ladder import FIRST_ATTEMPT, routing_key
from ringback.runtime.blocked import is_blocked
from ringback.runtime.lifecycle import CannotStartError
from ringback.runtime.linked import Linked
from ringback.runtime.rabbit import BROKER_AWAY
from services.gateway.confirm_channel import ConfirmChannel
from services.gateway.publish_outcome import PublishOutcome

ROUTING_KEY = routing_key(FIRST_ATTEMPT)

_LOST = (AMQPError, ChannelInvalidStateError, OSError, RuntimeError)
"""What aiormq raises when a connection ends under a publish."""


_NOT_READY: tuple[type[BaseException], ...] = (CannotStartError, *BROKER_AWAY)


class Publisher(Linked):
    """Keeps a link to the broker while it is entered. Nothing in it waits for a link to come up.

    It publishes through a `ConfirmChannel`: aio-pika's own costs half of the throughput here.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, "gateway")
        self._channel: Channel | None = None
        self._confirms: ConfirmChannel | None = None

    @property
    def up(self) -> bool:
        """Whether a publish has a chance now."""
        channel = self._usable_channel()
        return channel is not None and not is_blocked(channel.connection)

    async def first_failure(self, *, within_s: float) -> BaseException | None:
        """Why the first session with the broker failed; None if it is up, or still being tried."""
        await self.tried(within_s=within_s)
        return self._link.failure

    async def is_ready(self) -> bool:
        """Whether a publish has a chance now, and the exchange and the work queue exist.

        A passive declare needs no permission and changes nothing. It proves neither the arguments
        nor the binding between the two, which AMQP cannot show. Should the binding be gone, the
        alternate exchange takes what we publish to the dead letters: late, and loud, but not lost.
        """
        channel = self._usable_channel()
        if channel is None or is_blocked(channel.connection):
            return False
        try:
            await _require_topology(channel.connection)
        except _NOT_READY:
            return False
        return True

    async def publish(
        self, body: bytes, properties: Basic.Properties, *, timeout_s: float
    ) -> PublishOutcome:
        """Publish as a first attempt. Raises nothing for whatever the broker does or does not."""
        channel = self._usable_channel()
        if channel is None:
            return PublishOutcome.LINK_DOWN
        if is_blocked(channel.connection):
            return PublishOutcome.BLOCKED
        assert self._confirms is not None
        try:
            await self._confirms.publish(body, properties, timeout_s=timeout_s)
        except TimeoutError:
            return self._given_up(channel)
        except (DeliveryError, PublishError):
            return PublishOutcome.REFUSED
        except _LOST:
            return PublishOutcome.LINK_LOST
        return PublishOutcome.CONFIRMED

    def _usable_channel(self) -> Channel | None:
        channel = self._channel
        return channel if self._link.up and channel and not channel.is_closed else None

    def _given_up(self, channel: Channel) -> PublishOutcome:
        """After a timeout the connection is not to be trusted, so it is made anew.

        A blocked one is kept: it alone will hear when the broker takes messages again. A new one
        would not even know that it is blocked until it has published.
        """
        if is_blocked(channel.connection):
            return PublishOutcome.BLOCKED
        self._give_up(channel)
        return PublishOutcome.TIMEOUT

    def _give_up(self, channel: Channel) -> None:
        """End the session of this channel, unless another session has begun since."""
        if channel is self._channel:
            self._link.lost()

    async def _on_open(self, connection: AbstractConnection) -> None:
        transport = connection.transport
        assert transport is not None
        underlay = transport.connection
        await _require_topology(underlay)
        channel = await underlay.channel(publisher_confirms=True, on_return_raises=True)
        assert isinstance(channel, Channel)
        channel.closing.add_done_callback(lambda _: self._give_up(channel))
        self._confirms = ConfirmChannel(
            channel, exchange=topology.WEBHOOKS, routing_key=ROUTING_KEY
        )
        self._channel = channel


async def _require_topology(underlay: Underlay) -> None:
    """Raise CannotStartError unless both objects exist. Uses a channel of its own."""
    channel = await underlay.channel(publisher_confirms=False)
    try:
        await channel.exchange_declare(topology.WEBHOOKS, passive=True)
        await channel.queue_declare(topology.WORK_QUEUE, passive=True)
    except ChannelNotFoundEntity as exc:
        raise CannotStartError(
            f"The broker lacks the exchange {topology.WEBHOOKS} or the queue "
            f"{topology.WORK_QUEUE}. Run `ringback topology apply` first."
        ) from exc
    await channel.close()
