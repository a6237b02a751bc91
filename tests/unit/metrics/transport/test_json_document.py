"""Messages as JSON documents, and back."""

import json

import orjson
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ringback.metrics.json_document import json_bytes
from ringback.metrics.v1 import admin_service_pb2 as admin
from ringback.metrics.v1 import delivery_pb2 as delivery
from ringback.metrics.v1 import metrics_service_pb2 as metrics
from ringback.services.metrics.transport.methods import methods_of
from ringback.services.metrics.transport.transcoding import read_body
from tests.unit.metrics.transport.any_message import messages

#: For each of 130 messages.
FEW_EXAMPLES = settings(max_examples=settings().max_examples // 4)

KINDS = sorted(
    {kind for method in methods_of() for kind in (method.request_class, method.response_class)},
    key=lambda kind: kind.DESCRIPTOR.full_name,
)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.DESCRIPTOR.name)
@given(data=st.data())
@settings(FEW_EXAMPLES, suppress_health_check=[HealthCheck.too_slow])
def test_a_document_contains_the_whole_message(kind: type[Message], data: st.DataObject) -> None:
    """Whatever the message of a request or an answer is, its document read is the message."""
    message = data.draw(messages(kind))
    read = kind()

    read_body(json_bytes(message), read)

    assert read == message


def test_every_field_is_always_there() -> None:
    """A client never has to check whether a member exists."""
    for kind in KINDS:
        document = json.loads(json_bytes(kind()))

        assert list(document) == [field.json_name for field in kind.DESCRIPTOR.fields]


BY_TYPE = metrics.GetDeliveryStatsResponse()
BY_TYPE.by_event_type["call_ended.v1"].dead_letter = 1


@pytest.mark.parametrize(
    ("message", "name", "value"),
    [
        # Messages, optional fields, times and unspecified enums can be absent; others cannot.
        *(
            (delivery.Delivery(), name, None)
            for name in ("createdAt", "errorClass", "resolution", "eventData")
        ),
        (delivery.Delivery(error_message=""), "errorMessage", ""),
        (delivery.Delivery(), "attempts", 0),
        (delivery.Delivery(), "altered", False),
        (metrics.GetQueueHealthResponse(), "metrics", None),
        (metrics.ListDeadLettersResponse(), "deadLetters", []),
        (metrics.GetDeliveryStatsResponse(), "byEventType", {}),
        # 64 bits are a JSON number, unlike in Google's mapping; enums are as in the database.
        (metrics.QueueDepth(messages=2**53), "messages", 9007199254740992),
        (delivery.Delivery(status=delivery.DELIVERY_STATUS_DEAD_LETTER), "status", "dead_letter"),
        (admin.RetryDeliveriesResponse(state=admin.RETRY_RUN_STATE_DRY_RUN), "state", "dry_run"),
    ],
)
def test_a_member_has_the_value(message: Message, name: str, value: object) -> None:
    found = json.loads(json_bytes(message))[name]

    assert (type(found), found) == (type(value), value)


def test_an_event_is_shown_byte_for_byte() -> None:
    """It is passed through unparsed: numbers keep their digits, keys their order and duplicates."""
    text = '{"b": 1e400, "a": 0.10, "a": [1234567890123456789012345678901234567890]}'

    document = json_bytes(delivery.Delivery(event_data=text))

    assert f'"eventData":{text},'.encode() in document


def test_map_keys_are_kept_as_they_are() -> None:
    """Only the names of fields become camelCase."""
    document = json.loads(json_bytes(BY_TYPE))

    assert document["byEventType"]["call_ended.v1"]["deadLetter"] == 1


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "2026-01-27T06:30:00.000Z"),
        (120_000_000, "2026-01-27T06:30:00.120Z"),
        (120_034_000, "2026-01-27T06:30:00.120034Z"),
        (1, "2026-01-27T06:30:00.000000001Z"),
    ],
)
def test_times_have_milliseconds_or_more_digits(nanos: int, text: str) -> None:
    """In UTC, as JavaScript writes them."""
    moment = Timestamp(seconds=1_769_495_400, nanos=nanos)

    document = orjson.loads(json_bytes(metrics.GetQueueHealthResponse(timestamp=moment)))

    assert document["timestamp"] == text
