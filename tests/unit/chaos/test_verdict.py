"""The comparison of the ledger with the log."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.load.ledger import Offered
from chaos.verdict import Logged, judge, longest_gap_s
from tests.unit.chaos.offers import accepted, refused, row, unanswered

ONCE = {"e1": 1}


@pytest.mark.parametrize(
    ("offers", "rows", "effects", "lost", "twice"),
    [
        pytest.param([accepted(1)], [row(1)], ONCE, (), (), id="completed with its effect"),
        pytest.param([accepted(1)], [row(1)], None, (), (), id="nobody counts effects"),
        pytest.param([accepted(1)], [row(1)], {}, ("e1",), (), id="completed without its effect"),
        pytest.param([accepted(1, is_written=False)], [row(1)], {}, (), (), id="has no effect"),
        pytest.param([accepted(1)], [], {}, ("e1",), (), id="no row"),
        pytest.param([accepted(1)], [row(1, "pending")], {}, ("e1",), (), id="never begun"),
        pytest.param([accepted(1)], [row(1, "processing")], {}, ("e1",), (), id="never ended"),
        pytest.param([accepted(1)], [row(1, "failed")], {}, ("e1",), (), id="never tried again"),
        pytest.param([accepted(1)], [row(1, "dead_letter")], {}, (), (), id="a dead letter"),
        pytest.param([accepted(1)], [row(1)], {"e1": 2}, (), ("e1",), id="two effects"),
        pytest.param(
            [accepted(1)], [row(1, completions=2)], ONCE, (), ("e1",), id="completed twice"
        ),
        pytest.param(
            [accepted(1), accepted(2, event="e1")],
            [row(1), row(2, "duplicate", event="e1")],
            ONCE,
            (),
            (),
            id="a duplicate caught",
        ),
        pytest.param(
            [accepted(1), accepted(2, event="e1")],
            [row(1), row(2, event="e1")],
            ONCE,
            (),
            ("e1",),
            id="a duplicate not caught",
        ),
        pytest.param(
            [accepted(1)], [row(1, "duplicate")], {}, ("e1",), (), id="a duplicate of nothing"
        ),
        pytest.param(
            [unanswered(1), accepted(2, event="e1")],
            [row(1), row(2, "duplicate", event="e1")],
            ONCE,
            (),
            (),
            id="a duplicate of what had no answer",
        ),
        pytest.param([unanswered(1)], [], {}, (), (), id="no answer, not stored"),
        pytest.param([unanswered(1)], [row(1)], ONCE, (), (), id="no answer, stored"),
        pytest.param([unanswered(1)], [row(1)], {"e1": 2}, (), ("e1",), id="no answer, twice"),
        pytest.param([refused(1)], [], {}, (), (), id="refused"),
    ],
)
def test_what_is_lost_and_what_is_twice(
    offers: list[Offered],
    rows: list[Logged],
    effects: Mapping[str, int] | None,
    lost: tuple[str, ...],
    twice: tuple[str, ...],
) -> None:
    """An accepted webhook must end, its event once, and its effect must exist once."""
    verdict = judge(offers, rows, effects)

    assert verdict.lost == lost
    assert verdict.twice == twice


def test_the_counts() -> None:
    """Each request has one kind, and each result is counted under its name."""
    offers = [accepted(1), accepted(2), accepted(3, event="e1"), refused(4), unanswered(5)]
    rows = [row(1, attempts=3), row(2, "dead_letter"), row(3, "duplicate", event="e1"), row(5)]

    verdict = judge(offers, rows, None)

    assert (verdict.offered, verdict.accepted, verdict.refused, verdict.unanswered) == (5, 3, 1, 1)
    assert (verdict.finished, verdict.duplicates, verdict.dead_letters) == (3, 1, 1)
    assert verdict.burned == 2


@pytest.mark.parametrize(
    ("answered", "last_sent", "gap_s"),
    [
        pytest.param([], 10.0, 10.0, id="nothing was accepted"),
        pytest.param([0.5, 1.0, 4.0, 4.5], 4.5, 3.0, id="in the middle"),
        pytest.param([3.0, 3.5], 3.5, 3.0, id="at the beginning"),
        pytest.param([0.5, 1.0], 9.0, 8.0, id="at the end"),
        pytest.param([0.5, 9.0], 2.0, 8.5, id="answered late"),
    ],
)
def test_the_longest_time_without_accepting(
    answered: list[float], last_sent: float, gap_s: float
) -> None:
    """From the first offer to the last one, or to the last answer."""
    offers = [
        Offered(
            number=number,
            event="",
            is_written=False,
            attempts=1,
            sent_at=0.0,
            answered_at=moment,
            status=200,
            job_id="j",
        )
        for number, moment in enumerate(answered)
    ]
    last = Offered(number=99, event="", is_written=False, attempts=1, sent_at=0.0)
    offers += [last, Offered(number=100, event="", is_written=False, attempts=1, sent_at=last_sent)]

    assert longest_gap_s(offers) == pytest.approx(gap_s)


def test_the_time_to_recover_is_of_what_came_before_the_end_of_the_fault() -> None:
    """Webhooks that came later, or whose payload asks for retries, do not count."""
    offers = [accepted(1), accepted(2), accepted(3, attempts=3), accepted(9)]
    rows = [row(1, finished_at=2.0), row(2, finished_at=7.5), row(3, finished_at=30.0)]
    rows.append(row(9, finished_at=40.0))

    assert judge(offers, rows, None, fault_ended_at=5.0).recovered_s == pytest.approx(2.5)
    assert judge(offers, rows[:1], None, fault_ended_at=5.0).recovered_s is None
    assert judge(offers, rows, None).recovered_s is None


def test_it_went_on_with_the_first_end_after_the_fault() -> None:
    """Any webhook counts; one that ended earlier does not."""
    offers = [accepted(1), accepted(2, attempts=3), accepted(9)]
    rows = [row(1, finished_at=2.0), row(9, finished_at=8.0), row(2, finished_at=6.5)]

    assert judge(offers, rows, None, fault_ended_at=5.0).resumed_s == pytest.approx(1.5)
    assert judge(offers, rows[:1], None, fault_ended_at=5.0).resumed_s is None
    assert judge(offers, rows, None).resumed_s is None


@given(
    ends=st.lists(st.sampled_from(["completed", "dead_letter", "pending", "failed", None])),
    extra=st.lists(st.integers(0, 20)),
)
def test_nothing_is_counted_away(ends: list[str | None], extra: list[int]) -> None:
    """Accepted is finished plus lost, and an effect too many is always found."""
    offers = [accepted(number) for number in range(len(ends))]
    rows = [row(number, end) for number, end in enumerate(ends) if end is not None]
    effects = {f"e{number}": 1 for number, end in enumerate(ends) if end == "completed"}
    doubled = {f"e{number}" for number in extra if f"e{number}" in effects}
    effects |= dict.fromkeys(doubled, 2)

    verdict = judge(offers, rows, effects)

    assert verdict.accepted == verdict.finished + len(verdict.lost)
    assert set(verdict.twice) == doubled
