"""What the built-in handler reads from an event."""

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
from services.processor.voice_calls import effects_of
from tests.unit.processor.events import ORG, RECEIVED, event

COLUMNS = (
    "org_id", "call_id", "call_type", "status", "started_at", "ended_at", "ended_reason",
    "duration_seconds", "cost", "customer_number", "assistant_id", "phone_number_id", "summary",
    "transcript", "happened_at",
)  # fmt: skip


def read(event_type: str, message: dict[str, Any]) -> dict[str, Any]:
    """The values that an event gives its call, by the names of their columns."""
    [effect] = effects_of(event(type=event_type, message=message))
    return dict(zip(COLUMNS, effect.arguments, strict=True))


@pytest.mark.parametrize("name", names())
def test_every_sample_is_an_event_of_its_call(name: str) -> None:
    """With a time, and without anything that cannot be kept."""
    body = read_event(sample(name))
    assert isinstance(body, Read)

    values = read(body.type, body.message)

    assert (values["org_id"], values["call_id"]) == (ORG, "call-1")
    assert values["happened_at"].tzinfo is not None


def test_the_report_tells_how_the_call_ended() -> None:
    """It is the one event that has cost, transcript and summary."""
    body = read_event(sample("end-of-call-report"))
    assert isinstance(body, Read)

    values = read(body.type, body.message)

    assert values["status"] == "ended"
    assert values["cost"] > 0
    assert values["duration_seconds"] > 0
    assert values["started_at"] < values["ended_at"]
    assert values["ended_reason"]
    assert values["summary"]
    assert values["transcript"]


def test_only_a_status_update_tells_a_status() -> None:
    """The platform's call object is a snapshot of the call's creation; its status says nothing."""
    snapshot = {"call": {"status": "queued", "id": "call-1"}}

    assert read("status-update", snapshot | {"status": "in-progress"})["status"] == "in-progress"
    assert read("transcript", snapshot | {"status": "in-progress"})["status"] is None


def test_an_event_of_no_call_changes_no_call() -> None:
    """There is no row that it could be about."""
    assert effects_of(event(call_id=None)) == ()


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        (1_700_000_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (1_700_000_000_000.5, datetime(2023, 11, 14, 22, 13, 20, 500, tzinfo=UTC)),
        ("2023-11-14T22:13:20Z", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2023-11-14T22:13:20", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        ("2023-11-15T00:13:20+02:00", datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        # What is no time of a call: the time of its arrival stands for it.
        (0, RECEIVED),
        (-5, RECEIVED),
        (10**30, RECEIVED),
        (True, RECEIVED),
        (math.nan, RECEIVED),
        ("yesterday", RECEIVED),
        ("0001-01-01T00:00:00+14:00", RECEIVED),
        (None, RECEIVED),
        ([], RECEIVED),
    ],
)
def test_times_are_epoch_milliseconds_or_iso(value: object, moment: datetime) -> None:
    """The platform writes both; a time that is none is as good as missing."""
    assert read("hang", {"timestamp": value})["happened_at"] == moment


@pytest.mark.parametrize("value", [True, "12", [], {}, None, math.inf, 10**400])
def test_a_number_that_is_none_is_missing(value: object) -> None:
    """A wrong type is no reason to fail an event."""
    assert read("end-of-call-report", {"cost": value})["cost"] is None


def test_a_word_that_is_too_long_is_none() -> None:
    """Statuses and reasons are words; a page of text in their place is kept out of the row."""
    assert read("hang", {"endedReason": "x" * 501})["ended_reason"] is None
    assert read("hang", {"endedReason": "x" * 500})["ended_reason"] == "x" * 500


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
    "call", "customer", "assistant", "phoneNumber", "analysis", "timestamp", "startedAt", "endedAt",
    "endedReason", "durationSeconds", "cost", "summary", "transcript", "status", "id", "number",
    "type", "assistantId", "phoneNumberId",
]  # fmt: skip
_MESSAGES = st.dictionaries(
    st.sampled_from(_KEYS), _JSON | st.dictionaries(st.sampled_from(_KEYS), _JSON)
)


@given(
    message=_MESSAGES, kind=st.sampled_from(["status-update", "end-of-call-report", "hang", "x"])
)
def test_no_value_of_any_type_makes_it_fail(message: dict[str, Any], kind: str) -> None:
    """Every value that it gives can be stored."""
    values = read(kind, message)

    for value in values.values():
        if isinstance(value, str):
            assert "\x00" not in value
            assert value.encode()
        elif isinstance(value, float):
            assert math.isfinite(value)
        elif isinstance(value, datetime):
            assert value.tzinfo is UTC
    assert orjson.dumps(values)
