"""Pauses and resumes the processors."""

from ringback.metrics.v1.delivery_pb2 import ProcessingState
from ringback.runtime.postgres.queries import load
from services.metrics.access import Access
from services.metrics.api.call import Call
from services.metrics.changes.actor import actor_of


class ProcessingSwitch:
    def __init__(self, access: Access) -> None:
        self._access = access

    async def turn(self, *, paused: bool, reason: str, call: Call) -> ProcessingState:
        """Return the resulting state. Pausing twice changes nothing. Raises ApiError."""
        principal = call.principal
        async with self._access.changing(call) as connection:
            [row] = await connection.fetch(
                load("services.metrics", "set_processing.sql"),
                paused,
                actor_of(principal),
                principal.role.value,
                reason or None,
            )
        state = ProcessingState(
            paused=row["paused"],
            changed_by=row["changed_by"],
            reason=row["reason"],
            processors=row["all_of_them"],
            processors_paused=row["paused_of_them"],
        )
        if row["changed_at"] is not None:
            state.changed_at.FromDatetime(row["changed_at"])
        return state
