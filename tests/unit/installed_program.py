"""What a program does with `pip install ringback`; test_wheel.py runs it and checks its types."""

# ruff: file-ignore[print] - the test reads it.
import asyncio
import json
from uuid import UUID

from ringback.handlers import Event, PermanentFailure, handles
from ringback.metrics import MetricsClient
from ringback.samples import names, sample
from ringback.testing import attempt
from ringback.vapi import EndOfCallReport


@handles("end-of-call-report")
async def book(event: Event) -> None:
    reason: str | None = EndOfCallReport(event.message).ended_reason
    if not reason:
        raise PermanentFailure(f"The report of {event.call_id} has no reason.")
    await asyncio.sleep(0)


async def dead_jobs(client: MetricsClient) -> list[UUID]:
    return [UUID(one.job_id) async for one in client.dead_letters(event_type="tool-calls")]


async def main() -> None:
    for name in names():
        json.loads(sample(name))
    async with MetricsClient("127.0.0.1:9", token="unused") as client:
        print(type(client).__name__, dead_jobs.__name__, book.__name__)
    print((await attempt(book, sample("end-of-call-report"))).outcome)


asyncio.run(main())
