"""Tests for ringback.contract.event."""

from typing import Any

import orjson
import pytest
from hypothesis import given

from ringback.contract.event import Event, InvalidEvent, call_id_in, read_event
from ringback.contract.json_text import sanitize_text
from tests.unit.contract.json_documents import JSON_TEXTS, STRING_TEXTS


def test_an_event_is_read() -> None:
    """Type and call are from the message; the document is the whole body."""
    body = b'{"message":{"type":"hang","call":{"id":"c-1"}},"extra":1}'

    event = read_event(body)

    assert isinstance(event, Event)
    assert (event.type, event.call_id) == ("hang", "c-1")
    assert event.message == {"type": "hang", "call": {"id": "c-1"}}
    assert event.document.text.encode() == body


@pytest.mark.parametrize(
    ("body", "event_type"),
    [
        (b'{"type":"hang"}', "hang"),  # the older form
        (b'{"message":"hello","type":"hang"}', "hang"),  # `message` is something else there
        (b'{"message":{"text":"hello"},"type":"hang"}', "hang"),
        (b'{"message":{"type":"inner"},"type":"outer"}', "inner"),
        ('{"type":"' + "ä" * 127 + '"}', "ä" * 127),  # 254 bytes
        (rb'{"type":"a\u0000b"}', "a\N{REPLACEMENT CHARACTER}b"),
        (b'{"type":"never heard of"}', "never heard of"),
    ],
)
def test_every_form_of_the_type_is_found(body: bytes | str, event_type: str) -> None:
    """Unknown types are events too."""
    event = read_event(body if isinstance(body, bytes) else body.encode())

    assert isinstance(event, Event)
    assert event.type == event_type


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", InvalidEvent.NOT_JSON),
        (b"\xff", InvalidEvent.NOT_JSON),
        (b"[" * 300 + b"]" * 300, InvalidEvent.TOO_DEEP),
        (b"[]", InvalidEvent.NOT_AN_OBJECT),
        (b'"hang"', InvalidEvent.NOT_AN_OBJECT),
        (b"{}", InvalidEvent.NO_TYPE),
        (b'{"message":{}}', InvalidEvent.NO_TYPE),
        (b'{"message":{"type":null}}', InvalidEvent.NO_TYPE),
        (b'{"message":{"type":""}}', InvalidEvent.NO_TYPE),
        (b'{"message":{"type":7}}', InvalidEvent.TYPE_NOT_TEXT),
        (b'{"type":["hang"]}', InvalidEvent.TYPE_NOT_TEXT),
        (('{"type":"' + "ä" * 128 + '"}').encode(), InvalidEvent.TYPE_TOO_LONG),
    ],
)
def test_each_reason_to_refuse_has_its_sentence(body: bytes, reason: InvalidEvent) -> None:
    """The sender learns what is wrong with the body."""
    assert read_event(body) is reason
    assert reason.value.endswith(".")


@pytest.mark.parametrize(
    ("call", "call_id"),
    [
        ({"id": "c-1"}, "c-1"),
        ({"id": "a\x00b"}, "a\N{REPLACEMENT CHARACTER}b"),
        ({"id": "c" * 255}, "c" * 255),
        ({"id": "c" * 256}, None),
        ({"id": ""}, None),
        ({"id": 7}, None),
        ({}, None),
        ("c-1", None),
        (None, None),
    ],
)
def test_a_call_id_is_found_where_there_is_one_to_trust(call: Any, call_id: str | None) -> None:
    """Anything but a text of reasonable length is not an id."""
    assert call_id_in({"call": call}) == call_id


@given(STRING_TEXTS, STRING_TEXTS, JSON_TEXTS)
def test_what_is_read_fits_its_columns(event_type: str, call_id: str, more: str) -> None:
    """Type and call can be published as properties and stored as texts."""
    body = f'{{"message":{{"type":{event_type},"call":{{"id":{call_id}}},"more":{more}}}}}'

    event = read_event(body.encode())

    if isinstance(event, Event):
        assert 0 < len(event.type.encode()) <= 255
        assert sanitize_text(event.type) == event.type
        assert event.call_id is None or sanitize_text(event.call_id) == event.call_id
        assert orjson.loads(event.document.text) is not None
