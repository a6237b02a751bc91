"""The retry schedule is changed in steps, each of which may be the last one of its process."""

import asyncio
from collections.abc import Callable

import pytest
from aio_pika.abc import AbstractIncomingMessage

from ringback.contract.topology import DEAD_LETTER_QUEUE, DUE_QUEUE, WORK_QUEUE
from ringback.runtime.amqp.schedule_change import (
    Step,
    StoppedProcessing,
    old_retry_queues,
    remove_old_retry_queues,
)
from ringback.runtime.amqp.topology import TopologyError
from tests.integration.topology.schedules import LOOK_S, NEW, OLD, RetrySchedules, bindings_of
from tests.support.eventually import eventually

pytestmark = pytest.mark.slow


class Died(Exception):  # ruff: ignore[error-suffix-on-exception-name]  # what happened
    """Stands for the end of the process."""


def dying_at(last: Step) -> Callable[[Step], None]:
    def die(step: Step) -> None:
        if step is last:
            raise Died

    return die


class Watched:
    """Processing that only remembers whether it rests, as the row in the database does."""

    def __init__(self) -> None:
        self.is_paused = False
        self.pauses = 0

    async def pause(self) -> None:
        self.is_paused = True
        self.pauses += 1

    async def in_flight(self) -> int | None:
        return 0 if self.is_paused else None

    async def resume(self) -> None:
        self.is_paused = False


STEPS_TO_DIE_AT = [Step.DECLARED, Step.PAUSED, Step.SETTLED, Step.UNBOUND, Step.BOUND]


async def test_a_second_run_finishes_what_a_dead_one_began(aged: RetrySchedules) -> None:
    """If it dies after any step, processing rests until a second run ends."""
    for last in STEPS_TO_DIE_AT:
        processing = Watched()
        await aged.move_by_memory(NEW, OLD)
        with pytest.raises(Died):
            await aged.change_schedule(NEW, processing, done=dying_at(last))
        rested = processing.is_paused

        await aged.change_schedule(NEW, processing)

        assert rested == (last is not Step.DECLARED), last
        assert not processing.is_paused
        assert await aged.bound() == bindings_of(NEW)


async def test_a_schedule_that_is_bound_already_pauses_nobody(schedules: RetrySchedules) -> None:
    """A run too many changes nothing and is not noticed."""
    await schedules.apply(NEW)
    processing = Watched()

    change = await schedules.change_schedule(NEW, processing)

    assert change.is_done
    assert not processing.pauses


async def test_nothing_on_a_retry_queue_is_lost_or_copied(schedules: RetrySchedules) -> None:
    """Each continues from its old retry queue, then follows the new schedule."""
    await schedules.apply(OLD)
    await schedules.publish("first", attempt=1)
    await schedules.publish("third", attempt=3)
    await schedules.fail(2)
    await schedules.until_depth("webhooks.retry.1.1s", 1)
    await schedules.publish("second", attempt=2)

    await schedules.move_by_memory(OLD, NEW)
    came = {}
    for _ in range(3):
        message = await schedules.take()
        came[message.message_id] = message.routing_key
        await message.reject(requeue=False)

    assert came == {"second": "attempt.2", "first": "attempt.2", "third": "attempt.4"}
    await schedules.until_depth("webhooks.retry.2.3s", 2)
    await schedules.until_depth(DEAD_LETTER_QUEUE, 1)
    assert {(await schedules.take()).message_id for _ in range(2)} == {"first", "second"}
    assert await schedules.depth(WORK_QUEUE) == await schedules.depth(DUE_QUEUE) == 0


@pytest.mark.parametrize(("name", "attempt"), [(WORK_QUEUE, 1), (DUE_QUEUE, 2)])
async def test_it_waits_for_those_who_take_work(
    aged: RetrySchedules, name: str, attempt: int
) -> None:
    """Nothing is unbound while a consumer or an unanswered message exists."""
    await aged.move_by_memory(NEW, OLD)
    sentences: list[str] = []
    queue = await aged.channel.get_queue(name, ensure=False)
    held: list[AbstractIncomingMessage] = []

    async def hold(message: AbstractIncomingMessage) -> None:  # ruff: ignore[unused-async]  # as the library wants it
        held.append(message)

    tag = await queue.consume(hold)
    await aged.publish("held", attempt=attempt)
    await eventually(lambda: held, deadline_s=15)

    moving = asyncio.create_task(aged.change_schedule(NEW, waits=sentences.append))
    await eventually(lambda: sentences, deadline_s=15)
    await queue.cancel(tag)
    # The broker counts who has taken and not answered, also when it takes no more.
    assert await aged.consumers(name) == 1
    assert await aged.bound() == bindings_of(OLD)
    await held[0].ack()
    await moving

    assert sentences[0] == f"1 consumers of {name} have not finished."
    assert await aged.bound() == bindings_of(NEW)


async def test_two_at_once_are_one(schedules: RetrySchedules) -> None:
    """The second is refused while the first lives, and free when it is gone."""
    await schedules.apply(OLD)
    entered, leave = asyncio.Event(), asyncio.Event()

    class Slow(StoppedProcessing):
        async def pause(self) -> None:
            entered.set()
            await leave.wait()

    first = asyncio.create_task(schedules.move_by_memory(OLD, NEW, Slow()))
    await entered.wait()
    with pytest.raises(TopologyError, match="is running"):
        await schedules.change_schedule("9s")
    leave.set()
    await first

    await schedules.move_by_memory(NEW, "9s")
    assert await schedules.bound() == bindings_of("9s")


async def test_a_wrong_memory_is_refused(schedules: RetrySchedules) -> None:
    """A schedule that is not bound, or none where it is unknown, changes nothing."""
    await schedules.apply(OLD)

    with pytest.raises(TopologyError, match=r"is not bound, but .*webhooks\.retry\.1\.1s"):
        await schedules.change_schedule(NEW, old=schedules.request("7s,1h").to)
    with pytest.raises(TopologyError, match="--from"):
        await schedules.change_schedule(NEW, management_url=None)

    assert await schedules.bound() == bindings_of(OLD)


async def test_old_retry_queues_are_deleted_once_they_are_empty(aged: RetrySchedules) -> None:
    """One that holds a message stays, and so do those that are bound."""
    await aged.move_by_memory(NEW, OLD)
    await aged.publish("waits", attempt=2)
    await aged.fail(1)
    await aged.until_depth("webhooks.retry.2.1h", 1)
    await aged.change_schedule(NEW)

    async def counted() -> bool:
        found = await old_retry_queues(aged.amqp_url, aged.management_url)
        return len(found.empty) == 2 and found.nonempty == {"webhooks.retry.2.1h": 1}

    await eventually(counted, deadline_s=30)
    gone = await remove_old_retry_queues(aged.amqp_url, aged.management_url, settle_s=LOOK_S)
    left = await old_retry_queues(aged.amqp_url, aged.management_url)

    assert set(gone.empty) == {"webhooks.retry.1.1s", "webhooks.retry.3.2s"}
    assert not left.empty
    assert left.nonempty == {"webhooks.retry.2.1h": 1}
    assert await aged.bound() == bindings_of(NEW)
    queue = await aged.channel.get_queue("webhooks.retry.2.1h", ensure=False)
    await queue.purge()
