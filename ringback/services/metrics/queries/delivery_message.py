"""Converts rows of the log to messages of the contract; the only place that knows both."""

from datetime import datetime
from typing import Any, Protocol

import orjson
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from ringback.contract.json_text import JsonText
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.redaction.scrub import REDACTED
from ringback.metrics.v1 import delivery_pb2 as pb


class Row(Protocol):
    """A row from the database, by column name."""

    def __getitem__(self, name: str, /) -> Any: ...


def delivery_of(row: Row) -> pb.Delivery:
    """A row with the columns of `deliveries.sql`. The event is left out."""
    return pb.Delivery(
        id=str(row["id"]),
        job_id=str(row["id"]),
        org_id=str(row["org_id"]),
        endpoint_id=row["endpoint_id"],
        event_type=row["event_type"],
        status=pb.DeliveryStatus.Value(f"DELIVERY_STATUS_{row['status'].upper()}"),
        attempts=row["attempts"],
        max_attempts=row["max_attempts"],
        created_at=time_of(row["created_at"]),
        last_attempt_at=time_of(row["last_attempt_at"]),
        completed_at=time_of(row["completed_at"]),
        error_class=row["error_class"],
        error_message=row["error_message"],
        call_id=row["call_id"],
        duplicate_of=_text(row["duplicate_of"]),
        retry_of=_text(row["retry_of"]),
        retried_as=_text(row["retried_as"]),
        resolution=_resolution_of(row["resolution"]),
        resolved_at=time_of(row["resolved_at"]),
        altered=row["altered"],
        forward=row["forward"],
        forward_of=_text(row["forward_of"]),
    )


def attempt_of(row: Row) -> pb.Attempt:
    """A row of `attempts_of_delivery.sql`."""
    return pb.Attempt(
        attempt=row["attempt"],
        outcome=pb.AttemptOutcome.Value(f"ATTEMPT_OUTCOME_{row['outcome'].upper()}"),
        started_at=time_of(row["started_at"]),
        ended_at=time_of(row["ended_at"]),
        duration_ms=row["duration_ms"],
        error_class=row["error_class"],
        error_message=row["error_message"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        answer=_answer(row["answer"]) if row["answer"] else None,
    )


def _answer(text: str) -> pb.Answer:
    """A newer processor may have written what this version does not know."""
    return ParseDict(orjson.loads(text), pb.Answer(), ignore_unknown_fields=True)


def retry_of(row: Row) -> pb.Retry:
    """A row of `retries_of_delivery.sql`."""
    return pb.Retry(
        job_id=str(row["original"]),
        new_job_id=str(row["new_id"]),
        actor=row["actor"],
        reason=row["reason"],
        created_at=time_of(row["created_at"]),
        published_at=time_of(row["published_at"]),
        duplicate_of=_text(row["duplicate_of"]),
        run_id=_text(row["run_id"]),
    )


def time_of(moment: datetime | None) -> Timestamp | None:
    """None stays None: an absent field."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _resolution_of(word: str | None) -> pb.Resolution.ValueType:
    return pb.Resolution.Value(f"RESOLUTION_{word.upper()}") if word else pb.RESOLUTION_UNSPECIFIED


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def redacted_event(text: str, redaction: Redaction) -> str:
    """The JSON text of an event without its redacted values."""
    return redaction.of(JsonText(value=orjson.loads(text), text=text, altered=False)).text


def is_redacted(text: str) -> bool:
    """Whether anything was redacted from the event of this text."""
    return REDACTED in text
