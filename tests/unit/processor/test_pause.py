"""A queue is consumed while there is no reason to pause it, and the database decides about one."""

import asyncio
from collections.abc import Callable
from itertools import permutations
from types import SimpleNamespace
from typing import Any, cast

import asyncpg
import pytest
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp import commands as spec
from pamqp.header import ContentHeader

from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.topology import (
    BULK_QUEUE,
    DEAD_LETTER_QUEUE,
    QUARANTINE_QUEUE,
    WORK_QUEUE,
)
from ringback.outgoing import destination
from ringback.runtime.outgoing.breaker import BreakerState
from ringback.services.processor.attempt.handler_slots import HandlerSlots
from ringback.services.processor.consume.consumer import QueueConsumer
from ringback.services.processor.consume.consumer_group import ConsumerGroup, QueueHandlers
from ringback.services.processor.consume.pause import PauseListener
from ringback.services.processor.database_watch import DatabaseWatch
from tests.support.eventually import eventually
from tests.unit.processor.fakes import instruments

REASONS = ("database", "paused", "quarantine", "draining")


class Session:
    """A connection to a broker, and its only channel. It may answer a `basic.cancel` late."""

    def __init__(self) -> None:
        self.consumers: dict[str, Callable[[DeliveredMessage], Any]] = {}
        self.error: BaseException | None = None
        self.asked_to_cancel, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()
        self.number, self.is_closed = 1, False
        self.close_callbacks: set[Any] = set()
        self.on_consumer_cancel_callbacks: set[Any] = set()
        self.closing = asyncio.Future[None]()
        self.write_queue = asyncio.Queue[Any]()

    async def channel(self, **_: object) -> "Session":
        return self

    async def set_qos(self, **_: object) -> None:
        """Any prefetch."""

    async def get_underlay_channel(self) -> "Session":
        return self

    async def basic_consume(
        self, queue: str, callback: Callable[[DeliveredMessage], Any]
    ) -> SimpleNamespace:
        if self.error:
            raise self.error
        self.consumers[queue] = callback
        return SimpleNamespace(consumer_tag=queue)

    async def basic_cancel(self, tag: str) -> None:
        del self.consumers[tag]
        self.asked_to_cancel.set()
        await self.may_answer.wait()

    async def queue_declare(self, queue: str, **_: object) -> SimpleNamespace:
        return SimpleNamespace(consumer_count=int(queue in self.consumers))

    def as_connection(self) -> AbstractConnection:
        return cast("AbstractConnection", self)


class Lost:
    times = 0

    def __call__(self) -> None:
        self.times += 1


def consumer(*reasons: str, on_message: Any = None, lost: Lost | None = None) -> QueueConsumer:
    return QueueConsumer("q", 2, on_message, on_lost=lost or Lost(), paused_for=reasons)


def delivered() -> DeliveredMessage:
    """A message as aiormq delivers it."""
    channel = cast("AbstractChannel", SimpleNamespace(is_closed=False))
    return DeliveredMessage(
        delivery=spec.Basic.Deliver("tag", 1, exchange="webhooks", routing_key="attempt.1"),
        header=ContentHeader(properties=spec.Basic.Properties()),
        body=b"",
        channel=channel,
    )


async def test_it_consumes_when_the_last_reason_is_withdrawn() -> None:
    """The order does not matter, and the first reason pauses it."""
    session, under_test = Session(), consumer(*REASONS)
    await under_test.attach(session.as_connection())
    for order in permutations(REASONS):
        for reason in order:
            assert not session.consumers
            assert await under_test.is_consuming()
            await under_test.resume(reason)
        assert session.consumers
        for reason in reversed(order):
            await under_test.pause(reason)
            assert not session.consumers


async def test_a_reason_given_twice_is_withdrawn_once() -> None:
    """Withdrawing a missing reason does no harm."""
    session, under_test = Session(), consumer()
    await under_test.attach(session.as_connection())

    await under_test.pause("paused")
    await under_test.pause("paused")
    await under_test.resume("quarantine")
    assert not session.consumers
    await under_test.resume("paused")

    assert session.consumers


async def test_a_pause_outlives_the_connection() -> None:
    """A new session begins paused."""
    first, second, under_test = Session(), Session(), consumer()
    await under_test.attach(first.as_connection())
    await under_test.pause("paused")

    await under_test.attach(second.as_connection())
    assert not second.consumers
    await under_test.resume("paused")

    assert second.consumers
    assert not first.consumers


async def test_a_consumer_that_the_broker_forgot_is_noticed() -> None:
    """The connection and the channel look healthy."""
    session, under_test = Session(), consumer()
    await under_test.attach(session.as_connection())
    before = await under_test.is_consuming()

    session.consumers.clear()

    assert before
    assert not await under_test.is_consuming()


async def test_a_session_on_which_it_cannot_consume_is_given_up() -> None:
    """Only the channel of the current session counts: an old one can close late."""
    lost, old, session = Lost(), Session(), Session()
    under_test = consumer(lost=lost)
    await under_test.attach(old.as_connection())
    session.error = ConnectionError()
    await under_test.attach(session.as_connection())
    failed = lost.times

    for callback in old.close_callbacks:
        callback()
    stale = lost.times
    for callback in session.close_callbacks:
        callback()

    assert (failed, stale, lost.times) == (1, 1, 2)


@pytest.mark.parametrize("is_ours", [True, False])
async def test_cancelled_work_is_delivered_again(*, is_ours: bool) -> None:
    """If a handler cancels every task that it finds, a new session receives the messages again."""
    started, lost, session = asyncio.Event(), Lost(), Session()
    tasks: list[asyncio.Task[None] | None] = []

    async def work(_: AbstractIncomingMessage) -> None:
        tasks.append(asyncio.current_task())
        started.set()
        await asyncio.sleep(60)

    under_test = consumer(on_message=work, lost=lost)
    await under_test.attach(session.as_connection())
    await session.consumers["q"](delivered())
    await started.wait()

    if is_ours:
        await under_test.drop_all()
    else:
        [task] = tasks
        assert task is not None
        task.cancel()
        await under_test.wait_until_empty()

    assert lost.times == (not is_ours)
    assert under_test.in_flight == 0


async def nothing(*_: object) -> None:
    """Handle a message, or answer a ping."""


async def test_a_cancelled_quarantine_leaves_no_queue_paused() -> None:
    """A handler may cancel every task that it finds, also one that is about to pause a queue."""
    session = Session()
    group = ConsumerGroup(
        "amqp://nowhere",
        RetrySchedule(()),
        DatabaseWatch(nothing, wait_s=60),
        prefetch=1,
        slots=HandlerSlots(1),
        handlers=QueueHandlers(nothing, nothing, nothing, nothing, nothing),
    )
    await group.attach(session.as_connection())
    await group.resume()
    await group.database_unavailable()
    await eventually(lambda: len(session.consumers) == 5)
    session.may_answer.clear()

    async def quarantined() -> None:
        async with group.exclusive():
            pass

    task = asyncio.create_task(quarantined())
    await session.asked_to_cancel.wait()
    assert session.consumers.keys() == {
        *(WORK_QUEUE, BULK_QUEUE),
        *(QUARANTINE_QUEUE, DEAD_LETTER_QUEUE),
    }
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(session.consumers) == 5


class Consumers:
    def __init__(self) -> None:
        self.calls: list[str] = []

    async def pause(self) -> None:
        self.calls.append("pause")

    async def resume(self) -> None:
        self.calls.append("resume")


class Listening:
    """A session of the database that answers each query with the next row."""

    def __init__(self, *rows: dict[str, Any] | BaseException | None) -> None:
        self.rows = list(rows)
        self.notify: Callable[[], None] = lambda: None

    def add_termination_listener(self, _: object) -> None:
        """It does not end."""

    async def add_listener(self, _: str, notify: Callable[[], None]) -> None:
        self.notify = notify

    async def fetch(self, _: str, **__: object) -> list[dict[str, Any]]:
        return [{"name": "of-the-pause-tests", "forced_state": "open"}]

    async def fetchrow(self, _: str, **__: object) -> dict[str, Any] | None:
        row = self.rows.pop(0) if self.rows else OSError("lost")
        if isinstance(row, BaseException):
            raise row
        return row


def state(*, paused: bool) -> dict[str, Any]:
    return {"paused": paused, "changed_by": "ada", "reason": "a migration"}


async def listened(consumers: Consumers, *rows: Any, listener: PauseListener | None = None) -> Any:
    """Listen until the session is lost."""
    listener = listener or PauseListener("", consumers, instruments())
    session = cast("asyncpg.Connection", Listening(*rows))
    with pytest.raises(OSError, match="lost"):
        await listener.listen(session, query_every_s=0.001)
    return listener


async def test_a_forced_state_applies_before_anything_is_consumed() -> None:
    shop = destination("of-the-pause-tests")
    states = []

    class Resuming(Consumers):
        async def resume(self) -> None:
            states.append(shop.breaker.state)

    await listened(Resuming(), state(paused=False))

    assert states == [BreakerState.OPEN]


async def test_each_change_pauses_or_resumes_once() -> None:
    """Queries make up for a lost notification; without a row, processing is not paused."""
    consumers = Consumers()

    await listened(
        consumers, None, state(paused=False), state(paused=True), state(paused=True), None
    )

    assert consumers.calls == ["resume", "pause", "resume"]


async def test_a_lost_session_keeps_the_last_answer() -> None:
    """What changed meanwhile is known with the next session; until then nothing changes."""
    consumers = Consumers()
    listener = PauseListener("", consumers, instruments())
    unknown = await listener.has_answer()
    await listened(consumers, state(paused=True), listener=listener)
    paused = listener.is_paused

    await listened(consumers, state(paused=True), state(paused=False), listener=listener)

    assert (unknown, paused, listener.is_paused) == (False, True, False)
    assert await listener.has_answer()
    assert consumers.calls == ["pause", "resume"]


async def test_a_notification_is_followed_by_a_query() -> None:
    """A pause takes effect at once, not at the next interval."""
    consumers, session = Consumers(), Listening(state(paused=False), state(paused=True))
    listener = PauseListener("", consumers, instruments())
    task = asyncio.create_task(
        listener.listen(cast("asyncpg.Connection", session), query_every_s=3_600)
    )
    await eventually(lambda: consumers.calls == ["resume"])

    session.notify()

    await eventually(lambda: consumers.calls == ["resume", "pause"])
    task.cancel()
