"""The webhooks of `ringback demo`, and the expected result of each."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import orjson

from ringback import samples
from ringback.cli.copies import template_of
from ringback.cli.demo_handlers import DEMO_TYPE
from ringback.cli.retime import moved, sent_at_ms
from ringback.contract.event import Event, read_event
from ringback.contract.retry_schedule import RetrySchedule
from ringback.contract.status import Status

_LAST_EVENT = "end-of-call-report"

_MEANING = {
    "assistant-request": "a call comes in",
    "status-update": "the call's state changes",
    "transcript": "somebody spoke",
    "tool-calls": "a tool is called",
    "hang": "the assistant is late",
    "end-of-call-report": "the call is over",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One webhook, its expected end, and a paragraph that explains it."""

    event_type: str
    shows: str
    body: bytes
    ends_as: Status
    attempts: int
    explanation: str


def acts_of(schedule: RetrySchedule, *, run: str, now_ms: int) -> list[Act]:
    """The whole demo in order. `run` is 16 hex digits and makes its events new."""
    return list(
        chain(
            _call(run, now_ms),
            _duplicate(run, now_ms),
            _troubled(schedule, run, now_ms),
        )
    )


def call_id_of(acts: list[Act]) -> str:
    """The id of the demo's call."""
    event = read_event(acts[0].body)
    assert isinstance(event, Event)
    assert event.call_id is not None
    return event.call_id


def _call(run: str, now_ms: int) -> Iterator[Act]:
    """Every sample, as one call that ends now, in the order of a real call."""
    recorded = sorted((samples.sample(name) for name in samples.call_names()), key=sent_at_ms)
    for body in recorded:
        event = read_event(body)
        assert isinstance(event, Event)
        status = event.message.get("status")
        meaning = _MEANING.get(event.type, "part of the call")
        yield Act(
            event_type=event.type,
            shows=f"the call is {status}" if isinstance(status, str) else meaning,
            body=_of_this_run(body, recorded[-1], run, now_ms),
            ends_as=Status.COMPLETED,
            attempts=1,
            explanation="It was on disk before the gateway answered 200. The processor ran its "
            "handler, and the handler's effect and the word “completed” are one commit.",
        )


def _duplicate(run: str, now_ms: int) -> Iterator[Act]:
    report = samples.sample(_LAST_EVENT)
    yield Act(
        event_type=_LAST_EVENT,
        shows="the report, sent again",
        body=_of_this_run(report, report, run, now_ms),
        ends_as=Status.DUPLICATE,
        attempts=1,
        explanation="A sender that is unsure sends again. The event had arrived before, so it was "
        "accepted, recognised and kept as a duplicate; it had no second effect.",
    )


def _troubled(schedule: RetrySchedule, run: str, now_ms: int) -> Iterator[Act]:
    failures = min(2, len(schedule.retry_queues))
    last = schedule.max_attempts
    waits = ", then ".join(retry_queue.label for retry_queue in schedule.retry_queues[:failures])
    yield Act(
        event_type=DEMO_TYPE,
        shows=f"fails {_times(failures)}, then works",
        body=_demo_body(run, 1, now_ms, failUntilAttempt=failures + 1),
        ends_as=Status.COMPLETED,
        attempts=failures + 1,
        explanation=f"Its handler failed {_times(failures)}. Each time it waited in a queue of its "
        f"own on the broker ({waits or 'no wait'}); then it was tried again, and worked.",
    )
    yield Act(
        event_type=DEMO_TYPE,
        shows="fails at every attempt",
        body=_demo_body(run, 2, now_ms, failUntilAttempt=last + 1),
        ends_as=Status.DEAD_LETTER,
        attempts=last,
        explanation=f"All {last} attempts failed, so it became a dead letter: kept with its last "
        "error until a person decides. Nothing is thrown away.",
    )
    yield Act(
        event_type=DEMO_TYPE,
        shows="fails for good at once",
        body=_demo_body(run, 3, now_ms, failForGood=True),
        ends_as=Status.DEAD_LETTER,
        attempts=1,
        explanation="Its handler raised PermanentFailure: no attempt can help. So it went to the "
        "dead letters without a retry.",
    )


def _of_this_run(body: bytes, last_body: bytes, run: str, now_ms: int) -> bytes:
    """The same event in another call: all samples share one call id, and still do."""
    shifted = moved(body, now_ms - sent_at_ms(last_body))
    return template_of(shifted).copy(0, run=run, start_ms=sent_at_ms(shifted))


def _demo_body(run: str, number: int, now_ms: int, **asked: object) -> bytes:
    message = {
        "type": DEMO_TYPE,
        "timestamp": now_ms,
        "call": {"id": f"demo-{run}-{number}"},
        **asked,
    }
    return orjson.dumps({"message": message})


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
