"""Creates, shows, pauses, resumes and stops retry runs."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import astuple, replace
from datetime import timedelta
from uuid import UUID

import asyncpg

from ringback.contract.identity import new_job_id
from ringback.metrics.enum_words import numbers_of
from ringback.metrics.v1 import admin_service_pb2 as pb
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import restrict_to_org
from ringback.services.metrics.commands.retry_run_matches import Counted, IdRange, Matches, one_step
from ringback.services.metrics.commands.retry_run_rules import (
    RetryPlan,
    RunKind,
    RunState,
    plan_of,
)
from ringback.services.metrics.commands.retry_run_worker import RetryRunner, RunTools, plan_of_run
from ringback.services.metrics.queries.delivery_message import delivery_of, time_of
from ringback.services.metrics.queries.delivery_search import AFTER_LAST_ID, FIRST_ID
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import (
    ApiError,
    Violation,
    invalid,
    no_such_run,
    run_ended,
)
from ringback.services.metrics.transport.request_reader import RequestReader, token_after

_PACKAGE = "ringback.services.metrics.commands"
REPORT_EVERY_S = 0.5
FOLLOWED_FOR = timedelta(seconds=25)
"""How long a run of RetryDeliveries continues if its replica dies with the caller's connection.

Then it waits for `abandoned_after_s`, and stops.
"""
_STOP_S = 5.0
_DEFAULT_PAGE, _MAX_PAGE = 20, 100
_SAMPLE, _EXAMINED, _MAX_GROUPS = 10, 200, 50
_STATES = numbers_of(pb.RetryRunState.DESCRIPTOR)
_KINDS = numbers_of(pb.RetryRunKind.DESCRIPTOR)
_ENDED = frozenset({RunState.FINISHED, RunState.STOPPED, RunState.FAILED})

RunRequest = pb.PauseRetryRunRequest | pb.ResumeRetryRunRequest | pb.StopRetryRunRequest


class RetryRuns:
    def __init__(self, tools: RunTools, runner: RetryRunner) -> None:
        self._tools = tools
        self._access = tools.access
        self._runner = runner
        self._stopping: set[asyncio.Task[None]] = set()

    async def create_retry_run(
        self, request: pb.CreateRetryRunRequest, call: Call
    ) -> pb.CreateRetryRunResponse:
        """Begin a run, or preview it. Raises ApiError; then nothing was changed."""
        plan = plan_of(request)
        if request.dry_run:
            return pb.CreateRetryRunResponse(preview=await self._preview(plan, call))
        request_id = UUID(request.request_id) if request.request_id else None
        row = await self._create(plan, call, request_id=request_id, followed_for=None)
        return pb.CreateRetryRunResponse(run=run_of(row))

    async def get_retry_run(
        self, request: pb.GetRetryRunRequest, call: Call
    ) -> pb.GetRetryRunResponse:
        """One run. Raises ApiError."""
        reader = RequestReader(request)
        run_id = reader.uuid("run_id") or UUID(int=0)
        reader.check()
        async with self._access.reading(call) as connection:
            row = await connection.fetchrow(load(_PACKAGE, "retry_run.sql"), run_id, None, None)
        if row is None:
            raise no_such_run(run_id)
        return pb.GetRetryRunResponse(run=run_of(row))

    async def list_retry_runs(
        self, request: pb.ListRetryRunsRequest, call: Call
    ) -> pb.ListRetryRunsResponse:
        """Newest first. Raises ApiError."""
        reader = RequestReader(request)
        size = reader.page_size("page_size", default=_DEFAULT_PAGE, maximum=_MAX_PAGE)
        before = reader.page_id() or AFTER_LAST_ID
        org_id = reader.uuid("org_id")
        reader.check()
        scoped = restrict_to_org(call, org_id)
        if scoped is None:
            return pb.ListRetryRunsResponse()
        async with self._access.reading(scoped) as connection:
            # One extra row shows whether there is a next page.
            rows = await connection.fetch(
                load(_PACKAGE, "retry_runs.sql"), before, size + 1, request.active_only
            )
        has_more = len(rows) > size
        return pb.ListRetryRunsResponse(
            runs=[run_of(row) for row in rows[:size]],
            next_page_token=token_after(rows[size - 1]["id"].bytes, request) if has_more else "",
        )

    async def pause_retry_run(
        self, request: pb.PauseRetryRunRequest, call: Call
    ) -> pb.PauseRetryRunResponse:
        """Raises ApiError; then nothing was changed."""
        message = f"Paused by {call.principal.actor}."
        row = await self._change(request, RunState.PAUSED, message, call)
        return pb.PauseRetryRunResponse(run=run_of(row))

    async def resume_retry_run(
        self, request: pb.ResumeRetryRunRequest, call: Call
    ) -> pb.ResumeRetryRunResponse:
        """Raises ApiError; then nothing was changed."""
        row = await self._change(request, RunState.RUNNING, "Waiting for its turn.", call)
        return pb.ResumeRetryRunResponse(run=run_of(row))

    async def stop_retry_run(
        self, request: pb.StopRetryRunRequest, call: Call
    ) -> pb.StopRetryRunResponse:
        """Raises ApiError; then nothing was changed."""
        message = f"Stopped by {call.principal.actor}."
        row = await self._change(request, RunState.STOPPING, message, call)
        return pb.StopRetryRunResponse(run=run_of(row))

    async def retry_deliveries(
        self, request: pb.RetryDeliveriesRequest, call: Call
    ) -> AsyncGenerator[pb.RetryDeliveriesResponse, None]:
        """Create a run and report its progress. When the caller disconnects, the run stops.

        Raises ApiError only before anything is changed.
        """
        plan = plan_of(request)
        if request.dry_run:
            yield _dry_run((await self._matches(plan, call).count()).matched, plan)
            return
        row: asyncpg.Record = await self._create(
            plan, call, request_id=None, followed_for=FOLLOWED_FOR
        )
        reason = "the caller disconnected."
        try:
            while True:
                yield _progress(row)
                if row["ended_at"] is not None:
                    return
                with suppress(TimeoutError):
                    async with asyncio.timeout(REPORT_EVERY_S):
                        await call.stopping.wait()
                        reason = "the service is shutting down; retry again for the rest."
                        break
                # During an outage of the database, the run waits as well.
                with suppress(ApiError):
                    row = await self._follow(row["id"], call)
        finally:
            if row["ended_at"] is None:
                await self._stop_soon(row["id"], f"Stopped: {reason}", call)
        last = _progress(row)
        last.state, last.message = pb.RETRY_RUN_STATE_STOPPED, f"Stopped: {reason}"
        yield last

    async def finish(self, timeout_s: float) -> None:
        """Wait until the runs of callers who have disconnected are stopped."""
        if self._stopping:
            await asyncio.wait(self._stopping, timeout=timeout_s)

    def _matches(self, plan: RetryPlan, call: Call) -> Matches:
        return Matches(self._access, plan, call, IdRange.of(plan, new_job_id()))

    async def _preview(self, plan: RetryPlan, call: Call) -> pb.RetryRunPreview:
        matches = self._matches(plan, call)
        counted = await matches.count()
        ids: list[UUID] = []
        while len(ids) < min(counted.matched, _EXAMINED) and not matches.is_at_end:
            ids += await matches.next_page()
        examined = await matches.examine(ids[:_EXAMINED])
        current = await self._tools.read_load(call)
        throttle = self._tools.throttle
        return pb.RetryRunPreview(
            matched=counted.matched,
            matched_is_minimum=not counted.is_complete,
            would_retry=min(counted.matched, plan.limit),
            sample=[delivery_of(row) for row in examined[:_SAMPLE]],
            groups=[
                pb.RetryRunGroup(event_type=event_type, error_class=error_class, count=count)
                for (event_type, error_class), count in counted.groups.most_common(_MAX_GROUPS)
            ],
            examined=len(examined),
            redacted=sum(row["is_redacted"] for row in examined),
            altered=counted.altered,
            live_rate_per_second=current.live_per_second,
            allowed_rate_per_second=throttle.allowed_rate(plan.rate_per_second, current),
            queued=current.waiting,
            message=_would_retry(counted, plan, throttle.hold_reason(current, unfinished=0)),
        )

    async def _create(
        self,
        plan: RetryPlan,
        call: Call,
        *,
        request_id: UUID | None,
        followed_for: timedelta | None,
    ) -> asyncpg.Record:
        """Add a run, or return the one that this request added before. Raises ApiError."""
        self._tools.retries.require_broker()
        principal, run_id = call.principal, new_job_id()
        scope = IdRange.of(plan, run_id)
        if restrict_to_org(call, plan.org_id) is None:
            # Nothing of another organisation matches; the run belongs to the caller's.
            scope = IdRange(FIRST_ID, FIRST_ID)
        counted = await Matches(self._access, plan, call, scope).count()
        async with self._access.changing(call) as connection:
            row = await connection.fetchrow(
                load(_PACKAGE, "retry_run_create.sql"),
                *(run_id, principal.org_id or plan.org_id, plan.kind, *astuple(plan.matching)),
                *(plan.include_replays, plan.limit, plan.rate_per_second),
                *(plan.stop_after_failures, principal.actor, principal.role.value, plan.reason),
                *(request_id, counted.matched, not counted.is_complete),
                *(scope.after, scope.until, followed_for),
            ) or await connection.fetchrow(
                load(_PACKAGE, "retry_run.sql"), None, principal.actor, request_id
            )
        if row is None or plan_of_run(row) != replace(plan, org_id=principal.org_id or plan.org_id):
            raise invalid(Violation("request_id", "request_id was used for another run."))
        self._runner.wake()
        return row

    async def _change(
        self, request: RunRequest, state: RunState, message: str, call: Call
    ) -> asyncpg.Record:
        """Return the changed run. Raises ApiError."""
        reader = RequestReader(request)
        run_id, reason = reader.uuid("run_id") or UUID(int=0), reader.reason(required=False)
        reader.check()
        principal = call.principal
        async with self._access.changing(call) as connection:
            [found] = await connection.fetch(
                load(_PACKAGE, "retry_run_change.sql"),
                *(run_id, state, message, principal.actor, principal.role.value, reason or None),
            )
            before = found["state_before"]
            is_stopped = before in {RunState.STOPPING, RunState.STOPPED}
            is_repeated = state is RunState.STOPPING and is_stopped
            if before in {*_ENDED, RunState.STOPPING} and not is_repeated:
                raise run_ended(run_id, before)
            row = await connection.fetchrow(load(_PACKAGE, "retry_run.sql"), run_id, None, None)
        if row is None:
            raise no_such_run(run_id)
        self._runner.wake()
        return row

    async def _follow(self, run_id: UUID, call: Call) -> asyncpg.Record:
        """Return the run as it is now, and let it continue for a while. Raises ApiError."""
        async with self._access.changing(one_step(call)) as connection:
            await connection.execute(load(_PACKAGE, "retry_run_follow.sql"), run_id, FOLLOWED_FOR)
            [row] = await connection.fetch(load(_PACKAGE, "retry_run.sql"), run_id, None, None)
        return row

    async def _stop_soon(self, run_id: UUID, message: str, call: Call) -> None:
        """Stop the run, even if this task is cancelled meanwhile.

        If the database is unavailable, the run stops because nobody follows it.
        """

        async def stop() -> None:
            request = pb.StopRetryRunRequest(run_id=str(run_id))
            soon = asyncio.get_running_loop().time() + _STOP_S
            with suppress(ApiError):
                await self._change(
                    request, RunState.STOPPING, message, replace(call, deadline=soon)
                )

        task = asyncio.create_task(stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)
        await asyncio.shield(task)


def run_of(row: asyncpg.Record) -> pb.RetryRun:
    """The message of a row of `webhook_retry_runs`."""
    return pb.RetryRun(
        run_id=str(row["id"]),
        kind=pb.RetryRunKind.ValueType(_KINDS[row["kind"]]),
        filter=pb.DeadLetterFilter(
            event_type=row["event_type"] or "",
            error_class=row["error_class"] or "",
            call_id=row["call_id"] or "",
            start_time=time_of(row["start_time"]),
            end_time=time_of(row["end_time"]),
            org_id=str(row["org_id"] or ""),
        ),
        limit=row["max_retries"],
        state=pb.RetryRunState.ValueType(_STATES[row["state"]]),
        allowed_rate_per_second=row["allowed_rate"],
        created_at=time_of(row["created_at"]),
        updated_at=time_of(row["updated_at"]),
        ended_at=time_of(row["ended_at"]),
        **{name: row[name] for name in _SAME_NAMES},
    )


_SAME_NAMES = (
    *("rate_per_second", "stop_after_failures", "include_replays", "actor", "reason", "message"),
    *("matched", "matched_is_minimum", "retried", "completed", "failed_again", "skipped"),
    "unfinished",
)


def _progress(row: asyncpg.Record) -> pb.RetryDeliveriesResponse:
    return pb.RetryDeliveriesResponse(
        state=pb.RetryRunState.ValueType(_STATES[row["state"]]),
        matched=row["matched"],
        retried=row["retried"],
        completed=row["completed"],
        failed_again=row["failed_again"],
        skipped=row["skipped"],
        rate_per_second=row["allowed_rate"],
        message=row["message"],
        run_id=str(row["id"]),
    )


def _dry_run(matched: int, plan: RetryPlan) -> pb.RetryDeliveriesResponse:
    return pb.RetryDeliveriesResponse(
        state=pb.RETRY_RUN_STATE_DRY_RUN,
        matched=matched,
        message=f"{min(matched, plan.limit)} of {matched} dead letters would be retried.",
    )


def _would_retry(counted: Counted, plan: RetryPlan, held: str | None) -> str:
    words = str(plan.kind).replace("completed", "completed webhooks").replace("_", " ")
    matched = f"{counted.matched}" if counted.is_complete else f"at least {counted.matched}"
    verb = "replayed" if plan.kind is RunKind.COMPLETED else "retried"
    message = f"{min(counted.matched, plan.limit)} of {matched} {words} would be {verb}."
    return message if held is None else f"{message} {held}"
