"""The result of an attempt's handlers. Pure: `ringback.testing` uses it without a server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ringback.contract.json_text import sanitize_text
from ringback.contract.redaction.scrub import scrub_secrets, without_url_secrets
from ringback.contract.redaction.secret_names import judge
from ringback.contract.retry_schedule import LONGEST_DELAY_MS, RetrySchedule
from ringback.contract.status import AttemptOutcome, WaitReason
from ringback.handlers import PermanentFailure
from ringback.outgoing import Unavailable

_MAX_ERROR_MESSAGE = 2_000
MAX_ERROR_CLASS = 200

CallUpdate = Mapping[str, object]
"""The values of an event for its call in `voice_calls`, as `merge_voice_calls` reads them.

They commit together with the attempt. Those of a duplicate commit only if the event ends its call
and differs from the first one.
"""


_SHORTEST_WAIT_MS = 1_000
_MAX_DESTINATION = 200


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a webhook waits in PostgreSQL, and for how long; then its message is acknowledged.

    Without `delay_ms` it waits until something else releases it. `failure` is the result of a call
    that failed while the breaker of the destination is open: that uses no attempt a few times.
    """

    reason: WaitReason
    delay_ms: int | None
    destination: str | None = None
    order_key: str | None = None
    failure: "AttemptResult | None" = None


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The outcome of an attempt, with its error or its update of the call.

    `schedule` is the one that the failed handler declares. `wait` commits with a failed attempt.
    """

    outcome: AttemptOutcome
    error_class: str | None = None
    error_message: str | None = None
    call_update: CallUpdate | None = None
    schedule: RetrySchedule | None = None
    wait: Wait | None = None

    def with_note(self, note: str) -> "AttemptResult":
        """Append a sentence to the error message, which is cut to make room for it."""
        message = (self.error_message or "")[: _MAX_ERROR_MESSAGE - len(note) - 1]
        return replace(self, error_message=f"{message} {note}")

    def without(self, hidden: Sequence[str]) -> "AttemptResult":
        """Remove from the message everything that redaction removed from the event."""
        if self.error_message is None or not hidden:
            return self
        message = scrub_secrets(self.error_message, hidden)
        return replace(self, error_message=message[:_MAX_ERROR_MESSAGE])


class EndedError(Exception):
    """Ends an attempt with this result; for what runs instead of handlers."""

    def __init__(self, result: AttemptResult) -> None:
        super().__init__(result.error_message)
        self.result = result


DUPLICATE = AttemptResult(AttemptOutcome.DUPLICATE)


def completed(call_update: CallUpdate | None = None) -> AttemptResult:
    return AttemptResult(AttemptOutcome.COMPLETED, call_update=call_update)


def failed(error_class: str, error_message: str, *, permanent: bool = False) -> AttemptResult:
    """A failed attempt. Its texts are cut and cleaned, so any store accepts them.

    HTTP clients quote the URL that failed, in which a key or a password may be.
    """
    message = sanitize_text(error_message)[:_MAX_ERROR_MESSAGE]
    return AttemptResult(
        AttemptOutcome.PERMANENT if permanent else AttemptOutcome.FAILED,
        error_class=sanitize_text(error_class)[:MAX_ERROR_CLASS],
        error_message=without_url_secrets(message, [], judge)[:_MAX_ERROR_MESSAGE],
    )


def wait_for_destination(error: BaseException) -> Wait | None:
    """The wait that a handler's error asks for, whatever it contains; None if it is a failure.

    A group of errors, as TaskGroup raises it, asks for one if all its errors do.
    """
    if isinstance(error, BaseExceptionGroup):
        waits = [wait_for_destination(one) for one in error.exceptions]
        known = [wait for wait in waits if wait is not None]
        if len(known) < len(waits):
            return None
        longest = max(known, key=lambda wait: wait.delay_ms or 0)
        return replace(longest, failure=next((one.failure for one in known if one.failure), None))
    if not isinstance(error, Unavailable):
        return None
    destination = getattr(error, "destination", None)
    seconds = getattr(error, "retry_after_s", None)
    failure = getattr(error, "failure", None)
    result = result_of(failure) if isinstance(failure, Exception) else None
    if not isinstance(destination, str) or not isinstance(seconds, int | float):
        return None
    # At once would only repeat the call that was refused. In this order, NaN is the shortest wait.
    delay_ms = max(_SHORTEST_WAIT_MS, seconds * 1000)
    return Wait(
        WaitReason.DESTINATION,
        round(min(delay_ms, LONGEST_DELAY_MS)),
        sanitize_text(destination)[:_MAX_DESTINATION],
        failure=result if isinstance(result, AttemptResult) else None,
    )


def result_of(error: BaseException) -> AttemptResult | Wait:
    """The result of handlers that raised this error."""
    if isinstance(error, EndedError):
        return error.result
    return wait_for_destination(error) or failed(
        type(error).__qualname__,
        text_of_error(error) or "The handler raised without a message.",
        permanent=isinstance(error, PermanentFailure),
    )


def text_of_error(error: BaseException) -> str:
    """The text of an error; none if it cannot give one."""
    try:
        return str(error)
    except BaseException:  # ruff: ignore[blind-except]  # the error's own code may raise anything
        return ""
