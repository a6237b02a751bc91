"""Retries one webhook: a dead letter, an event taken for a duplicate, or a completed one."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson

from ringback.contract.identity import new_job_id
from ringback.contract.telemetry.spans import Attribute
from ringback.metrics.v1.admin_service_pb2 import (
    RETRY_STATE_PUBLISHED,
    RETRY_STATE_QUEUED,
    RetryDeliveryRequest,
    RetryDeliveryResponse,
    RunDuplicateRequest,
    RunDuplicateResponse,
)
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.commands.outbox import RetryOutbox
from ringback.services.metrics.queries.delivery_message import is_redacted
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import (
    ApiError,
    Reason,
    already_retried,
    no_such_delivery,
    precondition,
    unavailable,
)
from ringback.services.metrics.transport.request_reader import RequestReader

_PUBLISHING_S = 10.0
"""Enough time to publish and to record the confirm, also when the caller waits no longer."""

REQUEUED = "Webhook re-queued for processing"
_QUEUED = f"{REQUEUED}; the broker has not confirmed it yet, so it is published again in moments"

_PACKAGE = "ringback.services.metrics.commands"
_DONE = frozenset({"retried", "repeated"})


RETRY: Final = "retry_webhook.sql"
RUN_DUPLICATE: Final = "run_duplicate.sql"
REPLAY: Final = "replay_webhook.sql"


@dataclass(frozen=True, slots=True)
class RetryCommand:
    """What to retry. `statement` is RETRY, RUN_DUPLICATE or REPLAY; the audit has the `details`.

    `has_own_trace`: its trace begins with the publish, not with the call.
    """

    job_id: UUID
    reason: str
    request_id: UUID | None = None
    details: Mapping[str, str] = field(default_factory=dict)
    statement: str = RETRY
    has_own_trace: bool = False


@dataclass(frozen=True, slots=True)
class RetryResult:
    """A new webhook. `is_published` is false until the broker has confirmed it.

    `redacted`: parts of the original event were redacted in the log, and are missing here.
    `duplicate_of` is the webhook whose duplicate it seemed to be.
    """

    new_id: UUID
    altered: bool
    redacted: bool
    is_published: bool
    duplicate_of: UUID | None


class Retries:
    """Retries one webhook. Publishing continues after the caller disconnects."""

    def __init__(self, access: Access, outbox: RetryOutbox, max_attempts: int) -> None:
        self._access = access
        self._outbox = outbox
        self._max_attempts = max_attempts
        self._publishing: set[asyncio.Task[bool]] = set()

    async def retry_delivery(
        self, request: RetryDeliveryRequest, call: Call
    ) -> RetryDeliveryResponse:
        """Implements the RPC."""
        reader = RequestReader(request)
        job_id, reason = reader.job_id(), reader.reason(required=False)
        command = RetryCommand(job_id, reason, reader.uuid("request_id"))
        reader.check()
        call.span.set_attributes({Attribute.JOB_ID: str(job_id)})
        return RetryDeliveryResponse(**_answer(await self.retry(command, call)))

    async def run_duplicate(self, request: RunDuplicateRequest, call: Call) -> RunDuplicateResponse:
        """Implements the RPC."""
        reader = RequestReader(request)
        job_id, reason = reader.job_id(), reader.reason(required=True)
        command = RetryCommand(job_id, reason, reader.uuid("request_id"), statement=RUN_DUPLICATE)
        reader.check()
        call.span.set_attributes({Attribute.JOB_ID: str(job_id)})
        result = await self.retry(command, call)
        return RunDuplicateResponse(duplicate_of=str(result.duplicate_of), **_answer(result))

    @property
    def is_ready(self) -> bool:
        """Whether the broker is connected and accepts messages."""
        return self._outbox.is_ready

    def require_broker(self) -> None:
        """Raises ApiError UNAVAILABLE while nothing can be published."""
        if not self.is_ready:
            raise unavailable(
                Reason.BROKER_UNAVAILABLE, "The broker cannot be reached; nothing was changed."
            )

    async def retry(self, command: RetryCommand, call: Call) -> RetryResult:
        """Commit the retry, then publish it. Raises ApiError; then nothing was changed.

        One exception: if the database's answer to the commit is lost, UNAVAILABLE is raised
        although the commit may have succeeded. The sweeper then publishes the retry, and a call
        with the same request id returns it.
        """
        self.require_broker()
        result, row = await self._commit(command, call)
        if row is None:
            return result
        within = None if command.has_own_trace else call.span
        publishing = self._outbox.publish_and_mark(row, _until_published(call), within)
        task = asyncio.create_task(publishing)
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)
        await asyncio.wait({task}, timeout=call.remaining_s())
        is_published = task.done() and task.result()
        self._outbox.instruments.retried(is_published=is_published)
        return replace(result, is_published=is_published)

    async def finish(self, timeout_s: float) -> None:
        """Wait for publishes in flight; the sweeper repeats those that are interrupted."""
        if self._publishing:
            await asyncio.wait(self._publishing, timeout=timeout_s)

    async def _commit(
        self, command: RetryCommand, call: Call
    ) -> tuple[RetryResult, asyncpg.Record | None]:
        """Return the retry and the parts of its message; no message if the retry existed before."""
        async with self._access.changing(call) as connection:
            [found] = await connection.fetch(
                load(_PACKAGE, command.statement),
                command.job_id,
                new_job_id(),
                self._max_attempts,
                call.principal.actor,
                call.principal.role.value,
                command.reason,
                command.request_id,
                orjson.dumps(dict(command.details)).decode(),
            )
            verdict, new_id = found["verdict"], found["new_id"]
            if verdict not in _DONE:
                raise error_for(verdict, command.job_id, new_id)
            row = await connection.fetchrow(load(_PACKAGE, "retry_message.sql"), new_id)
            result = RetryResult(
                new_id,
                altered=found["altered"],
                redacted=row is not None and is_redacted(row["body"]),
                is_published=found["published_at"] is not None,
                duplicate_of=found.get("duplicate_of"),
            )
            return result, None if verdict == "repeated" else row


def _until_published(call: Call) -> Call:
    """The same call with a later deadline: publishing continues when the caller has left."""
    return replace(call, deadline=asyncio.get_running_loop().time() + _PUBLISHING_S)


def _answer(result: RetryResult) -> dict[str, Any]:
    """The fields that the responses of both RPCs have."""
    return {
        "success": True,
        "message": REQUEUED if result.is_published else _QUEUED,
        "new_job_id": str(result.new_id),
        "altered": result.altered,
        "redacted": result.redacted,
        "state": RETRY_STATE_PUBLISHED if result.is_published else RETRY_STATE_QUEUED,
    }


def error_for(verdict: str, job_id: UUID, new_id: UUID | None) -> ApiError:
    """The error for a verdict of the functions that retry or discard a webhook.

    `new_id` is the webhook that the retry created, if there was one. Raises ValueError for an
    unknown verdict.
    """
    match verdict:
        case "not_found":
            return no_such_delivery(job_id)
        case "already_retried":
            return already_retried(job_id, new_id)
        case _ if verdict in _REFUSALS:
            return precondition(*_REFUSALS[verdict], job_id)
        case _:
            raise ValueError(verdict)


_REFUSALS: Final = {
    "not_dead": (Reason.NOT_A_DEAD_LETTER, "The webhook is not a dead letter."),
    "not_duplicate": (Reason.NOT_A_DUPLICATE, "The webhook is not a duplicate."),
    "not_completed": (Reason.NOT_COMPLETED, "The webhook is not completed."),
    "discarded": (Reason.DISCARDED, "The dead letter was discarded."),
    "not_retryable": (
        Reason.NOT_RETRYABLE,
        "The log has no usable event of this webhook, so it cannot be retried.",
    ),
}
