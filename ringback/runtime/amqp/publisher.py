"""Publishes one message at a time, on its own connection, so that an alarm blocks only this one."""

import asyncio
from dataclasses import dataclass

from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import AbstractConnection as Underlay

from ringback.runtime.amqp.connection import (
    BrokerClient,
    connection_errors_from_cancellation,
    is_blocked,
)


@dataclass(frozen=True, slots=True)
class _Session:
    channel: AbstractChannel
    underlay: Underlay

    @property
    def is_usable(self) -> bool:
        return not self.channel.is_closed and not is_blocked(self.underlay)


class ConfirmedPublisher(BrokerClient):
    """`timeout_s` limits one publish, including its confirm."""

    def __init__(self, amqp_url: str, name: str, *, timeout_s: float) -> None:
        super().__init__(amqp_url, name)
        self._timeout_s = timeout_s
        self._session: _Session | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a publish can succeed now: connected, and not blocked by the broker."""
        return self._usable() is not None

    async def answers(self, exchange: str) -> bool:
        """Whether the broker answers on the publishing channel and has this exchange.

        Raises one of BROKER_UNAVAILABLE_ERRORS if it does not answer.
        """
        session = self._usable()
        if session is None:
            return False
        with connection_errors_from_cancellation():
            await session.channel.get_exchange(exchange, ensure=True)
        return True

    async def publish(self, message: Message, *, exchange: str, routing_key: str) -> None:
        """Return once the broker has the message on disk.

        Raises one of BROKER_UNAVAILABLE_ERRORS if that is unknown.

        After a timeout the channel's confirms cannot be trusted, so the connection is replaced. A
        blocked connection is kept, because only it learns when the broker accepts messages again.
        """
        session = self._usable()
        if session is None:
            raise ConnectionError("The publishing connection is down, or blocked by the broker.")
        try:
            async with asyncio.timeout(self._timeout_s):
                to = await session.channel.get_exchange(exchange, ensure=False)
                with connection_errors_from_cancellation():
                    await to.publish(message, routing_key, mandatory=True)
        except (TimeoutError, asyncio.CancelledError):
            if not is_blocked(session.underlay):
                self._end(session)
            raise

    def _usable(self) -> _Session | None:
        session = self._session
        return (
            session
            if session and self._broker_connection.is_connected and session.is_usable
            else None
        )

    async def _on_open(self, connection: AbstractConnection) -> None:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        transport = connection.transport
        assert transport is not None
        session = _Session(channel, transport.connection)
        channel.close_callbacks.add(lambda *_: self._end(session))
        self._session = session

    def _end(self, session: _Session) -> None:
        """A channel can close late, after another session has begun."""
        if session is self._session:
            self._broker_connection.reconnect()
