"""Consumes messages from one queue while no reason pauses it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

import structlog
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import DeliveredMessage

from ringback.contract.telemetry import LogEvent
from ringback.runtime.amqp.connection import (
    BROKER_UNAVAILABLE_ERRORS,
    connection_errors_from_cancellation,
)
from ringback.runtime.amqp.frame_batch import BatchedMessage, FrameBatch

OnMessage = Callable[[AbstractIncomingMessage], Awaitable[None]]

RPC_TIMEOUT_S = 10.0

log = structlog.get_logger()


class QueueConsumer:
    """The broker sends it at most `prefetch` messages before they are settled.

    Several callers may pause it, each for its own reason, also from the beginning. It resumes
    when the last reason is withdrawn.
    Each message has its own task, which does not end with the channel. If the connection is lost,
    work in flight continues to its commit, and the redelivered message gets the recorded outcome.
    """

    def __init__(
        self,
        queue_name: str,
        prefetch: int,
        on_message: OnMessage,
        *,
        on_lost: Callable[[], None],
        paused_for: Iterable[str] = (),
        rpc_timeout_s: float = RPC_TIMEOUT_S,
    ) -> None:
        self.queue_name = queue_name
        self._prefetch = prefetch
        self._on_message = on_message
        self._on_lost = on_lost
        self._reasons = set(paused_for)
        self._rpc_timeout_s = rpc_timeout_s
        self._in_flight: set[asyncio.Task[None]] = set()
        self._channel: UnderlayChannel | None = None
        self._batch: FrameBatch | None = None
        self._consumer_tag: str | None = None
        self._update_lock = asyncio.Lock()
        self._is_dropping = False

    @property
    def in_flight(self) -> int:
        return len(self._in_flight)

    async def attach(self, connection: AbstractConnection) -> None:
        """Consume from this connection from now on. Work in flight continues."""
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(prefetch_count=self._prefetch)
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: self._end_session_of(underlay))
        channel.close_callbacks.add(lambda *_: self._end_session_of(underlay))
        async with self._update_lock:
            self._channel = underlay
            self._batch = FrameBatch(underlay)
            self._consumer_tag = None
        await self._update_consumer()

    async def pause(self, reason: str) -> None:
        """Stop consuming. Work in flight continues."""
        self._reasons.add(reason)
        await self._update_consumer()

    async def resume(self, reason: str) -> None:
        """Withdraw a reason to pause."""
        self._reasons.discard(reason)
        await self._update_consumer()

    async def wait_until_empty(self) -> None:
        """Wait until nothing is in flight."""
        while self._in_flight:
            await asyncio.wait(set(self._in_flight))

    async def drop_all(self) -> None:
        """Cancel the work in flight without settling it; the broker delivers it again."""
        self._is_dropping = True
        tasks = set(self._in_flight)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def is_consuming(self) -> bool:
        """Ask the broker whether it still knows a consumer of this queue; true while paused."""
        if self._channel is None or self._consumer_tag is None:
            return bool(self._reasons)
        async with asyncio.timeout(self._rpc_timeout_s):
            with connection_errors_from_cancellation():
                answer = await self._channel.queue_declare(self.queue_name, passive=True)
        return bool(answer.consumer_count)

    async def _update_consumer(self) -> None:
        """Consume unless there is a reason to pause. After an error, `on_lost` reconnects."""
        async with self._update_lock:
            channel, batch, tag = self._channel, self._batch, self._consumer_tag
            if channel is None or batch is None:
                return
            try:
                async with asyncio.timeout(self._rpc_timeout_s):
                    with connection_errors_from_cancellation():
                        if self._reasons and tag is not None:
                            self._consumer_tag = None
                            await channel.basic_cancel(tag)
                        elif not self._reasons and tag is None:
                            answer = await channel.basic_consume(
                                self.queue_name, partial(self._receive, batch)
                            )
                            self._consumer_tag = answer.consumer_tag
            except BROKER_UNAVAILABLE_ERRORS as exc:
                log.warning(
                    LogEvent.CONSUMER_LOST, queue=self.queue_name, reason=type(exc).__name__
                )
                self._on_lost()

    def _end_session_of(self, channel: UnderlayChannel) -> None:
        """Reconnect, unless the channel belongs to an earlier connection."""
        if channel is self._channel:
            self._on_lost()

    async def _receive(self, batch: FrameBatch, delivered: DeliveredMessage) -> None:
        task = asyncio.create_task(self._handle(BatchedMessage(delivered, batch)))
        self._in_flight.add(task)
        task.add_done_callback(self._in_flight.discard)

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        try:
            await self._on_message(message)
        except asyncio.CancelledError:
            if not self._is_dropping:
                # A handler cancelled every task. Reconnect, so the message is delivered again.
                self._on_lost()
