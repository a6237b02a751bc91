"""The way to the database for one call: in a transaction, as the role that the caller has there.

What a tenant may see is decided by row level security, not by our statements. The pool's own role
has no rights but to become one of these.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

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
    async def _as(
        self, call: Call, role: str, *, readonly: bool
    ) -> AsyncGenerator[Connection, None]:
        remaining_s = call.remaining_s()
        if remaining_s <= 0:
            raise deadline_exceeded()
        org_id = call.principal.org_id
        try:
            async with (
                self._pool.acquire(timeout=remaining_s) as connection,
                connection.transaction(readonly=readonly),
            ):
                await connection.execute(
                    load("services.metrics", "become.sql"),
                    role,
                    str(org_id) if org_id else "",
                    str(max(1, int(call.remaining_s() * 1000))),
                    timeout=remaining_s,
                )
                yield connection
        except (TimeoutError, asyncpg.QueryCanceledError) as exc:
            raise deadline_exceeded() from exc
        except DATABASE_AWAY as exc:
            raise unavailable("DATABASE_AWAY", "The database cannot be reached.") from exc
