"""Tests for ringback.contract.identity."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.identity import created_at, job_id_of, new_job_id


def test_a_new_id_carries_the_present() -> None:
    """The time of an id is when it was created, to the millisecond."""
    before = datetime.now(UTC)

    made = created_at(new_job_id())

    after = datetime.now(UTC)
    assert before - timedelta(milliseconds=1) < made <= after


def test_ids_sort_by_the_order_in_which_they_were_made() -> None:
    """Even within one millisecond: batches are sorted by id."""
    ids = [new_job_id() for _ in range(2_000)]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "0195f9ce-1234-4abc-8def-0123456789ab",  # a random UUID
        "0195f9ce-1234-1abc-8def-0123456789ab",  # the older kind with a time
        "0195f9ce-1234-7abc-0def-0123456789ab",  # version 7 of another variant
        "00000000-0000-0000-0000-000000000000",
        "0195f9ce-1234-7abc-8def-0123456789a",
        "\ud800",
    ],
)
def test_a_foreign_id_is_none(text: str) -> None:
    """Only a UUIDv7 is a job id."""
    assert job_id_of(text) is None


def test_an_id_beyond_the_calendar_is_of_its_last_day() -> None:
    """Its year is 10889, which no datetime can represent; in any time zone it can be shown."""
    job_id = job_id_of("ffffffff-ffff-7fff-bfff-ffffffffffff")
    assert job_id is not None

    made = created_at(job_id)

    assert made == datetime(9999, 12, 30, tzinfo=UTC)
    assert made.astimezone(timezone(timedelta(hours=14))).year == 9999


@given(
    st.integers(0, 2**128 - 1).map(lambda number: UUID(int=number & ~(0xF << 76) | 7 << 76)),
    st.text(max_size=50),
)
def test_any_text_is_an_id_with_a_time_or_none(seven: UUID, text: str) -> None:
    """Whatever the message id is. An id is read in upper case as well."""
    assert job_id_of(text) is None or UUID(text).version == 7
    job_id = job_id_of(str(seven))

    assert job_id == job_id_of(str(seven).upper()) == (seven if seven.variant == RFC_4122 else None)
    assert job_id is None or created_at(job_id).tzinfo is UTC
