"""Remembers the answers to questions, so that a repeated question is not asked again."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Entry(Generic[T]):
    value: T
    until: float
    size_bytes: int = 0


class StoredAnswers(Generic[T]):
    """Keeps each value for `keep_s`. If they are too many or too large, the oldest go first."""

    def __init__(
        self,
        *,
        keep_s: float,
        max_count: int,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep_s = keep_s
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._clock = clock
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._size_bytes = 0

    def get(self, key: str) -> T | None:
        entry = self._entries.get(key)
        return entry.value if entry is not None and self._clock() < entry.until else None

    def put(self, key: str, value: T) -> None:
        self.forget(key)
        self._entries[key] = _Entry(value, self._clock() + self._keep_s)
        self._shrink()

    def resize(self, key: str, size_bytes: int) -> None:
        """Set the size of a value, if it is still there."""
        entry = self._entries.get(key)
        if entry is not None:
            self._size_bytes += size_bytes - entry.size_bytes
            entry.size_bytes = size_bytes
            self._shrink()

    def forget(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._size_bytes -= entry.size_bytes

    def _shrink(self) -> None:
        while self._entries and (
            len(self._entries) > self._max_count
            or self._size_bytes > self._max_bytes
            or next(iter(self._entries.values())).until <= self._clock()
        ):
            self.forget(next(iter(self._entries)))
