"""Publishes webhooks and waits for the broker's confirms, with a timeout."""

from aio_pika.abc import AbstractConnection
from aiormq.channel import Channel
from aiormq.exceptions import (
    AMQPError,
    ChannelInvalidStateError,
    DeliveryError,
    PublishError,
)

from ringback.contract import topology
from ringback.contract.envelope import Envelope
from ringback.contract.retry_schedule import FIRST_ATTEMPT, routing_key
from ringback.runtime.amqp.connection import BROKER_UNAVAILABLE_ERRORS, BrokerClient, is_blocked
from ringback.runtime.amqp.topology import require_topology
from ringback.runtime.process.lifecycle import CannotStartError
from services.gateway.storage.confirm_channel import ConfirmChannel, MessageProperties
from services.gateway.storage.result import PublishOutcome

ROUTING_KEY = routing_key(FIRST_ATTEMPT)

_CONNECTION_ERRORS = (AMQPError, ChannelInvalidStateError, OSError, RuntimeError)
"""What aiormq raises when the connection is lost during a publish."""


_NOT_READY_ERRORS: tuple[type[BaseException], ...] = (CannotStartError, *BROKER_UNAVAILABLE_ERRORS)


class Publisher(BrokerClient):
    """Keeps a connection to the broker while entered. No method waits for a connection.

    It publishes through a `ConfirmChannel`, because aio-pika's own channel would halve throughput.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, "gateway")
        self._connection: AbstractConnection | None = None
        self._channel: Channel | None = None
        self._confirms: ConfirmChannel | None = None

    @property
    def is_connected(self) -> bool:
        """Whether a publish may succeed now."""
        channel = self._usable_channel()
        return channel is not None and not is_blocked(channel.connection)

    async def first_failure(self, *, within_s: float) -> BaseException | None:
        """Why the first connection failed; None if it succeeded, or is still being tried."""
        await self.wait_for_first_attempt(within_s=within_s)
        return self._broker_connection.failure

    async def is_ready(self) -> bool:
        """Whether a publish may succeed now, and the exchange and the work queue exist.

        A passive declare needs no permission and changes nothing. It cannot check the arguments or
        the binding, which AMQP does not show. If the binding is missing, the alternate exchange
        routes webhooks to the dead letters: an alert fires, and nothing is lost.
        """
        connection = self._connection
        if connection is None or not self.is_connected:
            return False
        try:
            await require_topology(connection, topology.accepting_topology())
        except _NOT_READY_ERRORS:
            return False
        return True

    async def publish(self, envelope: Envelope, body: bytes, *, timeout_s: float) -> PublishOutcome:
        """Publish as a first attempt. Raises nothing, whatever the broker does."""
        channel = self._usable_channel()
        if channel is None:
            return PublishOutcome.NOT_CONNECTED
        if is_blocked(channel.connection):
            return PublishOutcome.BLOCKED
        assert self._confirms is not None
        try:
            await self._confirms.publish(body, MessageProperties(envelope), timeout_s=timeout_s)
        except TimeoutError:
            return self._timed_out(channel)
        except (DeliveryError, PublishError):
            return PublishOutcome.REFUSED
        except _CONNECTION_ERRORS:
            return PublishOutcome.CONNECTION_LOST
        return PublishOutcome.CONFIRMED

    def _usable_channel(self) -> Channel | None:
        channel = self._channel
        return (
            channel
            if self._broker_connection.is_connected and channel and not channel.is_closed
            else None
        )

    def _timed_out(self, channel: Channel) -> PublishOutcome:
        """Reconnect after a timeout, because the connection may be dead.

        A blocked connection is kept: the broker reports on it when it accepts messages again. A new
        connection would learn that it is blocked only after a publish.
        """
        if is_blocked(channel.connection):
            return PublishOutcome.BLOCKED
        self._end_session(channel)
        return PublishOutcome.TIMEOUT

    def _end_session(self, channel: Channel) -> None:
        """End this channel's session, unless a newer session has begun."""
        if channel is self._channel:
            self._broker_connection.reconnect()

    async def _on_open(self, connection: AbstractConnection) -> None:
        transport = connection.transport
        assert transport is not None
        underlay = transport.connection
        await require_topology(connection, topology.accepting_topology())
        channel = await underlay.channel(publisher_confirms=True, on_return_raises=True)
        assert isinstance(channel, Channel)
        channel.closing.add_done_callback(lambda _: self._end_session(channel))
        self._confirms = ConfirmChannel(
            channel, exchange=topology.WEBHOOKS, routing_key=ROUTING_KEY
        )
        self._connection = connection
        self._channel = channel
