"""Tests for audit: a report's status and text; an audit that could not run is no success."""

from typing import Any

import pytest

from audit.__main__ import summary, verdict_of

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
        ([GOOD], 0, "No known vulnerability in 1 packages."),
        ([GOOD, BAD], 1, "b 2: PYSEC-1, fixed in 3\nb 2: PYSEC-2, not fixed yet"),
        ([BAD, UNKNOWN], 1, "PYSEC-1"),
        ([GOOD, UNKNOWN], 3, "NOT AUDITED: the service does not know c."),
        ([UNKNOWN], 3, "NOT AUDITED: the vulnerability service of PyPI cannot be reached."),
        ([], 3, "NOT AUDITED"),
    ],
)
def test_a_report_has_a_status_and_a_sentence(
    packages: list[dict[str, Any]], status: int, words: str
) -> None:
    """A vulnerability fails; so does a package that was not looked up."""
    found, text = summary(verdict_of({"dependencies": packages}))

    assert found == status
    assert words in text


def test_no_answer_is_not_success() -> None:
    """For example without a network."""
    assert summary(None)[0] == 3
