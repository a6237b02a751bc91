from collections import Counter

import pytest

from ringback.cli.load.load_generator import SendStats, percentile


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([], 50, None),
        ([7.0], 99, 7.0),
        ([3.0, 1.0, 2.0, 4.0], 50, 2.0),  # half of them are at or below it
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 101)], 100, 100.0),
    ],
)
def test_percentile_is_the_smallest_that_so_many_do_not_exceed(
    values: list[float], percent: float, expected: float | None
) -> None:
    """It is always one of the values, whatever their order."""
    assert percentile(values, percent) == expected


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        (SendStats(), False),  # nothing was offered, so nothing is well
        (SendStats(offered=2, accepted=2), True),
        (SendStats(offered=2, accepted=1, rejected=Counter({503: 1})), False),
        (SendStats(offered=2, accepted=1, errors=Counter({"connection lost": 1})), False),
    ],
)
def test_all_accepted_means_every_one(stats: SendStats, expected: bool) -> None:  # ruff: ignore[boolean-type-hint-positional-argument]  # a parametrized value
    """One rejection or one error makes a failure."""
    assert stats.all_accepted is expected
