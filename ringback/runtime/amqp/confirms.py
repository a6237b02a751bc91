"""Publishes messages with one write per event loop iteration, and waits for the broker's confirms.

aiormq opens and closes the connection and its channels, and sends heartbeats. A publish through it
would take a lock, two queues and two other tasks, which is half of the gateway's work at thousands
of webhooks a second. So this module writes frames to the connection's transport itself, and handles
the broker's answers to them before aiormq reads the rest. It uses only what aiormq and asyncio
document: aiormq's transport factory, and asyncio's stream reader.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from struct import Struct
from typing import Any, cast

import pamqp.frame
from aiormq.channel import Channel
from aiormq.exceptions import DeliveryError
from pamqp.commands import Basic

from ringback.runtime.amqp.connection import BrokerTransport

_FRAME_HEAD = Struct(">BHI")
_FRAME_HEAD_BYTES, _FRAME_END_BYTES = 7, 1
_METHOD, _HEADER, _BODY = 1, 2, 3
_METHOD_HEAD = Struct(">HH")
_CONFIRM = Struct(">HHQB")
_BASIC, _RETURN, _ACK, _NACK = 60, 50, 80, 120
_MULTIPLE = 1
_HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
_HEARTBEAT_EVERY_S = 1.0

Answer = Callable[[int, memoryview], bool]
"""Gets the type of a frame and its content; returns whether the frame is handled."""


class AnswerReader(asyncio.StreamReader):
    """Passes the frames of one channel to `answer`, and those it does not handle to aiormq."""

    transport: asyncio.WriteTransport

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._passed_at = 0.0
        self._incomplete = b""
        self._channel = 0
        self._answer: Answer | None = None

    def answer_for(self, channel: int, answer: Answer) -> None:
        self._channel, self._answer = channel, answer

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        super().set_transport(transport)
        # uvloop's transports have other base classes.
        self.transport = cast("asyncio.WriteTransport", transport)

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # asyncio gives it bytes
        data = self._incomplete + data if self._incomplete else data
        content, begin = memoryview(data), 0
        passed, is_answered = [], False
        while len(data) - begin >= _FRAME_HEAD_BYTES:
            kind, channel, size_bytes = _FRAME_HEAD.unpack_from(data, begin)
            content_begin = begin + _FRAME_HEAD_BYTES
            content_end = content_begin + size_bytes
            end = content_end + _FRAME_END_BYTES
            if end > len(data):
                break
            answer = self._answer if channel == self._channel else None
            if answer is not None and answer(kind, content[content_begin:content_end]):
                is_answered = True
            else:
                passed.append(data[begin:end])
            begin = end
        self._incomplete = data[begin:]
        now = self._clock()
        if is_answered and not passed and now - self._passed_at > _HEARTBEAT_EVERY_S:
            # aiormq closes a connection on which it sees no frames, so it gets a heartbeat. During
            # the handshake it expects none, so only answered frames cause one.
            passed.append(_HEARTBEAT)
        if passed:
            self._passed_at = now
            super().feed_data(b"".join(passed))

    def feed_eof(self) -> None:
        if self._incomplete:
            # Not a frame if the server speaks another version of AMQP, or not AMQP.
            super().feed_data(self._incomplete)
            self._incomplete = b""
        super().feed_eof()


class AnswerTransport(BrokerTransport):
    """Connects with an `AnswerReader`. `reader` is that of the newest connection."""

    reader: AnswerReader

    def new_reader(self) -> asyncio.StreamReader:
        self.reader = AnswerReader()
        return self.reader


_CONTENT_HEAD = Struct(">BHIHHQ").pack
_BODY_HEAD = _FRAME_HEAD.pack
_FRAME_END = b"\xce"
_CONTENT_HEAD_BYTES = 12


class ConfirmChannel:
    """Publishes on a channel with confirms. Nothing else may publish on this channel."""

    def __init__(self, channel: Channel, reader: AnswerReader) -> None:
        self._channel = channel
        self._transport = reader.transport
        self._loop = asyncio.get_running_loop()
        self._number = channel.number
        # A broker with frame_max = 0 has no limit, and aiormq subtracts the frame's head from it.
        limit_bytes = channel.max_content_size
        self._max_body_bytes = limit_bytes if limit_bytes > 0 else sys.maxsize
        self._parts: list[bytes | memoryview] = []
        self._delivery_tag = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._method = lru_cache(maxsize=64)(self._encode_method)
        channel.closing.add_done_callback(self._closed)
        reader.answer_for(channel.number, self._answered)

    @property
    def is_closed(self) -> bool:
        return self._channel.is_closed or self._transport.is_closing()

    async def publish(
        self, body: bytes, properties: bytes, *, exchange: str, routing_key: str, timeout_s: float
    ) -> None:
        """Return once the broker has the message on disk. `properties` are encoded (AMQP 0-9-1).

        Raises TimeoutError without a confirm in time, ConnectionError when the channel closes, and
        aiormq's DeliveryError when the broker rejects the message or no queue accepts it.
        """
        if self.is_closed:
            raise ConnectionError("The channel is closed.")
        # Encode before the tag is counted: the broker counts only messages that were written.
        frames = self._frames(body, properties, self._method(exchange, routing_key))
        self._delivery_tag += 1
        tag, confirmed = self._delivery_tag, self._loop.create_future()
        self._waiting[tag] = confirmed
        if not self._parts:
            self._loop.call_soon(self._write)
        self._parts += frames
        deadline = self._loop.call_later(timeout_s, _expire, confirmed)
        try:
            await confirmed
        finally:
            deadline.cancel()
            self._waiting.pop(tag, None)

    def _encode_method(self, exchange: str, routing_key: str) -> bytes:
        publish = Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True)
        return pamqp.frame.marshal(publish, self._number)

    def _frames(self, body: bytes, properties: bytes, method: bytes) -> list[bytes | memoryview]:
        number, size_bytes = self._number, len(body)
        content = _CONTENT_HEAD(
            _HEADER, number, _CONTENT_HEAD_BYTES + len(properties), _BASIC, 0, size_bytes
        )
        frames: list[bytes | memoryview] = [method, content, properties, _FRAME_END]
        if 0 < size_bytes <= self._max_body_bytes:
            frames += (_BODY_HEAD(_BODY, number, size_bytes), body, _FRAME_END)
            return frames
        # Views avoid copying the body before the write.
        whole = memoryview(body)
        for begin in range(0, size_bytes, self._max_body_bytes):
            piece = whole[begin : begin + self._max_body_bytes]
            frames += (_BODY_HEAD(_BODY, number, len(piece)), piece, _FRAME_END)
        return frames

    def _write(self) -> None:
        parts, self._parts = self._parts, []
        if not self._transport.is_closing():
            self._transport.write(b"".join(parts))

    def _answered(self, kind: int, content: memoryview) -> bool:
        """Handle a frame of this channel, if it belongs to a publish."""
        if kind in {_HEADER, _BODY}:  # Of a returned message.
            return True
        group, method = _METHOD_HEAD.unpack_from(content)
        if kind != _METHOD or group != _BASIC or method not in {_RETURN, _ACK, _NACK}:
            return False
        if method == _RETURN:
            # Fail all of them: if one has no queue to go to, the others have none either.
            self._settle(list(self._waiting), DeliveryError(None, Basic.Return()))
            return True
        _, _, tag, flags = _CONFIRM.unpack(content)
        tags = [one for one in self._waiting if one <= tag] if flags & _MULTIPLE else [tag]
        self._settle(tags, DeliveryError(None, Basic.Nack(tag)) if method == _NACK else None)
        return True

    def _settle(self, tags: Iterable[int], error: Exception | None) -> None:
        for tag in tags:
            confirmed = self._waiting.pop(tag, None)
            if confirmed is None or confirmed.done():
                continue
            if error is None:
                confirmed.set_result(None)
            else:
                confirmed.set_exception(error)

    def _closed(self, closing: "asyncio.Future[Any]") -> None:
        reason = None if closing.cancelled() else closing.exception()
        error = ConnectionError(f"The channel was closed: {reason or 'without a reason'}")
        self._settle(list(self._waiting), error)


def _expire(confirmed: "asyncio.Future[None]") -> None:
    if not confirmed.done():
        confirmed.set_exception(TimeoutError())
