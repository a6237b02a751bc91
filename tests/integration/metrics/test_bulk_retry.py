"""A bulk retry runs slowly, and ends early when it should."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from uuid import UUID

import asyncpg
import grpc
import orjson
import pytest

from chaos.fault_proxy import FaultProxy
from ringback.contract.identity import new_job_id
from ringback.metrics.v1.admin_service_pb2 import (
    RETRY_RUN_STATE_DRY_RUN,
    RETRY_RUN_STATE_FINISHED,
    RETRY_RUN_STATE_HELD,
    RETRY_RUN_STATE_STOPPED,
    RETRY_STATE_PUBLISHED,
    DeadLetterFilter,
    RetryDeliveriesRequest,
    RetryDeliveriesResponse,
)
from ringback.services.metrics.auth.principal import Principal
from ringback.services.metrics.commands.retry_run_rules import Throttle
from tests.integration.metrics.retry_stage import (
    FAILS,
    SERVICE,
    STRANGER,
    TENANT,
    THEIRS,
    WORKS,
    RetryStage,
    retry_stage,
)
from tests.integration.processor.place import Place
from tests.integration.processor.stage import scripted
from tests.support.eventually import eventually


def run(
    retrying: RetryStage, principal: Principal = SERVICE, **fields: Any
) -> AsyncGenerator[RetryDeliveriesResponse, None]:
    defaults: dict[str, Any] = {"reason": "Fixed.", "rate_per_second": 100}
    request = RetryDeliveriesRequest(**defaults | fields)
    answers: AsyncGenerator[RetryDeliveriesResponse, None] = retrying.api.retry_deliveries(
        request, retrying.call(principal)
    )
    return answers


async def last_of(answers: AsyncGenerator[RetryDeliveriesResponse, None]) -> Any:
    """The last answer, which alone has the reason for the end."""
    *others, last = [answer async for answer in answers]
    ends = {RETRY_RUN_STATE_DRY_RUN, RETRY_RUN_STATE_FINISHED, RETRY_RUN_STATE_STOPPED}
    assert last.state in ends
    assert not [answer for answer in others if answer.state in ends]
    return last


async def ended(retrying: RetryStage) -> asyncpg.Record:
    """The line of the audit for the end of the only run."""

    async def line() -> asyncpg.Record | None:
        found = [line for line in await retrying.audit() if line["action"] == "bulk_retry_ended"]
        return found[0] if found else None

    return await eventually(line)


@pytest.mark.usefixtures("processor")
async def test_all_that_match_are_retried_oldest_first(retrying: RetryStage) -> None:
    """Each retry has an audit line, and the run has two; all have the run's id.

    It does not retry its own failures, or it would never end.
    """
    letters = [await retrying.bury(event) for event in (*[WORKS] * 5, FAILS, FAILS)]
    other = await retrying.bury(scripted("other"))
    plain = DeadLetterFilter(event_type="test.plain")

    last = await last_of(run(retrying, filter=plain, stop_after_failures=100))

    assert last.state == RETRY_RUN_STATE_FINISHED
    assert (last.matched, last.retried, last.completed) == (7, 7, 5)
    assert (last.failed_again, last.skipped) == (2, 0)
    assert [retry["original"] for retry in await retrying.retries()] == letters
    assert (await retrying.row(other))["resolution"] is None
    lines = await retrying.audit()
    actions = [line["action"] for line in lines]
    assert actions == ["bulk_retry", *["retry"] * 7, "bulk_retry_ended"]
    assert len({orjson.loads(line["details"])["run"] for line in lines}) == 1
    assert {line["reason"] for line in lines} == {"Fixed."}
    assert orjson.loads(lines[0]["details"])["filter"] == {"event_type": "test.plain"}
    assert orjson.loads(lines[-1]["details"])["state"] == "finished"


async def test_a_dry_run_counts_what_its_filter_selects(retrying: RetryStage) -> None:
    """By type, error class, call, organisation, or time of creation. It changes nothing."""
    await retrying.bury(job_id=new_job_id(at_s=time.time() - 3600))
    await retrying.bury(scripted("other"))
    await retrying.bury(error_class="ValueError")
    await retrying.bury(call_id="c-7")
    await retrying.bury(org_id=THEIRS)
    half_an_hour_ago = await retrying.database.fetchval("SELECT now() - interval '30 minutes'")
    since, until = DeadLetterFilter(), DeadLetterFilter()
    since.start_time.FromDatetime(half_an_hour_ago)
    until.end_time.FromDatetime(half_an_hour_ago)
    filters = [
        DeadLetterFilter(event_type="test.other"),
        DeadLetterFilter(error_class="ValueError"),
        DeadLetterFilter(call_id="c-7"),
        DeadLetterFilter(org_id=str(THEIRS)),
        until,
        since,
    ]

    before = await retrying.snapshot()

    counts = [(await last_of(run(retrying, dry_run=True, filter=one))).matched for one in filters]
    [limited] = [answer async for answer in run(retrying, dry_run=True, limit=2)]

    assert counts == [1, 1, 1, 1, 1, 4]
    assert (limited.state, limited.matched, limited.retried) == (RETRY_RUN_STATE_DRY_RUN, 5, 0)
    assert limited.message == "2 of 5 dead letters would be retried."
    assert await retrying.snapshot() == before


async def test_the_limit_is_of_those_retried(retrying: RetryStage) -> None:
    """A dead letter that cannot be retried is skipped, and counted separately."""
    await retrying.bury(gateway_instance_id=None)
    letters = [await retrying.bury() for _ in range(3)]
    settling = asyncio.create_task(last_of(run(retrying, limit=2)))

    await eventually(lambda: two_are_retried(retrying))
    # It then does not wait for results.
    await retrying.database.execute("UPDATE webhook_processing SET paused = true")
    last = await settling

    assert last.state == RETRY_RUN_STATE_FINISHED
    assert (last.matched, last.retried, last.skipped) == (4, 2, 1)
    assert [retry["original"] for retry in await retrying.retries()] == letters[:2]


async def two_are_retried(retrying: RetryStage) -> bool:
    return len(await retrying.retries()) == 2


async def test_a_run_waits_while_processing_is_paused(retrying: RetryStage) -> None:
    """Nothing is retried until processing resumes."""
    await retrying.bury()
    await retrying.database.execute("UPDATE webhook_processing SET paused = true")

    async with aclosing(run(retrying)) as answers:
        await anext(answers)
        held = await anext(answers)
        assert (held.state, held.rate_per_second) == (RETRY_RUN_STATE_HELD, 0)
        assert "paused" in held.message
        assert await retrying.retries() == []
        await retrying.database.execute("UPDATE webhook_processing SET paused = false")
        answer = held
        while answer.retried == 0:
            answer = await anext(answers)

    assert len(await retrying.retries()) == 1


async def test_a_run_waits_for_the_processors(place: Place, proxy: FaultProxy) -> None:
    """With fifty unfinished retries, or as many waiting webhooks, it pauses."""
    async with retry_stage(place, proxy, Throttle(min_rate=100)) as retrying:
        for _ in range(60):
            await retrying.bury()

        async with aclosing(run(retrying, rate_per_second=100)) as answers:
            async for answer in answers:
                if answer.state == RETRY_RUN_STATE_HELD:
                    break

        assert answer.retried <= 50
        assert len(await retrying.retries()) == answer.retried


async def test_a_run_ends_when_its_caller_disconnects(retrying: RetryStage) -> None:
    """Completed retries stay, no more are made, and the audit records how far it came."""
    for _ in range(100):
        await retrying.bury()

    async with aclosing(run(retrying, rate_per_second=1)) as answers:
        async for answer in answers:
            if answer.retried:
                break

    line = await ended(retrying)
    details = orjson.loads(line["details"])
    assert details["state"] == "stopped"
    assert details["message"] == "Stopped: the caller disconnected."
    assert details["retried"] == len(await retrying.retries()) < 100


async def test_it_ends_when_the_service_is_stopped(retrying: RetryStage) -> None:
    """With a last answer that has the reason."""
    for _ in range(100):
        await retrying.bury()
    running = asyncio.create_task(last_of(run(retrying, rate_per_second=1)))
    await eventually(retrying.retries)

    retrying.stopping.set()
    last = await running

    assert last.state == RETRY_RUN_STATE_STOPPED
    assert "shutting down" in last.message


async def test_a_run_waits_for_the_broker(retrying: RetryStage) -> None:
    """No retry is begun that could not be published; afterwards it continues."""
    for _ in range(30):
        await retrying.bury()
    async with aclosing(run(retrying, rate_per_second=5)) as answers:
        async for answer in answers:
            if answer.retried:
                break
        retrying.proxy.refuse()
        async for answer in answers:
            if "broker cannot be reached" in answer.message:
                break
        before = answer.retried
        retrying.proxy.accept()
        async for answer in answers:
            if answer.retried > before:
                break


async def test_an_unavailable_broker_rejects_before_any_change(retrying: RetryStage) -> None:
    """Nothing is written, not even to the audit, and it works when the broker is back."""
    letter = await retrying.bury()
    retrying.proxy.refuse()
    await eventually(lambda: not retrying.outbox.is_ready)

    errors = [await retrying.rejection_of(last_of(run(retrying)))]
    errors += [await retrying.rejection_of(retrying.retry(letter))]

    for error in errors:
        assert (error.code, error.reason) == (grpc.StatusCode.UNAVAILABLE, "BROKER_UNAVAILABLE")
    retrying.proxy.accept()
    await retrying.until_open()
    assert (await retrying.retry(letter)).state == RETRY_STATE_PUBLISHED


async def test_a_tenant_retries_its_own(retrying: RetryStage) -> None:
    """Whatever the filter."""
    await retrying.bury()
    mine = await retrying.bury(org_id=THEIRS)
    chosen = DeadLetterFilter(org_id=str(TENANT.org_id))

    others = await last_of(run(retrying, STRANGER, filter=chosen))
    async with aclosing(run(retrying, STRANGER)) as answers:
        async for answer in answers:
            if answer.retried:
                break

    assert (others.state, others.matched) == (RETRY_RUN_STATE_FINISHED, 0)
    assert [retry["original"] for retry in await retrying.retries()] == [mine]
    assert {line["org_id"] for line in await retrying.audit()} == {THEIRS}


@pytest.mark.usefixtures("processor")
async def test_of_two_runs_at_once_each_dead_letter_is_retried_by_one(retrying: RetryStage) -> None:
    """The other passes it over."""
    letters = [await retrying.bury() for _ in range(10)]

    both = await asyncio.gather(last_of(run(retrying)), last_of(run(retrying)))

    assert sum(last.retried for last in both) == len(letters)
    originals: set[UUID] = {retry["original"] for retry in await retrying.retries()}
    assert originals == set(letters)
