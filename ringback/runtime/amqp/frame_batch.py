"""Writes the frames of an aiormq channel together: one write per event loop iteration.

aiormq writes each frame separately, with a lock, three context managers, a queue and a drain.
Beyond its documented API this uses the channel's write queue, as in the pinned version.
"""

import asyncio
from struct import Struct
from typing import cast

from aio_pika import IncomingMessage
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.channel import Channel

_ANSWER_FRAME = Struct(">BHIHHQ?B").pack
_METHOD_TYPE, _FRAME_END = 1, 0xCE
_ANSWER_BYTES = 13
_BASIC_CLASS = 60
_ACK, _REJECT = 80, 90
_RETRY_AFTER_S = 0.005


class FrameBatch:
    """Collects the frames of one event loop iteration. aiormq's writer treats it as one frame."""

    should_close = False

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel
        self._write_queue = cast("Channel", channel).write_queue
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes | memoryview] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._in_writing: list[asyncio.Future[None]] = []
        channel.closing.add_done_callback(self._closed)

    def add(self, *parts: bytes | memoryview) -> None:
        """Write these parts of frames together with the others of this iteration."""
        is_first = not self._parts
        self._parts.extend(parts)
        if is_first:
            self._enqueue()

    async def ack(self, delivery_tag: int, *, multiple: bool = False) -> None:
        """Return once the answer is written. Raises ConnectionError when the channel closes."""
        await self._answer(_ACK, delivery_tag, flag=multiple)

    async def reject(self, delivery_tag: int, *, requeue: bool) -> None:
        """Return once the answer is written. Raises ConnectionError when the channel closes."""
        await self._answer(_REJECT, delivery_tag, flag=requeue)

    async def _answer(self, method: int, delivery_tag: int, *, flag: bool) -> None:
        if self._channel.is_closed:
            raise ConnectionError("The channel is closed.")
        written = self._loop.create_future()
        self._waiting.append(written)
        frame = (_METHOD_TYPE, self._channel.number, _ANSWER_BYTES)
        self.add(_ANSWER_FRAME(*frame, _BASIC_CLASS, method, delivery_tag, flag, _FRAME_END))
        await written

    @property
    def payload(self) -> bytes:
        """Everything that was added since the last read."""
        parts, self._parts = self._parts, []
        self._in_writing, self._waiting = self._waiting, []
        return b"".join(parts)

    @property
    def should_drain(self) -> bool:
        return bool(self._in_writing)

    def drain(self) -> None:
        """Wake the callers whose frames are written."""
        for written in self._in_writing:
            if not written.done():
                written.set_result(None)
        self._in_writing = []

    def _enqueue(self) -> None:
        if self._channel.is_closed:
            return
        try:
            self._write_queue.put_nowait(self)
        except asyncio.QueueFull:
            # The broker reads slowly, or not at all. Trying in each iteration would use a CPU.
            self._loop.call_later(_RETRY_AFTER_S, self._enqueue)

    def _closed(self, _: object) -> None:
        for written in (*self._in_writing, *self._waiting):
            if not written.done():
                written.set_exception(ConnectionError("The channel was closed."))


class BatchedMessage(IncomingMessage):
    """A message whose answer is written together with others."""

    def __init__(self, delivered: DeliveredMessage, batch: FrameBatch) -> None:
        super().__init__(delivered)
        assert self.delivery_tag is not None
        self._tag = self.delivery_tag
        self._batch = batch

    async def ack(self, multiple: bool = False) -> None:  # ruff: ignore[boolean-type-hint-positional-argument, boolean-default-value-positional-argument]  # aio-pika's signature
        await self._batch.ack(self._tag, multiple=multiple)

    async def reject(self, requeue: bool = False) -> None:  # ruff: ignore[boolean-type-hint-positional-argument, boolean-default-value-positional-argument]  # as above
        await self._batch.reject(self._tag, requeue=requeue)
