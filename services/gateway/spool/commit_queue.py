"""Webhooks that wait for the next commit of the spool."""

import asyncio
from dataclasses import dataclass

from ringback.contract.envelope import Envelope
from services.gateway.spool.spool_outcome import SpoolOutcome

OVERHEAD_BYTES = 1024
"""What a webhook takes beside its body: headers, the page it does not fill."""

_MOST_IN_COMMIT = 500
_MOST_COMMIT_BYTES = 16 * 1024 * 1024


@dataclass(slots=True)
class Entry:
    envelope: Envelope
    body: bytes
    outcome: "asyncio.Future[SpoolOutcome]"

    @property
    def needed_bytes(self) -> int:
        return len(self.body) + OVERHEAD_BYTES


class CommitQueue:
    """`size_bytes` counts what waits here, and what was taken and is not committed yet."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._news = asyncio.Event()
        self.size_bytes = 0

    def add(self, envelope: Envelope, body: bytes) -> "asyncio.Future[SpoolOutcome]":
        outcome: asyncio.Future[SpoolOutcome] = asyncio.get_running_loop().create_future()
        entry = Entry(envelope, body, outcome)
        self._entries.append(entry)
        self.size_bytes += entry.needed_bytes
        self._news.set()
        return outcome

    async def batch(self) -> list[Entry]:
        """Wait until there is something, and take as much of it as one commit should hold."""
        while not self._entries:
            self._news.clear()
            await self._news.wait()
        count, size_bytes = 0, 0
        for entry in self._entries[:_MOST_IN_COMMIT]:
            size_bytes += len(entry.body)
            if count and size_bytes > _MOST_COMMIT_BYTES:
                break
            count += 1
        batch, self._entries = self._entries[:count], self._entries[count:]
        return batch

    def ended(self, batch: list[Entry], outcome: SpoolOutcome) -> None:
        """Report how the commit of a batch ended to those who wait for it."""
        for entry in batch:
            self.size_bytes -= entry.needed_bytes
            if not entry.outcome.done():
                entry.outcome.set_result(outcome)
