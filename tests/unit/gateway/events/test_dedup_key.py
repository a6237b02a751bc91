"""Which webhooks are the same event, by type."""

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback import samples
from ringback.contract.event import Event, read_event
from ringback.contract.telemetry import KNOWN_EVENT_TYPES
from ringback.services.gateway.events.dedup_key import MAX_KEY_LENGTH, dedup_key
from tests.unit.gateway.events.dedup_rows import CALL, ROWS, tool_call

HEX = set(string.hexdigits.lower())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def event(event_type: str, **message: Any) -> Event:
    read = read_event(json.dumps({"message": {"type": event_type, **message}}).encode())
    assert isinstance(read, Event)
    return read


def key(event_type: str, **message: Any) -> str | None:
    read = event(event_type, **message)
    return dedup_key(read.type, read.message)


WITHOUT_KEY = ["call.endpointing.request", "model-output", "voice-input", "voice-request"]


def test_a_copy_has_the_same_key_and_another_event_has_not() -> None:
    """Other snapshots and links do not change the key."""
    for event_type, message, others in ROWS:
        copy = {**message, "artifact": {"presignedUrl": "x"}, "assistant": {"name": "changed"}}
        if message.get("call"):
            copy["call"] = {**message["call"], "status": "ended", "updatedAt": "later"}

        first = key(event_type, **message)

        assert first is not None, event_type
        assert first.startswith(f"{event_type}|")
        assert first == key(event_type, **copy)
        assert first not in {key(event_type, **(message | other)) for other in others}


def test_every_documented_type_is_decided() -> None:
    """In the table, on the page for its readers, and with a sample for all tests."""
    page = (Path(__file__).parents[4] / "docs" / "dedup-keys.md").read_text(encoding="utf-8")
    first_cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    listed = {name for cell in first_cells for name in re.findall(r"`([^`]+)`", cell)}
    events = [read_event(samples.sample(name)) for name in samples.names()]

    assert {row[0] for row in ROWS} | set(WITHOUT_KEY) == KNOWN_EVENT_TYPES
    assert listed - {"ended"} == KNOWN_EVENT_TYPES
    assert {one.type for one in events if isinstance(one, Event)} == KNOWN_EVENT_TYPES


SENTENCE = {"call": CALL, "role": "user", "transcript": "Hi.", "timestamp": 1}
BOOK = {"name": "book", "arguments": {"day": "Monday", "hour": 9}}
BOOKING = {"call": CALL, "toolCallList": [{"id": "a", "function": BOOK}]}
TWO_TOOLS = [tool_call("call_0"), tool_call("call_1", "book_appointment")]


@pytest.mark.parametrize(
    ("event_type", "message", "other_type", "other"),
    [
        # The end of a call is one event, unlike other statuses.
        ("status-update", {"call": CALL, "status": "ended", "timestamp": 1},
         "status-update", {"call": CALL, "status": "ended", "timestamp": 2}),
        ("transcript", SENTENCE | {"transcriptType": "final"},
         'transcript[transcriptType="final"]', SENTENCE),
        # A turn that calls two tools is one event, in any order.
        ("tool-calls", {"call": CALL, "toolCallList": TWO_TOOLS},
         "tool-calls", {"call": CALL, "toolCallList": TWO_TOOLS[::-1]}),
        # A tool call in every format. Arguments may be an object or its JSON text, in any order.
        *(("tool-calls", BOOKING, "tool-calls", {"call": CALL, **calls}) for calls in (
            {"toolCallList": [{"id": "a", "type": "function", "function": BOOK}]},
            {"toolCalls": [{"id": "a", "function": BOOK}]},
            {"toolCallList": [{"id": "a", **BOOK}]},
            {"toolCallList": [{"id": "a", "name": "book", "parameters": BOOK["arguments"]}]},
            {"toolCallList": [{"id": "a", "name": "book",
                               "arguments": '{"hour": 9, "day":"Monday"}'}]},
            {"toolWithToolCallList": [{"toolCall": {"id": "a", "function": BOOK}}]},
            {"toolWithToolCallList": [
                {"name": "book", "toolCall": {"id": "a", "parameters": BOOK["arguments"]}}]},
        )),
    ],
)  # fmt: skip
def test_these_are_the_same_event(
    event_type: str, message: dict[str, Any], other_type: str, other: dict[str, Any]
) -> None:
    assert key(event_type, **message) == key(other_type, **other) is not None


@pytest.mark.parametrize(
    "arguments", ["", "no JSON", "[" * 1000 + "]" * 1000, "[" * 300 + "]" * 300, "1e400", 5, True]
)
def test_arguments_of_any_kind_have_a_key(arguments: Any) -> None:
    """Models may write arguments of any type."""
    call = {"id": "a", "name": "book", "arguments": arguments}

    assert key("tool-calls", call=CALL, toolCallList=[call])
    assert key("tool-calls", call=CALL, toolCallList=[call]) != key(
        "tool-calls", call=CALL, toolCallList=[{**call, "arguments": "other"}]
    )


@pytest.mark.parametrize(
    ("event_type", "message"),
    [
        ("campaign.started", {"campaignId": "c"}),
        ("never.heard.of", {}),
        ("never.heard.of", {"timestamp": None, "createdAt": "2026-01-01T00:00:00Z"}),
        ("end-of-call-report", {"call": None}),
        ("end-of-call-report", {"call": {"id": ""}}),
        ("end-of-call-report", {"call": {"id": {"nested": True}}}),
        ("hang", {"call": CALL}),
        ("function-call", {"call": CALL, "functionCall": {"name": "f", "parameters": {}}}),
        ("function-call", {"functionCall": {"name": "f", "parameters": {}}, "timestamp": 1}),
        ("transcript", {"call": CALL, "role": "user", "transcript": "Yes."}),
        ("transcript", {"role": "user", "transcript": "Yes.", "timestamp": 1}),
        ("user-interrupted", {"call": CALL}),
        ("user-interrupted", {"call": CALL, "turnId": "t"}),
        ("user-interrupted", {"turnId": "t", "timestamp": 1}),
        ("phone-call-control", {"call": CALL, "request": "hang-up"}),
        ("conversation-update", {"call": CALL, "messagesOpenAIFormatted": [{"role": "user"}]}),
        ("status-update", {"call": CALL, "status": "forwarding"}),
        ("session.updated", {"session": {"id": "s"}, "timestamp": 1}),
        ("campaign.predial", {"campaignId": "c", "contact": {"id": "k"}}),
        ("tool-calls", {"call": CALL, "toolCallList": []}),
        ("tool-calls", {"call": CALL, "toolCallList": [{"id": "a"}, "b"]}),
        ("tool-calls", {"toolCallList": [{"id": "a"}], "timestamp": 1}),
        ("x" * 255, {}),
        # Messages per token, and requests during speech, have no key.
        *((event_type, {"call": CALL, "timestamp": 1}) for event_type in WITHOUT_KEY),
    ],
)
def test_without_an_id_and_a_time_nothing_is_a_duplicate(
    event_type: str, message: dict[str, Any]
) -> None:
    """Two equal messages may be two events; processing one twice is better than losing one."""
    assert key(event_type, **message) is None


@pytest.mark.parametrize(
    ("timestamps", "have_key"),
    [
        # Vapi has sent epoch milliseconds and ISO 8601.
        ([1, 1_728_393_715_369, 1_728_393_715_369.5, "1728393715369", "2024-07-01T10:00:00.123Z",
          "2024-07-01T10:00:00+02:00"], True),
        # The epoch, or a date without a time, is the same for many events.
        ([0, -1, "0", "", "soon", True, [1], {}, "0001-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z",
          "2026-01-01"], False),
    ],
)  # fmt: skip
def test_only_a_valid_time_makes_a_key(timestamps: list[Any], *, have_key: bool) -> None:
    for timestamp in timestamps:
        assert (key("hang", call=CALL, timestamp=timestamp) is not None) is have_key, timestamp
        assert (key("never.heard.of", timestamp=timestamp) is not None) is have_key, timestamp


def test_an_unlisted_type_has_a_hash_as_its_key() -> None:
    """The key starts with `hash|`; two real events may be equal in everything but the time."""
    found = key("campaign.started", campaignId="c", timestamp=1)

    assert found is not None
    assert found.startswith("hash|campaign.started|")
    assert set(found.rpartition("|")[2]) <= HEX
    assert found != key("campaign.started", campaignId="c", timestamp=2)


ONCE = {
    *("assistant-request", "call.deleted", "chat.created", "chat.deleted", "end-of-call-report"),
    *("session.created", "session.deleted"),
}
TIMES = st.none() | st.integers(-1, 3) | st.sampled_from(["2026-01-01T00:00:00Z", "x", ""])
IDS = st.none() | st.sampled_from(["a", "b", "a|b", "", "-"])


@st.composite
def identified(draw: st.DrawFn) -> dict[str, Any]:
    """A message of ids and times only, each of which may be absent."""
    message: dict[str, Any] = {"timestamp": draw(TIMES), "campaignId": draw(IDS)}
    message |= {name: {"id": draw(IDS)} for name in ("call", "chat", "contact")}
    message["session"] = {"id": draw(IDS), "updatedAt": draw(TIMES)}
    message["turnId"] = draw(IDS)
    message["toolCallList"] = [{"id": draw(IDS), "name": "f"}]
    return message


def ids_and_times(event_type: str, message: dict[str, Any]) -> list[Any]:
    """What must differ between two events of a type."""
    once = event_type in ONCE
    return [
        None if once else message["timestamp"],
        {
            "campaign.predial": [message["campaignId"], message["contact"]],
            "session.updated": message["session"],
            "user-interrupted": [message["call"], message["turnId"]],
            "tool-calls": [message["call"]["id"] or message["chat"]["id"], message["toolCallList"]],
        }.get(event_type, message[_owner(event_type)].get("id")),
    ]


def _owner(event_type: str) -> str:
    """The object that a message of this type is about."""
    first = event_type.partition(".")[0]
    return first if first in {"chat", "session"} else "call"


@given(st.sampled_from(sorted(KNOWN_EVENT_TYPES)), identified(), identified())
def test_events_that_differ_in_an_id_or_a_time_never_share_a_key(
    event_type: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    """Also if fields are absent. Events that happen once per call, chat or session use its id."""
    keys = key(event_type, **one), key(event_type, **other)

    if ids_and_times(event_type, one) != ids_and_times(event_type, other):
        assert keys[0] is None or keys[0] != keys[1]


@given(st.sampled_from([*sorted(KNOWN_EVENT_TYPES), "new.type"]), st.data())
def test_no_id_and_no_time_is_no_key(event_type: str, data: st.DataObject) -> None:
    """Other fields do not matter."""
    message = data.draw(
        st.dictionaries(
            st.sampled_from(["status", "role", "transcript", "messages", "turn", "text", "other"]),
            json_values,
        )
    )

    assert key(event_type, **message) is None


@pytest.mark.parametrize("part", ["a|b", "x" * 300, "naïve", "a\u0000b", "\ud800"])
def test_keys_are_short_and_plain(part: str) -> None:
    """A key is ASCII without spaces, with at most 200 characters, whatever the ids contain."""
    found = key("speech-update", call={"id": part[:255]}, turn=part, role=part, timestamp=1)

    assert found is not None
    assert len(found) <= MAX_KEY_LENGTH
    assert found.isascii()
    assert found.isprintable()


def test_a_separator_in_a_part_does_not_shift_parts() -> None:
    """A part that contains the separator still counts as one."""
    one = key("campaign.predial", campaignId="a|b", contact={"id": "c"}, timestamp=1)
    other = key("campaign.predial", campaignId="a", contact={"id": "b|c"}, timestamp=1)

    assert one != other


def test_every_sample_has_a_strong_key() -> None:
    """Real events are identified by their fields, not by their hash."""
    for name in sorted({*samples.names()} - {*WITHOUT_KEY}):
        read = read_event(samples.sample(name))
        assert isinstance(read, Event)

        found = dedup_key(read.type, read.message)

        assert found is not None, name
        assert not found.startswith("hash|"), name


def test_a_document_at_the_limit_of_depth_has_a_key() -> None:
    """Any depth that can be parsed can be hashed."""
    body = b'{"type":"new","timestamp":1,"y":' + b"[" * 250 + b'"\\ud800"' + b"]" * 250 + b"}"
    read = read_event(body)
    assert isinstance(read, Event)

    assert dedup_key(read.type, read.message)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: reordered(value[name]) for name in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(
    message=st.dictionaries(
        st.text().filter(lambda name: name not in {"type", "event_type"}), json_values, max_size=5
    ),
    links=st.dictionaries(st.from_regex(r"presigned[A-Za-z]{1,9}", fullmatch=True), st.text()),
    snapshot=json_values,
)
def test_copies_have_the_same_weak_key(
    message: dict[str, Any], links: dict[str, Any], snapshot: Any
) -> None:
    """The order of keys, new links and other snapshots do not change it."""
    call = {"id": "c", "x": 1}
    original = message | {"timestamp": 1, "artifact": {"a": 1}, "call": call, "assistant": 1}
    changed = {"artifact": {**links, "a": 1}, "call": {"x": snapshot, "id": "c"}}
    copy = original | changed | {"assistant": snapshot}

    assert key("new.type", **original) is not None
    assert key("new.type", **original) == key("new.type", **reordered(copy))
