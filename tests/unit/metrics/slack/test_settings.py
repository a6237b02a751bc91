"""The settings of the channel: a mistake is one sentence when the service starts."""

import pytest

from ringback.runtime.process.settings import SettingsError, load
from ringback.services.metrics.slack.settings import SlackSettings

NO_WEB_ADDRESS = "must be a URL that begins with https:// or http://, with a number for a port"
URL = "https://hooks.slack.com/services/T0/B0/verysecret"
TOKEN = "xoxb-verysecret"


def test_nothing_is_needed() -> None:
    """Without settings there are no announcements, and that is valid."""
    settings = load(SlackSettings, {})

    assert settings.slack_webhook_url is None
    assert settings.slack_bot_token is None


@pytest.mark.parametrize(
    ("environ", "variable", "sentence"),
    [
        ({"SLACK_WEBHOOK_URL": URL.removeprefix("https://")}, "SLACK_WEBHOOK_URL", NO_WEB_ADDRESS),
        ({"SLACK_WEBHOOK_URL": "https://verysecret@[::1/"}, "SLACK_WEBHOOK_URL", NO_WEB_ADDRESS),
        ({"SLACK_BOT_TOKEN": TOKEN}, "SLACK_CHANNEL", "is required with RINGBACK_SLACK_BOT_TOKEN"),
        (
            {"SLACK_BOT_TOKEN": "xoxb-very\nsecret", "SLACK_CHANNEL": "C1"},
            "SLACK_BOT_TOKEN",
            "must be printable ASCII, because it is sent in a header",
        ),
        ({"SLACK_CHANNEL": "C1"}, "SLACK_CHANNEL", "can be set only with RINGBACK_SLACK_BOT_TOKEN"),
        (
            {"SLACK_WEBHOOK_URL": URL, "SLACK_BOT_TOKEN": TOKEN, "SLACK_CHANNEL": "C1"},
            "SLACK_CHANNEL",
            "set RINGBACK_SLACK_WEBHOOK_URL, or RINGBACK_SLACK_BOT_TOKEN with this, not both",
        ),
        (
            {"TRACE_URL_TEMPLATE": "https://traces/"},
            "TRACE_URL_TEMPLATE",
            "must contain {trace_id}, which the trace id replaces",
        ),
        ({"DASHBOARD_URL": "javascript:alert(1)"}, "DASHBOARD_URL", NO_WEB_ADDRESS),
        (
            {"DASHBOARD_URL": "https://grafana/" + "a" * 1000},
            "DASHBOARD_URL",
            "must be at most 1,000 printable ASCII characters",
        ),
    ],
)
def test_a_mistake_is_one_sentence_without_the_secret(
    environ: dict[str, str], variable: str, sentence: str
) -> None:
    """It names the variable, and shows no part of a secret."""
    with pytest.raises(SettingsError) as caught:
        load(SlackSettings, {f"RINGBACK_{name}": value for name, value in environ.items()})

    assert str(caught.value) == f"RINGBACK_{variable}: {sentence}"
    assert "verysecret" not in str(caught.value)
