"""Every event type that Vapi documents, through gateway and processor."""

from datetime import UTC, datetime

import orjson

from ringback import samples
from tests.acceptance.whole import Whole

TRANSCRIPT = """AI: Example Dental, this is Riley. How can I help?
User: Do you have anything free on Tuesday?
AI: Ten thirty is free. Shall I book it?
User: Yes, please.
"""


async def test_the_documented_sample_of_every_type_ends_in_a_right_row(whole: Whole) -> None:
    """All are completed, and those of a call give its row with a value in every column."""
    bodies = [samples.sample(name) for name in samples.names()]
    report = orjson.loads(samples.sample("end-of-call-report-documented"))["message"]
    call_id = report["call"]["id"]
    of_call = [
        body
        for body in bodies
        if orjson.loads(body)["message"].get("call", {}).get("id") == call_id
    ]

    statuses = await whole.settled([await whole.accepted(body) for body in bodies])

    assert statuses == ["completed"] * len(bodies)
    [row] = await whole.database.fetch("SELECT * FROM voice_calls WHERE call_id = $1", call_id)
    found = dict(row)
    for name in ("org_id", "ranks", "first_event_at", "last_event_at"):
        found.pop(name)
    assert found == {
        "call_id": call_id,
        "call_type": "inboundPhoneCall",
        "status": "ended",
        "started_at": datetime(2026, 8, 14, 14, 37, 4, tzinfo=UTC),
        "ended_at": datetime(2026, 8, 14, 14, 37, 46, 500_000, tzinfo=UTC),
        "ended_reason": "customer-ended-call",
        "duration_seconds": 42.5,
        "cost": 0.0713,
        "customer_number": "+15550100142",
        "assistant_id": "0a1b2c3d-0000-4000-8000-0000000000b1",
        "phone_number_id": "0a1b2c3d-0000-4000-8000-0000000000e1",
        "summary": "The caller asked for Tuesday and was booked for 10:30.",
        "transcript": TRANSCRIPT,
        "events": len(of_call),
    }
    assert len(of_call) > 15
