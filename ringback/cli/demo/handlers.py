"""Handlers that fail on demand, for `ringback demo`. The local stack's processor loads them.

They take the type `ringback.demo`, which no call ever sends:

    {"message": {"type": "ringback.demo", "failUntilAttempt": 3}}    fails twice, then succeeds
    {"message": {"type": "ringback.demo", "failForGood": true}}      says that no attempt can help
"""

from ringback.handlers import Event, PermanentFailure, handles

DEMO_TYPE = "ringback.demo"


class DemoFailure(Exception):  # ruff: ignore[error-suffix-on-exception-name]  # the log shows this name to a newcomer
    """The failure that the payload asked for."""


@handles(DEMO_TYPE)
async def fail_on_demand(event: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
    """Fail as the payload asks. Other payloads succeed."""
    if event.message.get("failForGood") is True:
        raise PermanentFailure("The demo asked for a failure that no attempt can mend.")
    until = event.message.get("failUntilAttempt")
    if isinstance(until, int) and event.attempt < until:
        raise DemoFailure(f"The demo asked attempt {event.attempt} to fail.")
