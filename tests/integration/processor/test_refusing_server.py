"""A database that refuses our own statements is an outage, however long: no webhook dies of it."""

import pytest

from ringback.contract.envelope import Header
from ringback.contract.topology import (
    DEAD_LETTER_QUEUE,
    QUARANTINE_QUEUE,
    REQUEUED_KEY,
    REQUEUED_QUEUE,
    WORK_QUEUE,
)
from services.processor.attempt.policy import MAX_REQUEUES
from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import Stage, envelope_of
from tests.integration.processor.test_returns import taken
from tests.support.eventually import eventually

BODY = b'{"message": {"type": "test.transaction", "script": {}}}'

#: The disk is full when the attempt ends, and when it begins: nothing that a handler did.
REFUSALS = {
    "end": "CREATE TRIGGER refused BEFORE INSERT ON webhook_delivery_attempts",
    "begin": "CREATE TRIGGER refused BEFORE INSERT ON webhook_delivery_log",
}


@pytest.mark.parametrize("when", REFUSALS)
async def test_it_is_returned_until_the_server_does_its_work(
    stage: Stage, start: Starter, when: str
) -> None:
    """It has been returned ten times already: another reason would make it a dead letter now."""
    await stage.database.execute(
        """
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
        END $$"""
    )
    await stage.database.execute(f"{REFUSALS[when]} FOR EACH ROW EXECUTE FUNCTION refuse()")
    envelope = envelope_of(BODY)
    await stage.publish(
        BODY,
        headers={**envelope.headers(), Header.REQUEUES.value: MAX_REQUEUES},
        message_id=str(envelope.job_id),
        type=envelope.event_type,
    )
    process = start(stage.place)
    await eventually(lambda: process.lines("message.requeued"), deadline_s=30)
    await stage.until_waiting(REQUEUED_QUEUE, 1)
    message = await taken(await stage.channel.get_queue(REQUEUED_QUEUE))

    for table in ("webhook_delivery_attempts", "webhook_delivery_log"):
        await stage.database.execute(f"DROP TRIGGER IF EXISTS refused ON {table}")
    await stage.publish(
        message.body,
        key=REQUEUED_KEY,
        headers=message.headers,
        message_id=message.message_id,
        type=message.type,
    )
    await message.ack()

    row = await stage.until(envelope.job_id, "completed", deadline_s=30)
    assert (row["attempts"], await stage.effects(envelope.job_id)) == (1, 1)
    await stage.until_empty(WORK_QUEUE, QUARANTINE_QUEUE, REQUEUED_QUEUE, DEAD_LETTER_QUEUE)
