"""A PostgreSQL that restarts, closes its connections, has no free ones, or locks rows."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from chaos.fault import Fault, Part, Strike
from chaos.load.webhook import Mix
from chaos.stage import Stage
from ringback.runtime.postgres.queries import load

_HOLD_S = 10.0
_TERMINATE_EVERY_S = 0.25
_FULL_WITHIN_S = 20.0
_AT_ONCE = 20
_RESUMES_WITHIN_S = 5.0


@asynccontextmanager
async def _restarted(stage: Stage) -> AsyncGenerator[None, None]:
    await stage.database.restart()
    yield


@asynccontextmanager
async def _backends_terminated(stage: Stage) -> AsyncGenerator[None, None]:
    async with stage.connection() as connection:
        terminating = asyncio.create_task(_terminate_repeatedly(connection))
        try:
            yield
        finally:
            terminating.cancel()
            await asyncio.wait([terminating])


async def _terminate_repeatedly(connection: asyncpg.Connection) -> None:
    while True:
        await connection.execute(load("chaos", "terminate_backends.sql"))
        await asyncio.sleep(_TERMINATE_EVERY_S)


@asynccontextmanager
async def _full(stage: Stage) -> AsyncGenerator[None, None]:
    """Take every connection that the server has, and close the existing ones."""
    hog = _ConnectionHog(stage.database.url())
    async with stage.connection() as connection, AsyncExitStack() as stack:
        stack.callback(hog.close_all)
        if not await hog.take_all(connection):
            stage.complaints.append("The server never ran out of connections.")
        keeping = asyncio.create_task(hog.keep_all(connection))
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.wait([keeping])


class _ConnectionHog:
    """Opens every free connection, so that no other client gets one."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections: list[asyncpg.Connection] = []
        self._is_full = False

    async def take_all(self, connection: asyncpg.Connection) -> bool:
        """Return whether no connection is free in the end."""
        deadline = time.monotonic() + _FULL_WITHIN_S
        while not self._is_full and time.monotonic() < deadline:
            await self._take_some()
        await self._end_services(connection)
        return self._is_full

    async def keep_all(self, connection: asyncpg.Connection) -> None:
        """Also take those that another client opened in between."""
        while True:
            await self._end_services(connection)
            await asyncio.sleep(_TERMINATE_EVERY_S)

    def close_all(self) -> None:
        for connection in self._connections:
            connection.terminate()

    async def _end_services(self, connection: asyncpg.Connection) -> None:
        await connection.execute(load("chaos", "terminate_services.sql"))
        await self._take_some()

    async def _take_some(self) -> None:
        await asyncio.gather(*(self._take_one() for _ in range(_AT_ONCE)))

    async def _take_one(self) -> None:
        try:
            self._connections.append(await asyncpg.connect(self._url, timeout=10))
        except asyncpg.TooManyConnectionsError:
            self._is_full = True
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return


def _locked(statement: str) -> Strike:
    """A session that took a lock and is idle in its transaction."""

    @asynccontextmanager
    async def strike(stage: Stage) -> AsyncGenerator[None, None]:
        # Its connection is closed at the end, and with it the transaction.
        async with stage.connection() as connection:
            await connection.transaction().start()
            await connection.execute(load("chaos", statement))
            yield

    return strike


FAULTS = (
    Fault(
        name="database-restarted",
        sentence="PostgreSQL is stopped cleanly and started again.",
        part=Part.DATABASE,
        strike=_restarted,
        resumes_within_s=_RESUMES_WITHIN_S,
    ),
    Fault(
        name="database-terminates",
        sentence="PostgreSQL terminates all sessions four times a second for 10 s.",
        part=Part.DATABASE,
        strike=_backends_terminated,
        hold_s=_HOLD_S,
        resumes_within_s=_RESUMES_WITHIN_S,
        is_mixed=False,
    ),
    Fault(
        name="database-full",
        sentence="PostgreSQL is at its connection limit for 10 s, and our sessions are ended.",
        part=Part.DATABASE,
        strike=_full,
        hold_s=_HOLD_S,
        resumes_within_s=_RESUMES_WITHIN_S,
        is_mixed=False,
    ),
    Fault(
        name="database-table-locked",
        sentence="A session idle in its transaction locks the log for 10 s.",
        part=Part.DATABASE,
        strike=_locked("lock_table.sql"),
        hold_s=_HOLD_S,
        resumes_within_s=_RESUMES_WITHIN_S,
        is_mixed=False,
    ),
    Fault(
        name="database-rows-locked",
        sentence="A session idle in its transaction locks the unfinished rows for 10 s.",
        part=Part.DATABASE,
        strike=_locked("lock_rows.sql"),
        hold_s=_HOLD_S,
        mix=Mix(failing_in_ten=5),
    ),
)
