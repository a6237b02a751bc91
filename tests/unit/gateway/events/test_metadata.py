"""The fast parser finds the same metadata as the full parser."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ringback import samples
from ringback.contract.event import InvalidEvent, read_event
from ringback.services.gateway.events.dedup_key import dedup_key
from ringback.services.gateway.events.metadata import EventMetadata, parse_metadata
from tests.unit.contract.json_documents import ANY_BYTES
from tests.unit.gateway.events.dedup_rows import ROWS


def read_whole(body: bytes) -> EventMetadata | InvalidEvent:
    event = read_event(body)
    if isinstance(event, InvalidEvent):
        return event
    return EventMetadata(event.type, event.call_id, dedup_key(event.type, event.message))


def test_samples() -> None:
    """Every sample gives the same result."""
    for name in samples.names():
        body = samples.sample(name)

        assert parse_metadata(body) == read_whole(body), name


def test_every_type() -> None:
    """No type's key uses fields that the fast parser drops."""
    for event_type, message, others in ROWS:
        for one in (message, *others):
            for document in ({"message": {"type": event_type, **one}}, {"type": event_type, **one}):
                body = json.dumps(document).encode()

                assert parse_metadata(body) == read_whole(body)


NAMES = st.sampled_from(
    ["message", "type", "call", "id", "timestamp", "status", "toolCalls", "chat", "session",
     "turn", "toolCallList", "arguments", "functionCall"]
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(
        ["end-of-call-report", "status-update", "ended", "hang", "new.type", "tool-calls"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@example({"message": None, "type": "hang"})
@example({"message": {"call": {"id": "c"}}, "type": "end-of-call-report"})
@example({"message": {"type": None}, "type": "hang"})
def test_any_document(document: Any) -> None:
    """The shape of the document does not matter."""
    body = json.dumps(document, ensure_ascii=False).encode(errors="surrogatepass")

    assert parse_metadata(body) == read_whole(body)


@pytest.mark.parametrize(
    "inner",
    [
        b"[" * 100_000 + b"]" * 100_000,
        b"[" * 300 + b"]" * 300,
        b"[" * 252 + b"]" * 252,
        b'"' + b"[" * 300 + b'"',
        b"[" + b",".join([b"[{}]"] * 400) + b"]",
        b"NaN",
        b"1e400000",
        b'"\\ud800"',
        b'"\xff"',
        b'"\\u0000"',
        b"01",
        b'"\x01"',
        b'{"a":1,"a":2}',
    ],
)
@pytest.mark.parametrize("call_id", [b'"c"', b'"\\u0000"', b'"\\ud800"', b"7"])
def test_hostile_parts(inner: bytes, call_id: bytes) -> None:
    """What the full parser rejects or replaces, the fast one does as well."""
    body = b'{"message":{"type":"end-of-call-report","call":{"id":%s},"artifact":%s}}' % (
        call_id,
        inner,
    )

    assert parse_metadata(body) == read_whole(body)


@pytest.mark.parametrize(
    "number",
    ["1e100", "1E+30", "1e-31", "1.5e300", "1e400000", "9" * 200, "0." + "1" * 400, "1.50"],
)
@pytest.mark.parametrize("event_type", ["function-call", "tool-calls"])
def test_numbers_that_are_kept_as_text(event_type: str, number: str) -> None:
    """The hash of arguments uses the numbers as the full parser represents them."""
    body = b"""{"type":"%s","timestamp":1,"call":{"id":"c"},"functionCall":{"n":%s},
        "toolCallList":[{"id":"a","arguments":{"n":%s}}]}""" % (
        event_type.encode(),
        number.encode(),
        number.encode(),
    )

    assert parse_metadata(body) == read_whole(body)


@given(st.binary(max_size=60) | ANY_BYTES)
def test_any_bytes(body: bytes) -> None:
    """Bytes that are not JSON, or not any more, give the same error."""
    assert parse_metadata(body) == read_whole(body)
