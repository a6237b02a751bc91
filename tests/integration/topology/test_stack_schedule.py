"""A local stack that is started with another retry schedule than last time has that one alone."""

import pytest

from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.stack import declare_schedule
from ringback.runtime.amqp.topology import ForeignScheduleError
from tests.integration.topology.schedules import NEW, OLD, RetrySchedules, bindings_of


async def test_a_node_of_its_own_is_moved(aged: RetrySchedules) -> None:
    """Both retry schedules at once would copy every message that fails."""
    await aged.move_by_memory(NEW, OLD)

    await declare_schedule(
        aged.amqp_url, RetrySchedule.parse(NEW), {}, own_management_url=aged.management_url
    )

    assert await aged.bound() == bindings_of(NEW)


async def test_a_broker_of_others_is_left_alone(schedules: RetrySchedules) -> None:
    """Whoever works there did not ask for it."""
    await schedules.apply(OLD)
    environ = {"RINGBACK_RABBITMQ_MANAGEMENT_URL": schedules.management_url}

    with pytest.raises(ForeignScheduleError):
        await declare_schedule(
            schedules.amqp_url, RetrySchedule.parse(NEW), environ, own_management_url=None
        )

    assert await schedules.bound() == bindings_of(OLD)
