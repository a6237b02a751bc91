"""Tests for chaos.verdict: the comparison of the ledger with the log."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.load.ledger import Offered
from chaos.verdict import Logged, judge, longest_gap_s, percentile_s

ONCE = {"e1": 1}


def accepted(
    number: int, *, event: str = "", attempts: int = 1, is_written: bool = True
) -> Offered:
    """Sent at second `number`, answered a tenth later; its job id is `j<number>`."""
    return Offered(
        number=number,
        event=event or f"e{number}",
        is_written=is_written,
        attempts=attempts,
        sent_at=float(number),
        answered_at=number + 0.1,
        status=200,
        job_id=f"j{number}",
    )


def refused(number: int) -> Offered:
    return Offered(
        number=number,
        event=f"e{number}",
        is_written=True,
        attempts=1,
        sent_at=float(number),
        answered_at=number + 0.1,
        status=503,
    )


def unanswered(number: int) -> Offered:
    return Offered(
        number=number, event=f"e{number}", is_written=True, attempts=1, sent_at=float(number)
    )


def row(
    number: int,
    status: str = "completed",
    *,
    event: str = "",
    attempts: int = 1,
    completions: int | None = None,
    finished_at: float = 1.0,
) -> Logged:
    return Logged(
        job_id=f"j{number}",
        event=event or f"e{number}",
        status=status,
        attempts=attempts,
        completions=int(status == "completed") if completions is None else completions,
        finished_at=finished_at,
    )


@pytest.mark.parametrize(
    ("offers", "rows", "effects", "lost", "twice"),
    [
        pytest.param([accepted(1)], [row(1)], ONCE, (), (), id="completed with its effect"),
        pytest.param([accepted(1)], [row(1)], None, (), (), id="effects are not counted"),
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
def test_lost_and_doubled_webhooks_are_found(
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
    assert verdict.wasted_attempts == 2


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


def test_recovery_counts_webhooks_from_before_the_end_of_the_fault() -> None:
    """Webhooks that came later, or whose payload asks for retries, do not count."""
    offers = [accepted(1), accepted(2), accepted(3, attempts=3), accepted(9)]
    rows = [row(1, finished_at=2.0), row(2, finished_at=7.5), row(3, finished_at=30.0)]
    rows.append(row(9, finished_at=40.0))

    assert judge(offers, rows, None, fault_ended_at=5.0).recovered_s == pytest.approx(2.5)
    assert judge(offers, rows[:1], None, fault_ended_at=5.0).recovered_s is None
    assert judge(offers, rows, None).recovered_s is None


def test_processing_resumes_with_the_first_end_after_the_fault() -> None:
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
def test_every_accepted_webhook_is_counted_once(ends: list[str | None], extra: list[int]) -> None:
    """Accepted is finished plus lost, and every second effect is found."""
    offers = [accepted(number) for number in range(len(ends))]
    rows = [row(number, end) for number, end in enumerate(ends) if end is not None]
    effects = {f"e{number}": 1 for number, end in enumerate(ends) if end == "completed"}
    doubled = {f"e{number}" for number in extra if f"e{number}" in effects}
    effects |= dict.fromkeys(doubled, 2)

    verdict = judge(offers, rows, effects)

    assert verdict.accepted == verdict.finished + len(verdict.lost)
    assert set(verdict.twice) == doubled


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
