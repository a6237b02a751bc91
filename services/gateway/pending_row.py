from dataclasses import dataclass
from sys import getsizeof
from typing import Self

from ringback.contract.envelope import Envelope
from ringback.contract.event import Event

_OVERHEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class PendingRow:
    """The row that says: accepted, not tried yet. The processor writes it too if it is missing."""

    envelope: Envelope
    call_id: str | None
    event_data: str
    altered: bool
    size_bytes: int

    @classmethod
    def of(cls, envelope: Envelope, event: Event) -> Self:
        return cls(
            envelope=envelope,
            call_id=event.call_id,
            event_data=event.document.text,
            altered=event.document.altered,
            size_bytes=getsizeof(event.document.text) + _OVERHEAD_BYTES,
        )
