"""The settings of the channel: a mistake is one sentence when the service starts."""

import pytest

from ringback.runtime.process.settings import SettingsError, load
from services.metrics.slack.settings import SlackSettings

NO_WEB_ADDRESS = "must be a URL that begins with https:// or http://, with a number for a port"
ONE_WAY = (
    "RINGBACK_SLACK_CHANNEL: set RINGBACK_SLACK_WEBHOOK_URL, or RINGBACK_SLACK_BOT_TOKEN with this,"
    " not both"
)
URL = "https://hooks.slack.com/services/T0/B0/verysecret"


def test_nothing_is_needed() -> None:
    """Without settings there are no announcements, and that is valid."""
    settings = load(SlackSettings, {})

    assert settings.slack_webhook_url is None
    assert settings.slack_bot_token is None


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        (
            {"RINGBACK_SLACK_WEBHOOK_URL": "hooks.slack.com/services/verysecret"},
            f"RINGBACK_SLACK_WEBHOOK_URL: {NO_WEB_ADDRESS}",
        ),
        (
            {"RINGBACK_SLACK_WEBHOOK_URL": "https://verysecret@[::1/"},
            f"RINGBACK_SLACK_WEBHOOK_URL: {NO_WEB_ADDRESS}",
        ),
        (
            {"RINGBACK_SLACK_BOT_TOKEN": "xoxb-verysecret"},
            "RINGBACK_SLACK_CHANNEL: is required with RINGBACK_SLACK_BOT_TOKEN",
        ),
        (
            {"RINGBACK_SLACK_BOT_TOKEN": "xoxb-very\nsecret", "RINGBACK_SLACK_CHANNEL": "C1"},
            (
                "RINGBACK_SLACK_BOT_TOKEN: must be letters, digits and signs of ASCII: "
                "a header carries nothing else"
            ),
        ),
        (
            {"RINGBACK_SLACK_CHANNEL": "C1"},
            "RINGBACK_SLACK_CHANNEL: can be set only with RINGBACK_SLACK_BOT_TOKEN",
        ),
        (
            {
                "RINGBACK_SLACK_WEBHOOK_URL": URL,
                "RINGBACK_SLACK_BOT_TOKEN": "xoxb-verysecret",
                "RINGBACK_SLACK_CHANNEL": "C1",
            },
            ONE_WAY,
        ),
        (
            {"RINGBACK_TRACE_URL_TEMPLATE": "https://traces/"},
            "RINGBACK_TRACE_URL_TEMPLATE: must contain {trace_id} in the place of the trace id",
        ),
        (
            {"RINGBACK_DASHBOARD_URL": "javascript:alert(1)"},
            f"RINGBACK_DASHBOARD_URL: {NO_WEB_ADDRESS}",
        ),
        (
            {"RINGBACK_DASHBOARD_URL": "https://grafana/" + "a" * 1000},
            "RINGBACK_DASHBOARD_URL: must be at most 1,000 letters of ASCII",
        ),
    ],
)
def test_a_mistake_is_one_sentence_without_the_secret(
    environ: dict[str, str], sentence: str
) -> None:
    """It names the variable, and shows no part of a secret."""
    with pytest.raises(SettingsError) as caught:
        load(SlackSettings, environ)

    assert str(caught.value) == sentence
    assert "verysecret" not in str(caught.value)
