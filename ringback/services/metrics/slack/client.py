"""Sends one message to Slack, and decides what the answer means."""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook.async_client import AsyncWebhookClient

from ringback.runtime.outgoing.retry_after import retry_after_s
from ringback.services.metrics.slack.message import Message

SEND_TIMEOUT_S = 5

_OK = range(200, 300)
_TIMED_OUT = 408
_TOO_MANY = 429
_SERVER_FAILED = 500
_WORD = re.compile(r"[a-z][a-z_]{1,60}")

RATE_LIMITED = "rate_limited"
OK_TEXT = "ok"

TEMPORARY_ERRORS = frozenset(
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
class Rejected:
    """Slack will never accept this message on this channel."""

    reason: str


SendResult = Sent | TryLater | Rejected


def send_result(status: int, text: str, retry_after_s: float | None) -> SendResult:
    """`text` is Slack's result text; OK_TEXT means success."""
    is_word = _WORD.fullmatch(text) is not None
    reason = text if is_word else f"status_{status}"
    if status == _TOO_MANY or text in {"ratelimited", "rate_limited"}:
        return TryLater(RATE_LIMITED, retry_after_s)
    if status >= _SERVER_FAILED or status == _TIMED_OUT or text in TEMPORARY_ERRORS:
        return TryLater(reason, retry_after_s)
    if status in _OK and text == OK_TEXT:
        return Sent()
    # Something other than Slack answered, such as a proxy.
    if status in _OK and not is_word:
        return TryLater(reason)
    return Rejected(reason)


class Channel(Protocol):
    """A Slack channel."""

    async def send(self, message: Message) -> SendResult:
        """Try once, for at most SEND_TIMEOUT_S. Every failure is returned as a result."""


_FIRST_S = 1.0
_MAX_S = 60.0
_MAX_RETRY_AFTER_S = 3600.0
_MAX_DOUBLINGS = 10


def backoff_s(failures: int, *, retry_after_s: float | None, jitter: float) -> float:
    """Seconds to wait after so many failures in a row; `jitter` is from 0 to 1.

    If Slack asks for a delay, it applies. Otherwise:

        failures  1  2  3  4   5   6   7 and more
        seconds   1  2  4  8  16  32  60, and up to a fifth longer
    """
    if retry_after_s is not None:
        return max(retry_after_s, _FIRST_S) + jitter
    doubled = math.ldexp(_FIRST_S, min(max(failures, 1) - 1, _MAX_DOUBLINGS))
    return min(doubled, _MAX_S) * (1 + jitter / 5)


def _asked_wait_s(headers: Mapping[str, str]) -> float | None:
    """How long Slack asks to wait, up to an hour."""
    header = {name.lower(): value for name, value in headers.items()}.get("retry-after", "")
    return retry_after_s(header, now_s=time.time(), max_s=_MAX_RETRY_AFTER_S)


class Bot:
    """Writes to a channel as a bot, with its token."""

    def __init__(
        self, token: str, channel: str, api_url: str, *, timeout_s: int = SEND_TIMEOUT_S
    ) -> None:
        self._channel = channel
        self._client = AsyncWebClient(token, base_url=api_url, timeout=timeout_s, retry_handlers=[])

    async def send(self, message: Message) -> SendResult:
        try:
            await self._client.chat_postMessage(
                channel=self._channel,
                text=message.text,
                blocks=message.blocks,
                unfurl_links=False,
                unfurl_media=False,
            )
        except SlackApiError as exc:
            return _result_of(exc)
        except Exception as exc:  # ruff: ignore[blind-except]  # a bug of the library must not end the service
            return TryLater(type(exc).__name__)
        return Sent()


def _result_of(error: SlackApiError) -> SendResult:
    response = error.response
    # An answer that is not JSON arrives as another kind of response.
    data = getattr(response, "data", None)
    text = str(data.get("error")) if isinstance(data, dict) else ""
    status = getattr(response, "status_code", None) or response.status
    return send_result(status, text, _asked_wait_s(response.headers))


class IncomingWebhook:
    """A channel with a secret URL, which never appears in an error or a log line."""

    def __init__(self, url: str, *, timeout_s: int = SEND_TIMEOUT_S) -> None:
        # The library's retries would be lost with the process; ours are in the database.
        self._client = AsyncWebhookClient(url, timeout=timeout_s, retry_handlers=[])

    async def send(self, message: Message) -> SendResult:
        try:
            response = await self._client.send(
                text=message.text,
                blocks=message.blocks,
                unfurl_links=False,
                unfurl_media=False,
            )
        except Exception as exc:  # ruff: ignore[blind-except]  # a bug of the library must not end the service
            return TryLater(type(exc).__name__)
        # Any 2xx is success; the text matters only if Slack rejected it.
        text = OK_TEXT if response.status_code in _OK else response.body.strip()
        return send_result(response.status_code, text, _asked_wait_s(response.headers))
