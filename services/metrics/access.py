"""The way to the database for one call: in a transaction, as the role that the caller has there.

What a tenant may see is decided by row level security, not by our statements. The pool's own role
has no rights but to become one of these.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ringback.runtime.postgres import DATABASE_AWAY
from ringback.runtime.queries import load
from services.metrics.api.call import Call
from services.metrics.api.errors import deadline_exceeded, unavailable
from services.metrics.api.principal import Role

_READER = {Role.TENANT: "ringback_tenant", Role.SERVICE: "ringback_service"}
_OPERATOR = {Role.TENANT: "ringback_tenant_operator", Role.SERVICE: "ringback_operator"}

Connection = PoolConnectionProxy


class Access:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def reading(self, call: Call) -> AsyncGenerator[Connection, None]:
        """A read-only transaction that sees what the caller may see.

        Statements end at the call's deadline. Raises ApiError DEADLINE_EXCEEDED, or UNAVAILABLE
        when the database cannot be reached; whatever else a statement raises, as it is.
        """
        async with self._as(call, _READER[call.principal.role], readonly=True) as connection:
            yield connection

    @asynccontextmanager
    async def changing(self, call: Call) -> AsyncGenerator[Connection, None]:
        """A transaction that may change what the caller may change; commits on leaving."""
        async with self._as(call, _OPERATOR[call.principal.role], readonly=False) as connection:
            yield connection

    @asynccontextmanager
    async def as_service(self, timeout_s: float) -> AsyncGenerator[Connection, None]:
        """A read-only transaction that sees everything, for our own work behind the calls.

        Raises one of DATABASE_AWAY, TimeoutError among them.
        """
        reader = _READER[Role.SERVICE]
        async with self._transaction(reader, None, timeout_s, readonly=True) as connection:
            yield connection

    @asynccontextmanager
    async def _as(
        self, call: Call, role: str, *, readonly: bool
    ) -> AsyncGenerator[Connection, None]:
        remaining_s = call.remaining_s()
        if remaining_s <= 0:
            raise deadline_exceeded()
        org_id = call.principal.org_id
        try:
            async with self._transaction(
                role, org_id, remaining_s, readonly=readonly
            ) as connection:
                yield connection
        except (TimeoutError, asyncpg.QueryCanceledError) as exc:
            raise deadline_exceeded() from exc
        except DATABASE_AWAY as exc:
            raise unavailable("DATABASE_AWAY", "The database cannot be reached.") from exc

    @asynccontextmanager
    async def _transaction(
        self, role: str, org_id: UUID | None, timeout_s: float, *, readonly: bool
    ) -> AsyncGenerator[Connection, None]:
        deadline = asyncio.get_running_loop().time() + timeout_s
        async with (
            self._pool.acquire(timeout=timeout_s) as connection,
            connection.transaction(readonly=readonly),
        ):
            left_s = max(0.001, deadline - asyncio.get_running_loop().time())
            await connection.execute(
                load("services.metrics", "become.sql"),
                role,
                str(org_id) if org_id else "",
                str(int(left_s * 1000)),
                timeout=left_s,
            )
            yield connection
