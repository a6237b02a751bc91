from typing import Any
from uuid import UUID

import pytest

from services.metrics.queries.delivery_search import page_of


def row(number: int, *, place: int, matches: bool = True) -> dict[str, Any]:
    return {"id": UUID(int=number), "place": place, "matches": matches}


@pytest.mark.parametrize(
    ("rows", "found", "next_after"),
    [
        ([], [], None),
        ([row(9, place=1), row(8, place=2)], [9, 8], None),
        # One more than fits on the page: there is a next page.
        ([row(9, place=1), row(8, place=2), row(7, place=3)], [9, 8], 8),
        # The last row read matches no filter: the next page continues after it.
        ([row(9, place=1), row(5, place=5, matches=False)], [9], 5),
        ([row(5, place=5, matches=False)], [], 5),
        # It matches: it is on the page as well.
        ([row(9, place=1), row(5, place=5)], [9, 5], 5),
        ([row(9, place=1), row(8, place=2), row(5, place=5, matches=False)], [9, 8], 5),
    ],
)
def test_pages_of_two_after_looking_at_five(
    rows: list[dict[str, Any]], found: list[int], next_after: int | None
) -> None:
    """The page has what matches, and skips no unread row."""
    page = page_of(rows, 2, 5)

    assert [one["id"].int for one in page.rows] == found
    assert (page.next_after.int if page.next_after else None) == next_after
