"""Lists of webhooks by pages, on a real database, of two organisations."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.metrics.v1.delivery_pb2 import DELIVERY_STATUS_COMPLETED, DELIVERY_STATUS_DEAD_LETTER
from ringback.metrics.v1.metrics_service_pb2 import (
    ListDeadLettersRequest,
    ListDeliveriesRequest,
    ListRecentFailuresRequest,
)
from services.metrics.auth.access import Access
from services.metrics.queries.deliveries import Deliveries
from tests.integration.metrics.queried_log import OURS, THEIRS, LogRow, as_org, dead, rpcs, write

HOUR = 3600.0


async def all_deliveries(api: Any, caller: UUID | None, **fields: object) -> tuple[list[str], int]:
    """The job ids of all pages, and how many pages there were."""
    request = ListDeliveriesRequest(**fields)  # type: ignore[arg-type]  # as the contract has them
    ids, pages = [], 0
    while True:
        page = await api.list_deliveries(request, as_org(caller))
        ids += [delivery.job_id for delivery in page.deliveries]
        pages += 1
        if not page.next_page_token:
            return ids, pages
        request.page_token = page.next_page_token


async def all_dead_letters(api: Any, caller: UUID | None, **fields: object) -> list[str]:
    request = ListDeadLettersRequest(**fields)  # type: ignore[arg-type]  # as the contract has them
    ids: list[str] = []
    while True:
        page = await api.list_dead_letters(request, as_org(caller))
        assert page.count == len(page.dead_letters)
        ids += [letter.job_id for letter in page.dead_letters]
        if not page.next_page_token:
            return ids
        request.page_token = page.next_page_token


async def all_matching(api: Any, caller: UUID | None, **fields: object) -> list[str]:
    return (await all_deliveries(api, caller, **fields))[0]


async def all_failures(api: Any, caller: UUID | None, **fields: object) -> list[str]:
    request = ListRecentFailuresRequest(**fields)  # type: ignore[arg-type]  # as the contract has them
    page = await api.list_recent_failures(request, as_org(caller))
    return [one.job_id for one in page.failures]


def names(*rows: LogRow) -> list[str]:
    return [str(row.id) for row in rows]


async def test_pages_contain_every_webhook_once_newest_first(
    api: Any, log: asyncpg.Connection
) -> None:
    """Over days, for any page size; new webhooks meanwhile shift nothing."""
    rows = [LogRow(ago_s=n * HOUR) for n in range(60)]
    await write(log, *rows)

    small, pages = await all_deliveries(api, OURS, page_size=7)
    first = await api.list_deliveries(ListDeliveriesRequest(page_size=30), as_org(OURS))
    await write(log, LogRow())
    rest = await api.list_deliveries(
        ListDeliveriesRequest(page_size=40, page_token=first.next_page_token), as_org(OURS)
    )

    assert small == names(*rows)
    assert pages == 9
    assert [one.job_id for one in (*first.deliveries, *rest.deliveries)] == names(*rows)


async def test_each_filter_and_all_of_them_together(api: Any, log: asyncpg.Connection) -> None:
    """What matches every filter, and nothing else."""
    failed = {"status": "failed", "error_class": "E"}
    plain = LogRow(ago_s=10, call_id="c-1")
    typed = LogRow(ago_s=20, event_type="transcript", call_id="c-1")
    letter = dead(30, call_id="c-2")
    waiting = LogRow(ago_s=40, event_type="transcript", call_id="c-2", **failed)  # type: ignore[arg-type]  # texts
    await write(log, plain, typed, letter, waiting)

    async def found(**fields: object) -> list[str]:
        return (await all_deliveries(api, OURS, **fields))[0]

    assert await found() == names(plain, typed, letter, waiting)
    assert await found(event_type="transcript") == names(typed, waiting)
    assert await found(status=DELIVERY_STATUS_COMPLETED) == names(plain, typed)
    assert await found(status=DELIVERY_STATUS_DEAD_LETTER) == names(letter)
    assert await found(error_class="E") == names(waiting)
    assert await found(call_id="c-1") == names(plain, typed)
    assert await found(call_id="c-2", event_type="transcript", error_class="E") == names(waiting)
    assert await found(call_id="c-1", error_class="E") == []


async def test_a_range_of_time_is_half_open(api: Any, log: asyncpg.Connection) -> None:
    """Created at the start is within, created at the end is not; to the microsecond."""
    rows = [LogRow(ago_s=n * HOUR) for n in range(4)]
    await write(log, *rows)
    newest, oldest = rows[1].created_at, rows[2].created_at

    async def found(start: datetime, end: datetime) -> list[str]:
        request = ListDeliveriesRequest()
        request.start_time.FromDatetime(start)
        request.end_time.FromDatetime(end)
        page = await api.list_deliveries(request, as_org(OURS))
        return [one.job_id for one in page.deliveries]

    tick = timedelta(microseconds=1)
    assert await found(oldest, newest) == names(rows[2])
    assert await found(oldest, newest + tick) == names(rows[1], rows[2])
    assert await found(oldest + tick, newest + tick) == names(rows[1])


async def test_a_call_looks_at_a_bounded_number(access: Access, log: asyncpg.Connection) -> None:
    """A page may be short or empty and still have a next one; nothing is skipped."""
    api = rpcs(Deliveries(access, DEFAULT_REDACTION, max_scanned=10))
    rows = [LogRow(ago_s=n, event_type="rare" if n % 17 == 0 else "hang") for n in range(60)]
    await write(log, *rows)

    found, pages = await all_deliveries(api, OURS, event_type="rare")

    assert found == names(*rows[::17])
    assert pages == 7


async def test_an_organisation_sees_its_own(api: Any, log: asyncpg.Connection) -> None:
    """A service sees all, or one; a tenant sees nothing of another, whatever it requests."""
    ours, theirs = dead(10), dead(20, org_id=THEIRS)
    await write(log, ours, theirs)

    for found in (all_dead_letters, all_matching, all_failures):
        assert await found(api, None) == names(ours, theirs)
        assert await found(api, None, org_id=str(THEIRS)) == names(theirs)
        assert await found(api, OURS) == names(ours)
        assert await found(api, OURS, org_id=str(OURS)) == names(ours)
        assert await found(api, OURS, org_id=str(THEIRS)) == []


async def test_recent_failures_are_failed_and_dead_letters(
    api: Any, log: asyncpg.Connection
) -> None:
    """Resolved or not; a failure that completed later does not count."""
    rows = [
        dead(1),
        LogRow(ago_s=2, status="failed", error_class="E", error_message="no"),
        dead(3, resolution="discarded"),
        LogRow(ago_s=4),
        LogRow(ago_s=5, status="processing", error_class="E"),
    ]
    await write(log, *rows)

    page = await api.list_recent_failures(ListRecentFailuresRequest(limit=2), as_org(OURS))
    rest = await api.list_recent_failures(
        ListRecentFailuresRequest(limit=2, page_token=page.next_page_token), as_org(OURS)
    )

    assert [one.job_id for one in (*page.failures, *rest.failures)] == names(*rows[:3])
    assert (page.count, rest.count, rest.next_page_token) == (2, 1, "")
    assert page.failures[1].error_message == "no"
    assert not page.failures[0].HasField("event_data")
