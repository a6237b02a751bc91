"""Pauses processing through the metrics API, for a change of the retry schedule."""

from ringback.contract.retry_schedule import RetrySchedule
from ringback.metrics import MetricsClient
from ringback.metrics.v1.delivery_pb2 import ProcessingState

_REASON = "The retry schedule moves"


class PausedByApi:
    """A pause of this command is recognised by its reason, so another run may end it.

    The API's data about processors can be a second old, and is written after what it describes.
    """

    def __init__(self, client: MetricsClient, to: RetrySchedule) -> None:
        self._client = client
        self._reason = (
            f"{_REASON} to {to}. If that was cut short: `ringback topology move --to {to}`"
        )
        self._has_paused = False

    async def pause(self) -> None:
        """Pause, unless processing is paused already."""
        state = (await self._client.queue_health()).processing
        if not state.paused:
            await self._client.pause_processing(reason=self._reason)
            self._has_paused = True

    async def in_flight(self) -> int | None:
        """The webhooks in flight; None until every processor has noticed the pause."""
        health = await self._client.queue_health()
        state = health.processing
        if not state.paused or state.processors_paused < state.processors:
            return None
        return health.metrics.active

    async def resume(self) -> None:
        """End our pause, or that of an interrupted change."""
        if self._has_paused or _is_of_a_move((await self._client.queue_health()).processing):
            await self._client.resume_processing(reason="The retry schedule has moved")


def _is_of_a_move(state: ProcessingState) -> bool:
    return state.paused and state.reason.startswith(_REASON)
