"""Lets processing rest for a move of the ladder, by the metrics API."""

from ringback.contract.ladder import Ladder
from ringback.metrics import MetricsClient
from ringback.metrics.v1.delivery_pb2 import ProcessingState

_REASON = "The retry ladder moves"


class PausedByApi:
    """A pause that a move has set is known by its reason: another run of the move may end it.

    What the API tells of processors can be a second old, and was written after what it tells of.
    """

    def __init__(self, client: MetricsClient, to: Ladder) -> None:
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

    async def in_hand(self) -> int | None:
        """What processors hold; None while not all of them have noticed the pause."""
        health = await self._client.queue_health()
        state = health.processing
        if not state.paused or state.processors_paused < state.processors:
            return None
        return health.metrics.active

    async def resume(self) -> None:
        """End a pause of ours, or of a move that was cut short."""
        if self._has_paused or _is_of_a_move((await self._client.queue_health()).processing):
            await self._client.resume_processing(reason="The retry ladder has moved")


def _is_of_a_move(state: ProcessingState) -> bool:
    return state.paused and state.reason.startswith(_REASON)
