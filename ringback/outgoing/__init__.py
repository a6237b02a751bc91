"""Call other services from a handler, so that webhooks wait while a service is down.

    from ringback.outgoing import destination

    calendar = destination("google-calendar", timeout_s=3)

    @handles("end-of-call-report")
    async def book(event: Event) -> None:
        async with calendar.session() as session:
            answer = await session.post("calendars/primary/events", json=..., headers=...)
            answer.raise_for_status()

Any other client works too, inside `async with calendar:`. A destination that keeps failing is not
called for some time: then a call raises Unavailable, and so does one that fails meanwhile. If the
handler does not catch it, no attempt is used, and the webhook waits until the destination answers
again.
"""

from ringback.outgoing.calls import Destination, Unavailable
from ringback.outgoing.registry import destination

__all__ = ["Destination", "Unavailable", "destination"]
