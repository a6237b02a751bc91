"""Handlers that fail on demand, for `ringback demo`. The local stack's processor loads them.

They handle the event type `ringback.demo`, which Vapi never sends:

    {"message": {"type": "ringback.demo", "failUntilAttempt": 3}}    fails twice, then succeeds
    {"message": {"type": "ringback.demo", "failForGood": true}}      fails permanently

They pretend to call the destination `demo`, so that `ringback destinations` has one to show.
"""

from ringback.handlers import Event, PermanentFailure, handles
from ringback.outgoing import destination

DEMO_TYPE = "ringback.demo"

demo = destination("demo", concurrency=1000)


class DemoFailure(Exception):  # ruff: ignore[error-suffix-on-exception-name]  # the log shows this name to new users
    """The failure that the payload requests."""


@handles(DEMO_TYPE)
async def fail_on_demand(event: Event) -> None:
    """Fail as the payload requests. Other payloads succeed."""
    async with demo:
        if event.message.get("failForGood") is True:
            raise PermanentFailure("The demo requested a permanent failure.")
        until = event.message.get("failUntilAttempt")
        if isinstance(until, int) and event.attempt < until:
            raise DemoFailure(f"The demo asked attempt {event.attempt} to fail.")
