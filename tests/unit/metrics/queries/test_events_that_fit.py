from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.metrics.queries.dead_letters import FittingPage, StoredEvent, fit

ROOM = 100
A, B, C = UUID(int=3), UUID(int=2), UUID(int=1)


def read(size_bytes: int) -> StoredEvent:
    return StoredEvent(size_bytes, fits=True, text="x" * size_bytes)


def unread(size_bytes: int) -> StoredEvent:
    return StoredEvent(size_bytes, fits=False, text=None)


def test_a_page_ends_where_the_next_event_does_not_fit() -> None:
    """The rest is for the next page."""
    fitting = fit((A, B, C), {A: read(60), B: read(40), C: unread(1)}, ROOM)

    assert fitting == FittingPage((A, B), frozenset())


def test_an_event_that_never_fits_is_left_out_and_passed() -> None:
    """Otherwise no page would ever follow it."""
    fitting = fit((A, B, C), {A: unread(101), B: read(60), C: read(40)}, ROOM)

    assert fitting == FittingPage((A, B, C), frozenset({A}))


def test_an_event_counts_with_the_size_of_its_text() -> None:
    """An escape makes six bytes of one."""
    escaped = StoredEvent(30, fits=True, text="\\u0001" * 15)
    larger = StoredEvent(30, fits=True, text="\\u0001" * 17)

    assert fit((A, B), {A: escaped, B: read(20)}, ROOM).ids == (A,)
    assert fit((A, B), {A: larger, B: read(20)}, ROOM).omitted == {A}


def test_an_unread_event_is_not_reported_as_absent() -> None:
    """Its text may be small enough, but it was not read."""
    small_text = StoredEvent(90, fits=True, text="x")

    assert fit((A, B), {A: small_text, B: unread(10)}, ROOM).ids == (A,)


def test_a_deleted_webhook_is_skipped() -> None:
    """A cleanup between two statements is no error."""
    assert fit((A, B), {B: read(1)}, ROOM).ids == (B,)


@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 150)), min_size=1, max_size=20))
def test_every_answer_gets_further_and_stays_within_its_room(sizes: list[tuple[int, int]]) -> None:
    """At least one webhook, and never more bytes than fit."""
    ids = [UUID(int=len(sizes) - n) for n in range(len(sizes))]
    events, before = {}, 0
    for job_id, (stored, text) in zip(ids, sizes, strict=True):
        fits = before + stored <= ROOM
        events[job_id] = StoredEvent(stored, fits=fits, text="x" * text if fits else None)
        before += stored if stored <= ROOM else 0

    fitting = fit(ids, events, ROOM)

    told = [job_id for job_id in fitting.ids if job_id not in fitting.omitted]
    assert fitting.ids
    assert list(fitting.ids) == ids[: len(fitting.ids)]
    assert sum(len(events[job_id].text or "") for job_id in told) <= ROOM
    assert all(events[job_id].text is not None for job_id in told)
