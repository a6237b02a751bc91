"""A clock that a test moves."""

from dataclasses import dataclass


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s
