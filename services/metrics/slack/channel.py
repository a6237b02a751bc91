from typing import Protocol

from services.metrics.slack.answer import Answer
from services.metrics.slack.message import Message

SEND_TIMEOUT_S = 5


class Channel(Protocol):
    """A Slack channel."""

    async def send(self, message: Message) -> Answer:
        """Try once, for at most SEND_TIMEOUT_S. Every failure is returned as an answer."""
