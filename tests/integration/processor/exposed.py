import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import aiohttp


class Exposed:
    """The port of a processor that Prometheus and the orchestrator query."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def is_ready(self) -> bool:
        try:
            async with self._session.get("/readyz") as answer:
                return answer.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def is_unready_for(self, check: str) -> bool:
        """Whether this check fails."""
        try:
            async with self._session.get("/readyz") as answer:
                body = await answer.json()
                return answer.status == 503 and body["checks"][check] is False
        except aiohttp.ClientConnectionError:
            return False

    async def is_live(self, *, within_s: float) -> bool:
        """Query with the orchestrator's timeout."""
        try:
            async with asyncio.timeout(within_s), self._session.get("/livez") as answer:
                return answer.status == 200
        except (aiohttp.ClientConnectionError, TimeoutError):
            return False

    async def has(self, sample: str) -> bool:
        """Whether the metrics contain this line."""
        async with self._session.get("/metrics") as answer:
            return sample in (await answer.text()).splitlines()


@asynccontextmanager
async def exposed(port: int) -> AsyncGenerator[Exposed, None]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield Exposed(session)
