"""A handler of Ringback for the failing part of the benchmark."""

from benchmarks.load import FAILING
from ringback.handlers import Event, handles


class BenchmarkError(Exception):
    """The failure that the benchmark asks for."""


@handles("end-of-call-report")
async def fail_twice(event: Event) -> None:  # ruff: ignore[unused-async]  # handlers are async
    call = event.message.get("call") or {}
    if str(call.get("id", "")).startswith(FAILING) and event.attempt < 3:
        raise BenchmarkError(f"Attempt {event.attempt} fails.")
