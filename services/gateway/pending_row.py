from dataclasses import dataclass

from ringback.contract.envelope import Envelope

_OVERHEAD_BYTES = 1024


@dataclass(frozen=True, slots=True)
class PendingRow:
    """The row that says: accepted, not tried yet. The processor writes it too if it is missing.

    Without a body it is a light row: the processor puts the payload in.
    """

    envelope: Envelope
    call_id: str | None
    body: bytes | None

    @property
    def size_bytes(self) -> int:
        """What it takes of memory, about."""
        return len(self.body or b"") + _OVERHEAD_BYTES
