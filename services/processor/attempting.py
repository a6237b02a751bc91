from dataclasses import dataclass
from datetime import datetime

from services.processor.delivery import Delivery
from services.processor.message_span import MessageSpan


@dataclass(frozen=True, slots=True)
class Attempting:
    """An attempt under way."""

    delivery: Delivery
    span: MessageSpan
    started_at: datetime
