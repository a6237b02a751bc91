"""The rows of the table."""

from dataclasses import replace

from chaos.episode import Outcome
from chaos.table import as_text, cells, headings_text, markdown
from tests.unit.chaos.test_fault import FAULT, WELL

OUTCOME = Outcome(
    fault=FAULT, verdict=WELL, broken=(), took_s=9.0, offers=(), began_at=0.0, ended_at=1.0
)
NEVER = replace(
    OUTCOME,
    verdict=replace(WELL, p99_s=None, recovered_s=None, lost=("e1", "e2")),
    broken=("Lost: e1, e2.",),
)


def test_rows_have_the_units_and_widths_of_their_headings() -> None:
    """A missing time is a word; broken promises follow the table."""
    text = markdown([OUTCOME, NEVER])

    counts = ("10", "10", "0", "0", "10")
    assert cells(OUTCOME) == ("any", *counts, "0", "0", "1", "0.1", "20", "1.0")
    assert cells(NEVER) == ("any", *counts, "2", "0", "1", "0.1", "none", "never")
    assert len(headings_text()) == len(as_text(OUTCOME)) == len(as_text(NEVER))
    assert text.count("| any |") == 2
    assert text.endswith("\n\n- `any`: Lost: e1, e2.\n")
