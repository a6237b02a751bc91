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
    strikes = plan(ALL, seed=seed, seconds=120)

    assert strikes
    for later, strike in enumerate(strikes):
        for earlier in strikes[:later]:
            if earlier.fault.part is strike.fault.part:
                assert strike.at_s >= earlier.at_s + earlier.hold_s


@given(seed=SEEDS)
def test_it_ends_with_the_time(seed: int) -> None:
    """A fault that cannot come at any moment is not in the mix."""
    strikes = plan(ALL, seed=seed, seconds=60)

    assert all(strike.at_s + strike.hold_s <= 60.001 for strike in strikes)
    assert all(strike.fault.is_mixed for strike in strikes)
