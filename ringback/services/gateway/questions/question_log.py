"""Writes answered questions to the database, in batches. This never delays or fails an answer.

A question that cannot be written is dropped and counted. Credentials in the question and the answer
are redacted, as in every stored event.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias

import asyncpg

from ringback.contract.json_text import NotJsonError, TooDeepError, read_json
from ringback.contract.redaction.redaction import Redaction
from ringback.runtime.postgres.pool import DATABASE_UNAVAILABLE_ERRORS
from ringback.runtime.postgres.queries import load
from ringback.runtime.process.background import run_and_flush
from ringback.services.gateway.log.delivery_log import INVALID_ROW_ERRORS
from ringback.services.gateway.questions.answers import Reply
from ringback.services.gateway.questions.instruments import QuestionInstruments
from ringback.services.gateway.webhook import AcceptedWebhook, batch_of

_MAX_BATCH = 50
_MAX_BATCH_BYTES = 1024 * 1024
_WRITE_TIMEOUT_S = 10.0
_RETRY_AFTER_S = 2.0
_MAX_WAITING_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A question, what Vapi got, and how long it took."""

    webhook: AcceptedWebhook
    reply: Reply
    duration_s: float

    @property
    def size_bytes(self) -> int:
        return self.webhook.size_bytes + len(self.reply.answer.body)


Row: TypeAlias = tuple[Any, ...]


class Table(Protocol):
    def row(self, one: AnsweredQuestion) -> Row:
        """Make the row of a question. Call it in a thread: a large one takes half a second."""
        ...

    async def write(self, rows: Sequence[Row]) -> None:
        """Insert rows. Raises one of DATABASE_UNAVAILABLE_ERRORS; repeating it is safe."""
        ...


@dataclass(frozen=True, slots=True)
class QuestionTable:
    pool: asyncpg.Pool
    redaction: Redaction

    async def write(self, rows: Sequence[Row]) -> None:
        await self.pool.executemany(
            load("ringback.services.gateway.questions", "insert_question.sql"),
            rows,
            timeout=_WRITE_TIMEOUT_S,
        )

    def row(self, one: AnsweredQuestion) -> Row:
        envelope = one.webhook.envelope
        return (
            envelope.job_id,
            envelope.org_id,
            envelope.endpoint_id,
            envelope.event_type,
            one.webhook.call_id,
            envelope.dedup_key,
            envelope.received_at,
            one.duration_s * 1000,
            one.reply.outcome,
            one.reply.answer.status,
            [f"{mistake} {place}" for mistake, place in one.reply.mistakes],
            self._redacted(one.webhook.body),
            self._redacted(one.reply.answer.body),
            envelope.trace.trace_id,
        )

    def _redacted(self, body: bytes) -> str | None:
        """The document as it may be stored; None if it is not JSON."""
        try:
            return self.redaction.of(read_json(body)).text
        except (NotJsonError, TooDeepError):
            return None


class QuestionLog:
    """Writes questions while entered. On exit it writes the rest, for at most `flush_timeout_s`."""

    def __init__(
        self,
        table: Table,
        instruments: QuestionInstruments,
        *,
        max_waiting: int,
        flush_timeout_s: float = 3.0,
    ) -> None:
        self._table = table
        self._instruments = instruments
        self._max_waiting = max_waiting
        self._flush_timeout_s = flush_timeout_s
        self._waiting: deque[AnsweredQuestion] = deque()
        self._waiting_bytes = 0
        self._added = asyncio.Event()
        self._stopping = asyncio.Event()

    def add(self, question: AnsweredQuestion) -> None:
        is_full = len(self._waiting) >= self._max_waiting
        if is_full or self._waiting_bytes + question.size_bytes > _MAX_WAITING_BYTES:
            self._instruments.rows_dropped(1)
            return
        self._waiting.append(question)
        self._waiting_bytes += question.size_bytes
        self._added.set()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self, None]:
        try:
            async with run_and_flush(self._run, stop=self._stop, timeout_s=self._flush_timeout_s):
                yield self
        finally:
            self._instruments.rows_dropped(len(self._waiting))

    def _stop(self) -> None:
        self._stopping.set()
        self._added.set()

    async def _run(self) -> None:
        while self._waiting or not self._stopping.is_set():
            if not self._waiting:
                self._added.clear()
                await self._added.wait()
                continue
            batch = batch_of(self._waiting, max_count=_MAX_BATCH, max_bytes=_MAX_BATCH_BYTES)
            try:
                await self._write(batch)
                self._instruments.rows_written(len(batch))
            except Exception:  # ruff: ignore[blind-except]  # lose the batch, keep the writer
                self._instruments.failed()
                self._instruments.rows_dropped(len(batch))
            for one in batch:
                self._waiting.popleft()
                self._waiting_bytes -= one.size_bytes

    async def _write(self, batch: Sequence[AnsweredQuestion]) -> None:
        """Write a batch; retry while the database fails. Raises if it will never accept a row."""
        # In a thread, so that the event loop is not blocked, and only once, before any retry.
        rows = [await asyncio.to_thread(self._table.row, one) for one in batch]
        while True:
            try:
                return await self._table.write(rows)
            except INVALID_ROW_ERRORS:
                raise
            except DATABASE_UNAVAILABLE_ERRORS as exc:
                self._instruments.rows_stuck(exc)
                await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_RETRY_AFTER_S):
                await self._stopping.wait()
                await asyncio.sleep(_RETRY_AFTER_S / 10)
