"""Releases or cancels webhooks that wait in the database."""

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from ringback.contract.telemetry.spans import Attribute
from ringback.metrics.v1.admin_service_pb2 import (
    CancelWaitingRequest,
    CancelWaitingResponse,
    ReleaseWaitingRequest,
    ReleaseWaitingResponse,
)
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access, restrict_to_org
from ringback.services.metrics.queries.waiting import REASON_WORDS
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.errors import (
    ApiError,
    Reason,
    no_such_delivery,
    precondition,
)
from ringback.services.metrics.transport.request_reader import RequestReader

DEFAULT_LIMIT, MAX_LIMIT = 1_000, 10_000
_DONE = frozenset({"done", "repeated"})


@dataclass(frozen=True, slots=True)
class WaitChange:
    """What to change: one webhook, or at most `limit` of those that match the filter."""

    job_id: UUID | None
    wait_reason: str | None
    destination: str | None
    org_id: UUID | None
    limit: int
    reason: str
    request_id: UUID | None


class WaitCommands:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def release_waiting(
        self, request: ReleaseWaitingRequest, call: Call
    ) -> ReleaseWaitingResponse:
        """Make their attempts due now. Raises ApiError; then nothing was changed."""
        change = change_of(request)
        released, has_more = await self._change("release", change, call)
        message = (
            "The attempt is due now."
            if change.job_id
            else f"The attempts of {released} webhooks are due now."
        )
        return ReleaseWaitingResponse(released=released, has_more=has_more, message=message)

    async def cancel_waiting(
        self, request: CancelWaitingRequest, call: Call
    ) -> CancelWaitingResponse:
        """Let processors dead-letter them. Raises ApiError; then nothing was changed.

        A webhook that a processor is publishing is not cancelled.
        """
        change = change_of(request)
        cancelled, has_more = await self._change("cancel", change, call)
        message = (
            "Cancelled; it becomes a dead letter in moments."
            if change.job_id
            else f"{cancelled} webhooks cancelled; they become dead letters in moments."
        )
        return CancelWaitingResponse(cancelled=cancelled, has_more=has_more, message=message)

    async def _change(
        self, action: Literal["release", "cancel"], change: WaitChange, call: Call
    ) -> tuple[int, bool]:
        """Return how many were changed, and whether more match."""
        scoped = restrict_to_org(call, change.org_id)
        if scoped is None:
            return 0, False
        if change.job_id is not None:
            call.span.set_attributes({Attribute.JOB_ID: str(change.job_id)})
        # The audit names the caller, also if a service acts within one organisation.
        principal = call.principal
        async with self._access.changing(scoped) as connection:
            [found] = await connection.fetch(
                load("ringback.services.metrics.commands", "change_waits.sql"),
                action,
                change.job_id,
                change.wait_reason,
                change.destination,
                change.limit,
                principal.actor,
                principal.role.value,
                change.reason,
                change.request_id,
            )
            if change.job_id is not None and found["verdict"] not in _DONE:
                raise error_for(found["verdict"], change.job_id)
        return found["changed"], found["has_more"]


def change_of(request: ReleaseWaitingRequest | CancelWaitingRequest) -> WaitChange:
    """Raises ApiError INVALID_ARGUMENT."""
    reader = RequestReader(request)
    job_id, reason = reader.uuid("job_id"), reader.reason(required=True)
    request_id = reader.uuid("request_id")
    limit = reader.page_size("limit", default=DEFAULT_LIMIT, maximum=MAX_LIMIT)
    given = request.filter
    if bool(request.job_id) == request.HasField("filter"):
        reader.add_violation("job_id", "or filter is required, and not both.")
    elif not request.job_id and not given.ListFields():
        reader.add_violation("filter", "must have at least one field.")
    reader.check()
    filter_reader = RequestReader(given, "filter.")
    org_id = filter_reader.uuid("org_id")
    filter_reader.check()
    return WaitChange(
        job_id=job_id,
        wait_reason=REASON_WORDS.get(given.reason),
        destination=given.destination or None,
        org_id=org_id,
        limit=limit,
        reason=reason,
        request_id=request_id,
    )


def error_for(verdict: str, job_id: UUID) -> ApiError:
    """The error for a verdict of `change_webhook_waits`. Raises ValueError for an unknown one."""
    match verdict:
        case "not_found":
            return no_such_delivery(job_id)
        case "not_waiting":
            return precondition(
                Reason.NOT_WAITING, "The webhook does not wait in the database.", job_id
            )
        case "publishing":
            return precondition(
                Reason.NOT_WAITING,
                "A processor is publishing the webhook, so it no longer waits.",
                job_id,
            )
        case "cancelled":
            return precondition(Reason.ALREADY_CANCELLED, "The webhook was cancelled.", job_id)
        case "in_order":
            return precondition(
                Reason.WAITS_IN_ORDER,
                "The webhook waits until an earlier one of its key is finished: release or cancel "
                "that one.",
                job_id,
            )
        case _:
            raise ValueError(verdict)
