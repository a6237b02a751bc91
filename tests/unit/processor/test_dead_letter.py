"""Reading a message of the dead-letter queue."""

import base64
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given

from ringback.contract.redaction.redaction import DEFAULT_REDACTION
from ringback.contract.redaction.scrub import REDACTED
from ringback.contract.status import AttemptOutcome, DeadReason
from ringback.services.processor.attempt.policy import CRASHED, Failure
from ringback.services.processor.consume.message import Message
from ringback.services.processor.log.dead_letter import (
    UNKNOWN_ORG,
    DeadLetterEntry,
    dead_reason,
    fingerprint,
    job_id_in,
    parse_dead_letter,
    with_raw_payload,
)
from tests.unit.processor.events import ENVELOPE, JOB, ORG, message
from tests.unit.processor.hostile_messages import HOSTILE_MESSAGES

LATEST = "ffffffff-ffff-7fff-bfff-ffffffffffff"
LIMIT = {"queue": "webhooks.quarantine", "reason": "delivery_limit", "count": 1}
REJECTED = {"queue": "webhooks.work", "reason": "rejected", "count": 1}


def parsed(**changes: Any) -> DeadLetterEntry:
    return parse_dead_letter(message(**changes), 4, None, DEFAULT_REDACTION)


@pytest.mark.parametrize(
    ("beside", "failure"),
    [
        # The log's last attempt has the reason.
        ({}, None),
        ({"x-death": [REJECTED]}, None),
        ({"x-death": [REJECTED, LIMIT]}, None),
        ({"x-death": [dict(LIMIT, queue="webhooks.work")]}, None),
        ({"x-death": "nonsense"}, None),
        ({"x-death": []}, None),
        ({"x-death": [7]}, None),
        ({"error_class": 7}, None),
        # A processor wrote the reason into the headers.
        ({"error_class": "undeliverable", "error_message": "So."}, Failure("undeliverable", "So.")),
        ({"error_class": "a\x00", "error_message": 7}, Failure("a�", "7")),
        ({"error_class": "a", "error_message": "b", "x-death": [LIMIT]}, Failure("a", "b")),
        # The broker dead-lettered it.
        ({"x-death": [LIMIT]}, CRASHED),
        ({"x-death": [LIMIT, REJECTED]}, CRASHED),
    ],
)
def test_the_reason_is_ours_or_the_brokers_or_in_the_log(
    beside: dict[str, object], failure: Failure | None
) -> None:
    """Only a message whose last death was the quarantine' limit counts as crashed."""
    assert parsed(headers=ENVELOPE.headers() | beside).failure == failure


def test_a_webhook_keeps_its_metadata() -> None:
    """The row can be made from the message alone."""
    letter = parsed(routing_key="attempt.4")

    assert letter.attempt == 4
    assert (letter.row.id, letter.row.org_id) == (JOB, ORG)
    assert (letter.row.endpoint_id, letter.row.event_type) == ("default", "hang")
    assert orjson.loads(letter.row.event_data) == {"message": {"type": "hang"}}
    assert not letter.row.altered


def test_a_message_without_a_job_id_has_no_org() -> None:
    """It gets its assigned id, and ignores everything that its headers claim."""
    letter = parse_dead_letter(message(type="x" * 999), 4, JOB, DEFAULT_REDACTION)

    assert (letter.row.id, letter.row.org_id) == (JOB, UNKNOWN_ORG)
    assert (letter.row.dedup_key, letter.row.gateway_instance_id) == (None, None)
    assert letter.row.event_type == "x" * 255


@pytest.mark.parametrize("body", [b"", b"\xff", b"[1]", b'{"a":1}'])
def test_a_body_without_an_event_is_kept_as_base64(body: bytes) -> None:
    """The row shows that it differs from the message that arrived."""
    row = parsed(body=body).row

    assert list(orjson.loads(row.event_data)) == ["unreadable_base64"]
    assert row.altered
    assert row.call_id is None


def test_a_dead_letter_is_without_the_credentials_of_its_event() -> None:
    """Neither its event nor its error contains them, also not in base64."""
    body = b'{"message":{"type":"hang","server":{"secret":"canary-1234"}}}'
    beside = {"error_class": "E", "error_message": "the secret is canary-1234"}
    letter = parsed(body=body, headers=ENVELOPE.headers() | beside)

    kept = base64.b64decode(
        orjson.loads(with_raw_payload(letter).row.event_data)["unreadable_base64"]
    )

    assert b"canary" not in kept
    assert "canary" not in repr(letter)


@pytest.mark.parametrize("body", [b'{"secret":"canary-1234', rb'{"secr\u0065t":"canary-1234'])
def test_bytes_that_cannot_be_redacted_are_withheld(body: bytes) -> None:
    """Header values are no event, and may contain a credential."""
    row = parsed(body=body).row

    assert orjson.loads(row.event_data) == {"unreadable_base64": REDACTED}


def test_the_id_of_a_valid_envelope_is_kept() -> None:
    """Its day does not matter. Without a job id, or without the headers, it has no id."""
    assert job_id_in(message()) == JOB
    assert job_id_in(message(message_id=LATEST)) == UUID(LATEST)
    assert job_id_in(message(message_id="7")) is None
    assert job_id_in(message(headers={})) is None


@given(hostile=HOSTILE_MESSAGES)
def test_no_message_makes_its_dead_letter_fail(hostile: Message) -> None:
    """Any content gives a row that PostgreSQL accepts."""
    own_id = job_id_in(hostile)
    assigned = None if own_id else JOB

    letter = parse_dead_letter(hostile, 4, assigned, DEFAULT_REDACTION)

    texts = [letter.row.event_type, letter.row.endpoint_id, letter.row.event_data]
    if letter.failure is not None:
        texts += [letter.failure.error_class, letter.failure.error_message]
    assert letter.row.id == (own_id or JOB)
    assert 1 <= letter.attempt <= 9_999
    assert not any("\x00" in text for text in texts)
    assert [text.encode() for text in texts]
    assert fingerprint(hostile).startswith("orphan:")


@pytest.mark.parametrize(
    ("failure", "last", "reason"),
    [
        (None, AttemptOutcome.FAILED, DeadReason.RETRIES_EXHAUSTED),
        (None, AttemptOutcome.PERMANENT, DeadReason.PERMANENT),
        (Failure("a", "b"), AttemptOutcome.PERMANENT, DeadReason.PERMANENT),
        (CRASHED, None, DeadReason.PROCESS_CRASH),
        (CRASHED, AttemptOutcome.FAILED, DeadReason.PROCESS_CRASH),
        (Failure("cancelled", "So."), None, DeadReason.CANCELLED),
        (Failure("cancelled", "So."), AttemptOutcome.FAILED, DeadReason.CANCELLED),
        (Failure("undeliverable", "So."), AttemptOutcome.FAILED, DeadReason.UNDELIVERABLE),
        (None, None, DeadReason.UNDELIVERABLE),
    ],
)
def test_each_dead_letter_has_one_reason(
    failure: Failure | None, last: AttemptOutcome | None, reason: DeadReason
) -> None:
    """A message that was never attempted was undeliverable, unless the process died of it."""
    assert dead_reason(failure, last) is reason
