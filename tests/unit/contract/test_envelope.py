"""Tests for ringback.contract.envelope."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.envelope import (
    Envelope,
    Header,
    InvalidEnvelope,
    open_envelope,
    without_broker_headers,
)
from ringback.contract.identity import JobId, new_job_id
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.trace_context import TraceContext, new_trace_context

JOB_IDS = st.builds(
    lambda time_ms, rest: JobId(
        UUID(int=time_ms << 80 | 7 << 76 | 2 << 62 | rest & ~(3 << 62) & (2**64 - 1))
    ),
    st.integers(0, 253_402_300_799_999),
    st.integers(0, 2**64 - 1),
)
KEEPABLE = st.text(
    st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1, max_size=100
)
MOMENTS = st.datetimes(
    datetime(2000, 1, 1),  # ruff: ignore[call-datetime-without-tzinfo]  # hypothesis adds the zone
    datetime(2100, 1, 1),  # ruff: ignore[call-datetime-without-tzinfo]
    timezones=st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours))),
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 1_000 * 1_000))
ORIGINS = st.builds(lambda: TraceContext(new_trace_context().traceparent))
ENVELOPES = st.builds(
    Envelope,
    job_id=JOB_IDS,
    event_type=KEEPABLE,
    org_id=st.uuids(),
    endpoint_id=KEEPABLE,
    received_at=MOMENTS,
    gateway_instance_id=st.uuids(),
    trace=st.builds(
        lambda tracestate: TraceContext(new_trace_context().traceparent, tracestate),
        st.none() | st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1),
    ),
    dedup_key=st.none() | KEEPABLE,
    retry_of=st.none() | JOB_IDS,
    is_bulk=st.booleans(),
    origin=st.none() | ORIGINS,
    retry_schedule=st.none() | st.sampled_from(["", "2s,1h"]).map(RetrySchedule.parse),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.text() | st.uuids(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES_OF_OURS = [header.value for header in Header]

JOB_ID = "01a20a80-fe04-71ed-98f7-bf5413aae835"


def good_headers() -> dict[str, Any]:
    return Envelope(
        job_id=new_job_id(),
        event_type="hang",
        org_id=UUID(int=1),
        endpoint_id="default",
        received_at=datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC),
        gateway_instance_id=UUID(int=2),
        trace=new_trace_context(),
        dedup_key="hang|1",
        retry_of=new_job_id(),
    ).headers()


@given(ENVELOPES)
def test_what_is_written_is_read(envelope: Envelope) -> None:
    """Reading a message returns the envelope that was written."""
    opened = open_envelope(
        message_id=str(envelope.job_id), event_type=envelope.event_type, headers=envelope.headers()
    )

    assert opened == envelope


@given(JOB_IDS, st.dictionaries(st.sampled_from(NAMES_OF_OURS), VALUES))
def test_one_strange_header_beside_good_ones_makes_nothing_fail(
    job_id: JobId, strange: dict[str, Any]
) -> None:
    """A read envelope can be written again: a retry publishes it."""
    opened = open_envelope(
        message_id=str(job_id), event_type="hang", headers=good_headers() | strange
    )

    if isinstance(opened, InvalidEnvelope):
        assert opened.reason.endswith(".")
    else:
        assert all(isinstance(value, str) for value in opened.headers().values())


@pytest.mark.parametrize(
    ("bad", "properties"),
    [
        *(
            ({name: value}, {})
            for name, value in (
                *(("org_id", None), ("org_id", "acme"), ("org_id", 7)),
                *(("endpoint_id", ""), ("endpoint_id", b"default")),
                ("received_at", "yesterday"),
                ("received_at", "2026-01-02T03:04:05"),  # of no zone
                ("received_at", "0001-01-01T00:00:00+14:00"),  # before the first year
                *(("gateway_instance_id", "1"), ("traceparent", "00-1-2-3")),
                ("endpoint_id", "a\x00b"),  # PostgreSQL cannot hold it
                *(("dedup_key", "a\x00b"), ("dedup_key", "\ud800"), ("dedup_key", 5)),
                ("dedup_key", "k" * 2_001),  # no index can hold it
            )
        ),
        # The gateway always sets both properties.
        *(({}, {"message_id": text}) for text in (None, "1")),
        *(({}, {"event_type": text}) for text in (None, "", "a\x00b")),
    ],
)
def test_a_message_with_a_bad_header_or_property_is_not_ours(
    bad: dict[str, Any], properties: dict[str, Any]
) -> None:
    """It becomes a dead letter alone, and does not fail its batch."""
    good = {"message_id": JOB_ID, "event_type": "hang"}

    opened = open_envelope(**good | properties, headers=good_headers() | bad)

    assert isinstance(opened, InvalidEnvelope)


@pytest.mark.parametrize(
    "name",
    ["x-death", "x-first-death-queue", "x-first-death-reason", "x-first-death-exchange",
     "x-last-death-queue", "x-last-death-reason", "x-last-death-exchange", "x-delivery-count"],
)  # fmt: skip
def test_what_the_broker_wrote_is_not_published_again(name: str) -> None:
    """Older brokers believe it and drop the message as a cycle."""
    assert without_broker_headers({name: "x", "org_id": "1"}) == {"org_id": "1"}
