"""Two retry schedules are never bound at once."""

import pytest

from ringback.contract.retry_schedule import RetrySchedule
from ringback.local.stack import declare_schedule
from ringback.runtime.amqp import topology
from ringback.runtime.amqp.topology import ForeignScheduleError
from tests.integration.topology.schedules import NEW, OLD, RetrySchedules, bindings_of

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("other", ["1h,4s", "2s"])
async def test_apply_binds_no_schedule_beside_another(
    schedules: RetrySchedules, other: str
) -> None:
    """It is refused with a sentence before anything is declared."""
    await schedules.apply("2s,4s,8s")

    with pytest.raises(ForeignScheduleError, match=f"topology change --to {other}") as raised:
        await schedules.apply(other)

    assert "webhooks.retry.3.8s of another retry schedule is bound" in str(raised.value)
    assert await schedules.bound() == bindings_of("2s,4s,8s")


async def test_apply_binds_a_longer_schedule(schedules: RetrySchedules) -> None:
    """Another delay at the end copies nothing."""
    await schedules.apply("2s,4s")

    await schedules.apply("2s,4s,8s")

    assert await schedules.bound() == bindings_of("2s,4s,8s")


async def test_check_reports_another_schedule_and_binds_nothing(schedules: RetrySchedules) -> None:
    """A check must not copy messages."""
    await schedules.apply("2s,4s")

    differences = await topology.check(
        schedules.amqp_url, RetrySchedule.parse("2s,9s"), management_url=schedules.management_url
    )

    assert "webhooks.retry.2.4s of another retry schedule is bound to attempt.2" in differences[0]
    assert await schedules.bound() == bindings_of("2s,4s")


async def test_without_the_management_api_nothing_is_bound(
    schedules: RetrySchedules,
) -> None:
    with pytest.raises(topology.TopologyError, match="management API"):
        await topology.apply(
            schedules.amqp_url, RetrySchedule.parse("2s"), management_url="http://127.0.0.1:1"
        )

    assert not await schedules.bound()


async def test_a_private_node_changes_its_schedule(aged: RetrySchedules) -> None:
    """Both retry schedules at once would copy every message that fails."""
    await aged.move_by_memory(NEW, OLD)

    await declare_schedule(
        aged.amqp_url, RetrySchedule.parse(NEW), {}, own_management_url=aged.management_url
    )

    assert await aged.bound() == bindings_of(NEW)


async def test_an_external_broker_is_not_changed(schedules: RetrySchedules) -> None:
    """Its other users did not ask for it."""
    await schedules.apply(OLD)
    environ = {"RINGBACK_RABBITMQ_MANAGEMENT_URL": schedules.management_url}

    with pytest.raises(ForeignScheduleError):
        await declare_schedule(
            schedules.amqp_url, RetrySchedule.parse(NEW), environ, own_management_url=None
        )

    assert await schedules.bound() == bindings_of(OLD)
