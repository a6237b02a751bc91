"""What becomes of a webhook, seen from outside. All tests here share one run of the services."""

import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import asyncpg
import orjson
import pytest
import pytest_asyncio

from ringback import samples
from tests.acceptance.whole import SERVICES, Whole, demo, whole_ringback
from tests.support.eventually import eventually
from tests.support.local_slack import LocalSlack, local_slack
from tests.support.session_nodes import SessionNodes

pytestmark = pytest.mark.asyncio(loop_scope="module")

OLD_DAY = datetime.now(UTC).date() - timedelta(days=40)
TRANSCRIPT = """AI: Example Dental, this is Riley. How can I help?
User: Do you have anything free on Tuesday?
AI: Ten thirty is free. Shall I book it?
User: Yes, please.
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def slack() -> AsyncIterator[LocalSlack]:
    async with local_slack() as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("one-call")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole(
    session_nodes: SessionNodes, slack: LocalSlack, folder: Path
) -> AsyncIterator[Whole]:
    """The three services, each with the rights of its own role. A partition is 40 days old."""
    settings = {
        "RINGBACK_SLACK_WEBHOOK_URL": slack.url,
        "RINGBACK_SLACK_BATCH_WINDOW_S": "0",
        "RINGBACK_TRACE_URL_TEMPLATE": "https://traces.example/{trace_id}",
        "RINGBACK_DASHBOARD_URL": "https://grafana.example/d/overview",
    }
    async with session_nodes.place() as (amqp_url, database_url):
        connection = await asyncpg.connect(database_url)
        await connection.fetchval("SELECT ensure_webhook_partitions($1, $1)", OLD_DAY)
        await connection.close()
        async with whole_ringback(amqp_url, database_url, folder, **settings) as running:
            yield running


async def test_every_documented_event_is_completed_and_a_copy_is_a_duplicate(whole: Whole) -> None:
    """Events of a call give its row with a value in every column, and the metrics count them."""
    bodies = [samples.sample(name) for name in samples.names()]
    call_id = orjson.loads(samples.sample("end-of-call-report-documented"))["message"]["call"]["id"]
    of_call = [
        body
        for body in bodies
        if orjson.loads(body)["message"].get("call", {}).get("id") == call_id
    ]

    statuses = await whole.settled([await whole.accepted(body) for body in bodies])
    again = [samples.sample(name) for name in samples.call_names()]
    copies = await whole.settled([await whole.accepted(body) for body in again])

    assert statuses == ["completed"] * len(bodies)
    assert copies == ["duplicate"] * len(again)

    async def are_counted() -> bool:
        assert await whole.metric("gateway", "webhook_total") == len(bodies) + len(again)
        assert await whole.metric("processor", "webhook_completed_total") == len(bodies)
        assert await whole.metric("processor", "webhook_duplicates_total") == len(again)
        return True

    await eventually(are_counted)
    [row] = await whole.database.fetch("SELECT * FROM voice_calls WHERE call_id = $1", call_id)
    found = dict(row)
    for name in ("org_id", "ranks", "first_event_at", "last_event_at"):
        found.pop(name)
    assert found == {
        "call_id": call_id,
        "call_type": "inboundPhoneCall",
        "status": "ended",
        "started_at": datetime(2026, 8, 14, 14, 37, 4, tzinfo=UTC),
        "ended_at": datetime(2026, 8, 14, 14, 37, 46, 500_000, tzinfo=UTC),
        "ended_reason": "customer-ended-call",
        "duration_seconds": 42.5,
        "cost": 0.0713,
        "customer_number": "+15550100142",
        "assistant_id": "0a1b2c3d-0000-4000-8000-0000000000b1",
        "phone_number_id": "0a1b2c3d-0000-4000-8000-0000000000e1",
        "summary": "The caller asked for Tuesday and was booked for 10:30.",
        "transcript": TRANSCRIPT,
        "events": len(of_call),
    }
    assert len(of_call) > 15


async def test_a_webhook_that_always_fails_is_kept(whole: Whole) -> None:
    """After the last retry it is a dead letter with four attempts, its event and its last error."""
    body = demo(failUntilAttempt=99)
    job_id = await whole.accepted(body)

    assert await whole.settled([job_id]) == ["dead_letter"]
    [row] = await whole.database.fetch(
        "SELECT attempts, event_data::text AS data, error_class, error_message,"
        " (SELECT count(*) FROM webhook_delivery_attempts WHERE delivery_id = id) AS rows"
        " FROM webhook_delivery_log WHERE id = $1",
        uuid.UUID(job_id),
    )
    assert (row["attempts"], row["rows"]) == (4, 4)
    assert json.loads(row["data"]) == json.loads(body)
    assert row["error_class"]
    assert row["error_message"]

    async def is_shown() -> bool:
        count = await whole.database.fetchval(
            "SELECT count(*) FROM webhook_delivery_log WHERE status = 'dead_letter'"
        )
        return await whole.metric("metrics", "webhook_dead_letter_queue_size") == int(count)

    await eventually(is_shown)


async def test_slack_gets_a_message_about_a_dead_letter(whole: Whole, slack: LocalSlack) -> None:
    """It contains type, job, attempts, error, commands and trace, and nothing of the payload."""
    job_id = await whole.accepted(demo(failForGood=True, customer="Ada Lovelace"))

    text = await eventually(
        lambda: next((one for one in map(json.dumps, slack.taken) if job_id in one), None)
    )
    trace_id = await whole.database.fetchval(
        "SELECT trace_id FROM webhook_delivery_attempts WHERE delivery_id = $1", job_id
    )
    for word in (
        "`ringback.demo`",
        "`PermanentFailure`",
        "1 of 4",
        "The demo requested a permanent",
        f"ringback dead retry {job_id}",
        f"POST /api/webhook-metrics/retry-failed/{job_id}",
        f"<https://traces.example/{trace_id}|Trace>",
        "<https://grafana.example/d/overview|Dashboard>",
    ):
        assert word in text
    assert "Ada" not in text


WORK = [
    "SELECT sum(accepted) > 0 FROM webhook_gateway_ledger",
    "SELECT count(*) = 1 FROM webhook_processors",
    f"SELECT to_regclass('webhook_delivery_log_{OLD_DAY:%Y%m%d}') IS NULL",
    "SELECT count(*) > 0 FROM webhook_stats",
    "SELECT count(*) = 0 FROM webhook_stats_deltas",
]


async def test_each_service_has_the_rights_for_its_work(whole: Whole, folder: Path) -> None:
    """Its work gets done, and the database never denies it a statement."""
    await whole.settled([await whole.accepted(demo())])

    for question in WORK:
        await eventually(partial(whole.database.fetchval, question))

    for name in SERVICES:
        log = (folder / f"{name}.log").read_text(encoding="utf-8").lower()
        for denial in ("permission denied", "insufficientprivilege", "row-level security"):
            assert denial not in log, name
