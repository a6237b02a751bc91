"""Formats values of the metrics API."""

from datetime import UTC, datetime, timedelta

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
)

from ringback.cli.terminal import err
from ringback.contract.utc_time import in_seconds
from ringback.local.console import printable
from ringback.metrics.enum_words import words_of
from ringback.metrics.v1.delivery_pb2 import (
    Attempt,
    AttemptOutcome,
    Delivery,
    DeliveryStatus,
    Wait,
    WaitReason,
)

STATUS_STYLES = {
    DeliveryStatus.DELIVERY_STATUS_COMPLETED: "green",
    DeliveryStatus.DELIVERY_STATUS_FAILED: "yellow",
    DeliveryStatus.DELIVERY_STATUS_DEAD_LETTER: "red",
    DeliveryStatus.DELIVERY_STATUS_DUPLICATE: "cyan",
}
OUTCOME_STYLES = {
    AttemptOutcome.ATTEMPT_OUTCOME_COMPLETED: "green",
    AttemptOutcome.ATTEMPT_OUTCOME_FAILED: "yellow",
    AttemptOutcome.ATTEMPT_OUTCOME_PERMANENT: "red",
    AttemptOutcome.ATTEMPT_OUTCOME_DUPLICATE: "cyan",
}

_MINUTE_S = 60


def status_words(delivery: Delivery) -> str:
    """The status in words, such as `dead letter`."""
    return _words(DeliveryStatus.DESCRIPTOR, delivery.status)


def outcome_words(attempt: Attempt) -> str:
    return _words(AttemptOutcome.DESCRIPTOR, attempt.outcome)


def moment(time: Timestamp) -> datetime:
    return time.ToDatetime(tzinfo=UTC)


def age(time: Timestamp, now: datetime) -> str:
    """How long ago a time was, in one unit: `12 s ago`, `4 min ago`."""
    span = now - moment(time)
    if span.total_seconds() < _MINUTE_S:
        return f"{max(0, int(span.total_seconds()))} s ago"
    return f"{duration(span)} ago"


def due_words(wait: Wait, now: datetime) -> str:
    """Until when a webhook waits: `due in 4 min`, `due 12 s ago`."""
    if wait.reason == WaitReason.WAIT_REASON_CANCELLED:
        return "becomes a dead letter in moments"
    if not wait.HasField("due_at"):
        return "due after an earlier webhook of its call"
    due_at = moment(wait.due_at)
    return f"due in {duration(due_at - now)}" if due_at > now else f"due {age(wait.due_at, now)}"


def wait_words(wait: Wait, now: datetime) -> str:
    """The attempt, until when and why a webhook waits, in one line."""
    words = f"attempt {wait.attempt} {due_words(wait, now)}"
    if wait.reason != WaitReason.WAIT_REASON_ORDER:
        words += f", {reason_words(wait.reason)}"
    if wait.destination:
        words += f" {printable(wait.destination)}"
    return f"{words}, order key {printable(wait.order_key)}" if wait.order_key else words


def reason_words(reason: WaitReason.ValueType) -> str:
    return _words(WaitReason.DESCRIPTOR, reason)


def duration(span: timedelta) -> str:
    """A duration in one unit, as in `4.0 s`."""
    return in_seconds(max(0.0, span.total_seconds()))


def error_words(error_class: str, message: str) -> str:
    """The class and message of an error, on one line; the class is not repeated."""
    one_line = " ".join(printable(message).split())
    if not error_class or one_line.startswith(error_class):
        return one_line or error_class
    return f"{error_class}: {one_line}" if one_line else error_class


def plural(count: int, noun: str) -> str:
    """`1 dead letter`, `2,000 dead letters`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _words(enum: EnumDescriptor, number: int) -> str:
    return words_of(enum).get(number, "unknown").replace("_", " ")


def progress_bar(*values: tuple[str, str]) -> Progress:
    """A progress bar on stderr, followed by values such as `{task.fields[rate]}` with a style.

    It is hidden if stderr is not a terminal.
    """
    console = err()
    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TaskProgressColumn(),
        *(TextColumn(value, style=style, markup=False) for value, style in values),
    ]
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
