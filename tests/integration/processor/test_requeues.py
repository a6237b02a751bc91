"""A message that could not be attempted comes back; the broker's delivery limit never ends it."""

from pathlib import Path

import pytest
from aio_pika.abc import AbstractIncomingMessage

from chaos.fault_proxy import FaultProxy
from ringback.contract.envelope import Header
from ringback.contract.identity import JobId
from ringback.contract.topology import (
    DEAD_LETTER_QUEUE,
    QUARANTINE_QUEUE,
    REQUEUED_QUEUE,
    WORK_QUEUE,
)
from ringback.services.processor.attempt.policy import MAX_DELIVERIES, MAX_REQUEUES
from tests.integration.processor.conftest import Starter
from tests.integration.processor.place import Place
from tests.integration.processor.stage import Stage, envelope_of, scripted
from tests.support.eventually import eventually

QUEUES = (WORK_QUEUE, QUARANTINE_QUEUE, REQUEUED_QUEUE, DEAD_LETTER_QUEUE)


async def send_requeued(stage: Stage, body: bytes) -> JobId:
    """Publish a webhook that was requeued as often as that is allowed in the work queue."""
    envelope = envelope_of(body)
    await stage.publish(
        body,
        headers={**envelope.headers(), Header.REQUEUES.value: MAX_REQUEUES},
        message_id=str(envelope.job_id),
        type=envelope.event_type,
    )
    return envelope.job_id


async def next_message(stage: Stage, queue_name: str) -> AbstractIncomingMessage:
    queue = await stage.channel.get_queue(queue_name, ensure=False)
    return await eventually(lambda: queue.get(fail=False, timeout=60))


@pytest.mark.slow
async def test_a_worn_webhook_is_replaced_by_a_copy_that_the_broker_counts_from_0(
    stage: Stage, start: Starter, way: FaultProxy, tmp_path: Path
) -> None:
    """So the delivery limit of its queue is never reached, however many outages there are."""
    job_id = await stage.send(scripted("plain", gate=str(tmp_path / "gate")))
    for _ in range(MAX_DELIVERIES):
        await (await next_message(stage, WORK_QUEUE)).reject(requeue=True)
    way.refuse()
    process = start(Place(stage.place.amqp_url, way.through(stage.place.database_url)))
    await eventually(lambda: process.lines("database.unavailable"))
    way.accept()
    await stage.until_run(job_id)
    assert not process.lines("message.quarantined")

    process.kill()

    message = await next_message(stage, WORK_QUEUE)
    assert message.message_id == str(job_id)
    assert int(str(message.headers.get("x-delivery-count", 0))) < MAX_DELIVERIES
    assert not await stage.depth(WORK_QUEUE)


async def test_a_webhook_that_ends_its_session_each_time_is_a_dead_letter_with_the_reason(
    stage: Stage, start: Starter
) -> None:
    """It uses no attempt; after ten requeues it runs exclusively, and once more is the last."""
    job_id = await send_requeued(
        stage,
        b'{"message":{"type":"test.transaction","script":{"steps":["end the session"]}}}',
    )
    process = start(stage.place)
    others = [await stage.send(scripted("transaction")) for _ in range(5)]

    row = await stage.until(job_id, "dead_letter")

    assert row["error_class"] == "TransactionLostError"
    assert row["error_message"]
    assert not await stage.attempts(row["id"])
    assert len(await stage.runs(row["id"])) == 2
    assert [line["requeues"] for line in process.lines("message.requeued")] == [11, 12]
    assert not process.outages()
    for other in others:
        assert (await stage.until(other, "completed"))["attempts"] == 1
    await stage.until_empty(*QUEUES)


async def test_requeued_webhooks_do_not_delay_others(stage: Stage, start: Starter) -> None:
    """More are requeued than run at once; others finish meanwhile, and then these do."""
    start(stage.place)
    ended = [
        await stage.send(scripted("transaction", first_steps=["end the session"])) for _ in range(6)
    ]
    others = [await stage.send(scripted("transaction")) for _ in range(5)]

    for job_id in (*others, *ended):
        row = await stage.until(job_id, "completed")
        assert (row["attempts"], await stage.effects(job_id)) == (1, 1)
