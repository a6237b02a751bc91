"""The changes that the built-in handler makes to a call."""

import math
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.event import Event as Read
from ringback.contract.event import read_event
from ringback.samples.catalog import names, sample
from services.processor.builtin.voice_calls import call_update_of, ends_call
from tests.unit.processor.call_readings import (
    REPORT,
    STATUS,
    read,
)
from tests.unit.processor.events import ORG, event


@pytest.mark.parametrize("name", names())
def test_every_sample_is_an_event_of_its_call(name: str) -> None:
    """The row has a time, and nothing that cannot be stored."""
    body = read_event(sample(name))
    assert isinstance(body, Read)

    values = read(body.type, body.message)

    assert (values["org_id"], values["call_id"]) == (ORG, "call-1")
    assert values["happened_at"].tzinfo is not None


def test_only_a_status_update_has_a_status() -> None:
    """The platform's call object is a snapshot of the call's creation; its status means nothing."""
    snapshot = {"call": {"status": "queued", "id": "call-1"}}

    assert read("status-update", snapshot | {"status": "in-progress"})["status"] == "in-progress"
    assert read("transcript", snapshot | {"status": "in-progress"})["status"] is None


def test_an_event_of_no_call_changes_no_call() -> None:
    assert call_update_of(event(call_id=None)) is None


def test_no_value_has_no_rank() -> None:
    """So it never hides another status."""
    values = read("hang", {})

    assert values["ranks"] == [0] * 12


@pytest.mark.parametrize(
    ("kind", "message", "is_last"),
    [(REPORT, {}, True), (STATUS, {"status": "ended"}, True),
     (STATUS, {"status": "ringing"}, False), ("hang", {}, False)],
)  # fmt: skip
def test_the_last_events_of_a_call_end_it(
    kind: str,
    message: dict[str, Any],
    is_last: bool,  # ruff: ignore[boolean-type-hint-positional-argument]
) -> None:
    """A duplicate of these may contain more."""
    assert ends_call(kind, message) == is_last


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\x00", "\ud800", "0000-00-00", "9999-12-31T23:59:59-14:00", 10**400]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
_KEYS = [
    "artifact", "messages", "messagesOpenAIFormatted", "role", "message", "content", "costs",
    "costBreakdown", "total", "durationMs", "durationMinutes", "sipUri", "call", "customer",
    "assistant", "phoneNumber", "analysis", "timestamp", "startedAt", "endedAt", "endedReason",
    "durationSeconds", "cost", "summary", "transcript", "status", "id", "number", "type",
    "assistantId", "phoneNumberId",
]  # fmt: skip
_MESSAGES = st.dictionaries(
    st.sampled_from(_KEYS), _JSON | st.dictionaries(st.sampled_from(_KEYS), _JSON)
)


@given(
    message=_MESSAGES, kind=st.sampled_from(["status-update", "end-of-call-report", "hang", "x"])
)
def test_no_value_fails_it(message: dict[str, Any], kind: str) -> None:
    """Every value that it returns can be stored."""
    values = read(kind, message)

    assert all(0 <= found < 2**63 for found in values.pop("ranks"))
    for value in values.values():
        if isinstance(value, str):
            assert "\x00" not in value
            assert value.encode()
        elif isinstance(value, float):
            assert math.isfinite(value)
        elif isinstance(value, datetime):
            assert value.tzinfo is UTC
    assert orjson.dumps(values)
