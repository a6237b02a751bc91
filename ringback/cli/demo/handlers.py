"""Handlers that fail on demand, for `ringback demo`. The local stack's processor loads them.

They handle the event type `ringback.demo`, which Vapi never sends:

    {"message": {"type": "ringback.demo", "failUntilAttempt": 3}}    fails twice, then succeeds
    {"message": {"type": "ringback.demo", "failForGood": true}}      fails permanently
"""

from ringback.handlers import Event, PermanentFailure, handles

DEMO_TYPE = "ringback.demo"


class DemoFailure(Exception):  # ruff: ignore[error-suffix-on-exception-name]  # the log shows this name to new users
    """The failure that the payload requests."""


@handles(DEMO_TYPE)
async def fail_on_demand(event: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
    """Fail as the payload requests. Other payloads succeed."""
    if event.message.get("failForGood") is True:
        raise PermanentFailure("The demo requested a permanent failure.")
    until = event.message.get("failUntilAttempt")
    if isinstance(until, int) and event.attempt < until:
        raise DemoFailure(f"The demo asked attempt {event.attempt} to fail.")
