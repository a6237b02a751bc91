"""Sending to Slack: what answers mean, and how long to wait."""

import logging
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringback.local.ports import free_ports
from ringback.services.metrics.slack.client import (
    Bot,
    Channel,
    IncomingWebhook,
    Rejected,
    SendResult,
    Sent,
    TryLater,
    backoff_s,
    send_result,
)
from ringback.services.metrics.slack.message import Message
from tests.support.local_slack import CHANNEL, HANGS, SECRET, TOKEN, LocalSlack, Said, local_slack


@pytest.mark.parametrize(
    ("status", "text", "means"),
    [
        (200, "ok", Sent()),
        (201, "ok", Sent()),
        # Try again, after the time that Slack gives.
        (429, "rate_limited", TryLater("rate_limited", 7)),
        (429, "", TryLater("rate_limited", 7)),
        (200, "ratelimited", TryLater("rate_limited", 7)),
        (500, "rollup_error", TryLater("rollup_error", 7)),
        (503, "<html>", TryLater("status_503", 7)),
        (408, "", TryLater("status_408", 7)),
        (200, "internal_error", TryLater("internal_error", 7)),
        # Not Slack, but a proxy: a page that asks for a login.
        (200, "<html>", TryLater("status_200")),
        # Never.
        (400, "invalid_payload", Rejected("invalid_payload")),
        (400, "Bad <https://token@host>", Rejected("status_400")),
        (403, "invalid_token", Rejected("invalid_token")),
        (404, "channel_not_found", Rejected("channel_not_found")),
        (410, "channel_is_archived", Rejected("channel_is_archived")),
        (200, "channel_not_found", Rejected("channel_not_found")),
        (200, "invalid_auth", Rejected("invalid_auth")),
        (302, "", Rejected("status_302")),
    ],
)
def test_a_result_says_whether_to_try_again(status: int, text: str, means: SendResult) -> None:
    """Temporary failures are tried again; those that need a person are not."""
    assert send_result(status, text, 7) == means


@pytest.mark.parametrize(
    ("failures", "asked_s", "waits_s"),
    [
        # It doubles up to a minute.
        *((failures, None, 2 ** (failures - 1)) for failures in (1, 2, 3, 4, 5, 6)),
        *((failures, None, 60) for failures in (7, 8, 10_000)),
        # Slack's own delay is respected.
        *((1, 0, 1), (1, 7, 7), (1, 3600, 3600)),
    ],
)
def test_how_long_it_waits(failures: int, asked_s: float | None, waits_s: float) -> None:
    assert backoff_s(failures, retry_after_s=asked_s, jitter=0) == waits_s


@given(st.integers(0, 10**9), st.none() | st.floats(0, 3600), st.floats(0, 1))
def test_a_wait_is_never_shorter_than_asked(
    failures: int, given_s: float | None, jitter: float
) -> None:
    """Jitter only adds, and the wait has bounds."""
    waits_s = backoff_s(failures, retry_after_s=given_s, jitter=jitter)

    assert 1 <= waits_s <= 3601
    assert waits_s >= (given_s or 0)


MESSAGE = Message("It failed.", [{"type": "section", "text": {"type": "mrkdwn", "text": "*It*"}}])


def by_webhook(slack: LocalSlack, timeout_s: int = 60) -> Channel:
    return IncomingWebhook(slack.url, timeout_s=timeout_s)


def by_bot(slack: LocalSlack, timeout_s: int = 60) -> Channel:
    return Bot(TOKEN, CHANNEL, slack.api_url, timeout_s=timeout_s)


BOTH = pytest.mark.parametrize("way", [by_webhook, by_bot])
Way = Callable[..., Channel]


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with local_slack() as running:
        yield running


@BOTH
async def test_a_message_arrives_as_it_was_built(slack: LocalSlack, way: Way) -> None:
    """Its text, its blocks, and no preview of its links."""
    assert await way(slack).send(MESSAGE) == Sent()

    [taken] = slack.taken
    assert (taken["text"], taken["blocks"]) == (MESSAGE.text, MESSAGE.blocks)
    assert (taken["unfurl_links"], taken["unfurl_media"]) == (False, False)


@BOTH
@pytest.mark.parametrize(
    ("text", "means"),
    [
        (Said(429, "ratelimited", "7"), TryLater("rate_limited", 7)),
        # A typing error must not silence us for good.
        (Said(429, "ratelimited", "9" * 400), TryLater("rate_limited", 3600)),
        (Said(400, "invalid_payload"), Rejected("invalid_payload")),
        (HANGS, TryLater("TimeoutError")),
    ],
)
async def test_an_answer_is_understood(
    slack: LocalSlack, way: Way, text: Said, means: SendResult
) -> None:
    """One attempt, one answer, whatever Slack does; it never raises."""
    slack.answers.append(text)

    assert await way(slack, 1 if text is HANGS else 60).send(MESSAGE) == means
    assert slack.tries == 1


@pytest.mark.parametrize(
    ("token", "channel", "means"),
    [
        ("xoxb-another", CHANNEL, Rejected("invalid_auth")),
        (TOKEN, "C9", Rejected("channel_not_found")),
    ],
)
async def test_a_bot_that_is_set_up_wrongly_is_refused(
    slack: LocalSlack, token: str, channel: str, means: SendResult
) -> None:
    """Slack reports this with the status 200."""
    assert await Bot(token, channel, slack.api_url).send(MESSAGE) == means


@BOTH
async def test_an_unreachable_slack_is_not_an_error(
    slack: LocalSlack, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    """A refused connection is tried again later, and its error contains no secret."""
    caplog.set_level(logging.INFO)
    [port] = free_ports(1)
    slack.url = f"http://127.0.0.1:{port}/services/{SECRET}"
    slack.api_url = f"http://127.0.0.1:{port}/api/"

    answer = await way(slack).send(MESSAGE)

    assert answer == TryLater("ClientConnectorError")
    assert "verysecret" not in caplog.text


async def test_an_address_without_its_last_slash_is_as_good(slack: LocalSlack) -> None:
    """RINGBACK_SLACK_API_URL is typed by people."""
    assert await Bot(TOKEN, CHANNEL, slack.api_url.rstrip("/")).send(MESSAGE) == Sent()
