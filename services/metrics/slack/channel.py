from typing import Protocol

from services.metrics.slack.answer import Answer
from services.metrics.slack.message import Message

SEND_TIMEOUT_S = 5


class Channel(Protocol):
    """A place where people read."""

    async def send(self, message: Message) -> Answer:
        """Try once, for SEND_TIMEOUT_S at most. Whatever happens there is an answer."""
