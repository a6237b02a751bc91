"""A message never reaches the broker's delivery limit, however it returns to a queue."""

import asyncio
from collections.abc import Awaitable, Callable

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from chaos.fault_proxy import FaultProxy
from ringback.contract.envelope import Header
from ringback.contract.topology import (
    DEAD_LETTER_QUEUE,
    QUARANTINE_QUEUE,
    REQUEUED_QUEUE,
    WORK_QUEUE,
)
from ringback.local.database import PrivateDatabase
from services.processor.attempt.policy import MAX_DELIVERIES, MAX_REQUEUES
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, envelope_of, scripted
from tests.support.eventually import eventually

Taken = tuple[AbstractChannel, AbstractIncomingMessage]


async def _reject(_: AbstractChannel, message: AbstractIncomingMessage) -> None:
    await message.reject(requeue=True)


async def _close(channel: AbstractChannel, _: AbstractIncomingMessage) -> None:
    await channel.close()


WAYS: dict[str, Callable[[AbstractChannel, AbstractIncomingMessage], Awaitable[None]]] = {
    "we return it, the database being away": _reject,
    "a connection is lost, a consumer is cancelled, a processor stops or dies": _close,
}
"""How the broker counts a delivery. Every other return is a copy, counted from 0."""


async def taken(source: AbstractQueue) -> AbstractIncomingMessage:
    """The next message of a queue; no further message is taken."""
    messages: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    await source.channel.set_qos(prefetch_count=1)
    tag = await source.consume(messages.put)
    message = await messages.get()
    await source.cancel(tag)
    return message


async def returned(stage: Stage, queue: str, times: int) -> int:
    """Take the only message of a queue and return it, by each way in turn; return its count."""
    count = 0
    async with await aio_pika.connect(stage.place.amqp_url) as connection:
        for number in range(times + 1):
            channel = await connection.channel()
            source = await channel.get_queue(queue)
            message = await taken(source)
            count = int(str(message.headers.get("x-delivery-count", 0)))
            way = list(WAYS.values())[number % len(WAYS)] if number < times else _reject
            await way(channel, message)
    return count


async def test_a_worn_webhook_is_replaced_by_a_copy(
    stage: Stage, start: Starter, database: PrivateDatabase
) -> None:
    """This applies also without a suspected crash, if the database was unavailable."""
    job_id = await stage.send(scripted("plain", fail_times=1))
    counted = await returned(stage, WORK_QUEUE, MAX_DELIVERIES)
    async with FaultProxy(database.port) as way:
        way.refuse()
        process = start(Place(stage.place.amqp_url, way.through(stage.place.database_url)))
        await eventually(lambda: process.lines("database.unavailable"), deadline_s=30)
        way.accept()

        row = await stage.until(job_id, "completed", deadline_s=30)

    assert counted >= MAX_DELIVERIES
    assert row["attempts"] == len(await stage.runs(job_id)) == 2
    assert not process.lines("message.quarantined")
    await stage.until_empty(WORK_QUEUE, QUARANTINE_QUEUE, DEAD_LETTER_QUEUE)


async def test_a_quarantine_carries_its_count_in_a_copy(stage: Stage, start: Starter) -> None:
    """The limit of its queue is three; two returns and then an exclusive run complete it."""
    job_id = await stage.send(scripted("plain"))
    await returned(stage, WORK_QUEUE, 3)
    message = await taken(await stage.channel.get_queue(WORK_QUEUE))
    copy = aio_pika.Message(
        message.body,
        headers={**message.headers, Header.ATTEMPT: 1},
        message_id=message.message_id,
        type=message.type,
    )
    await stage.channel.default_exchange.publish(copy, QUARANTINE_QUEUE)
    await message.ack()
    await returned(stage, QUARANTINE_QUEUE, 1)

    process = start(stage.place)

    await stage.until(job_id, "completed")
    assert len(await stage.runs(job_id)) == 1
    assert not process.lines("dead_letter.recorded")


async def test_a_dead_letter_that_cannot_be_recorded_is_kept(stage: Stage, start: Starter) -> None:
    """RabbitMQ 4 drops a message after 20 returns. Ours is copied before, and others continue."""
    await stage.database.execute(
        """
        CREATE FUNCTION curse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.event_type = 'test.cursed' AND NEW.status = 'dead_letter' THEN
                RAISE EXCEPTION 'cursed' USING ERRCODE = '22023';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER curse BEFORE UPDATE ON webhook_delivery_log
            FOR EACH ROW EXECUTE FUNCTION curse()"""
    )
    cursed = await stage.send({"message": {"type": "test.cursed"}}, key="elsewhere")
    counted = await returned(stage, DEAD_LETTER_QUEUE, MAX_DELIVERIES)
    process = start(stage.place)
    await eventually(lambda: len(process.lines("message.requeued")) >= 2, deadline_s=60)

    other = await stage.send({"message": {"type": "test.other"}}, key="elsewhere")

    await stage.until(other, "dead_letter")
    assert counted >= MAX_DELIVERIES
    counts = [line["requeues"] for line in process.lines("message.requeued")]
    assert counts == list(range(1, len(counts) + 1))
    await stage.database.execute("DROP TRIGGER curse ON webhook_delivery_log")
    await stage.until(cursed, "dead_letter", deadline_s=60)
    await stage.until_empty(DEAD_LETTER_QUEUE)


async def test_what_is_returned_again_and_again_is_a_dead_letter_with_its_reason(
    stage: Stage, start: Starter
) -> None:
    """A handler whose session ends each time uses no attempt; ten returns later it runs alone."""
    body = b'{"message": {"type": "test.transaction", "script": {"steps": ["end the session"]}}}'
    envelope = envelope_of(body)
    headers = {**envelope.headers(), Header.REQUEUES.value: MAX_REQUEUES}
    await stage.publish(
        body, headers=headers, message_id=str(envelope.job_id), type=envelope.event_type
    )
    process = start(stage.place)
    others = [await stage.send(scripted("transaction")) for _ in range(5)]

    row = await stage.until(envelope.job_id, "dead_letter", deadline_s=30)

    assert row["error_class"] == "TransactionLostError"
    assert row["error_message"]
    assert not await stage.attempts(envelope.job_id)
    assert len(await stage.runs(envelope.job_id)) == 2
    assert [line["requeues"] for line in process.lines("message.requeued")] == [11, 12]
    assert not process.lines("database.unavailable")
    for job_id in others:
        assert (await stage.until(job_id, "completed"))["attempts"] == 1
    await stage.until_empty(WORK_QUEUE, QUARANTINE_QUEUE, REQUEUED_QUEUE, DEAD_LETTER_QUEUE)


@pytest.mark.parametrize("count", [1, 6])
async def test_what_waits_keeps_nobody_from_the_work(
    stage: Stage, start: Starter, count: int
) -> None:
    """More are returned than run at once; others finish meanwhile, and then these do."""
    start(stage.place)
    ended = [
        await stage.send(scripted("transaction", first_steps=["end the session"]))
        for _ in range(count)
    ]
    others = [await stage.send(scripted("transaction")) for _ in range(5)]

    for job_id in (*others, *ended):
        row = await stage.until(job_id, "completed", deadline_s=30)
        assert (row["attempts"], await stage.effects(job_id)) == (1, 1)
