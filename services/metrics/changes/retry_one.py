"""Retries one webhook: a dead letter, or an event wrongly taken for a duplicate."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final
from uuid import UUID

import asyncpg
import orjson

from ringback.contract.identity import new_job_id
from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.api.errors import unavailable
from services.metrics.changes.actor import actor_of
from services.metrics.changes.refusals import refusal
from services.metrics.changes.retry_outbox import RetryOutbox
from services.metrics.reads.shown_event import is_redacted

_PUBLISHING_S = 10.0
"""Longer than a publish and its mark take. The caller may have left by then."""

_PACKAGE = "services.metrics"
_HAS_BEEN_DONE = frozenset({"retried", "repeated"})


RETRY: Final = "retry_webhook.sql"
RUN_DUPLICATE: Final = "run_duplicate.sql"


@dataclass(frozen=True, slots=True)
class RetryOrder:
    """`statement` is RETRY or RUN_DUPLICATE. `details` go to the audit."""

    job_id: UUID
    reason: str
    request_id: UUID | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    statement: str = RETRY


@dataclass(frozen=True, slots=True)
class Retried:
    """`is_published` is false until the broker has confirmed it.

    `redacted`: it carries the log's copy, without what was redacted from the original.
    `duplicate_of` is the webhook that it was taken for a duplicate of.
    """

    new_id: UUID
    altered: bool
    redacted: bool
    is_published: bool
    duplicate_of: UUID | None


class RetryOne:
    """Publishing continues when its caller has left; `finish` waits for it."""

    def __init__(self, access: Access, outbox: RetryOutbox, max_attempts: int) -> None:
        self._access = access
        self._outbox = outbox
        self._max_attempts = max_attempts
        self._publishing: set[asyncio.Task[bool]] = set()

    @property
    def is_possible(self) -> bool:
        """Whether the broker is connected and accepts messages."""
        return self._outbox.is_open

    def require_broker(self) -> None:
        """Raises ApiError UNAVAILABLE while nothing can be published."""
        if not self.is_possible:
            raise unavailable(
                "BROKER_UNAVAILABLE", "The broker cannot be reached; nothing was changed."
            )

    async def retry(self, order: RetryOrder, call: Call) -> Retried:
        """Commit the retry, then publish it. Raises ApiError; then nothing was changed.

        There is one exception: a commit whose answer was lost is UNAVAILABLE although it may have
        succeeded. The sweeper then publishes it, and a call with the same request id finds it.
        """
        self.require_broker()
        done, row = await self._commit(order, call)
        if row is None:
            return done
        task = asyncio.create_task(self._outbox.publish_and_mark(row, _later(call)))
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)
        await asyncio.wait({task}, timeout=call.remaining_s())
        is_published = task.done() and task.result()
        self._outbox.counter.retried(is_published=is_published)
        return replace(done, is_published=is_published)

    async def finish(self, timeout_s: float) -> None:
        """Wait for publishes in flight; the sweeper repeats those that are interrupted."""
        if self._publishing:
            await asyncio.wait(self._publishing, timeout=timeout_s)

    async def _commit(self, order: RetryOrder, call: Call) -> tuple[Retried, asyncpg.Record | None]:
        """Return the retry, and the parts of its message unless it existed before."""
        async with self._access.changing(call) as connection:
            [found] = await connection.fetch(
                load(_PACKAGE, order.statement),
                order.job_id,
                new_job_id(),
                self._max_attempts,
                actor_of(call.principal),
                call.principal.role.value,
                order.reason,
                order.request_id,
                orjson.dumps(dict(order.details)).decode(),
            )
            verdict, new_id = found["verdict"], found["new_id"]
            if verdict not in _HAS_BEEN_DONE:
                raise refusal(verdict, order.job_id, new_id)
            row = await connection.fetchrow(load(_PACKAGE, "retry_message.sql"), new_id)
            done = Retried(
                new_id,
                altered=found["altered"],
                redacted=row is not None and is_redacted(row["body"]),
                is_published=found["published_at"] is not None,
                duplicate_of=found.get("duplicate_of"),
            )
            return done, None if verdict == "repeated" else row


def _later(call: Call) -> Call:
    """The same caller with a later deadline, whether or not the caller waits."""
    return replace(call, deadline=asyncio.get_running_loop().time() + _PUBLISHING_S)
