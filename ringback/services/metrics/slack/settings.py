"""The settings of the Slack alerts."""

from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator

from ringback.runtime.process.settings import Settings, header_value, url_parts

TRACE_ID_PLACEHOLDER = "{trace_id}"
_MAX_LINK = 1_000


def _web_address(value: str) -> str:
    if not url_parts(value, ("https", "http")).hostname:
        raise ValueError("must be a URL with a host")
    return value


def _link(value: str) -> str:
    if len(value) > _MAX_LINK or not value.isascii() or not value.isprintable():
        raise ValueError(f"must be at most {_MAX_LINK:,} printable ASCII characters")
    return _web_address(value)


def _secret_address(value: SecretStr) -> SecretStr:
    _web_address(value.get_secret_value())
    return value


def _token(value: SecretStr) -> SecretStr:
    if " " in header_value(value.get_secret_value()):
        raise ValueError("must be a token, without spaces")
    return value


def _trace_template(value: str) -> str:
    if TRACE_ID_PLACEHOLDER not in value:
        raise ValueError(f"must contain {TRACE_ID_PLACEHOLDER}, which the trace id replaces")
    return _link(value)


class SlackSettings(Settings):
    """Where dead letters are announced, if anywhere, and how often."""

    slack_webhook_url: Annotated[SecretStr, AfterValidator(_secret_address)] | None = Field(
        default=None,
        description="The URL of a Slack incoming webhook, to report dead letters to. A secret. "
        "If neither this nor RINGBACK_SLACK_BOT_TOKEN is set, nothing is reported.",
    )
    slack_bot_token: Annotated[SecretStr, AfterValidator(_token)] | None = Field(
        default=None,
        description="The token of a Slack bot with the scope chat:write, instead of "
        "RINGBACK_SLACK_WEBHOOK_URL. A secret. Needs RINGBACK_SLACK_CHANNEL.",
    )
    slack_channel: str | None = Field(
        default=None,
        validate_default=True,
        description="The id of the channel for the messages, with RINGBACK_SLACK_BOT_TOKEN.",
    )
    slack_api_url: Annotated[str, AfterValidator(_web_address)] = Field(
        default="https://slack.com/api/", description="The URL of Slack's API, for a bot."
    )
    slack_batch_window_s: float = Field(
        default=10.0,
        ge=0,
        le=3600,
        description="Seconds to collect dead letters before the first message to Slack.",
    )
    slack_interval_s: float = Field(
        default=60.0,
        ge=1,
        le=86400,
        description="Seconds between two messages about dead letters of one event type and error.",
    )
    slack_quiet_s: float = Field(
        default=300.0,
        ge=1,
        le=86400,
        description="Seconds without another dead letter of one event type and error, after which "
        "a message to Slack reports that there are no more.",
    )
    trace_url_template: Annotated[str, AfterValidator(_trace_template)] | None = Field(
        default=None,
        description="The URL of a trace in your trace viewer, with {trace_id} in place of its id. "
        "Slack messages and the console link to it.",
    )
    dashboard_url: Annotated[str, AfterValidator(_link)] | None = Field(
        default=None, description="The URL of a dashboard that Slack messages link to."
    )

    @field_validator("slack_channel")
    @classmethod
    def _exactly_one_channel(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "slack_webhook_url" not in info.data or "slack_bot_token" not in info.data:
            # One of them is already reported as invalid.
            return value
        if info.data["slack_bot_token"] is None:
            if value is not None:
                raise ValueError("can be set only with RINGBACK_SLACK_BOT_TOKEN")
        elif info.data["slack_webhook_url"] is not None:
            raise ValueError(
                "set RINGBACK_SLACK_WEBHOOK_URL, or RINGBACK_SLACK_BOT_TOKEN with this, not both"
            )
        elif value is None:
            raise ValueError("is required with RINGBACK_SLACK_BOT_TOKEN")
        return value
