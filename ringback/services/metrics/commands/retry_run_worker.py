"""Works on retry runs. Each replica leases some; if it dies, another one continues them."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

import asyncpg
import grpc
import structlog

from ringback.contract.status import Status
from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.process.background import end
from ringback.services.metrics.auth.access import Access, raise_database_error
from ringback.services.metrics.auth.principal import RINGBACK, Principal, Role
from ringback.services.metrics.commands.retry import REPLAY, RETRY, Retries, RetryCommand
from ringback.services.metrics.commands.retry_run_matches import IdRange, Matches, one_step
from ringback.services.metrics.commands.retry_run_rules import (
    Ending,
    Load,
    Match,
    RetriedWebhook,
    RetryPlan,
    RetryProgress,
    RunKind,
    RunState,
    Throttle,
    ending_of,
    next_turn,
)
from ringback.services.metrics.queries.delivery_stats import ALL_ORGS
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import ApiError, cause_of

_PACKAGE = "ringback.services.metrics.commands"
_LOAD_S = 5.0
_FINISH_S = 3.0
_MAX_RUNS = 20
_MAX_RUNS_OF_ORG = 2
"""At a time, in all replicas. Its other runs wait for their turn."""

_ROLES = frozenset(Role)
SETTLE_S = 30.0
"""How long a run waits at its end for the results of its last retries."""

_SKIPPED = frozenset(
    {
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.NOT_FOUND,
    }
)
_PASSING = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # For example, a migration is missing.
        grpc.StatusCode.INTERNAL,
    }
)
_MAX_POSTPONED_S = 60.0

Waiting = Callable[[], Awaitable[int | None]]
"""Returns the number of messages in the work queue; None when it is unknown."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RunTools:
    """What runs use. `stopping` is set when the process shuts down."""

    access: Access
    retries: Retries
    waiting: Waiting
    stopping: asyncio.Event
    throttle: Throttle = field(default_factory=Throttle)
    lease_s: float = 30.0
    abandoned_after_s: float = 5.0
    """Until then it only waits: after an outage, its caller needs a moment to follow it again."""

    async def read_load(self, call: Call) -> Load:
        """Raises ApiError, UNAVAILABLE if the database does not answer."""
        try:
            async with self.access.as_service(_LOAD_S, call.span) as connection:
                [row] = await connection.fetch(load(_PACKAGE, "retry_conditions.sql"), ALL_ORGS)
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            raise_database_error(exc)
        return Load(
            await self.waiting(),
            row["live_per_second"],
            row["is_paused"],
            broker_is_connected=self.retries.is_ready,
        )

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """Run a statement with the rights of the service. Raises ApiError."""
        call = one_step(Call(RINGBACK, math.inf, self.stopping))
        async with self.access.changing(call) as connection:
            return await connection.fetch(load(_PACKAGE, statement), *arguments)


def plan_of_run(row: asyncpg.Record) -> RetryPlan:
    """The plan in a row of `webhook_retry_runs`."""
    return RetryPlan(
        kind=RunKind(row["kind"]),
        matching=Match(
            *(row["event_type"], row["error_class"], row["call_id"]),
            *(row["start_time"], row["end_time"]),
        ),
        include_replays=row["include_replays"],
        org_id=row["org_id"],
        limit=row["max_retries"],
        rate_per_second=row["rate_per_second"],
        stop_after_failures=row["stop_after_failures"],
        reason=row["reason"],
    )


class RetryRunner:
    """Leases runs and works on them."""

    def __init__(self, tools: RunTools) -> None:
        self._tools = tools
        self._owner = uuid4()
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._interrupted: dict[UUID, tuple[int, str]] = {}
        """How often in a row a run could not be continued, and why."""
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look for runs now: one was created or resumed."""
        self._woken.set()

    async def run(self, *, interval_s: float = 1.0) -> None:
        """Work until cancelled. After an outage it continues."""
        reason = None
        try:
            while True:
                self._woken.clear()
                try:
                    await self._begin_leased()
                except ApiError as exc:
                    if exc.reason != reason:
                        log.warning(
                            LogEvent.RETRY_RUNS_NOT_LEASED, reason=exc.reason, cause=cause_of(exc)
                        )
                    reason = exc.reason
                else:
                    reason = None
                with suppress(TimeoutError):
                    async with asyncio.timeout(interval_s):
                        await self._woken.wait()
        finally:
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=_FINISH_S)
            await end(*self._tasks.values())

    async def _begin_leased(self) -> None:
        if self._tools.stopping.is_set() or len(self._tasks) >= _MAX_RUNS:
            return
        rows = await self._tools.fetch(
            "retry_run_lease.sql",
            self._owner,
            list(self._tasks),
            _MAX_RUNS - len(self._tasks),
            timedelta(seconds=self._tools.lease_s),
            _MAX_RUNS_OF_ORG,
        )
        for row in rows:
            task = asyncio.create_task(self._work_on(row))
            self._tasks[row["id"]] = task

    async def _work_on(self, row: asyncpg.Record) -> None:
        clock = asyncio.get_running_loop().time
        began_at = clock()
        try:
            await LeasedRun(self._tools, row, self._owner).work()
            self._interrupted.pop(row["id"], None)
        except Exception as exc:
            if isinstance(exc, ApiError) and exc.code in _PASSING:
                await self._postpone(row["id"], exc, worked_s=clock() - began_at)
            else:
                log.exception(LogEvent.RETRY_RUN_FAILED, run=str(row["id"]))
                await self._fail(row)
        finally:
            del self._tasks[row["id"]]

    async def _postpone(self, run_id: UUID, exc: ApiError, *, worked_s: float) -> None:
        """Let the run wait, longer each time, so that an error that stays disturbs no other run.

        If that cannot be recorded, the lease is still ours, and the next look continues the run.
        """
        times, reason = self._interrupted.get(run_id, (0, ""))
        if worked_s > _MAX_POSTPONED_S:
            times, reason = 0, ""
        if exc.reason != reason:
            log.warning(
                LogEvent.RETRY_RUN_INTERRUPTED,
                run=str(run_id),
                reason=exc.reason,
                cause=cause_of(exc),
            )
        self._interrupted[run_id] = times + 1, exc.reason
        wait_s = min(2 ** min(times, 6), _MAX_POSTPONED_S)
        message = f"{exc.message} The run is tried again after {wait_s:.0f} s."
        with suppress(ApiError):
            await self._tools.fetch(
                "retry_run_postpone.sql",
                *(run_id, self._owner, message, timedelta(seconds=wait_s)),
            )

    async def _fail(self, row: asyncpg.Record) -> None:
        """End a run that cannot be continued."""
        reason = "an unexpected error was logged."
        if row["role"] not in _ROLES:
            reason = f"this release does not know the role {row['role']} of its creator."
        with suppress(ApiError):
            await self._tools.fetch(
                "retry_run_end.sql",
                # Its figures stay.
                *(row["id"], self._owner, *[None] * 6, RunState.FAILED, f"Failed: {reason}"),
            )


class LeasedRun:
    """One leased run. What it needs to continue elsewhere is in the database after each step."""

    def __init__(self, tools: RunTools, row: asyncpg.Record, owner: UUID) -> None:
        self._tools = tools
        self._id: UUID = row["id"]
        self._owner = owner
        self._plan = plan_of_run(row)
        role = Role(row["role"])
        principal = Principal(role, row["org_id"] if role is Role.TENANT else None, row["actor"])
        self._call = Call(principal, math.inf, tools.stopping)
        self._matches = Matches(
            tools.access, self._plan, self._call, IdRange(row["position"], row["until_id"])
        )
        self._page: deque[UUID] = deque()
        self._position: UUID = row["position"]
        self._clock = asyncio.get_running_loop().time
        self._turn_at = self._clock()
        self._settle_until: float | None = None
        self._unfollowed_since: float | None = None
        self._rate = 0.0
        self._progress = RetryProgress(skipped=row["skipped"])

    async def work(self) -> None:
        """Work until the run ends or is paused, the lease is lost, or the process stops.

        Raises ApiError if the database is unavailable; the run can then be continued.
        """
        tools, throttle = self._tools, self._tools.throttle
        await self._restore()
        while not tools.stopping.is_set():
            await self._update_progress()
            current = await tools.read_load(self._call)
            held = throttle.hold_reason(current, unfinished=len(self._progress.unfinished))
            check_at = self._clock() + throttle.check_every_s
            rate = throttle.allowed_rate(self._plan.rate_per_second, current)
            saved = await self._save(held, rate)
            if saved is None:
                return
            if ending := self._ending(saved, current):
                await self._end(ending)
                return
            if saved["state"] == RunState.PAUSED and not saved["is_unfollowed"]:
                break
            if held is None and not saved["is_unfollowed"] and not self._has_retried_all:
                await self._retry_until(check_at)
            if not self._has_retried_all or self._settle_until is not None:
                await self._pause(check_at - self._clock())
        await tools.fetch("retry_run_release.sql", self._id, self._owner)

    async def _end(self, ending: Ending) -> None:
        """Record the end. Raises ApiError."""
        await self._tools.fetch(
            "retry_run_end.sql",
            *(self._id, self._owner, *self._figures()),
            *(ending.state, ending.message),
        )

    @property
    def _has_retried_all(self) -> bool:
        is_at_end = self._matches.is_at_end and not self._page
        return is_at_end or self._progress.retried >= self._plan.limit

    def _figures(self) -> tuple[Any, ...]:
        progress = self._progress
        # Once all of a page are done, everything that was searched is done.
        position = self._position if self._page else self._matches.after
        return (
            *(progress.retried, progress.completed, progress.failed_again, progress.skipped),
            *(len(progress.unfinished), position),
        )

    async def _restore(self) -> None:
        """Read what this run has retried before."""
        rows = await self._tools.fetch("retry_run_retries.sql", self._id)
        for row in rows:
            self._progress.add(row["id"])
        # The log deletes only webhooks that have ended; how one did is then unknown.
        self._progress.update(
            RetriedWebhook(
                row["id"], Status(row["status"] or Status.DUPLICATE), row["attempts"] or 1
            )
            for row in rows
        )

    async def _update_progress(self) -> None:
        ids = list(self._progress.unfinished)
        rows = await self._tools.fetch("retry_outcomes.sql", ids) if ids else []
        self._progress.update(
            RetriedWebhook(row["id"], Status(row["status"]), row["attempts"]) for row in rows
        )

    async def _save(self, held: str | None, rate: float) -> asyncpg.Record | None:
        """Return the state, which a person may have changed; None if the lease was lost."""
        state, message, self._rate = RunState.RUNNING, "Retrying.", rate
        if self._has_retried_all:
            state, self._rate = RunState.HELD, 0.0
            message = f"All are retried; waiting for {len(self._progress.unfinished)} to finish."
        elif held is not None:
            state, message, self._rate = RunState.HELD, held, 0.0
        rows = await self._tools.fetch(
            "retry_run_save.sql",
            *(self._id, self._owner, *self._figures(), state, message, self._rate),
            timedelta(seconds=self._tools.lease_s),
        )
        return rows[0] if rows else None

    def _ending(self, saved: asyncpg.Record, current: Load) -> Ending | None:
        if self._has_retried_all and self._settle_until is None:
            self._settle_until = self._clock() + SETTLE_S
        is_late = self._settle_until is not None and self._clock() >= self._settle_until
        now = self._clock()
        self._unfollowed_since = (self._unfollowed_since or now) if saved["is_unfollowed"] else None
        return ending_of(
            RunState(saved["state"]),
            self._progress,
            stop_after=self._plan.stop_after_failures,
            is_abandoned=now - (self._unfollowed_since or now) >= self._tools.abandoned_after_s,
            has_retried_all=self._has_retried_all,
            is_settled=is_late or current.is_paused or not self._progress.unfinished,
        )

    async def _retry_until(self, check_at: float) -> None:
        """Retry one after another at the allowed rate, until `check_at`."""
        while (
            not self._has_retried_all
            and self._turn_at < check_at
            and self._clock() < check_at
            and len(self._progress.unfinished) < self._tools.throttle.max_unfinished
            and self._tools.retries.is_ready
        ):
            if not self._page:
                self._page.extend(await self._matches.next_page())
                continue
            await self._pause(self._turn_at - self._clock())
            if self._tools.stopping.is_set():
                return
            # It leaves the page only when it is decided, so that it is never passed over.
            await self._retry(self._page[0])
            self._position = self._page.popleft()
            self._turn_at = next_turn(self._turn_at, self._clock(), self._rate)

    async def _retry(self, job_id: UUID) -> None:
        command = RetryCommand(
            job_id,
            self._plan.reason,
            # The same webhook in the same run is the same request.
            request_id=uuid5(self._id, str(job_id)),
            details={"run": str(self._id)},
            statement=RETRY if self._plan.kind is RunKind.DEAD_LETTERS else REPLAY,
            has_own_trace=True,
        )
        try:
            result = await self._tools.retries.retry(command, one_step(self._call))
        except ApiError as exc:
            if exc.code not in _SKIPPED:
                raise
            self._progress.skipped += 1
        else:
            self._progress.add(result.new_id)

    async def _pause(self, seconds: float) -> None:
        """Sleep, but no longer than until the service stops."""
        if seconds > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._tools.stopping.wait()
