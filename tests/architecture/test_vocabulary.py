"""The words for states are the same in the code, in the database and on the page about them."""

import re
from enum import StrEnum

import pytest

from ringback.contract.status import TRANSITIONS, AttemptOutcome, Status
from tests.architecture.source import ROOT

_SCHEMA = (ROOT / "ringback" / "migrations" / "schema.sql").read_text(encoding="utf-8")
_PAGE = (ROOT / "docs" / "state_machine.md").read_text(encoding="utf-8")


def checked_words(column: str) -> set[str]:
    """The words that the CHECK of a column lets through."""
    [check] = re.findall(rf"CHECK \(\({column} = ANY \(ARRAY\[(.*?)\]\)\)\)", _SCHEMA)
    return set(re.findall(r"'(\w+)'::text", check))


def rows_of_table(heading: str) -> set[str]:
    """The words in the first column of a table of the page."""
    table = _PAGE.split(f"| {heading} |")[1].split("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))


@pytest.mark.parametrize(("name", "words"), [("status", Status), ("outcome", AttemptOutcome)])
def test_every_state_is_one_word_everywhere(name: str, words: type[StrEnum]) -> None:
    """The enum, the database's check and the page."""
    assert checked_words(name) == rows_of_table(name) == {word.value for word in words}


def test_the_page_draws_the_transitions() -> None:
    """Each arrow is in the table of the code, and the other way round; so are the ends."""
    diagram = _PAGE.split("```mermaid")[1].split("```")[0]
    drawn = set(re.findall(r"(\w+) --> (\w+)", diagram))
    ends = set(re.findall(r"(\w+) --> \[\*\]", diagram))

    assert drawn == {(old.value, new.value) for old, news in TRANSITIONS.items() for new in news}
    assert ends == {status.value for status, news in TRANSITIONS.items() if not news}
