"""The plan of a mix."""

from hypothesis import given
from hypothesis import strategies as st

from chaos.mix import plan
from chaos.registry import ALL


@given(seed=st.integers(0, 10_000))
def test_a_part_is_hit_by_one_fault_at_a_time(seed: int) -> None:
    """No fault outlasts the mix or needs a certain moment; the same seed gives the same plan."""
    planned = plan(ALL, seed=seed, seconds=60)

    assert planned
    assert planned == plan(ALL, seed=seed, seconds=60)
    for later, strike in enumerate(planned):
        assert strike.at_s + strike.hold_s <= 60.001
        assert strike.fault.is_mixed
        for earlier in planned[:later]:
            if earlier.fault.part is strike.fault.part:
                assert strike.at_s >= earlier.at_s + earlier.hold_s
