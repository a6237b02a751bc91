"""The forwards of received webhooks, as `add_webhook_forwards` takes them."""

from collections.abc import Iterable
from dataclasses import replace

import orjson

from ringback.contract.retry_schedule import FIRST_ATTEMPT
from ringback.contract.status import WaitReason
from ringback.runtime.endpoints.forwards import Forward, ForwardTable
from ringback.services.processor.attempt.context import AttemptContext
from ringback.services.processor.attempt.result import Wait

TO_FORWARD = Wait(WaitReason.FORWARD, delay_ms=0)
"""The wait of each forward, until the sweeper has published its message."""


def forwards_of(context: AttemptContext, table: ForwardTable) -> list[Forward]:
    """The forwards that the end of this attempt adds; a forward itself has none."""
    envelope = context.envelope
    if context.attempt != FIRST_ATTEMPT or envelope.forward is not None:
        return []
    return table.wanting(envelope.endpoint_id, envelope.event_type)


def forward_columns(
    contexts: Iterable[AttemptContext], table: ForwardTable
) -> tuple[str | None, list[bytes] | None]:
    """Their values in JSON, and their bodies; None if there are none."""
    wanted = [(context, one) for context in contexts for one in forwards_of(context, table)]
    if not wanted:
        return None, None
    values = [
        {
            "delivery_id": str(context.envelope.job_id),
            "forward": forward.name,
            "max_attempts": (forward.schedule or context.schedule).max_attempts,
            "headers": _headers(context, forward),
        }
        for context, forward in wanted
    ]
    return orjson.dumps(values).decode(), [context.message.body for context, _ in wanted]


def _headers(context: AttemptContext, forward: Forward) -> dict[str, object]:
    """The headers of its message. For a retry, the log replaces `forward_of`."""
    envelope = replace(
        context.envelope,
        trace=context.span.context,
        dedup_key=None,
        retry_of=None,
        origin=None,
        forward=forward.name,
        forward_of=context.envelope.job_id,
    )
    return envelope.headers()
