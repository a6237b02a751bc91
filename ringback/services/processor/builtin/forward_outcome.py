"""What the answer of a forward's receiver means. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import orjson

from ringback.contract.json_text import (
    JsonText,
    NotJsonError,
    TooDeepError,
    read_json,
    sanitize_text,
)
from ringback.contract.redaction.redaction import Redaction
from ringback.contract.redaction.scrub import scrub_beginning
from ringback.contract.retry_schedule import Attempt, RetrySchedule
from ringback.runtime.endpoints.forwards import Forward
from ringback.runtime.outgoing.client import Failure, Response
from ringback.runtime.outgoing.retry_after import retry_after_s
from ringback.services.processor.attempt.result import AttemptResult, completed, failed

REMOVED_SCHEDULE = RetrySchedule.parse("30s,1m,5m")
"""How long a webhook waits for a forward that is not declared: a changed file does not reach all
processors at once.
"""

MAX_ANSWER_BYTES = 64 * 1024
"""How much of an answer is read; a longer one may not be JSON that can be redacted."""

_MAX_STORED = 4096
_MAX_LOCATION = 200
_OK = range(200, 300)
_REDIRECTS = range(300, 400)
_OVERLOADED = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Later:
    """The receiver cannot take the webhook now. That uses no attempt."""

    wait_s: float


def decide(
    response: Response, forward: Forward, schedule: RetrySchedule, attempt: Attempt, now_s: float
) -> AttemptResult | Later:
    """How an attempt with this answer ended."""
    status = response.status
    if status in _OK:
        return completed()
    error_class = f"http_{status}"
    if status in forward.permanent_statuses:
        return failed(
            error_class,
            f"The receiver answered with status {status}, which is permanent for this forward.",
            permanent=True,
        )
    if status in _REDIRECTS:
        place = redirect_place(response.headers.get("Location", ""))
        pointed = f", which points to {place}" if place else ""
        return failed(
            error_class,
            f"The receiver answered with status {status}{pointed}. Redirects are not followed: "
            "declare the URL that they lead to.",
        )
    if status in _OVERLOADED:
        wait_s = wait_for(response.headers.get("Retry-After", ""), schedule, attempt, now_s)
        if wait_s is not None:
            return Later(wait_s)
    return failed(error_class, f"The receiver answered with status {status}.")


def wait_for(
    retry_after: str, schedule: RetrySchedule, attempt: Attempt, now_s: float
) -> float | None:
    """How long to wait, as the receiver asks. None if it asks for nothing that can be read.

    That can only lengthen the delay of the schedule, up to its longest one.
    """
    delays_s = [step.delay_ms / 1000 for step in schedule.steps]
    if not delays_s:
        return None
    asked_s = retry_after_s(retry_after, now_s=now_s, max_s=max(delays_s))
    return None if asked_s is None else max(delays_s[min(attempt, len(delays_s)) - 1], asked_s)


def redirect_place(location: str) -> str:
    """Where a redirect pointed to, without a user, a query or a fragment, which may be secret.

    A relative one stays relative: the declared URL may be secret, too.
    """
    try:
        parts = urlsplit(location.strip())
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https", ""} or not (parts.netloc or parts.path):
        return ""
    host = parts.netloc.rpartition("@")[2]
    place = urlunsplit((parts.scheme, host, parts.path, "", ""))
    return "".join(one for one in place if one.isprintable())[:_MAX_LOCATION]


_SENTENCES = {
    Failure.ADDRESS_NOT_ALLOWED: "The receiver's address is not allowed: it is not public, and "
    "allow_networks does not contain it.",
    Failure.NOT_CONNECTED: "There was no connection: the host name has no address, the port "
    "refuses connections, or TLS failed.",
    Failure.CONNECTION_LOST: "The connection was lost before the whole answer.",
    Failure.TIMEOUT: "The receiver did not answer within {timeout_s:g} s.",
    Failure.NOT_HTTP: "The answer is not valid HTTP.",
    Failure.TOO_LARGE: "The answer is too large.",
}
_PRIVATE = (
    "The receiver gave no answer within {timeout_s:g} s. It is in a private network, so the cause "
    "is only in the log line forward.failed of the processor."
)


def failed_call(failure: Failure, forward: Forward) -> AttemptResult:
    """The result of an attempt without an answer.

    For private networks all causes have one text. Otherwise the texts would show a tenant which
    hosts and ports of that network exist.
    """
    if forward.networks and failure is not Failure.ADDRESS_NOT_ALLOWED:
        return failed("no_answer", _PRIVATE.format(timeout_s=forward.timeout_s))
    return failed(failure.value, _SENTENCES[failure].format(timeout_s=forward.timeout_s))


def removed(endpoint_id: str, name: str) -> AttemptResult:
    return failed(
        "forward_removed",
        f"The endpoint {endpoint_id} declares no forward {name} in this processor's "
        "RINGBACK_ENDPOINTS_FILE.",
    )


def stored_answer(
    response: Response, latency_s: float, redaction: Redaction, hidden: Sequence[str]
) -> str:
    """The JSON of an answer for the log: status, latency, and the beginning of its text.

    `hidden` is what redaction removed from the webhook: a receiver may return what it got.
    """
    whole = _redacted(response.body, redaction)
    text = scrub_beginning(whole, _MAX_STORED, hidden)
    cut = text.encode()[:_MAX_STORED].decode(errors="ignore")
    answer = {
        "status": response.status,
        "latency_ms": round(latency_s * 1000, 1),
        "text": sanitize_text(cut),
        "is_cut": cut != text or len(whole) > _MAX_STORED,
    }
    return orjson.dumps(answer).decode()


def _redacted(body: bytes, redaction: Redaction) -> str:
    try:
        return redaction.of(read_json(body)).text
    except (NotJsonError, TooDeepError):
        text = sanitize_text(body.decode(errors="replace"))
        as_json = JsonText(text, orjson.dumps(text).decode(), altered=False)
        return str(redaction.of(as_json).value)
