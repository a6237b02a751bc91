from collections.abc import AsyncIterator, Iterator

import pytest

from ringback.local.broker import PrivateBroker
from ringback.runtime.amqp import topology
from tests.integration.topology.schedules import NEW, RetrySchedules, opened, schedule_of
from tests.support.loop_thread import LoopThread

AGED = "aged"

TICK = "application:set_env(rabbit, quorum_tick_interval, {})."
"""How often a newly declared queue reports its counts, in milliseconds."""


@pytest.fixture
async def schedules(amqp_url: str, broker: PrivateBroker) -> AsyncIterator[RetrySchedules]:
    """An empty virtual host, whose queues the management API does not count yet."""
    async with opened(amqp_url, broker.management_url) as found:
        yield found


@pytest.fixture(scope="module")
def aged_url(broker: PrivateBroker) -> Iterator[str]:
    """A virtual host with the new retry schedule for the tests of a file."""
    loop = LoopThread()

    async def prepare() -> None:
        await broker.control("eval", TICK.format(300))
        await broker.create_vhost(AGED)
        await topology.apply(broker.amqp_url(AGED), schedule_of(NEW))

        await broker.control("eval", TICK.format(5_000))

    loop.run(prepare())
    yield broker.amqp_url(AGED)
    loop.run(broker.delete_vhost(AGED))
    loop.close()


@pytest.fixture
async def aged(aged_url: str, broker: PrivateBroker) -> AsyncIterator[RetrySchedules]:
    """The shared virtual host; each test leaves the new schedule and empty queues."""
    async with opened(aged_url, broker.management_url) as found:
        yield found
