"""Pauses and resumes processing: writes the row that the processors read."""

from ringback.metrics.v1.admin_service_pb2 import (
    PauseProcessingRequest,
    PauseProcessingResponse,
    ResumeProcessingRequest,
    ResumeProcessingResponse,
)
from ringback.metrics.v1.delivery_pb2 import ProcessingState
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.queries.delivery_message import time_of
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.request_reader import RequestReader


class ProcessingSwitch:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def pause_processing(
        self, request: PauseProcessingRequest, call: Call
    ) -> PauseProcessingResponse:
        """Pausing twice changes nothing. Raises ApiError."""
        return PauseProcessingResponse(processing=await self._set(request, call, paused=True))

    async def resume_processing(
        self, request: ResumeProcessingRequest, call: Call
    ) -> ResumeProcessingResponse:
        """Raises ApiError."""
        return ResumeProcessingResponse(processing=await self._set(request, call, paused=False))

    async def _set(
        self, request: PauseProcessingRequest | ResumeProcessingRequest, call: Call, *, paused: bool
    ) -> ProcessingState:
        """Return the resulting state. Only a pause needs a reason."""
        reader = RequestReader(request)
        reason = reader.reason(required=paused)
        reader.check()
        principal = call.principal
        async with self._access.changing(call) as connection:
            [row] = await connection.fetch(
                load("ringback.services.metrics.commands", "set_processing.sql"),
                paused,
                principal.actor,
                principal.role.value,
                reason or None,
            )
        return ProcessingState(
            paused=row["paused"],
            changed_at=time_of(row["changed_at"]),
            changed_by=row["changed_by"],
            reason=row["reason"],
            processors=row["processors"],
            processors_paused=row["processors_paused"],
        )
