"""Reading a message into a webhook."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given

from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.contract.retry_schedule import RetrySchedule
from ringback.services.processor.attempt.context import AttemptContext, Undeliverable, open_attempt
from ringback.services.processor.consume.message import Message, attempt_due
from tests.unit.processor.events import ENVELOPE, message, untraced
from tests.unit.processor.fakes import SCHEDULE
from tests.unit.processor.hostile_messages import HOSTILE_MESSAGES


def opened(received: Message) -> AttemptContext | Undeliverable:
    return open_attempt(received, DEFAULT_REDACTION, untraced(), SCHEDULE)


def test_a_message_of_the_gateway_is_a_delivery() -> None:
    delivery = opened(message(routing_key="attempt.3"))

    assert isinstance(delivery, AttemptContext)
    assert delivery.envelope == ENVELOPE
    assert delivery.event.type == "hang"
    assert delivery.attempt == 3
    assert delivery.schedule == SCHEDULE


def test_an_endpoint_s_own_retry_schedule_applies() -> None:
    """The gateway sends it in a header."""
    headers = replace(ENVELOPE, retry_schedule=RetrySchedule.parse("1m")).headers()

    delivery = opened(message(headers=headers))

    assert isinstance(delivery, AttemptContext)
    assert (str(delivery.schedule), delivery.schedule.max_attempts) == ("1m", 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"message_id": None}, "The message id is not a UUIDv7."),
        ({"message_id": "7"}, "The message id is not a UUIDv7."),
        ({"type": None}, "The message has no valid type."),
        ({"headers": {}}, "A required header of the message is missing or malformed."),
        (
            {"headers": {**ENVELOPE.headers(), "retry_schedule": "soon"}},
            "The retry schedule is invalid.",
        ),
        ({"body": b"["}, "The body is not a JSON document in UTF-8."),
        ({"body": b"[]"}, "The body is not a JSON object."),
        ({"body": b"{}"}, "The body has no message.type."),
    ],
)
def test_an_undeliverable_message_has_a_reason(changes: dict[str, Any], reason: str) -> None:
    assert opened(message(**changes)) == Undeliverable(reason)


@pytest.mark.parametrize(
    ("key", "header", "attempt"),
    [
        ("attempt.1", None, 1),
        ("attempt.4", None, 4),
        # The broker sets the key, so it comes before the header.
        ("attempt.2", 3, 2),
        ("webhooks.quarantine", 3, 3),
        ("", None, 1),
        ("attempt.0", 2, 2),
        ("attempt.12345", None, 1),
        ("webhooks.quarantine", 0, 1),
        ("webhooks.quarantine", -1, 1),
        ("webhooks.quarantine", 2**40, 1),
        ("webhooks.quarantine", "3", 1),
        ("webhooks.quarantine", True, 1),
        ("webhooks.quarantine", 2.0, 1),
    ],
)
def test_the_attempt_is_in_the_key_or_else_in_the_header(
    key: str, header: object, attempt: int
) -> None:
    """An invalid attempt number counts as a first attempt."""
    headers = {} if header is None else {"attempt": header}

    assert attempt_due(message(routing_key=key, headers=headers)) == attempt


@pytest.mark.parametrize(("count", "deliveries"), [(0, 0), (3, 3), ("3", 0), (None, 0)])
def test_deliveries_without_an_answer_are_counted_by_the_broker(
    count: object, deliveries: int
) -> None:
    """An invalid count does not make a message a quarantined message."""
    assert message(headers={"x-delivery-count": count}).deliveries_before == deliveries


@given(hostile=HOSTILE_MESSAGES)
def test_no_message_makes_reading_it_fail(hostile: Message) -> None:
    """Any content gives a delivery that can be stored, or the reason why it cannot."""
    got = opened(hostile)

    assert hostile.deliveries_before is not None
    assert 1 <= attempt_due(hostile) <= 9_999
    if isinstance(got, Undeliverable):
        assert got.reason.endswith(".")
    else:
        texts = [got.envelope.event_type, got.envelope.endpoint_id, got.envelope.dedup_key or ""]
        assert isinstance(got.envelope.job_id, UUID)
        assert not any("\x00" in text for text in texts)
        assert all(text.encode() for text in texts if text)
