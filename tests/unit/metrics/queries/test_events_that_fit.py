from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from ringback.services.metrics.queries.dead_letters import StoredEvent, fit

ROOM = 100
A, B = UUID(int=2), UUID(int=1)


def test_a_deleted_webhook_is_skipped() -> None:
    """A cleanup between two statements is no error."""
    assert fit((A, B), {B: StoredEvent(1, fits=True, text="x")}, ROOM).ids == (B,)


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

    sent = [job_id for job_id in fitting.ids if job_id not in fitting.omitted]
    assert fitting.ids
    assert list(fitting.ids) == ids[: len(fitting.ids)]
    assert sum(len(events[job_id].text or "") for job_id in sent) <= ROOM
    assert all(events[job_id].text is not None for job_id in sent)
