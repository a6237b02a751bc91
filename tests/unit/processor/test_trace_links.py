"""The table of parents and links."""

from typing import Any
from uuid import UUID

import pytest

from ringback.contract.identity import JobId
from ringback.contract.retry_schedule import Attempt
from ringback.services.processor.consume.message import Message
from ringback.services.processor.trace_links import (
    PreviousAttempt,
    TraceParentage,
    last_of_dead_letter,
    previous_of_attempt,
    trace_parentage,
)
from tests.unit.processor.events import ENVELOPE, JOB, message

PUBLISHED = ENVELOPE.trace.traceparent
ORIGIN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
RETRIED = JobId(UUID("0195f9ce-1234-7abc-8def-0123456789ac"))


def carrying(routing_key: str = "attempt.1", **headers: Any) -> Message:
    return message(routing_key=routing_key, headers=ENVELOPE.headers() | headers)


def as_texts(parentage: TraceParentage) -> tuple[str | None, list[tuple[str, str]]]:
    """The parent and the links, as texts."""
    return (
        parentage.parent.traceparent if parentage.parent else None,
        [(link.relation, link.context.traceparent) for link in parentage.links],
    )


@pytest.mark.parametrize(
    ("came", "parent", "links"),
    [
        # The first attempt continues the publish, also as a quarantined message.
        (carrying(), PUBLISHED, [("origin", PUBLISHED)]),
        (carrying("webhooks.quarantine", attempt=1), PUBLISHED, [("origin", PUBLISHED)]),
        # After a wait a trace begins.
        (carrying("attempt.requeued", attempt=1), None, [("origin", PUBLISHED)]),
        (carrying("attempt.2"), None, [("origin", PUBLISHED)]),
        (carrying("attempt.9"), None, [("origin", PUBLISHED)]),
        (carrying("webhooks.quarantine", attempt=2), None, [("origin", PUBLISHED)]),
        # A retry by a person begins one, too. The retried webhook may be unknown.
        (
            carrying(retry_of=str(JOB), origin_traceparent=ORIGIN),
            None,
            [("retry_request", PUBLISHED), ("origin", ORIGIN)],
        ),
        (carrying(retry_of=str(JOB)), None, [("retry_request", PUBLISHED)]),
        (
            carrying("attempt.2", retry_of=str(JOB), origin_traceparent=ORIGIN),
            None,
            [("retry_request", PUBLISHED), ("origin", ORIGIN)],
        ),
        # A foreign message, or one with any headers.
        (message(headers={}), None, []),
        (carrying(traceparent="no trace"), None, []),
        (carrying(traceparent=7, tracestate=[]), None, []),
        (
            carrying(retry_of=str(JOB), origin_traceparent=b"\xff"),
            None,
            [("retry_request", PUBLISHED)],
        ),
    ],
)
def test_the_parent_and_links_of_a_message(
    came: Message, parent: str | None, links: list[tuple[str, str]]
) -> None:
    """Only a first attempt that a gateway published has a parent; all others have links."""
    assert as_texts(trace_parentage(came)) == (parent, links)
    assert as_texts(trace_parentage(came, is_dead_letter=True)) == (None, links)


@pytest.mark.parametrize(
    ("attempt", "retry_of", "before"),
    [
        (1, None, None),
        (2, None, PreviousAttempt(JOB, 2)),
        (9, RETRIED, PreviousAttempt(JOB, 9)),
        # A retry follows the last attempt of the retried webhook.
        (1, RETRIED, last_of_dead_letter(RETRIED)),
    ],
)
def test_which_attempt_comes_before(
    attempt: int, retry_of: JobId | None, before: PreviousAttempt | None
) -> None:
    """A first attempt has no previous one, unless it is the first of a retry."""
    assert previous_of_attempt(JOB, Attempt(attempt), retry_of) == before
