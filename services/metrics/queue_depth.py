from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What the broker says of a queue: messages that are ready, and those who consume it."""

    messages: int
    consumers: int
