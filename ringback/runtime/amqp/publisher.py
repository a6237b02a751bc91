"""Publishes on a connection of its own, so that a broker alarm blocks no other connection."""

from aio_pika import Message
from aio_pika.abc import AbstractConnection
from aiormq.channel import Channel

from ringback.contract.topology import Topology
from ringback.runtime.amqp.confirms import AnswerTransport, ConfirmChannel
from ringback.runtime.amqp.connection import (
    BROKER_UNAVAILABLE_ERRORS,
    BrokerClient,
    is_blocked,
)
from ringback.runtime.amqp.topology import require_topology
from ringback.runtime.process.lifecycle import CannotStartError

_TIMEOUT_S = 2.0
_NOT_READY_ERRORS: tuple[type[BaseException], ...] = (CannotStartError, *BROKER_UNAVAILABLE_ERRORS)


class NotConnectedError(ConnectionError):
    """There is no connection to the broker."""


class BlockedError(ConnectionError):
    """The broker accepts nothing: it is short of memory or disk."""


class Publisher(BrokerClient):
    """Keeps a connection to the broker while entered. No method waits for a connection.

    After a timeout the connection is replaced, because it may be dead. A blocked connection is
    kept: the broker reports on it when it accepts messages again. `needed` is checked on each new
    connection; without it, no publish is tried. `timeout_s` limits one publish with its confirm.
    """

    def __init__(
        self, amqp_url: str, name: str, *, needed: Topology, timeout_s: float = _TIMEOUT_S
    ) -> None:
        self._transport = AnswerTransport()
        super().__init__(amqp_url, name, transport=self._transport)
        self._needed = needed
        self._timeout_s = timeout_s
        self._connection: AbstractConnection | None = None
        self._channel: Channel | None = None
        self._confirms: ConfirmChannel | None = None

    @property
    def is_connected(self) -> bool:
        """Whether a publish may succeed now: connected, and not blocked by the broker."""
        channel = self._usable_channel()
        return channel is not None and not is_blocked(channel.connection)

    async def first_failure(self, *, within_s: float) -> BaseException | None:
        """Why the first connection failed; None if it succeeded, or is still being tried."""
        await self.wait_for_first_attempt(within_s=within_s)
        return self._broker_connection.failure

    async def is_ready(self) -> bool:
        """Whether a publish may succeed now, and what it needs still exists.

        A passive declare needs no permission and changes nothing. It cannot check the arguments or
        a binding, which AMQP does not show.
        """
        connection = self._connection
        if connection is None or not self.is_connected:
            return False
        try:
            await require_topology(connection, self._needed)
        except _NOT_READY_ERRORS:
            return False
        return True

    async def publish(self, message: Message, *, exchange: str, routing_key: str) -> None:
        """Return once the broker has the message on disk. Raises what `send` raises."""
        await self.send(
            message.body,
            message.properties.marshal(),
            exchange=exchange,
            routing_key=routing_key,
            timeout_s=self._timeout_s,
        )

    async def send(
        self, body: bytes, properties: bytes, *, exchange: str, routing_key: str, timeout_s: float
    ) -> None:
        """Publish a message whose properties are encoded; return once it is confirmed.

        Raises NotConnectedError or BlockedError, aiormq's DeliveryError when the broker refuses the
        message, and other BROKER_UNAVAILABLE_ERRORS if it is unknown whether it is stored.
        """
        channel, confirms = self._usable_channel(), self._confirms
        if channel is None or confirms is None:
            raise NotConnectedError("The publishing connection is down.")
        if is_blocked(channel.connection):
            raise BlockedError("The broker blocks the publishing connection.")
        try:
            await confirms.publish(
                body, properties, exchange=exchange, routing_key=routing_key, timeout_s=timeout_s
            )
        except TimeoutError as exc:
            if is_blocked(channel.connection):
                raise BlockedError("The broker has blocked the publishing connection.") from exc
            self._end_session(channel)
            raise

    def _usable_channel(self) -> Channel | None:
        channel = self._channel
        is_open = self._broker_connection.is_connected and channel and not channel.is_closed
        return channel if is_open else None

    async def _on_open(self, connection: AbstractConnection) -> None:
        transport = connection.transport
        assert transport is not None
        await require_topology(connection, self._needed)
        channel = await transport.connection.channel(publisher_confirms=True)
        assert isinstance(channel, Channel)
        channel.closing.add_done_callback(lambda _: self._end_session(channel))
        self._confirms = ConfirmChannel(channel, self._transport.reader)
        self._connection = connection
        self._channel = channel

    def _end_session(self, channel: Channel) -> None:
        """Reconnect, unless the channel is an old one that closes late."""
        if channel is self._channel:
            self._broker_connection.reconnect()
