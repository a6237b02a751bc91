"""Opens transactions with the rights of the caller, and traces their statements."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NoReturn
from uuid import UUID

import asyncpg
from asyncpg.pool import PoolConnectionProxy
from opentelemetry.trace import Span as OpenSpan

from ringback.contract.telemetry.spans import Attribute, Span
from ringback.runtime.observability.tracing import (
    NO_TRACES,
    Shape,
    Tracer,
    ending,
    shape_of,
    untraced,
)
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load, name_of
from ringback.runtime.postgres.refusal import refusal
from ringback.services.metrics.auth.principal import Principal, Role
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import (
    Reason,
    deadline_exceeded,
    internal,
    unavailable,
)


class TracedConnection:
    """A connection that records each statement as a child of `span`, named after its SQL file."""

    def __init__(self, connection: PoolConnectionProxy, tracer: Tracer, span: OpenSpan) -> None:
        self._connection = connection
        self._tracer = tracer
        self._span = span

    async def execute(self, statement: str, *arguments: Any, timeout_s: float | None = None) -> str:
        with self._traced(statement):
            status: str = await self._connection.execute(statement, *arguments, timeout=timeout_s)
            return status

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        with self._traced(statement):
            return await self._connection.fetch(statement, *arguments)

    async def fetchrow(self, statement: str, *arguments: Any) -> asyncpg.Record | None:
        with self._traced(statement):
            return await self._connection.fetchrow(statement, *arguments)

    def _traced(self, statement: str) -> AbstractContextManager[OpenSpan]:
        return ending(self._tracer.child(self._span, _shape(name_of(statement))))


@lru_cache(maxsize=256)
def _shape(name: str) -> Shape:
    return shape_of(Span.QUERY, {Attribute.DB_SYSTEM: "postgresql", Attribute.DB_SUMMARY: name})


_READER = {Role.TENANT: "ringback_tenant", Role.SERVICE: "ringback_service"}
_OPERATOR = {Role.TENANT: "ringback_tenant_operator", Role.SERVICE: "ringback_operator"}

Connection = TracedConnection


@dataclass(frozen=True, slots=True)
class RoleScope:
    """The database role and the org of a transaction, its time limit, and its parent span."""

    role: str
    org_id: UUID | None
    timeout_s: float
    span: OpenSpan


class Access:
    def __init__(self, pool: asyncpg.Pool, tracer: Tracer = NO_TRACES) -> None:
        self._pool = pool
        self._tracer = tracer

    @asynccontextmanager
    async def reading(self, call: Call) -> AsyncGenerator[Connection, None]:
        """A read-only transaction that sees what the caller may see.

        Statements stop at the call's deadline. Raises ApiError DEADLINE_EXCEEDED, UNAVAILABLE when
        the database cannot be reached, or INTERNAL when it refuses a statement.
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
        scope = RoleScope(_READER[Role.SERVICE], None, timeout_s, span or untraced())
        async with self._transaction(scope, readonly=True) as connection:
            yield connection

    @asynccontextmanager
    async def _as(
        self, call: Call, role: str, *, readonly: bool
    ) -> AsyncGenerator[Connection, None]:
        remaining_s = call.remaining_s()
        if remaining_s <= 0:
            raise deadline_exceeded()
        scope = RoleScope(role, call.principal.org_id, remaining_s, call.span)
        try:
            async with self._transaction(scope, readonly=readonly) as connection:
                yield connection
        except (TimeoutError, asyncpg.QueryCanceledError) as exc:
            raise deadline_exceeded() from exc
        except DATABASE_UNAVAILABLE_ERRORS as exc:
            raise_database_error(exc)

    @asynccontextmanager
    async def _transaction(
        self, scope: RoleScope, *, readonly: bool
    ) -> AsyncGenerator[Connection, None]:
        deadline = asyncio.get_running_loop().time() + scope.timeout_s
        async with (
            self._pool.acquire(timeout=scope.timeout_s) as acquired,
            acquired.transaction(readonly=readonly),
        ):
            connection = Connection(acquired, self._tracer, scope.span)
            left_s = max(0.001, deadline - asyncio.get_running_loop().time())
            await connection.execute(
                load("ringback.services.metrics.auth", "set_role.sql"),
                scope.role,
                str(scope.org_id) if scope.org_id else "",
                str(int(left_s * 1000)),
                timeout_s=left_s,
            )
            yield connection


def raise_database_error(exc: BaseException) -> NoReturn:
    """Raise the ApiError of a call that failed with one of DATABASE_UNAVAILABLE_ERRORS.

    A statement that PostgreSQL refuses is our fault, and calling again does not help.
    """
    if refused := refusal(exc):
        raise internal() from refused
    raise unavailable(Reason.DATABASE_UNAVAILABLE, "The database cannot be reached.") from exc


def restrict_to_org(call: Call, org_id: UUID | None) -> Call | None:
    """Restrict the call to `org_id` (None: no restriction); None if the caller may not see it.

    A service that asks for one organisation reads with that tenant's rights. So only row level
    security decides what belongs to an organisation.
    """
    principal = call.principal
    if org_id is None or org_id == principal.org_id:
        return call
    if principal.role is Role.TENANT:
        return None
    return replace(call, principal=Principal(Role.TENANT, org_id, principal.subject))
