"""What an audit of the dependencies means, and that one which did not happen is not called good."""

from typing import Any

import pytest

from audit.__main__ import told
from audit.verdict import verdict_of

GOOD: dict[str, Any] = {"name": "a", "version": "1", "vulns": []}
BAD: dict[str, Any] = {
    "name": "b",
    "version": "2",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}, {"id": "PYSEC-2", "fix_versions": []}],
}
UNKNOWN: dict[str, Any] = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("packages", "status", "words"),
    [
        ([GOOD], 0, "1 packages have no known weakness."),
        ([GOOD, BAD], 1, "b 2: PYSEC-1, mended in 3\nb 2: PYSEC-2, not mended yet"),
        ([BAD, UNKNOWN], 1, "PYSEC-1"),
        ([GOOD, UNKNOWN], 3, "NOT AUDITED: the service knows nothing of c."),
        ([UNKNOWN], 3, "NOT AUDITED: the vulnerability service of PyPI cannot be reached."),
        ([], 3, "NOT AUDITED"),
    ],
)
def test_a_report_has_a_status_and_a_sentence(
    packages: list[dict[str, Any]], status: int, words: str
) -> None:
    """A weakness fails; what was not looked up is said, and is not good either."""
    found, said = told(verdict_of({"dependencies": packages}))

    assert found == status
    assert words in said


def test_no_answer_is_no_good_answer() -> None:
    """As where there is no network."""
    assert told(None)[0] == 3
