from dataclasses import dataclass, field
from datetime import datetime

from services.processor.delivery import Delivery
from services.processor.message_span import MessageSpan
from services.processor.stopwatch import Stopwatch


@dataclass(frozen=True, slots=True)
class Attempting:
    """An attempt in progress; `handling` measures the time while handlers run."""

    delivery: Delivery
    span: MessageSpan
    started_at: datetime
    handling: Stopwatch = field(default_factory=Stopwatch)
