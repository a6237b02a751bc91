import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager


class OneAtATime:
    """A lock per key: each caller waits until the one before it has left."""

    def __init__(self) -> None:
        self._left: dict[Hashable, asyncio.Event] = {}

    @asynccontextmanager
    async def turn(self, key: Hashable) -> AsyncGenerator[None, None]:
        while (left := self._left.get(key)) is not None:
            await left.wait()
        self._left[key] = left = asyncio.Event()
        try:
            yield
        finally:
            del self._left[key]
            left.set()
