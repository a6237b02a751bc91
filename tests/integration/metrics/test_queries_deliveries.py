"""Webhooks by pages, and one webhook with all its data, on a real database."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from ringback.contract.identity import new_job_id
from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.metrics.v1 import delivery_pb2 as pb
from ringback.metrics.v1.delivery_pb2 import DELIVERY_STATUS_COMPLETED, DELIVERY_STATUS_DEAD_LETTER
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    ListDeadLettersRequest,
    ListDeliveriesRequest,
    ListRecentFailuresRequest,
)
from services.metrics.auth.access import Access
from services.metrics.queries.deliveries import Deliveries
from tests.integration.metrics.queried_log import OURS, THEIRS, LogRow, as_org, dead, rpcs, write
from tests.integration.migrations.log_calls import End, Webhook, bury, finish

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


async def test_a_retried_dead_letter_has_its_whole_history(
    api: Any, log: asyncpg.Connection
) -> None:
    """Every attempt with its trace, its event, its retry; and the retry links back."""
    webhook = Webhook(org_id=OURS, event_data='{"type": "hang", "n": 1}', call_id="c-9")
    for attempt in (1, 2):
        await finish(log, End(webhook, "failed", attempt, ("TimeoutError", f"try {attempt}")))
    await bury(log, webhook, attempt=2)
    new_id = new_job_id()
    await log.fetch(
        "SELECT * FROM retry_webhook($1, $2, 4, 'ann', 'service', 'fixed', NULL, '{}')",
        webhook.id,
        new_id,
    )

    found = await api.get_delivery(GetDeliveryRequest(job_id=str(webhook.id)), as_org(OURS))
    retry = await api.get_delivery(GetDeliveryRequest(job_id=str(new_id)), as_org(None))

    assert found.delivery.status == pb.DELIVERY_STATUS_DEAD_LETTER
    assert found.delivery.resolution == pb.RESOLUTION_RETRIED
    assert found.delivery.retried_as == str(new_id)
    assert json.loads(found.delivery.event_data) == {"type": "hang", "n": 1}
    assert [(a.attempt, a.outcome, a.error_message) for a in found.attempts] == [
        (1, pb.ATTEMPT_OUTCOME_FAILED, "try 1"),
        (2, pb.ATTEMPT_OUTCOME_FAILED, "try 2"),
    ]
    assert (found.attempts[0].trace_id, found.attempts[0].span_id) == ("t" * 32, "s" * 16)
    assert found.attempts[0].duration_ms == pytest.approx(250)
    assert found.retried_as.new_job_id == str(new_id)
    assert (found.retried_as.actor, found.retried_as.reason) == ("ann", "fixed")
    assert not found.HasField("retry_of")

    assert retry.delivery.status == pb.DELIVERY_STATUS_PENDING
    assert retry.delivery.retry_of == str(webhook.id)
    assert retry.retry_of.job_id == str(webhook.id)
    assert not retry.retry_of.HasField("published_at")
    assert not retry.attempts
    assert not retry.HasField("retried_as")


async def test_a_duplicate_that_was_run_names_the_first_webhook(
    api: Any, log: asyncpg.Connection
) -> None:
    """Both sides name it: the duplicate, and the webhook that ran it."""
    first = Webhook(org_id=OURS, dedup_key="k")
    copy = Webhook(org_id=OURS, dedup_key="k")
    await finish(log, End(first))
    await finish(log, End(copy))
    new_id = new_job_id()
    await log.fetch(
        "SELECT * FROM run_duplicate_webhook($1, $2, 4, 'ann', 'service', 'no copy', NULL, '{}')",
        copy.id,
        new_id,
    )

    found = await api.get_delivery(GetDeliveryRequest(job_id=str(copy.id)), as_org(OURS))
    run = await api.get_delivery(GetDeliveryRequest(job_id=str(new_id)), as_org(OURS))

    assert found.delivery.status == pb.DELIVERY_STATUS_DUPLICATE
    assert found.delivery.resolution == pb.RESOLUTION_RETRIED
    assert found.delivery.duplicate_of == found.retried_as.duplicate_of == str(first.id)
    assert (found.retried_as.new_job_id, found.retried_as.reason) == (str(new_id), "no copy")
    assert (run.retry_of.job_id, run.retry_of.duplicate_of) == (str(copy.id), str(first.id))


async def test_a_pending_webhook_without_its_payload_has_no_event(
    api: Any, log: asyncpg.Connection
) -> None:
    """Unknown values are absent: the times, the error, the event."""
    row = LogRow(status="pending", event={})
    await write(log, row)

    found = (await api.get_delivery(GetDeliveryRequest(job_id=str(row.id)), as_org(OURS))).delivery

    assert found.created_at.ToDatetime() == row.created_at.replace(tzinfo=None)
    fields = {descriptor.name for descriptor, _ in found.ListFields()}
    assert not fields & {
        "event_data", "last_attempt_at", "completed_at", "error_class", "call_id"
    }  # fmt: skip
