"""Where the time of a webhook and its retries went: a table with a bar in each row.

The axis is compressed, so that a wait of a day leaves room for attempts of milliseconds.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import log1p

from google.protobuf.timestamp_pb2 import Timestamp

from ringback.contract.utc_time import in_seconds
from ringback.metrics.enum_words import words_of
from ringback.metrics.v1.delivery_pb2 import Attempt, AttemptOutcome, Delivery, DeliveryStatus
from ringback.metrics.v1.metrics_service_pb2 import GetDeliveryResponse
from ringback.services.metrics.console.views.text import in_one_line

WIDTH = 1000
_MIN_WIDTH = 4.0
_OUTCOMES = words_of(AttemptOutcome.DESCRIPTOR)
_STATUSES = words_of(DeliveryStatus.DESCRIPTOR)
_UNFINISHED = frozenset(
    {
        DeliveryStatus.DELIVERY_STATUS_PENDING,
        DeliveryStatus.DELIVERY_STATUS_PROCESSING,
        DeliveryStatus.DELIVERY_STATUS_FAILED,
    }
)


@dataclass(frozen=True, slots=True)
class Bar:
    """`kind` is `wait`, or how it ended. `x` and `width` are of WIDTH."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class Row:
    """`wait_s` is the time before it, `took_s` its own; None if there is none."""

    what: str
    job_id: str
    began: Timestamp
    wait_s: float | None
    took_s: float | None
    outcome: str
    trace_id: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class _Span:
    """Times in seconds since 1970. It waited from `since` to `begin`, and ended at `end`."""

    what: str
    job_id: str
    outcome: str
    since: float
    begin: float
    end: float
    trace_id: str = ""


def waterfall(webhooks: Sequence[GetDeliveryResponse], now: datetime) -> list[Row]:
    """The rows of webhooks, each the retry of the one before it, in their order."""
    spans = [span for found in webhooks for span in _spans(found, now.timestamp())]
    places = _places(time for span in spans for time in (span.since, span.begin, span.end))
    return [_row(span, places) for span in spans]


def _row(span: _Span, places: dict[float, float]) -> Row:
    wait_s, took_s = span.begin - span.since, span.end - span.begin
    since, begin, end = places[span.since], places[span.begin], places[span.end]
    bars = [] if wait_s <= 0 else [Bar("wait", since, begin - since, f"Wait: {in_seconds(wait_s)}")]
    if span.outcome:
        title = f"{in_one_line(span.what)}: {span.outcome.replace('_', ' ')}, {in_seconds(took_s)}"
        width = max(_MIN_WIDTH, end - begin)
        bars.append(Bar(span.outcome, min(begin, WIDTH - width), width, title))
    began = Timestamp()
    began.FromDatetime(datetime.fromtimestamp(span.begin, UTC))
    return Row(
        span.what,
        span.job_id,
        began,
        wait_s if wait_s > 0 else None,
        took_s if span.outcome else None,
        span.outcome,
        span.trace_id,
        tuple(bars),
    )


def _places(times: Iterable[float]) -> dict[float, float]:
    """The place of each time on the axis: the logarithm of each step is drawn."""
    ordered = sorted(set(times))
    places, at = {ordered[0]: 0.0} if ordered else {}, 0.0
    for before, after in pairwise(ordered):
        at += log1p((after - before) * 1000)
        places[after] = at
    return {time: round(place * WIDTH / (at or 1.0), 1) for time, place in places.items()}


def _spans(found: GetDeliveryResponse, now: float) -> Iterator[_Span]:
    delivery = found.delivery
    since = _seconds(delivery.created_at)
    for attempt in found.attempts:
        span = _attempt(delivery.job_id, attempt, since)
        since = max(since, span.end)
        yield span
    if delivery.status in _UNFINISHED:
        due = _seconds(delivery.waiting.due_at) if delivery.waiting.HasField("due_at") else now
        yield _Span("Next attempt", delivery.job_id, "", since, max(since, due), max(since, due))
    for forward in found.forwards:
        yield _forward(forward, now)


def _attempt(job_id: str, attempt: Attempt, since: float) -> _Span:
    # The clocks of two machines may differ.
    begin = max(since, _seconds(attempt.started_at))
    end = max(begin, _seconds(attempt.ended_at))
    outcome = _OUTCOMES.get(attempt.outcome, "unknown")
    return _Span(f"Attempt {attempt.attempt}", job_id, outcome, since, begin, end, attempt.trace_id)


def _forward(delivery: Delivery, now: float) -> _Span:
    begin = _seconds(delivery.created_at)
    is_done = delivery.status not in _UNFINISHED
    last = delivery.completed_at if delivery.HasField("completed_at") else delivery.last_attempt_at
    end = max(begin, _seconds(last) if is_done else now)
    status = _STATUSES.get(delivery.status, "unknown")
    return _Span(f"Forward {delivery.forward}", delivery.job_id, status, begin, begin, end)


def _seconds(moment: Timestamp) -> float:
    return moment.seconds + moment.nanos / 1e9
