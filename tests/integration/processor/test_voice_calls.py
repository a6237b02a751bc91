"""One row per call, the same whatever the order in which its events are processed."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringback.contract.event import Event as Read
from ringback.contract.event import read_event
from ringback.contract.identity import new_job_id
from ringback.handlers import Event
from ringback.samples.catalog import names, sample
from services.processor.voice_calls import effects_of
from tests.integration.processor.stage import ORG, Stage
from tests.support.eventually import eventually

CALL = "019ff0e8-0000-7000-8000-000000000001"
_RECEIVED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


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


def event_of(document: dict[str, Any]) -> Event:
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
        received_at=_RECEIVED,
    )


async def row_after(connection: asyncpg.Connection, events: Sequence[Event]) -> asyncpg.Record:
    """The call's row after these events, in this order; nothing of it stays."""
    trial = connection.transaction()
    await trial.start()
    try:
        for event in events:
            for effect in effects_of(event):
                await connection.execute(effect.statement, *effect.arguments)
        [row] = await connection.fetch("SELECT * FROM voice_calls")
    finally:
        await trial.rollback()
    return row


SAMPLES = [event_of(of_one_call(sample(name))) for name in names()]

#: Two values each, so that events contradict one another.
_ADVERSE = st.fixed_dictionaries(
    {"type": st.sampled_from(["status-update", "end-of-call-report", "hang"])},
    optional={
        "status": st.sampled_from(["queued", "ringing", "in-progress", "ended", "mystery"]),
        "timestamp": st.sampled_from([1_700_000_000_000, 1_700_000_009_000.5]),
        "startedAt": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"]),
        "endedAt": st.sampled_from(["2026-01-01T00:01:00Z", "2026-01-01T00:01:09Z"]),
        "endedReason": st.sampled_from(["customer-ended-call", "assistant-ended-call"]),
        "durationSeconds": st.sampled_from([0, 12.5, 60]),
        "cost": st.sampled_from([0.1, 0.25]),
        "summary": st.sampled_from(["Short.", "straße", "strasse", "STRASSE"]),
        "transcript": st.sampled_from(["a", "B", "á"]),
    },
)


@given(order=st.permutations(range(len(SAMPLES))))
@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_the_samples_give_one_row_in_any_order(
    connection: asyncpg.Connection, order: list[int]
) -> None:
    """Through the real statement, in any permutation."""
    expected = await row_after(connection, SAMPLES)

    row = await row_after(connection, [SAMPLES[place] for place in order])

    assert row == expected
    assert row["events"] == len(SAMPLES)
    assert row["status"] == "ended"


@given(messages=st.lists(_ADVERSE, min_size=2, max_size=5), seed=st.randoms(use_true_random=False))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_events_that_contradict_give_one_row_in_any_order(
    connection: asyncpg.Connection, messages: list[dict[str, Any]], seed: random.Random
) -> None:
    """Whatever they say, the order in which they say it decides nothing."""
    events = [event_of({"message": message | {"call": {"id": CALL}}}) for message in messages]
    shuffled = events.copy()
    seed.shuffle(shuffled)

    assert await row_after(connection, events) == await row_after(connection, shuffled)


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_event_counts_once_through_the_processor(shared: Stage, seed: int) -> None:
    """Also when each message is delivered three times, at one moment and shuffled."""
    org_id = uuid4()
    sent = [(new_job_id(), of_one_call(sample(name))) for name in names()] * 3
    random.Random(seed).shuffle(sent)

    for job_id, document in sent:
        await shared.send(document, job_id=job_id, org_id=org_id)
    for job_id, _ in sent:
        await shared.until(job_id, "completed")

    async def counted() -> asyncpg.Record | None:
        row = await shared.database.fetchrow("SELECT * FROM voice_calls WHERE org_id = $1", org_id)
        return row if row and row["events"] >= len(names()) else None

    row = await eventually(counted)
    assert row["events"] == len(names())
    assert row["status"] == "ended"
    assert row["summary"]
    assert row["cost"] > 0


async def test_calls_of_two_orgs_never_meet(shared: Stage) -> None:
    """The same call id in two orgs is two calls."""
    mine, theirs = uuid4(), uuid4()
    for org_id in (mine, theirs):
        job_id = await shared.send(of_one_call(sample("hang")), org_id=org_id)
        await shared.until(job_id, "completed")

    counts = await shared.database.fetch(
        "SELECT events FROM voice_calls WHERE org_id IN ($1, $2)", mine, theirs
    )

    assert [row["events"] for row in counts] == [1, 1]
