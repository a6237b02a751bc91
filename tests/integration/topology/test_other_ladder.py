"""Two ladders are never bound at once."""

import pytest

from ringback.contract.ladder import Ladder
from ringback.runtime import topology
from ringback.runtime.topology import OtherLadderError
from tests.integration.topology.ladders import Ladders, bindings_of


@pytest.mark.parametrize("other", ["1h,4s", "2s"])
async def test_apply_binds_no_ladder_beside_another(ladders: Ladders, other: str) -> None:
    """Whatever both have in common, it is refused before anything is made, by a sentence."""
    await ladders.apply("2s,4s,8s")

    with pytest.raises(OtherLadderError, match=f"ringback topology move --to {other}") as told:
        await ladders.apply(other)

    assert "webhooks.retry.3.8s of another ladder is bound to attempt.3" in str(told.value)
    assert await ladders.bound() == bindings_of("2s,4s,8s")


async def test_apply_binds_a_longer_ladder(ladders: Ladders) -> None:
    """One more wait at the end copies nothing."""
    await ladders.apply("2s,4s")

    await ladders.apply("2s,4s,8s")

    assert await ladders.bound() == bindings_of("2s,4s,8s")


async def test_check_tells_of_another_ladder_and_binds_nothing(ladders: Ladders) -> None:
    """To look must not be what copies messages."""
    await ladders.apply("2s,4s")

    told = await topology.check(
        ladders.amqp_url, Ladder.parse("2s,9s"), management_url=ladders.management_url
    )

    assert told[0] == "The queue webhooks.retry.2.4s of another ladder is bound to attempt.2."
    assert await ladders.bound() == bindings_of("2s,4s")


async def test_a_management_api_that_is_away_is_no_permission(ladders: Ladders) -> None:
    """Where it should tell and does not, nothing is bound."""
    with pytest.raises(topology.TopologyError, match="management API"):
        await topology.apply(
            ladders.amqp_url, Ladder.parse("2s"), management_url="http://127.0.0.1:1"
        )

    assert not await ladders.bound()
