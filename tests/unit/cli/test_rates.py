import pytest

from ringback.cli.views.health_view import Rates, Sample


def sample(at_s: float, completed: int, *, start: float = 0.0) -> Sample:
    return Sample(at_s, start, {"completed": completed})


def rates_of(*samples: Sample | None) -> float | None:
    rates = Rates()
    for one in samples:
        rates.add(one)
    return rates.per_second("completed")


@pytest.mark.parametrize(
    ("samples", "rate"),
    [
        ((), None),
        # One reading is not a rate.
        ((sample(0, 100),), None),
        ((sample(0, 100), sample(2, 120)), 10),
        # A failed reading leaves a longer step.
        ((sample(0, 100), None, sample(4, 140)), 10),
        # The range advanced between 2 and 4: only the other steps count.
        ((sample(0, 100), sample(2, 120), sample(4, 30, start=60), sample(6, 50, start=60)), 10),
        # Old readings are dropped.
        ((sample(0, 0), sample(2, 9000), sample(20, 9000), sample(22, 9020)), 10),
    ],
)
def test_a_rate_is_what_came_between_readings(
    samples: tuple[Sample | None, ...], rate: float | None
) -> None:
    """Only readings of the same range can be compared."""
    assert rates_of(*samples) == rate
