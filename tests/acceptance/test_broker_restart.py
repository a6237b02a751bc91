"""The broker goes and comes back under all three services."""

import asyncio
import uuid
from pathlib import Path

import aio_pika
import pytest

from ringback import samples
from ringback.contract.topology import ATTEMPT_QUEUES, DEAD_LETTER_QUEUE
from ringback.local.broker import PrivateBroker
from tests.acceptance.whole import Whole, whole_ringback
from tests.support.eventually import eventually

CALL_ID = b"0198a000-0000-7000-8000-0000000000c1"


@pytest.mark.slow
async def test_nothing_needs_a_restart_and_nothing_accepted_is_lost(
    own_broker: PrivateBroker, database_url: str, tmp_path: Path
) -> None:
    """The same processes continue, each queue has its consumer, and every 200 was kept."""
    async with whole_ringback(own_broker.amqp_url(), database_url, tmp_path) as whole:
        ended = asyncio.Event()
        load = asyncio.create_task(_post_until(whole, ended))
        await asyncio.sleep(2)  # A queue that is killed right after its making may have no leader.

        await own_broker.kill()
        while_away = [(await whole.post(_report()))[0] for _ in range(3)]
        await own_broker.start()
        await whole.all_ready()

        ended.set()
        accepted, refused = await load
        after = [await whole.accepted(_report()) for _ in range(20)]
        statuses = await whole.settled(accepted + after, deadline_s=60)

        assert set(while_away) == {503}
        assert accepted
        assert set(refused) <= {503}
        assert set(statuses) == {"completed"}
        await eventually(lambda: _has_consumers(own_broker), deadline_s=20)


async def _has_consumers(broker: PrivateBroker) -> bool:

    async with await aio_pika.connect(broker.amqp_url()) as connection:
        channel = await connection.channel()
        for name in (*ATTEMPT_QUEUES, DEAD_LETTER_QUEUE):
            queue = await channel.declare_queue(name, passive=True)
            assert queue.declaration_result.consumer_count == 1, name
    return True


async def _post_until(whole: Whole, ended: asyncio.Event) -> tuple[list[str], list[int]]:
    accepted, refused = [], []
    while not ended.is_set():
        status, document = await whole.post(_report())
        if status == 200:
            accepted.append(document["jobId"])
        else:
            refused.append(status)
        await asyncio.sleep(0.01)
    return accepted, refused


def _report() -> bytes:
    return samples.sample("end-of-call-report").replace(CALL_ID, str(uuid.uuid4()).encode())
