"""A local stack that is started with another ladder than last time has that one alone."""

import pytest

from ringback.contract.ladder import Ladder
from ringback.local.stack_ladder import declare_ladder
from ringback.runtime.topology import OtherLadderError
from tests.integration.topology.ladders import NEW, OLD, Ladders, bindings_of


async def test_a_node_of_its_own_is_moved(aged: Ladders) -> None:
    """Both ladders at once would copy every message that fails."""
    await aged.move_by_memory(NEW, OLD)

    await declare_ladder(
        aged.amqp_url, Ladder.parse(NEW), {}, own_management_url=aged.management_url
    )

    assert await aged.bound() == bindings_of(NEW)


async def test_a_broker_of_others_is_left_alone(ladders: Ladders) -> None:
    """Whoever works there did not ask for it."""
    await ladders.apply(OLD)
    environ = {"RINGBACK_RABBITMQ_MANAGEMENT_URL": ladders.management_url}

    with pytest.raises(OtherLadderError):
        await declare_ladder(ladders.amqp_url, Ladder.parse(NEW), environ, own_management_url=None)

    assert await ladders.bound() == bindings_of(OLD)
