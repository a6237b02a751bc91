"""Shows lists of webhooks, one webhook with its timeline, and dead letters."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from operator import itemgetter

import orjson
from rich.console import Console, RenderableType
from rich.text import Text

from ringback.cli.views.formatting import (
    OUTCOME_STYLES,
    STATUS_STYLES,
    age,
    duration,
    error_words,
    moment,
    outcome_words,
    plural,
    status_words,
    wait_words,
)
from ringback.cli.views.layout import label, print_indented, print_line, table, words
from ringback.local.console import printable
from ringback.metrics.v1.admin_service_pb2 import (
    RetryDeliveriesResponse,
    RetryDeliveryResponse,
    RetryRunState,
    RetryState,
    RunDuplicateResponse,
)
from ringback.metrics.v1.delivery_pb2 import (
    Answer,
    Attempt,
    Delivery,
    DeliveryStatus,
    Resolution,
    Retry,
    Wait,
)
from ringback.metrics.v1.metrics_service_pb2 import (
    FailureGroup,
    GetDeliveryResponse,
)

_MAX_ANSWER = 300
"""Characters of an answer in a timeline. With --json all are shown."""


def print_deliveries(console: Console, deliveries: Iterable[Delivery], now: datetime) -> None:
    for delivery in deliveries:
        _print_head(console, delivery)
        attempts = f"{status_words(delivery)} {delivery.attempts}/{delivery.max_attempts}"
        line = Text("    ").append(attempts, STATUS_STYLES.get(delivery.status, ""))
        line.append(f"  {age(delivery.created_at, now)}")
        error = error_words(delivery.error_class, delivery.error_message)
        print_line(console, line.append(f"  {error}" if error else "", "dim"))


def print_waiting(console: Console, waits: Iterable[Wait], now: datetime) -> None:
    for wait in waits:
        _print_head(console, wait)
        print_indented(console, Text(wait_words(wait, now), "dim"), _INDENT)


def _print_head(console: Console, webhook: Delivery | Wait) -> None:
    line = Text(f"{webhook.job_id}  ").append(printable(webhook.event_type), "bold")
    print_indented(console, line, _INDENT, after=Text())


_INDENT = 4
_TIMELINE_INDENT = 29
_Moment = tuple[datetime, list[Text]]


def print_delivery(console: Console, found: GetDeliveryResponse, now: datetime) -> None:
    _print_head(console, found.delivery)
    console.print(_facts_table(found, now))
    console.print()
    _print_timeline(console, found, now)


def _state(delivery: Delivery, now: datetime) -> Text:
    line = Text(status_words(delivery), STATUS_STYLES.get(delivery.status, ""))
    if delivery.resolution == Resolution.RESOLUTION_RETRIED:
        is_run = delivery.status == DeliveryStatus.DELIVERY_STATUS_DUPLICATE
        line.append(", run anyway" if is_run else ", retried", "green")
    elif delivery.resolution == Resolution.RESOLUTION_DISCARDED:
        line.append(", discarded", "dim")
    return line.append(f"  {age(delivery.created_at, now)}", "dim")


def _facts_table(found: GetDeliveryResponse, now: datetime) -> RenderableType:
    delivery, rows = found.delivery, table(label(), words(), show_header=False)
    rows.add_row("status", _state(delivery, now))
    rows.add_row("attempts", f"{delivery.attempts} of {delivery.max_attempts}")
    facts = (
        ("call", delivery.call_id),
        ("organisation", delivery.org_id),
        ("endpoint", delivery.endpoint_id),
        ("duplicate of", delivery.duplicate_of),
        ("dedup key", delivery.dedup_key if delivery.duplicate_of else ""),
        ("forward", delivery.forward),
        ("forwards", delivery.forward_of),
    )
    for name, value in facts:
        if value:
            rows.add_row(name, printable(value))
    if delivery.altered:
        rows.add_row("altered", "a part of the event could not be stored as received")
    if delivery.redacted:
        rows.add_row(
            "redacted", "credentials in the event were removed; a retry does not have them"
        )
    for forward in found.forwards:
        rows.add_row(f"forward {printable(forward.forward)}", _forward_state(forward))
    return rows


def _forward_state(forward: Delivery) -> Text:
    state = Text(f"{forward.job_id}  ")
    state.append(status_words(forward), STATUS_STYLES.get(forward.status, ""))
    if forward.HasField("retried_as"):
        return state.append(f", retried as {forward.retried_as}", "green")
    return state.append(f", {printable(forward.error_class)}" if forward.error_class else "", "dim")


def _print_timeline(console: Console, found: GetDeliveryResponse, now: datetime) -> None:
    """Print each entry in time order, with the time since the entry before, in UTC."""
    moments = sorted(_moments(found), key=itemgetter(0))
    before: datetime | None = None
    for time, lines in moments:
        if before is None or before.date() != time.date():
            console.print(Text(f"{time:%Y-%m-%d} UTC", "dim"))
        since = f"+{duration(time - before)}" if before is not None else ""
        stamp = Text(f"  {time:%H:%M:%S}.{time.microsecond // 1000:03d}  ").append(
            f"{since:<11}", "dim"
        )
        print_indented(console, lines[0], _TIMELINE_INDENT, after=stamp)
        for line in lines[1:]:
            print_indented(console, line, _TIMELINE_INDENT)
        before = time
    waiting = _waiting(found.delivery, now)
    if waiting:
        print_indented(console, Text(waiting, "dim"), 2)


def event_text(delivery: Delivery) -> Text:
    """The event as indented JSON."""
    if not delivery.HasField("event_data"):
        return Text("The event is written to the log with the first attempt.", "dim")
    try:
        document = orjson.loads(delivery.event_data)
    except orjson.JSONDecodeError:
        return Text(printable(delivery.event_data))
    lines = orjson.dumps(document, option=orjson.OPT_INDENT_2).decode().split("\n")
    return Text("\n".join(map(printable, lines)))


def _moments(found: GetDeliveryResponse) -> Iterator[_Moment]:
    delivery = found.delivery
    accepted = [Text("accepted")]
    if found.HasField("retry_of"):
        accepted = [Text(f"accepted, {_retry_origin(found.retry_of)}"), *_by(found.retry_of)]
    yield moment(delivery.created_at), accepted
    trace_id = ""
    for attempt in found.attempts:
        # The attempts of a webhook usually share a trace. Show its id once.
        yield moment(attempt.started_at), list(_attempt(attempt, shown_trace_id=trace_id))
        trace_id = attempt.trace_id
    if delivery.status == DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER and found.attempts:
        last = max(moment(attempt.ended_at) for attempt in found.attempts)
        yield last, [Text("became a dead letter", "red")]
    if found.HasField("retried_as"):
        retry = found.retried_as
        verb = "run anyway" if retry.HasField("duplicate_of") else "retried"
        line = Text(f"{verb} as {retry.new_job_id}", "green")
        yield moment(retry.created_at), [line, *_by(retry)]
    elif delivery.HasField("resolved_at"):
        yield moment(delivery.resolved_at), [Text("discarded")]


def _attempt(attempt: Attempt, *, shown_trace_id: str) -> Iterator[Text]:
    line = Text(f"attempt {attempt.attempt}  ")
    line.append(outcome_words(attempt), OUTCOME_STYLES.get(attempt.outcome, ""))
    yield line.append(f"  in {duration(timedelta(milliseconds=attempt.duration_ms))}", "dim")
    if attempt.error_class or attempt.error_message:
        yield Text(error_words(attempt.error_class, attempt.error_message))
    if attempt.HasField("answer"):
        yield from _answer(attempt.answer)
    if attempt.trace_id not in {"", shown_trace_id}:
        yield Text(f"trace {attempt.trace_id}", "dim")


def _answer(answer: Answer) -> Iterator[Text]:
    took = duration(timedelta(milliseconds=answer.latency_ms))
    yield Text(f"answered with status {answer.status} in {took}")
    text = printable(" ".join(answer.text.split()))
    if text:
        is_cut = answer.is_cut or len(text) > _MAX_ANSWER
        yield Text(text[:_MAX_ANSWER] + ("…" if is_cut else ""), "dim")


def _retry_origin(retry: Retry) -> str:
    if not retry.HasField("duplicate_of"):
        return f"as a retry of {retry.job_id}"
    return f"to run {retry.job_id}, which was recognised as a duplicate of {retry.duplicate_of}"


def _by(retry: Retry) -> list[Text]:
    reason = f": {printable(retry.reason)}" if retry.reason else ""
    unpublished = "" if retry.HasField("published_at") else " (not published yet)"
    return [Text(f"by {printable(retry.actor)}{reason}{unpublished}", "dim")]


def _waiting(delivery: Delivery, now: datetime) -> str:
    if delivery.HasField("waiting"):
        return f"Waiting in the database: {wait_words(delivery.waiting, now)}."
    match delivery.status:
        case DeliveryStatus.DELIVERY_STATUS_PENDING:
            return "Waiting for the first attempt."
        case DeliveryStatus.DELIVERY_STATUS_PROCESSING:
            return "An attempt is running."
        case DeliveryStatus.DELIVERY_STATUS_FAILED:
            return "Waiting for the next attempt."
        case _:
            return ""


_GROUP_INDENT = 9


def print_groups(console: Console, groups: Iterable[FailureGroup], now: datetime) -> None:
    """Print three lines for each group, the largest first."""
    for group in sorted(groups, key=lambda group: -group.count):
        line = Text(printable(group.event_type), "bold")
        line.append(f"  {printable(group.error_class)}", "not bold")
        print_indented(console, line, _GROUP_INDENT, after=Text(f"{group.count:>7,}  ", "red"))
        span = f"newest {age(group.last_seen, now)}, oldest {age(group.first_seen, now)}"
        print_indented(console, Text(span), _GROUP_INDENT)
        if group.latest_error_message:
            error = error_words("", group.latest_error_message)
            print_line(console, Text(" " * _GROUP_INDENT + error, "dim"))
    console.print(
        Text(
            "\n`ringback dead retry --event-type TYPE --error-class CLASS --reason TEXT` "
            "retries a group.",
            "dim",
        ),
        soft_wrap=True,
    )


def retried_lines(answer: RetryDeliveryResponse | RunDuplicateResponse) -> Text:
    text = Text(answer.message)
    if isinstance(answer, RunDuplicateResponse):
        text.append(f"\nrecognised as a duplicate of  {answer.duplicate_of}")
    text.append(f"\nnew job id  {answer.new_job_id}")
    if answer.state == RetryState.RETRY_STATE_QUEUED:
        text.append("\nIt will be published to the broker in a moment.", "yellow")
    if answer.altered:
        text.append(
            "\nIts event differs from the received one: a part could not be stored.", "yellow"
        )
    if answer.redacted:
        text.append(
            "\nIts event is redacted: the credentials of the original were removed.",
            "yellow",
        )
    return text.append(f"\n`ringback delivery show {answer.new_job_id}` follows it.", "dim")


def question(matched: int, limit: int, rate_per_s: float) -> Text:
    """Describe the retries to confirm."""
    if not matched:
        return Text("No dead letter matches.")
    count = min(matched, limit)
    text = Text(f"{plural(matched, 'dead letter')} match{'es' if matched == 1 else ''}")
    if count < matched:
        text.append(f"; the {count:,} oldest will be retried (--limit)")
    took = duration(timedelta(seconds=max(1.0, count / rate_per_s)))
    return text.append(f". At {rate_per_s:g} per second, that takes at least {took}.")


def bulk_figures() -> tuple[tuple[str, str], ...]:
    """The texts after the progress bar, with their styles."""
    return (
        ("{task.fields[done]:,} completed", "green"),
        ("{task.fields[failed]}", "red"),
        ("{task.fields[words]}", "dim"),
    )


def bulk_table(latest: RetryDeliveriesResponse, *, interrupted: bool) -> RenderableType:
    rows = table(label(min_width=12), words(), show_header=False)
    rows.add_row("matched", f"{latest.matched:,}")
    rows.add_row("retried", f"{latest.retried:,}")
    rows.add_row("  completed", Text(f"{latest.completed:,}", "green"))
    if latest.failed_again:
        rows.add_row("  failed again", Text(f"{latest.failed_again:,}", "red"))
    if latest.skipped:
        rows.add_row("skipped", f"{latest.skipped:,}")
    if interrupted:
        rows.add_row("ended", "interrupted; finished retries are kept")
    elif latest.state != RetryRunState.RETRY_RUN_STATE_FINISHED:
        rows.add_row("ended", Text(latest.message or "early", "red"))
    return rows
