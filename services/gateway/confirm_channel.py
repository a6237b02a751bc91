"""Publishes many messages at once on one channel of aiormq, and waits for their confirms.

aiormq writes each message by itself: a lock, three context managers, a queue and a drain for each.
At thousands of webhooks a second that is half of all the gateway does. Here the messages of one
turn of the event loop are one write. The handshake, the heartbeat, the confirms and the closing
stay with aiormq; what this leans on beyond its documented calls is the channel's write queue, its
counter of delivery tags and its table of confirmations, as of the version that is pinned.
"""

import asyncio
from struct import Struct

import pamqp.frame
from aiormq.channel import Channel
from pamqp.commands import Basic

_HEADER_FRAME = Struct(">BHIHHQ").pack
_BODY_FRAME = Struct(">BHI").pack
_FRAME_END = b"\xce"
_HEADER_TYPE, _BODY_TYPE = 2, 3
_BASIC_CLASS = 60
_HEADER_FIXED_BYTES = 12


class _Turn:
    """What is published in one turn of the loop: to aiormq's writer, a frame like its own."""

    should_close = False
    should_drain = False

    def __init__(self) -> None:
        self._parts: list[bytes | memoryview] = []

    def add(self, parts: tuple[bytes | memoryview, ...]) -> None:
        self._parts.extend(parts)

    @property
    def payload(self) -> bytes:
        """Everything that was added since the last time this was asked for."""
        parts, self._parts = self._parts, []
        return b"".join(parts)

    @property
    def is_empty(self) -> bool:
        return not self._parts

    def drain(self) -> None:
        """Nobody waits for the write, but for the confirm."""


class ConfirmChannel:
    """Publishes to one exchange with one routing key. Nothing else may publish on the channel."""

    def __init__(self, channel: Channel, *, exchange: str, routing_key: str) -> None:
        self._channel = channel
        self._loop = asyncio.get_running_loop()
        self._turn = _Turn()
        self._most_in_frame = channel.max_content_size
        publish = Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True)
        self._method = pamqp.frame.marshal(publish, channel.number)
        channel.closing.add_done_callback(self._closed)

    async def publish(self, body: bytes, properties: Basic.Properties, *, timeout_s: float) -> None:
        """Return once the broker has the message on disk.

        Raises TimeoutError when it has not said so in time, ConnectionError when the channel ends
        meanwhile, and aiormq's DeliveryError or PublishError when the broker will not have it.
        """
        channel, message_id = self._channel, str(properties.message_id)
        if channel.is_closed:
            raise ConnectionError("The channel is closed.")
        confirmed = self._loop.create_future()
        # What cannot be encoded raises here, before it has a tag: the broker would not count it.
        content = self._content(body, properties.marshal())
        # Nothing is awaited from here to the write, so tags are given in the order of writing.
        channel.delivery_tag += 1
        channel.confirmations[channel.delivery_tag] = confirmed
        channel.message_id_delivery_tag[message_id] = channel.delivery_tag
        self._write((self._method, *content))
        deadline = self._loop.call_later(timeout_s, _expire, confirmed)
        try:
            await confirmed
        finally:
            deadline.cancel()
            channel.message_id_delivery_tag.pop(message_id, None)

    def _write(self, parts: tuple[bytes | memoryview, ...]) -> None:
        is_first = self._turn.is_empty
        self._turn.add(parts)
        if is_first:
            self._hand_over()

    def _hand_over(self) -> None:
        if self._channel.is_closed:
            return
        try:
            self._channel.write_queue.put_nowait(self._turn)
        except asyncio.QueueFull:
            # Something else waits to be written first; the writer will be back in a moment.
            self._loop.call_soon(self._hand_over)

    def _content(self, body: bytes, properties: bytes) -> tuple[bytes | memoryview, ...]:
        number = self._channel.number
        header = _HEADER_FRAME(
            _HEADER_TYPE, number, _HEADER_FIXED_BYTES + len(properties), _BASIC_CLASS, 0, len(body)
        )
        head = (header, properties, _FRAME_END)
        if not body:
            return head
        if len(body) <= self._most_in_frame:
            return (*head, _BODY_FRAME(_BODY_TYPE, number, len(body)), body, _FRAME_END)
        # Views: the one copy that is made is the write.
        whole = memoryview(body)
        pieces = [
            whole[start : start + self._most_in_frame]
            for start in range(0, len(body), self._most_in_frame)
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
                confirmed.set_exception(ConnectionError("The channel ended."))


def _expire(confirmed: "asyncio.Future[object]") -> None:
    if not confirmed.done():
        confirmed.set_exception(TimeoutError())
