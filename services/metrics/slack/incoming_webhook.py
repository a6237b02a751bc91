from slack_sdk.webhook.async_client import AsyncWebhookClient

from services.metrics.slack.answer import SENT_WORD, Answer, TryLater, answer_of
from services.metrics.slack.backoff import retry_after_s
from services.metrics.slack.channel import SEND_TIMEOUT_S
from services.metrics.slack.message import Message


class IncomingWebhook:
    """A channel with a secret URL, which never appears in an error or a log line."""

    def __init__(self, url: str, *, timeout_s: int = SEND_TIMEOUT_S) -> None:
        # Its own retries would wait in the process; ours wait in the database.
        self._client = AsyncWebhookClient(url, timeout=timeout_s, retry_handlers=[])

    async def send(self, message: Message) -> Answer:
        try:
            response = await self._client.send(
                text=message.text,
                blocks=message.blocks,
                unfurl_links=False,
                unfurl_media=False,
            )
        except Exception as exc:  # ruff: ignore[blind-except]  # no surprise of the library ends the service
            return TryLater(type(exc).__name__)
        # Any 2xx is success; the text matters only for a refusal.
        said = SENT_WORD if response.status_code < _NO else response.body.strip()
        headers = {name.lower(): value for name, value in response.headers.items()}
        return answer_of(response.status_code, said, retry_after_s(headers.get("retry-after")))


_NO = 300
