"""The pool of connections to PostgreSQL, usable while PostgreSQL is unavailable."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from prometheus_client import CollectorRegistry

from ringback.contract.telemetry import Metric
from ringback.runtime.observability.instruments import Instruments
from ringback.runtime.postgres.queries import load
from ringback.runtime.process.background import end
from ringback.runtime.process.settings import DatabaseSettings


class PoolInstruments:
    """Measures a connection pool: its size at each scrape, and each wait for a connection."""

    def __init__(self, registry: CollectorRegistry) -> None:
        instruments = Instruments(registry)
        self._connections = instruments.gauge(Metric.POOL_CONNECTIONS)
        self._most = instruments.gauge(Metric.POOL_MAX_CONNECTIONS)
        self._wait = instruments.histogram(Metric.POOL_WAIT_SECONDS)

    def watch(self, pool: asyncpg.Pool) -> None:
        self._most.set(pool.get_max_size())
        self._connections.labels("idle").set_function(pool.get_idle_size)
        self._connections.labels("used").set_function(
            lambda: pool.get_size() - pool.get_idle_size()
        )

    def waited(self, seconds: float) -> None:
        """Time spent waiting for a connection, including failed waits."""
        self._wait.observe(seconds)


class RowRefusedError(Exception):
    """A constraint or a trigger that its owner added to a table refuses the row of an event."""


INVALID_DATA_ERRORS: tuple[type[BaseException], ...] = (
    asyncpg.DataError,
    asyncpg.ProgramLimitExceededError,
    RowRefusedError,
)
"""The errors for a value that cannot be stored. Trying again does not help."""

DATABASE_UNAVAILABLE_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # The server ended the session while a statement was on its way to it.
    asyncpg.InternalClientError,
)
"""All other asyncpg errors: the server is unavailable, overloaded, not migrated or read-only.

These are not caused by the data being written. INVALID_DATA_ERRORS is included, so catch that
first.
"""

CONNECT_TIMEOUT_S = 5.0
COMMAND_TIMEOUT_S = 30.0
_CLOSE_TIMEOUT_S = 3.0
_IDLE_IN_TRANSACTION_S = 60.0
_CANCELLED_WITHIN_S = 2.0
"""How soon a reachable server confirms that it cancelled a statement."""
_MOST_QUERIES = 50_000
"""Age at which a connection is replaced; asyncpg's own default."""


class _WatchedPool(asyncpg.Pool):
    """Measures every wait for a connection, and drops connections that stopped responding.

    Every method that gets a connection uses `_acquire`.
    """

    def __init__(self, url: str, *, instruments: PoolInstruments, **options: Any) -> None:
        super().__init__(
            url,
            connection_class=asyncpg.Connection,
            record_class=asyncpg.Record,
            max_queries=_MOST_QUERIES,
            setup=None,
            init=None,
            loop=None,
            **options,
        )
        self._instruments = instruments

    async def _acquire(self, timeout: float | None) -> PoolConnectionProxy:  # ruff: ignore[async-function-with-timeout]  # as asyncpg has it
        began = perf_counter()
        try:
            connection = await super()._acquire(timeout)  # type: ignore[misc]  # the stubs lack it
            if _is_read_only(connection):
                # Opened while the database was read-only: it would stay read-only forever.
                await self.expire_connections()
                await self.release(connection)
                connection = await super()._acquire(timeout)  # type: ignore[misc]  # likewise
            return connection  # type: ignore[no-any-return]  # likewise
        finally:
            self._instruments.waited(perf_counter() - began)

    async def release(
        self,
        connection: PoolConnectionProxy,
        *,
        timeout: float | None = None,  # ruff: ignore[async-function-with-timeout]  # as asyncpg has it
    ) -> None:
        """Release as asyncpg does, but without waiting for a connection that is dead.

        If a statement was cancelled and even the cancellation is not confirmed, the connection was
        lost silently, for example because a firewall dropped it. The idle connections were lost the
        same way, and would each cost a timeout.

        asyncpg has closed such a connection by then. Its error is not raised, because it would
        replace the error that cancelled the statement, and a cancellation would look like an
        outage. Nor is the error for one that is closed while it is released, which frees it.
        """
        try:
            await super().release(connection, timeout=timeout or _CANCELLED_WITHIN_S)
        except OSError:
            self._drop_idle()
        except asyncpg.InternalClientError as exc:
            if "free connection holder" not in str(exc):
                raise

    def _drop_idle(self) -> None:
        for holder in self._holders:  # type: ignore[attr-defined]  # the stubs lack it
            if holder.is_connected() and holder.is_idle():
                # ruff: ignore[private-member-access]  # as asyncpg ends those that idle too long
                holder._con.terminate()


@asynccontextmanager
async def open_pool(
    settings: DatabaseSettings,
    name: str,
    registry: CollectorRegistry | None = None,
    *,
    command_timeout_s: float = COMMAND_TIMEOUT_S,
    idle_in_transaction_s: float = _IDLE_IN_TRANSACTION_S,
) -> AsyncGenerator[asyncpg.Pool, None]:
    """A pool with `name` as application_name of its connections, measured in `registry`.

    It opens without a server: each acquire connects if necessary, and raises one of
    DATABASE_UNAVAILABLE_ERRORS if it cannot. The minimum number of connections is opened in the
    background. A statement that takes longer than `command_timeout_s` is cancelled. The server ends
    a session that is idle in a transaction for `idle_in_transaction_s`, or whose client's machine
    does not answer for 25 s.
    """
    instruments = PoolInstruments(registry or CollectorRegistry())
    pool = _WatchedPool(
        settings.database_url.get_secret_value(),
        instruments=instruments,
        min_size=0,
        max_size=settings.database_pool_max,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=command_timeout_s,
        max_inactive_connection_lifetime=0,
        reset=_keep_session,
        server_settings=_session(name, idle_in_transaction_s),
    )
    await pool
    instruments.watch(pool)
    warming = asyncio.create_task(_warm(pool, settings.database_pool_min))
    try:
        yield pool
    finally:
        await end(warming)
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()


def _session(name: str, idle_in_transaction_s: float) -> dict[str, str]:
    return {
        "application_name": name,
        "jit": "off",
        # A process that was killed in a statement must not keep its locks until the statement ends.
        # The same goes for a process that the network disconnected without notifying the server.
        "client_connection_check_interval": "1s",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "idle_in_transaction_session_timeout": f"{idle_in_transaction_s * 1000:.0f}ms",
    }


async def ping(pool: asyncpg.Pool) -> bool:
    """Whether the database answers a statement.

    Raises one of DATABASE_UNAVAILABLE_ERRORS if it does not.
    """
    return bool(await pool.fetchval("SELECT true"))


async def is_writable(pool: asyncpg.Pool) -> bool:
    """Whether the database can be written to, unlike a standby or a read-only server.

    Raises one of DATABASE_UNAVAILABLE_ERRORS if it does not answer.
    """
    return bool(await pool.fetchval(load("ringback.runtime.postgres", "is_writable.sql")))


def _is_read_only(connection: PoolConnectionProxy) -> bool:
    """What the server reported about this session, without a statement."""
    reported = connection.get_settings()
    names = ("default_transaction_read_only", "in_hot_standby")
    return any(getattr(reported, name, "off") == "on" for name in names)


async def _keep_session(_: object) -> None:
    """Skip the reset when a connection is returned; our code leaves no session state behind.

    Code that lends a connection to foreign code must reset it.
    """


async def _warm(pool: asyncpg.Pool, size: int) -> None:
    """Open `size` connections by acquiring them all at once.

    An unavailable database is no error.
    """
    connections = []
    try:
        for _ in range(min(size, pool.get_max_size())):
            connections.append(await pool.acquire())  # ruff: ignore[manual-list-comprehension]  # held until all are open
    except DATABASE_UNAVAILABLE_ERRORS:
        return
    finally:
        for connection in connections:
            await pool.release(connection)
