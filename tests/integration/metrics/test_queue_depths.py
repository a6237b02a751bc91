"""Queue depths are read every second, for as long as the service runs."""

import gc

from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.amqp import topology
from services.metrics.polling.queue_depths import QueueDepths

SCHEDULE = RetrySchedule.parse("2s,4s,8s")
READINGS = 100


async def test_reading_depths_leaks_no_memory(amqp_url: str) -> None:
    """No reading and no check of readiness makes the process grow."""
    await topology.apply(amqp_url, SCHEDULE)
    async with QueueDepths(amqp_url, SCHEDULE) as queues:
        for _ in range(10):
            assert len(await queues.read(5)) == 8
            assert await queues.answers()
        gc.collect()
        before = len(gc.get_objects())

        for _ in range(READINGS):
            await queues.read(5)
            await queues.answers()

        gc.collect()
        # Each of the 700 channels would leave some thirty objects.
        assert len(gc.get_objects()) - before < 1_000
