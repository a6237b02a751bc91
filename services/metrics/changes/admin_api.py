"""The RPCs of AdminService."""

from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Self

from ringback.contract.telemetry.spans import Attribute
from ringback.metrics.v1.admin_service_pb2 import (
    RETRY_STATE_PUBLISHED,
    RETRY_STATE_QUEUED,
    DiscardDeadLetterRequest,
    DiscardDeadLetterResponse,
    PauseProcessingRequest,
    PauseProcessingResponse,
    ResumeProcessingRequest,
    ResumeProcessingResponse,
    RetryDeliveriesRequest,
    RetryDeliveriesResponse,
    RetryDeliveryRequest,
    RetryDeliveryResponse,
    RunDuplicateRequest,
    RunDuplicateResponse,
)
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.changes.bulk_look import Waiting
from services.metrics.changes.bulk_order import order_of
from services.metrics.changes.bulk_retry import BulkRetry
from services.metrics.changes.change_asked import ChangeAsked
from services.metrics.changes.discard import Discard
from services.metrics.changes.processing_switch import ProcessingSwitch
from services.metrics.changes.retry_one import RUN_DUPLICATE, RetryOne, RetryOrder
from services.metrics.changes.retry_outbox import RetryOutbox

REQUEUED = "Webhook re-queued for processing"
_QUEUED = f"{REQUEUED}; the broker has not confirmed it yet, so it is published again in moments"
_DISCARDED = "Dead letter discarded"
_FINISH_S = 3.0


class AdminApi:
    """Leaving it waits for background work: a publish, a line of the audit."""

    def __init__(
        self, access: Access, outbox: RetryOutbox, waiting: Waiting, *, max_attempts: int
    ) -> None:
        self._retry_one = RetryOne(access, outbox, max_attempts)
        self._bulk_retry = BulkRetry(access, self._retry_one, waiting)
        self._discard = Discard(access)
        self._switch = ProcessingSwitch(access)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._retry_one.finish(_FINISH_S)
        await self._bulk_retry.finish(_FINISH_S)

    async def retry_delivery(
        self, request: RetryDeliveryRequest, call: Call
    ) -> RetryDeliveryResponse:
        asked = ChangeAsked(request)
        job_id = asked.job_id()
        order = RetryOrder(job_id, asked.reason(required=False), asked.uuid("request_id"))
        asked.accept()
        call.span.tell({Attribute.JOB_ID: str(job_id)})
        done = await self._retry_one.retry(order, call)
        return RetryDeliveryResponse(
            success=True,
            message=REQUEUED if done.is_published else _QUEUED,
            new_job_id=str(done.new_id),
            altered=done.altered,
            redacted=done.redacted,
            state=RETRY_STATE_PUBLISHED if done.is_published else RETRY_STATE_QUEUED,
        )

    def retry_deliveries(
        self, request: RetryDeliveriesRequest, call: Call
    ) -> AsyncGenerator[RetryDeliveriesResponse, None]:
        return self._bulk_retry.run(order_of(request), call)

    async def discard_dead_letter(
        self, request: DiscardDeadLetterRequest, call: Call
    ) -> DiscardDeadLetterResponse:
        asked = ChangeAsked(request)
        job_id, reason = asked.job_id(), asked.reason(required=True)
        asked.accept()
        call.span.tell({Attribute.JOB_ID: str(job_id)})
        await self._discard.discard(job_id, reason, call)
        return DiscardDeadLetterResponse(success=True, message=_DISCARDED)

    async def run_duplicate(self, request: RunDuplicateRequest, call: Call) -> RunDuplicateResponse:
        asked = ChangeAsked(request)
        job_id, reason = asked.job_id(), asked.reason(required=True)
        order = RetryOrder(job_id, reason, asked.uuid("request_id"), statement=RUN_DUPLICATE)
        asked.accept()
        call.span.tell({Attribute.JOB_ID: str(job_id)})
        done = await self._retry_one.retry(order, call)
        return RunDuplicateResponse(
            success=True,
            message=REQUEUED if done.is_published else _QUEUED,
            new_job_id=str(done.new_id),
            duplicate_of=str(done.duplicate_of),
            altered=done.altered,
            redacted=done.redacted,
            state=RETRY_STATE_PUBLISHED if done.is_published else RETRY_STATE_QUEUED,
        )

    async def pause_processing(
        self, request: PauseProcessingRequest, call: Call
    ) -> PauseProcessingResponse:
        asked = ChangeAsked(request)
        reason = asked.reason(required=True)
        asked.accept()
        state = await self._switch.turn(paused=True, reason=reason, call=call)
        return PauseProcessingResponse(processing=state)

    async def resume_processing(
        self, request: ResumeProcessingRequest, call: Call
    ) -> ResumeProcessingResponse:
        asked = ChangeAsked(request)
        reason = asked.reason(required=False)
        asked.accept()
        state = await self._switch.turn(paused=False, reason=reason, call=call)
        return ResumeProcessingResponse(processing=state)
