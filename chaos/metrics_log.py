"""How webhooks ended, from the metrics API: for use without access to the database."""

import asyncio
from collections.abc import Sequence
from datetime import UTC

from chaos.load.ledger import Offered
from chaos.verdict import Logged
from ringback.metrics import MetricsClient, NotFoundError
from ringback.metrics.v1.delivery_pb2 import ATTEMPT_OUTCOME_COMPLETED, DeliveryStatus

_AT_ONCE = 16


async def logged(client: MetricsClient, offers: Sequence[Offered]) -> list[Logged]:
    """Query each accepted webhook. Raises MetricsError."""
    gate = asyncio.Semaphore(_AT_ONCE)
    accepted = [offer for offer in offers if offer.is_accepted]
    found = await asyncio.gather(*(_ask(client, offer, gate) for offer in accepted))
    return [one for one in found if one is not None]


async def _ask(client: MetricsClient, offer: Offered, gate: asyncio.Semaphore) -> Logged | None:
    assert offer.job_id is not None
    async with gate:
        try:
            answer = await client.delivery(offer.job_id)
        except NotFoundError:
            return None
    delivery = answer.delivery
    ended = delivery.completed_at if delivery.HasField("completed_at") else delivery.last_attempt_at
    return Logged(
        job_id=offer.job_id,
        event=offer.event,
        status=DeliveryStatus.Name(delivery.status).removeprefix("DELIVERY_STATUS_").lower(),
        attempts=delivery.attempts,
        completions=sum(one.outcome == ATTEMPT_OUTCOME_COMPLETED for one in answer.attempts),
        finished_at=ended.ToDatetime(UTC).timestamp() if ended.ByteSize() else None,
    )
