"""What the built-in handler reads from an event, by the names of the columns."""

from datetime import datetime
from typing import Any

from services.processor.builtin.voice_calls import call_update_of
from tests.unit.processor.events import event

REPORT, STATUS = "end-of-call-report", "status-update"
START, END = "2025-04-03T09:00:00Z", "2025-04-03T09:00:42.500Z"
STARTED, ENDED = datetime.fromisoformat(START), datetime.fromisoformat(END)


def read(event_type: str, message: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The values that an event gives its call, by the names of their columns."""
    update = call_update_of(event(type=event_type, message=message, **changes))
    assert update is not None
    return dict(update)


def rank(column: str, event_type: str, message: dict[str, Any], **changes: Any) -> int:
    """The rank of a column's value."""
    values = read(event_type, message, **changes)
    ranks: list[int] = values["ranks"]
    return ranks[list(values).index(column) - list(values).index("call_type")]
