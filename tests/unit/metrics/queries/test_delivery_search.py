"""What is searched in the log, and the pages of the result."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.identity import created_at, new_job_id
from ringback.contract.status import Status
from ringback.services.metrics.queries.delivery_search import (
    AFTER_LAST_ID,
    FIRST_ID,
    Search,
    first_id_at,
    page_of,
)

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # ruff: ignore[call-datetime-without-tzinfo]  # hypothesis wants bounds without a zone
DEAD = (Status.DEAD_LETTER,)


@pytest.mark.parametrize(
    ("search", "statement"),
    [
        (Search(), "deliveries.sql"),
        (Search(statuses=(Status.COMPLETED,)), "deliveries.sql"),
        (Search(statuses=(Status.FAILED,)), "deliveries_with_error.sql"),
        (Search(statuses=(Status.FAILED, Status.DEAD_LETTER)), "deliveries_with_error.sql"),
        # A completed webhook has no error class, but this filter matches those without one, too.
        (Search(statuses=(Status.FAILED, Status.COMPLETED)), "deliveries.sql"),
        (Search(error_class="E"), "deliveries_with_error.sql"),
        (Search(statuses=DEAD, unresolved_only=True), "deliveries_unresolved.sql"),
        # An unresolved webhook without an error is in no index of errors.
        (Search(unresolved_only=True), "deliveries.sql"),
        (Search(call_id="c", error_class="E"), "deliveries_of_call.sql"),
        (Search(run_id=new_job_id(), call_id="c"), "deliveries_of_run.sql"),
    ],
)
def test_the_statement_reads_the_smallest_index(search: Search, statement: str) -> None:
    """The statement whose index has all possible matches."""
    assert search.statement == statement


@given(MOMENTS)
def test_ids_of_a_moment_lie_within_its_bounds(moment: datetime) -> None:
    """Every webhook created from `start` on and before `end` has an id within the bounds."""
    whole_ms = moment - timedelta(microseconds=moment.microsecond % 1000)
    earliest = first_id_at(whole_ms)

    assert Search(start=moment).from_id <= earliest
    assert earliest < Search(end=moment + timedelta(microseconds=1)).below_id


def test_an_id_made_now_lies_at_its_time() -> None:
    """The bounds are those of the ids that gateways make."""
    job_id = new_job_id()
    moment = created_at(job_id)

    assert first_id_at(moment) <= job_id < first_id_at(moment + timedelta(milliseconds=1))


def test_the_page_before_bounds_as_well() -> None:
    """The smaller one of the end and the last id of the previous page applies."""
    end = datetime(2026, 1, 27, tzinfo=UTC)
    newer, older = first_id_at(end + timedelta(days=1)), first_id_at(end - timedelta(days=1))

    assert Search(end=end, before=newer).below_id < newer
    assert Search(end=end, before=older).below_id == older
    assert (Search().from_id, Search().below_id) == (FIRST_ID, AFTER_LAST_ID)
    assert Search().below_id == UUID("ffffffff-ffff-ffff-ffff-ffffffffffff")


def test_the_last_moment_of_the_calendar_is_a_bound() -> None:
    """A caller may send the last possible time to mean no end."""
    end = datetime.max.replace(tzinfo=UTC)

    assert first_id_at(end) < Search(end=end).below_id < AFTER_LAST_ID


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
