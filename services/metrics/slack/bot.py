from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from services.metrics.slack.answer import Answer, Sent, TryLater, answer_of
from services.metrics.slack.backoff import retry_after_s
from services.metrics.slack.channel import SEND_TIMEOUT_S
from services.metrics.slack.message import Message


class Bot:
    """Writes to a channel as a bot, with its token."""

    def __init__(
        self, token: str, channel: str, api_url: str, *, timeout_s: int = SEND_TIMEOUT_S
    ) -> None:
        self._channel = channel
        self._client = AsyncWebClient(token, base_url=api_url, timeout=timeout_s, retry_handlers=[])

    async def send(self, message: Message) -> Answer:
        try:
            await self._client.chat_postMessage(
                channel=self._channel,
                text=message.text,
                blocks=message.blocks,
                unfurl_links=False,
                unfurl_media=False,
            )
        except SlackApiError as exc:
            return _answer_in(exc)
        except Exception as exc:  # ruff: ignore[blind-except]  # no surprise of the library ends the service
            return TryLater(type(exc).__name__)
        return Sent()


def _answer_in(error: SlackApiError) -> Answer:
    response = error.response
    headers = {name.lower(): value for name, value in response.headers.items()}
    # An answer that is not JSON arrives as another kind of response.
    data = getattr(response, "data", None)
    said = str(data.get("error")) if isinstance(data, dict) else ""
    status = getattr(response, "status_code", None) or response.status
    return answer_of(status, said, retry_after_s(headers.get("retry-after")))
