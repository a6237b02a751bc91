"""Database access for one call: a transaction under the caller's database role.

Row level security decides what a tenant sees, not our statements. The pool's own role may only
switch to one of these roles.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.tracing import OpenSpan, untraced
from services.metrics.api.call import Call
from services.metrics.api.errors import deadline_exceeded, unavailable
from services.metrics.api.principal import Role
from services.metrics.traced_connection import TracedConnection

_READER = {Role.TENANT: "ringback_tenant", Role.SERVICE: "ringback_service"}
_OPERATOR = {Role.TENANT: "ringback_tenant_operator", Role.SERVICE: "ringback_operator"}

Connection = TracedConnection


@dataclass(frozen=True, slots=True)
class _Become:
    """Parameters of a role switch, and the span of the work."""

    role: str
    org_id: UUID | None
    timeout_s: float
    span: OpenSpan


class Access:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    @asynccontextmanager
    async def reading(self, call: Call) -> AsyncGenerator[Connection, None]:
        """A read-only transaction that sees what the caller may see.

        Statements stop at the call's deadline. Raises ApiError DEADLINE_EXCEEDED, or UNAVAILABLE
        when the database cannot be reached; any other error of a statement is raised unchanged.
        """
        async with self._as(call, _READER[call.principal.role], readonly=True) as connection:
            yield connection

    @asynccontextmanager
    async def changing(self, call: Call) -> AsyncGenerator[Connection, None]:
        """A transaction that may change what the caller may change; commits on exit."""
        async with self._as(call, _OPERATOR[call.principal.role], readonly=False) as connection:
            yield connection

    @asynccontextmanager
    async def as_service(
        self, timeout_s: float, span: OpenSpan | None = None
    ) -> AsyncGenerator[Connection, None]:
        """A read-only transaction that sees everything, for background work.

        It is not traced unless a span is given. Raises one of DATABASE_UNAVAILABLE_ERRORS, which
        includes TimeoutError.
        """
        become = _Become(_READER[Role.SERVICE], None, timeout_s, span or untraced())
        async with self._transaction(become, readonly=True) as connection:
            yield connection

    @asynccontextmanager
    async def _as(
        self, call: Call, role: str, *, readonly: bool
    ) -> AsyncGenerator[Connection, None]:
        remaining_s = call.remaining_s()
        if remaining_s <= 0:
            raise deadline_exceeded()
        become = _Become(role, call.principal.org_id, remaining_s, call.span)
        try:
            async with self._transaction(become, readonly=readonly) as connection:
                yield connection
        except (TimeoutError, asyncpg.QueryCanceledError) as exc:
            raise deadline_exceeded() from exc
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            raise unavailable("DATABASE_UNAVAILABLE", "The database cannot be reached.") from exc

    @asynccontextmanager
    async def _transaction(
        self, become: _Become, *, readonly: bool
    ) -> AsyncGenerator[Connection, None]:
        deadline = asyncio.get_running_loop().time() + become.timeout_s
        async with (
            self._pool.acquire(timeout=become.timeout_s) as acquired,
            acquired.transaction(readonly=readonly),
        ):
            connection = Connection(acquired, become.span)
            left_s = max(0.001, deadline - asyncio.get_running_loop().time())
            await connection.execute(
                load("services.metrics", "become.sql"),
                become.role,
                str(become.org_id) if become.org_id else "",
                str(int(left_s * 1000)),
                timeout_s=left_s,
            )
            yield connection
