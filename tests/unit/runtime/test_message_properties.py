"""Message properties are encoded as pamqp encodes them."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from ringback.contract.envelope import CONTENT_TYPE, Envelope
from ringback.contract.identity import JobId
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.trace_context import TraceContext
from ringback.runtime.amqp.message_properties import encode_properties

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60
)


@given(
    job_id=st.uuids(),
    event_type=TEXTS,
    endpoint_id=TEXTS,
    dedup_key=st.none() | TEXTS,
    tracestate=st.none() | TEXTS,
    retry_schedule=st.sampled_from([None, "", "2s,1h"]).map(
        lambda text: None if text is None else RetrySchedule.parse(text)
    ),
    received_at=st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # ruff: ignore[call-datetime-without-tzinfo]  # hypothesis adds the zone
)
def test_bytes_are_those_of_pamqp(
    job_id: UUID,
    event_type: str,
    endpoint_id: str,
    dedup_key: str | None,
    tracestate: str | None,
    retry_schedule: RetrySchedule | None,
    received_at: datetime,
) -> None:
    """Each property and header has the same bytes."""
    envelope = Envelope(
        job_id=JobId(job_id),
        event_type=event_type,
        org_id=UUID(int=1),
        endpoint_id=endpoint_id,
        received_at=received_at,
        gateway_instance_id=UUID(int=2),
        trace=TraceContext("00-" + "a" * 32 + "-" + "b" * 16 + "-01", tracestate),
        dedup_key=dedup_key,
        retry_schedule=retry_schedule,
    )
    expected = Basic.Properties(
        content_type=CONTENT_TYPE,
        headers=envelope.headers(),
        delivery_mode=2,
        message_id=str(job_id),
        timestamp=received_at,
        message_type=event_type,
    )

    assert encode_properties(envelope) == expected.marshal()
