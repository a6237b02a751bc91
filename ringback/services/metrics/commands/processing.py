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
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.request_reader import RequestReader


class ProcessingSwitch:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def pause_processing(
        self, request: PauseProcessingRequest, call: Call
    ) -> PauseProcessingResponse:
        """Pausing twice changes nothing. Raises ApiError."""
        reader = RequestReader(request)
        reason = reader.reason(required=True)
        reader.check()
        return PauseProcessingResponse(
            processing=await self._set(paused=True, reason=reason, call=call)
        )

    async def resume_processing(
        self, request: ResumeProcessingRequest, call: Call
    ) -> ResumeProcessingResponse:
        """Raises ApiError."""
        reader = RequestReader(request)
        reason = reader.reason(required=False)
        reader.check()
        return ResumeProcessingResponse(
            processing=await self._set(paused=False, reason=reason, call=call)
        )

    async def _set(self, *, paused: bool, reason: str, call: Call) -> ProcessingState:
        """Return the resulting state."""
        principal = call.principal
        async with self._access.changing(call) as connection:
            [row] = await connection.fetch(
                load("ringback.services.metrics.commands", "set_processing.sql"),
                paused,
                principal.actor,
                principal.role.value,
                reason or None,
            )
        state = ProcessingState(
            paused=row["paused"],
            changed_by=row["changed_by"],
            reason=row["reason"],
            processors=row["processors"],
            processors_paused=row["processors_paused"],
        )
        if row["changed_at"] is not None:
            state.changed_at.FromDatetime(row["changed_at"])
        return state
