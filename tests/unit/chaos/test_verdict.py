"""The comparison of the ledger with the log."""

from collections.abc import Mapping
from typing import Any

import pytest

from chaos.load.ledger import Offered
from chaos.verdict import Logged, judge, longest_gap_s, percentile_s

ONCE = {"e1": 1}


def unanswered(number: int, **changes: Any) -> Offered:
    """Sent at second `number`."""
    values: dict[str, Any] = {"event": f"e{number}", "is_written": True, "attempts": 1}
    return Offered(number=number, **values | {"sent_at": float(number)} | changes)


def refused(number: int) -> Offered:
    return unanswered(number, answered_at=number + 0.1, status=503)


def accepted(number: int, **changes: Any) -> Offered:
    """Answered a tenth of a second later; its job id is `j<number>`."""
    values: dict[str, Any] = {"answered_at": number + 0.1, "status": 200, "job_id": f"j{number}"}
    return unanswered(number, **values | changes)


def row(number: int, status: str = "completed", **changes: Any) -> Logged:
    values: dict[str, Any] = {"event": f"e{number}", "attempts": 1, "finished_at": 1.0}
    values["completions"] = int(status == "completed")
    return Logged(job_id=f"j{number}", status=status, **values | changes)


UNFINISHED = ("pending", "processing", "failed")
TWO = [accepted(1), accepted(2, event="e1")]


@pytest.mark.parametrize(
    ("offers", "rows", "effects", "lost", "twice"),
    [
        ([accepted(1)], [row(1)], ONCE, (), ()),
        # Effects are not counted, are missing, or are none of this kind of event.
        ([accepted(1)], [row(1)], None, (), ()),
        ([accepted(1)], [row(1)], {}, ("e1",), ()),
        ([accepted(1, is_written=False)], [row(1)], {}, (), ()),
        # No row, or none that has ended.
        ([accepted(1)], [], {}, ("e1",), ()),
        *(([accepted(1)], [row(1, status)], {}, ("e1",), ()) for status in UNFINISHED),
        ([accepted(1)], [row(1, "dead_letter")], {}, (), ()),
        # Two effects, or two completions.
        ([accepted(1)], [row(1)], {"e1": 2}, (), ("e1",)),
        ([accepted(1)], [row(1, completions=2)], ONCE, (), ("e1",)),
        # A duplicate that was caught, was not caught, or is one of nothing.
        (TWO, [row(1), row(2, "duplicate", event="e1")], ONCE, (), ()),
        (TWO, [row(1), row(2, event="e1")], ONCE, (), ("e1",)),
        (TWO, [row(1), row(2, "pending", event="e1")], ONCE, ("e1",), ()),
        ([accepted(1)], [row(1, "duplicate")], {}, ("e1",), ()),
        # Without an answer: then a duplicate, not stored, stored, and stored with two effects.
        ([unanswered(1), TWO[1]], [row(1), row(2, "duplicate", event="e1")], ONCE, (), ()),
        ([unanswered(1)], [], {}, (), ()),
        ([unanswered(1)], [row(1)], ONCE, (), ()),
        ([unanswered(1)], [row(1)], {"e1": 2}, (), ("e1",)),
        ([refused(1)], [], {}, (), ()),
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
        ([], 10.0, 10.0),  # nothing was accepted
        ([0.5, 1.0, 4.0, 4.5], 4.5, 3.0),  # in the middle
        ([3.0, 3.5], 3.5, 3.0),  # at the beginning
        ([0.5, 1.0], 9.0, 8.0),  # at the end
        ([0.5, 9.0], 2.0, 8.5),  # answered late
    ],
)
def test_the_longest_time_without_accepting(
    answered: list[float], last_sent: float, gap_s: float
) -> None:
    """From the first offer to the last one, or to the last answer."""
    offers = [accepted(0, answered_at=moment) for moment in answered]
    offers += [unanswered(0), unanswered(0, sent_at=last_sent)]

    assert longest_gap_s(offers) == pytest.approx(gap_s)


def test_recovery_and_resumption_count_from_the_end_of_the_fault() -> None:
    """Recovered: webhooks that came later, or whose payload asks for retries, do not count.

    Resumed: any webhook counts that ended later.
    """
    offers = [accepted(1), accepted(2), accepted(3, attempts=3), accepted(9)]
    rows = [row(1, finished_at=2.0), row(2, finished_at=7.5), row(3, finished_at=30.0)]
    rows.append(row(9, finished_at=6.5))

    whole, one_ended, no_fault = (
        judge(offers, rows, None, fault_ended_at=5.0),
        judge(offers, rows[:1], None, fault_ended_at=5.0),
        judge(offers, rows, None),
    )

    assert whole.recovered_s == pytest.approx(2.5)
    assert whole.resumed_s == pytest.approx(1.5)
    for verdict in (one_ended, no_fault):
        assert (verdict.recovered_s, verdict.resumed_s) == (None, None)


@pytest.mark.parametrize(
    ("percent", "wait_s"), [(0, 1), (1, 1), (50, 50), (50.5, 51), (99, 99), (99.1, 100), (100, 100)]
)
def test_so_many_waited_no_longer(percent: float, wait_s: float) -> None:
    """Of a hundred that waited 1 to 100 s, in any order."""
    offers = [accepted(0, answered_at=float(wait)) for wait in range(100, 0, -1)]

    assert percentile_s(offers, percent) == wait_s


def test_only_acceptances_of_that_time_are_measured() -> None:
    """A refusal may be quick; when a webhook was answered does not matter."""
    slow = accepted(5, answered_at=65.0)
    offers = [refused(0), unanswered(0), accepted(1), slow, accepted(9)]

    assert percentile_s(offers[:3], 99) == pytest.approx(0.1)
    assert percentile_s(offers[:2], 99) is None
    assert percentile_s(offers, 100, since=2, until=8) == 60
    assert percentile_s(offers, 100, since=6) == pytest.approx(0.1)
