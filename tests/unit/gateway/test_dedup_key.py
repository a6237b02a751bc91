"""What makes two webhooks the same event, type by type."""

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback import samples
from ringback.contract.event import Event, read_event
from ringback.contract.telemetry import KNOWN_EVENT_TYPES
from services.gateway.dedup_key import LONGEST_KEY, dedup_key
from tests.unit.gateway.dedup_rows import CALL, ROWS

HEX = set(string.hexdigits.lower())


def event(event_type: str, **message: Any) -> Event:
    read = read_event(json.dumps({"message": {"type": event_type, **message}}).encode())
    assert isinstance(read, Event)
    return read


def key(event_type: str, **message: Any) -> str | None:
    read = event(event_type, **message)
    return dedup_key(read.type, read.message)


WITHOUT_KEY = ["call.endpointing.request", "model-output", "voice-input", "voice-request"]


@pytest.mark.parametrize(("event_type", "message", "others"), ROWS, ids=[row[0] for row in ROWS])
def test_key_tells_events_apart_and_finds_copies(
    event_type: str, message: dict[str, Any], others: list[dict[str, Any]]
) -> None:
    """A copy with another snapshot and other links has the same key, another event has not."""
    copy = {**message, "artifact": {"presignedUrl": "x"}, "assistant": {"name": "changed"}}
    if message.get("call"):
        copy["call"] = {**message["call"], "status": "ended", "updatedAt": "later"}

    first = key(event_type, **message)

    assert first is not None
    assert first.startswith(f"{event_type}|")
    assert first == key(event_type, **copy)
    assert first not in {key(event_type, **(message | other)) for other in others}


@pytest.mark.parametrize("event_type", WITHOUT_KEY)
def test_types_without_a_key(event_type: str) -> None:
    """Messages per token, and those on the path of the voice, have no key."""
    assert key(event_type, call=CALL, timestamp=1) is None


def test_every_documented_type_is_decided() -> None:
    """The table covers what Vapi documents, but for one type of which no shape is published."""
    decided = {row[0] for row in ROWS} | set(WITHOUT_KEY)

    assert KNOWN_EVENT_TYPES - decided == {"function-call"}


def test_a_call_ends_once() -> None:
    """The end of a call is one event whenever it is said, unlike other statuses."""
    assert key("status-update", call=CALL, status="ended", timestamp=1) == key(
        "status-update", call=CALL, status="ended", timestamp=2
    )


def test_the_bracketed_type_is_the_plain_one() -> None:
    """`transcript[transcriptType="final"]` is a final transcript."""
    message = {"call": CALL, "role": "user", "transcript": "Hi.", "timestamp": 1}

    assert key('transcript[transcriptType="final"]', **message) == key(
        "transcript", transcriptType="final", **message
    )


@pytest.mark.parametrize("shape", ["toolCallList", "toolCalls", "toolWithToolCallList"])
def test_tool_calls_are_known_by_their_ids_in_every_shape(shape: str) -> None:
    """The lists coexist and have other shapes; the order of the calls does not matter."""
    calls: list[dict[str, Any]] = [{"id": "b", "name": "x"}, {"id": "a", "function": {}}]
    if shape == "toolWithToolCallList":
        calls = [{"type": "function", "toolCall": call} for call in calls]

    assert key("tool-calls", call=CALL, **{shape: calls}) == key(
        "tool-calls", call=CALL, toolCallList=[{"id": "a"}, {"id": "b"}]
    )


@pytest.mark.parametrize(
    ("event_type", "message"),
    [
        ("campaign.started", {"campaignId": "c"}),
        ("never.heard.of", {}),
        ("end-of-call-report", {"call": None}),
        ("end-of-call-report", {"call": {"id": ""}}),
        ("end-of-call-report", {"call": {"id": {"nested": True}}}),
        ("hang", {"call": CALL}),
        ("tool-calls", {"call": CALL, "toolCallList": []}),
        ("tool-calls", {"call": CALL, "toolCallList": [{"id": "a"}, "b"]}),
        ("x" * 255, {}),
    ],
)
def test_what_lacks_a_part_is_known_by_its_hash(event_type: str, message: dict[str, Any]) -> None:
    """An unknown type, or a part that is missing or no text, leads to the weak key."""
    found = key(event_type, **message)

    assert found is not None
    assert found.startswith("hash|")
    assert set(found.rpartition("|")[2]) <= HEX


def test_two_events_of_one_moment_differ_by_their_time() -> None:
    """The time stays in the weak key: two real events may be equal in all else."""
    assert key("new.type", timestamp=1) != key("new.type", timestamp=2)


@pytest.mark.parametrize("part", ["a|b", "x" * 300, "naïve", "a\u0000b", "\ud800"])
def test_keys_are_short_and_plain(part: str) -> None:
    """Whatever ids hold, a key is ASCII without spaces, and at most 200 characters."""
    found = key("speech-update", call={"id": part[:255]}, turn=part, role=part, timestamp=part)

    assert found is not None
    assert len(found) <= LONGEST_KEY
    assert found.isascii()
    assert found.isprintable()


def test_parts_cannot_be_shifted() -> None:
    """The separator within a part does not make it two."""
    one = key("campaign.predial", campaignId="a|b", contact={"id": "c"})
    other = key("campaign.predial", campaignId="a", contact={"id": "b|c"})

    assert one != other


@pytest.mark.parametrize("name", samples.names())
def test_every_sample_has_a_strong_key(name: str) -> None:
    """What Vapi really sends is known by its parts, not by its hash."""
    read = read_event(samples.sample(name))
    assert isinstance(read, Event)

    found = dedup_key(read.type, read.message)

    assert found is not None
    assert not found.startswith("hash|")


def test_a_document_at_the_limit_of_depth_has_a_key() -> None:
    """Nesting that can be read can be hashed."""
    body = b'{"type":"new","y":' + b"[" * 250 + b'"\\ud800"' + b"]" * 250 + b"}"
    read = read_event(body)
    assert isinstance(read, Event)

    assert dedup_key(read.type, read.message)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


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
def test_the_weak_key_knows_a_copy(
    message: dict[str, Any], links: dict[str, Any], snapshot: Any
) -> None:
    """The order of keys, links made anew and other snapshots do not change the weak key."""
    original = {**message, "artifact": {"a": 1}, "call": {"id": "c", "x": 1}, "assistant": 1}
    copy = {
        **original,
        "artifact": {**links, "a": 1},
        "call": {"x": snapshot, "id": "c"},
        "assistant": snapshot,
    }

    assert key("new.type", **original) == key("new.type", **reordered(copy))
