"""What Slack's answer means for the message. Pure."""

import re
from dataclasses import dataclass

_OK = range(200, 300)
_TIMED_OUT = 408
_TOO_MANY = 429
_SERVER_FAILED = 500
_WORD = re.compile(r"[a-z][a-z_]{1,60}")

RATE_LIMITED = "rate_limited"
SENT_WORD = "ok"

PASSING = frozenset(
    {
        "fatal_error",
        "internal_error",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "rollup_error",
        "service_unavailable",
        "team_added_to_org",
    }
)
"""Slack's codes for temporary failures."""


@dataclass(frozen=True, slots=True)
class Sent:
    pass


@dataclass(frozen=True, slots=True)
class TryLater:
    """Try again later: Slack is unavailable, slow, or limits the rate."""

    reason: str
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Slack will never accept this message on this channel."""

    reason: str


Answer = Sent | TryLater | Refused


def answer_of(status: int, said: str, retry_after_s: float | None) -> Answer:
    """`said` is Slack's result text; SENT_WORD means success."""
    is_word = _WORD.fullmatch(said) is not None
    reason = said if is_word else f"status_{status}"
    if status == _TOO_MANY or said in {"ratelimited", "rate_limited"}:
        return TryLater(RATE_LIMITED, retry_after_s)
    if status >= _SERVER_FAILED or status == _TIMED_OUT or said in PASSING:
        return TryLater(reason, retry_after_s)
    if status in _OK and said == SENT_WORD:
        return Sent()
    # Something other than Slack answered, such as a proxy.
    if status in _OK and not is_word:
        return TryLater(reason)
    return Refused(reason)
