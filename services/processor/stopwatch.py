from time import perf_counter
from types import TracebackType
from typing import Self


class Stopwatch:
    """Adds up the time while it is entered. `seconds` is None until the first time."""

    __slots__ = ("_began", "seconds")

    def __init__(self) -> None:
        self._began = 0.0
        self.seconds: float | None = None

    def __enter__(self) -> Self:
        self._began = perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.seconds = (self.seconds or 0.0) + perf_counter() - self._began
