"""A handler of Ringback for the parts of the benchmark in which webhooks fail or hang."""

import asyncio

from benchmarks.load import FAILING, HANGING
from ringback.handlers import Event, handles


class BenchmarkError(Exception):
    """The failure that the benchmark asks for."""


@handles("end-of-call-report")
async def fail_or_hang(event: Event) -> None:
    if event.endpoint_id == HANGING:
        await asyncio.Event().wait()
    call = event.message.get("call") or {}
    if str(call.get("id", "")).startswith(FAILING) and event.attempt < 3:
        raise BenchmarkError(f"Attempt {event.attempt} fails.")
