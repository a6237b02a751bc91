"""The reasons to pause queues, with a broker that answers when the test wants."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import DUE_QUEUE
from services.processor.attempt.handler_slots import HandlerSlots
from services.processor.consume.consumer_group import ConsumerGroup, QueueHandlers
from services.processor.database_watch import DatabaseWatch


class Broker:
    """A connection whose one channel answers a `basic.cancel` late."""

    def __init__(self) -> None:
        self.consumed: list[str] = []
        self.asked_to_cancel = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.number = 1
        self.is_closed = False
        self.closing = asyncio.get_running_loop().create_future()
        self.write_queue = asyncio.Queue[Any]()
        self.on_consumer_cancel_callbacks = set[Any]()
        self.close_callbacks = set[Any]()

    async def channel(self, **_: object) -> "Broker":
        return self

    async def set_qos(self, **_: object) -> None:
        """Answer at once."""

    async def get_underlay_channel(self) -> "Broker":
        return self

    async def basic_consume(self, queue: str, _: object) -> SimpleNamespace:
        self.consumed.append(queue)
        return SimpleNamespace(consumer_tag=queue)

    async def basic_cancel(self, tag: str) -> None:
        self.consumed.remove(tag)
        self.asked_to_cancel.set()
        await self.may_answer.wait()


async def nothing(*_: object) -> None:
    """Handle a message, or answer a ping."""


async def test_a_cancelled_quarantine_leaves_no_queue_paused() -> None:
    """A handler may cancel every task that it finds, also one that is about to pause a queue."""
    broker: Any = Broker()
    group = ConsumerGroup(
        "amqp://nowhere",
        RetrySchedule(()),
        DatabaseWatch(nothing, wait_s=60),
        prefetch=1,
        slots=HandlerSlots(1),
        handlers=QueueHandlers(nothing, nothing, nothing, nothing),
    )
    [due] = [one for one in group._all if one.queue_name == DUE_QUEUE]
    await due.attach(broker)
    await group.resume()
    await due.resume("database")
    assert broker.consumed == [DUE_QUEUE]

    async def quarantined() -> None:
        async with group.exclusive():
            pass

    task = asyncio.create_task(quarantined())
    await broker.asked_to_cancel.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert broker.consumed == [DUE_QUEUE]
