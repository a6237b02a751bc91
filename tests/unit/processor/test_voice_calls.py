"""The changes that the built-in handler makes to a call, and where an event has their values."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.contract.event import Event as Read
from ringback.contract.event import read_event
from ringback.samples.catalog import names, sample
from ringback.services.processor.builtin.voice_calls import call_update_of, ends_call
from tests.unit.processor.events import ORG, RECEIVED, event

REPORT, STATUS = "end-of-call-report", "status-update"
START, END = "2025-04-03T09:00:00Z", "2025-04-03T09:00:42.500Z"
STARTED, ENDED = datetime.fromisoformat(START), datetime.fromisoformat(END)


def read(event_type: str, message: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The values that an event gives its call, by the names of their columns."""
    update = call_update_of(event(type=event_type, message=message, **changes))
    assert update is not None
    return dict(update)


def rank(column: str, event_type: str, message: dict[str, Any], **changes: Any) -> int:
    """The rank of a column's value."""
    values = read(event_type, message, **changes)
    ranks: list[int] = values["ranks"]
    return ranks[list(values).index(column) - list(values).index("call_type")]


def test_every_sample_is_an_event_of_its_call() -> None:
    """The row has a time, and nothing that cannot be stored."""
    for name in names():
        body = read_event(sample(name))
        assert isinstance(body, Read)

        values = read(body.type, body.message)

        assert (values["org_id"], values["call_id"]) == (ORG, "call-1"), name
        assert values["happened_at"].tzinfo is not None


def test_only_a_status_update_has_a_status() -> None:
    """The platform's call object is a snapshot of the call's creation; its status means nothing."""
    snapshot = {"call": {"status": "queued", "id": "call-1"}}

    assert read("status-update", snapshot | {"status": "in-progress"})["status"] == "in-progress"
    assert read("transcript", snapshot | {"status": "in-progress"})["status"] is None


def test_an_event_of_no_call_changes_no_call() -> None:
    """And a value that is missing has no rank, so it never hides another."""
    assert call_update_of(event(call_id=None)) is None
    assert read("hang", {})["ranks"] == [0] * 12


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


MOMENT = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
TIMES: list[tuple[object, datetime]] = [
    (1_700_000_000, MOMENT),
    (1_700_000_000_000, MOMENT),
    (1_700_000_000_000.5, MOMENT.replace(microsecond=500)),
    (1_700_000_000_000_000, MOMENT),
    (1_700_000_000_000_000_000, MOMENT),
    ("1700000000", MOMENT),
    ("1700000000000", MOMENT),
    ("2023-11-14T22:13:20Z", MOMENT),
    ("2023-11-14T22:13:20", MOMENT),
    ("2023-11-15T00:13:20+02:00", MOMENT),
    ("2023-11-14T22:13:20.000000000Z", MOMENT),
    (RECEIVED.isoformat(), RECEIVED),
    ((RECEIVED + timedelta(days=1)).isoformat(), RECEIVED + timedelta(days=1)),
]
NO_TIMES: list[object] = [
    0, 1, -5, 10**11, 10**30, True, math.nan, math.inf, None, [], {}, "", "yesterday", "NaN", "0",
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "0001-01-01T00:00:00+14:00",
    "1970-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "-infinity",
    (RECEIVED + timedelta(days=3)).isoformat(), "9" * 5000, "\x00", "2023-11-14T22:13:20Z" * 9,
]  # fmt: skip


@pytest.mark.parametrize(("value", "moment"), TIMES)
@pytest.mark.parametrize("place", ["startedAt", "endedAt"])
def test_times_are_iso_or_since_the_epoch_in_any_unit(
    place: str, value: object, moment: datetime
) -> None:
    """The platform writes both. A number of seconds is not read as milliseconds of 1970."""
    column = {"startedAt": "started_at", "endedAt": "ended_at"}[place]

    assert read("end-of-call-report", {place: value})[column] == moment
    assert read("end-of-call-report", {place: "?", "call": {place: value}})[column] == moment
    assert read("hang", {"timestamp": value})["happened_at"] == moment


def test_an_impossible_time_is_missing() -> None:
    """Zero times of clocks and of languages, times before 2000 and times days ahead."""
    for value in NO_TIMES:
        values = read(
            "end-of-call-report", {"startedAt": value, "endedAt": value, "timestamp": value}
        )

        assert (values["started_at"], values["ended_at"]) == (None, None), value
        assert values["happened_at"] == RECEIVED, value


@pytest.mark.parametrize(
    ("given_values", "number"),
    [
        # Numbers may be text.
        ([12.5, "12.5", " 12.5 ", "1.25e1", "+12.50"], 12.5),
        # A wrong type, or a size that no call has, doesn't fail an event.
        ([True, "", "twelve", "NaN", "inf", "1_000", "0x10", [], {}, None, math.inf, math.nan,
          10**400, 1e300, -1, "-1", "9" * 5000, "1e999"], None),
    ],
)  # fmt: skip
def test_a_number_is_read_or_missing(given_values: list[object], number: float | None) -> None:
    for value in given_values:
        values = read("end-of-call-report", {"cost": value, "durationSeconds": value})

        assert (values["cost"], values["duration_seconds"]) == (number, number), value


PLACES: list[tuple[str, str, dict[str, Any], Any]] = [
    ("transcript", REPORT, {"artifact": {"transcript": "A"}, "transcript": "B"}, "A"),
    ("transcript", REPORT, {"transcript": "B", "call": {"artifact": {"transcript": "C"}}}, "B"),
    ("transcript", REPORT, {"call": {"artifact": {"transcript": "C"}}}, "C"),
    ("transcript", STATUS, {"status": "forwarding", "transcript": "D"}, "D"),
    ("transcript", "transcript", {"transcript": "One sentence."}, None),
    ("summary", REPORT, {"analysis": {"summary": "A"}, "summary": "B"}, "A"),
    ("summary", REPORT, {"analysis": {"summary": ""}, "summary": "B"}, "B"),
    ("summary", REPORT, {"call": {"analysis": {"summary": "C"}}}, "C"),
    ("ended_reason", REPORT, {"endedReason": "a", "call": {"endedReason": "b"}}, "a"),
    ("ended_reason", REPORT, {"endedReason": {}, "call": {"endedReason": "b"}}, "b"),
    ("duration_seconds", REPORT, {"durationSeconds": 12.5, "durationMs": 9}, 12.5),
    ("duration_seconds", REPORT, {"durationMs": 26_830, "durationMinutes": 9}, 26.83),
    ("duration_seconds", REPORT, {"durationMinutes": 0.5}, 30.0),
    ("duration_seconds", REPORT, {"startedAt": START, "endedAt": END}, 42.5),
    ("duration_seconds", REPORT, {"startedAt": END, "endedAt": START}, None),
    ("duration_seconds", REPORT, {"call": {"startedAt": START, "endedAt": END}}, 42.5),
    ("cost", REPORT, {"cost": 0.1, "costBreakdown": {"total": 0.2}}, 0.1),
    ("cost", REPORT, {"costBreakdown": {"total": 0.2}, "costs": [{"cost": 0.3}]}, 0.2),
    ("cost", REPORT, {"costs": [{"cost": 0.25}, {"cost": "0.5"}, {}, 7]}, 0.75),
    ("cost", REPORT, {"costs": [], "call": {"cost": 0.4}}, 0.4),
    ("cost", REPORT, {"call": {"cost": 0}}, None),
    ("cost", REPORT, {"cost": 0}, 0),
    ("cost", "hang", {"cost": 0.1}, None),
    ("customer_number", "hang", {"customer": {"number": "+15550001111"}}, "+15550001111"),
    ("customer_number", "hang", {"customer": {"number": 15550001111}}, "15550001111"),
    ("customer_number", "hang", {"customer": {"number": "sip:a@b"}}, "sip:a@b"),
    ("customer_number", "hang", {"customer": {"sipUri": "sip:a@b"}}, "sip:a@b"),
    ("customer_number", "hang", {"call": {"customer": {"sipUri": "sip:a@b"}}}, "sip:a@b"),
    ("customer_number", "hang", {"customer": {"number": True, "sipUri": ["sip:a@b"]}}, None),
    ("assistant_id", "hang", {"call": {"assistantId": None}, "assistant": {"id": "a"}}, "a"),
    ("phone_number_id", "hang", {"phoneNumber": {"id": "p"}}, "p"),
    ("phone_number_id", "hang", {"call": {"phoneNumber": {"id": "p"}}}, "p"),
    ("status", REPORT, {}, "ended"),
    ("started_at", STATUS, {"status": "in-progress", "timestamp": START}, STARTED),
    ("ended_at", STATUS, {"status": "ended", "timestamp": END}, ENDED),
    ("started_at", STATUS, {"status": "ringing", "timestamp": START}, None),
]  # fmt: skip


def test_each_column_is_read_from_every_documented_place() -> None:
    """The places are in the order of trust."""
    for column, kind, message, value in PLACES:
        assert read(kind, message)[column] == value, (column, kind, message)


@pytest.mark.parametrize(
    "messages",
    [
        {"artifact": {"messages": [
            {"role": "system", "message": "You are Riley."}, {"role": "bot", "message": "Hello."},
            {"role": "user", "message": "Hi."}, {"role": "tool_calls", "message": ""},
            "?", {"role": ["user"]}, {"role": "user", "message": 5}]}},
        {"messages": [{"role": "bot", "message": "Hello."}, {"role": "user", "message": "Hi."}]},
        {"artifact": {"messagesOpenAIFormatted": [
            {"role": "system", "content": "You are Riley."},
            {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Hi."}]}},
    ],
)  # fmt: skip
def test_without_a_transcript_the_messages_make_one(messages: dict[str, Any]) -> None:
    """The text has the form of Vapi's own. A stated transcript is trusted more."""
    assert read(REPORT, messages)["transcript"] == "AI: Hello.\nUser: Hi.\n"
    assert rank("transcript", REPORT, messages) < rank("transcript", REPORT, {"transcript": "x"})


def test_a_word_that_is_too_long_is_missing() -> None:
    """Statuses and reasons are words; a page of text instead is not stored in the row."""
    assert read("hang", {"endedReason": "x" * 501})["ended_reason"] is None
    assert read("hang", {"endedReason": "x" * 500})["ended_reason"] == "x" * 500


def test_texts_of_ten_megabytes_make_no_event_fail() -> None:
    """A status that is not a word is missing; a transcript may have any length."""
    vast = "9" * 10_000_000
    names = [
        "transcript", "cost", "durationSeconds", "startedAt", "endedReason", "timestamp", "status",
    ]  # fmt: skip

    values = read(REPORT, dict.fromkeys(names, vast) | {"customer": {"number": vast}})

    missing = ("ended_reason", "customer_number", "cost")
    assert (values["transcript"], [values[name] for name in missing]) == (vast, [None] * 3)
