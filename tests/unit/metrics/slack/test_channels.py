"""Both ways to Slack, against a real server in its place."""

import logging
from collections.abc import AsyncIterator, Callable

import pytest

from ringback.local.ports import free_ports
from services.metrics.slack.client import (
    Bot,
    Channel,
    IncomingWebhook,
    Rejected,
    SendResult,
    Sent,
    TryLater,
)
from services.metrics.slack.message import Message
from tests.support.local_slack import CHANNEL, HANGS, SECRET, TOKEN, LocalSlack, Said, local_slack

MESSAGE = Message("It failed.", [{"type": "section", "text": {"type": "mrkdwn", "text": "*It*"}}])


def by_webhook(slack: LocalSlack) -> Channel:
    return IncomingWebhook(slack.url, timeout_s=1)


def by_bot(slack: LocalSlack) -> Channel:
    return Bot(TOKEN, CHANNEL, slack.api_url, timeout_s=1)


BOTH = pytest.mark.parametrize("way", [by_webhook, by_bot])
Way = Callable[[LocalSlack], Channel]


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
        (Said(429, "ratelimited"), TryLater("rate_limited", None)),
        (Said(500, "internal_error"), TryLater("internal_error", None)),
        (Said(400, "invalid_payload"), Rejected("invalid_payload")),
        (Said(404, "channel_not_found"), Rejected("channel_not_found")),
        (HANGS, TryLater("TimeoutError")),
    ],
)
async def test_an_answer_is_understood(
    slack: LocalSlack, way: Way, text: Said, means: SendResult
) -> None:
    """One attempt, one answer, whatever Slack does; it never raises."""
    slack.answers.append(text)

    assert await way(slack).send(MESSAGE) == means
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


async def test_a_page_instead_of_an_answer_is_tried_again(slack: LocalSlack) -> None:
    """Something between us and Slack answers for it."""
    slack.answers.extend([Said(503, "<html>Sorry</html>"), Said(200, "ok")])
    webhook = by_webhook(slack)

    assert await webhook.send(MESSAGE) == TryLater("status_503")
    assert await webhook.send(MESSAGE) == Sent()
