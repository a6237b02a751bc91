"""Tracks whether the database is available, and how long webhooks wait for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from ringback.contract.telemetry import LogEvent
from ringback.runtime.postgres.refusal import detail_of

_RECENTLY_S = 300.0
_INCOMPLETE_FOR_S = 10.0

_SETUP_ERRORS: tuple[type[BaseException], ...] = (
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    # The limit of extra days is reached.
    asyncpg.ConfigurationLimitExceededError,
)
"""Errors that waiting does not fix: a missing grant, or a migration that was not applied."""
_REMEDY = (
    "Run `ringback migrate`, grant the right to the processor's database role, "
    "or see docs/runbooks/RingbackExtraPartitions.md."
)

log = structlog.get_logger()


class DatabaseUnavailableError(Exception):
    """The database has been unavailable for longer than webhooks wait for it."""


class DatabaseWatch:
    """Code that uses the database reports failures and answers; the consumers ask for the state."""

    def __init__(
        self,
        ping: Callable[[], Awaitable[object]],
        *,
        wait_s: float,
        clock: Callable[[], float] = time.monotonic,
        ping_wait_s: float = 0.5,
        ping_timeout_s: float = 5.0,
    ) -> None:
        self._ping = ping
        self._wait_s = wait_s
        self._clock = clock
        self._ping_wait_s = ping_wait_s
        self._ping_timeout_s = ping_timeout_s
        self._unavailable_since: float | None = None
        self._last_unavailable: float | None = None
        self._missing = ""
        self._last_incomplete: float | None = None

    @property
    def was_unavailable_recently(self) -> bool:
        """Whether messages may have been requeued because of the database."""
        return (
            self._last_unavailable is not None
            and self._clock() - self._last_unavailable < _RECENTLY_S
        )

    @property
    def is_available(self) -> bool:
        """Whether the last that was reported is an answer, or nothing was reported yet."""
        return self._unavailable_since is None

    @property
    def is_setup_incomplete(self) -> bool:
        """Whether the database refuses us because a grant or a part of its schema is missing."""
        return (
            self._last_incomplete is not None
            and self._clock() - self._last_incomplete < _INCOMPLETE_FOR_S
        )

    def failed(self, exc: BaseException) -> None:
        self._last_unavailable = self._clock()
        if isinstance(exc, _SETUP_ERRORS):
            self._report_incomplete(str(exc)[:200])
        begins = self._unavailable_since is None
        if begins:
            self._unavailable_since = self._last_unavailable
        if begins and not isinstance(exc, _SETUP_ERRORS):
            log.error(
                LogEvent.DATABASE_UNAVAILABLE, reason=type(exc).__name__, detail=detail_of(exc)
            )

    def answered(self) -> None:
        if self._unavailable_since is not None:
            log.warning(
                LogEvent.DATABASE_RECOVERED,
                outage_s=round(self._clock() - self._unavailable_since, 1),
            )
            self._unavailable_since = None

    def _report_incomplete(self, what: str) -> None:
        if what != self._missing or not self.is_setup_incomplete:
            log.error(LogEvent.DATABASE_SETUP_INCOMPLETE, missing=what, remedy=_REMEDY)
        self._missing, self._last_incomplete = what, self._clock()

    def wait_expired(self) -> bool:
        """Whether the database has been unavailable for as long as webhooks wait for it."""
        return (
            self._unavailable_since is not None
            and self._clock() - self._unavailable_since >= self._wait_s
        )

    async def is_answering(self) -> bool:
        """Ping the database on another connection. Does not change the state."""
        try:
            async with asyncio.timeout(self._ping_timeout_s):
                await self._ping()
        except Exception:  # ruff: ignore[blind-except]  # any error means that the database cannot be used
            return False
        return True

    async def wait_until_available(self) -> None:
        """Return once a ping succeeds, which also checks the grants and the migrations."""
        while True:
            try:
                async with asyncio.timeout(self._ping_timeout_s):
                    await self._ping()
            except Exception as exc:  # ruff: ignore[blind-except]  # otherwise consuming would never resume
                self.failed(exc)
                await asyncio.sleep(self._ping_wait_s)
            else:
                self._last_incomplete = None
                self.answered()
                return
