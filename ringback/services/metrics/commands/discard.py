"""Resolves a dead letter as not needed."""

from ringback.contract.telemetry.spans import Attribute
from ringback.metrics.v1.admin_service_pb2 import (
    DiscardDeadLetterRequest,
    DiscardDeadLetterResponse,
)
from ringback.runtime.postgres.queries import load
from ringback.services.metrics.auth.access import Access
from ringback.services.metrics.commands.retry import error_for
from ringback.services.metrics.transport.call import Call
from ringback.services.metrics.transport.request_reader import RequestReader


class Discard:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def discard_dead_letter(
        self, request: DiscardDeadLetterRequest, call: Call
    ) -> DiscardDeadLetterResponse:
        """The event and the attempts stay in the log. Raises ApiError; then nothing was changed."""
        reader = RequestReader(request)
        job_id, reason = reader.job_id(), reader.reason(required=True)
        reader.check()
        call.span.set_attributes({Attribute.JOB_ID: str(job_id)})
        principal = call.principal
        async with self._access.changing(call) as connection:
            [found] = await connection.fetch(
                load("ringback.services.metrics.commands", "discard_webhook.sql"),
                job_id,
                principal.actor,
                principal.role.value,
                reason,
            )
            if found["verdict"] != "done":
                raise error_for(found["verdict"], job_id, found["new_id"])
        return DiscardDeadLetterResponse(success=True, message="Dead letter discarded")
