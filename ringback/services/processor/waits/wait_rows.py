"""Waits as the database takes them, and the messages that are made of them again."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import starmap
from typing import Any

import aio_pika
import asyncpg
import orjson

from ringback.contract.envelope import CONTENT_TYPE, HEADERS_OF_ONE_HOP, Header
from ringback.contract.json_text import sanitize_text
from ringback.contract.retry_schedule import FIRST_ATTEMPT, Attempt, routing_key
from ringback.contract.status import WaitReason
from ringback.contract.topology import REQUEUED_KEY, WEBHOOKS
from ringback.services.processor.attempt.context import AttemptContext
from ringback.services.processor.attempt.policy import CANCELLED, Failure, dead_letter
from ringback.services.processor.attempt.result import Wait

_KEPT_HEADERS = (
    frozenset(header.value for header in Header)
    - HEADERS_OF_ONE_HOP
    - {Header.REQUEUES.value, Header.PARKS.value}
)
"""The webhook's own headers. The others are about one hop, or belong to another program."""


def wait_columns(
    waits: Sequence[tuple[AttemptContext, Wait, Attempt]],
) -> tuple[str | None, list[bytes] | None]:
    """The last two arguments of the functions of the log; null if there is no wait."""
    if not waits:
        return None, None
    rows = list(starmap(_row, waits))
    return orjson.dumps(rows).decode(), [context.message.body for context, _, _ in waits]


def _row(context: AttemptContext, wait: Wait, attempt: Attempt) -> dict[str, object]:
    envelope = context.envelope
    return {
        "delivery_id": envelope.job_id,
        "attempt": attempt,
        "org_id": envelope.org_id,
        "event_type": envelope.event_type,
        "reason": wait.reason,
        "destination": wait.destination,
        "order_key": wait.order_key,
        "delay_ms": wait.delay_ms,
        "headers": _kept(context.message.headers) | _counted(context, wait),
    }


def _counted(context: AttemptContext, wait: Wait) -> dict[str, int]:
    if wait.failure is None:
        return {}
    return {Header.FREE_FAILURES.value: context.message.free_failures + 1}


def _kept(headers: Mapping[str, Any]) -> dict[str, str | int]:
    return {
        name: sanitize_text(value) if isinstance(value, str) else value
        for name, value in headers.items()
        if name in _KEPT_HEADERS and isinstance(value, str | int)
    }


def message_of(row: asyncpg.Record) -> tuple[aio_pika.Message, str, str]:
    """The message of a leased row, its exchange and its routing key.

    It goes to the queue of what is due, or to the dead letters if it was cancelled.
    """
    attempt = Attempt(row["attempt"])
    headers = orjson.loads(row["headers"])
    exchange, key = WEBHOOKS, routing_key(attempt)
    if row["reason"] == WaitReason.CANCELLED:
        last = Attempt(max(FIRST_ATTEMPT, attempt - 1))
        verdict = dead_letter(last, Failure(CANCELLED, row["cancellation"]))
        exchange, key = verdict.exchange, verdict.routing_key
        headers |= verdict.headers
    elif attempt == FIRST_ATTEMPT:
        # The routing key of a first attempt would move it to the end of the work queue.
        key = REQUEUED_KEY
        headers[Header.ATTEMPT.value] = attempt
    message = aio_pika.Message(
        row["body"],
        headers=headers,
        content_type=CONTENT_TYPE,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=str(row["delivery_id"]),
        timestamp=datetime.fromisoformat(headers[Header.RECEIVED_AT.value]),
        type=row["event_type"],
    )
    return message, exchange, key
