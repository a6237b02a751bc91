"""Dead letters with their events, and groups of them, on a real database."""

import json
from typing import Any

import asyncpg

from ringback.metrics.v1.metrics_service_pb2 import (
    ListDeadLettersRequest,
    ListFailureGroupsRequest,
)
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.queries.dead_letters import DeadLetters
from tests.integration.metrics.queried_log import (
    OURS,
    THEIRS,
    LogRow,
    all_pages,
    as_org,
    dead,
    write,
)

EVENT = {"type": "hang", "text": 'ünïcödé \\ "quoted" \u0001', "n": [1, 2.5, 1e20, None]}


async def test_unresolved_dead_letters_come_with_their_events(
    api: Any, log: asyncpg.Connection
) -> None:
    """As JSON equal to what was stored; of one type and error class, where they are requested."""
    letter = dead(1, event=EVENT, call_id="c-1")
    others = [dead(6, event_type="transcript"), dead(7, error_class="A")]
    await write(
        log,
        letter,
        dead(2, resolution="retried"),
        dead(3, resolution="discarded"),
        LogRow(ago_s=4, status="failed", error_class="E"),
        dead(5, org_id=THEIRS),
        *others,
    )
    chosen = ListDeadLettersRequest(event_type="hang", error_class="TimeoutError")
    without = ListDeadLettersRequest(error_class="TimeoutError", omit_events=True)

    every = await api.list_dead_letters(ListDeadLettersRequest(), as_org(OURS))
    page = await api.list_dead_letters(chosen, as_org(OURS))
    bare, *_ = (await api.list_dead_letters(without, as_org(OURS))).dead_letters

    assert [one.job_id for one in every.dead_letters] == [str(one.id) for one in (letter, *others)]
    [found] = page.dead_letters
    assert found == every.dead_letters[0]
    assert json.loads(found.event_data) == EVENT
    assert (found.error_class, found.error_message) == ("TimeoutError", "It took too long.")
    assert (found.call_id, found.event_data_omitted) == ("c-1", False)
    assert (bare.job_id, bare.HasField("event_data")) == (found.job_id, False)


async def test_a_page_has_a_bounded_number_of_bytes(
    access: Access, log: asyncpg.Connection
) -> None:
    """It ends where the next event does not fit; one that never fits comes without its event."""
    sizes = [400, 500, 5000, 300, 900, 100]
    rows = [dead(n, event={"pad": "x" * size}) for n, size in enumerate(sizes)]
    await write(log, *rows)
    api = DeadLetters(access, max_event_bytes=1000)

    pages = await all_pages(api.list_dead_letters, ListDeadLettersRequest(), OURS)

    letters = [letter for page in pages for letter in page.dead_letters]
    assert [letter.job_id for letter in letters] == [str(row.id) for row in rows]
    assert [letter.event_data_omitted for letter in letters] == [size == 5000 for size in sizes]
    assert [len(letter.event_data) > 0 for letter in letters] == [size != 5000 for size in sizes]
    assert [page.count for page in pages] == [3, 1, 1, 1]


async def test_an_event_that_grows_as_text_is_counted_as_text(
    access: Access, log: asyncpg.Connection
) -> None:
    """Control characters are stored as one byte and sent as six."""
    await write(log, dead(1, event={"pad": "\x01" * 500}), dead(2))

    page = await DeadLetters(access, max_event_bytes=1000).list_dead_letters(
        ListDeadLettersRequest(), as_org(OURS)
    )

    assert [letter.event_data_omitted for letter in page.dead_letters] == [True, False]


async def test_an_event_that_has_not_arrived_is_absent(api: Any, log: asyncpg.Connection) -> None:
    """A busy gateway stores an empty object instead; that is no event."""
    await write(log, dead(1, event={}))

    page = await api.list_dead_letters(ListDeadLettersRequest(), as_org(OURS))

    assert not page.dead_letters[0].HasField("event_data")
    assert not page.dead_letters[0].event_data_omitted


async def test_groups_count_unresolved_dead_letters(api: Any, log: asyncpg.Connection) -> None:
    """By type and error class, with the newest of each; of one organisation or of all."""
    old = dead(90_000, error_class="A", error_message="first")
    new = dead(10, error_class="A", error_message="last")
    await write(
        log,
        old,
        new,
        dead(20, error_class="A", resolution="retried"),
        dead(30, error_class="B"),
        dead(40, error_class="A", event_type="transcript", org_id=THEIRS),
        LogRow(ago_s=50, status="failed", error_class="A"),
    )

    ours = await api.list_failure_groups(ListFailureGroupsRequest(), as_org(OURS))
    every = await api.list_failure_groups(ListFailureGroupsRequest(), as_org(None))

    assert [(g.event_type, g.error_class, g.count) for g in ours.groups] == [
        ("hang", "A", 2),
        ("hang", "B", 1),
    ]
    first = ours.groups[0]
    assert first.count_last_day == 1
    assert (first.latest_job_id, first.latest_error_message) == (str(new.id), "last")
    assert first.first_seen.ToDatetime() == old.created_at.replace(tzinfo=None)
    assert first.last_seen.ToDatetime() == new.created_at.replace(tzinfo=None)
    assert [g.event_type for g in every.groups] == ["hang", "hang", "transcript"]
    assert not ours.next_page_token
    assert not every.next_page_token


async def test_groups_come_in_pages(api: Any, log: asyncpg.Connection) -> None:
    """Each group once, in order; another organisation's id finds nothing."""
    names = [("a", "é"), ("a", "z"), ("b", ""), ("b", "a"), ("ü", "x")]
    await write(
        log, *(dead(n, event_type=kind, error_class=cls) for n, (kind, cls) in enumerate(names))
    )
    pages = await all_pages(api.list_failure_groups, ListFailureGroupsRequest(page_size=2), OURS)
    seen = [(group.event_type, group.error_class) for page in pages for group in page.groups]
    foreign = await api.list_failure_groups(
        ListFailureGroupsRequest(org_id=str(THEIRS)), as_org(OURS)
    )

    assert sorted(seen) == sorted(names)
    assert not foreign.groups
