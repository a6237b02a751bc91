"""Declares the queues before the services of a local stack start."""

from collections.abc import Mapping

from ringback.contract.ladder import Ladder
from ringback.runtime import ladder_move, topology

_SETTLE_S = 0.2


async def declare_ladder(
    amqp_url: str, ladder: Ladder, environ: Mapping[str, str], *, own_management_url: str | None
) -> None:
    """Declare everything. A private node changes to a new schedule, as nothing uses it yet.

    At an external broker another schedule is an error, because its users are unknown. Raises
    TopologyError.
    """
    management_url = own_management_url or environ.get("RINGBACK_RABBITMQ_MANAGEMENT_URL") or None
    try:
        await topology.apply(amqp_url, ladder, management_url=management_url)
    except topology.OtherLadderError:
        if own_management_url is None:
            raise
        asked = ladder_move.Asked(
            amqp_url=amqp_url, to=ladder, management_url=own_management_url, settle_s=_SETTLE_S
        )
        await ladder_move.move(asked, ladder_move.NobodyProcesses())
