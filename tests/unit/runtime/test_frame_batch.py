"""Frames of one event loop iteration are one write, and each waiter learns when it is done."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pamqp.frame
import pytest
from pamqp.commands import Basic

from ringback.runtime.amqp.frame_batch import FrameBatch


def a_channel(*, queue_size: int = 10) -> Any:
    """What a batch uses of a channel. The test acts as the library's writer."""
    return SimpleNamespace(
        number=3,
        is_closed=False,
        closing=asyncio.get_running_loop().create_future(),
        write_queue=asyncio.Queue(queue_size),
    )


async def write_next(channel: Any) -> bytes:
    """Write a frame as aiormq's writer does."""
    frame = await channel.write_queue.get()
    payload: bytes = frame.payload
    if frame.should_drain:
        frame.drain()
    return payload


def ack_of(delivery_tag: int) -> bytes:
    return pamqp.frame.marshal(Basic.Ack(delivery_tag=delivery_tag), 3)


async def test_answers_of_one_iteration_are_one_write() -> None:
    """In their order, with the bytes of pamqp. No call returns before the write."""
    channel = a_channel()
    batch = FrameBatch(channel)
    answers = [
        *(batch.ack(1, multiple=True), batch.ack(2**40, multiple=False)),
        *(batch.reject(2**62, requeue=True), batch.reject(3, requeue=False)),
    ]
    frames = [
        *(Basic.Ack(1, multiple=True), Basic.Ack(2**40, multiple=False)),
        *(Basic.Reject(2**62, requeue=True), Basic.Reject(3, requeue=False)),
    ]
    acks = [asyncio.create_task(one) for one in answers]
    await asyncio.sleep(0)
    late = asyncio.create_task(batch.ack(4))

    assert not any(ack.done() for ack in acks)
    assert await write_next(channel) == b"".join(pamqp.frame.marshal(one, 3) for one in frames)
    await asyncio.gather(*acks)
    assert not late.done()
    assert await write_next(channel) == ack_of(4)
    await late
    assert channel.write_queue.empty()


async def test_frames_without_an_answer_wait_for_nothing() -> None:
    """A publisher waits for the confirm, so the writer need not drain."""
    channel = a_channel()
    batch = FrameBatch(channel)

    batch.add(b"a", b"b")
    batch.add(b"c")
    frame = await channel.write_queue.get()

    assert frame.payload == b"abc"
    assert not frame.should_drain


async def test_a_full_queue_delays_the_frames() -> None:
    channel = a_channel(queue_size=1)
    channel.write_queue.put_nowait(SimpleNamespace(payload=b"other", should_drain=False))

    ack = asyncio.create_task(FrameBatch(channel).ack(1))
    await asyncio.sleep(0)

    assert await write_next(channel) == b"other"
    assert await write_next(channel) == ack_of(1)
    await ack


async def test_a_closed_channel_fails_waiting_callers() -> None:
    """Whether or not their frames are being written, and callers after the close."""
    channel = a_channel()
    batch = FrameBatch(channel)
    acks = [asyncio.create_task(batch.ack(1))]
    await asyncio.sleep(0)
    assert (await channel.write_queue.get()).payload == ack_of(1)
    acks.append(asyncio.create_task(batch.ack(2)))
    await asyncio.sleep(0)

    channel.is_closed = True
    channel.closing.set_result(None)
    acks.append(asyncio.create_task(batch.ack(3)))

    for ack in acks:
        with pytest.raises(ConnectionError):
            await ack


async def test_a_batch_waits_for_room_without_using_the_cpu() -> None:
    """While the broker does not read, nothing tries again in each iteration of the loop."""

    class Counted(asyncio.Queue[object]):
        tries = 0

        def put_nowait(self, item: object) -> None:
            self.tries += 1
            super().put_nowait(item)

    channel = a_channel()
    channel.write_queue = Counted(1)
    channel.write_queue.put_nowait(object())
    batch = FrameBatch(channel)
    ack = asyncio.create_task(batch.ack(1))
    for _ in range(1000):
        await asyncio.sleep(0)

    assert channel.write_queue.tries < 500
    channel.write_queue.get_nowait()
    assert await write_next(channel) == ack_of(1)
    await ack
