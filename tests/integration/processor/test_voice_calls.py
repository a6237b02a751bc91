"""One row per call, the same in whatever order its events are processed."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringback.contract.event import Event as Read
from ringback.contract.event import read_event
from ringback.contract.identity import new_job_id
from ringback.handlers import Event
from ringback.samples.catalog import call_names, sample
from ringback.services.processor.builtin.voice_calls import call_update_of
from tests.integration.processor.stage import ORG

CALL = "019ff0e8-0000-7000-8000-000000000001"
_RECEIVED = datetime(2026, 9, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


def of_one_call(body: bytes) -> dict[str, Any]:
    """The sample, as an event of the call of these tests."""
    document: dict[str, Any] = orjson.loads(body)
    document["message"].setdefault("call", {})["id"] = CALL
    return document


def event_of(document: dict[str, Any], *, after_s: float = 0) -> Event:
    read = read_event(orjson.dumps(document))
    assert isinstance(read, Read)
    return Event(
        job_id=new_job_id(),
        org_id=ORG,
        endpoint_id="default",
        type=read.type,
        call_id=read.call_id,
        message=read.message,
        attempt=1,
        max_attempts=4,
        received_at=_RECEIVED + timedelta(seconds=after_s),
    )


async def merge(
    connection: asyncpg.Connection, events: Sequence[Event], uncounted: Sequence[Event] = ()
) -> None:
    """Merge events together, as one commit does."""
    updates = [call_update_of(event) for event in (*events, *uncounted)]
    await connection.execute(
        "SELECT merge_voice_calls($1, $2, $3)",
        orjson.dumps(updates).decode(),
        [event.job_id for event in events],
        [event.job_id for event in uncounted],
    )


async def row_after(
    connection: asyncpg.Connection, events: Sequence[Event], *, together: bool = False
) -> asyncpg.Record:
    """The call's row after these events, in this order or in one commit; all is rolled back."""
    trial = connection.transaction()
    await trial.start()
    try:
        for batch in [events] if together else [[event] for event in events]:
            await merge(connection, batch)
        [row] = await connection.fetch("SELECT * FROM voice_calls")
    finally:
        await trial.rollback()
    return row


SAMPLES = [event_of(of_one_call(sample(name))) for name in call_names()]

#: Two values each, so that events contradict one another.
_ADVERSE = st.fixed_dictionaries(
    {"type": st.sampled_from(["status-update", "end-of-call-report", "hang"])},
    optional={
        "status": st.sampled_from(["queued", "ringing", "in-progress", "ended", "mystery"]),
        "timestamp": st.sampled_from(
            [1_700_000_000_000, 1_700_000_009_000.5, 1_700_000_009, "0001-01-01T00:00:00Z"]
        ),
        "startedAt": st.sampled_from(
            ["2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z", 0, "1970-01-01T00:00:00Z"]
        ),
        "endedAt": st.sampled_from(["2026-01-01T00:01:00Z", "2026-01-01T00:01:09Z"]),
        "endedReason": st.sampled_from(["customer-ended-call", "assistant-ended-call"]),
        "durationSeconds": st.sampled_from([0, "12.5", 60]),
        "durationMs": st.sampled_from([12_500, 1e300]),
        "customer": st.sampled_from([{"number": "5550001111"}, {"number": "+15550001111"}]),
        "artifact": st.sampled_from([{"transcript": "c"}, {"messages": [{"role": "user"}]}]),
        "cost": st.sampled_from([0.1, 0.25]),
        "summary": st.sampled_from(["Short.", "straße", "strasse", "STRASSE"]),
        "transcript": st.sampled_from(["a", "B", "á"]),
    },
)


@given(order=st.permutations(range(len(SAMPLES))))
@settings(
    max_examples=settings().max_examples // 4,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_the_samples_give_one_row_in_any_order(
    connection: asyncpg.Connection, order: list[int]
) -> None:
    """Any permutation goes through the real function, one by one and in one commit."""
    expected = await row_after(connection, SAMPLES)
    shuffled = [SAMPLES[place] for place in order]

    row = await row_after(connection, shuffled)

    assert row == expected == await row_after(connection, shuffled, together=True)
    assert row["events"] == len(SAMPLES)
    assert row["status"] == "ended"


@given(messages=st.lists(_ADVERSE, min_size=2, max_size=5), seed=st.randoms(use_true_random=False))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_events_that_contradict_give_one_row_in_any_order(
    connection: asyncpg.Connection, messages: list[dict[str, Any]], seed: random.Random
) -> None:
    """The order of contradicting events decides nothing."""
    events = [
        event_of({"message": message | {"call": {"id": CALL}}}, after_s=place // 2)
        for place, message in enumerate(messages)
    ]
    shuffled = events.copy()
    seed.shuffle(shuffled)

    row = await row_after(connection, events)
    assert row == await row_after(connection, shuffled)
    assert row == await row_after(connection, shuffled, together=True)


def happened(kind: str, *, at: int | None, after_s: float = 0, **message: Any) -> Event:
    """An event of the call, sent this many milliseconds after the others were received."""
    when = {} if at is None else {"timestamp": _RECEIVED.timestamp() * 1000 + at}
    document = {"message": {"type": kind, **when, **message, "call": {"id": CALL}}}
    return event_of(document, after_s=after_s)


REPORT, STATUS = "end-of-call-report", "status-update"
CUSTOMER, ASSISTANT = "customer-ended-call", "assistant-ended-call"
CONTRADICTIONS = [
    pytest.param(
        [
            happened(REPORT, at=0, endedReason=ASSISTANT),
            happened(STATUS, at=9, status="ended", endedReason=CUSTOMER),
        ],
        {"ended_reason": ASSISTANT, "status": "ended"},
        id="the report before a status update",
    ),
    pytest.param(
        [
            happened(STATUS, at=0, status="ended", endedReason=CUSTOMER),
            happened(STATUS, at=9, status="ended", endedReason=ASSISTANT),
        ],
        {"ended_reason": ASSISTANT},
        id="the later of two by their times",
    ),
    pytest.param(
        [
            happened(REPORT, at=None, customer={"number": "5550001111"}),
            happened(REPORT, at=None, after_s=1, customer={"number": "+15550001111"}),
        ],
        {"customer_number": "+15550001111"},
        id="the later of two by their arrival",
    ),
    pytest.param(
        [
            happened(REPORT, at=7, customer={"number": "5550001111"}),
            happened(REPORT, at=7, after_s=1, customer={"number": "+15550001111"}),
        ],
        {"customer_number": "+15550001111"},
        id="of one time, the later by its arrival",
    ),
    pytest.param(
        [
            happened(STATUS, at=0, status="in-progress", startedAt="1970-01-01T00:00:00Z"),
            happened(
                REPORT, at=9, startedAt="2023-11-14T22:00:00Z", endedAt="0001-01-01T00:00:00Z"
            ),
        ],
        {"started_at": datetime(2023, 11, 14, 22, tzinfo=UTC), "ended_at": None},
        id="no time of 1970",
    ),
    pytest.param(
        [
            happened(STATUS, at=0, status="forwarding"),
            happened(STATUS, at=5, status="in-progress"),
            happened(STATUS, at=9, status="mystery"),
        ],
        {"status": "in-progress"},
        id="back from a transfer",
    ),
    pytest.param(
        [
            happened(REPORT, at=0, summary="A", cost=1),
            happened(REPORT, at=9, transcript="T", cost="2"),
        ],
        {"summary": "A", "transcript": "T", "cost": 2.0},
        id="a missing value hides none",
    ),
]


@pytest.mark.parametrize(("events", "values"), CONTRADICTIONS)
async def test_the_value_of_the_most_trusted_event_stays(
    connection: asyncpg.Connection, events: list[Event], values: dict[str, Any]
) -> None:
    """This is true in every order."""
    for order in permutations(events):
        row = await row_after(connection, order)

        assert {name: row[name] for name in values} == values


async def test_a_commit_merges_only_its_fresh_webhooks(connection: asyncpg.Connection) -> None:
    """A copy is merged without being counted, and what an earlier commit ended is ignored."""
    report, copy, repeated = (
        happened(REPORT, at=0, summary="A"),
        happened(REPORT, at=9, transcript="T"),
        happened(REPORT, at=99, cost=1),
    )
    trial = connection.transaction()
    await trial.start()
    await merge(connection, [report], [copy])
    await connection.execute(
        "SELECT merge_voice_calls($1, '{}', '{}')",
        orjson.dumps([call_update_of(repeated)]).decode(),
    )
    [row] = await connection.fetch("SELECT * FROM voice_calls")
    await trial.rollback()

    assert (row["summary"], row["transcript"], row["cost"], row["events"]) == ("A", "T", None, 1)
    assert row["last_event_at"] - row["first_event_at"] == timedelta(milliseconds=9)
