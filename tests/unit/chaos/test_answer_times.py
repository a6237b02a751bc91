"""How long clients waited."""

from dataclasses import replace

import pytest

from chaos.answer_times import percentile_s
from tests.unit.chaos.offers import accepted, refused, unanswered


@pytest.mark.parametrize(
    ("percent", "wait_s"),
    [(0, 1), (1, 1), (50, 50), (50.5, 51), (99, 99), (99.1, 100), (100, 100)],
)
def test_so_many_waited_no_longer(percent: float, wait_s: float) -> None:
    """Of a hundred that waited 1 to 100 s, in any order."""
    offers = [replace(accepted(0), answered_at=float(wait)) for wait in range(100, 0, -1)]

    assert percentile_s(offers, percent) == wait_s


def test_only_an_acceptance_counts() -> None:
    """A refusal may be quick."""
    offers = [refused(0), unanswered(1), accepted(2)]

    assert percentile_s(offers, 99) == pytest.approx(0.1)
    assert percentile_s(offers[:2], 99) is None


def test_it_looks_at_those_sent_in_between() -> None:
    """When they were answered does not matter."""
    slow = replace(accepted(5), answered_at=65.0)
    offers = [accepted(1), slow, accepted(9)]

    assert percentile_s(offers, 100, since=2, until=8) == 60
    assert percentile_s(offers, 100, since=6) == pytest.approx(0.1)
