"""Two retry schedules are never bound at once."""

import pytest

from ringback.local.stack import declare_schedule
from ringback.runtime.amqp import topology
from ringback.runtime.amqp.topology import ForeignScheduleError
from tests.integration.topology.schedules import NEW, OLD, RetrySchedules, bindings_of, schedule_of

pytestmark = pytest.mark.slow


async def test_apply_binds_no_schedule_beside_another(schedules: RetrySchedules) -> None:
    """It is refused with a sentence before anything is declared.

    Another delay at the end copies nothing, so it is bound. A check binds nothing.
    """
    await schedules.apply("2s,4s")
    await schedules.apply("2s,4s,8s")

    for other in ("1h,4s", "2s"):
        with pytest.raises(ForeignScheduleError, match=f"topology change --to {other}") as raised:
            await schedules.apply(other)
        assert "webhooks.retry.3.8s of another retry schedule is bound" in str(raised.value)
    differences = await topology.check(
        schedules.amqp_url, schedule_of("2s,9s"), management_url=schedules.management_url
    )

    assert "webhooks.retry.2.4s of another retry schedule is bound to attempt.2" in differences[0]
    assert await schedules.bound() == bindings_of("2s,4s,8s")


async def test_without_the_management_api_nothing_is_bound(
    schedules: RetrySchedules,
) -> None:
    with pytest.raises(topology.TopologyError, match="management API"):
        await topology.apply(
            schedules.amqp_url, schedule_of("2s"), management_url="http://127.0.0.1:1"
        )

    assert not await schedules.bound()


async def test_a_private_node_changes_its_schedule(aged: RetrySchedules) -> None:
    """Both retry schedules at once would copy every message that fails."""
    await aged.move_by_memory(NEW, OLD)

    await declare_schedule(
        aged.amqp_url, schedule_of(NEW), {}, own_management_url=aged.management_url
    )

    assert await aged.bound() == bindings_of(NEW)


async def test_an_external_broker_is_not_changed(schedules: RetrySchedules) -> None:
    """Its other users did not ask for it."""
    await schedules.apply(OLD)
    environ = {"RINGBACK_RABBITMQ_MANAGEMENT_URL": schedules.management_url}

    with pytest.raises(ForeignScheduleError):
        await declare_schedule(
            schedules.amqp_url, schedule_of(NEW), environ, own_management_url=None
        )

    assert await schedules.bound() == bindings_of(OLD)
