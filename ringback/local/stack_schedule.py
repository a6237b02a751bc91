"""Declares the queues before the services of a local stack start."""

from collections.abc import Mapping

from ringback.contract.retry_schedule import RetrySchedule
from ringback.runtime.amqp import schedule_change, topology

_SETTLE_S = 0.2


async def declare_schedule(
    amqp_url: str,
    schedule: RetrySchedule,
    environ: Mapping[str, str],
    *,
    own_management_url: str | None,
) -> None:
    """Declare everything. A private node changes to a new schedule, as nothing uses it yet.

    At an external broker another schedule is an error, because its users are unknown. Raises
    TopologyError.
    """
    management_url = own_management_url or environ.get("RINGBACK_RABBITMQ_MANAGEMENT_URL") or None
    try:
        await topology.apply(amqp_url, schedule, management_url=management_url)
    except topology.ForeignScheduleError:
        if own_management_url is None:
            raise
        asked = schedule_change.Asked(
            amqp_url=amqp_url, to=schedule, management_url=own_management_url, settle_s=_SETTLE_S
        )
        await schedule_change.move(asked, schedule_change.NobodyProcesses())
