"""Two handlers of end-of-call reports."""

import os

import aiohttp
import asyncpg

from ringback.handlers import Event, PermanentFailure, handles, on_start, on_stop
from ringback.vapi import EndOfCallReport

INSERT = """
INSERT INTO booked_calls (call_id, ended_reason) VALUES ($1, $2)
ON CONFLICT (call_id) DO NOTHING
"""

_session: aiohttp.ClientSession | None = None


@on_start
def open_session() -> None:
    """Open one session for all events of a processor. CRM_URL is where the CRM is."""
    global _session
    _session = aiohttp.ClientSession(os.environ["CRM_URL"], timeout=aiohttp.ClientTimeout(total=10))


@on_stop
async def close_session() -> None:
    if _session is not None:
        await _session.close()


@handles("end-of-call-report")
async def book(event: Event) -> None:
    """Book the call in the CRM. It may run twice for one event, so the CRM gets a key."""
    report = EndOfCallReport(event.message)
    if not report.summary:
        raise PermanentFailure("A report without a summary cannot be booked.")
    assert _session is not None
    booking = {"call": event.call_id, "number": report.customer.number, "text": report.summary}
    headers = {"Idempotency-Key": str(event.job_id), "traceparent": event.trace.traceparent}
    async with _session.post("/bookings", json=booking, headers=headers) as answer:
        if answer.status == 422:
            raise PermanentFailure(f"The CRM rejects the booking: {await answer.text()}")
        answer.raise_for_status()


@handles("end-of-call-report", transaction=True)
async def count(event: Event, connection: asyncpg.Connection) -> None:
    """Add the call to our own table. It commits exactly once, together with the event."""
    report = EndOfCallReport(event.message)
    await connection.execute(INSERT, event.call_id, report.ended_reason)
