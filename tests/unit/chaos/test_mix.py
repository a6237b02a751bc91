"""The plan of a mix."""

from hypothesis import given
from hypothesis import strategies as st

from chaos.mix import plan
from chaos.registry import ALL

SEEDS = st.integers(0, 10_000)


@given(seed=SEEDS)
def test_the_same_seed_gives_the_same_plan(seed: int) -> None:
    """So a run that found something can be run again."""
    assert plan(ALL, seed=seed, seconds=90) == plan(ALL, seed=seed, seconds=90)


@given(seed=SEEDS)
def test_a_part_is_hit_by_one_fault_at_a_time(seed: int) -> None:
    """A killed node must be back before its next fault."""
    planned = plan(ALL, seed=seed, seconds=120)

    assert planned
    for later, strike in enumerate(planned):
        for earlier in planned[:later]:
            if earlier.fault.part is strike.fault.part:
                assert strike.at_s >= earlier.at_s + earlier.hold_s


@given(seed=SEEDS)
def test_no_fault_outlasts_the_mix(seed: int) -> None:
    """Faults that need a certain moment are not in the mix."""
    planned = plan(ALL, seed=seed, seconds=60)

    assert all(strike.at_s + strike.hold_s <= 60.001 for strike in planned)
    assert all(strike.fault.is_mixed for strike in planned)
