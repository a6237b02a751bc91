"""Knows since when the database is unavailable, and until when webhooks wait for it."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from ringback.contract.telemetry import LogEvent

_PING_WAIT_S = 0.5
_PING_TIMEOUT_S = 5.0
_RECENTLY_S = 300.0
_STILL_LACKING_S = 10.0

_LACKING: tuple[type[BaseException], ...] = (
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


class DatabaseWatch:
    """Users of the database report how it went; the queue consumers ask for the result."""

    def __init__(
        self,
        ping: Callable[[], Awaitable[bool]],
        *,
        hold_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ping = ping
        self._hold_s = hold_s
        self._clock = clock
        self._away_since: float | None = None
        self._last_away: float | None = None
        self._lack = ""
        self._last_lack: float | None = None

    @property
    def is_away(self) -> bool:
        return self._away_since is not None

    @property
    def was_unavailable_recently(self) -> bool:
        """Whether messages may have been requeued because of the database."""
        return self._last_away is not None and self._clock() - self._last_away < _RECENTLY_S

    @property
    def is_setup_incomplete(self) -> bool:
        """Whether the database refuses us because a grant or a part of its schema is missing."""
        return self._last_lack is not None and self._clock() - self._last_lack < _STILL_LACKING_S

    def failed(self, exc: BaseException) -> None:
        self._last_away = self._clock()
        if isinstance(exc, _LACKING):
            self._lacks(str(exc)[:200])
        begins = self._away_since is None
        if begins:
            self._away_since = self._last_away
        if begins and not isinstance(exc, _LACKING):
            log.error(
                LogEvent.DATABASE_UNAVAILABLE, reason=type(exc).__name__, detail=str(exc)[:200]
            )

    def answered(self) -> None:
        if self._away_since is not None:
            log.warning(
                LogEvent.DATABASE_RECOVERED, outage_s=round(self._clock() - self._away_since, 1)
            )
            self._away_since = None

    def _lacks(self, what: str) -> None:
        if what != self._lack or not self.is_setup_incomplete:
            remedy = _REMEDY
            log.error(LogEvent.DATABASE_SETUP_INCOMPLETE, missing=what, remedy=remedy)
        self._lack, self._last_lack = what, self._clock()

    def hold_expired(self) -> bool:
        """Whether the database has been unavailable for as long as webhooks wait for it."""
        return self._away_since is not None and self._clock() - self._away_since >= self._hold_s

    async def is_answering(self) -> bool:
        """Ping the database now, on its own connection; the state here does not change."""
        try:
            async with asyncio.timeout(_PING_TIMEOUT_S):
                await self._ping()
        except Exception:  # ruff: ignore[blind-except]  # any error means that the database cannot be used
            return False
        return True

    async def until_it_answers(self) -> None:
        """Return once the database answers a ping, and with it everything that the ping checks."""
        while True:
            try:
                async with asyncio.timeout(_PING_TIMEOUT_S):
                    await self._ping()
            except Exception as exc:  # ruff: ignore[blind-except]  # otherwise consuming would never resume
                self.failed(exc)
                await asyncio.sleep(_PING_WAIT_S)
            else:
                self._last_lack = None
                self.answered()
                return
