"""Publishes many messages with one write on an aiormq channel, and waits for their confirms.

At thousands of webhooks a second, separate writes would be half of the gateway's work. aiormq still
does the handshake, heartbeats, confirms and closing. Beyond its documented API this uses the
channel's delivery tag counter and its table of confirmations, as in the pinned version.

The message properties (AMQP 0-9-1) are encoded here as well. pamqp builds the same bytes with
several calls and look-ups per field, which would be a tenth of the gateway's work. A test compares
the two.
"""

import asyncio
from struct import Struct

import pamqp.frame
from aiormq.channel import Channel
from pamqp.commands import Basic

from ringback.contract.envelope import CONTENT_TYPE, Envelope, Header
from ringback.runtime.amqp.frame_batch import FrameBatch

_PERSISTENT = b"\x02"
_LENGTH = Struct(">I").pack
_SECONDS = Struct(">Q").pack


def _short(text: str) -> bytes:
    encoded = text.encode()
    return bytes((len(encoded),)) + encoded


def _long(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH(len(encoded)) + encoded


#: content_type, headers, delivery_mode, message_id, timestamp and type, in this order.
_FLAGS = Struct(">H").pack(1 << 15 | 1 << 13 | 1 << 12 | 1 << 7 | 1 << 6 | 1 << 5)
_FLAGS_AND_TYPE = _FLAGS + _short(CONTENT_TYPE)
_HEADER_NAMES = {name.value: _short(name) + b"S" for name in Header}
"""Each header's name, and the type of its value, which is a text."""


class MessageProperties(Basic.Properties):
    """The properties of a published webhook. The type has at most 255 bytes in UTF-8."""

    __slots__ = ("_envelope",)

    def __init__(self, envelope: Envelope) -> None:
        super().__init__(message_id=str(envelope.job_id))
        self._envelope = envelope

    def marshal(self) -> bytes:
        envelope = self._envelope
        headers = b"".join(
            [
                _HEADER_NAMES[name] + _long(value)
                for name, value in sorted(envelope.headers().items())
            ]
        )
        return b"".join(
            (
                _FLAGS_AND_TYPE,
                _LENGTH(len(headers)),
                headers,
                _PERSISTENT,
                _short(str(self.message_id)),
                _SECONDS(int(envelope.received_at.timestamp())),
                _short(envelope.event_type),
            )
        )


_HEADER_FRAME = Struct(">BHIHHQ").pack
_BODY_FRAME = Struct(">BHI").pack
_FRAME_END = b"\xce"
_HEADER_TYPE, _BODY_TYPE = 2, 3
_BASIC_CLASS = 60
_HEADER_FIXED_BYTES = 12


class ConfirmChannel:
    """Publishes to one exchange with one routing key. Nothing else may publish on the channel."""

    def __init__(self, channel: Channel, *, exchange: str, routing_key: str) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._batch = FrameBatch(channel)
        self._max_frame_bytes = channel.max_content_size
        publish = Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True)
        self._method = pamqp.frame.marshal(publish, channel.number)
        channel.closing.add_done_callback(self._closed)

    async def publish(self, body: bytes, properties: Basic.Properties, *, timeout_s: float) -> None:
        """Return once the broker has the message on disk.

        Raises TimeoutError without a confirm in time, ConnectionError when the channel closes, and
        aiormq's DeliveryError or PublishError when the broker rejects the message.
        """
        channel, message_id = self._channel, str(properties.message_id)
        if channel.is_closed:
            raise ConnectionError("The channel is closed.")
        confirmed = self._loop.create_future()
        # Encoding errors must be raised before the tag is assigned: the broker would not count it.
        content = self._content(body, properties.marshal())
        # No await from here to the write, so that tags are in the order of the writes.
        channel.delivery_tag += 1
        channel.confirmations[channel.delivery_tag] = confirmed
        channel.message_id_delivery_tag[message_id] = channel.delivery_tag
        self._batch.add(self._method, *content)
        deadline = self._loop.call_later(timeout_s, _expire, confirmed)
        try:
            await confirmed
        finally:
            deadline.cancel()
            channel.message_id_delivery_tag.pop(message_id, None)

    def _content(self, body: bytes, properties: bytes) -> tuple[bytes | memoryview, ...]:
        number = self._channel.number
        header = _HEADER_FRAME(
            _HEADER_TYPE, number, _HEADER_FIXED_BYTES + len(properties), _BASIC_CLASS, 0, len(body)
        )
        head = (header, properties, _FRAME_END)
        if not body:
            return head
        if len(body) <= self._max_frame_bytes:
            return (*head, _BODY_FRAME(_BODY_TYPE, number, len(body)), body, _FRAME_END)
        # Views avoid copying the body before the write.
        whole = memoryview(body)
        pieces = [
            whole[start : start + self._max_frame_bytes]
            for start in range(0, len(body), self._max_frame_bytes)
        ]
        frames = [
            part
            for piece in pieces
            for part in (_BODY_FRAME(_BODY_TYPE, number, len(piece)), piece, _FRAME_END)
        ]
        return (*head, *frames)

    def _closed(self, _: object) -> None:
        for confirmed in self._channel.confirmations.values():
            if not confirmed.done():
                confirmed.set_exception(ConnectionError("The channel was closed."))


def _expire(confirmed: "asyncio.Future[object]") -> None:
    if not confirmed.done():
        confirmed.set_exception(TimeoutError())
