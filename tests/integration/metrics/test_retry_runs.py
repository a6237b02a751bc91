"""Runs on the server: they survive their replica, and people pause, resume and stop them."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import grpc
import pytest
from structlog.testing import capture_logs

from chaos.fault_proxy import FaultProxy
from ringback.contract.identity import new_job_id
from ringback.contract.redaction.scrub import REDACTED
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.runtime.process.background import run_in_background
from ringback.services.metrics.auth.principal import Principal
from ringback.services.metrics.commands.retry_run_matches import IdRange, Matches
from ringback.services.metrics.commands.retry_run_rules import plan_of
from ringback.services.metrics.commands.retry_run_worker import RetryRunner
from ringback.services.metrics.transport.errors import ApiError
from tests.integration.metrics.metrics_process import metrics_process
from tests.integration.metrics.retry_stage import (
    OURS,
    SERVICE,
    STRANGER,
    TENANT,
    THEIRS,
    WORKS,
    RetryStage,
    create_run,
    made_retries,
    retry_stage,
)
from tests.integration.processor.place import Place
from tests.integration.processor.stage import scripted
from tests.support.eventually import eventually

REPLAY = "ON FUNCTION replay_webhook"


@pytest.fixture
async def idle(place: Place, proxy: FaultProxy) -> AsyncIterator[RetryStage]:
    """Nothing works on runs until a test starts a replica."""
    async with retry_stage(place, proxy, has_runner=False) as stage:
        yield stage


def replica(stage: RetryStage, **changes: Any) -> AbstractAsyncContextManager[Any]:
    """It ends like a killed one: its leases stay."""
    tools = replace(stage.tools, **changes)
    return run_in_background(lambda: RetryRunner(tools).run(interval_s=0.1))


async def shown(stage: RetryStage, run: admin.RetryRun) -> admin.RetryRun:
    request = admin.GetRetryRunRequest(run_id=run.run_id)
    found: admin.RetryRun = (await stage.api.get_retry_run(request, stage.call())).run
    return found


async def ended(stage: RetryStage, run: admin.RetryRun) -> admin.RetryRun:
    async def found() -> admin.RetryRun | None:
        current = await shown(stage, run)
        return current if current.HasField("ended_at") else None

    return await eventually(found)


async def change(
    stage: RetryStage, verb: str, run: admin.RetryRun, principal: Principal = SERVICE
) -> admin.RetryRun:
    kind = getattr(admin, f"{verb.capitalize()}RetryRunRequest")
    method = getattr(stage.api, f"{verb}_retry_run")
    changed: admin.RetryRun = (await method(kind(run_id=run.run_id), stage.call(principal))).run
    return changed


async def actions(stage: RetryStage) -> list[str]:
    return [line["action"] for line in await stage.audit()]


@pytest.mark.usefixtures("processor")
async def test_a_killed_process_is_continued_by_another(
    idle: RetryStage, place: Place, tmp_path: Path
) -> None:
    """Real processes, and SIGKILL in the middle of a run: no webhook is retried twice."""
    letters = [await idle.bury() for _ in range(15)]
    # The next is due in ten seconds.
    run = await create_run(idle, rate_per_second=0.1)
    settings = {
        "amqp_url": place.amqp_url,
        "database_url": place.database_url,
        "RINGBACK_RETRY_SCHEDULE": place.retry_schedule,
    }
    async with metrics_process(tmp_path, **settings) as first:
        await eventually(idle.retries)
        async with metrics_process(tmp_path, **settings) as second:
            await eventually(second.is_ready)
            first.process.kill()
            first.process.wait()
            assert not (await shown(idle, run)).HasField("ended_at")
            await idle.database.execute(
                "UPDATE webhook_retry_runs SET leased_until = now() - interval '1 s',"
                " rate_per_second = 100"
            )
            last = await ended(idle, run)

    assert last.state == admin.RETRY_RUN_STATE_FINISHED
    assert (last.retried, last.completed, last.skipped) == (15, 15, 0)
    retries = await made_retries(idle)
    assert [retry["original"] for retry in retries] == letters
    assert {retry["attempts"] for retry in retries} == {1}
    assert (await actions(idle)).count("bulk_retry_ended") == 1


async def test_a_lease_keeps_other_replicas_away(idle: RetryStage) -> None:
    """Of two replicas, one works on a run."""
    await idle.bury()
    run = await create_run(idle)

    async with replica(idle), replica(idle):
        await eventually(idle.retries)
        await change(idle, "stop", run)
        await ended(idle, run)

    assert await actions(idle) == ["bulk_retry", "retry", "bulk_retry_stopped", "bulk_retry_ended"]


async def test_an_organisation_does_not_hold_up_others(idle: RetryStage) -> None:
    """Its third run waits for its turn, unless it is stopped. One has an unknown role: it ends."""
    await idle.database.execute("UPDATE webhook_processing SET paused = true")
    first, second, third, fourth = [await create_run(idle, TENANT) for _ in range(4)]
    theirs = await create_run(idle, STRANGER)
    unknown = await create_run(idle)
    await idle.database.execute(
        "UPDATE webhook_retry_runs SET role = 'auditor' WHERE id = $1", UUID(unknown.run_id)
    )

    async def is_held(run: admin.RetryRun) -> bool:
        return (await shown(idle, run)).state == admin.RETRY_RUN_STATE_HELD

    async with replica(idle):
        for run in (first, second, theirs):
            await eventually(partial(is_held, run))
        await change(idle, "stop", third)
        await ended(idle, third)
        assert (await shown(idle, fourth)).message == "Waiting for its turn."
        await change(idle, "stop", first)
        await eventually(partial(is_held, fourth))
        failed = await ended(idle, unknown)

    assert (failed.state, failed.message) == (
        admin.RETRY_RUN_STATE_FAILED,
        "Failed: this release does not know the role auditor of its creator.",
    )


async def test_an_organisation_decides_about_runs_of_its_webhooks(idle: RetryStage) -> None:
    """Also if the service began them for it. A run for all organisations is not its own."""
    run = await create_run(idle, filter=admin.DeadLetterFilter(org_id=str(OURS)))
    of_all = await create_run(idle)

    changed = [await change(idle, verb, run, TENANT) for verb in ("pause", "resume", "stop")]
    with pytest.raises(ApiError) as caught:
        await change(idle, "stop", of_all, TENANT)

    assert changed[-1].message == "Stopped by grace."
    assert caught.value.reason == "RUN_NOT_FOUND"
    assert [(line["actor"], line["action"]) for line in await idle.audit()][2:] == [
        ("grace", f"bulk_retry_{verb}") for verb in ("paused", "resumed", "stopped")
    ]


async def test_a_run_whose_statement_is_refused_waits_longer_each_time(idle: RetryStage) -> None:
    """It shows the error and leaves its place to others; it goes on once the right is there."""
    original = await completed(idle)
    letter = await idle.bury()
    refused = [await create_run(idle, **replays()) for _ in range(2)]
    other = await create_run(idle)
    await idle.database.execute(f"REVOKE EXECUTE {REPLAY} FROM ringback_operator")

    async with replica(idle):
        with capture_logs() as lines:
            await eventually(idle.retries)
            for run in refused:

                async def third_try(run: admin.RetryRun = run) -> admin.RetryRun | None:
                    found = await shown(idle, run)
                    return found if "4 s" in found.message else None

                held = await eventually(third_try)
                assert held.state == admin.RETRY_RUN_STATE_HELD
                assert held.message.startswith("Internal error; it was logged.")
        assert [retry["original"] for retry in await idle.retries()] == [letter]

        async def is_counted() -> bool:
            return (await shown(idle, other)).retried == 1

        await eventually(is_counted)
        await idle.database.execute(f"GRANT EXECUTE {REPLAY} TO ringback_operator")

        async def replayed() -> bool:
            return original in [retry["original"] for retry in await idle.retries()]

        await eventually(replayed)

    said = [line for line in lines if line["event"] == "retry_run.interrupted"]
    assert sorted(line["run"] for line in said) == sorted(run.run_id for run in refused)
    assert all("42501" in line["cause"] for line in said)


async def test_a_pause_survives_a_restart(idle: RetryStage) -> None:
    """Another run ends meanwhile; the paused one retries nothing until it is resumed."""
    letter = await idle.bury()
    await idle.bury(scripted("other"))
    paused = await create_run(idle, filter=admin.DeadLetterFilter(event_type="test.plain"))
    other = await create_run(idle, filter=admin.DeadLetterFilter(event_type="test.other"))
    assert (await change(idle, "pause", paused)).message == "Paused by ada."
    await idle.database.execute("UPDATE webhook_processing SET paused = true")

    async with replica(idle):
        await change(idle, "stop", other)
        await ended(idle, other)
        assert (await shown(idle, paused)).state == admin.RETRY_RUN_STATE_PAUSED
        assert await idle.retries() == []
        await change(idle, "resume", paused)
        await idle.database.execute("UPDATE webhook_processing SET paused = false")
        await eventually(idle.retries)

    assert [retry["original"] for retry in await idle.retries()] == [letter]


async def test_a_stopped_run_ends_once_and_is_then_fixed(retrying: RetryStage) -> None:
    """Also a paused one. Each change is in the audit; a second stop changes nothing."""
    await retrying.bury()
    await retrying.database.execute("UPDATE webhook_processing SET paused = true")
    run = await create_run(retrying)
    await change(retrying, "pause", run)
    await change(retrying, "pause", run)
    await change(retrying, "stop", run)
    last = await ended(retrying, run)

    assert (last.state, last.message) == (admin.RETRY_RUN_STATE_STOPPED, "Stopped by ada.")
    assert (await change(retrying, "stop", run)).state == admin.RETRY_RUN_STATE_STOPPED
    error = await retrying.rejection_of(change(retrying, "resume", run))
    assert (error.code, error.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RUN_ENDED")
    assert await actions(retrying) == [
        *("bulk_retry", "bulk_retry_paused", "bulk_retry_stopped", "bulk_retry_ended")
    ]


async def test_a_run_whose_caller_is_gone_stops(idle: RetryStage) -> None:
    """Its replica was killed, so that nobody could stop it. A run without a caller goes on."""
    run = await create_run(idle)
    await idle.database.execute("UPDATE webhook_retry_runs SET followed_until = now()")

    async with replica(idle, abandoned_after_s=0.1):
        last = await ended(idle, run)

    assert last.message == "Stopped: the caller disconnected."


async def test_a_run_whose_caller_comes_back_after_an_outage_goes_on(idle: RetryStage) -> None:
    """While the database was away, the caller could not say that it is there. Until it says so, the
    run retries nothing.
    """
    await idle.bury()
    run = await create_run(idle)
    follow = "UPDATE webhook_retry_runs SET followed_until = now() + $1 * interval '1 second'"
    await idle.database.execute(follow, -1)
    begun = (await shown(idle, run)).updated_at

    async with replica(idle, abandoned_after_s=3600):

        async def worked_on() -> bool:
            current = await shown(idle, run)
            assert not current.HasField("ended_at"), current.message
            return current.updated_at != begun

        await eventually(worked_on)
        assert not await idle.retries()
        await idle.database.execute(follow, 3600)
        await eventually(idle.retries)


async def test_a_repeated_request_is_one_run(idle: RetryStage) -> None:
    """Another organisation sees neither the run nor its changes."""
    first, second = [await create_run(idle, request_id=str(uuid4())) for _ in range(2)]
    request_id = str(uuid4())
    filtered = admin.DeadLetterFilter(event_type="test.plain", org_id=str(uuid4()))
    filtered.start_time.FromJsonString("2020-01-01T00:00:00.123456789Z")
    fields: dict[str, Any] = {"request_id": request_id, "filter": filtered, "rate_per_second": 0.1}
    same = [await create_run(idle, **fields) for _ in range(2)]

    listed = await idle.api.list_retry_runs(admin.ListRetryRunsRequest(page_size=2), idle.call())
    rest = await idle.api.list_retry_runs(
        admin.ListRetryRunsRequest(page_size=2, page_token=listed.next_page_token), idle.call()
    )
    hidden = await idle.api.list_retry_runs(admin.ListRetryRunsRequest(), idle.call(STRANGER))

    with pytest.raises(ApiError, match="request_id was used for another run"):
        await create_run(idle, request_id=request_id, limit=7)

    assert same[0].run_id == same[1].run_id
    assert [run.run_id for run in (*listed.runs, *rest.runs)] == [
        *(same[0].run_id, second.run_id, first.run_id)
    ]
    assert list(hidden.runs) == []
    request = admin.StopRetryRunRequest(run_id=first.run_id)
    with pytest.raises(ApiError) as caught:
        await idle.api.stop_retry_run(request, idle.call(STRANGER))
    assert caught.value.reason == "RUN_NOT_FOUND"


def replays(**fields: Any) -> dict[str, Any]:
    chosen = admin.DeadLetterFilter(event_type="test.plain")
    chosen.start_time.FromJsonString("2020-01-01T00:00:00Z")
    kind = admin.RETRY_RUN_KIND_COMPLETED
    return {"kind": kind, "filter": chosen, "override_dedup": True} | fields


async def completed(stage: RetryStage, **changes: Any) -> UUID:
    row = {"status": "completed", "error_class": None} | changes
    return await stage.bury(WORKS, **row)


@pytest.mark.usefixtures("processor")
async def test_completed_webhooks_are_replayed_once(retrying: RetryStage) -> None:
    """As new webhooks that deduplication lets pass. The replays can be replayed in turn."""
    originals = [await completed(retrying) for _ in range(3)]
    await completed(retrying, event_type="test.other")
    await completed(retrying, status="duplicate")
    await retrying.database.execute(
        "UPDATE webhook_delivery_log SET forward = 'crm', forward_of = $2 WHERE id = $1",
        await completed(retrying),
        originals[0],
    )

    last = await ended(retrying, await create_run(retrying, **replays()))
    second = await ended(retrying, await create_run(retrying, **replays()))
    third = await ended(retrying, await create_run(retrying, **replays(include_replays=True)))

    assert [(run.matched, run.retried, run.completed) for run in (last, second, third)] == [
        *((3, 3, 3), (0, 0, 0), (3, 3, 3))
    ]
    retries = await made_retries(retrying)
    assert [retry["original"] for retry in retries[:3]] == originals
    assert {retry["original"] for retry in retries[3:]} == {
        retry["new_id"] for retry in retries[:3]
    }
    assert {(retry["status"], retry["dedup_key"]) for retry in retries} == {("completed", None)}
    row = await retrying.row(originals[0])
    assert (row["status"], row["resolution"]) == ("completed", "retried")
    assert (await actions(retrying)).count("replay") == 6


async def test_a_preview_shows_what_a_run_would_do(idle: RetryStage) -> None:
    """It changes nothing."""
    redacted = {"message": {"type": "plain", "note": REDACTED}}
    letters = [await idle.bury() for _ in range(11)]
    await idle.bury(redacted, event_type="b", error_class="ValueError", altered=True)
    await idle.bury(org_id=THEIRS)
    before = await idle.snapshot()

    request = admin.CreateRetryRunRequest(dry_run=True, limit=5)
    request.filter.org_id = str((await idle.row(letters[0]))["org_id"])
    preview = (await idle.api.create_retry_run(request, idle.call())).preview

    assert (preview.matched, preview.would_retry, preview.matched_is_minimum) == (12, 5, False)
    assert [one.job_id for one in preview.sample] == [str(letter) for letter in letters[:10]]
    groups = [(group.event_type, group.error_class, group.count) for group in preview.groups]
    assert groups[0][1:] == ("TimeoutError", 11)
    assert groups[1] == ("b", "ValueError", 1)
    assert (preview.examined, preview.redacted, preview.altered) == (12, 1, 1)
    assert preview.allowed_rate_per_second == 5
    assert preview.message == "5 of 12 dead letters would be retried."
    assert await idle.snapshot() == before


async def test_a_long_time_range_is_read_in_chunks(idle: RetryStage) -> None:
    """Each statement reads a bounded number; a count that ends early says so."""
    originals = [await completed(idle) for _ in range(7)]
    plan = plan_of(admin.CreateRetryRunRequest(reason="Fixed.", **replays()))
    within = IdRange.of(plan, new_job_id())

    def matches(count_s: float) -> Matches:
        return Matches(idle.access, plan, idle.call(), within, chunk=2, count_s=count_s)

    found, pages = [], matches(60)
    while not pages.is_at_end:
        found += await pages.next_page()
    whole, part = [await matches(count_s).count() for count_s in (60, 0)]

    assert found == originals
    assert (whole.matched, whole.is_complete) == (7, True)
    assert (part.matched, part.is_complete) == (3, False)
