"""Encodes a webhook as a row of the spool, and checks rows that are read."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson

from ringback.contract.envelope import Envelope, InvalidEnvelope, open_envelope
from ringback.contract.event import MAX_TYPE_BYTES, InvalidEvent, read_event

Values: TypeAlias = tuple[Any, ...]
"""job_id, event_type, headers, body, spooled_at_s, checksum; text columns are read as bytes."""

Rows: TypeAlias = list[tuple[int, Values]]
"""Sequence numbers with the values to write."""

_TIME = struct.Struct(">d").pack


@dataclass(frozen=True, slots=True)
class SpooledWebhook:
    """A webhook in the spool; they are published in order of `sequence`."""

    sequence: int
    envelope: Envelope
    body: bytes


@dataclass(frozen=True, slots=True)
class DamagedRow:
    """A row that differs from what was written, and why."""

    sequence: int
    reason: str
    size_bytes: int


def row_values(envelope: Envelope, body: bytes, spooled_at_s: float) -> Values:
    job_id, headers = str(envelope.job_id), orjson.dumps(envelope.headers())
    checksum = _checksum(job_id.encode(), envelope.event_type.encode(), headers, body, spooled_at_s)
    return job_id, envelope.event_type, headers.decode(), body, spooled_at_s, checksum


def read_row(sequence: int, values: Values) -> SpooledWebhook | DamagedRow:
    """Check and decode a row. Raises nothing, whatever the row contains."""
    body = values[3]
    try:
        return SpooledWebhook(sequence, _envelope(values), body)
    except (ValueError, TypeError, struct.error, RecursionError) as exc:
        # Do not quote damaged text: it may be part of a webhook.
        reason = str(exc) if type(exc) is ValueError else "It cannot be decoded."
        return DamagedRow(sequence, reason, len(body) if isinstance(body, bytes) else 0)


def _envelope(values: Values) -> Envelope:
    job_id, event_type, headers, body, spooled_at_s, checksum = values
    if checksum is None:
        # Written by a version without checksums. Only events were ever accepted.
        if isinstance(read_event(body), InvalidEvent):
            raise ValueError("Its body is not an event.")
    elif _checksum(job_id, event_type, headers, body, spooled_at_s) != checksum:
        raise ValueError("Its checksum does not match.")
    if len(event_type) > MAX_TYPE_BYTES:
        raise ValueError("Its event type is too long.")
    fields = orjson.loads(headers)
    if not isinstance(fields, Mapping):
        raise ValueError("Its headers are not an object.")  # ruff: ignore[type-check-without-type-error]
    envelope = open_envelope(
        message_id=job_id.decode(), event_type=event_type.decode(), headers=fields
    )
    if isinstance(envelope, InvalidEnvelope):
        raise ValueError(envelope.reason)  # ruff: ignore[type-check-without-type-error]
    return envelope


def _checksum(
    job_id: bytes, event_type: bytes, headers: bytes, body: bytes, spooled_at_s: float
) -> int:
    head = b"\0".join((job_id, event_type, headers, _TIME(spooled_at_s)))
    return zlib.crc32(body, zlib.crc32(head))
