"""Webhooks by pages, and one webhook with all its data, on a real database."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
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
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.queries.deliveries import Deliveries
from ringback.services.metrics.transport.errors import ApiError
from tests.integration.metrics.queried_log import (
    OURS,
    THEIRS,
    LogRow,
    all_pages,
    as_org,
    dead,
    rpcs,
    write,
    write_retries,
)
from tests.integration.migrations.log_calls import End, Webhook, bury, finish

HOUR = 3600.0
MS = timedelta(milliseconds=1)


async def all_deliveries(api: Any, caller: UUID | None, **fields: object) -> tuple[list[str], int]:
    """The job ids of all pages, and how many pages there were."""
    request = ListDeliveriesRequest(**fields)  # type: ignore[arg-type]  # as the contract has them
    pages = await all_pages(api.list_deliveries, request, caller)
    return [delivery.job_id for page in pages for delivery in page.deliveries], len(pages)


async def all_dead_letters(api: Any, caller: UUID | None, **fields: object) -> list[str]:
    request = ListDeadLettersRequest(**fields)  # type: ignore[arg-type]  # as the contract has them
    pages = await all_pages(api.list_dead_letters, request, caller)
    assert all(page.count == len(page.dead_letters) for page in pages)
    return [letter.job_id for page in pages for letter in page.dead_letters]


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
    """A page may be short or empty and still have a next one, and says how far it has looked."""
    api = rpcs(Deliveries(access, DEFAULT_REDACTION, max_scanned=10))
    rows = [LogRow(ago_s=n, event_type="rare" if n % 17 == 0 else "hang") for n in range(60)]
    await write(log, *rows)

    found, pages = await all_deliveries(api, OURS, event_type="rare")
    first = await api.list_deliveries(ListDeliveriesRequest(event_type="rare"), as_org(OURS))
    full = await api.list_deliveries(ListDeliveriesRequest(page_size=3), as_org(OURS))
    last = await api.list_deliveries(ListDeliveriesRequest(event_type="none"), as_org(THEIRS))

    assert found == names(*rows[::17])
    assert pages == 7
    assert first.searched_until.ToDatetime(UTC) == rows[9].created_at + MS
    assert full.searched_until.ToDatetime(UTC) == rows[2].created_at + MS
    assert not last.HasField("searched_until")


async def test_a_call_with_too_many_webhooks_is_read_in_steps(
    access: Access, log: asyncpg.Connection
) -> None:
    """Each is found once; those of another organisation with the same call id are not."""
    api = rpcs(Deliveries(access, DEFAULT_REDACTION, max_scanned=10))
    rows = [LogRow(ago_s=n, call_id="many" if n % 3 else "c-1") for n in range(36)]
    theirs = [LogRow(ago_s=n, call_id="many", org_id=THEIRS) for n in range(3)]
    await write(log, *rows, *theirs)

    many, pages = await all_deliveries(api, OURS, call_id="many")

    assert many == names(*(row for row in rows if row.call_id == "many"))
    assert pages == 4
    assert await all_matching(api, THEIRS, call_id="many") == names(*theirs)
    assert await all_matching(api, None, call_id="many", org_id=str(THEIRS)) == names(*theirs)


async def test_a_retry_run_selects_what_it_created(access: Access, log: asyncpg.Connection) -> None:
    """In steps, with other filters, without what the log has deleted; a tenant sees its own."""
    api = rpcs(Deliveries(access, DEFAULT_REDACTION, max_scanned=3))
    run_id, other_run = new_job_id(), new_job_id()
    rows = [LogRow(ago_s=n * HOUR, call_id="c-1" if n % 2 else "c-2") for n in range(8)]
    theirs = LogRow(ago_s=9 * HOUR, org_id=THEIRS)
    await write(log, *rows[:3], *rows[4:], theirs)
    await write_retries(log, run_id, *rows[1:6], theirs)
    await write_retries(log, other_run, *rows[6:])
    created = names(rows[1], rows[2], rows[4], rows[5])

    async def found(caller: UUID | None, **more: object) -> list[str]:
        return await all_matching(api, caller, run_id=str(run_id), **more)

    assert await found(None) == [*created, *names(theirs)]
    assert await found(OURS) == created
    assert await found(THEIRS) == await found(None, org_id=str(THEIRS)) == names(theirs)
    assert await found(OURS, call_id="c-1", page_size=1) == names(rows[1], rows[5])
    assert await found(OURS, status=DELIVERY_STATUS_DEAD_LETTER) == []
    assert await all_matching(api, OURS, run_id=str(new_job_id())) == []


async def test_the_beginning_of_a_job_id_selects(api: Any, log: asyncpg.Connection) -> None:
    """With or without hyphens, in either case, with other filters; another tenant sees none."""
    ids = [f"019bfe18-fd80-7000-8000-00000000000{digit}" for digit in "fa0"]
    last, failed, first = [LogRow(id=UUID(one)) for one in ids]
    failed = dataclasses.replace(failed, status="failed", error_class="E")
    rows = [last, failed, first]
    before = LogRow(id=UUID("019bfe18-fd7f-7fff-bfff-ffffffffffff"))
    after = LogRow(id=UUID("019bfe18-fd81-7000-8000-000000000000"))
    await log.execute("SELECT ensure_webhook_partitions('2026-01-27', '2026-01-27')")
    await write(log, *rows, before, after)

    async def found(prefix: str, **more: object) -> list[str]:
        return await all_matching(api, OURS, job_id_prefix=prefix, page_size=2, **more)

    for prefix in (ids[0][:13], ids[0][:14], ids[0][:-1], "019BFE18FD80", "019bfe18fd807"):
        assert await found(prefix) == names(*rows)
    for whole in (ids[1], ids[1].replace("-", "")):
        assert await found(whole) == names(failed)
    assert await found("019b") == names(after, *rows, before)
    assert await found("019bfe18-fd80", error_class="E") == names(failed)
    assert await found("019bfe18-fd82") == await found("ffff") == []
    assert await all_matching(api, THEIRS, job_id_prefix=ids[0]) == []


async def test_what_begins_no_job_id_is_refused(api: Any) -> None:
    for prefix in (
        "019", "019bfe18f-", "-019bfe18", "019bfe18-fd80-7000-8000-00000000000g", "01%_",
    ):  # fmt: skip
        with pytest.raises(ApiError, match="must be the beginning of a job id"):
            await api.list_deliveries(ListDeliveriesRequest(job_id_prefix=prefix), as_org(OURS))


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
    hidden = Webhook(org_id=OURS, dedup_key="k", event_data='{"apiKey": "[REDACTED]"}')
    await finish(log, End(first))
    await finish(log, End(copy))
    await finish(log, End(hidden))
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
    assert found.delivery.dedup_key == "k"
    redacted = await api.get_delivery(GetDeliveryRequest(job_id=str(hidden.id)), as_org(OURS))
    assert not redacted.delivery.HasField("dedup_key")
    assert (found.retried_as.new_job_id, found.retried_as.reason) == (str(new_id), "no copy")
    assert (run.retry_of.job_id, run.retry_of.duplicate_of) == (str(copy.id), str(first.id))


_ADD_FORWARD = """
    INSERT INTO webhook_delivery_log (
        id, org_id, endpoint_id, event_type, event_data, status, max_attempts, created_at, forward,
        forward_of)
    VALUES (webhook_forward_id($1, $2), $3, 'default', 'hang', '{}', $4, 4,
            webhook_created_at($1), $2, $1)
    RETURNING id::text"""
_ADD_ANSWER = """
    INSERT INTO webhook_delivery_attempts (
        delivery_id, attempt, org_id, outcome, started_at, ended_at, answer)
    VALUES ($1, 1, $2, 'completed', now(), now(),
            '{"status": 201, "latency_ms": 12.5, "text": "thanks", "is_cut": false}')"""


async def test_a_webhook_lists_its_forwards_and_their_answers(
    api: Any, log: asyncpg.Connection
) -> None:
    """Also the retry of a dead letter lists them; another webhook of that moment does not."""
    webhook = Webhook(org_id=OURS)
    await finish(log, End(webhook, "permanent", 1, ("PermanentFailure", "no")))
    await bury(log, webhook, attempt=1)
    other = LogRow()
    await write(log, other)
    sent, waiting = [
        await log.fetchval(_ADD_FORWARD, webhook.id, name, OURS, status)
        for name, status in (("b-sent", "completed"), ("a-waits", "pending"))
    ]
    await log.execute(_ADD_ANSWER, UUID(sent), OURS)
    new_id = new_job_id()
    await log.fetch(
        "SELECT * FROM retry_webhook($1, $2, 4, 'ann', 'service', 'fixed', NULL, '{}')",
        webhook.id,
        new_id,
    )

    found, retry, unrelated, forward = [
        await api.get_delivery(GetDeliveryRequest(job_id=str(one)), as_org(OURS))
        for one in (webhook.id, new_id, other.id, sent)
    ]

    assert [(one.forward, one.job_id, one.status) for one in found.forwards] == [
        ("a-waits", waiting, pb.DELIVERY_STATUS_PENDING),
        ("b-sent", sent, pb.DELIVERY_STATUS_COMPLETED),
    ]
    assert list(retry.forwards) == list(found.forwards)
    assert not unrelated.forwards
    assert not forward.forwards
    assert (forward.delivery.forward, forward.delivery.forward_of) == ("b-sent", str(webhook.id))
    [attempt] = forward.attempts
    answer = attempt.answer
    assert (answer.status, answer.latency_ms, answer.text) == (201, 12.5, "thanks")
    assert not found.attempts[0].HasField("answer")


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
