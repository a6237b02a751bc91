"""Resolves a dead letter as not needed."""

from uuid import UUID

from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.changes.actor import actor_of
from services.metrics.changes.refusals import refusal


class Discard:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def discard(self, job_id: UUID, reason: str, call: Call) -> None:
        """The event and the attempts stay in the log. Raises ApiError; then nothing was changed."""
        principal = call.principal
        async with self._access.changing(call) as connection:
            [found] = await connection.fetch(
                load("services.metrics", "discard_webhook.sql"),
                job_id,
                actor_of(principal),
                principal.role.value,
                reason,
            )
            if found["verdict"] != "done":
                raise refusal(found["verdict"], job_id, found["new_id"])
