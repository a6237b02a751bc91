from uuid import UUID

from ringback.contract.redaction.redaction import Redaction
from ringback.metrics.v1.metrics_service_pb2 import GetDeliveryRequest, GetDeliveryResponse
from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.api.errors import no_such_delivery
from services.metrics.reads.asked import Asked
from services.metrics.reads.delivery_message import attempt_of, delivery_of, retry_of
from services.metrics.reads.shown_event import is_redacted, shown_event


class OneDelivery:
    """One webhook with every attempt, its event, and its retries."""

    def __init__(self, access: Access, redaction: Redaction) -> None:
        self._access = access
        self._redaction = redaction

    async def answer(self, request: GetDeliveryRequest, call: Call) -> GetDeliveryResponse:
        asked = Asked(request)
        job_id = asked.uuid("job_id") or UUID(int=0)
        asked.accept()

        async with self._access.reading(call) as connection:
            row = await connection.fetchrow(load("services.metrics", "delivery.sql"), job_id)
            if row is None:
                raise no_such_delivery(job_id)
            attempts = await connection.fetch(
                load("services.metrics", "attempts_of_delivery.sql"), job_id
            )
            retries = await connection.fetch(
                load("services.metrics", "retries_of_delivery.sql"), job_id
            )
        delivery = delivery_of(row)
        if row["event_data"] is not None:
            delivery.event_data = shown_event(row["event_data"], self._redaction)
            delivery.redacted = is_redacted(delivery.event_data)
        response = GetDeliveryResponse(
            delivery=delivery, attempts=[attempt_of(attempt) for attempt in attempts]
        )
        for retry in retries:
            side = response.retry_of if retry["new_id"] == job_id else response.retried_as
            side.CopyFrom(retry_of(retry))
        return response
