from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """The broker's counts for a queue: ready messages, and consumers."""

    messages: int
    consumers: int
