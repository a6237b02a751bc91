"""A connection that records its statements in traces."""

from functools import lru_cache
from typing import Any

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from ringback.contract.telemetry.spans import Attribute, Span
from ringback.runtime.postgres.queries import name_of
from ringback.runtime.tracing import OpenSpan, Shape, shape_of


class TracedConnection:
    """The calls of asyncpg that are used here; each is a child of `span`, named for its file."""

    def __init__(self, connection: PoolConnectionProxy, span: OpenSpan) -> None:
        self._connection = connection
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

    def _traced(self, statement: str) -> OpenSpan:
        return self._span.child(_shape(name_of(statement)))


@lru_cache(maxsize=256)
def _shape(name: str) -> Shape:
    return shape_of(Span.QUERY, {Attribute.DB_SYSTEM: "postgresql", Attribute.DB_SUMMARY: name})
