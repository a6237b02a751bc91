"""The rows of the table."""

from dataclasses import replace

from chaos.episode import Outcome
from chaos.table import HEADINGS, as_text, cells, headings_text, markdown
from tests.unit.chaos.test_fault import FAULT, WELL

OUTCOME = Outcome(
    fault=FAULT, verdict=WELL, broken=(), took_s=9.0, offers=(), began_at=0.0, ended_at=1.0
)
NEVER = replace(
    OUTCOME,
    verdict=replace(WELL, p99_s=None, recovered_s=None, lost=("e1", "e2")),
    broken=("Lost: e1, e2.",),
)


def test_a_row_has_a_cell_per_heading() -> None:
    """In their order, with times in their units."""
    row = dict(zip(HEADINGS, cells(OUTCOME), strict=True))

    assert row == {
        "fault": "any",
        "offered": "10",
        "accepted": "10",
        "refused": "0",
        "unanswered": "0",
        "finished": "10",
        "lost": "0",
        "finished twice": "0",
        "duplicates caught": "1",
        "longest gap s": "0.1",
        "p99 ms": "20",
        "recovered s": "1.0",
    }


def test_rows_are_as_wide_as_their_headings() -> None:
    """Rows are printed one by one, with the widths of the header. A missing time is a word."""
    row = dict(zip(HEADINGS, cells(NEVER), strict=True))

    assert (row["lost"], row["p99 ms"], row["recovered s"]) == ("2", "none", "never")
    assert len(headings_text()) == len(as_text(OUTCOME)) == len(as_text(NEVER))


def test_broken_promises_follow_the_table() -> None:
    """By the name of its fault."""
    text = markdown([OUTCOME, NEVER])

    assert text.count("| any |") == 2
    assert text.endswith("\n\n- `any`: Lost: e1, e2.\n")
