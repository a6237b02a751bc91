"""A stand-in for the connection of a transactional handler: it records statements."""

from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Effect:
    """A statement that a transactional handler ran, with its arguments."""

    sql: str
    arguments: tuple[Any, ...] = ()


class Recorder:
    """Has the methods of an asyncpg connection that handlers use most. It finds no rows.

    A savepoint that is rolled back takes its statements with it. For anything else use a database.
    """

    def __init__(self) -> None:
        self.effects: list[Effect] = []

    async def execute(self, query: str, *arguments: Any, timeout: float | None = None) -> str:  # ruff: ignore[async-function-with-timeout]  # asyncpg's signature
        del timeout
        self.effects.append(Effect(query, arguments))
        return ""

    async def executemany(
        self,
        command: str,
        args: Iterable[Sequence[Any]],
        *,
        timeout: float | None = None,  # ruff: ignore[async-function-with-timeout]  # as above
    ) -> None:
        del timeout
        self.effects.extend(Effect(command, tuple(row)) for row in args)

    async def fetch(self, query: str, *arguments: Any, **options: Any) -> list[Any]:
        del options
        self.effects.append(Effect(query, arguments))
        return []

    async def fetchrow(self, query: str, *arguments: Any, **options: Any) -> None:
        await self.fetch(query, *arguments, **options)

    async def fetchval(self, query: str, *arguments: Any, **options: Any) -> None:
        await self.fetch(query, *arguments, **options)

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncGenerator[None, None]:
        del options
        kept = len(self.effects)
        try:
            yield
        except BaseException:
            del self.effects[kept:]
            raise
