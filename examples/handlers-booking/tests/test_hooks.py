"""The handlers do their work once, and failures are retried only where that helps."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from booking import hooks

from ringback.testing import attempt, sample, started

TABLES = Path(hooks.__file__).with_name("tables.sql").read_text()
REPORT = sample("end-of-call-report")


class Crm:
    """A CRM that answers with `status` and keeps the requests."""

    def __init__(self) -> None:
        self.status = 201
        self.keys: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers["Idempotency-Key"])
        return web.Response(status=self.status, text="the number is unknown")


@pytest.fixture
async def crm(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crm]:
    """The CRM runs, and the session is open."""
    crm, app = Crm(), web.Application()
    app.router.add_post("/bookings", crm.answer)
    async with TestServer(app) as server:
        monkeypatch.setenv("CRM_URL", str(server.make_url("/")))
        async with started(hooks):
            yield crm


async def test_a_report_is_booked_with_an_idempotency_key(crm: Crm) -> None:
    result = await attempt(hooks.book, REPORT)

    assert result.outcome == "completed"
    assert crm.keys == [str(result.event.job_id)]


async def test_an_outage_of_the_crm_is_retried(crm: Crm) -> None:
    crm.status = 503

    result = await attempt(hooks.book, REPORT)

    assert (result.outcome, result.retry_in_s) == ("failed", 2)


async def test_what_the_crm_rejects_is_a_dead_letter_at_once(crm: Crm) -> None:
    crm.status = 422

    result = await attempt(hooks.book, REPORT)

    assert result.is_dead_letter
    assert result.error_message == "The CRM rejects the booking: the number is unknown"


async def test_a_report_without_a_summary_is_a_dead_letter(crm: Crm) -> None:
    report = json.loads(REPORT)
    del report["message"]["summary"], report["message"]["analysis"]["summary"]

    result = await attempt(hooks.book, report)

    assert result.is_dead_letter
    assert crm.keys == []


async def test_the_statement_of_a_call_is_recorded() -> None:
    """Without a database, the test sees which statements would commit."""
    result = await attempt(hooks.count, REPORT)

    [effect] = result.effects
    assert effect.sql == hooks.INSERT
    assert effect.arguments[0] == result.event.call_id


@pytest.mark.usefixtures("crm")
async def test_a_call_is_counted_once_in_the_database(ringback_database_url: str) -> None:
    """With the rights of the processor. A second report of the call changes nothing."""
    database = await asyncpg.connect(ringback_database_url)
    await database.execute(TABLES)

    first = await attempt(hooks, REPORT, database_url=ringback_database_url)
    second = await attempt(hooks, REPORT, database_url=ringback_database_url)

    assert (first.outcome, second.outcome) == ("completed", "completed")
    assert await database.fetchval("SELECT count(*) FROM booked_calls") == 1
    await database.close()
