"""Queue depths are read every second, for as long as the service runs."""

import asyncio
import gc
import random

import pytest

from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.amqp import topology
from ringback.services.metrics.polling.queue_depths import QueueDepths
from tests.support.eventually import eventually

SCHEDULE = RetrySchedule.parse("2s,4s,8s")
READINGS = 100


@pytest.mark.slow
async def test_reading_depths_leaks_no_memory(amqp_url: str) -> None:
    """No reading and no check of readiness makes the process grow."""
    await topology.apply(amqp_url, SCHEDULE)
    async with QueueDepths(amqp_url, SCHEDULE) as queues:
        for _ in range(10):
            assert len(await queues.read(60)) == 9
            assert await queues.answers()
        gc.collect()
        before = len(gc.get_objects())

        for _ in range(READINGS):
            await queues.read(60)
            await queues.answers()

        gc.collect()
        # Each of the 700 channels would leave some thirty objects.
        assert len(gc.get_objects()) - before < 7_000


async def test_a_check_that_is_cancelled_at_any_moment_is_cancelled(amqp_url: str) -> None:
    """Even if the broker's library raises its own error; otherwise the service does not end."""
    await topology.apply(amqp_url, SCHEDULE)
    chance = random.Random(7)
    ended = 0
    async with QueueDepths(amqp_url, SCHEDULE) as queues:
        for _ in range(100):
            await eventually(lambda: queues.is_connected, deadline_s=30)
            task = asyncio.create_task(queues.answers())
            await asyncio.sleep(chance.random() * 0.01)
            is_cancelled = task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() == is_cancelled
            ended += is_cancelled
    assert ended
