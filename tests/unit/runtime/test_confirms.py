"""Publishes of one iteration are one write, and each learns what the broker answers."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pamqp.frame
import pytest
from aiormq.exceptions import DeliveryError
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic, Connection, Queue
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from ringback.runtime.amqp.confirms import AnswerReader, ConfirmChannel

NUMBER = 3
PROPERTIES = Basic.Properties(message_id="an id", delivery_mode=2)
MAX_BODY_BYTES = 10
START = Connection.Start(0, 9, {"version": "4.1.0"}, "PLAIN", "en_US")


class Written(asyncio.WriteTransport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []

    def write(self, data: Any) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return False


def a_channel(max_content_size: int) -> Any:
    """What a ConfirmChannel uses of aiormq's channel."""
    return SimpleNamespace(
        number=NUMBER,
        is_closed=False,
        max_content_size=max_content_size,
        closing=asyncio.get_running_loop().create_future(),
    )


class Link:
    """A channel whose broker is the test."""

    def __init__(
        self, clock: Callable[[], float] = lambda: 0.0, *, max_content_size: int = MAX_BODY_BYTES
    ) -> None:
        self.transport = Written()
        self.reader = AnswerReader(clock)
        self.reader.set_transport(self.transport)
        self.channel = a_channel(max_content_size)
        self.confirms = ConfirmChannel(self.channel, self.reader)

    async def publish(self, *bodies: bytes, timeout_s: float = 60.0) -> list[asyncio.Task[None]]:
        """Begin to publish these bodies at once."""
        publishes = [
            asyncio.create_task(
                self.confirms.publish(
                    body,
                    PROPERTIES.marshal(),
                    exchange="webhooks",
                    routing_key="attempt.1",
                    timeout_s=timeout_s,
                )
            )
            for body in bodies
        ]
        for _ in range(3):
            await asyncio.sleep(0)
        return publishes

    def answer(self, *frames: Any) -> None:
        self.reader.feed_data(b"".join(pamqp.frame.marshal(one, NUMBER) for one in frames))


async def passed_on(reader: AnswerReader) -> bytes:
    """Everything that aiormq would read."""
    # asyncio reports the end when the broker closes, and again when the connection is lost.
    reader.feed_eof()
    reader.feed_eof()
    return await reader.read()


def frames_of(body: bytes) -> bytes:
    """A publish as pamqp encodes it."""
    pieces = [body[at : at + MAX_BODY_BYTES] for at in range(0, len(body), MAX_BODY_BYTES)]
    frames: list[Any] = [
        Basic.Publish(exchange="webhooks", routing_key="attempt.1", mandatory=True),
        ContentHeader(0, len(body), PROPERTIES),
        *(ContentBody(piece) for piece in pieces),
    ]
    return b"".join(pamqp.frame.marshal(one, NUMBER) for one in frames)


async def test_publishes_of_one_iteration_are_one_write() -> None:
    """With the bytes of pamqp. A body that is larger than a frame has several."""
    link = Link()
    bodies = [b"small", b"", b"x" * MAX_BODY_BYTES, b"larger than one frame"]

    publishes = await link.publish(*bodies)
    link.answer(Basic.Ack(4, multiple=True))

    await asyncio.gather(*publishes)
    assert link.transport.writes == [b"".join(map(frames_of, bodies))]


async def test_a_confirm_belongs_to_its_publish() -> None:
    """One may confirm several; the broker may answer in any order."""
    link = Link()
    publishes = await link.publish(b"1", b"2", b"3", b"4", b"5")

    link.answer(Basic.Ack(4), Basic.Ack(2, multiple=True), Basic.Nack(5))
    done = await asyncio.gather(*(publishes[at] for at in (0, 1, 3, 4)), return_exceptions=True)

    assert done[:3] == [None, None, None]
    assert isinstance(done[3], DeliveryError)
    assert not publishes[2].done()
    link.answer(Basic.Ack(3))
    await publishes[2]


async def test_a_returned_message_fails_all_that_wait() -> None:
    """The confirm that follows says only that the broker has dealt with it."""
    link = Link()
    publishes = await link.publish(b"1", b"2")

    link.answer(
        Basic.Return(312, "NO_ROUTE", "webhooks", "attempt.1"),
        ContentHeader(0, 1, PROPERTIES),
        ContentBody(b"1"),
        Basic.Ack(2, multiple=True),
    )

    done = await asyncio.gather(*publishes, return_exceptions=True)
    assert [type(error) for error in done] == [DeliveryError, DeliveryError]


async def test_without_a_confirm_in_time_a_publish_fails() -> None:
    """A confirm that comes later changes nothing, also not for the next publish."""
    link = Link()
    [late] = await link.publish(b"1", timeout_s=0.01)
    with pytest.raises(TimeoutError):
        await late

    [following] = await link.publish(b"2")
    link.answer(Basic.Ack(1))
    await asyncio.sleep(0)

    assert not following.done()
    link.answer(Basic.Ack(2))
    await following


async def test_a_closed_channel_fails_what_waits_and_what_comes() -> None:
    link = Link()
    publishes = await link.publish(b"1")

    link.channel.is_closed = True
    link.channel.closing.set_result(None)
    publishes += await link.publish(b"2")

    for publish in publishes:
        with pytest.raises(ConnectionError):
            await publish


@given(
    kinds=st.lists(st.sampled_from(["ours", "confirm of another channel", "heartbeat", "reply"])),
    piece_bytes=st.integers(1, 50),
)
async def test_aiormq_gets_all_other_frames(kinds: list[str], piece_bytes: int) -> None:
    """Whole and in order, however they arrive."""
    frames = {
        "ours": pamqp.frame.marshal(Basic.Ack(1), NUMBER),
        "confirm of another channel": pamqp.frame.marshal(Basic.Ack(1), NUMBER + 1),
        "heartbeat": Heartbeat().marshal(),
        "reply": pamqp.frame.marshal(Queue.DeclareOk("q", 1, 2), NUMBER),
    }
    link = Link()
    data = b"".join(frames[kind] for kind in kinds)

    for at in range(0, len(data), piece_bytes):
        link.reader.feed_data(data[at : at + piece_bytes])

    expected = b"".join(frames[kind] for kind in kinds if kind != "ours")
    assert await passed_on(link.reader) == expected


async def test_aiormq_sees_that_the_broker_is_alive() -> None:
    """It would close a connection on which only confirms arrive."""
    now = 100.0
    link = Link(lambda: now)
    link.answer(Basic.Ack(1))
    link.answer(Basic.Ack(2))
    now += 2
    link.answer(Basic.Ack(3))

    assert await passed_on(link.reader) == 2 * Heartbeat().marshal()


@pytest.mark.parametrize("whole", [b"AMQP\0\0\x09\1", pamqp.frame.marshal(START, 0)])
async def test_the_first_bytes_of_a_broker_are_passed_on_unchanged(whole: bytes) -> None:
    """However they arrive. Another version of the protocol is no frame, and followed by the end."""
    reader = AnswerReader()
    reader.set_transport(Written())
    for at in range(len(whole)):
        reader.feed_data(whole[at : at + 1])

    assert await passed_on(reader) == whole


async def test_a_broker_without_a_limit_gets_the_body_as_one_frame() -> None:
    """RabbitMQ can be set to frame_max = 0, from which aiormq subtracts the bytes around a body."""
    link = Link(max_content_size=-8)
    [publish] = await link.publish(b"body")

    assert pamqp.frame.marshal(ContentBody(b"body"), NUMBER) in link.transport.writes[0]
    link.answer(Basic.Ack(1))
    await publish
