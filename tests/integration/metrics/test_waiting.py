"""Webhooks that wait in the database: who sees them, and who releases or cancels them."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import grpc
import pytest

from ringback.contract.identity import new_job_id
from ringback.metrics.v1.admin_service_pb2 import (
    CancelWaitingRequest,
    ReleaseWaitingRequest,
    WaitingFilter,
)
from ringback.metrics.v1.delivery_pb2 import WaitReason
from ringback.metrics.v1.metrics_service_pb2 import (
    GetDeliveryRequest,
    GetDeliveryStatsRequest,
    ListDeliveriesRequest,
    ListRecentFailuresRequest,
    ListWaitingRequest,
)
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.commands.waiting import WaitCommands
from ringback.services.metrics.queries.waiting import Waiting
from ringback.services.metrics.transport.errors import ApiError
from tests.integration.metrics.queried_log import OURS, THEIRS, LogRow, all_pages, as_org, write
from tests.integration.metrics.waiting_rows import add_wait, due_at, wait_row


@pytest.fixture
def commands(access: Access) -> WaitCommands:
    return WaitCommands(access)


async def refused(command: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await command
    return caught.value


async def audit(log: asyncpg.Connection) -> list[asyncpg.Record]:
    return await log.fetch("SELECT * FROM webhook_audit ORDER BY id")


def release(job_id: UUID | None = None, **fields: Any) -> ReleaseWaitingRequest:
    return ReleaseWaitingRequest(job_id=str(job_id or ""), reason="It is back.", **fields)


def cancel(job_id: UUID | None = None, **fields: Any) -> CancelWaitingRequest:
    return CancelWaitingRequest(job_id=str(job_id or ""), reason="Not needed.", **fields)


async def ids_of(api: Any, request: ListWaitingRequest, org_id: UUID | None = None) -> list[str]:
    pages = await all_pages(api.list_waiting, request, org_id)
    return [wait.job_id for page in pages for wait in page.waiting]


async def test_a_list_is_in_the_order_of_what_is_due(api: Any, log: asyncpg.Connection) -> None:
    """Page by page, also among equal times; those that something else releases come last."""
    last = await add_wait(log, OURS, due_in_s=None, reason="order", order_key="call-1")
    in_an_hour = await add_wait(log, OURS, due_in_s=3600)
    overdue = await add_wait(log, THEIRS, due_in_s=-60, reason="destination", destination="crm")
    async with log.transaction():
        equal = [await add_wait(log, OURS, due_in_s=600) for _ in range(3)]

    for size in (1, 2, 50):
        ids = await ids_of(api, ListWaitingRequest(page_size=size))
        assert ids == [str(one) for one in (overdue, *sorted(equal), in_an_hour, last)]

    page = await api.list_waiting(ListWaitingRequest(), as_org())
    first, *_, ordered = page.waiting
    assert (first.destination, first.reason) == ("crm", WaitReason.WAIT_REASON_DESTINATION)
    assert (first.attempt, first.event_type, first.org_id) == (2, "hang", str(THEIRS))
    assert first.HasField("due_at")
    assert (ordered.order_key, ordered.HasField("due_at")) == ("call-1", False)


async def test_a_list_has_filters(api: Any, log: asyncpg.Connection) -> None:
    """Reason, destination and organisation; all given ones must match."""
    retry = str(await add_wait(log, OURS))
    crm = str(await add_wait(log, OURS, reason="destination", destination="crm"))
    other = str(await add_wait(log, THEIRS, reason="destination", destination="mail"))
    held = WaitReason.WAIT_REASON_DESTINATION

    assert await ids_of(api, ListWaitingRequest(reason=WaitReason.WAIT_REASON_RETRY)) == [retry]
    assert sorted(await ids_of(api, ListWaitingRequest(reason=held))) == sorted([crm, other])
    assert await ids_of(api, ListWaitingRequest(destination="crm")) == [crm]
    assert await ids_of(api, ListWaitingRequest(destination="crm", org_id=str(THEIRS))) == []
    assert await ids_of(api, ListWaitingRequest(org_id=str(THEIRS))) == [other]


async def test_a_page_may_be_short(access: Access, log: asyncpg.Connection) -> None:
    """One call reads a bounded number of rows; all that match are found."""
    api = Waiting(access, max_scanned=3)
    rows = [await add_wait(log, OURS, due_in_s=n) for n in range(8)]
    rows.append(await add_wait(log, OURS, due_in_s=9, reason="forward"))

    forwards = ListWaitingRequest(reason=WaitReason.WAIT_REASON_FORWARD)
    first = await api.list_waiting(forwards, as_org())

    assert (len(first.waiting), bool(first.next_page_token)) == (0, True)
    assert await ids_of(api, forwards) == [str(rows[-1])]


async def test_a_webhook_shows_that_it_waits(api: Any, log: asyncpg.Connection) -> None:
    """In every list, and alone; another one shows nothing."""
    waits = LogRow(status="failed", error_class="TimeoutError", error_message="Late.")
    done = LogRow(ago_s=1)
    await write(log, waits, done)
    await add_wait(log, OURS, job_id=waits.id, attempt=3)

    one = await api.get_delivery(GetDeliveryRequest(job_id=str(waits.id)), as_org(OURS))
    other = await api.get_delivery(GetDeliveryRequest(job_id=str(done.id)), as_org(OURS))
    listed = await api.list_deliveries(ListDeliveriesRequest(), as_org(OURS))
    failures = await api.list_recent_failures(ListRecentFailuresRequest(), as_org(OURS))

    assert (one.delivery.waiting.attempt, one.delivery.waiting.job_id) == (3, str(waits.id))
    assert not other.delivery.HasField("waiting")
    assert [each.HasField("waiting") for each in listed.deliveries] == [True, False]
    assert [each.waiting for each in failures.failures] == [one.delivery.waiting]


async def test_statistics_count_waits_and_no_webhook_twice(
    api: Any, log: asyncpg.Connection
) -> None:
    """Waiting webhooks are part of the failed and pending ones; each org sees its own."""
    failed = LogRow(status="failed", error_class="TimeoutError", error_message="Late.")
    await write(log, failed, LogRow(status="pending"), LogRow(org_id=THEIRS, status="pending"))
    await add_wait(log, OURS, job_id=failed.id)
    old = LogRow(ago_s=2 * 86_400)
    await add_wait(log, OURS, job_id=old.id)

    ours = await api.get_delivery_stats(GetDeliveryStatsRequest(range="1h"), as_org(OURS))
    all_ = await api.get_delivery_stats(GetDeliveryStatsRequest(range="1h"), as_org())
    theirs = await api.get_delivery_stats(GetDeliveryStatsRequest(range="1h"), as_org(THEIRS))

    assert (ours.summary.total, ours.summary.failed, ours.summary.pending) == (2, 1, 1)
    assert [each.summary.waiting for each in (ours, all_, theirs)] == [1, 1, 0]


async def test_statistics_are_of_the_caller_s_webhooks(api: Any, log: asyncpg.Connection) -> None:
    """A service gets all or one organisation, a tenant its own, whatever it requests."""
    await write(log, LogRow(), LogRow(), LogRow(org_id=THEIRS))
    await log.execute("SELECT fold_webhook_stats(10)")
    await write(log, LogRow())

    for caller, org_id, total in (
        *((None, "", 4), (None, str(THEIRS), 1), (OURS, "", 3), (OURS, str(OURS), 3)),
        *((OURS, str(THEIRS), 0), (OURS, str(UUID(int=2**128 - 1)), 0), (UUID(int=3), "", 0)),
    ):
        request = GetDeliveryStatsRequest(org_id=org_id)
        answer = await api.get_delivery_stats(request, as_org(caller))

        assert (answer.summary.total, answer.time_range) == (total, "24h"), (caller, org_id)


async def test_a_tenant_sees_and_changes_its_own(
    api: Any, commands: WaitCommands, log: asyncpg.Connection
) -> None:
    """Another organisation's webhook is absent, also for a filter."""
    ours = await add_wait(log, OURS, destination="crm")
    theirs = await add_wait(log, THEIRS, destination="crm")
    before = await due_at(log, theirs)
    everything = WaitingFilter(destination="crm")

    assert await ids_of(api, ListWaitingRequest(), OURS) == [str(ours)]
    assert await ids_of(api, ListWaitingRequest(org_id=str(THEIRS)), OURS) == []
    for command in (
        commands.release_waiting(release(theirs), as_org(OURS)),
        commands.cancel_waiting(cancel(theirs), as_org(OURS)),
    ):
        assert (await refused(command)).reason == "DELIVERY_NOT_FOUND"
    foreign = WaitingFilter(org_id=str(THEIRS))
    assert (await commands.release_waiting(release(filter=foreign), as_org(OURS))).released == 0
    assert (await commands.release_waiting(release(filter=everything), as_org(OURS))).released == 1
    assert (await commands.cancel_waiting(cancel(filter=everything), as_org(OURS))).cancelled == 1

    assert await due_at(log, theirs) == before
    assert {row["org_id"] for row in await audit(log)} == {OURS}


async def test_a_released_webhook_is_due_now(
    commands: WaitCommands, log: asyncpg.Connection
) -> None:
    """Audited once, however often it is released; nothing else of it changes."""
    job_id = await add_wait(log, OURS, reason="destination", destination="crm")

    first = await commands.release_waiting(release(job_id), as_org(OURS))
    again = await commands.release_waiting(release(job_id), as_org(OURS))

    row = await wait_row(log, job_id)
    assert row is not None
    assert (row["is_due"], row["reason"], row["destination"]) == (True, "destination", "crm")
    assert (first.released, again.released, again.message) == (1, 0, first.message)
    [line] = await audit(log)
    assert (line["action"], line["actor"], line["job_id"]) == ("release_wait", "test", job_id)
    assert (line["org_id"], line["reason"]) == (OURS, "It is back.")
    assert '"wait_reason": "destination"' in line["details"]


async def test_a_cancelled_webhook_is_due_as_a_dead_letter(
    commands: WaitCommands, log: asyncpg.Connection
) -> None:
    """Also one that waits for its turn. No destination delays it, and it cannot be released."""
    job_id = await add_wait(log, OURS, due_in_s=None, reason="order", destination="crm")

    answer = await commands.cancel_waiting(cancel(job_id), as_org(OURS))
    released = await refused(commands.release_waiting(release(job_id), as_org()))
    again = await refused(commands.cancel_waiting(cancel(job_id), as_org()))

    row = await wait_row(log, job_id)
    assert row is not None
    assert answer.cancelled == 1
    assert (row["is_due"], row["reason"], row["destination"]) == (True, "cancelled", None)
    assert row["cancellation"] == "Cancelled by test: Not needed."
    assert released.reason == again.reason == "ALREADY_CANCELLED"
    [line] = await audit(log)
    assert (line["action"], line["reason"]) == ("cancel_wait", "Not needed.")


async def test_a_wait_in_another_state_is_not_changed(
    commands: WaitCommands, log: asyncpg.Connection
) -> None:
    """It does not wait, is being published, or waits for its turn."""
    done = LogRow()
    await write(log, done)
    leased = await add_wait(log, OURS, due_in_s=-1, leased_for_s=3600)
    ordered = await add_wait(log, OURS, due_in_s=None, reason="order")

    found = [
        await refused(commands.release_waiting(release(new_job_id()), as_org())),
        await refused(commands.release_waiting(release(done.id), as_org())),
        await refused(commands.cancel_waiting(cancel(leased), as_org())),
        await refused(commands.release_waiting(release(ordered), as_org())),
    ]
    all_of_them = WaitingFilter(org_id=str(OURS))
    released = await commands.release_waiting(release(filter=all_of_them), as_org())
    cancelled = await commands.cancel_waiting(cancel(filter=all_of_them), as_org())

    assert [(error.code, error.reason) for error in found] == [
        (grpc.StatusCode.NOT_FOUND, "DELIVERY_NOT_FOUND"),
        (grpc.StatusCode.FAILED_PRECONDITION, "NOT_WAITING"),
        (grpc.StatusCode.FAILED_PRECONDITION, "NOT_WAITING"),
        (grpc.StatusCode.FAILED_PRECONDITION, "WAITS_IN_ORDER"),
    ]
    assert (released.released, cancelled.cancelled) == (0, 1)
    row = await wait_row(log, leased)
    assert row is not None
    assert row["reason"] == "retry"


async def test_the_lease_of_a_dead_processor_keeps_nobody_from_cancelling(
    commands: WaitCommands, log: asyncpg.Connection
) -> None:
    """While its destination is down, no other processor takes it over."""
    one, other = [await add_wait(log, OURS, due_in_s=-60, leased_for_s=-30) for _ in range(2)]

    first = await commands.cancel_waiting(cancel(one), as_org())
    rest = await commands.cancel_waiting(cancel(filter=WaitingFilter(org_id=str(OURS))), as_org())

    assert (first.cancelled, rest.cancelled) == (1, 1)
    for job_id in (one, other):
        row = await wait_row(log, job_id)
        assert row is not None
        assert (row["reason"], row["leased_until"]) == ("cancelled", None)


async def test_a_sweeper_and_a_cancellation_exclude_each_other(
    commands: WaitCommands, log: asyncpg.Connection, database_url: str
) -> None:
    """A cancellation waits until a lease is committed, and then finds it."""
    job_id = await add_wait(log, OURS)
    other = await asyncpg.connect(database_url)
    transaction = other.transaction()
    await transaction.start()
    await other.execute(
        "UPDATE webhook_waits SET leased_until = now() + interval '1 hour' WHERE delivery_id = $1",
        job_id,
    )

    cancelling = asyncio.create_task(commands.cancel_waiting(cancel(job_id), as_org()))
    skipped = await commands.cancel_waiting(
        cancel(filter=WaitingFilter(org_id=str(OURS))), as_org()
    )
    await transaction.commit()
    await other.close()

    assert skipped.cancelled == 0
    assert (await refused(cancelling)).reason == "NOT_WAITING"


async def test_a_repeated_request_gets_the_same_answer(
    commands: WaitCommands, log: asyncpg.Connection
) -> None:
    """By its id, also when the webhook waits no longer; another id is another request."""
    job_id, request_id = await add_wait(log, OURS), str(uuid4())

    first = await commands.cancel_waiting(cancel(job_id, request_id=request_id), as_org())
    repeated = await commands.cancel_waiting(cancel(job_id, request_id=request_id), as_org())
    await log.execute("DELETE FROM webhook_waits")
    later = await commands.cancel_waiting(cancel(job_id, request_id=request_id), as_org())
    other = await refused(
        commands.cancel_waiting(cancel(job_id, request_id=str(uuid4())), as_org())
    )
    release_ = await refused(
        commands.release_waiting(release(job_id, request_id=request_id), as_org())
    )

    assert first.message == repeated.message == later.message
    assert (first.cancelled, repeated.cancelled) == (1, 0)
    assert other.reason == release_.reason == "DELIVERY_NOT_FOUND"
    assert len(await audit(log)) == 1


async def test_a_filter_changes_all_that_match_in_bounded_steps(
    commands: WaitCommands, log: asyncpg.Connection
) -> None:
    """Those that are due first before the others; each webhook has its own audit row."""
    crm = [await add_wait(log, OURS, due_in_s=60 * n, destination="crm") for n in range(1, 6)]
    other = await add_wait(log, OURS, destination="mail")
    request = release(filter=WaitingFilter(destination="crm"), limit=2)

    steps = [await commands.release_waiting(request, as_org()) for _ in range(3)]
    nothing = await commands.release_waiting(request, as_org())

    assert [(step.released, step.has_more) for step in steps] == [(2, True), (2, True), (1, False)]
    assert (nothing.released, nothing.has_more) == (0, False)
    assert {row["job_id"] for row in (await audit(log))[:2]} == set(crm[:2])
    assert sorted(row["job_id"] for row in await audit(log)) == sorted(crm)
    row = await wait_row(log, other)
    assert row is not None
    assert not row["is_due"]
