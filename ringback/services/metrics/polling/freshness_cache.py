"""The newest values under each name, for as long as they are fresh."""

import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")
Clock = Callable[[], float]


class FreshnessCache(Generic[T]):
    """A value older than `max_age_s` is no longer returned."""

    def __init__(self, max_age_s: float, clock: Clock = time.monotonic) -> None:
        self._max_age_s = max_age_s
        self._clock = clock
        self._values: dict[str, tuple[T, float]] = {}

    def put(self, values: Mapping[str, T]) -> None:
        now_s = self._clock()
        self._values |= {name: (value, now_s) for name, value in values.items()}

    def get(self) -> dict[str, T]:
        """The fresh values."""
        oldest_s = self._clock() - self._max_age_s
        return {name: value for name, (value, put_s) in self._values.items() if put_s >= oldest_s}
